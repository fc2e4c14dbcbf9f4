//! Levers of campaigns' pacing, through the admin API.

use super::*;

fn with_levers() -> CampaignSettings {
    CampaignSettings {
        pacing: PacingMode::Predictive,
        dial_level: 3.0,
        target_abandonment_percent: Some(2.5),
        inbound_agents: 2,
        ramp_up_seconds: 600,
        ramp_down_seconds: 300,
        ..CampaignSettings::new("autumn", "us-federal")
    }
}

/// What is wrong, in words.
fn messages(error: &BackendError) -> String {
    match error {
        BackendError::Invalid(fields) => fields.iter().map(|f| f.message.as_str()).collect(),
        other => other.to_string(),
    }
}

fn pointers(error: &BackendError) -> Vec<&str> {
    match error {
        BackendError::Invalid(fields) => fields.iter().map(|f| f.pointer.as_str()).collect(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn levers_are_settings_of_a_campaign() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let made = api.create_campaign(&by, with_levers()).await.unwrap();
        assert_eq!(made.settings, with_levers());
        assert_eq!(api.campaign(made.id).await.unwrap(), made);
        // Another is made without, and given some later.
        let plain = CampaignSettings::new("winter", "us-federal");
        let other = api.create_campaign(&by, plain.clone()).await.unwrap();
        assert_eq!(other.settings, plain);
        let settings = CampaignSettings {
            inbound_agents: 1,
            ..plain
        };
        let set = (api
            .update_campaign(&by, other.id, 1, settings.clone())
            .await)
            .unwrap();
        assert_eq!((set.version, set.settings), (2, settings.clone()));
        // More than the law allows is refused before anything is changed.
        let beyond = CampaignSettings {
            target_abandonment_percent: Some(3.1),
            attempts_max: 9,
            ..settings.clone()
        };
        let refused = (api.update_campaign(&by, other.id, 2, beyond).await).unwrap_err();
        assert_eq!(pointers(&refused), ["/target_abandonment_percent"]);
        assert!(
            messages(&refused).contains("us-federal allows, 3 %"),
            "{refused}"
        );
        let kept = api.campaign(other.id).await.unwrap();
        assert_eq!((kept.version, kept.settings), (2, settings));
        let stats = api.campaign_stats(made.id).await.unwrap();
        assert_eq!(stats.budget.cities, [], "no node has joined");
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_out_is_a_setting_and_has_a_report() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let plain = CampaignSettings::new("autumn", "us-federal");
        let made = api.create_campaign(&by, plain.clone()).await.unwrap();
        let stats = api.campaign_stats(made.id).await.unwrap();
        assert_eq!(stats.local_presence, None);
        let settings = CampaignSettings {
            hold_out_percent: 5,
            ..plain
        };
        let set = (api.update_campaign(&by, made.id, 1, settings.clone()).await).unwrap();
        assert_eq!(set.settings, settings);
        let stats = api.campaign_stats(made.id).await.unwrap();
        let report = stats.local_presence.expect("a share is held out");
        assert_eq!((report.hold_out_percent, report.regions.len()), (5, 0));
        assert_eq!(report.all.local_is_answered, "too_few");
        ((), coordinator)
    });
    let mesh = Mesh::held_at(Some(MeshVersion(3))).await;
    mesh.run(async |api, coordinator| {
        let settings = CampaignSettings {
            hold_out_percent: 5,
            ..CampaignSettings::new("autumn", "us-federal")
        };
        let refused = (api.create_campaign(&by(), settings).await).unwrap_err();
        let said = messages(&refused);
        assert!(said.contains("hold_out_percent) needs 4"), "{said}");
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_machines_is_refused_with_the_rule_that_forbids_it() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let with = |pack: &str, machines| CampaignSettings {
            voice_drop: Some("autumn".into()),
            answering_machines: machines,
            ..CampaignSettings::new("autumn", pack)
        };
        use dialmesh_http::dto::AnsweringMachines::{HangUp, Off};
        for (settings, want) in [
            (with("us-federal", HangUp), "47 CFR 64.1200"),
            (with("china", HangUp), "article 1033"),
            (with("demo", Off), "answering_machines hang_up"),
        ] {
            let refused = (api.create_campaign(&by, settings).await).unwrap_err();
            assert_eq!(pointers(&refused), ["/voice_drop"]);
            assert!(messages(&refused).contains(want), "{refused}");
        }
        let page = api.campaigns(PageQuery::default()).await.unwrap();
        assert_eq!(page.data, [], "nothing was made");
        let settings = with("demo", HangUp);
        let made = api.create_campaign(&by, settings.clone()).await.unwrap();
        assert_eq!(made.settings, settings);
        // Under another pack's rules it would be forbidden.
        let strict = CampaignSettings {
            rule_pack: "us-federal".into(),
            ..settings.clone()
        };
        let refused = (api.update_campaign(&by, made.id, 1, strict).await).unwrap_err();
        assert_eq!(pointers(&refused), ["/voice_drop"]);
        let without = CampaignSettings {
            voice_drop: None,
            ..settings
        };
        let set = (api.update_campaign(&by, made.id, 1, without.clone()).await).unwrap();
        assert_eq!(set.settings, without);
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_cannot_read_levers_refuses_them_by_name() {
    let mesh = Mesh::held_at(Some(MeshVersion(2))).await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let refused = (api.create_campaign(&by, with_levers()).await).unwrap_err();
        let said = messages(&refused);
        let names = "levers (target_permille, inbound_agents, ramp_up, ramp_down) need 3";
        assert!(said.contains(names) && said.contains("upgrade"), "{said}");
        let page = api.campaigns(PageQuery::default()).await.unwrap();
        assert_eq!(page.data, [], "nothing was made");
        // Without them it is a campaign like any other.
        let plain = CampaignSettings::new("autumn", "us-federal");
        let made = api.create_campaign(&by, plain.clone()).await.unwrap();
        let renamed = CampaignSettings {
            name: "winter".into(),
            ..plain
        };
        (api.update_campaign(&by, made.id, 1, renamed).await).unwrap();
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_may_share_one_budget_until_they_are_started() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let (_, head) = region_and_campaign(&*api).await;
        let settings = CampaignSettings {
            drop_rate_group: Some(head),
            ..CampaignSettings::new("north", "us-federal")
        };
        let made = api.create_campaign(&by, settings.clone()).await.unwrap();
        assert_eq!(made.settings.drop_rate_group, Some(head));
        // Not with one that counts elsewhere, nor by other rules.
        let chained = CampaignSettings {
            name: "south".into(),
            drop_rate_group: Some(made.id),
            ..settings.clone()
        };
        let refused = api.create_campaign(&by, chained).await.unwrap_err();
        let said = messages(&refused);
        assert!(
            said.contains("is created as") && said.contains("counts with"),
            "{said}"
        );
        let moved = CampaignSettings {
            rule_pack: "china".into(),
            ..settings.clone()
        };
        let refused = (api.update_campaign(&by, made.id, 1, moved).await).unwrap_err();
        assert_eq!(pointers(&refused), ["/rule_pack"]);
        let started = (api
            .act_on_campaign(&by, made.id, CampaignAction::Start)
            .await)
            .unwrap();
        let alone = CampaignSettings {
            drop_rate_group: None,
            ..settings
        };
        let version = started.version;
        let refused = (api.update_campaign(&by, made.id, version, alone).await).unwrap_err();
        assert_eq!(pointers(&refused), ["/drop_rate_group"]);
        assert!(
            messages(&refused).contains("make another campaign"),
            "{refused}"
        );
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_leads_is_a_setting_and_what_was_learned_is_told() {
    let mesh = Mesh::new().await;
    mesh.run(async |api, coordinator| {
        let by = by();
        let settings = CampaignSettings {
            lead_order: LeadOrder::BestChance,
            ..CampaignSettings::new("autumn", "us-federal")
        };
        let made = api.create_campaign(&by, settings.clone()).await.unwrap();
        assert_eq!(made.settings, settings);
        // No node has joined: nothing was learned, and nobody is missing.
        let learned = api.campaign_learned(made.id).await.unwrap();
        assert_eq!(learned.lead_order, LeadOrder::BestChance);
        assert_eq!((learned.all.lines, learned.hours.len()), (0, 0));
        assert_eq!((learned.told.len(), learned.silent.len()), (0, 0));
        let oldest = CampaignSettings {
            lead_order: LeadOrder::Oldest,
            ..settings
        };
        let set = api.update_campaign(&by, made.id, 1, oldest.clone()).await;
        assert_eq!(set.unwrap().settings, oldest);
        let unknown = api.campaign_learned(CampaignId(99)).await.unwrap_err();
        assert!(
            matches!(unknown, BackendError::NotFound { .. }),
            "{unknown}"
        );
        ((), coordinator)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_cannot_read_an_order_of_leads_refuses_it_by_name() {
    let mesh = Mesh::held_at(Some(MeshVersion(3))).await;
    mesh.run(async |api, coordinator| {
        let settings = CampaignSettings {
            lead_order: LeadOrder::BestChance,
            ..CampaignSettings::new("autumn", "us-federal")
        };
        let refused = api.create_campaign(&by(), settings).await.unwrap_err();
        let said = messages(&refused);
        assert!(said.contains("an order of leads needs 4"), "{said}");
        let page = api.campaigns(PageQuery::default()).await.unwrap();
        assert_eq!(page.data, [], "nothing was made");
        ((), coordinator)
    });
}
