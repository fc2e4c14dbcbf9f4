//! Call records: shipped by nodes, kept for good, found and exported.

use crate::{backend::Backend, tally::Tally};
use bytes::Bytes;
use dialmesh_http::{
    admin::{Answer, RecordStream},
    dto::{Call, CallFilter, Page},
    events::Events,
    problem::{BackendError, FieldError},
};
use domain::{AttemptId, CallRecord, Disposition, MemberId, RECORD_VERSION, WallTime};
use futures::{StreamExt, stream};
use ledger::LostAttempt;
use member::{RecordsReply, decode_records, encode};
use mesh::ServiceError;
use parking_lot::Mutex;
use std::{path::Path, sync::Arc};
use storage::{DataKeys, Record, RecordCursor, RecordError, RecordOrder, RecordPage, RecordStore};

/// Version of a record's bytes in the store.
const VERSION: u8 = RECORD_VERSION;
/// Records read from the store at a time.
const PAGE: usize = 1_000;
/// Records looked at for one page of a filtered list; the next page goes on from there.
const LOOKED_AT: usize = 50_000;
/// Error codes of the records service.
const FAILED: u16 = 2;
const NOT_YOURS: u16 = 3;
const UNREADABLE: u16 = 4;

struct Inner {
    store: RecordStore,
    /// Held while records are written: none is counted twice.
    tally: Mutex<Tally>,
    events: Events,
}

/// The record store with its counts. Clones share it.
#[derive(Clone)]
pub(crate) struct Records(Arc<Inner>);

fn key(attempt: AttemptId) -> Vec<u8> {
    attempt.0.to_be_bytes().to_vec()
}

fn stored(record: &CallRecord) -> Record {
    let value = postcard::to_extend(record, vec![VERSION]).expect("records are plain data");
    Record {
        key: key(record.attempt),
        at: record.ended_at,
        value,
    }
}

fn read(value: &[u8]) -> Result<CallRecord, String> {
    match value.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|e| e.to_string()),
        // What was added since are the last fields, and absent.
        Some((&version, body)) if (2..VERSION).contains(&version) => {
            let missing = &[0; 9][..usize::from(VERSION - version)];
            postcard::from_bytes(&[body, missing].concat()).map_err(|e| e.to_string())
        }
        Some((version, _)) => Err(format!("version {version} of a record is not {VERSION}")),
        None => Err("a record is empty".to_owned()),
    }
}

