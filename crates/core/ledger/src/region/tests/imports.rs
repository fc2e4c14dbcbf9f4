use super::*;
use crate::directory::Directory;

fn rows(reply: RegionReply) -> Vec<RowOutcome> {
    match reply {
        RegionReply::Imported { rows, .. } => rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_applies_once_and_numbers_are_unique_in_a_campaign() {
    let mut world = World::new(0);
    let batch = vec![
        new_lead(1, "America/New_York"),
        new_lead(1, "America/New_York"),
    ];
    let first = world.import(2, batch.clone());
    let lead = LeadId::new(REGION, 1);
    let expected = [RowOutcome::Accepted(lead), RowOutcome::Duplicate(lead)];
    assert_eq!(rows(first), expected);
    // The importer crashed and sends it again.
    let RegionReply::Imported {
        rows: told,
        totals,
        again,
    } = world.import(2, batch.clone())
    else {
        panic!("not an import");
    };
    assert!(again);
    assert_eq!(told[0], RowOutcome::Accepted(lead));
    assert_eq!((totals.accepted, totals.duplicate), (1, 1));
    assert_eq!(world.ledger.len(), 1);
    // Another list of the campaign has the number too; another campaign may.
    let other_list = |campaign| RegionCommand::Import {
        list: ListId(campaign + 10),
        campaign: CampaignId(campaign),
        batch: 1,
        rows: batch[..1].to_vec(),
    };
    assert_eq!(
        rows(world.apply(other_list(1))),
        [RowOutcome::Duplicate(lead)]
    );
    let second = LeadId::new(REGION, 2);
    assert_eq!(
        rows(world.apply(other_list(2))),
        [RowOutcome::Accepted(second)]
    );
    assert_eq!(world.ledger.leads_of(number(1)), [second, lead]);
}

#[test]
fn gaps_foreign_campaigns_and_too_many_rows_are_refused() {
    let mut world = World::new(0);
    let gap = world.import(3, Vec::new());
    let refused = RegionRefusal::ImportGap {
        list: LIST,
        got: 3,
        expected: 2,
    };
    assert_eq!(gap, RegionReply::Refused(refused));
    let foreign = world.apply(RegionCommand::Import {
        list: LIST,
        campaign: CampaignId(2),
        batch: 2,
        rows: Vec::new(),
    });
    assert!(matches!(
        foreign,
        RegionReply::Refused(RegionRefusal::OtherCampaign { .. })
    ));
    let many = |n| vec![new_lead(1, "America/New_York"); n];
    assert_eq!(
        rows(world.import(2, many(limits::IMPORT_BATCH))).len(),
        limits::IMPORT_BATCH
    );
    let over = world.import(3, many(limits::IMPORT_BATCH + 1));
    assert!(matches!(
        over,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
}

#[test]
fn rows_are_refused_at_their_bounds_only() {
    let mut world = World::new(0);
    let row = |n: u64| new_lead(n, "America/New_York");
    let mut batch = Vec::new();
    for (n, over) in [(1, 0), (2, 1)] {
        let mut long = row(n);
        long.profile.name = "x".repeat(limits::NAME_BYTES + over);
        batch.push(long);
        let mut wide = row(n + 10);
        wide.profile.attributes = (0..limits::ATTRIBUTES + over)
            .map(|i| (i.to_string(), String::new()))
            .collect();
        batch.push(wide);
        let mut fat = row(n + 20);
        let value = "x".repeat(limits::ATTRIBUTE_BYTES + over);
        fat.profile.attributes.insert("note".into(), value);
        batch.push(fat);
        let mut far = row(n + 30);
        far.zones = (0..(limits::LEAD_ZONES + over) as u16)
            .map(ZoneId)
            .collect();
        batch.push(far);
    }
    let told = rows(world.import(2, batch));
    assert!(
        told[..4]
            .iter()
            .all(|row| matches!(row, RowOutcome::Accepted(_)))
    );
    let refusals = [
        RowRefusal::Name,
        RowRefusal::Attributes,
        RowRefusal::AttributeBytes,
        RowRefusal::Zones,
    ];
    assert_eq!(told[4..], refusals.map(RowOutcome::Refused));
    world.ledger.lead_limit = 5;
    let full = rows(world.import(3, vec![row(50), row(51)]));
    assert!(matches!(full[0], RowOutcome::Accepted(_)));
    assert_eq!(full[1], RowOutcome::Refused(RowRefusal::RegionFull));
}

#[test]
fn do_not_call_blocks_present_and_future_leads_and_removal_frees_them() {
    let mut world = World::new(3);
    let session = world.open(NODE, 1);
    let facts = |index, added, removed| {
        RegionCommand::Facts(Facts {
            directory_index: index,
            dnc_added: added,
            dnc_removed: removed,
            ..Facts::default()
        })
    };
    let added = vec![
        dnc(0, DncScope::Mesh, 10),
        dnc(1, DncScope::Campaign(CAMPAIGN), 10),
        dnc(2, DncScope::Region(RegionId(9)), 10),
        dnc(3, DncScope::Region(REGION), 10),
    ];
    world.apply(facts(10, added, Vec::new()));
    world.import(2, vec![new_lead(3, "America/New_York")]);
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 3);
    let leads = world.claim(session, 10, 1);
    assert_eq!(
        leads.iter().map(|l| l.number).collect::<Vec<_>>(),
        [number(2)]
    );
    let removal = |index| DncRemoval {
        number: number(0),
        scope: DncScope::Mesh,
        index,
    };
    // Renewed at 11: a removal that names 10 comes too late.
    world.apply(facts(11, vec![dnc(0, DncScope::Mesh, 11)], Vec::new()));
    world.apply(facts(12, Vec::new(), vec![removal(10)]));
    assert!(world.ledger.dnc_covers(number(0), CAMPAIGN));
    // Adding wins in one batch.
    world.apply(facts(
        13,
        vec![dnc(0, DncScope::Mesh, 13)],
        vec![removal(11)],
    ));
    assert!(world.ledger.dnc_covers(number(0), CAMPAIGN));
    world.apply(facts(14, Vec::new(), vec![removal(13)]));
    assert_eq!(world.claim(session, 10, 2)[0].number, number(0));
    let stale = world.apply(facts(13, Vec::new(), Vec::new()));
    assert!(matches!(
        stale,
        RegionReply::Refused(RegionRefusal::StaleFacts { .. })
    ));
    let over = vec![dnc(7, DncScope::Mesh, 15); limits::DNC_BATCH + 1];
    assert!(matches!(
        world.apply(facts(15, over, Vec::new())),
        RegionReply::Refused(_)
    ));
    let bound = vec![dnc(7, DncScope::Mesh, 15); limits::DNC_BATCH];
    assert!(matches!(
        world.apply(facts(15, bound, Vec::new())),
        RegionReply::FactsTaken { .. }
    ));
}

#[test]
fn a_leased_lead_that_is_blocked_does_not_come_back() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    world.apply(RegionCommand::Facts(Facts {
        directory_index: 10,
        dnc_added: vec![dnc(0, DncScope::Mesh, 10)],
        ..Facts::default()
    }));
    assert_eq!(world.standing(&lead), LeadStanding::Leased);
    assert_eq!(world.report(session, &[undialed(&lead)]).refunded, 1);
    assert_eq!(world.standing(&lead), LeadStanding::DoNotCall);
    assert!(world.claim(session, 1, 2).is_empty());
}

#[test]
fn catching_up_brings_exactly_the_difference() {
    let mut directory = Directory::default();
    let mut index = 0;
    let mut say = |directory: &mut Directory, change| {
        index += 1;
        let context = ApplyContext {
            index,
            wall: WallTime::from_millis(NOON),
        };
        directory.apply(context, DirectoryCommand::from(change), &mut Vec::new())
    };
    let create = Change::CreateCampaign {
        campaign: Box::new(campaign()),
    };
    say(&mut directory, create);
    let add = |n: std::ops::Range<u64>| Change::ChangeDnc {
        add: n.map(|n| dnc(n, DncScope::Mesh, 0).entry).collect(),
        remove: Vec::new(),
        reason: String::new(),
    };
    say(&mut directory, add(0..1000));
    say(&mut directory, add(1000..1500));
    let mut world = World::new(3);
    world.ledger.facts_index = 0;
    // Two entries that the directory has no more.
    world.apply(RegionCommand::Facts(Facts {
        directory_index: 1,
        dnc_added: vec![
            dnc(7000, DncScope::Mesh, 1),
            dnc(0, DncScope::Region(REGION), 1),
        ],
        ..Facts::default()
    }));
    let commands = catch_up(&directory, &world.ledger);
    for command in commands {
        let reply = world.apply(command);
        assert_eq!(reply, RegionReply::FactsTaken { directory_index: 3 });
    }
    assert!(catch_up(&directory, &world.ledger).is_empty());
    assert_eq!(world.ledger.dnc.len(), 1500);
    assert!(!world.ledger.dnc_covers(number(7000), CAMPAIGN));
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 3);
}

#[test]
fn what_a_node_found_in_the_base_rests_until_another_is_in_use() {
    let (first, second) = (DncBaseId([1; 32]), DncBaseId([2; 32]));
    let in_use = |directory_index, base| RegionCommand::DncBase {
        directory_index,
        base,
    };
    let listed = |lead: &LeasedLead, base| CallOutcome::Listed {
        lead: lead.lead,
        attempt: lead.attempt,
        base,
    };
    let mut world = World::new(2);
    world.apply(in_use(10, Some(first)));
    assert_eq!(world.ledger.dnc_base(), Some(first));
    let session = world.open(NODE, 1);
    let leads = world.claim(session, 2, 1);
    // The attempt is given back, and nobody is asked again.
    let outcomes = [listed(&leads[0], first), listed(&leads[1], second)];
    assert_eq!(world.report(session, &outcomes).refunded, 2);
    assert_eq!(world.standing(&leads[0]), LeadStanding::DoNotCall);
    assert_eq!(world.ledger.lead(leads[0].lead).unwrap().attempts, 0);
    assert_eq!(
        world.standing(&leads[1]),
        LeadStanding::Due,
        "another base's word"
    );
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 1);
    // An entry comes and goes: the base still covers it.
    world.apply(RegionCommand::Facts(Facts {
        directory_index: 11,
        dnc_added: vec![dnc(0, DncScope::Mesh, 11)],
        ..Facts::default()
    }));
    world.apply(RegionCommand::Facts(Facts {
        directory_index: 12,
        dnc_removed: vec![DncRemoval {
            number: number(0),
            scope: DncScope::Mesh,
            index: 11,
        }],
        ..Facts::default()
    }));
    assert_eq!(world.standing(&leads[0]), LeadStanding::DoNotCall);
    assert!(matches!(
        world.apply(in_use(9, Some(second))),
        RegionReply::Refused(RegionRefusal::StaleFacts { .. })
    ));
    world.apply(in_use(13, Some(first)));
    assert_eq!(world.standing(&leads[0]), LeadStanding::DoNotCall);
    world.apply(in_use(14, Some(second)));
    assert_eq!(world.standing(&leads[0]), LeadStanding::Due, "asked anew");
    assert_eq!(world.ledger.stats(CAMPAIGN).blocked_dnc, 0);
}
