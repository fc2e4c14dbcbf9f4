//! The carrier's log against what the mesh says it did.

use super::{Check, Class, Dial, Verdict, dials, digits, name};
use crate::{
    agent::{AgentEntry, AgentEvent},
    audio::tone_hertz,
    carrier::witness::Entry,
};
use anyhow::Context as _;
use domain::Masked;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The mesh's call records, as far as they can be checked from outside.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    pub(super) records: Vec<Record>,
}

#[derive(Clone, Debug)]
pub(super) struct Record {
    attempt: String,
    pub(super) call_id: String,
    number: String,
    /// The system's disposition, or `agent`.
    pub(super) disposition: String,
    /// The name in reports.
    disposition_name: String,
    pub(super) bridged: bool,
    /// Who answered, where the mesh listened.
    pub(super) answered_by: Option<String>,
}

impl Claims {
    /// Reads `cdr export` as NDJSON: one call record a line.
    pub fn from_ndjson(text: &str) -> anyhow::Result<Self> {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty());
        let records = lines
            .map(|(i, line)| {
                let value: Value =
                    serde_json::from_str(line).with_context(|| format!("call record {}", i + 1))?;
                Record::from_json(&value)
                    .with_context(|| format!("call record {}: no attempt or disposition", i + 1))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { records })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl Record {
    fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let name = text("disposition_name");
        let disposition = match value.get("disposition")? {
            // Any other name than a system's is an agent's choice.
            Value::String(text) if is_system(text) => text.clone(),
            Value::String(_) | Value::Object(_) => "agent".to_owned(),
            _ => return None,
        };
        let disposition_name = match value.get("disposition") {
            Some(Value::String(text)) if name.is_empty() => text.clone(),
            _ => name,
        };
        Some(Self {
            attempt: Some(text("attempt")).filter(|a| !a.is_empty())?,
            call_id: text("sip_call_id"),
            number: digits(&text("number")).to_owned(),
            disposition,
            disposition_name,
            bridged: value.get("bridged_at").is_some_and(|v| !v.is_null()),
            answered_by: (value.get("answered_by"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

fn is_system(name: &str) -> bool {
    domain::Disposition::SYSTEM.iter().any(|d| d.name() == name)
}

/// The dispositions that are true of a call that ended so at the carrier. `unknown` (a crash hid
/// the end) is true of every one where crashes were part of the run. `cancelled` is true of a
/// failure that crossed the mesh's CANCEL: no CANCEL may leave before a provisional response, so
/// the carrier need not have seen one.
const fn true_of(class: Class) -> &'static [&'static str] {
    match class {
        Class::Answered => &["agent", "abandoned", "machine", "message_left", "fax"],
        Class::AnsweredAtCancel => &["no_answer", "cancelled", "agent", "abandoned", "machine"],
        Class::Busy => &["busy"],
        Class::Unallocated => &["unallocated"],
        Class::Unavailable => &["no_answer", "powered_off", "out_of_service", "cancelled"],
        Class::Rejected => &["rejected"],
        Class::Failure => &["carrier_failure", "trunk_failure", "cancelled"],
        Class::Cancelled => &["no_answer", "cancelled"],
        Class::Silent => &["no_answer", "carrier_failure", "trunk_failure", "cancelled"],
    }
}

/// Each call of the carrier has exactly one record with a true disposition, and the other way round.
/// `crashes`: whether processes were killed in the run, so that `unknown` is an honest answer.
pub fn reconcile(log: &[Entry], claims: &Claims, crashes: bool) -> Verdict {
    let all = dials(log);
    let mut by_call = BTreeMap::<&str, Vec<&Record>>::new();
    let mut by_attempt = BTreeMap::<&str, Vec<&Record>>::new();
    for record in &claims.records {
        if !record.call_id.is_empty() {
            by_call.entry(&record.call_id).or_default().push(record);
        }
        by_attempt.entry(&record.attempt).or_default().push(record);
    }
    let mut one = Check::new("every attempt has exactly one record");
    for (attempt, records) in &by_attempt {
        one.case(records.len() == 1, || {
            format!("{attempt}: {} records", records.len())
        });
    }
    let mut known = Check::new("every call at the carrier has exactly one record");
    let mut agree = Check::new("the record's disposition is true of the call");
    for (i, dial) in all.iter().enumerate() {
        let direct = by_call.get(dial.call_id.as_str());
        if direct.is_none() && failed_over(&all[i + 1..], dial) {
            // The attempt went on by another trunk; its record names that call.
            known.case(by_attempt.contains_key(dial.attempt.as_str()), || {
                name(dial)
            });
            continue;
        }
        let records = direct
            .or_else(|| {
                by_attempt
                    .get(dial.attempt.as_str())
                    .filter(|_| !dial.attempt.is_empty())
            })
            .map_or(&[][..], Vec::as_slice);
        known.case(records.len() == 1, || {
            format!("{}: {} records", name(dial), records.len())
        });
        if let [record] = records {
            let honest = true_of(dial.class()).contains(&record.disposition.as_str())
                || (crashes && record.disposition == "unknown")
                || dial.how == "carrier_stopped";
            let same_number = record.number.contains('*')
                || record.number.is_empty()
                || record.number == dial.number;
            agree.case(honest && same_number, || {
                format!(
                    "{}: {} at the carrier, {} in the record",
                    name(dial),
                    dial.class().name(),
                    record.disposition
                )
            });
        }
    }
    let calls: BTreeSet<&str> = all.iter().map(|d| d.call_id.as_str()).collect();
    let attempts: BTreeSet<&str> = all.iter().map(|d| d.attempt.as_str()).collect();
    let mut real = Check::new("every record that names a call is known to the carrier");
    for record in &claims.records {
        // Not dialed, or the carrier never got it: nothing to find.
        let nothing = record.call_id.is_empty()
            || matches!(
                record.disposition.as_str(),
                "trunk_failure" | "cancelled" | "carrier_failure"
            )
            || (crashes && record.disposition == "unknown");
        let found =
            calls.contains(record.call_id.as_str()) || attempts.contains(record.attempt.as_str());
        real.case(found || nothing, || {
            format!(
                "{} {} call {}",
                record.attempt, record.disposition, record.call_id
            )
        });
    }
    let bridged = claims.records.iter().filter(|r| r.bridged).count() as u64;
    Verdict {
        checks: vec![one, known, agree, real],
        figures: BTreeMap::from([
            ("call records".to_owned(), claims.records.len() as u64),
            ("call records: bridged".to_owned(), bridged),
        ]),
    }
}

fn failed_over(later: &[Dial], dial: &Dial) -> bool {
    let failed = matches!(dial.class(), Class::Failure | Class::Silent);
    failed && !dial.attempt.is_empty() && later.iter().any(|d| d.attempt == dial.attempt)
}

/// Which bridged calls are listened to.
#[derive(Clone, Copy, Debug)]
pub struct Listening<'a> {
    /// So many, spread over the run; 0: all.
    pub sample: usize,
    /// Calls shorter than that at either end are left out: the ear needs two windows.
    pub least_ms: u64,
    /// Trunks that stood still, from and to (wall milliseconds); calls of then are left out.
    pub deaf: &'a [(String, i64, i64)],
}

impl Listening<'_> {
    fn could_be_heard(&self, dial: &Dial) -> bool {
        let lasted = (dial.ended_ns - dial.began_ns) / 1_000_000;
        let ended = dial.began_ms.saturating_add_unsigned(lasted);
        let stood = |(trunk, from, to): &(String, i64, i64)| {
            *trunk == dial.trunk && *from <= ended && dial.began_ms <= *to
        };
        dial.talk_ms >= self.least_ms && !self.deaf.iter().any(stood)
    }
}

/// In bridged calls both sides heard each other's tone.
pub fn audio(
    log: &[Entry],
    claims: &Claims,
    agents: &[AgentEntry],
    listening: Listening<'_>,
) -> Verdict {
    let sample = listening.sample;
    let all = dials(log);
    let by_call: BTreeMap<&str, &Dial> = all.iter().map(|d| (d.call_id.as_str(), d)).collect();
    let by_attempt: BTreeMap<&str, &Dial> = all.iter().map(|d| (d.attempt.as_str(), d)).collect();
    let mut ears = BTreeMap::<&str, (&str, BTreeSet<u32>, u64)>::new();
    for entry in agents {
        if let AgentEvent::Heard {
            attempt,
            heard,
            talk_ms,
        } = &entry.event
        {
            let ear = ears
                .entry(attempt)
                .or_insert((&entry.agent, BTreeSet::new(), 0));
            ear.1.extend(heard);
            ear.2 += talk_ms;
        }
    }
    let candidates: Vec<_> = claims
        .records
        .iter()
        .filter(|r| r.bridged)
        .filter_map(|record| {
            let dial = by_call
                .get(record.call_id.as_str())
                .or_else(|| by_attempt.get(record.attempt.as_str()))?;
            let ear = ears.get(record.attempt.as_str())?;
            let spoke = matches!(dial.behaviour.as_str(), "human" | "answer_now");
            let long = ear.2 >= listening.least_ms;
            (spoke && long && listening.could_be_heard(dial)).then_some((*dial, ear))
        })
        .collect();
    let step = candidates.len().checked_div(sample).unwrap_or(1).max(1);
    let mut there = Check::new("the called person heard the agent");
    let mut back = Check::new("the agent heard the called person");
    let most = if sample == 0 { usize::MAX } else { sample };
    for (dial, (agent, heard, _)) in candidates.iter().step_by(step).take(most) {
        let tone = tone_hertz(agent);
        let ear = dial.audio.as_ref();
        there.case(ear.is_some_and(|a| a.heard.contains(&tone)), || {
            format!(
                "{}: {agent} speaks {tone} Hz, heard {:?}",
                name(dial),
                ear.map(|a| &a.heard)
            )
        });
        let tone = tone_hertz(&dial.number);
        back.case(heard.contains(&tone), || {
            format!(
                "{}: {} speaks {tone} Hz, {agent} heard {heard:?}",
                name(dial),
                Masked(&dial.number)
            )
        });
    }
    let figures = BTreeMap::from([
        (
            "audio: calls that could be heard".to_owned(),
            candidates.len() as u64,
        ),
        ("audio: calls listened to".to_owned(), there.checked),
    ]);
    Verdict {
        checks: vec![there, back],
        figures,
    }
}

/// Every disposition that an agent saw acknowledged is in the records, once, as it was given.
pub fn acknowledged(agents: &[AgentEntry], claims: &Claims) -> Verdict {
    let mut by_attempt = BTreeMap::<&str, Vec<&Record>>::new();
    for record in &claims.records {
        by_attempt.entry(&record.attempt).or_default().push(record);
    }
    let mut kept = Check::new("no acknowledged disposition is lost or changed");
    for entry in agents {
        if let AgentEvent::Disposed {
            attempt,
            disposition,
        } = &entry.event
        {
            let records = by_attempt
                .get(attempt.as_str())
                .map_or(&[][..], Vec::as_slice);
            let holds = matches!(records, [r] if r.disposition_name == *disposition);
            kept.case(holds, || {
                let found: Vec<_> = records
                    .iter()
                    .map(|r| r.disposition_name.as_str())
                    .collect();
                format!(
                    "{attempt}: {} said {disposition}, records say {found:?}",
                    entry.agent
                )
            });
        }
    }
    Verdict {
        checks: vec![kept],
        figures: BTreeMap::new(),
    }
}
