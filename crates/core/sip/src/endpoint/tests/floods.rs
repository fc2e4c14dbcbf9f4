//! Floods of REGISTERs at the phones' side: what they cost, and who is served meanwhile.

use super::*;
use crate::registrar::{RegistrarConfig, tests::answer};
use std::net::Ipv4Addr;

const USER: &str = "1001";

fn request(remote: &str, user: &str, cseq: u32, lines: &str) -> String {
    format!(
        "REGISTER sip:dialmesh SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch=z9hG4bK{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@dialmesh>;tag=t\r\nTo: <sip:{user}@dialmesh>\r\n\
         Call-ID: c@{remote}\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{user}@{remote}>\r\n\
         Expires: 300\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

fn status(sent: &[String]) -> &str {
    match sent {
        [only] => &only[8..11],
        other => panic!("one answer, not {other:?}"),
    }
}

/// A node with one phone account.
fn node() -> Rig {
    let mut rig = Rig::new(EndpointConfig {
        registrar: Some(RegistrarConfig::default()),
        ..EndpointConfig::default()
    });
    rig.endpoint.set_peers([]);
    rig.endpoint
        .set_user(USER, Secret::new("pw"))
        .expect("room");
    rig
}

/// Registers from there; the line that proves who it is.
fn registered(rig: &mut Rig, remote: &str) -> String {
    rig.hear_from(remote, &request(remote, USER, 1, ""));
    let sent = rig.take_sent();
    assert_eq!(status(&sent), "401", "{sent:?}");
    let line = answer(&sent[0], USER, "pw");
    rig.hear_from(remote, &request(remote, USER, 2, &line));
    assert_eq!(status(&rig.take_sent()), "200");
    line
}

#[test]
fn a_registered_phone_is_served_while_fifty_thousand_addresses_flood() {
    const PHONE: &str = "10.0.0.1:5060";
    let mut rig = node();
    let line = registered(&mut rig, PHONE);
    let (quiet, mut flood, mut sent) = (rig.endpoint.held(), 0u32, 0usize);
    for round in 0..100u32 {
        for _ in 0..2_000 {
            flood += 1;
            let ip = Ipv4Addr::from(0x0b00_0000 + flood % 50_000);
            let remote = format!("{ip}:5060");
            let (user, lines) = match flood % 3 {
                0 => (USER.to_owned(), String::new()),
                1 => (format!("u{flood}"), String::new()),
                _ => {
                    let made = "Authorization: Digest username=\"1001\", realm=\"dialmesh\", \
                                nonce=\"1.2\", uri=\"sip:dialmesh\", response=\"0\"\r\n";
                    (USER.to_owned(), made.to_owned())
                }
            };
            rig.hear_from(&remote, &request(&remote, &user, flood, &lines));
        }
        sent += rig.take_sent().len();
        // The phone, and a second one beside it.
        rig.hear_from(PHONE, &request(PHONE, USER, 3 + round, &line));
        assert_eq!(status(&rig.take_sent()), "200", "round {round}");
        let beside = format!("10.0.0.1:{}", 6_000 + round);
        rig.hear_from(&beside, &request(&beside, "u", round, ""));
        assert_eq!(status(&rig.take_sent()), "401", "round {round}");
        rig.now = rig.now.plus(Duration::from_millis(20));
    }
    // 4,000 at once and 2,000 a second, of which each address has its own part.
    println!("{sent} of {flood} answered");
    assert!((4_000..=8_100).contains(&sent), "{sent}");
    let counters = rig.endpoint.counters();
    assert_eq!(counters.throttled as usize, flood as usize - sent);
    assert_eq!(
        counters.forbidden, 0,
        "a made-up nonce is no try at a password"
    );
    assert_eq!(counters.challenged as usize, sent + 100 + 1);
    assert_eq!(rig.endpoint.held(), quiet, "nothing is kept of strangers");
    let events = rig.take_events();
    let registered =
        |event: &SipEvent| matches!(event, SipEvent::Registered { user, .. } if user == USER);
    assert!(events.iter().all(registered), "{events:?}");
}

#[test]
fn one_address_tries_so_many_passwords_and_no_more() {
    let mut rig = node();
    let remote = "11.0.0.1:5060";
    rig.hear_from(remote, &request(remote, USER, 1, ""));
    let challenge = rig.take_sent().remove(0);
    let mut answers = BTreeMap::<String, usize>::new();
    for second in 0..10 {
        for n in 0..1_000 {
            let line = answer(&challenge, USER, &format!("guess {second} {n}"));
            rig.hear_from(remote, &request(remote, USER, 2 + n, &line));
            for sent in rig.take_sent() {
                *answers.entry(sent[8..11].to_owned()).or_default() += 1;
            }
        }
        rig.now = rig.now.plus(Duration::from_secs(1));
    }
    // 60 at once, one of them for the challenge, and 20 a second.
    let tried = 59 + 9 * 20;
    assert_eq!(answers, BTreeMap::from([("403".to_owned(), tried)]));
    assert_eq!(rig.endpoint.counters().forbidden as usize, tried);
    assert_eq!(rig.endpoint.held(), [0; 4]);
    assert!(rig.take_events().is_empty());
}
