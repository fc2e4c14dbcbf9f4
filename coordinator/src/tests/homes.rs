//! A changed home map, with two real groups: leads move, once each, whatever comes between.

use super::{Mesh, body, by, number, region_and_campaign};
use dialmesh_http::{
    admin::AdminBackend,
    dto::{
        HomeRule, HomeRules, HomeWhen, HomesPlanRequest, HomesState, ImportOptions, LeadFilter,
        Operation, OperationState, PageQuery, RegionRequest,
    },
    problem::BackendError,
};
use domain::{CampaignId, LeadId, RegionId};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// Numbers 1000 to 1999 are at home in `there`, all others in `here`.
fn rules(here: RegionId, there: RegionId) -> Vec<HomeRule> {
    vec![
        HomeRule {
            when: HomeWhen::Default,
            region: here,
        },
        HomeRule {
            when: HomeWhen::Prefix("14155551".into()),
            region: there,
        },
    ]
}

fn file(numbers: std::ops::Range<u32>) -> String {
    numbers.fold("number,name\n".to_owned(), |mut text, n| {
        writeln!(text, "{},Name {n}", number(n)).unwrap();
        text
    })
}

async fn import(api: &dyn AdminBackend, campaign: CampaignId, text: String) -> Operation {
    let options = ImportOptions::default();
    let by = by();
    let done = api.import_leads(&by, campaign, options, None, body(text));
    let done = done.await.unwrap();
    assert_eq!(done.state, OperationState::Succeeded, "{done:?}");
    done
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let named = expected.iter().map(|(name, n)| ((*name).to_owned(), *n));
    named.collect()
}

async fn plan(api: &dyn AdminBackend, rules: Vec<HomeRule>, dry_run: bool) -> Option<u64> {
    let request = HomesPlanRequest { rules, dry_run };
    let plan = api.plan_homes(&by(), request).await.unwrap();
    assert!(!plan.in_force);
    let [flow] = plan.moves[..] else {
        panic!("{plan:?}");
    };
    assert_eq!((flow.numbers, flow.leads, flow.live), (1_000, 1_000, 0));
    plan.id
}

async fn settled(api: &dyn AdminBackend) {
    for _ in 0..1_200 {
        if api.homes_move().await.unwrap().state == HomesState::Settled {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", api.homes_move().await);
}

/// Every lead by its number, and where it is.
async fn leads(api: &dyn AdminBackend) -> BTreeMap<String, (LeadId, RegionId)> {
    let mut found = BTreeMap::new();
    let mut filter = LeadFilter {
        limit: Some(1_000),
        ..LeadFilter::default()
    };
    loop {
        let page = api.leads(filter.clone()).await.unwrap();
        for lead in page.data {
            let before = found.insert(lead.name.clone(), (lead.id, lead.region));
            assert_eq!(before, None, "{} is there twice", lead.name);
        }
        filter.cursor = page.next_cursor;
        if filter.cursor.is_none() {
            return found;
        }
    }
}

fn lie_by(leads: &BTreeMap<String, (LeadId, RegionId)>, here: RegionId, there: RegionId) {
    for (name, (_, region)) in leads {
        let n: u32 = name.trim_start_matches("Name ").parse().unwrap();
        let home = if (1_000..2_000).contains(&n) {
            there
        } else {
            here
        };
        assert_eq!(*region, home, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_move_once_each_over_a_restart_and_beside_imports() {
    let mesh = Mesh::new().await;
    let (west, east, campaign, before) = mesh.run(async |api, coordinator| {
        let (west, campaign) = region_and_campaign(&*api).await;
        let name = "east".to_owned();
        let by = by();
        let east = api.create_region(&by, RegionRequest { name });
        let east = east.await.unwrap().id;
        import(&*api, campaign, file(0..3_000)).await;
        let before = leads(&*api).await;
        assert_eq!(before.len(), 3_000);
        let new = HomeRules {
            rules: rules(west, east),
        };
        let why = api.set_home_rules(&by, new.clone()).await.unwrap_err();
        assert!(why.to_string().contains("region homes plan"), "{why}");
        assert_eq!(plan(&*api, new.rules.clone(), true).await, None);
        let none = api.apply_homes(&by, 1).await.unwrap_err();
        assert!(matches!(none, BackendError::Conflict(_)), "{none}");
        assert_eq!(plan(&*api, new.rules.clone(), false).await, Some(1));
        let request = HomesPlanRequest {
            rules: new.rules.clone(),
            dry_run: false,
        };
        let second = api.plan_homes(&by, request).await.unwrap_err();
        assert!(second.to_string().contains("cancel"), "{second}");
        api.cancel_homes(&by, 1).await.unwrap();
        assert_eq!(plan(&*api, new.rules.clone(), false).await, Some(2));
        let planned = api.homes_move().await.unwrap();
        assert_eq!((planned.state, planned.id), (HomesState::Planned, Some(2)));
        let begun = api.apply_homes(&by, 2).await.unwrap();
        assert_eq!(begun.kind, "home_move");
        // And out it goes, somewhere in between.
        for _ in 0..200 {
            let now = api.homes_move().await.unwrap();
            if now.regions.iter().any(|region| region.numbers_out > 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ((west, east, campaign, before), coordinator)
    });
    mesh.run(async |api, coordinator| {
        settled(&*api).await;
        let after = leads(&*api).await;
        assert_eq!(after.len(), 3_000);
        lie_by(&after, west, east);
        let now = api.homes_move().await.unwrap();
        let out: u64 = now.regions.iter().map(|region| region.numbers_out).sum();
        let came: u64 = now.regions.iter().map(|region| region.numbers_in).sum();
        assert_eq!((out, came), (1_000, 1_000));
        // Who knows a lead by its id of before finds it.
        let moved = &before["Name 1234"];
        let there = api.lead(moved.0).await.unwrap();
        assert_eq!((there.region, there.name.as_str()), (east, "Name 1234"));
        let stats = api.campaign_stats(campaign).await.unwrap();
        assert_eq!((stats.leads["due"], stats.leads["moving"]), (3_000, 0));
        let again = import(&*api, campaign, file(0..3_000)).await;
        assert_eq!(again.counts, counts(&[("duplicate", 3_000)]));
        let operations = api.operations(PageQuery::default()).await.unwrap().data;
        assert!(
            operations
                .iter()
                .any(|operation| operation.kind == "home_move")
        );

        // Back again, and further leads beside it.
        let id = plan(&*api, rules(west, west), false).await.unwrap();
        let begun = api.apply_homes(&by(), id).await.unwrap();
        let both = import(&*api, campaign, file(900..2_100)).await;
        assert_eq!(both.counts, counts(&[("duplicate", 1_200)]));
        let new = import(&*api, campaign, file(3_000..4_000)).await;
        assert_eq!(new.counts, counts(&[("accepted", 1_000)]));
        settled(&*api).await;
        let after = leads(&*api).await;
        assert_eq!(after.len(), 4_000);
        lie_by(&after, west, west);
        for _ in 0..200 {
            let operation = api.operation(&begun.id).await.unwrap();
            if operation.state == OperationState::Succeeded {
                assert_eq!(operation.counts["leads"], 1_000);
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ((), coordinator)
    });
}
