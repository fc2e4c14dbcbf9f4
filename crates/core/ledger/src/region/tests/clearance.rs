use super::*;
use crate::{Removal, directory::Directory};
use domain::{ClearanceFact, ConsentGrant, ConsentId, ConsentKind, DncPattern, Freeze, Target};

fn tell(world: &mut World, fact: ClearanceFact) -> RegionReply {
    let directory_index = world.ledger.facts_index() + 1;
    world.apply(RegionCommand::Clearance {
        directory_index,
        facts: vec![fact],
    })
}

fn at(world: &World, span: Duration) -> WallTime {
    WallTime::from_millis(world.wall) + span
}

#[test]
fn a_pattern_keeps_leads_from_being_claimed_until_it_is_gone() {
    let mut world = World::new(3);
    let prefix = "+1212".parse().unwrap();
    tell(&mut world, ClearanceFact::Pattern(prefix, true));
    let session = world.open(NODE, 1);
    assert_eq!(world.claim(session, 3, 1), []);
    let stats = world.ledger.stats(CAMPAIGN);
    assert_eq!((stats.blocked_dnc, stats.due), (3, 0));
    let lead = world.ledger.leads_of(number(0))[0];
    let standing = |world: &World| world.ledger.lead(lead).unwrap().standing;
    assert_eq!(standing(&world), LeadStanding::DoNotCall);
    // A lead that comes while it holds rests too.
    world.import(2, vec![new_lead(3, "America/New_York")]);
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 4);
    tell(&mut world, ClearanceFact::Pattern(prefix, false));
    assert_eq!(standing(&world), LeadStanding::Due);
    assert_eq!(world.claim(session, 9, 2).len(), 4);
}

#[test]
fn a_frozen_lead_is_due_again_when_the_freeze_ends_by_itself() {
    let mut world = World::new(2);
    let session = world.open(NODE, 1);
    let target = Target::Number(number(0));
    let until = at(&world, minutes(10));
    tell(&mut world, ClearanceFact::Freeze(target, Some(until)));
    let leads = world.claim(session, 9, 1);
    assert_eq!(leads.len(), 1);
    assert_eq!(leads[0].number, number(1));
    let lead = world.ledger.leads_of(number(0))[0];
    assert_eq!(
        world.ledger.lead(lead).unwrap().standing,
        LeadStanding::Frozen
    );
    // The end is moved: the earlier one does nothing.
    let later = at(&world, minutes(20));
    tell(&mut world, ClearanceFact::Freeze(target, Some(later)));
    world.pass(minutes(15));
    assert_eq!(world.claim(session, 9, 2), []);
    world.pass(minutes(5));
    assert_eq!(world.claim(session, 9, 3).len(), 1);
    // A freeze that ended before the region heard of it, and one that is lifted.
    let past = at(&world, Duration::ZERO);
    tell(
        &mut world,
        ClearanceFact::Freeze(Target::Prefix("+1".parse().unwrap()), Some(past)),
    );
    world.import(2, vec![new_lead(5, "America/New_York")]);
    assert_eq!(world.claim(session, 9, 4).len(), 1);
    let area = Target::Prefix("+1212".parse().unwrap());
    let far = at(&world, minutes(60));
    tell(&mut world, ClearanceFact::Freeze(area, Some(far)));
    world.import(3, vec![new_lead(6, "America/New_York")]);
    assert_eq!(world.claim(session, 9, 5), []);
    tell(&mut world, ClearanceFact::Freeze(area, None));
    assert_eq!(world.claim(session, 9, 6).len(), 1);
}

