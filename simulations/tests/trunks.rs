//! Two carriers of one city, each a process of its own behind real sockets, one of them killed in
//! mid-campaign; and SIPp as each of the carriers that there is a profile of.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod city;
#[path = "city/kamailio.rs"]
mod kamailio;
#[path = "city/located.rs"]
mod located;
#[path = "city/sngrep.rs"]
mod sngrep;

use city::{City, caller_id, free_port, sipp::Sipp, trunk};
use domain::{PROFILES, Trunk, TrunkId, TrunkProfile, status::TrunkTrouble};
use engine::DirectoryCopy;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

const AGENTS: u32 = 40;

/// A carrier in a process of its own.
struct Carrier {
    config: PathBuf,
    text: String,
    /// How often it was started: each run draws names of its own, as a real one does.
    runs: u64,
    child: Child,
}

impl Carrier {
    fn start(folder: &Path, name: &str, address: SocketAddr) -> Self {
        let config = folder.join(format!("{name}.toml"));
        // Everybody answers, and is short of words: few calls are up at any moment.
        let text = format!(
            "media = false\nmedia_timeout_ms = 0\n[habits]\nanswer_permille_by_hour = {:?}\n\
             post_dial_mean_ms = 5\nring_mean_ms = 20\ntalk_mean_ms = 40\nwaits_permille = 0\n\
             early_media_permille = 0\n[[trunks]]\nname = \"{name}\"\nlisten = \"{address}\"\n\
             channels = 1000\ncalls_per_second = 1000\n",
            [1000; 24]
        );
        let child = Self::spawn(&config, &text, 1);
        Self {
            config,
            text,
            runs: 1,
            child,
        }
    }

