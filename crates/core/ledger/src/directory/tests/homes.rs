//! A home map that changes once leads lie by it.

use super::*;

fn rules(region: u16) -> Vec<HomeRule> {
    vec![HomeRule {
        when: HomeMatch::Default,
        region: RegionId(region),
    }]
}

fn plan(region: u16, move_leads: bool) -> Change {
    Change::PlanHomes {
        rules: rules(region),
        move_leads,
    }
}

/// Two regions, all numbers at home in the first, and a list.
fn with_leads() -> World {
    let mut world = World::new();
    world.ok(Change::SetRegion {
        id: None,
        name: "east".into(),
    });
    let first = world.ok(plan(1, false));
    assert_eq!(
        first,
        DirectoryReply::Homes {
            id: 0,
            in_force: true
        }
    );
    let campaign = Box::new(campaign("autumn"));
    world.ok(Change::CreateCampaign { campaign });
    world.ok(Change::CreateList {
        campaign: CampaignId(1),
        name: "a list".into(),
    });
    world
}

#[test]
fn before_the_first_list_a_map_holds_at_once() {
    let mut world = World::new();
    for _ in 0..2 {
        world.ok(plan(1, true));
        assert_eq!(world.directory.home_rules(), rules(1));
        assert_eq!(world.directory.homes_move(), None);
    }
    let mut world = with_leads();
    let why = world.no(Change::PlanHomes {
        rules: rules(2),
        move_leads: false,
    });
    assert!(why.to_string().contains("region homes plan"), "{why}");
    // The one that holds is no change.
    world.ok(plan(1, false));
}

#[test]
fn a_map_holds_once_every_region_has_let_go() {
    let mut world = with_leads();
    let planned = world.ok(plan(2, true));
    assert_eq!(
        planned,
        DirectoryReply::Homes {
            id: 1,
            in_force: false
        }
    );
    assert_eq!(world.directory.home_map().rules, rules(1), "only planned");
    for refused in [plan(1, true), Change::SetHomeRules { rules: rules(2) }] {
        let why = world.no(refused);
        assert!(why.to_string().contains("cancel"), "{why}");
    }
    let left = |region| Change::LeftHomes {
        id: 1,
        region: RegionId(region),
    };
    assert_eq!(world.no(left(1)).field, "homes");
    world.ok(Change::CancelHomes { id: 1 });
    assert_eq!(world.no(Change::ApplyHomes { id: 1 }).field, "homes");

    let planned = world.ok(plan(2, true));
    assert_eq!(
        planned,
        DirectoryReply::Homes {
            id: 2,
            in_force: false
        }
    );
    world.no(Change::ApplyHomes { id: 1 });
    for _ in 0..2 {
        world.ok(Change::ApplyHomes { id: 2 });
    }
    assert!(
        world
            .no(Change::CancelHomes { id: 2 })
            .why
            .contains("moving")
    );
    let map = world.directory.home_map();
    assert_eq!((map.version, world.directory.home_version()), (2, 2));
    let home = map.home(number(1)).unwrap();
    assert_eq!(
        home,
        Home {
            region: RegionId(2),
            before: Some(RegionId(1))
        }
    );
    let left = |region| Change::LeftHomes {
        id: 2,
        region: RegionId(region),
    };
    assert_eq!(world.no(left(9)).field, "region");
    for region in [2, 2, 1] {
        assert_eq!(world.directory.home_rules(), rules(1));
        world.ok(left(region));
    }
    assert_eq!(world.directory.home_rules(), rules(2));
    assert_eq!(world.directory.homes_move(), None);
    let map = world.directory.home_map();
    assert_eq!((map.version, map.before), (2, None));
    // Retries that come after the end.
    world.ok(left(1));
    world.ok(Change::ApplyHomes { id: 2 });
    assert!(matches!(
        world.events.iter().rev().find_map(|event| match event {
            DirectoryEvent::Changed { facts, .. } => facts.first(),
            _ => None,
        }),
        Some(Fact::HomeRules(_))
    ));
}

#[test]
fn no_moves_are_what_earlier_versions_lack() {
    let bytes = postcard::to_stdvec(&super::super::homes::Homes::default()).unwrap();
    assert_eq!(bytes, super::super::homes::Homes::EMPTY);
}
