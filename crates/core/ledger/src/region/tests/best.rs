//! Claims for the leads with the best chance.

use super::*;
use domain::{Chances, SegmentChances, held_out};

const GOOD: ListId = ListId(2);
const POOR: ListId = ListId(3);
const MOST: usize = limits::CLAIM_CHOICE;

/// Leads of [`GOOD`] answer twice as often as others; nobody does at 11 o'clock.
fn chances() -> Chances {
    let mut hours = vec![1000; 24];
    hours[11] = 0;
    let of = |chance| SegmentChances {
        attempts: vec![chance, chance / 2],
        hours: hours.clone(),
    };
    Chances {
        lists: vec![(GOOD, of(4000))],
        others: of(2000),
    }
}

impl World {
    /// That understands claims by chance, with no lead.
    fn that_chooses() -> Self {
        let mut world = Self::new(0);
        let version = MeshVersion::LEAD_ORDER;
        world.apply(RegionCommand::MeshVersion { version });
        world
    }

    fn import_list(&mut self, list: ListId, rows: Vec<NewLead>) {
        let reply = self.apply(RegionCommand::Import {
            list,
            campaign: CAMPAIGN,
            batch: 1,
            rows,
        });
        assert!(!matches!(reply, RegionReply::Refused(_)), "{reply:?}");
    }

    fn claim_best(&mut self, session: SessionId, n: u32, sequence: u64) -> Vec<LeasedLead> {
        let reply = self.apply(RegionCommand::ClaimBest {
            session,
            campaign: CAMPAIGN,
            n,
            sequence,
            chances: chances(),
        });
        match reply {
            RegionReply::Claimed { leads, .. } => leads,
            other => panic!("{other:?}"),
        }
    }
}

fn new_york(range: std::ops::Range<u64>) -> Vec<NewLead> {
    range.map(|n| new_lead(n, "America/New_York")).collect()
}

fn ids(leads: &[LeasedLead]) -> Vec<u64> {
    leads.iter().map(|lead| lead.lead.0 & 0xffff_ffff).collect()
}

fn in_order(leads: &[LeasedLead]) -> Vec<&LeasedLead> {
    let by_chance = |lead: &&LeasedLead| !held_out(lead.lead, limits::HELD_OUT_PERMILLE);
    leads.iter().filter(by_chance).collect()
}

#[test]
fn of_those_due_for_longest_the_best_are_leased_and_the_others_go_behind() {
    let mut world = World::that_chooses();
    world.import_list(POOR, new_york(0..30));
    world.pass(Duration::from_secs(1));
    world.import_list(GOOD, new_york(100..120));
    let session = world.open(NODE, 1);
    // The first sixteen are all of the list that answers less: the oldest of them.
    let first = world.claim_best(session, 2, 1);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|lead| lead.list == POOR), "{first:?}");
    assert!(ids(&first).iter().all(|id| *id <= 2 * MOST as u64));
    // Fourteen of them are behind all others now: the next look meets the better list.
    world.pass(Duration::from_secs(1));
    let second = world.claim_best(session, 4, 2);
    assert!(
        in_order(&second).iter().all(|lead| lead.list == GOOD),
        "{second:?}"
    );
    assert_eq!(second.len(), 4);
    // Whoever was passed over is still due: nobody waits for a better hour while agents do.
    assert_eq!(world.ledger.stats(CAMPAIGN).due, 44);
    let rest = world.claim_best(session, 100, 3);
    assert_eq!(rest.len(), 44);
    assert_eq!(world.ledger.stats(CAMPAIGN).due, 0);
    let none = world.claim_best(session, 5, 4);
    assert!(none.is_empty());
}

#[test]
fn a_priority_comes_before_any_chance() {
    let mut world = World::that_chooses();
    world.import_list(GOOD, new_york(0..20));
    let mut urgent = new_york(100..103);
    urgent.iter_mut().for_each(|lead| lead.priority = 1);
    world.import_list(POOR, urgent);
    let session = world.open(NODE, 1);
    let leads = world.claim_best(session, 5, 1);
    let lists: Vec<ListId> = leads.iter().map(|lead| lead.list).collect();
    assert_eq!(lists, [POOR, POOR, POOR, GOOD, GOOD]);
}

