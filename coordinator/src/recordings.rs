//! Recordings: found by their calls' records, fetched from the node where they lie, opened here.
//!
//! Nothing of a recording is kept at a coordinator but the private halves of keys.

use crate::{
    backend::{Backend, audit, missing, unexpected},
    records,
};
use bytes::Bytes;
use dialmesh_http::{
    admin::{Answer, RecordingAudio, SoundStream},
    auth::Caller,
    dto::{
        Page, Recording, RecordingCheck, RecordingDetail, RecordingFilter, RecordingKey,
        RecordingPause, Timestamp, hex,
    },
    problem::BackendError,
};
use domain::{
    AttemptId, CallRecord, CallRecording, Disposition, MemberId, RecordingEnd, RecordingKeyId,
    limits,
};
use futures::{StreamExt as _, stream};
use ledger::{Change, Directory, DirectoryReply};
use member::{
    Member, NOT_HERE, RECORDING_PIECE, RECORDING_SIZE, RecordingOf, RecordingPiece, decode, encode,
};
use mesh::{Priority, RpcError};
use parking_lot::Mutex;
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use storage::{
    DataKeys, OpenRecording, RECORDING_CHUNK, RECORDING_FOOTER, RECORDING_HEAD_MAX, RecordingError,
    RecordingFooter, RecordingKeyError, RecordingKeys, RecordingPrivateKey, RecordingTail,
    SealedRecording,
};

const DAY: Duration = Duration::from_secs(86_400);
/// How long one piece of a recording may take.
const PIECE: Duration = Duration::from_secs(30);
/// Chunks fetched at once: somewhat less than [`limits::RECORDING_PIECE_BYTES`].
const AT_ONCE: u64 = 60;

/// The private halves that this coordinator has.
#[derive(Debug)]
pub(crate) struct Keys {
    ring: Mutex<RecordingKeys>,
    data_dir: PathBuf,
    keys: DataKeys,
}

impl Keys {
    /// Those in the data folder.
    pub(crate) fn open(data_dir: &Path, keys: &DataKeys) -> Result<Self, RecordingKeyError> {
        Ok(Self {
            ring: Mutex::new(RecordingKeys::open(data_dir, keys)?),
            data_dir: data_dir.into(),
            keys: keys.clone(),
        })
    }

    fn get(&self, id: RecordingKeyId) -> Option<RecordingPrivateKey> {
        self.ring.lock().get(id).cloned()
    }

    fn add(&self, key: RecordingPrivateKey) -> Result<(), RecordingKeyError> {
        self.ring.lock().add(key, &self.data_dir, &self.keys)
    }
}

fn shown(backend: &Backend, key: &domain::RecordingKey) -> RecordingKey {
    RecordingKey {
        id: key.id.to_string(),
        public: hex(&key.public),
        created_at: Timestamp(key.created_at),
        held_here: backend.recording_keys.get(key.id).is_some(),
    }
}

pub(crate) fn key(backend: &Backend) -> Answer<RecordingKey> {
    let key = (backend.member.directory()).read(Directory::recording_key);
    key.map(|key| shown(backend, &key))
        .ok_or_else(|| missing("recording key", "in use"))
}

/// Makes a key. Its private half is kept before the mesh hears of its public one.
pub(crate) async fn create_key(backend: &Arc<Backend>, by: &Caller) -> Answer<RecordingKey> {
    let key = RecordingPrivateKey::draw(service::clock::wall());
    audit(by, "create_recording_key", &key.id().to_string());
    let (keeper, kept) = (Arc::clone(backend), key.clone());
    tokio::task::spawn_blocking(move || keeper.recording_keys.add(kept))
        .await
        .map_err(|error| BackendError::Internal(error.to_string()))?
        .map_err(|error| match error {
            RecordingKeyError::Full => BackendError::Conflict(error.to_string()),
            other => BackendError::Internal(format!("the key was not kept: {other}")),
        })?;
    let public = key.public();
    let change = Change::SetRecordingKey { key: public };
    match backend.change(change).await?.reply {
        DirectoryReply::Done => Ok(shown(backend, &public)),
        other => Err(unexpected(&other)),
    }
}

