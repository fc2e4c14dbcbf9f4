//! What is left of a run, and its judgement.

use crate::{
    agent::AgentEntry,
    carrier::witness::Entry,
    checker::{
        Check, Claims, Listening, Orders, Verdict, acknowledged, audio, dials, judge, reconcile,
    },
};
use permit::audit::{Head, Verifier};
use serde_json::Value;
use std::collections::BTreeSet;

/// Talks shorter than this are not listened to: the ear needs two windows on each side.
const LEAST_TALK_MS: u64 = 1_500;

/// The witnesses' logs and the mesh's own records.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The carrier's log.
    pub log: Vec<Entry>,
    /// The agents' log.
    pub agents: Vec<AgentEntry>,
    /// The exported call records, one JSON object a line.
    pub records: String,
    /// The campaign's figures.
    pub stats: Value,
    /// What must not be broken, as far as the world knows; the caller adds the retry rule.
    pub orders: Orders,
    /// Each node's id and the lines of its audit chain, as its files have them.
    pub audit: Vec<(String, Vec<u8>)>,
    /// Cities whose process stood still: which, from and to (wall milliseconds). Nobody hears anybody
    /// through it meanwhile.
    pub deaf: Vec<(String, i64, i64)>,
    /// Whether processes were killed or cut off, so that `unknown` is an honest end.
    pub crashes: bool,
    /// Whether every call came to its end and every record to the coordinator in time.
    pub settled: bool,
}

impl Evidence {
    /// Everything the checkers know; `sample` bridged calls are listened to (0: all).
    ///
    /// # Errors
    /// The records are no call records.
    pub fn judge(&self, sample: usize) -> anyhow::Result<Verdict> {
        let claims = Claims::from_ndjson(&self.records)?;
        let mut verdict = judge(&self.log, &self.orders);
        verdict.merge(reconcile(&self.log, &claims, self.crashes));
        verdict.merge(acknowledged(&self.agents, &claims));
        verdict.merge(audio(
            &self.log,
            &claims,
            &self.agents,
            Listening {
                sample,
                least_ms: LEAST_TALK_MS,
                deaf: &self.deaf,
            },
        ));
        verdict.checks.push(holds(
            "calls ended and records arrived before the report",
            self.settled,
            || "some were still under way".to_owned(),
        ));
        verdict.checks.push(self.within_budget());
        verdict.checks.push(self.permitted());
        Ok(verdict)
    }

    /// Every attempt that the carrier saw has its line in a node's audit chain, and the chains have
    /// no flaw.
    fn permitted(&self) -> Check {
        let mut check = holds(
            "every dial is in an audit chain without a flaw",
            true,
            String::new,
        );
        check.checked = 0;
        let mut permitted = BTreeSet::new();
        let mut broken = |example: String| {
            check.failures += 1;
            check.examples.push(example);
        };
        for (node, text) in &self.audit {
            let Ok(id) = node.parse() else {
                broken(format!("{node} is no member"));
                continue;
            };
            let mut verifier = Verifier::new(Head::first(id));
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                match verifier.line(line) {
                    Ok(line) => _ = permitted.insert(line.attempt),
                    Err(flaw) => {
                        broken(format!("{node}: {flaw}"));
                        break;
                    }
                }
            }
        }
        let dials = dials(&self.log);
        for dial in dials.iter().filter(|dial| !dial.attempt.is_empty()) {
            check.checked += 1;
            if !permitted.contains(&dial.attempt) {
                check.failures += 1;
                check.examples.push(format!("{} has no line", dial.attempt));
            }
        }
        check.examples.truncate(crate::checker::EXAMPLES);
        check
    }

    /// Abandonment by the records: live answers that no agent took, against the pack's budget.
    fn within_budget(&self) -> Check {
        let (mut answered, mut abandoned) = (0u64, 0u64);
        for line in self.records.lines() {
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            if record["answered_at"].is_null() {
                continue;
            }
            match record["disposition"].as_str() {
                Some("abandoned") => {
                    answered += 1;
                    abandoned += 1;
                }
                Some("machine" | "fax") => {}
                _ => answered += 1,
            }
        }
        let budget = self.stats["abandonment"]["budget_percent"]
            .as_f64()
            .unwrap_or(3.0);
        let percent = abandoned as f64 * 100.0 / answered.max(1) as f64;
        let mut check = holds(
            "abandonment stays within the budget",
            percent <= budget,
            || {
                format!(
                    "{abandoned} of {answered} live answers: {percent:.2} %, allowed {budget:.2} %"
                )
            },
        );
        check.checked = answered;
        check
    }
}

/// A rule of one case.
pub fn holds(rule: &str, holds: bool, example: impl FnOnce() -> String) -> Check {
    Check {
        rule: rule.to_owned(),
        checked: 1,
        failures: u64::from(!holds),
        examples: if holds { Vec::new() } else { vec![example()] },
    }
}

/// A figure that must be reached.
pub fn at_least(what: &str, figure: u64, least: u64) -> Check {
    Check {
        checked: figure,
        ..holds(
            &format!("{what}: at least {least}"),
            figure >= least,
            || format!("{figure}, {} short", least.saturating_sub(figure)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandonment_is_counted_over_live_answers() {
        let line = |disposition: &str, answered: bool| {
            let at = if answered {
                "\"2026-01-01T00:00:00Z\""
            } else {
                "null"
            };
            format!("{{\"disposition\":\"{disposition}\",\"answered_at\":{at}}}\n")
        };
        let mut records = String::new();
        for (disposition, answered, times) in [
            ("sale", true, 98),
            ("abandoned", true, 2),
            ("busy", false, 50),
            ("machine", true, 9),
        ] {
            records.push_str(&line(disposition, answered).repeat(times));
        }
        let mut evidence = Evidence {
            records,
            ..Evidence::default()
        };
        let check = evidence.within_budget();
        assert_eq!((check.checked, check.failures), (100, 0));
        evidence
            .records
            .push_str(&line("abandoned", true).repeat(2));
        assert_eq!(evidence.within_budget().failures, 1);
        assert_eq!(at_least("calls", 3, 4).failures, 1);
        assert_eq!(at_least("calls", 4, 4).failures, 0);
    }
}
