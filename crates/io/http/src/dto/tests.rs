use super::*;
use domain::{CampaignId, CampaignState, WallTime};

fn pointers(value: &impl Validate) -> Vec<String> {
    value.validate().into_iter().map(|e| e.pointer).collect()
}

#[test]
fn timestamps_read_what_they_write() {
    for millis in [0, 951_782_400_000, 1_795_300_496_789, -1] {
        let time = Timestamp(WallTime::from_millis(millis));
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    let short: Timestamp = "2026-11-21T22:34:56Z".parse().unwrap();
    assert_eq!(short.to_string(), "2026-11-21T22:34:56.000Z");
    for bad in [
        "",
        "2026-11-21",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T22:34:56+08:00",
        "2026-11-21T22:34:56.Z",
        "２026-11-21T22:34:56Z",
    ] {
        assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
    }
}

#[test]
fn a_campaign_survives_the_way_to_the_directory_and_back() {
    let mut settings = CampaignSettings::new("autumn", "us-federal");
    settings.dial_level = 1.35;
    settings.retry = vec![
        Retry {
            after: "no_answer".to_owned(),
            delay_seconds: 3_600,
            attempts_max: 3,
        },
        Retry {
            after: "callback".to_owned(),
            delay_seconds: 60,
            attempts_max: 9,
        },
    ];
    assert_eq!(settings.validate(), []);
    let campaign = settings
        .to_domain(CampaignId(7), CampaignState::Draft, 3)
        .unwrap();
    assert_eq!(campaign.dial_level.0, 135);
    assert_eq!(CampaignSettings::from(&campaign), settings);
    let shown = serde_json::to_value(Campaign::from(&campaign)).unwrap();
    assert_eq!(shown["id"], "camp_00000007");
    assert_eq!(shown["state"], "draft");
    assert_eq!(shown["retry"][1]["after"], "callback");
}

#[test]
fn levers_survive_the_way_and_have_bounds() {
    use domain::limits;
    let good = CampaignSettings {
        target_abandonment_percent: Some(2.3),
        inbound_agents: limits::INBOUND_AGENTS,
        ramp_up_seconds: limits::RAMP_MAX.as_secs(),
        ramp_down_seconds: 1,
        ..CampaignSettings::new("autumn", "us-federal")
    };
    assert_eq!(good.validate(), []);
    let levers = good.levers();
    assert_eq!(levers.target_permille, Some(23));
    assert_eq!(levers.ramp_up, limits::RAMP_MAX);
    let mut back = CampaignSettings::new("autumn", "us-federal");
    assert_eq!(back.levers(), domain::Levers::default());
    back.set_levers(levers);
    assert_eq!(back, good);
    type Spoil = fn(&mut CampaignSettings);
    let cases: [(&str, Spoil); 6] = [
        ("/target_abandonment_percent", |s| {
            s.target_abandonment_percent = Some(0.0);
        }),
        ("/target_abandonment_percent", |s| {
            s.target_abandonment_percent = Some(f64::NAN);
        }),
        ("/target_abandonment_percent", |s| {
            s.target_abandonment_percent = Some(100.1);
        }),
        ("/inbound_agents", |s| s.inbound_agents += 1),
        ("/ramp_up_seconds", |s| s.ramp_up_seconds += 1),
        ("/ramp_down_seconds", |s| s.ramp_down_seconds = 14_401),
    ];
    for (pointer, spoil) in cases {
        let mut settings = good.clone();
        spoil(&mut settings);
        assert_eq!(pointers(&settings), [pointer]);
    }
}

#[test]
fn campaigns_are_judged_field_by_field() {
    let good = CampaignSettings::new("autumn", "us-federal");
    for (at_bound, beyond) in [(15, 14), (120, 121)] {
        let mut settings = good.clone();
        settings.ring_limit_seconds = at_bound;
        assert_eq!(pointers(&settings), [""; 0]);
        settings.ring_limit_seconds = beyond;
        assert_eq!(pointers(&settings), ["/ring_limit_seconds"]);
    }
    let mut settings = good.clone();
    settings.name = "x".repeat(domain::limits::NAME_BYTES);
    assert_eq!(pointers(&settings), [""; 0]);
    settings.name.push('x');
    settings.dial_level = f64::NAN;
    settings.default_disposition = "gone".to_owned();
    assert_eq!(
        pointers(&settings),
        ["/name", "/dial_level", "/default_disposition"]
    );
    let mut settings = good;
    settings.dispositions[1].name = "busy".to_owned();
    assert_eq!(pointers(&settings), ["/dispositions/1/name"]);
    let one = settings.dispositions[0].clone();
    settings.dispositions = (0..=domain::limits::DISPOSITIONS)
        .map(|n| AgentDisposition {
            name: format!("d{n}"),
            ..one.clone()
        })
        .collect();
    settings.default_disposition = "d0".to_owned();
    assert_eq!(pointers(&settings), ["/dispositions"]);
    settings.dispositions.pop();
    assert_eq!(pointers(&settings), [""; 0]);
}

#[test]
fn scopes_read_as_people_write_them() {
    for (text, scope) in [
        (r#""mesh""#, Scope::Mesh),
        (
            r#"{"campaign":"camp_00000001"}"#,
            Scope::Campaign(CampaignId(1)),
        ),
    ] {
        assert_eq!(serde_json::from_str::<Scope>(text).unwrap(), scope);
        assert_eq!(serde_json::to_string(&scope).unwrap(), text);
    }
}

#[test]
fn caller_ids_have_a_bound() {
    let one = CallerIdRequest {
        number: "+14155550134".to_owned(),
        trunk: domain::TrunkId(1),
        per_day: 75,
        per_hour: 20,
    };
    let mut request = CallerIdsRequest {
        caller_ids: vec![one.clone(); crate::limits::CALLER_IDS],
    };
    assert_eq!(pointers(&request), [""; 0]);
    request.caller_ids.push(one);
    assert_eq!(pointers(&request), ["/caller_ids"]);
}

#[test]
fn home_rules_need_exactly_one_default() {
    let rule = |when| HomeRule {
        when,
        region: domain::RegionId(1),
    };
    let mut rules = HomeRules {
        rules: vec![rule(HomeWhen::Prefix("86755".to_owned()))],
    };
    assert_eq!(pointers(&rules), ["/rules"]);
    rules.rules.push(rule(HomeWhen::Default));
    assert_eq!(pointers(&rules), [""; 0]);
    rules.rules.push(rule(HomeWhen::Prefix("0755".to_owned())));
    rules.rules.push(rule(HomeWhen::Country("cn".to_owned())));
    assert_eq!(
        pointers(&rules),
        ["/rules/2/when/prefix", "/rules/3/when/country"]
    );
}

#[test]
fn secrets_of_trunks_are_write_only() {
    let request: TrunkRequest = serde_json::from_str(
        r#"{"name":"a","node":"mem_00000001","address":"127.0.0.1:5060","auth":{"username":"u","password":"hunter2"}}"#,
    )
    .unwrap();
    assert_eq!(request.validate(), []);
    assert!(!format!("{request:?}").contains("hunter2"));
    let (trunk, manner) = request.into_domain(domain::TrunkId(1)).unwrap();
    assert!(
        !serde_json::to_string(&Trunk::new(&trunk, &manner))
            .unwrap()
            .contains("hunter2")
    );
}

#[test]
fn a_profile_fills_in_what_is_not_given() {
    let read = |more: &str| -> TrunkRequest {
        let text =
            format!(r#"{{"name":"a","node":"mem_00000001","address":"127.0.0.1:5060"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    for profile in domain::PROFILES {
        let request = read(&format!(r#","profile":"{}""#, profile.name));
        assert_eq!(request.validate(), []);
        let (trunk, manner) = request.into_domain(domain::TrunkId(1)).unwrap();
        assert_eq!(trunk.codecs, profile.codecs);
        assert_eq!(manner, profile.manner().unwrap());
        let shown = Trunk::new(&trunk, &manner);
        assert_eq!(shown.manner.called, profile.called.unwrap_or_default());
    }
    let (trunk, manner) = read("").into_domain(domain::TrunkId(1)).unwrap();
    assert_eq!(
        (trunk.calls_per_second, manner),
        (5, domain::TrunkManner::default())
    );
    let given = read(
        r#","profile":"china-ims","calls_per_second":30,"manner":{"called":"","privacy":"id","redirects":"follow"}"#,
    );
    let (trunk, mut manner) = given.into_domain(domain::TrunkId(1)).unwrap();
    assert_eq!((trunk.calls_per_second, &manner.called), (30, &None));
    assert_eq!(manner.privacy, Some(domain::Privacy::Id));
    let patch: TrunkMannerPatch =
        serde_json::from_str(r#"{"privacy":"unset","session_expires_seconds":0}"#).unwrap();
    patch.apply(&mut manner);
    assert_eq!((manner.privacy, manner.session_expires), (None, None));
    assert_eq!(manner.redirects, domain::Redirects::Follow);
    for (text, signed) in [
        (r#"{"attestation":"b"}"#, Some(domain::Attestation::B)),
        ("{}", Some(domain::Attestation::B)),
        (r#"{"attestation":"none"}"#, None),
    ] {
        let patch: TrunkMannerPatch = serde_json::from_str(text).unwrap();
        patch.apply(&mut manner);
        assert_eq!(manner.security.attestation, signed, "{text}");
    }
    let wrong = read(
        r#","profile":"x","manner":{"weight":0,"called":"0","session_expires_seconds":86401}"#,
    );
    assert_eq!(
        pointers(&wrong),
        [
            "/profile",
            "/manner/weight",
            "/manner/called",
            "/manner/session_expires_seconds"
        ]
    );
}
