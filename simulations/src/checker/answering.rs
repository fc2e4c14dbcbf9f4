//! Who answered, by the carrier's own knowledge, against what the mesh took it for.

use super::{Check, Claims, Dial, Verdict, dials, name};
use crate::carrier::witness::Entry;
use std::collections::BTreeMap;

/// Of 1000 persons, how many may be taken for machines.
const PERSONS_LOST: u64 = 20;
/// Of 1000 machines, how many may be taken for persons.
const MACHINES_TAKEN: u64 = 50;

/// Machines and fax were hung up on, persons were not: in so many of 1000 cases at most it may be
/// otherwise. Only calls of which the mesh said who answered are looked at: who hung up before was not
/// heard to the end.
pub fn answering(log: &[Entry], claims: &Claims) -> Verdict {
    let all = dials(log);
    let by_call: BTreeMap<&str, &Dial> = all.iter().map(|d| (d.call_id.as_str(), d)).collect();
    let mut persons = Tally::new("persons are not taken for machines", PERSONS_LOST);
    let mut machines = Tally::new("machines and fax are hung up on", MACHINES_TAKEN);
    for record in &claims.records {
        let (Some(dial), Some(verdict)) =
            (by_call.get(record.call_id.as_str()), &record.answered_by)
        else {
            continue;
        };
        let hung_up = matches!(record.disposition.as_str(), "machine" | "fax");
        let example = || {
            format!(
                "{}: {} at the carrier, {verdict} in the record, {}",
                name(dial),
                dial.behaviour,
                record.disposition
            )
        };
        match dial.behaviour.as_str() {
            "human" | "answers_at_cancel" => persons.case(!hung_up, example),
            "machine" | "fax" => machines.case(hung_up && !record.bridged, example),
            _ => {}
        }
    }
    Verdict {
        figures: BTreeMap::from([
            ("answering: persons heard".to_owned(), persons.0.checked),
            ("answering: machines heard".to_owned(), machines.0.checked),
        ]),
        checks: vec![persons.done(), machines.done()],
    }
}

/// Cases of which some may go wrong.
struct Tally(Check, u64);

impl Tally {
    fn new(rule: &str, permille: u64) -> Self {
        let rule = format!("{rule}: at most {permille} of 1000 wrong");
        Self(Check::new(&rule), permille)
    }

    fn case(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.0.case(holds, example);
    }

    fn done(mut self) -> Check {
        if self.0.failures * 1000 <= self.0.checked * self.1 {
            self.0.failures = 0;
            self.0.examples.clear();
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::witness::Event;

    fn log(behaviour: &str, calls: usize) -> Vec<Entry> {
        let entry = |call: usize, event| Entry {
            wall_ms: 1,
            mono_ns: call as u64,
            trunk: "a".into(),
            call_id: format!("{behaviour}{call}"),
            number: "8613800138000".into(),
            caller_id: String::new(),
            source: None,
            attempt: String::new(),
            event,
        };
        let invite = Event::Invite {
            retransmission: false,
            challenged: false,
            ignored: false,
            cseq: 1,
            count: 1,
        };
        let answer = Event::Final {
            status: 200,
            behaviour: behaviour.into(),
        };
        (0..calls)
            .flat_map(|call| [entry(call, invite.clone()), entry(call, answer.clone())])
            .collect()
    }

    fn claims(behaviour: &str, calls: usize, machines: usize) -> Claims {
        let line = |call: usize| {
            let verdict = if call < machines { "machine" } else { "human" };
            let disposition = if call < machines { "machine" } else { "sale" };
            format!(
                r#"{{"attempt":"a{behaviour}{call}","sip_call_id":"{behaviour}{call}","disposition":"{disposition}","answered_by":"{verdict}"}}"#
            )
        };
        let lines: Vec<String> = (0..calls).map(line).collect();
        Claims::from_ndjson(&lines.join("\n")).unwrap()
    }

    #[test]
    fn a_few_may_be_taken_for_others_and_no_more() {
        for (behaviour, calls, machines, place, holds) in [
            ("human", 100, 2, 0, true),
            ("human", 100, 3, 0, false),
            ("machine", 100, 95, 1, true),
            ("machine", 100, 94, 1, false),
            ("fax", 10, 10, 1, true),
        ] {
            let verdict = answering(&log(behaviour, calls), &claims(behaviour, calls, machines));
            let check = &verdict.checks[place];
            assert_eq!(check.checked, calls as u64, "{behaviour}");
            assert_eq!(check.failures == 0, holds, "{behaviour} {machines}");
        }
    }

    #[test]
    fn who_was_not_listened_to_says_nothing() {
        let text = r#"{"attempt":"a","sip_call_id":"human0","disposition":"machine"}"#;
        let verdict = answering(&log("human", 1), &Claims::from_ndjson(text).unwrap());
        assert!(verdict.checks.iter().all(|check| check.checked == 0));
    }
}
