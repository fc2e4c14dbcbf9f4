//! Leads that go to another region, step by step.

use super::*;

const OTHER: RegionId = RegionId(2);

/// Region 2, with its own leads.
fn other(leads: std::ops::Range<u64>) -> World {
    let mut world = World {
        ledger: RegionLedger::new(OTHER),
        index: 0,
        wall: NOON,
        events: Vec::new(),
    };
    world.campaign(campaign());
    world.import(1, leads.map(|n| new_lead(n, "America/New_York")).collect());
    world.apply(RegionCommand::Tick {
        leadership: LEADER,
        after: 0,
        elapsed: Duration::ZERO,
    });
    world
}

fn counts_of(numbers: u64, leads: u64) -> MovedCounts {
    MovedCounts { numbers, leads }
}

impl World {
    fn export(&mut self, batch: u64, numbers: &[u64]) -> RegionReply {
        self.apply(RegionCommand::ExportLeads {
            version: 1,
            to: OTHER,
            batch,
            numbers: numbers.iter().map(|n| number(*n)).collect(),
        })
    }

    fn take(&mut self, batch: &MovedBatch) -> RegionReply {
        self.apply(RegionCommand::ImportMoved {
            batch: batch.clone(),
        })
    }

    fn forget(&mut self, batch: u64, taken: Option<MovedCounts>) -> RegionReply {
        self.apply(RegionCommand::ForgetMoved {
            to: OTHER,
            batch,
            taken,
        })
    }

    fn lead_of(&self, n: u64) -> LeadView {
        let leads = self.ledger.leads_of(number(n));
        self.ledger.lead(leads[0]).unwrap()
    }

    /// Picks up, takes, forgets.
    fn hand_over(&mut self, to: &mut World, batch: u64, numbers: &[u64]) -> MovedCounts {
        let RegionReply::Exported { counts, .. } = self.export(batch, numbers) else {
            panic!("it was not picked up");
        };
        let moved = self.ledger.moved_batch(OTHER).unwrap();
        let taken = RegionReply::MovedTaken {
            batch,
            counts: Some(counts),
        };
        assert_eq!(to.take(&moved), taken);
        assert_eq!(
            self.forget(batch, Some(counts)),
            RegionReply::Forgotten { batch }
        );
        counts
    }
}

