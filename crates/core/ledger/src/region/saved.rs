//! A region's ledger as bytes.

use super::{
    ImportState, Leadership, Lease, RegionLedger,
    book::{Book, LeadSlot, SavedBook},
    moves::Moves,
    sessions::Session,
};
use crate::envelope::Envelope;
use domain::{
    Campaign, CampaignId, Clearance, DncBaseId, DncScope, Incarnation, ListId, MemberId,
    MeshVersion, PhoneNumber, RegionId, SessionId, SharedMap,
};
use sansio::RestoreError;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const ENVELOPE: Envelope = Envelope {
    what: "region ledger",
    kind: b'R',
    version: 6,
};

/// No promises, as they are encoded: what snapshots before version 6 lack.
const NO_PROMISES: [u8; 1] = [0];

/// What is not kept: indexes and counts, which follow from the rest.
#[derive(Serialize, Deserialize)]
struct Saved {
    region: RegionId,
    applied: u64,
    leadership: Leadership,
    tick: u64,
    steady: u64,
    facts_index: u64,
    book: SavedBook,
    rest: Rest,
}

type Rest = (
    BTreeMap<CampaignId, Campaign>,
    BTreeMap<CampaignId, Duration>,
    SharedMap<(PhoneNumber, DncScope), u64>,
    BTreeMap<SessionId, Session>,
    BTreeMap<MemberId, Incarnation>,
    BTreeMap<LeadSlot, Lease>,
    BTreeMap<ListId, ImportState>,
    // Since version 2, and read as none from version 1.
    Option<DncBaseId>,
    // Since version 3, and read as empty from earlier ones; its last two parts since version 4.
    Clearance,
    // Since version 4, and read as none from earlier ones.
    Moves,
    // Since version 5, and read as the base from earlier ones.
    MeshVersion,
    // Since version 6, and read as empty from earlier ones: leads that were promised a callback.
    BTreeSet<LeadSlot>,
);

/// What to keep of a ledger as it is now.
fn saved(ledger: &RegionLedger) -> Saved {
    Saved {
        region: ledger.region,
        applied: ledger.applied,
        leadership: ledger.leadership,
        tick: ledger.tick,
        steady: ledger.steady,
        facts_index: ledger.facts_index,
        book: ledger.book.saved(),
        rest: (
            ledger.campaigns.clone(),
            ledger.longest.clone(),
            ledger.dnc.clone(),
            ledger.sessions.clone(),
            ledger.nodes.clone(),
            ledger.leases.by_lead(),
            ledger.imports.clone(),
            ledger.base,
            ledger.clearance.clone(),
            ledger.moves.clone(),
            ledger.version,
            ledger.book.promises(),
        ),
    }
}

pub(super) fn seal(ledger: &RegionLedger) -> Vec<u8> {
    freeze(ledger)()
}

/// [`seal`] in two steps, the first of which is quick whatever the number of leads.
pub(super) fn freeze(ledger: &RegionLedger) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
    let saved = saved(ledger);
    // A member of the release before may be sent it.
    let older = ledger.version < MeshVersion::PROMISES;
    Box::new(move || match older {
        true => ENVELOPE.seal_shorter(5, &saved, &NO_PROMISES),
        false => ENVELOPE.seal(&saved),
    })
}

pub(super) fn open(bytes: &[u8]) -> Result<RegionLedger, RestoreError> {
    // What each later version added, as it is encoded when there is none of it.
    // The clearance grew by two parts with version 4, as the moves behind it came.
    let six = &NO_PROMISES[..];
    // What may be written: the base.
    let five = &[&[1][..], six].concat()[..];
    let four = [&Moves::EMPTY[..], five].concat();
    let missing = match bytes.get(1) {
        Some(1) => [&[0; 8][..], &four].concat(),
        Some(2) => [&[0; 7][..], &four].concat(),
        Some(3) => [&[0; 2][..], &four].concat(),
        Some(4) => five.to_vec(),
        Some(5) => six.to_vec(),
        _ => Vec::new(),
    };
    let version = match missing[..] {
        [] => ENVELOPE.version,
        _ => bytes[1],
    };
    let saved: Saved = (Envelope {
        version,
        ..ENVELOPE
    })
    .open_shorter(bytes, &missing)?;
    let fail = |why: String| RestoreError {
        what: ENVELOPE.what,
        why,
    };
    let mut ledger = RegionLedger {
        applied: saved.applied,
        leadership: saved.leadership,
        tick: saved.tick,
        steady: saved.steady,
        facts_index: saved.facts_index,
        ..RegionLedger::new(saved.region)
    };
    let (leases, promised);
    (
        ledger.campaigns,
        ledger.longest,
        ledger.dnc,
        ledger.sessions,
        ledger.nodes,
        leases,
        ledger.imports,
        ledger.base,
        ledger.clearance,
        ledger.moves,
        ledger.version,
        promised,
    ) = saved.rest;
    ledger.book = Book::restored(saved.book, promised).map_err(fail)?;
    ledger.check_moves().map_err(fail)?;
    ledger.endings = super::clearance::endings(&ledger.clearance, ledger.clock());
    for (lead, lease) in &leases {
        let lead = *lead;
        if lead as usize >= ledger.len() {
            return Err(fail(format!("a lease of row {lead}, which is not there")));
        }
        if !ledger.sessions.contains_key(&lease.session) {
            return Err(fail(format!(
                "a lease of {}, which is not there",
                lease.session
            )));
        }
        if let Some(doubt) = lease.doubt {
            let until = ledger.doubt_ends(lead, doubt);
            ledger.doubts.insert((until, lead));
        }
    }
    ledger.leases = leases.into_iter().collect();
    Ok(ledger)
}