fn damaged(why: impl std::fmt::Display) -> BackendError {
    BackendError::Internal(format!("a call record cannot be read: {why}"))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Records {
    /// Opens the store and counts what is there.
    pub(crate) async fn open(
        path: &Path,
        keys: &DataKeys,
        events: Events,
    ) -> Result<Self, RecordError> {
        let (path, keys) = (path.to_owned(), keys.clone());
        blocking(move || {
            let store = RecordStore::open(&path, &keys)?;
            let mut tally = Tally::default();
            let (mut cursor, order) = (None, RecordOrder::OldestFirst);
            loop {
                let page = store.scan(FIRST, LAST, order, cursor.as_ref(), PAGE)?;
                for record in &page.records {
                    match read(&record.value) {
                        Ok(record) => tally.add(&record),
                        Err(error) => tracing::error!(%error, "a call record is not counted"),
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            Ok(Self(Arc::new(Inner {
                store,
                tally: Mutex::new(tally),
                events,
            })))
        })
        .await
    }

    /// Keeps records durably. The first record of an attempt stays. Returns how many were new.
    pub(crate) async fn append(&self, records: Vec<CallRecord>) -> Result<u32, RecordError> {
        let this = self.clone();
        blocking(move || this.append_here(records)).await
    }

    fn append_here(&self, records: Vec<CallRecord>) -> Result<u32, RecordError> {
        let inner = &self.0;
        let mut tally = inner.tally.lock();
        let mut fresh: Vec<CallRecord> = Vec::with_capacity(records.len());
        for record in records {
            let known = inner.store.get(&key(record.attempt))?.is_some();
            if !known && !fresh.iter().any(|r| r.attempt == record.attempt) {
                fresh.push(record);
            }
        }
        let rows: Vec<Record> = fresh.iter().map(stored).collect();
        let kept = if rows.is_empty() {
            0
        } else {
            inner.store.append(&rows)?
        };
        for record in &fresh {
            tally.add(record);
            let disposition = record.disposition.name();
            metrics::counter!("dialmesh_call_records_total", "disposition" => disposition)
                .increment(1);
        }
        drop(tally);
        for record in &fresh {
            inner.events.publish("call", &Call::from(record));
        }
        Ok(u32::try_from(kept).unwrap_or(u32::MAX))
    }

    /// A look at the counts.
    pub(crate) fn tally<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.0.tally.lock())
    }

    pub(crate) async fn get(&self, attempt: AttemptId) -> Answer<Option<CallRecord>> {
        let this = self.clone();
        let found = blocking(move || this.0.store.get(&key(attempt))).await;
        let found = found.map_err(|e| BackendError::Internal(e.to_string()))?;
        found
            .map(|record| read(&record.value).map_err(damaged))
            .transpose()
    }

    async fn scan(
        &self,
        (from, to): (WallTime, WallTime),
        order: RecordOrder,
        cursor: Option<RecordCursor>,
        limit: usize,
    ) -> Answer<RecordPage> {
        let this = self.clone();
        let page =
            blocking(move || this.0.store.scan(from, to, order, cursor.as_ref(), limit)).await;
        page.map_err(|e| BackendError::Internal(e.to_string()))
    }

    /// A node ships records.
    pub(crate) async fn receive(
        &self,
        from: MemberId,
        request: Bytes,
    ) -> Result<Bytes, ServiceError> {
        let records = decode_records(&request)?;
        let records: Result<Vec<CallRecord>, String> = records.iter().map(|r| read(r)).collect();
        let records = records.map_err(|why| {
            ServiceError::new(UNREADABLE, format!("{why}; upgrade this coordinator first"))
        })?;
        if let Some(other) = records.iter().find(|r| r.node != from) {
            let why = format!(
                "the record of {} names {}, not {from}",
                other.attempt, other.node
            );
            return Err(ServiceError::new(NOT_YOURS, why));
        }
        match self.append(records).await {
            Ok(kept) => Ok(encode(&RecordsReply { kept })),
            Err(error) => {
                tracing::error!(%error, "call records cannot be kept; nodes keep them until they can");
                Err(ServiceError::new(FAILED, error.to_string()))
            }
        }
    }

    /// Attempts whose end nobody knows: each gets a record that says so (I7), unless one is there.
    pub(crate) async fn lost(&self, attempts: Vec<LostAttempt>) -> Result<u32, RecordError> {
        let now = service::clock::wall();
        self.append(
            attempts
                .into_iter()
                .map(|lost| unknown(lost, now))
                .collect(),
        )
        .await
    }
}

const FIRST: WallTime = WallTime::from_millis(i64::MIN);
const LAST: WallTime = WallTime::from_millis(i64::MAX);

fn unknown(lost: LostAttempt, now: WallTime) -> CallRecord {
    CallRecord {
        attempt: lost.attempt,
        lead: lost.lead,
        campaign: lost.campaign,
        list: lost.list,
        region: lost.attempt.region(),
        node: lost.node,
        session: lost.session,
        number: lost.number,
        caller_id: None,
        trunk: None,
        sip_call_id: String::new(),
        agent: None,
        invited_at: None,
        ringing_at: None,
        answered_at: None,
        bridged_at: None,
        ended_at: lost.latest,
        closed_at: now,
        disposition: Disposition::Unknown,
        disposition_name: Disposition::Unknown.name().to_owned(),
        sip_status: 0,
        q850: 0,
        ended_by: String::new(),
        carrier_leg: None,
        agent_leg: None,
        rule_pack: String::new(),
        dnc_index: 0,
        permission: None,
        dnc_base: None,
        consent: None,
        note: String::new(),
        listened: None,
        recording: None,
        call_back: None,
        presence: None,
        voice_drop: None,
        called_for: None,
        holds: None,
    }
}

fn span(filter: &CallFilter) -> (WallTime, WallTime) {
    (
        filter.since.map_or(FIRST, |t| t.0),
        filter.until.map_or(LAST, |t| t.0),
    )
}

fn cursor_text(cursor: &RecordCursor) -> String {
    format!(
        "{}.{}",
        cursor.at.as_millis(),
        crate::notes::hex(&cursor.key)
    )
}

fn read_cursor(text: &str) -> Answer<RecordCursor> {
    let read = || {
        let (at, key) = text.split_once('.')?;
        let key = u128::from_str_radix(key, 16)
            .ok()
            .filter(|_| key.len() == 32)?;
        let at = WallTime::from_millis(at.parse().ok()?);
        Some(RecordCursor {
            at,
            key: key.to_be_bytes().to_vec(),
        })
    };
    read().ok_or_else(|| {
        BackendError::Invalid(vec![FieldError::new(
            "?cursor",
            "is not one that this list gave",
        )])
    })
}

pub(crate) async fn list(backend: &Backend, filter: CallFilter) -> Answer<Page<Call>> {
    search(backend, filter, |record| Some(Call::from(record))).await
}

/// What `take` makes of the records that pass, newest first.
pub(crate) async fn search<T>(
    backend: &Backend,
    filter: CallFilter,
    take: impl Fn(&CallRecord) -> Option<T>,
) -> Answer<Page<T>> {
    let (limit, span) = (filter.page().limit(), span(&filter));
    let mut cursor = filter.cursor.as_deref().map(read_cursor).transpose()?;
    let (mut calls, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = backend
            .records
            .scan(span, RecordOrder::NewestFirst, cursor, PAGE)
            .await?;
        for stored in &page.records {
            let record = read(&stored.value).map_err(damaged)?;
            looked_at += 1;
            if filter.passes(&record) {
                calls.extend(take(&record));
            }
            if calls.len() == limit || looked_at == LOOKED_AT {
                let here = RecordCursor {
                    at: stored.at,
                    key: stored.key.clone(),
                };
                let last = page.next.is_none() && page.records.last() == Some(stored);
                return Ok(Page::new(calls, (!last).then(|| cursor_text(&here))));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(Page::new(calls, None));
        }
    }
}

pub(crate) async fn show(backend: &Backend, id: AttemptId) -> Answer<Call> {
    let found = backend.records.get(id).await?;
    found
        .as_ref()
        .map(Call::from)
        .ok_or_else(|| crate::backend::missing("call", id))
}

/// Records as they are read, page by page.
pub(crate) fn export(backend: &Backend, filter: CallFilter) -> RecordStream {
    let records = backend.records.clone();
    let span = span(&filter);
    let pages = stream::unfold(Some(None), move |state: Option<Option<RecordCursor>>| {
        let records = records.clone();
        async move {
            let cursor = state?;
            let page = records
                .scan(span, RecordOrder::OldestFirst, cursor, PAGE)
                .await;
            let next = page
                .as_ref()
                .ok()
                .and_then(|page| page.next.clone())
                .map(Some);
            Some((page, next))
        }
    });
    let passed = pages.flat_map(move |page| {
        let rows: Vec<Answer<CallRecord>> = match page {
            Ok(page) => (page.records.iter())
                .map(|stored| read(&stored.value).map_err(damaged))
                .filter(|record| record.as_ref().map_or(true, |r| filter.passes(r)))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(rows)
    });
    passed.boxed()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::{CampaignId, ConsentId, ConsentKind, ConsentUsed};
    use domain::{LeadId, ListId, RegionId, SessionId};
    use member::{decode, encode_records};

    pub(crate) fn record(n: u32) -> CallRecord {
        let at = WallTime::from_millis(1_795_300_000_000 + i64::from(n) * 1000);
        CallRecord {
            invited_at: Some(at),
            ended_at: at,
            closed_at: at,
            disposition: Disposition::Busy,
            disposition_name: "busy".to_owned(),
            ..unknown(
                LostAttempt {
                    attempt: AttemptId::new(RegionId(1), 7, n),
                    lead: LeadId::new(RegionId(1), u64::from(n)),
                    number: "+14155550134".parse().unwrap(),
                    campaign: CampaignId(1),
                    list: ListId(1),
                    session: SessionId(5),
                    node: MemberId(2),
                    latest: at,
                },
                at,
            )
        }
    }

    #[tokio::test]
    async fn a_record_is_kept_once_and_only_from_its_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.redb");
        let keys = DataKeys::ephemeral();
        let records = Records::open(&path, &keys, Events::new()).await.unwrap();
        let batch = encode_records(&[record(1), record(2), record(1)]);
        let other = records
            .receive(MemberId(3), batch.clone())
            .await
            .unwrap_err();
        assert!(other.message.contains("mem_00000002"), "{other}");
        let reply = records.receive(MemberId(2), batch.clone()).await.unwrap();
        assert_eq!(decode::<RecordsReply>(&reply).unwrap().kept, 2);
        let reply = records.receive(MemberId(2), batch).await.unwrap();
        assert_eq!(decode::<RecordsReply>(&reply).unwrap().kept, 0);
        // A doubt that ran out says nothing about an attempt whose record is here.
        let lost = |n| LostAttempt {
            attempt: AttemptId::new(RegionId(1), 7, n),
            lead: LeadId::new(RegionId(1), 1),
            number: "+14155550134".parse().unwrap(),
            campaign: CampaignId(1),
            list: ListId(1),
            session: SessionId(5),
            node: MemberId(2),
            latest: WallTime::EPOCH,
        };
        assert_eq!(records.lost(vec![lost(2), lost(3)]).await.unwrap(), 1);
        drop(records);
        let records = Records::open(&path, &keys, Events::new()).await.unwrap();
        let counts = records.tally(|t| t.campaign(CampaignId(1)));
        assert_eq!((counts.attempts, counts.dispositions["unknown"]), (3, 1));
        let found = records
            .get(AttemptId::new(RegionId(1), 7, 2))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.disposition, Disposition::Busy);
        let clear = storage::in_clear(dir.path(), &[record(1).number], &[]);
        assert_eq!(clear.unwrap(), []);
    }

    #[tokio::test]
    async fn a_shipment_of_the_release_before_is_read_and_a_later_one_waits() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let path = dir.path().join("records.redb");
        let records = Records::open(&path, &keys, Events::new()).await.unwrap();
        let consent = Some(ConsentUsed {
            id: ConsentId(42),
            kind: ConsentKind::Form,
        });
        let batch = [
            CallRecord {
                consent,
                ..record(1)
            },
            record(2),
        ];
        // As nodes of the releases before send them: one after the other, all of version 4.
        let mut plain = vec![1, 2];
        for record in &batch {
            let value = stored(record).value;
            plain.extend(&value[1..value.len() - 7]);
        }
        let plain = Bytes::from(plain);
        let reply = records.receive(MemberId(2), plain).await.unwrap();
        assert_eq!(decode::<RecordsReply>(&reply).unwrap().kept, 2);
        let kept = records.get(record(1).attempt).await.unwrap().unwrap();
        assert_eq!((kept.consent, kept.attempt), (consent, record(1).attempt));
        // Each of its own version: an earlier one lacks the last field, a later one is refused.
        let mut earlier = stored(&record(3)).value;
        assert_eq!((earlier[0], earlier.pop()), (11, Some(0)));
        earlier[0] = 10;
        let shipment = |one: &[u8]| -> Bytes {
            let all = vec![one.to_vec(), stored(&record(4)).value];
            postcard::to_extend(&all, vec![2]).unwrap().into()
        };
        let reply = records.receive(MemberId(2), shipment(&earlier)).await;
        assert_eq!(decode::<RecordsReply>(&reply.unwrap()).unwrap().kept, 2);
        let mut later = stored(&record(5)).value;
        later[0] = VERSION + 1;
        let error = (records.receive(MemberId(2), shipment(&later)).await).unwrap_err();
        assert!(
            error.message.contains("upgrade this coordinator"),
            "{error}"
        );
        let error = (records.receive(MemberId(2), Bytes::from_static(&[9]))).await;
        assert!(error.unwrap_err().message.contains("version 9"));
    }

    #[test]
    fn cursors_round_trip() {
        let cursor = RecordCursor {
            at: WallTime::from_millis(-5),
            key: key(record(1).attempt),
        };
        assert_eq!(read_cursor(&cursor_text(&cursor)).unwrap(), cursor);
        assert!(read_cursor("5").is_err());
        assert!(read_cursor("5.abc").is_err());
    }
}