#[test]
fn a_new_leader_catches_up_with_patterns_and_freezes() {
    let mut directory = Directory::default();
    let mut events = Vec::new();
    let mut world = World::new(2);
    let mut change = |directory: &mut Directory, index, change: Change| {
        let context = ApplyContext {
            index,
            wall: WallTime::from_millis(NOON),
        };
        directory.apply(context, DirectoryCommand::from(change), &mut events)
    };
    let until = WallTime::from_millis(NOON) + minutes(60);
    change(
        &mut directory,
        100,
        Change::ChangePatterns {
            add: vec![DncPattern {
                prefix: "+1900".parse().unwrap(),
                source: DncSource::Admin,
                reason: "premium".into(),
                added_at: WallTime::from_millis(NOON),
            }],
            remove: Vec::<Removal<domain::Prefix>>::new(),
            reason: String::new(),
        },
    );
    change(
        &mut directory,
        101,
        Change::ChangeFreezes {
            add: vec![Freeze {
                target: Target::Number(number(1)),
                until,
                reason: "asked".into(),
                source: "desk".into(),
                frozen_at: WallTime::from_millis(NOON),
            }],
            lift: Vec::new(),
            reason: String::new(),
        },
    );
    // What the region knows and the directory does not.
    tell(
        &mut world,
        ClearanceFact::Pattern("+1212".parse().unwrap(), true),
    );
    for command in catch_up(&directory, &world.ledger) {
        let reply = world.apply(command);
        assert_eq!(
            reply,
            RegionReply::FactsTaken {
                directory_index: 101
            }
        );
    }
    assert!(catch_up(&directory, &world.ledger).is_empty());
    let session = world.open(NODE, 1);
    let leads = world.claim(session, 9, 1);
    assert_eq!(leads.len(), 1);
    assert_eq!(leads[0].number, number(0));
    // Older words are refused.
    let stale = world.apply(RegionCommand::Clearance {
        directory_index: 7,
        facts: Vec::new(),
    });
    assert!(matches!(
        stale,
        RegionReply::Refused(RegionRefusal::StaleFacts { .. })
    ));
    let many = vec![ClearanceFact::Pattern("+7".parse().unwrap(), true); 2 * limits::DNC_BATCH + 1];
    let refused = world.apply(RegionCommand::Clearance {
        directory_index: 200,
        facts: many,
    });
    assert!(matches!(
        refused,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
}

#[test]
fn leads_without_consent_wait_for_it_where_it_is_asked_for() {
    let mut world = World::new(3);
    let session = world.open(NODE, 1);
    let consent = |n, campaign, until| {
        let grant = ConsentGrant {
            id: ConsentId(1),
            kind: ConsentKind::Form,
            until,
        };
        ClearanceFact::Consent(number(n), campaign, Some(grant))
    };
    let until = at(&world, minutes(10));
    tell(&mut world, consent(0, None, None));
    tell(&mut world, consent(1, Some(CAMPAIGN), Some(until)));
    tell(&mut world, consent(2, Some(CampaignId(2)), None));
    assert_eq!(
        world.ledger.stats(CAMPAIGN).no_consent,
        0,
        "nobody asks for it"
    );
    tell(&mut world, ClearanceFact::RequiresConsent(CAMPAIGN, true));
    let stats = world.ledger.stats(CAMPAIGN);
    assert_eq!((stats.no_consent, stats.due), (1, 2), "another campaign's");
    let lead = world.ledger.leads_of(number(2))[0];
    assert_eq!(
        world.ledger.lead(lead).unwrap().standing,
        LeadStanding::NoConsent
    );
    // One is over by itself, one is withdrawn, one is given.
    world.pass(minutes(10));
    assert_eq!(world.claim(session, 1, 1)[0].number, number(0));
    assert_eq!(world.ledger.stats(CAMPAIGN).no_consent, 2);
    tell(&mut world, consent(2, None, None));
    assert_eq!(world.claim(session, 9, 2)[0].number, number(2));
    let withdrawn = ClearanceFact::Consent(number(2), None, None);
    tell(&mut world, withdrawn);
    assert_eq!(
        world.ledger.stats(CAMPAIGN).no_consent,
        1,
        "leased ones are counted as such"
    );
    // A rule pack asks too, for as long as the campaign is dialed by it.
    tell(&mut world, ClearanceFact::RequiresConsent(CAMPAIGN, false));
    assert_eq!(world.ledger.stats(CAMPAIGN).no_consent, 0);
    let strict = Campaign {
        rule_pack: "china".into(),
        version: 2,
        ..campaign()
    };
    world.campaign(strict);
    assert_eq!(world.ledger.stats(CAMPAIGN).no_consent, 1);
    world.import(2, vec![new_lead(7, "America/New_York")]);
    assert_eq!(world.ledger.stats(CAMPAIGN).no_consent, 2);
    world.campaign(Campaign {
        version: 3,
        ..campaign()
    });
    assert_eq!(world.ledger.stats(CAMPAIGN).no_consent, 0);
}

#[test]
fn a_pattern_of_a_scope_keeps_the_leads_of_that_scope() {
    let mut world = World::new(3);
    let (prefix, region) = ("+1212".parse().unwrap(), REGION);
    let blocked = |world: &World| world.ledger.stats(CAMPAIGN).blocked_dnc;
    let scopes = [
        (DncScope::Campaign(CAMPAIGN), 3),
        (DncScope::Region(region), 3),
        (DncScope::Campaign(CampaignId(77)), 0),
        (DncScope::Region(RegionId(77)), 0),
    ];
    for (scope, expected) in scopes {
        tell(
            &mut world,
            ClearanceFact::ScopedPattern(prefix, scope, true),
        );
        assert_eq!(blocked(&world), expected, "{scope:?}");
        let copy = RegionLedger::restore(&world.ledger.snapshot()).unwrap();
        assert!(copy == world.ledger, "a restored copy differs");
        tell(
            &mut world,
            ClearanceFact::ScopedPattern(prefix, scope, false),
        );
        assert_eq!(blocked(&world), 0);
    }
}

#[test]
fn a_lifted_number_is_due_although_nodes_found_it_in_the_base() {
    let mut world = World::new(1);
    let base = DncBaseId([7; 32]);
    let directory_index = world.ledger.facts_index() + 1;
    world.apply(RegionCommand::DncBase {
        directory_index,
        base: Some(base),
    });
    let session = world.open(NODE, 1);
    let found = |world: &mut World, sequence| {
        let lead = world.claim(session, 1, sequence).remove(0);
        let outcome = CallOutcome::Listed {
            lead: lead.lead,
            attempt: lead.attempt,
            base,
        };
        world.report(session, &[outcome]);
    };
    found(&mut world, 1);
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 1);
    tell(&mut world, ClearanceFact::Lift(number(0), true));
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 0);
    // A node that has not heard of it says so once more: that changes nothing.
    found(&mut world, 2);
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 0);
    tell(&mut world, ClearanceFact::Lift(number(0), false));
    found(&mut world, 3);
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 1);
}