pub(crate) async fn list(backend: &Backend, filter: RecordingFilter) -> Answer<Page<Recording>> {
    records::search(backend, filter.calls(), Recording::of).await
}

/// A recording's file at its node.
#[derive(Clone)]
struct Far {
    member: Member,
    node: MemberId,
    of: RecordingOf,
}

fn fetch_failed(error: &RpcError, node: MemberId, of: RecordingOf) -> BackendError {
    match error {
        RpcError::Service { code, .. } if *code == NOT_HERE => missing("recording", of.attempt),
        other => BackendError::Unavailable {
            detail: format!("the node {node}, where the recording lies, did not give it: {other}"),
            retry_after: Duration::from_secs(5),
        },
    }
}

impl Far {
    async fn ask(&self, service: mesh::ServiceId, body: Bytes) -> Answer<Bytes> {
        let endpoint = self.member.endpoint();
        let answer = endpoint.rpc_with(self.node, service, body, PIECE, Priority::Bulk);
        answer
            .await
            .map_err(|error| fetch_failed(&error, self.node, self.of))
    }

    async fn size(&self) -> Answer<u64> {
        let answer = self.ask(RECORDING_SIZE, encode(&self.of)).await?;
        decode(&answer).map_err(|error| BackendError::Internal(error.to_string()))
    }

