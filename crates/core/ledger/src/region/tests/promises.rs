//! Promised callbacks go before other leads of their priority, once their time has come.

use super::*;

const LATER: Duration = Duration::from_secs(3600);

impl World {
    fn that_keeps_promises() -> Self {
        let mut world = Self::new(6);
        let version = MeshVersion::PROMISES;
        world.apply(RegionCommand::MeshVersion { version });
        world
    }

    /// An agent spoke with the person and promised to call back.
    fn promised(&self, lead: &LeasedLead) -> CallOutcome {
        let mut outcome = self.dialed(lead, Disposition::Agent(DispositionCode(0)));
        if let CallOutcome::Dialed { callback_at, .. } = &mut outcome {
            *callback_at = Some(WallTime::from_millis(self.wall) + LATER);
        }
        outcome
    }

    /// A session, and the first lead, promised a call and not due yet.
    fn with_a_promise(mut self) -> (Self, SessionId, LeasedLead) {
        let session = self.open(NODE, 1);
        let first = self.claim(session, 1, 1).remove(0);
        let outcome = self.promised(&first);
        self.report(session, &[outcome]);
        (self, session, first)
    }
}

fn leads(claimed: &[LeasedLead]) -> Vec<LeadId> {
    claimed.iter().map(|lead| lead.lead).collect()
}

#[test]
fn a_promised_callback_goes_first_when_its_time_has_come() {
    let (mut world, session, first) = World::that_keeps_promises().with_a_promise();
    // Not before it.
    let others = world.claim(session, 2, 2);
    assert!(!leads(&others).contains(&first.lead));
    let back: Vec<_> = others.iter().map(undialed).collect();
    world.report(session, &back);
    world.pass(LATER);
    // The others have been due for longer.
    let next = world.claim(session, 1, 3);
    assert_eq!(leads(&next), [first.lead]);
    // What was not dialed is promised still; snapshots keep it.
    world.report(session, &[undialed(&next[0])]);
    let bytes = world.ledger.snapshot();
    world.ledger = RegionLedger::restore(&bytes).unwrap();
    assert_eq!(world.ledger.snapshot(), bytes);
    let again = world.claim(session, 1, 4);
    assert_eq!(leads(&again), [first.lead]);
    // Nobody answered: the promise was kept, and what comes now is a retry among others.
    let outcome = world.dialed(&again[0], Disposition::NoAnswer);
    world.report(session, &[outcome]);
    world.pass(minutes(31));
    let rest = world.claim(session, 6, 5);
    assert_eq!(rest.len(), 6);
    assert_eq!(rest.last().unwrap().lead, first.lead);
}

#[test]
fn a_larger_priority_goes_before_a_promise() {
    let (mut world, session, first) = World::that_keeps_promises().with_a_promise();
    world.pass(LATER);
    let mut urgent = new_lead(50, "America/New_York");
    urgent.priority = 1;
    let reply = world.apply(RegionCommand::Import {
        list: ListId(9),
        campaign: CAMPAIGN,
        batch: 1,
        rows: vec![urgent],
    });
    assert!(!matches!(reply, RegionReply::Refused(_)), "{reply:?}");
    let claimed = world.claim(session, 2, 2);
    assert_eq!(claimed[0].number, number(50));
    assert_eq!(claimed[1].lead, first.lead);
}

#[test]
fn before_all_members_understand_it_a_promise_is_a_time_and_no_more() {
    let (mut world, session, first) = World::new(6).with_a_promise();
    world.pass(LATER);
    let others = world.claim(session, 5, 2);
    assert!(!leads(&others).contains(&first.lead));
    // The layout that a member of the release before reads.
    assert_eq!(world.ledger.snapshot()[1], 5);
}
