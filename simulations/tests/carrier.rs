//! The carrier against SIPp and against a caller written by hand: what it says, and what its log says.

// The whole file is test code; clippy's exemption sees only the test functions themselves.
#![allow(clippy::unwrap_used)]

use simulations::{
    carrier::{
        Behaviour, Carrier, CarrierConfig, CarrierHandle, Command, Outage, Rule, TrunkConfig,
        witness::{self, Entry, Event},
    },
    wire::{Message, digest},
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct World {
    carrier: CarrierHandle,
    log: PathBuf,
    folder: tempfile::TempDir,
}

async fn world(rules: Vec<Rule>, change: impl FnOnce(&mut CarrierConfig)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("carrier.jsonl");
    let mut config = CarrierConfig::new(7, vec![TrunkConfig::open("a", LOOPBACK)]);
    config.log = Some(log.clone());
    config.rules = rules;
    config.habits.post_dial_mean_ms = 20;
    config.habits.ring_mean_ms = 20;
    change(&mut config);
    World {
        carrier: Carrier::start(config).await.unwrap(),
        log,
        folder,
    }
}

fn rule(prefix: &str, behaviour: Behaviour) -> Rule {
    Rule {
        prefix: prefix.into(),
        behaviour,
        ..Rule::default()
    }
}

async fn sipp(world: &World, arguments: &[&str]) -> String {
    let addr = world.carrier.addresses()[0].1;
    let output = tokio::process::Command::new("sipp")
        .current_dir(world.folder.path())
        .args([
            "-nostdin",
            "-i",
            "127.0.0.1",
            "-m",
            "100",
            "-r",
            "100",
            "-timeout",
            "50s",
            "-timeout_error",
        ])
        .args(arguments)
        .arg(addr.to_string())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("SIPp is installed (Debian: sip-tester)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "sipp {arguments:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn count(log: &[Entry], test: impl Fn(&Event) -> bool) -> usize {
    log.iter().filter(|e| test(&e.event)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_completes_calls_over_udp_and_tcp() {
    for transport in ["u1", "t1"] {
        let world = world(vec![rule("8613", Behaviour::AnswerNow)], |_| {}).await;
        sipp(
            &world,
            &[
                "-sn",
                "uac",
                "-t",
                transport,
                "-s",
                "8613800138000",
                "-d",
                "100",
            ],
        )
        .await;
        let stats = world.carrier.stats();
        assert_eq!(
            (stats.opened, stats.answered, stats.acks, stats.byes_in),
            (100, 100, 100, 100)
        );
        world.carrier.stop().await;
        let log = witness::read(&world.log).unwrap();
        assert_eq!(
            count(&log, |e| matches!(
                e,
                Event::Invite {
                    retransmission: false,
                    ..
                }
            )),
            100
        );
        assert_eq!(
            count(
                &log,
                |e| matches!(e, Event::Closed { how, .. } if how == "caller")
            ),
            100
        );
        assert_eq!(count(&log, |e| matches!(e, Event::Odd { .. })), 0);
        let invites = log
            .iter()
            .filter(|e| matches!(e.event, Event::Invite { .. }));
        assert!(
            invites
                .clone()
                .all(|e| e.number == "8613800138000" && e.trunk == "a")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_answers_the_digest_challenge() {
    let world = world(vec![rule("", Behaviour::AnswerNow)], |config| {
        config.trunks[0].username = Some("user".into());
        config.trunks[0].password = "pass".into();
        config.trunks[0].algorithms = vec![digest::Algorithm::Md5];
    })
    .await;
    let scenario = world.folder.path().join("auth.xml");
    std::fs::write(&scenario, AUTH_SCENARIO).unwrap();
    let file = scenario.to_str().unwrap();
    sipp(
        &world,
        &[
            "-sf",
            file,
            "-s",
            "14155550134",
            "-au",
            "user",
            "-ap",
            "pass",
        ],
    )
    .await;
    let stats = world.carrier.stats();
    assert_eq!(
        (stats.challenged, stats.opened, stats.answered),
        (100, 100, 100)
    );
    assert_eq!(stats.violations, 0);
    world.carrier.stop().await;
}

const AUTH_SCENARIO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<scenario name="challenged">
<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:861012345678@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:x@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
<recv response="407" auth="true"></recv>
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: 1 ACK
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:861012345678@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 2 INVITE
Contact: <sip:x@[local_ip]:[local_port]>
[authentication username=user password=pass]
Content-Length: 0

]]></send>
<recv response="100" optional="true"></recv>
<recv response="200"></recv>
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: 2 ACK
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_From:]
[last_To:]
Call-ID: [call_id]
CSeq: 3 BYE
Content-Length: 0

]]></send>
<recv response="200"></recv>
</scenario>
"#;

/// A caller by hand.
struct Caller {
    socket: UdpSocket,
    carrier: SocketAddr,
}

impl Caller {
    async fn new(world: &World) -> Self {
        Self {
            socket: UdpSocket::bind(LOOPBACK).await.unwrap(),
            carrier: world.carrier.addresses()[0].1,
        }
    }

    fn request(&self, method: &str, number: &str, call: &str, cseq: u32, to_tag: &str) -> Message {
        let addr = self.socket.local_addr().unwrap();
        let tag = if to_tag.is_empty() {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        Message::request(method, &format!("sip:+{number}@{}", self.carrier))
            // CANCEL and the ACK of a refusal share the branch of their INVITE.
            .with(
                "Via",
                format!("SIP/2.0/UDP {addr};branch=z9hG4bK{call}-{cseq};rport"),
            )
            .with("From", "<sip:+861012345678@city>;tag=f")
            .with("To", format!("<sip:+{number}@carrier>{tag}"))
            .with("Call-ID", call)
            .with("CSeq", format!("{cseq} {method}"))
            .with("Contact", format!("<sip:me@{addr}>"))
            .with("X-Dialmesh-Attempt", format!("att_{call}"))
    }

    async fn send(&self, message: &Message) {
        self.socket
            .send_to(&message.to_bytes(), self.carrier)
            .await
            .unwrap();
    }

    async fn next(&self) -> Message {
        let mut datagram = [0; 65_536];
        let got = tokio::time::timeout(Duration::from_secs(20), self.socket.recv(&mut datagram));
        let len = got.await.expect("an answer within 20 s").unwrap();
        Message::parse(&datagram[..len]).unwrap()
    }

    /// The next message that is not of a status in 100..200.
    async fn next_final(&self) -> Message {
        loop {
            let message = self.next().await;
            if message.status().is_none_or(|s| s >= 200) {
                return message;
            }
        }
    }

    /// Dials; the final answer, acknowledged.
    async fn dial(&self, number: &str, call: &str) -> (u16, Message) {
        self.send(&self.request("INVITE", number, call, 1, ""))
            .await;
        let answer = self.next_final().await;
        self.send(&self.request("ACK", number, call, 1, answer.to_tag()))
            .await;
        (answer.status().unwrap(), answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_behave_as_told() {
    let rules = [
        ("861", Behaviour::Busy, 486, Some("Q.850;cause=17")),
        ("862", Behaviour::Unallocated, 404, Some("Q.850;cause=1")),
        ("863", Behaviour::PoweredOff, 480, Some("Q.850;cause=20")),
        ("864", Behaviour::Unavailable, 480, None),
        ("865", Behaviour::Rejected, 603, Some("Q.850;cause=21")),
        ("866", Behaviour::Failure, 503, Some("Q.850;cause=34")),
        ("867", Behaviour::Status(608), 608, None),
        ("868", Behaviour::AnswerNow, 200, None),
    ];
    let world = world(rules.iter().map(|(p, b, ..)| rule(p, *b)).collect(), |_| {}).await;
    let caller = Caller::new(&world).await;
    for (prefix, _, status, reason) in rules {
        let (got, answer) = caller.dial(&format!("{prefix}0000000"), prefix).await;
        assert_eq!((got, answer.header("Reason")), (status, reason), "{prefix}");
    }
    world.carrier.stop().await;
    let log = witness::read(&world.log).unwrap();
    assert_eq!(
        count(&log, |e| matches!(e, Event::Final { .. })),
        rules.len()
    );
    assert_eq!(
        count(&log, |e| matches!(e, Event::Closed { .. })),
        rules.len()
    );
    let first = log
        .iter()
        .find(|e| matches!(e.event, Event::Invite { .. }))
        .unwrap();
    assert_eq!(
        (first.attempt.as_str(), first.caller_id.as_str()),
        ("att_861", "861012345678")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_its_races() {
    let rules = vec![
        rule("861", Behaviour::NoAnswer),
        rule("862", Behaviour::AnswersAtCancel),
    ];
    let world = world(rules, |_| {}).await;
    let caller = Caller::new(&world).await;
    for (number, call, expected) in [("8610000000", "plain", 487), ("8620000000", "cross", 200)] {
        let invite = caller.request("INVITE", number, call, 1, "");
        caller.send(&invite).await;
        assert_eq!(caller.next().await.status(), Some(100));
        assert!(matches!(caller.next().await.status(), Some(180 | 183)));
        // A retransmission gets what was said last.
        caller.send(&invite).await;
        assert!(matches!(caller.next().await.status(), Some(180 | 183)));
        caller
            .send(&caller.request("CANCEL", number, call, 1, ""))
            .await;
        let (one, two) = (caller.next_final().await, caller.next_final().await);
        let (cancel, invite) = if one.cseq().1 == "CANCEL" {
            (one, two)
        } else {
            (two, one)
        };
        assert_eq!(
            (cancel.status(), invite.status()),
            (Some(200), Some(expected)),
            "{call}"
        );
        caller
            .send(&caller.request("ACK", number, call, 1, invite.to_tag()))
            .await;
        if expected == 200 {
            caller
                .send(&caller.request("BYE", number, call, 2, invite.to_tag()))
                .await;
            assert_eq!(caller.next_final().await.status(), Some(200));
        }
    }
    caller
        .send(&caller.request("CANCEL", "8610000000", "never", 1, ""))
        .await;
    assert_eq!(caller.next_final().await.status(), Some(481));
    world.carrier.stop().await;
    let log = witness::read(&world.log).unwrap();
    assert_eq!(
        count(&log, |e| matches!(
            e,
            Event::Cancel {
                late: false,
                unknown: false
            }
        )),
        1
    );
    assert_eq!(
        count(&log, |e| matches!(
            e,
            Event::Cancel {
                late: true,
                unknown: false
            }
        )),
        1
    );
    assert_eq!(
        count(&log, |e| matches!(
            e,
            Event::Invite {
                retransmission: true,
                ..
            }
        )),
        2
    );
    assert_eq!(
        count(
            &log,
            |e| matches!(e, Event::Closed { how, .. } if how == "cancelled")
        ),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_repeated_until_ack_and_the_person_hangs_up() {
    let world = world(vec![rule("", Behaviour::Human)], |config| {
        config.habits.talk_mean_ms = 100;
        config.habits.waits_permille = 0;
    })
    .await;
    let caller = Caller::new(&world).await;
    caller
        .send(&caller.request("INVITE", "8610000000", "c", 1, ""))
        .await;
    let start = Instant::now();
    let first = caller.next_final().await;
    let second = caller.next_final().await;
    assert_eq!((first.status(), &first), (Some(200), &second));
    assert!(start.elapsed() >= Duration::from_millis(450));
    caller
        .send(&caller.request("ACK", "8610000000", "c", 1, first.to_tag()))
        .await;
    let bye = caller.next_final().await;
    assert_eq!(bye.method(), Some("BYE"));
    assert_eq!((bye.from_tag(), bye.to_tag()), (first.to_tag(), "f"));
    let again = caller.next_final().await;
    assert_eq!(again, bye, "an unanswered BYE is repeated");
    caller
        .send(&Message::response(&bye, 200, "", caller.carrier))
        .await;
    world.carrier.stop().await;
    let log = witness::read(&world.log).unwrap();
    assert_eq!(
        count(
            &log,
            |e| matches!(e, Event::Bye { by, .. } if by == "callee")
        ),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_caller_fell_silent_is_ended_by_the_network() {
    let world = world(vec![rule("", Behaviour::AnswerNow)], |config| {
        config.media_timeout_ms = 300;
    })
    .await;
    let caller = Caller::new(&world).await;
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
    );
    let invite = caller.request("INVITE", "8610000000", "quiet", 1, "");
    caller.send(&invite.with_sdp(&sdp)).await;
    let answer = caller.next_final().await;
    assert_eq!(answer.status(), Some(200));
    caller
        .send(&caller.request("ACK", "8610000000", "quiet", 1, answer.to_tag()))
        .await;
    let bye = caller.next_final().await;
    assert_eq!(bye.method(), Some("BYE"));
    caller
        .send(&Message::response(&bye, 200, "", caller.carrier))
        .await;
    world.carrier.stop().await;
    let log = witness::read(&world.log).unwrap();
    let by_network = |e: &Event| matches!(e, Event::Bye { by, .. } if by == "network");
    assert_eq!(count(&log, by_network), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_outages_and_strangers() {
    let world = world(vec![rule("", Behaviour::AnswerNow)], |config| {
        let trunk = &mut config.trunks[0];
        trunk.channels = 2;
        trunk.caller_ids = vec!["+861012345678".into()];
    })
    .await;
    let caller = Caller::new(&world).await;
    assert_eq!(caller.dial("8610000000", "one").await.0, 200);
    let (status, second) = caller.dial("8610000001", "two").await;
    assert_eq!(status, 200);
    assert_eq!(caller.dial("8610000002", "three").await.0, 503);
    caller
        .send(&caller.request("BYE", "8610000001", "two", 2, second.to_tag()))
        .await;
    assert_eq!(caller.next_final().await.status(), Some(200));

    let mut foreign = caller.request("INVITE", "8610000003", "four", 1, "");
    foreign.headers.retain(|(n, _)| n != "From");
    foreign.add("From", "<sip:+19995550000@city>;tag=f");
    caller.send(&foreign).await;
    assert_eq!(caller.next_final().await.status(), Some(403));

    let outage = |mode| Command::Outage { trunk: None, mode };
    world.carrier.command(outage(Outage::Storm)).await.unwrap();
    assert_eq!(caller.dial("8610000004", "five").await.0, 503);
    world
        .carrier
        .command(outage(Outage::Silence))
        .await
        .unwrap();
    let ignored = caller.request("INVITE", "8610000005", "six", 1, "");
    caller.send(&ignored).await;
    caller.send(&ignored).await;
    while world.carrier.stats().invites < 7 {
        tokio::task::yield_now().await;
    }
    world.carrier.command(outage(Outage::None)).await.unwrap();
    assert_eq!(caller.dial("8610000006", "seven").await.0, 200);
    world.carrier.stop().await;

    let log = witness::read(&world.log).unwrap();
    let violations: Vec<_> = log
        .iter()
        .filter_map(|e| match &e.event {
            Event::Violation { what, .. } => Some(what.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(violations, ["channels", "caller_id"]);
    let ignored = |again| move |e: &Event| matches!(e, Event::Invite { ignored: true, retransmission, .. } if *retransmission == again);
    assert_eq!(
        (count(&log, ignored(false)), count(&log, ignored(true))),
        (1, 1)
    );
    assert_eq!(
        count(
            &log,
            |e| matches!(e, Event::Closed { how, .. } if how == "carrier_stopped")
        ),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_with_the_better_hash_and_a_wrong_password() {
    let world = world(vec![rule("", Behaviour::AnswerNow)], |config| {
        config.trunks[0].username = Some("u".into());
        config.trunks[0].password = "p".into();
    })
    .await;
    let caller = Caller::new(&world).await;
    for (password, call, expected) in [("p", "right", 200), ("q", "wrong", 403)] {
        let (status, challenge) = caller.dial("8610000000", call).await;
        assert_eq!(status, 407);
        let offered: Vec<_> = challenge
            .all("Proxy-Authenticate")
            .filter_map(digest::params)
            .collect();
        assert_eq!(
            offered
                .iter()
                .map(|c| c["algorithm"].as_str())
                .collect::<Vec<_>>(),
            ["SHA-256", "MD5"]
        );
        let mut invite = caller.request("INVITE", "8610000000", call, 2, "");
        let uri = invite.uri().to_owned();
        let answer = digest::Answer {
            username: "u",
            password,
            method: "INVITE",
            uri: &uri,
            cnonce: "c",
            count: 1,
        };
        invite.add("Proxy-Authorization", answer.to(&offered[0]).unwrap());
        caller.send(&invite).await;
        assert_eq!(caller.next_final().await.status(), Some(expected));
    }
    world.carrier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_forces_a_number() {
    let world = world(Vec::new(), |config| config.control = Some(LOOPBACK)).await;
    let control = world.carrier.control().unwrap();
    let ask = |text: &str| serde_json::from_str(text).unwrap();
    let force: serde_json::Value =
        ask(r#"{"cmd":"force","rule":{"suffix":"77","behaviour":"busy"}}"#);
    simulations::control::ask(control, &force).await.unwrap();
    let caller = Caller::new(&world).await;
    assert_eq!(caller.dial("8610000077", "x").await.0, 486);
    let answer = simulations::control::ask(control, &ask(r#"{"cmd":"stats"}"#))
        .await
        .unwrap();
    assert_eq!(answer["stats"]["finals"]["486"], 1);
    let error = simulations::control::ask(control, &ask(r#"{"cmd":"force"}"#))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("rule"), "{error}");
    world.carrier.stop().await;
}