    fn spawn(config: &Path, text: &str, run: u64) -> Child {
        fs::write(config, format!("seed = {run}\n{text}")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_dialmesh-carrier"))
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        assert!(ready.is_some(), "the carrier did not start");
        child
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.runs += 1;
        self.child = Self::spawn(&self.config, &self.text, self.runs);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_carrier_killed_in_mid_campaign_costs_few_calls_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = [free_port(), free_port()];
    let mut carriers: Vec<Carrier> = ["a", "b"]
        .iter()
        .zip(addresses)
        .map(|(name, address)| Carrier::start(folder.path(), name, address))
        .collect();
    let copy = DirectoryCopy {
        trunks: vec![trunk(1, addresses[0]), trunk(2, addresses[1])],
        caller_ids: vec![caller_id("+12125550101", 1), caller_id("+12125550102", 2)],
        ..DirectoryCopy::default()
    };
    let numbers = |place| Some(format!("+1212{:07}", 2_000_000 + place).parse().unwrap());
    let mut city = City::start(copy, AGENTS, numbers);
    let seconds = |seconds: u64| Duration::from_secs(seconds);
    city.run(seconds(8));
    let before = city.dialed.len();
    assert!(before > 100, "{before} calls in 6 s");
    assert!(
        city.lost.is_empty() && city.told.is_empty(),
        "{:?} {:?}",
        city.lost,
        city.told
    );
    let killed = city.began.elapsed();
    carriers[0].kill();
    city.run(seconds(14));
    let healed = city.began.elapsed();
    carriers[0].start_again();
    city.run(seconds(44));

    // New calls went to the other within a second.
    let (dead, alive) = (TrunkId(1), TrunkId(2));
    let (left, _, why) = city.told.iter().find(|(_, id, _)| *id == dead).unwrap();
    let took = left.saturating_sub(killed);
    println!("left after {took:?}: {why:?}; told {:?}", city.told);
    // Its host says that nobody listens there any more.
    assert_eq!(*why, Some(TrunkTrouble::Unreachable));
    assert!(took < seconds(1), "left after {took:?}");
    let between = |id: TrunkId, from: Duration, to: Duration| {
        let all = city.by_trunk[&id].iter();
        all.filter(|at| (from..to).contains(*at)).count()
    };
    // While it was out only single calls tried it.
    let tries = between(dead, *left + Duration::from_millis(1), healed);
    assert!((1..=4).contains(&tries), "{tries} tries");
    assert!(between(alive, *left, healed) > 50, "the other one went on");
    // It is back, and both are used.
    let (back, _, trouble) = city.told.iter().rfind(|(_, id, _)| *id == dead).unwrap();
    assert_eq!(*trouble, None, "{:?}", city.told);
    assert!(
        *back < healed + seconds(10),
        "back {:?} after it healed",
        *back - healed
    );
    let shared = [dead, alive].map(|id| between(id, *back, city.began.elapsed()));
    assert!(shared.iter().all(|calls| *calls > 50), "{shared:?}");
    // All but a few of the calls went as they should.
    let all = city.dialed.len() as u64;
    // What was begun in the last moments is still on its way.
    let recent = city.began.elapsed() - seconds(1);
    let young = city.dialed.values().filter(|at| **at > recent).count() as u64;
    let interrupted = (all - young).saturating_sub(city.completed);
    println!(
        "{all} calls, {} completed, {interrupted} interrupted, {} failed over; lost {:?}",
        city.completed, city.failed_over, city.lost
    );
    assert!(all > 1_000, "{all} calls");
    assert!(city.failed_over > 0);
    assert!(
        interrupted * 1000 < 3 * all,
        "{interrupted} of {all} interrupted"
    );
}

/// One lead near the caller ID of each profile's trunk.
const LEADS: [(&str, &str, &str); 5] = [
    ("generic", "+12125550101", "+12125557788"),
    ("china-ims", "+861088880001", "+8613800138000"),
    ("twilio", "+13105550101", "+13105557788"),
    ("telnyx", "+13125550101", "+13125557788"),
    ("bandwidth", "+14155550101", "+14155557788"),
];

/// What the INVITE of each profile must say, and what it must not.
fn expected(profile: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let plain = vec!["\nPrivacy:", "user=phone", "100rel"];
    match profile {
        "china-ims" => (
            vec![
                "INVITE sip:13800138000@",
                ";user=phone SIP/2.0",
                "To: <sip:13800138000@",
                "From: <sip:+861088880001@",
                "P-Asserted-Identity: <sip:+861088880001@",
                "Supported: timer, 100rel",
                "Session-Expires: 1800",
                "RTP/AVP 8 101",
            ],
            vec!["\nPrivacy:"],
        ),
        "twilio" => (
            vec![
                "INVITE sip:+13105557788@",
                "P-Asserted-Identity: <sip:+13105550101@",
                "Session-Expires: 1800",
                "RTP/AVP 0 8 101",
            ],
            plain,
        ),
        "telnyx" => (
            // With a technical prefix, as the account has one.
            vec![
                "INVITE sip:123413125557788@",
                "From: <sip:+13125550101@",
                "RTP/AVP 0 8 101",
            ],
            plain,
        ),
        "bandwidth" => (
            vec![
                "INVITE sip:+14155557788@",
                "From: <sip:+14155550101@",
                "RTP/AVP 0 101",
            ],
            plain,
        ),
        _ => (
            vec![
                "INVITE sip:+12125557788@",
                "From: <sip:+12125550101@",
                "P-Asserted-Identity: <sip:+12125550101@",
                "RTP/AVP 0 8 101",
            ],
            [plain, vec!["Session-Expires"]].concat(),
        ),
    }
}

#[test]
fn each_profile_gets_its_call_through_as_its_carrier_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut copy = DirectoryCopy::default();
    let mut carriers = Vec::new();
    for (id, (name, shown, _)) in (1..).zip(LEADS) {
        let profile = TrunkProfile::by_name(name).unwrap();
        let address = free_port();
        let scenario = if profile.reliable {
            "carrier-ims"
        } else {
            "carrier-answers"
        };
        carriers.push(Sipp::start(scenario, name, address, folder.path()));
        copy.trunks.push(Trunk {
            number_format: profile.number_format,
            codecs: profile.codecs.to_vec(),
            calls_per_second: profile.calls_per_second,
            ..trunk(id, address)
        });
        let mut manner = profile.manner().unwrap();
        if name == "telnyx" {
            manner.called = Some("1234{e164}".parse().unwrap());
        }
        copy.manners.push((TrunkId(id), manner));
        copy.caller_ids.push(caller_id(shown, id));
    }
    assert!(
        PROFILES
            .iter()
            .map(|p| p.name)
            .eq(LEADS.map(|(name, ..)| name))
    );
    let numbers = |place: u64| {
        let lead = LEADS.get(usize::try_from(place).unwrap());
        lead.map(|(.., number)| number.parse().unwrap())
    };
    let mut city = City::start(copy, 5, numbers);
    for second in 3..30 {
        city.run(Duration::from_secs(second));
        if city.records.len() == LEADS.len() {
            break;
        }
    }
    println!("{:?} {:?}", city.lost, city.told);
    for ((name, shown, number), carrier) in LEADS.iter().zip(&mut carriers) {
        let messages = carrier.ended();
        let (there, absent) = expected(name);
        let invite = messages.find("INVITE sip:").unwrap();
        let end = messages[invite..]
            .find("\n-----")
            .map_or(messages.len(), |end| invite + end);
        let invite = &messages[invite..end];
        for words in there {
            assert!(invite.contains(words), "{name}: {words} in {invite}");
        }
        for words in absent {
            assert!(!invite.contains(words), "{name}: {words} in {invite}");
        }
        let number = number.parse().unwrap();
        let record = city.records.iter().find(|r| r.number == number).unwrap();
        assert!(record.bridged_at.is_some(), "{name}: {record:?}");
        assert_eq!(record.caller_id, Some(shown.parse().unwrap()));
    }
    assert_eq!(city.completed, 5);
}
