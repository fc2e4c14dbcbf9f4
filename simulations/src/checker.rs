//! Judges a run from outside: from the carrier's log, what the mesh was told, and what it claims.

mod answering;
mod dials;
mod reconcile;

pub use answering::answering;
pub use dials::{Class, Dial, dials};
pub use reconcile::{Claims, Listening, acknowledged, audio, reconcile};

use crate::carrier::witness::{Entry, Event};
use domain::Masked;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// Examples kept of each kind of failure.
pub const EXAMPLES: usize = 10;

/// One thing that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What must hold.
    pub rule: String,
    /// How many cases were looked at.
    pub checked: u64,
    /// How many broke the rule.
    pub failures: u64,
    /// The first of them; numbers masked.
    pub examples: Vec<String>,
}

impl Check {
    fn new(rule: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            ..Self::default()
        }
    }

    fn case(&mut self, holds: bool, example: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.failures += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(example());
            }
        }
    }
}

/// The outcome of a judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Every rule looked at.
    pub checks: Vec<Check>,
    /// Figures for the report.
    pub figures: BTreeMap<String, u64>,
}

impl Verdict {
    /// Whether no rule was broken. A rule without a single case says nothing, and does not count.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|c| c.failures == 0)
    }

    /// The check of that rule.
    pub fn check(&self, rule: &str) -> Option<&Check> {
        self.checks.iter().find(|c| c.rule == rule)
    }

    /// Puts another verdict's checks and figures beside these.
    pub fn merge(&mut self, other: Self) {
        self.checks.extend(other.checks);
        self.figures.extend(other.figures);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, figure) in &self.figures {
            writeln!(f, "  {name:<32} {figure:>9}")?;
        }
        for check in &self.checks {
            let mark = if check.failures == 0 { "ok  " } else { "FAIL" };
            write!(
                f,
                "{mark} {:<60} {:>8} looked at",
                check.rule, check.checked
            )?;
            if check.failures > 0 {
                write!(f, ", {} broken", check.failures)?;
            }
            writeln!(f)?;
            for example in &check.examples {
                writeln!(f, "       {example}")?;
            }
        }
        write!(f, "{}", if self.passed() { "passed" } else { "FAILED" })
    }
}

/// A number that must not be dialed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoNotDial {
    /// The number; the plus sign does not matter.
    pub number: String,
    /// Wall time in milliseconds when the mesh answered `effective`; none: since ever.
    #[serde(default)]
    pub effective_ms: Option<i64>,
}

/// What the mesh was told, as far as the carrier can see whether it was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Least time from one attempt's INVITE to the next attempt's at the same number.
    pub gap: Duration,
    /// Least time after one kind of end; none: never again. Kinds not named follow `gap`.
    pub gap_after: BTreeMap<Class, Option<Duration>>,
    /// Attempts at a number, at most; 0: any.
    pub attempts_max: u32,
    /// Do not call.
    pub do_not_dial: Vec<DoNotDial>,
    /// Only these numbers may be dialed; empty: any.
    pub leads: BTreeSet<String>,
    /// Caller IDs by trunk; a trunk not named may show any.
    pub caller_ids: BTreeMap<String, BTreeSet<String>>,
}

