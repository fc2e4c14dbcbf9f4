use super::*;

const SMALL: &str = r#"
name = "small"
version = "1"
summary = "for tests"
windows = [{ days = ["mon"], from = "09:00", to = "18:00" }]
attempts = [{ max = 3, within = "24h" }]
ringing = { min = "15s" }
message = { within = "2s", must_say = ["seller_name"], voice_drop = false, voice_drop_source = "a rule" }
consent = { required = false }
records = { kept = "30d" }
abandonment = { budget_permille = 30, window = "30d", answer_limit = "2s", gap = "0s" }
"#;

#[test]
fn every_pack_in_the_binary_is_read() {
    let names: Vec<&str> = RulePack::all().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["us-federal", "china", "demo"]);
    for name in names {
        assert_eq!(RulePack::by_name(name).unwrap().name, name);
    }
    for missing in ["", "US-federal", "unrestricted-test", "demo "] {
        assert_eq!(RulePack::by_name(missing), None);
    }
}

#[test]
fn figures_of_the_law() {
    let us = RulePack::by_name("us-federal").unwrap();
    assert_eq!(us.to_string(), "us-federal 2026-11-21");
    assert_eq!(us.ring_min, Duration::from_secs(15));
    assert_eq!(us.abandonment.budget_permille, 30);
    let days = Duration::from_secs(30 * 86_400);
    assert_eq!(us.abandonment.window, AbandonmentWindow::Rolling(days));
    assert_eq!(us.abandonment.answer_limit, Duration::from_secs(2));
    assert_eq!(us.registry_age_max, Some(Duration::from_secs(31 * 86_400)));
    assert_eq!(us.registry_country.unwrap().as_str(), "US");
    assert_eq!(
        (us.history_len(), us.history_span()),
        (15, Duration::from_secs(30 * 86_400))
    );
    assert!(!us.message.voice_drop && us.message.must_say.contains(&MessagePart::OptOutKey));
    let china = RulePack::by_name("china").unwrap();
    assert!(china.consent.required && china.registry_age_max.is_none());
    let limits: Vec<(u32, u64)> = china
        .attempts
        .iter()
        .map(|limit| (limit.max, limit.within.as_secs()))
        .collect();
    assert_eq!(limits[..2], [(5, 86_400), (3, 300)]);
}

#[test]
fn only_the_demo_is_for_simulated_networks() {
    for pack in RulePack::all() {
        assert_eq!(pack.simulated_only, pack.name == "demo", "{pack}");
        assert_eq!(
            pack.version.contains("simulated networks only"),
            pack.simulated_only
        );
    }
}

#[test]
fn every_figure_of_the_packs_cites_a_source() {
    for text in [
        include_str!("../../packs/us-federal.toml"),
        include_str!("../../packs/china.toml"),
        include_str!("../../packs/demo.toml"),
    ] {
        // Each block that holds a figure has a comment in it.
        for block in text.split("\n\n") {
            let figures = block
                .lines()
                .filter(|line| !line.starts_with('#'))
                .any(|line| line.contains(|c: char| c.is_ascii_digit()));
            assert!(!figures || block.contains('#'), "{block}");
        }
    }
}

#[test]
fn what_is_not_a_pack_is_refused_with_its_place() {
    assert!(RulePack::parse(SMALL).is_ok());
    for (from, to, want) in [
        ("summary", "sumary", "sumary"),
        ("max = 3", "max = 3, per = 4", "per"),
        ("\"24h\"", "\"1 day\"", "\"1 day\" is not a span of time"),
        ("\"24h\"", "24", "invalid type"),
        (
            "max = 3",
            "max = 0",
            "attempts: max and within must be above zero",
        ),
        ("30,", "1001,", "abandonment.budget_permille"),
        (
            "window = \"30d\"",
            "window = \"32d\"",
            "abandonment.window: write 6h to 31d",
        ),
        (
            "window = \"30d\"",
            "window = \"5h\"",
            "abandonment.window: write 6h to 31d",
        ),
        (
            "window = \"30d\"",
            "window = \"month Mars/Olympus\"",
            "not a time zone",
        ),
        (
            "09:00",
            "19:00",
            "windows: a window from 19:00 to 18:00 never opens",
        ),
        ("[\"mon\"]", "[\"monday\"]", "monday"),
        ("\"small\"", "\"Small\"", "name: "),
        ("\"1\"", "\"\"", "version: "),
        ("version = \"1\"", "", "missing field `version`"),
        (
            "\"30d\" }\nab",
            "\"99999999999999999999d\" }\nab",
            "is not a span of time",
        ),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let error = RulePack::parse(&text).unwrap_err().to_string();
        assert!(error.contains(want), "{from} -> {to}: {error}");
    }
}

#[test]
fn limits_are_bounded() {
    let with = |count: usize| {
        let limits = vec!["{ max = 3, within = \"24h\" }"; count].join(", ");
        SMALL.replacen("{ max = 3, within = \"24h\" }", &limits, 1)
    };
    assert!(RulePack::parse(&with(ATTEMPT_LIMITS)).is_ok());
    assert!(RulePack::parse(&with(ATTEMPT_LIMITS + 1)).is_err());
}

#[test]
fn campaigns_keep_the_pack() {
    let mut campaign = Campaign {
        id: domain::CampaignId(1),
        name: "test".into(),
        state: domain::CampaignState::Draft,
        regions: Vec::new(),
        pacing: domain::PacingMode::Progressive,
        dial_level: domain::DialLevel::ONE,
        ring_limit: Duration::from_secs(15),
        talk_limit: Duration::from_secs(3600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(30),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: Vec::new(),
        attempts_max: 3,
        dispositions: Vec::new(),
        default_disposition: domain::DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    };
    let us = RulePack::by_name("us-federal").unwrap();
    assert_eq!(us.allows(&campaign), Ok(()));
    campaign.ring_limit -= Duration::from_millis(1);
    assert!(matches!(
        us.allows(&campaign),
        Err(Breach::RingLimit { .. })
    ));
    campaign.ring_limit = Duration::from_secs(22);
    campaign.answer_limit += Duration::from_millis(1);
    assert!(matches!(
        us.allows(&campaign),
        Err(Breach::AnswerLimit { .. })
    ));
}
