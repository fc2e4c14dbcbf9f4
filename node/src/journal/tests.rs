//! What a journal proves of abandonment after a crash.

use super::*;
use domain::{Disposition, ListId, MemberId, RegionId};

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
        in_air: Vec::new(),
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
    bytes[0] = 5;
    let mut reading = Reading::default();
    reading.take(1, &bytes).expect("version 5");
    assert_eq!(reading.runs, [(Incarnation(4), "now".to_owned())]);
    bytes[0] = 1;
    assert!(reading.take(2, &bytes).is_err());
}

fn attempt(n: u64) -> AttemptId {
    AttemptId::new(RegionId(1), n, 0)
}

fn dialing(n: u64) -> Kept {
    let at = WallTime::from_millis(1_795_300_000_000);
    let region = RegionId(1);
    Kept::Of(Entry::Dialing(Box::new(CallRecord {
        attempt: attempt(n),
        lead: LeadId::new(region, n),
        campaign: CAMPAIGN,
        list: ListId(1),
        region,
        node: MemberId(2),
        session: SessionId(5),
        number: "+8613800138001".parse().unwrap(),
        caller_id: None,
        trunk: None,
        sip_call_id: String::new(),
        agent: None,
        invited_at: Some(at),
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: at,
        closed_at: at,
        disposition: Disposition::Unknown,
        disposition_name: String::new(),
        sip_status: 0,
        q850: 0,
        ended_by: String::new(),
        carrier_leg: None,
        agent_leg: None,
        rule_pack: String::new(),
        dnc_index: 0,
        dnc_base: None,
        consent: None,
        permission: None,
        note: String::new(),
        listened: None,
        recording: None,
        call_back: None,
        presence: None,
        voice_drop: None,
        called_for: None,
        holds: None,
    })))
}

#[test]
fn who_was_on_the_line_when_a_run_ended_is_not_proved_to_have_been_taken() {
    let region = RegionId(1);
    let leased = (4..=5).map(|n| (attempt(n), LeadId::new(region, n)));
    let closed = Entry::Closed {
        session: SessionId(5),
        outcome: CallOutcome::Undialed {
            lead: LeadId::new(region, 2),
            attempt: attempt(2),
        },
        record: None,
    };
    let disposed = Entry::Disposed(JournalEntry::Disposed {
        attempt: attempt(3),
        lead: LeadId::new(region, 3),
        session: SessionId(5),
        campaign: CAMPAIGN,
        agent: None,
        disposition: domain::DispositionCode(0),
        note: String::new(),
        callback_at: None,
        invited_at: WallTime::EPOCH,
        disposed_at: WallTime::EPOCH,
    });
    let entries = [
        run(1, "now"),
        dialing(1),
        run(2, "now"),
        // Ended, spoken with to the end, never dialed; and two that ring or wait.
        dialing(2),
        dialing(3),
        Kept::Of(Entry::Leased(leased.collect())),
        dialing(5),
        dialing(6),
        Kept::Of(closed),
        Kept::Of(disposed),
    ];
    let in_air = |n| vec![(CAMPAIGN, n)];
    let proofs = read(&entries).proofs(&epoch(false), "now");
    assert_eq!(proofs[0].incarnation, Incarnation(2));
    assert_eq!(proofs[0].in_air, in_air(2));
    assert_eq!(proofs[1].in_air, in_air(1));
}

fn record() -> CallRecord {
    let at = WallTime::from_millis(1_795_300_000_000);
    CallRecord {
        attempt: AttemptId::new(RegionId(1), 7, 1),
        lead: LeadId::new(RegionId(1), 1),
        campaign: CAMPAIGN,
        list: ListId(1),
        region: RegionId(1),
        node: MemberId(2),
        session: SessionId(5),
        number: "+14155550134".parse().expect("a number"),
        caller_id: None,
        trunk: None,
        sip_call_id: "one".to_owned(),
        agent: None,
        invited_at: Some(at),
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: at,
        closed_at: at,
        disposition: Disposition::Busy,
        disposition_name: "busy".to_owned(),
        sip_status: 486,
        q850: 17,
        ended_by: String::new(),
        carrier_leg: None,
        agent_leg: None,
        rule_pack: "demo 1".to_owned(),
        dnc_index: 9,
        permission: None,
        note: "by hand".to_owned(),
        dnc_base: None,
        consent: None,
        listened: None,
        recording: None,
        call_back: None,
        presence: None,
        voice_drop: None,
        called_for: None,
        holds: None,
    }
}