#[test]
fn the_hour_is_that_of_the_persons_own_day() {
    let mut world = World::that_chooses();
    // Noon in New York is eleven in Chicago, where nobody answers then.
    let zones = ["America/Chicago", "America/New_York"];
    let rows = (0..40).map(|n| new_lead(n, zones[n as usize / 4 % 2]));
    world.import_list(GOOD, rows.collect());
    let session = world.open(NODE, 1);
    let leads = world.claim_best(session, 5, 1);
    let home = zones::find("America/New_York").unwrap();
    assert!(
        in_order(&leads).iter().all(|lead| lead.zones == [home]),
        "{leads:?}"
    );
    assert_eq!(leads.len(), 5);
}

#[test]
fn who_is_held_out_has_turns_of_its_own() {
    let mut world = World::that_chooses();
    let held = |lead: &LeasedLead| held_out(lead.lead, limits::HELD_OUT_PERMILLE);
    world.import_list(POOR, new_york(0..500));
    world.import_list(GOOD, new_york(500..1_000));
    let session = world.open(NODE, 1);
    let mut leads = Vec::new();
    for sequence in 1..=10 {
        leads.extend(world.claim_best(session, 20, sequence));
    }
    assert_eq!(leads.len(), 200);
    // One in twenty, of either list, and as often as others on the mean.
    let out: Vec<&LeasedLead> = leads.iter().filter(|lead| held(lead)).collect();
    assert!((3..=20).contains(&out.len()), "{}", out.len());
    assert!(out.iter().any(|lead| lead.list == POOR));
}

#[test]
fn a_claim_by_chance_is_bounded_and_waits_until_all_understand_it() {
    let mut world = World::new(3);
    let session = world.open(NODE, 1);
    let claim = |chances, n| RegionCommand::ClaimBest {
        session,
        campaign: CAMPAIGN,
        n,
        sequence: 1,
        chances,
    };
    let early = world.apply(claim(chances(), 2));
    let version = MeshVersion::LEAD_ORDER;
    assert_eq!(
        early,
        RegionReply::Refused(RegionRefusal::NotYet {
            now: MeshVersion::BASE,
            wanted: version,
        })
    );
    world.apply(RegionCommand::MeshVersion { version });
    let mut many = chances();
    many.others.attempts = vec![1; limits::CHANCE_ATTEMPTS + 1];
    let refused = world.apply(claim(many, 2));
    assert!(
        matches!(&refused, RegionReply::Refused(RegionRefusal::TooMany { what, limit: 10, .. }) if what.contains("attempts")),
        "{refused:?}"
    );
    let over = limits::CLAIM_BATCH as u32 + 1;
    let refused = world.apply(claim(chances(), over));
    assert!(matches!(
        refused,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
    // The same claim once more has the same answer; nothing was passed over for it.
    let first = world.claim_best(session, 2, 1);
    assert_eq!(world.claim_best(session, 2, 1), first);
    assert_eq!(world.claim_best(session, 2, 2).len(), 1);
}

#[test]
fn who_does_not_hear_the_answer_comes_to_the_same_state() {
    let mut world = World::that_chooses();
    world.import_list(POOR, new_york(0..60));
    let session = world.open(NODE, 1);
    let mut other = world.ledger.clone();
    let command = RegionCommand::ClaimBest {
        session,
        campaign: CAMPAIGN,
        n: 5,
        sequence: 1,
        chances: chances(),
    };
    let context = ApplyContext {
        index: world.index + 1,
        wall: WallTime::from_millis(world.wall),
    };
    other.apply_unheard(context, command, &mut Vec::new());
    world.claim_best(session, 5, 1);
    assert!(other == world.ledger);
}
