use super::*;
use crate::{
    agent::{AgentEntry, AgentEvent},
    audio::{rtp::AudioReport, tone_hertz},
};

const NUMBER: &str = "8613800138000";

/// A log written by hand: (milliseconds, call, attempt, number, event).
#[derive(Default)]
struct Log(Vec<Entry>);

impl Log {
    fn line(mut self, ms: i64, call: &str, number: &str, event: Event) -> Self {
        self.0.push(Entry {
            wall_ms: ms,
            mono_ns: ms as u64 * 1_000_000,
            trunk: "a".into(),
            call_id: call.into(),
            number: number.into(),
            caller_id: "861012345678".into(),
            source: None,
            attempt: format!("att_{call}"),
            event,
        });
        self
    }

    fn dial(self, from: i64, to: i64, call: &str, number: &str, status: u16) -> Self {
        let invite = Event::Invite {
            retransmission: false,
            challenged: false,
            ignored: false,
            cseq: 1,
            count: 1,
        };
        let audio = Some(AudioReport {
            heard: vec![tone_hertz("anna")],
            ..AudioReport::default()
        });
        let closed = Event::Closed {
            how: "caller".into(),
            status,
            talk_ms: (to - from) as u64,
            audio,
            tone: 0,
        };
        self.line(from, call, number, invite)
            .line(
                from + 1,
                call,
                number,
                Event::Final {
                    status,
                    behaviour: "human".into(),
                },
            )
            .line(to, call, number, closed)
    }
}

fn broken(verdict: &Verdict) -> Vec<&str> {
    verdict
        .checks
        .iter()
        .filter(|c| c.failures > 0)
        .map(|c| c.rule.as_str())
        .collect()
}

#[test]
fn a_good_run_passes() {
    let log = Log::default()
        .dial(10, 50, "1", NUMBER, 486)
        .dial(2_000, 3_000, "2", NUMBER, 200)
        .0;
    let orders = Orders {
        gap: Duration::from_secs(1),
        attempts_max: 2,
        leads: BTreeSet::from([format!("+{NUMBER}")]),
        caller_ids: BTreeMap::from([("a".into(), BTreeSet::from(["+861012345678".into()]))]),
        do_not_dial: vec![DoNotDial {
            number: format!("+{NUMBER}"),
            effective_ms: Some(2_500),
        }],
        ..Orders::default()
    };
    let verdict = judge(&log, &orders);
    assert!(verdict.passed(), "{verdict}");
    assert_eq!(verdict.figures["dials"], 2);
    let back: Verdict = serde_json::from_str(&serde_json::to_string(&verdict).unwrap()).unwrap();
    assert_eq!(back, verdict);
}

#[test]
fn each_broken_rule_is_found() {
    let log = Log::default()
        .dial(10, 500, "1", NUMBER, 200)
        .dial(400, 450, "2", NUMBER, 486)
        .line(
            460,
            "9",
            NUMBER,
            Event::Violation {
                what: "channels".into(),
                detail: String::new(),
            },
        )
        .0;
    let orders = Orders {
        gap: Duration::from_secs(1),
        attempts_max: 1,
        leads: BTreeSet::from(["+8613900139000".to_owned()]),
        caller_ids: BTreeMap::from([("a".into(), BTreeSet::new())]),
        do_not_dial: vec![DoNotDial {
            number: NUMBER.into(),
            effective_ms: None,
        }],
        ..Orders::default()
    };
    let verdict = judge(&log, &orders);
    assert_eq!(broken(&verdict).len(), 7, "{verdict}");
    assert!(verdict.to_string().ends_with("FAILED"));
    assert!(!verdict.to_string().contains(NUMBER), "numbers are masked");

    let after_answer = Orders {
        gap_after: BTreeMap::from([(Class::Answered, None)]),
        ..Orders::default()
    };
    let log = Log::default()
        .dial(10, 20, "1", NUMBER, 200)
        .dial(900_000, 900_001, "2", NUMBER, 486)
        .0;
    assert_eq!(
        broken(&judge(&log, &after_answer)),
        ["the next attempt keeps the retry rule's distance"]
    );
}

#[test]
fn examples_are_bounded() {
    let mut log = Log::default();
    for i in 0..30 {
        log = log.dial(i, 1_000, &i.to_string(), NUMBER, 200);
    }
    let verdict = judge(&log.0, &Orders::default());
    let check = verdict
        .check("no number has two attempts in the air")
        .unwrap();
    assert_eq!((check.failures, check.examples.len()), (29, EXAMPLES));
}

