//! The judgement at the end.

use super::say;
use crate::failure::Failure;
use anyhow::{Context as _, Result};
use serde_json::Value;
use simulations::{
    checker::{Claims, Verdict, answering, dials},
    world::{Evidence, at_least},
};
use std::{collections::BTreeSet, time::Duration};

/// What 90 seconds and more must reach; shorter runs in proportion.
const FULL: Duration = Duration::from_secs(90);
const ATTEMPTS: u64 = 1_000;
const BRIDGED: u64 = 250;
const LISTENED: u64 = 50;
/// Persons and machines of whom the mesh said who answered.
const PERSONS: u64 = 200;
const MACHINES: u64 = 20;
/// Nobody is tried twice within this.
const REST: Duration = Duration::from_secs(1_800);

/// The share of the full figures that a run of that length must reach.
fn share(full: u64, span: Duration) -> u64 {
    let part = span.min(FULL).as_millis() as u64;
    (full * part).div_ceil(FULL.as_millis() as u64)
}

/// Judges and prints; fails unless everything held.
pub(super) fn print(evidence: &Evidence, span: Duration) -> Result<()> {
    let verdict = judge(evidence, span)?;
    say(&format!("report of {} s", span.as_secs()));
    say(&verdict.to_string());
    if verdict.passed() {
        Ok(())
    } else {
        Err(Failure::refused("not everything held; the lines with FAIL above say what").into())
    }
}

fn judge(evidence: &Evidence, span: Duration) -> Result<Verdict> {
    let mut evidence = evidence.clone();
    evidence.orders.gap = REST;
    let listened = share(LISTENED, span);
    // Some more than asked: the report listens to whole calls only.
    let mut verdict = evidence.judge(listened as usize * 2)?;
    let claims = Claims::from_ndjson(&evidence.records)?;
    verdict.merge(answering(&evidence.log, &claims));
    let calls = dials(&evidence.log);
    let attempts: BTreeSet<&str> = calls.iter().map(|d| d.identity()).collect();
    let mut bridged = 0;
    for line in evidence
        .records
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        let record: Value = serde_json::from_str(line).context("a call record")?;
        bridged += u64::from(!record["bridged_at"].is_null());
    }
    let heard = verdict
        .check("the called person heard the agent")
        .map_or(0, |c| c.checked);
    let told = |name: &str| verdict.figures.get(name).copied().unwrap_or_default();
    let (persons, machines) = (
        told("answering: persons heard"),
        told("answering: machines heard"),
    );
    for (what, figure, full) in [
        ("persons of whom it was told who answered", persons, PERSONS),
        ("machines of which it was told", machines, MACHINES),
        ("attempts at the carrier", attempts.len() as u64, ATTEMPTS),
        ("calls bridged with an agent", bridged, BRIDGED),
        ("bridged calls listened to on both sides", heard, LISTENED),
    ] {
        verdict
            .checks
            .push(at_least(what, figure, share(full, span)));
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_runs_owe_less_and_longer_ones_no_more() {
        assert_eq!(share(ATTEMPTS, Duration::from_secs(90)), 1_000);
        assert_eq!(share(ATTEMPTS, Duration::from_secs(900)), 1_000);
        assert_eq!(share(BRIDGED, Duration::from_secs(45)), 125);
        assert_eq!(share(LISTENED, Duration::from_secs(25)), 14);
    }

    #[test]
    fn nothing_dialed_is_no_success() {
        let evidence = Evidence {
            settled: true,
            ..Evidence::default()
        };
        let verdict = judge(&evidence, Duration::from_secs(60)).unwrap();
        assert!(!verdict.passed());
        assert!(
            verdict
                .to_string()
                .contains("attempts at the carrier: at least 667")
        );
    }
}