    /// A part of the file; exactly as much.
    async fn part(&self, range: Range<u64>) -> Answer<Vec<u8>> {
        let mut all = Vec::new();
        while range.start + (all.len() as u64) < range.end {
            let offset = range.start + all.len() as u64;
            let bytes = (range.end - offset).min(limits::RECORDING_PIECE_BYTES as u64) as u32;
            let ask = RecordingPiece {
                of: self.of,
                offset,
                bytes,
            };
            let piece = self.ask(RECORDING_PIECE, encode(&ask)).await?;
            if piece.is_empty() {
                return Err(damaged(&RecordingError::Tail));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

fn damaged(error: &RecordingError) -> BackendError {
    BackendError::Conflict(error.to_string())
}

/// Where a call's recording lies, and its bytes. A crash hides from the record when the call was joined,
/// and that it was recorded: it was on the day of its INVITE, or just after.
async fn found(backend: &Backend, record: &CallRecord) -> Answer<(Far, u64)> {
    let crashed = matches!(
        record.disposition,
        Disposition::Unknown | Disposition::Agent(_)
    );
    let days = match (record.recording, record.bridged_at, record.invited_at) {
        (Some(_), Some(began_at), _) => vec![began_at],
        (None, None, Some(invited_at)) if crashed => vec![invited_at, invited_at + DAY],
        _ => Vec::new(),
    };
    let mut last = missing("recording", record.attempt);
    for began_at in days {
        let far = Far {
            member: backend.member.clone(),
            node: record.node,
            of: RecordingOf {
                attempt: record.attempt,
                began_at,
            },
        };
        match far.size().await {
            Ok(bytes) => return Ok((far, bytes)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A recording, opened.
struct Opened {
    far: Far,
    open: Arc<OpenRecording>,
    record: CallRecord,
    file_bytes: u64,
    /// What its end says; none where it has none.
    end: Option<(RecordingFooter, RecordingTail)>,
    frames: u64,
}

async fn open(backend: &Backend, call: AttemptId) -> Answer<Opened> {
    let record = (backend.records.get(call).await?).ok_or_else(|| missing("call", call))?;
    let (far, file_bytes) = found(backend, &record).await?;
    let head = far
        .part(0..file_bytes.min(RECORDING_HEAD_MAX as u64))
        .await?;
    let sealed = SealedRecording::read(&head).map_err(|error| damaged(&error))?;
    let id = sealed.head().key;
    let key = backend.recording_keys.get(id);
    let key = key.ok_or_else(|| damaged(&RecordingError::OtherKey(id)))?;
    let open = sealed.unlock(&key).map_err(|error| damaged(&error))?;
    if open.head().attempt != call {
        return Err(damaged(&RecordingError::Head));
    }
    let end = end_of(&far, &open, file_bytes).await?;
    let frames = match &end {
        Some((_, tail)) => tail.frames,
        None => open.frames_without_end(file_bytes),
    };
    Ok(Opened {
        far,
        open: Arc::new(open),
        record,
        file_bytes,
        end,
        frames,
    })
}

async fn end_of(
    far: &Far,
    open: &OpenRecording,
    file_bytes: u64,
) -> Answer<Option<(RecordingFooter, RecordingTail)>> {
    let Some(at) = file_bytes.checked_sub(RECORDING_FOOTER as u64) else {
        return Ok(None);
    };
    let last = far.part(at..file_bytes).await?;
    let Some(footer) = RecordingFooter::read(&last) else {
        return Ok(None);
    };
    let from = at.checked_sub(footer.tail.into());
    let from = from.ok_or_else(|| damaged(&RecordingError::Tail))?;
    let mut sealed = far.part(from..at).await?;
    let tail = open.tail(&footer, &mut sealed, file_bytes);
    let tail = tail.map_err(|error| damaged(&error))?;
    Ok(Some((footer, tail)))
}

pub(crate) async fn show(backend: &Backend, call: AttemptId) -> Answer<RecordingDetail> {
    let opened = open(backend, call).await?;
    let untold = CallRecord {
        recording: (opened.record.recording).or(Some(CallRecording::only(RecordingEnd::Untold))),
        ..opened.record.clone()
    };
    let recording = Recording::of(&untold).ok_or_else(|| missing("recording", call))?;
    let tail = opened.end.as_ref().map(|(_, tail)| tail);
    let peaks = |side: usize| {
        tail.map_or_else(Vec::new, |tail| {
            tail.peaks.iter().map(|peak| peak[side]).collect()
        })
    };
    let head = opened.open.head();
    Ok(RecordingDetail {
        recording,
        complete: tail.is_some(),
        sound_ms: u32::try_from(opened.frames / 8).unwrap_or(u32::MAX),
        codec: match head.codec {
            domain::Codec::Pcmu => "pcmu",
            domain::Codec::Pcma => "pcma",
        }
        .to_owned(),
        key: head.key.to_string(),
        pauses: (tail.iter().flat_map(|tail| &tail.pauses))
            .map(|(from_ms, until_ms)| RecordingPause {
                from_ms: *from_ms,
                until_ms: *until_ms,
            })
            .collect(),
        agent_peaks: peaks(0),
        person_peaks: peaks(1),
    })
}

impl Opened {
    fn chunks(&self) -> u64 {
        (2 * self.frames).div_ceil(RECORDING_CHUNK as u64)
    }
}

/// Some chunks in a row, as they lie in the file.
async fn sealed_chunks(
    far: &Far,
    open: &OpenRecording,
    chunks: Range<u64>,
    frames: u64,
) -> Answer<Vec<(u64, Vec<u8>)>> {
    let places: Vec<(u64, Range<u64>)> =
        (chunks.map_while(|index| Some((index, open.chunk_at(index, frames)?)))).collect();
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return Ok(Vec::new());
    };
    let start = first.1.start;
    let all = far.part(start..last.1.end).await?;
    let cut =
        |at: &Range<u64>| all[(at.start - start) as usize..(at.end - start) as usize].to_vec();
    Ok(places.iter().map(|(index, at)| (*index, cut(at))).collect())
}

/// Reads all of it: each second opens, and the whole is what the call's record names.
pub(crate) async fn check(
    backend: &Backend,
    by: &Caller,
    call: AttemptId,
) -> Answer<RecordingCheck> {
    audit(by, "check_recording", &call.to_string());
    let opened = match open(backend, call).await {
        Ok(opened) => opened,
        Err(BackendError::Conflict(trouble)) => return Ok(unsound(trouble, false, 0)),
        Err(other) => return Err(other),
    };
    let complete = opened.end.is_some();
    let head_end = (opened.open.chunk_at(0, 1)).map_or(0, |at| at.start);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&opened.far.part(0..head_end).await?);
    let mut seconds = 0;
    while seconds < opened.chunks() {
        let range = seconds..(seconds + AT_ONCE).min(opened.chunks());
        let some = sealed_chunks(&opened.far, &opened.open, range, opened.frames).await?;
        for (index, mut sealed) in some {
            hasher.update(&sealed);
            if let Err(error) = opened.open.chunk(index, &mut sealed) {
                return Ok(unsound(error.to_string(), complete, seconds));
            }
            seconds += 1;
        }
    }
    let hash = *hasher.finalize().as_bytes();
    let known = opened.record.recording.and_then(|recording| recording.hash);
    let said = opened.end.as_ref().map(|(footer, _)| footer.hash);
    let trouble = match (said, known) {
        (Some(said), _) if said != hash => "the file's end names another content",
        (Some(_), Some(known)) if known != hash => {
            "it is not the file that the call's record names"
        }
        (None, Some(_)) => "its end was there when the call's record was closed, and is cut off",
        _ => {
            return Ok(RecordingCheck {
                sound: true,
                complete,
                seconds,
                trouble: String::new(),
            });
        }
    };
    Ok(unsound(trouble.to_owned(), complete, seconds))
}

fn unsound(trouble: String, complete: bool, seconds: u64) -> RecordingCheck {
    RecordingCheck {
        sound: false,
        complete,
        seconds,
        trouble,
    }
}

pub(crate) async fn audio(
    backend: &Backend,
    by: &Caller,
    call: AttemptId,
) -> Answer<RecordingAudio> {
    audit(by, "hear_recording", &call.to_string());
    let opened = open(backend, call).await?;
    let frames = u32::try_from(opened.frames).unwrap_or(u32::MAX);
    let header = media::wav::header(opened.open.head().codec, 2, frames);
    let bytes = header.len() as u64 + 2 * opened.frames;
    let tag = format!("{call}-{}", opened.file_bytes);
    Ok(RecordingAudio {
        bytes,
        tag,
        part: Box::new(move |range| part(opened, header.to_vec(), range)),
    })
}

/// A part of the WAV file: its header, and seconds that are fetched and opened as they go out.
fn part(opened: Opened, header: Vec<u8>, range: Range<u64>) -> SoundStream {
    let ahead = header.len() as u64;
    let head = header[range.start.min(ahead) as usize..range.end.min(ahead) as usize].to_vec();
    let sound = range.start.saturating_sub(ahead)..range.end.saturating_sub(ahead);
    let chunk = RECORDING_CHUNK as u64;
    let chunks = sound.start / chunk..sound.end.div_ceil(chunk);
    let first = stream::once(async move { Ok(Bytes::from(head)) });
    let rest = stream::unfold((chunks, opened), move |(left, opened)| {
        let sound = sound.clone();
        async move {
            if left.is_empty() {
                return None;
            }
            let now = left.start..left.end.min(left.start + AT_ONCE);
            let behind = now.end..left.end;
            let opened_bytes = plain(&opened, now, &sound).await;
            let behind = if opened_bytes.is_err() { 0..0 } else { behind };
            Some((opened_bytes, (behind, opened)))
        }
    });
    first.chain(rest).boxed()
}

/// The sound of some chunks, as far as it lies within `sound`.
async fn plain(opened: &Opened, chunks: Range<u64>, sound: &Range<u64>) -> io::Result<Bytes> {
    let some = sealed_chunks(&opened.far, &opened.open, chunks, opened.frames).await;
    let some = some.map_err(|error| io::Error::other(error.to_string()))?;
    let mut out = Vec::with_capacity(some.len() * RECORDING_CHUNK);
    for (index, mut sealed) in some {
        let plain = (opened.open.chunk(index, &mut sealed)).map_err(io::Error::other)?;
        let start = index * RECORDING_CHUNK as u64;
        let from = sound.start.saturating_sub(start).min(plain.len() as u64);
        let until = sound.end.saturating_sub(start).min(plain.len() as u64);
        out.extend_from_slice(&plain[from as usize..until as usize]);
    }
    Ok(Bytes::from(out))
}