fn record(call: &str, disposition: &str) -> String {
    let disposition = match disposition {
        "sale" => r#"{"agent":0},"disposition_name":"sale""#.to_owned(),
        system => format!(r#""{system}","disposition_name":"{system}""#),
    };
    format!(
        r#"{{"attempt":"att_{call}","sip_call_id":"{call}","number":"+8613*******00","disposition":{disposition},"bridged_at":5}}"#
    )
}

fn claims(records: &[(&str, &str)]) -> Claims {
    let lines: Vec<_> = records.iter().map(|(c, d)| record(c, d)).collect();
    Claims::from_ndjson(&lines.join("\n")).unwrap()
}

#[test]
fn records_and_calls_are_matched() {
    let log = Log::default()
        .dial(1, 9, "1", NUMBER, 200)
        .dial(20, 29, "2", NUMBER, 404)
        .0;
    let good = claims(&[("1", "sale"), ("2", "unallocated")]);
    let verdict = reconcile(&log, &good, false);
    assert!(verdict.passed(), "{verdict}");
    for (records, rules) in [
        (
            vec![("1", "sale")],
            vec!["every call at the carrier has exactly one record"],
        ),
        (
            vec![("1", "sale"), ("2", "busy")],
            vec!["the record's disposition is true of the call"],
        ),
        (
            vec![("1", "unknown"), ("2", "unallocated")],
            vec!["the record's disposition is true of the call"],
        ),
        (
            vec![("1", "sale"), ("2", "unallocated"), ("3", "busy")],
            vec!["every record that names a call is known to the carrier"],
        ),
        (
            vec![("1", "sale"), ("1", "sale"), ("2", "unallocated")],
            vec![
                "every attempt has exactly one record",
                "every call at the carrier has exactly one record",
            ],
        ),
    ] {
        assert_eq!(
            broken(&reconcile(&log, &claims(&records), false)),
            rules,
            "{records:?}"
        );
    }
    let crashed = claims(&[("1", "unknown"), ("2", "unallocated")]);
    assert!(reconcile(&log, &crashed, true).passed());
    assert!(Claims::from_ndjson("{}").is_err());
}

#[test]
fn a_failed_over_call_needs_no_record_of_its_own() {
    let mut log = Log::default()
        .dial(1, 9, "1", NUMBER, 503)
        .dial(20, 29, "2", NUMBER, 200);
    for entry in &mut log.0 {
        entry.attempt = "att_2".into();
    }
    let verdict = reconcile(&log.0, &claims(&[("2", "sale")]), false);
    assert!(verdict.passed(), "{verdict}");
    let orders = Orders {
        gap: Duration::from_secs(60),
        attempts_max: 1,
        ..Orders::default()
    };
    assert!(judge(&log.0, &orders).passed());
}

#[test]
fn audio_and_acknowledged_dispositions() {
    let log = Log::default().dial(1, 2_000, "1", NUMBER, 200).0;
    let agent = |event| AgentEntry {
        wall_ms: 0,
        agent: "anna".into(),
        event,
    };
    let heard = |tone| {
        agent(AgentEvent::Heard {
            attempt: "att_1".into(),
            heard: vec![tone],
            talk_ms: 1_500,
        })
    };
    let all = claims(&[("1", "sale")]);
    let listen = |tone, deaf: &[(String, i64, i64)]| {
        let listening = Listening {
            sample: 50,
            least_ms: 1_000,
            deaf,
        };
        audio(&log, &all, &[heard(tone)], listening)
    };
    let verdict = listen(tone_hertz(NUMBER), &[]);
    assert!(
        verdict.passed() && verdict.figures["audio: calls listened to"] == 1,
        "{verdict}"
    );
    assert_eq!(
        broken(&listen(300, &[])),
        ["the agent heard the called person"]
    );
    // What its node slept through nobody could hear; what others slept through, and before, does not count.
    let trunk = log[0].trunk.clone();
    let slept = |from, to| {
        listen(
            300,
            &[("elsewhere".into(), 0, 9_000), (trunk.clone(), from, to)],
        )
    };
    assert!(slept(1_500, 9_000).passed());
    assert!(!slept(2_001, 9_000).passed() && !slept(-9_000, 0).passed());

    let said = |name: &str| {
        agent(AgentEvent::Disposed {
            attempt: "att_1".into(),
            disposition: name.into(),
        })
    };
    assert!(acknowledged(&[said("sale")], &all).passed());
    assert!(!acknowledged(&[said("callback")], &all).passed());
    assert!(!acknowledged(&[said("sale")], &Claims::default()).passed());
}
