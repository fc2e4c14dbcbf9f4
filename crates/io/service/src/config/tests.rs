use super::*;
use serde::Deserialize;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

#[derive(Debug, PartialEq, Deserialize)]
struct Settings {
    node: Node,
    #[serde(default)]
    sip: Sip,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Node {
    name: String,
    #[serde(with = "duration")]
    session_ttl: Duration,
    #[serde(default, with = "optional_duration")]
    grace: Option<Duration>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Sip {
    listen: Vec<SocketAddr>,
    channels: u16,
    transport: Transport,
    register: bool,
}

impl Default for Sip {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            channels: 30,
            transport: Transport::Udp,
            register: false,
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Udp,
    Tcp,
}

const GOOD: &str = "[node]\nname = \"shenzhen\"\nsession_ttl = \"22s\"\n\n[sip]\nlisten = [\"127.0.0.1:5060\"]\nchannels = 60\n";

fn read(text: &str) -> Result<Settings, ConfigError> {
    Layers::new().with_text("node.toml", text).read()
}

fn problem(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn layers_override_in_order() {
    let layers = Layers::new()
        .with_text("node.toml", GOOD)
        .with_environment(
            [
                ("DIALMESH_SIP__CHANNELS", "7"),
                ("DIALMESH_SIP__LISTEN", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
                ("DIALMESH_NODE__NAME", "2026"),
                ("DIALMESH_NODE__GRACE", "1m30s"),
                ("DIALMESH_LABELS__CITY", "sz"),
                ("DIALMESH_CONFIG", "read elsewhere"),
                ("PATH", "/bin"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
            &["DIALMESH_CONFIG"],
        )
        .with_flag("--channels", "sip.channels", "9");
    let settings: Settings = layers.read().unwrap();
    assert_eq!(settings.sip.channels, 9, "flags win");
    assert_eq!(
        settings.sip.listen.len(),
        2,
        "the environment wins over the file"
    );
    assert_eq!(settings.node.name, "2026", "a text stays a text");
    assert_eq!(settings.node.session_ttl, Duration::from_secs(22));
    assert_eq!(settings.node.grace, Some(Duration::from_secs(90)));
    assert_eq!(settings.labels["city"], "sz");
}

#[test]
fn unknown_keys_are_refused_with_place_and_suggestion() {
    assert_eq!(
        problem(&GOOD.replace("channels", "chanels")),
        "node.toml:7:1: unknown key `sip.chanels`; did you mean `channels`? Known here: listen, channels, transport, register"
    );
    assert_eq!(
        problem(&format!("{GOOD}[recording]\ndir = \"x\"\n")),
        "node.toml:8:2: unknown key `recording`; known here: node, sip, labels"
    );
    let error = Layers::new()
        .with_text("node.toml", GOOD)
        .with_environment([("DIALMESH_SIP__CHANEL".to_owned(), "7".to_owned())], &[])
        .read::<Settings>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable DIALMESH_SIP__CHANEL: unknown key `sip.chanel`; did you mean `channels`? Known here: listen, channels, transport, register"
    );
}

#[test]
fn missing_keys_say_how_to_give_them() {
    assert_eq!(
        problem("\n[node]\nsession_ttl = \"22s\"\n"),
        "node.toml:2:1: `node.name` is missing; add `name = ...` under [node] or set DIALMESH_NODE__NAME"
    );
    assert_eq!(
        problem("[sip]\n"),
        "node.toml:1:1: `node` is missing; add `node = ...` at the top of the file or set DIALMESH_NODE"
    );
    let nothing = Layers::new().read::<Settings>().unwrap_err();
    assert!(
        nothing
            .to_string()
            .starts_with("configuration: `node` is missing")
    );
}

#[test]
fn ill_typed_values_say_what_was_expected() {
    for (from, to, expected) in [
        (
            "\"22s\"",
            "22",
            "node.toml:3:15: `node.session_ttl` is integer `22`; expected a duration such as \"22s\", \"500ms\" or \"1m30s\"",
        ),
        (
            "\"22s\"",
            "\"22 apples\"",
            "node.toml:3:15: `node.session_ttl` is \"22 apples\"; expected a duration such as \"22s\", \"500ms\", \"1m30s\", \"2h\" or \"7d\"",
        ),
        (
            "= 60",
            "= \"many\"",
            "node.toml:7:12: `sip.channels` is string \"many\"; expected u16",
        ),
        (
            "= 60",
            "= 70000",
            "node.toml:7:12: `sip.channels` is integer `70000`; expected u16",
        ),
        (
            "channels = 60",
            "transport = \"tpc\"",
            "node.toml:7:13: `sip.transport` is \"tpc\"; did you mean `tcp`? Known here: udp, tcp",
        ),
        (
            "127.0.0.1:5060",
            "nowhere",
            "node.toml:6:11: `sip.listen[0]` invalid socket address syntax",
        ),
    ] {
        assert_eq!(problem(&GOOD.replace(from, to)), expected);
    }
}

#[test]
fn syntax_errors_have_a_place() {
    let text = problem("[node]\nname = \"shenzhen\nttl = 3\n");
    assert!(text.starts_with("node.toml:2:"), "{text}");
    assert!(text.contains("not valid TOML"), "{text}");
    let error = read("[node]\nname = = 1\n").unwrap_err();
    assert!(matches!(error.place(), Some(Place::File { line: 2, .. })));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    let error = Layers::new().with_file(&path).unwrap_err().to_string();
    assert!(error.contains("node.toml: cannot be read"), "{error}");
    fs::write(&path, GOOD).unwrap();
    let settings: Settings = Layers::new().with_file(&path).unwrap().read().unwrap();
    assert_eq!(settings.sip.channels, 60);
}

#[test]
fn durations() {
    for (text, millis) in [
        ("0s", 0),
        ("22s", 22_000),
        ("500ms", 500),
        ("1m30s", 90_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
    }
    for text in [
        "",
        "22",
        "s",
        "-1s",
        "1.5s",
        "1s1m",
        "1s 2ms",
        "99999999999s",
        "1w",
    ] {
        assert!(parse_duration(text).is_err(), "{text:?}");
    }
    let mut written = String::new();
    let json = |d| {
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut out);
        duration::serialize(&d, &mut serializer).unwrap();
        String::from_utf8(out).unwrap()
    };
    for d in [
        Duration::from_secs(90),
        Duration::from_millis(1_500),
        Duration::from_secs(7_200),
    ] {
        written.push_str(&json(d));
    }
    assert_eq!(written, r#""90s""1500ms""2h""#);
}
