//! What a journal proves of abandonment after a crash.

use super::*;

const CAMPAIGN: CampaignId = CampaignId(3);

fn read(entries: &[Kept]) -> Reading {
    let mut reading = Reading::default();
    for (index, entry) in (1..).zip(entries) {
        let taken = reading.take(index, &encode(entry));
        taken.expect("what was written");
    }
    reading
}

fn run(n: u64, boot: &str) -> Kept {
    Kept::Run {
        incarnation: Incarnation(n),
        boot: boot.to_owned(),
    }
}

fn abandoned(total: u64) -> Kept {
    Kept::Of(Entry::Abandoned {
        campaign: CAMPAIGN,
        total,
    })
}

fn epoch(clean_stop_last: bool) -> ProcessEpoch {
    let dir = tempfile::tempdir().expect("a folder");
    let first = ProcessEpoch::begin(dir.path()).expect("a first run");
    if clean_stop_last {
        first.finish_clean().expect("a clean stop");
    }
    ProcessEpoch::begin(dir.path()).expect("a second run")
}

#[test]
fn a_run_of_this_boot_or_a_clean_stop_proves_what_it_abandoned() {
    let entries = [
        run(1, "old"),
        abandoned(9),
        run(2, "now"),
        abandoned(1),
        abandoned(2),
        // The mark of a run that goes on, and what it had abandoned by then.
        run(2, "now"),
        abandoned(2),
        run(3, "old"),
    ];
    let proof = |incarnation, total: Option<u64>| EscrowProof {
        incarnation: Incarnation(incarnation),
        abandoned: total.map(|total| (CAMPAIGN, total)).into_iter().collect(),
    };
    let reading = read(&entries);
    assert_eq!(reading.proofs(&epoch(false), "now"), [proof(2, Some(2))]);
    let clean = reading.proofs(&epoch(true), "now");
    assert_eq!(clean, [proof(3, None), proof(2, Some(2))]);
    assert_eq!(reading.proofs(&epoch(false), "later"), []);
}

#[test]
fn proofs_have_a_bound_and_the_newest_come_first() {
    let most = limits::ESCROW_PROOFS as u64 + 3;
    let runs: Vec<_> = (1..=most).map(|n| run(n, "now")).collect();
    let proofs = read(&runs).proofs(&epoch(false), "now");
    assert_eq!(proofs.len(), limits::ESCROW_PROOFS);
    assert_eq!(proofs[0].incarnation, Incarnation(most));
}

#[test]
fn what_the_version_before_wrote_is_read() {
    let mut bytes = encode(&run(4, "now")).to_vec();
    bytes[0] = 3;
    let mut reading = Reading::default();
    reading.take(1, &bytes).expect("version 3");
    assert_eq!(reading.runs, [(Incarnation(4), "now".to_owned())]);
    bytes[0] = 1;
    assert!(reading.take(2, &bytes).is_err());
}