fn refusal(reply: RegionReply) -> MoveRefusal {
    match reply {
        RegionReply::Refused(RegionRefusal::Move(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_number_goes_with_all_that_is_known_of_it() {
    let (mut here, mut there) = (World::new(3), other(9..9));
    let session = here.open(NODE, 1);
    let leads = here.claim(session, 3, 1);
    let now = WallTime::from_millis(here.wall);
    let call_back = now + minutes(90);
    let dialed = |lead: &LeasedLead, disposition, callback_at| CallOutcome::Dialed {
        lead: lead.lead,
        attempt: lead.attempt,
        disposition,
        invited_at: now,
        ended_at: now,
        callback_at,
    };
    here.report(
        session,
        &[
            dialed(
                &leads[0],
                Disposition::Agent(DispositionCode(1)),
                Some(call_back),
            ),
            dialed(&leads[1], Disposition::Abandoned, None),
            dialed(&leads[2], Disposition::Agent(DispositionCode(0)), None),
        ],
    );
    let before: Vec<LeadView> = (0..3).map(|n| here.lead_of(n)).collect();
    assert_eq!(here.hand_over(&mut there, 1, &[0, 1, 2]), counts_of(3, 3));
    for (n, before) in (0..).zip(before) {
        let after = there.lead_of(n);
        assert_eq!(after.lead.region(), OTHER);
        let same = LeadView {
            lead: before.lead,
            ..after
        };
        assert_eq!(same, before);
        assert_eq!(there.ledger.attempts_at(number(n)).0.len(), 1);
        // Its id here still says where it went, and is nobody else's.
        let gone = here.ledger.lead(before.lead).unwrap();
        assert_eq!(gone.standing, LeadStanding::Moved(OTHER));
        assert!(here.ledger.leads_of(number(n)).is_empty());
        assert_eq!(here.ledger.attempts_at(number(n)).0, []);
    }
    assert_eq!(there.lead_of(0).standing, LeadStanding::Waiting(call_back));
    assert_eq!(here.ledger.stats(CAMPAIGN).total(), 0);
    assert_eq!(there.ledger.stats(CAMPAIGN).total(), 3);
    // The gap after an abandonment holds there (I5).
    there.pass(minutes(60));
    let session = there.open(NODE, 1);
    let claimed = there.claim(session, 3, 1);
    assert!(claimed.iter().all(|lead| lead.number != number(1)));
}

#[test]
fn between_two_regions_nobody_dials_and_nobody_imports() {
    let (mut here, mut there) = (World::new(2), other(9..9));
    assert_eq!(
        here.export(1, &[0, 0, 77]),
        RegionReply::Exported {
            batch: 1,
            counts: counts_of(1, 1)
        }
    );
    let session = here.open(NODE, 1);
    let claimed = here.claim(session, 5, 1);
    assert!(claimed.len() == 1 && claimed[0].number == number(1));
    assert_eq!(here.lead_of(0).standing, LeadStanding::Moving);
    let import = |homes, batch, n| RegionCommand::ImportAt {
        homes,
        known_only: true,
        list: LIST,
        campaign: CampaignId(1),
        batch,
        rows: vec![new_lead(n, "America/New_York")],
    };
    let row = |reply| match reply {
        RegionReply::Imported { rows, .. } => rows[0],
        other => panic!("{other:?}"),
    };
    assert_eq!(row(here.apply(import(1, 2, 0))), RowOutcome::Moving);
    assert_eq!(row(here.apply(import(1, 3, 50))), RowOutcome::Elsewhere);
    assert!(matches!(
        row(here.apply(import(1, 4, 1))),
        RowOutcome::Duplicate(_)
    ));
    let stale = MoveRefusal::StaleHomes { got: 0, have: 1 };
    assert_eq!(
        refusal(here.import(5, vec![new_lead(51, "America/New_York")])),
        stale
    );
    // A batch that was taken is answered again, by whatever map it was routed.
    let again = here.import(1, vec![new_lead(0, "America/New_York")]);
    assert!(matches!(again, RegionReply::Imported { again: true, .. }));
    let moved = here.ledger.moved_batch(OTHER).unwrap();
    there.take(&moved);
    assert_eq!(there.lead_of(0).standing, LeadStanding::Due);
    assert_eq!(here.lead_of(0).standing, LeadStanding::Moving);
}

#[test]
fn what_is_live_or_in_doubt_stays_until_it_has_ended() {
    let mut here = World::new(2);
    let session = here.open(NODE, 1);
    let leads = here.claim(session, 2, 1);
    assert_eq!(
        here.export(1, &[0, 1]),
        RegionReply::Exported {
            batch: 1,
            counts: counts_of(0, 0)
        }
    );
    let ended = here.dialed(&leads[0], Disposition::NoAnswer);
    here.report(session, &[ended]);
    here.expire(session);
    let RegionReply::Exported { counts, .. } = here.export(2, &[0, 1]) else {
        panic!("it was not picked up");
    };
    assert_eq!(counts, counts_of(1, 1), "one is in doubt");
    here.forget(2, Some(counts));
    here.tick(minutes(20));
    let RegionReply::Exported { counts, .. } = here.export(3, &[0, 1]) else {
        panic!("it was not picked up");
    };
    assert_eq!(counts, counts_of(1, 1));
}

#[test]
fn each_step_is_done_once_and_in_turn() {
    let (mut here, mut there) = (World::new(4), other(9..9));
    let out_of_turn = |got, expected| MoveRefusal::OutOfTurn { got, expected };
    assert_eq!(refusal(here.export(2, &[0])), out_of_turn(2, 1));
    let picked = here.export(1, &[0, 1]);
    assert_eq!(here.export(1, &[2]), picked, "a retry picks up no more");
    let under_way = MoveRefusal::UnderWay {
        to: OTHER,
        batch: 1,
    };
    assert_eq!(refusal(here.export(2, &[2])), under_way);
    let first = here.ledger.moved_batch(OTHER).unwrap();
    let taken = there.take(&first);
    assert_eq!(there.take(&first), taken);
    assert_eq!(there.ledger.len(), 2);
    let torn = refusal(here.forget(1, Some(counts_of(2, 1))));
    assert!(matches!(torn, MoveRefusal::Torn { .. }), "{torn}");
    assert!(here.ledger.moved_batch(OTHER).is_some());
    let both = Some(counts_of(2, 2));
    here.forget(1, both);
    let gone = MoveRefusal::NotUnderWay {
        to: OTHER,
        batch: 1,
    };
    assert_eq!(refusal(here.forget(1, both)), gone);
    assert_eq!(refusal(here.export(1, &[2])), out_of_turn(1, 2));
    here.hand_over(&mut there, 2, &[2]);
    // The first one once more, from a driver that slept.
    assert_eq!(refusal(there.take(&first)), out_of_turn(0, 2));
    let mut early = first.clone();
    (early.batch, early.after) = (9, 8);
    assert_eq!(refusal(there.take(&early)), out_of_turn(8, 2));
    early.source = OTHER;
    assert_eq!(refusal(there.take(&early)), MoveRefusal::Itself(OTHER));
    assert_eq!(there.ledger.len(), 3);
}

#[test]
fn of_two_halves_the_stricter_holds_and_both_count() {
    let (mut here, mut there) = (World::new(3), other(0..3));
    let now = WallTime::from_millis(here.wall);
    // 0 is done here; 1 rests here; 2 is leased there and done here.
    let session = here.open(NODE, 1);
    let leads = here.claim(session, 3, 1);
    let outcomes = [
        here.dialed(&leads[0], Disposition::Unallocated),
        here.dialed(&leads[1], Disposition::NoAnswer),
        here.dialed(&leads[2], Disposition::Unallocated),
    ];
    here.report(session, &outcomes);
    let session = there.open(NODE, 1);
    let leads = there.claim(session, 3, 1);
    let outcomes = [
        there.dialed(&leads[0], Disposition::NoAnswer),
        there.dialed(&leads[1], Disposition::NoAnswer),
    ];
    there.report(session, &outcomes);
    assert_eq!(here.hand_over(&mut there, 1, &[0, 1, 2]), counts_of(3, 3));
    assert_eq!(there.ledger.len(), 3);
    let done = LeadStanding::Finished(Disposition::Unallocated);
    assert_eq!(there.lead_of(0).standing, done);
    let rests = LeadStanding::Waiting(now + minutes(30));
    assert_eq!(there.lead_of(1).standing, rests);
    assert_eq!(there.lead_of(1).attempts, 2);
    assert_eq!(there.ledger.attempts_at(number(1)).0.len(), 2);
    // The live attempt goes on; then it is done.
    assert_eq!(there.lead_of(2).standing, LeadStanding::Leased);
    there.report(session, &[undialed(&leads[2])]);
    assert_eq!(there.lead_of(2).standing, done);
}

#[test]
fn what_a_node_found_in_the_base_goes_along_unless_the_number_is_lifted_there() {
    let base = DncBaseId([7; 32]);
    for lifted in [false, true] {
        let (mut here, mut there) = (World::new(1), other(9..9));
        for world in [&mut here, &mut there] {
            let directory_index = world.ledger.facts_index() + 1;
            world.apply(RegionCommand::DncBase {
                directory_index,
                base: Some(base),
            });
        }
        let session = here.open(NODE, 1);
        let lead = here.claim(session, 1, 1).remove(0);
        let found = CallOutcome::Listed {
            lead: lead.lead,
            attempt: lead.attempt,
            base,
        };
        here.report(session, &[found]);
        if lifted {
            // Told there, and not here yet.
            let directory_index = there.ledger.facts_index() + 1;
            there.apply(RegionCommand::Clearance {
                directory_index,
                facts: vec![domain::ClearanceFact::Lift(number(0), true)],
            });
        }
        here.hand_over(&mut there, 1, &[0]);
        let rests = LeadStanding::DoNotCall;
        assert_eq!(there.lead_of(0).standing == rests, !lifted);
    }
}

#[test]
fn where_there_is_no_room_everything_stays_as_it_was() {
    let (mut here, mut there) = (World::new(2), other(9..10));
    there.ledger.lead_limit = 2;
    here.export(1, &[0, 1]);
    let moved = here.ledger.moved_batch(OTHER).unwrap();
    let none = RegionReply::MovedTaken {
        batch: 1,
        counts: None,
    };
    assert_eq!(there.take(&moved), none);
    there.ledger.lead_limit = 9;
    assert_eq!(there.take(&moved), none, "it was said once");
    here.forget(1, None);
    assert_eq!(here.lead_of(0).standing, LeadStanding::Due);
    assert_eq!(here.hand_over(&mut there, 2, &[0, 1]), counts_of(2, 2));
    // At the bound.
    let (mut here, mut there) = (World::new(2), other(9..10));
    there.ledger.lead_limit = 3;
    assert_eq!(here.hand_over(&mut there, 1, &[0, 1]), counts_of(2, 2));
}

#[test]
fn a_batch_has_a_bound() {
    let mut here = World::new(0);
    let some = |n: usize| (0..n as u64).collect::<Vec<_>>();
    assert!(matches!(
        here.export(1, &some(limits::MOVE_BATCH)),
        RegionReply::Exported { .. }
    ));
    let more = here.export(2, &some(limits::MOVE_BATCH + 1));
    assert!(matches!(
        more,
        RegionReply::Refused(RegionRefusal::TooMany { limit: 500, .. })
    ));
    let mut there = other(9..9);
    let moved = |n| MovedBatch {
        source: REGION,
        batch: 1,
        after: 0,
        homes: 1,
        base: None,
        numbers: Vec::new(),
        late: vec![(number(0), 1); n],
    };
    let more = there.take(&moved(limits::MOVE_BATCH + 1));
    assert!(matches!(
        more,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
    let most = there.take(&moved(limits::MOVE_BATCH));
    assert!(matches!(most, RegionReply::MovedTaken { .. }));
}

#[test]
fn an_abandonment_told_late_follows_its_number() {
    let (mut here, mut there) = (World::new(1), other(9..9));
    let session = here.open(NODE, 1);
    let lead = here.claim(session, 1, 1).remove(0);
    let late = here.dialed(&lead, Disposition::Abandoned);
    here.expire(session);
    here.tick(minutes(20));
    here.hand_over(&mut there, 1, &[0]);
    here.settle(1, &[late], Proof::SameBoot);
    assert!(here.ledger.moves().late.contains(&OTHER));
    assert_eq!(here.hand_over(&mut there, 2, &[]), counts_of(0, 0));
    assert!(here.ledger.moves().late.is_empty());
    let slot = there.ledger.book.number_slot(number(0)).unwrap();
    assert_eq!(there.ledger.book.abandoned.len(), 1);
    assert!(there.ledger.book.abandoned.contains_key(&slot));
}

#[test]
fn no_moves_are_what_earlier_versions_lack() {
    let bytes = postcard::to_stdvec(&super::super::moves::Moves::default()).unwrap();
    assert_eq!(bytes, super::super::moves::Moves::EMPTY);
}