#[test]
fn records_of_the_versions_before_lack_their_last_fields() {
    let record = record();
    for kept in [
        Kept::Of(Entry::Dialing(Box::new(record.clone()))),
        Kept::Of(Entry::Closed {
            session: SessionId(5),
            outcome: CallOutcome::Undialed {
                lead: record.lead,
                attempt: record.attempt,
            },
            record: Some(Box::new(record.clone())),
        }),
    ] {
        // Each version added one field, none here, at the end of the record at the end of the entry.
        for (version, missing) in [
            (VERSION, 0),
            (10, 1),
            (9, 2),
            (8, 3),
            (7, 4),
            (6, 5),
            (5, 6),
            (4, 7),
            (3, 8),
            (2, 9),
        ] {
            let mut bytes = encode(&kept).to_vec();
            bytes.truncate(bytes.len() - missing);
            bytes[0] = version;
            let mut reading = Reading::default();
            reading.take(1, &bytes).expect("an older version");
            let open = (reading.open.values()).filter_map(|found| found.dialed.as_deref());
            let owed = (reading.owed.iter()).filter_map(|(_, owed)| owed.record.as_deref());
            let found: Vec<_> = open.chain(owed).collect();
            assert_eq!(found, [&record], "version {version}");
        }
    }
}

#[test]
fn a_call_back_is_told_to_the_coordinator_and_to_no_region() {
    let at = WallTime::from_millis(1_795_300_000_000);
    let call_back = |n| CallRecord {
        attempt: AttemptId::call_back(RegionId(1), MemberId(2), at, n),
        call_back: Some(domain::CallBack {
            after: Some(attempt(1)),
            withheld: false,
            waited_ms: 0,
            end: domain::CallBackEnd::Unknown,
        }),
        disposition: Disposition::Unknown,
        ..record()
    };
    let taken = Entry::Disposed(JournalEntry::Disposed {
        attempt: call_back(2).attempt,
        lead: record().lead,
        session: SessionId(0),
        campaign: CAMPAIGN,
        agent: Some(domain::AgentId(4)),
        disposition: domain::DispositionCode(0),
        note: "by phone".to_owned(),
        callback_at: None,
        invited_at: at,
        disposed_at: at,
    });
    let mut ended = call_back(3);
    ended.disposition = Disposition::NotTaken;
    let entries = [
        run(1, "now"),
        Kept::Of(Entry::Dialing(Box::new(call_back(1)))),
        Kept::Of(Entry::Dialing(Box::new(call_back(2)))),
        Kept::Of(taken),
        Kept::Of(Entry::Dialing(Box::new(call_back(3)))),
        Kept::Of(Entry::CalledBack(Box::new(ended.clone()))),
    ];
    let reading = read(&entries);
    // Whoever was on the line may have been anybody's but a budget's.
    let proofs = reading.proofs(&epoch(false), "now");
    assert_eq!(proofs[0].in_air, Vec::new());
    let owed = reading.owed(&epoch(false), "now", at);
    assert!(owed.iter().all(|owed| owed.outcome.is_none()), "{owed:?}");
    let mut records: Vec<_> = owed.into_iter().filter_map(|owed| owed.record).collect();
    records.sort_by_key(|record| record.attempt);
    let ends: Vec<_> = (records.iter())
        .map(|record| (record.disposition, record.call_back.unwrap().end))
        .collect();
    let (unknown, taken) = (domain::CallBackEnd::Unknown, domain::CallBackEnd::Taken);
    let by_agent = Disposition::Agent(domain::DispositionCode(0));
    assert_eq!(
        ends,
        [
            (Disposition::Unknown, unknown),
            (by_agent, taken),
            (Disposition::NotTaken, unknown)
        ]
    );
    assert_eq!(*records[2], ended);
}