fn digits(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

fn name(dial: &Dial) -> String {
    format!(
        "{} call {} attempt {:?}",
        Masked(&dial.number),
        dial.call_id,
        dial.attempt
    )
}

/// Judges what was dialed.
pub fn judge(log: &[Entry], orders: &Orders) -> Verdict {
    let all = dials(log);
    let mut by_number = BTreeMap::<&str, Vec<&Dial>>::new();
    for dial in &all {
        by_number.entry(&dial.number).or_default().push(dial);
    }
    let mut verdict = Verdict {
        figures: figures(&all, &by_number),
        ..Verdict::default()
    };
    verdict.checks.push(overlaps(&by_number));
    verdict.checks.push(gaps(&by_number, orders));
    verdict.checks.push(counts(&by_number, orders));
    verdict.checks.push(forbidden(log, orders));
    verdict.checks.push(strangers(&by_number, orders));
    verdict.checks.push(shown(&all, orders));
    verdict.checks.push(contract(log, &all));
    verdict.checks.push(complete(&all));
    verdict
}

fn figures(all: &[Dial], by_number: &BTreeMap<&str, Vec<&Dial>>) -> BTreeMap<String, u64> {
    let mut figures = BTreeMap::from([
        ("dials".to_owned(), all.len() as u64),
        ("numbers dialed".to_owned(), by_number.len() as u64),
    ]);
    for dial in all {
        let class = format!("dials: {}", dial.class().name());
        *figures.entry(class).or_default() += 1;
    }
    figures
}

fn overlaps(by_number: &BTreeMap<&str, Vec<&Dial>>) -> Check {
    let mut check = Check::new("no number has two attempts in the air");
    for dials in by_number.values() {
        let mut busy_until = 0;
        for dial in dials {
            check.case(dial.began_ns >= busy_until, || name(dial));
            busy_until = busy_until.max(dial.ended_ns);
        }
    }
    check
}

fn gaps(by_number: &BTreeMap<&str, Vec<&Dial>>, orders: &Orders) -> Check {
    let mut check = Check::new("the next attempt keeps the retry rule's distance");
    for dials in by_number.values() {
        for pair in dials.windows(2) {
            let [before, after] = pair else { continue };
            // The next trunk within one attempt is no retry.
            if !before.attempt.is_empty() && before.attempt == after.attempt {
                continue;
            }
            let waited = Duration::from_nanos(after.began_ns.saturating_sub(before.began_ns));
            let asked = match orders.gap_after.get(&before.class()) {
                Some(rule) => *rule,
                None => Some(orders.gap),
            };
            check.case(asked.is_some_and(|gap| waited >= gap), || {
                let asked = asked.map_or("never again".to_owned(), |gap| format!("{gap:?}"));
                format!(
                    "{}: after {waited:.1?}, {asked} asked after {}",
                    name(after),
                    before.class().name()
                )
            });
        }
    }
    check
}

fn counts(by_number: &BTreeMap<&str, Vec<&Dial>>, orders: &Orders) -> Check {
    let mut check = Check::new("no number has more attempts than allowed");
    if orders.attempts_max == 0 {
        return check;
    }
    for dials in by_number.values() {
        let attempts: BTreeSet<&str> = dials.iter().map(|d| d.identity()).collect();
        check.case(attempts.len() <= orders.attempts_max as usize, || {
            format!("{}: {} attempts", Masked(&dials[0].number), attempts.len())
        });
    }
    check
}

/// Every INVITE counts, retransmissions and challenged ones too.
fn forbidden(log: &[Entry], orders: &Orders) -> Check {
    let mut check = Check::new("no INVITE to a number on the do-not-call list");
    let mut since = BTreeMap::<&str, i64>::new();
    for entry in &orders.do_not_dial {
        let at = entry.effective_ms.unwrap_or(i64::MIN);
        let known = since.entry(digits(&entry.number)).or_insert(at);
        *known = at.min(*known);
    }
    for entry in log
        .iter()
        .filter(|e| matches!(e.event, Event::Invite { .. }))
    {
        let late = since
            .get(entry.number.as_str())
            .is_some_and(|at| entry.wall_ms > *at);
        check.case(!late, || {
            let since = since[entry.number.as_str()];
            let after = if since == i64::MIN {
                "from the start".into()
            } else {
                format!("{} ms after", entry.wall_ms - since)
            };
            format!("{} call {}: {after}", Masked(&entry.number), entry.call_id)
        });
    }
    check
}

fn strangers(by_number: &BTreeMap<&str, Vec<&Dial>>, orders: &Orders) -> Check {
    let mut check = Check::new("only leads are dialed");
    if orders.leads.is_empty() {
        return check;
    }
    let leads: BTreeSet<&str> = orders.leads.iter().map(|n| digits(n)).collect();
    for (number, dials) in by_number {
        check.case(leads.contains(number), || name(dials[0]));
    }
    check
}

fn shown(all: &[Dial], orders: &Orders) -> Check {
    let mut check = Check::new("each caller ID leaves by the trunk that owns it");
    for dial in all {
        if let Some(owned) = orders.caller_ids.get(&dial.trunk) {
            let holds = owned.iter().any(|n| digits(n) == dial.caller_id);
            check.case(holds, || {
                format!(
                    "{}: {} on {}",
                    name(dial),
                    Masked(&dial.caller_id),
                    dial.trunk
                )
            });
        }
    }
    check
}

fn contract(log: &[Entry], all: &[Dial]) -> Check {
    let mut check = Check::new("no trunk's limits, credentials or caller IDs are violated");
    check.checked = all.len() as u64;
    for entry in log {
        if let Event::Violation { what, .. } = &entry.event {
            check.case(false, || {
                format!("{what} on {}, call {}", entry.trunk, entry.call_id)
            });
        }
    }
    check
}

fn complete(all: &[Dial]) -> Check {
    let mut check = Check::new("every call came to its end");
    for dial in all {
        check.case(dial.ended || dial.class() == Class::Silent, || name(dial));
    }
    check
}

#[cfg(test)]
mod tests;
