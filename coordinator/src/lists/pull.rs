//! One pull of one list: asked for, read in bounded memory, counted, checked, accepted.

use super::{
    Lists,
    address::Address,
    fetch::{Ask, FetchError, Fetched, List, Marks, fetch},
    folder::{Credentials, Folder, State, Text, Waiting},
};
use crate::{backend::Backend, operations::Running};
use bytes::Bytes;
use dialmesh_http::dto::{DncListPull, DncListResult};
use domain::{CountryCode, DncBaseId, WallTime, limits};
use futures::StreamExt as _;
use ledger::{Change, DirectoryReply, DncList, DncListChange, DncListObtained};
use permit::base::BaseAbout;
use std::{
    io::{self, Read},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use storage::{
    BuildProgress, BuiltDncBase, DncBaseBuild, ListCounts, SORT_MEMORY, compare_dnc_bases, e164,
};
use tokio::sync::mpsc;

/// How long after a passing failure the publisher is asked again, within one pull.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Pieces on their way from the link to the reader.
const PIECES: usize = 8;

/// Why nothing was taken.
struct Failed {
    why: String,
    /// Whether it may go well when asked once more.
    again: bool,
}

impl From<FetchError> for Failed {
    fn from(FetchError { why, again }: FetchError) -> Self {
        Self { why, again }
    }
}

fn failed(why: impl Into<String>) -> Failed {
    let why = why.into();
    Failed { why, again: false }
}

/// What is handed to the reader.
enum Piece {
    Bytes(Bytes),
    /// The list is whole. Without this word it was cut off.
    End,
}

/// The list as the builder of bases reads it: hashed and counted on the way.
struct Reader {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    hash: blake3::Hasher,
    bytes: Arc<AtomicU64>,
    ended: bool,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => {
                    self.hash.update(&bytes);
                    self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    self.rest = bytes;
                }
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::other("it was cut off")),
            }
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.rest.split_to(len));
        Ok(len)
    }
}

/// A list that is whole and on the disk.
struct Taken {
    built: BuiltDncBase,
    counts: ListCounts,
    content: String,
    bytes: u64,
    as_of: WallTime,
    marks: Marks,
}

/// What a pull found.
enum Found {
    Unchanged { as_of: WallTime, bytes: u64 },
    New(Box<Taken>),
}

/// What a pull works with.
struct Pull<'a> {
    backend: &'a Backend,
    name: &'a str,
    list: DncList,
    folder: Folder,
}

/// Pulls a list. Nobody else pulls or builds meanwhile. The operation ends with it.
pub(super) async fn pull(backend: &Backend, name: &str, mut running: Running) {
    let begun = (Instant::now(), service::clock::wall());
    let lists = &backend.lists;
    let list = backend
        .member
        .directory()
        .read(|d| d.dnc_list(name).cloned());
    let Some(list) = list else {
        running.end(Some("the list was removed meanwhile".to_owned()));
        return;
    };
    let pull = Pull {
        backend,
        name,
        list,
        folder: lists.folder(name),
    };
    let mut state = match pull.folder.state() {
        Ok(state) => state,
        Err(error) => {
            running.end(Some(format!(
                "what is kept of the list cannot be read: {error}"
            )));
            return;
        }
    };
    let dry_run = running.operation.dry_run;
    let mut note = DncListPull {
        at: begun.1.into(),
        took_ms: 0,
        result: DncListResult::Failed,
        bytes: 0,
        rows: 0,
        invalid: 0,
        numbers: 0,
        added: 0,
        removed: 0,
        error: None,
        operation: Some(running.operation.id.clone()),
    };
    let result = pull.run(&mut state, &mut note, &mut running).await;
    note.took_ms = u64::try_from(begun.0.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Err(failed) = &result {
        note.result = DncListResult::Failed;
        note.error = Some(failed.why.clone());
    }
    let operation = &mut running.operation;
    operation.rows = note.rows;
    operation.bytes_done = note.bytes;
    let counts = [
        ("numbers", note.numbers),
        ("added", note.added),
        ("removed", note.removed),
        ("invalid", note.invalid),
    ];
    operation.counts = (counts.into_iter())
        .map(|(what, n)| (what.to_owned(), n))
        .collect();
    let mut why = note.error.clone();
    if !dry_run {
        let result = match note.result {
            DncListResult::Unchanged => "unchanged",
            DncListResult::Accepted => "accepted",
            DncListResult::NeedsApproval => "needs_approval",
            DncListResult::Failed => "failed",
        };
        metrics::counter!("dialmesh_dnc_list_pulls_total", "list" => name.to_owned(), "result" => result)
            .increment(1);
        state.tried_at = Some(begun.1.as_millis());
        state.failures = match note.result {
            DncListResult::Failed => state.failures.saturating_add(1),
            _ => 0,
        };
        state.note(note.clone());
        let (folder, kept) = (pull.folder.clone(), state.clone());
        let kept = tokio::task::spawn_blocking(move || folder.keep(&kept)).await;
        if let Err(error) = kept.map_err(io::Error::other).flatten() {
            tracing::error!(list = name, %error, "how a pull went is not kept");
            why = Some(format!("the disk refused: {error}"));
            note.result = DncListResult::Failed;
        } else if let Err(error) = tell(backend, name, &state).await {
            // The next look tells it.
            tracing::warn!(list = name, %error, "the directory has not heard of a pull yet");
        }
    }
    match (note.result, why) {
        (DncListResult::NeedsApproval, Some(why)) if dry_run => {
            running.operation.error = Some(format!("it would need an approval: {why}"));
            running.end(None);
        }
        (DncListResult::NeedsApproval, Some(why)) => {
            tracing::warn!(list = name, why, "a do-not-call list needs an approval");
            running.needs_approval(why);
        }
        (DncListResult::Failed, why) => {
            tracing::warn!(list = name, why, "a do-not-call list was not pulled");
            running.end(why);
        }
        (result, _) => {
            tracing::info!(list = name, ?result, "a do-not-call list was pulled");
            running.end(None);
        }
    }
}

/// Tells the directory what was accepted and when it was last confirmed, where it does not know.
pub(super) async fn tell(backend: &Backend, name: &str, state: &State) -> Result<(), String> {
    let Some(text) = &state.accepted else {
        return Ok(());
    };
    let part = text.part().ok_or("its kept state names no file")?;
    let known = (backend.member.directory()).read(|d| Some(d.dnc_list(name)?.obtained));
    let Some(known) = known else {
        return Ok(());
    };
    if known.is_some_and(|known| known.part == part && known.at >= text.as_of()) {
        return Ok(());
    }
    let obtained = DncListObtained {
        part,
        numbers: text.numbers,
        at: text.as_of(),
    };
    let change = Change::ChangeDncList {
        name: name.to_owned(),
        change: DncListChange::Obtained(obtained),
    };
    match backend
        .change(change)
        .await
        .map_err(|e| e.to_string())?
        .reply
    {
        DirectoryReply::Done => Ok(()),
        other => Err(format!("the directory answered {other:?}")),
    }
}

impl Pull<'_> {
    async fn run(
        &self,
        state: &mut State,
        note: &mut DncListPull,
        running: &mut Running,
    ) -> Result<(), Failed> {
        let lists = &self.backend.lists;
        let settings = &self.list.settings;
        let from = Address::parse(&settings.from, lists.files());
        let from = from.map_err(|why| failed(format!("its address {why}")))?;
        let folder = self.folder.clone();
        let credentials = tokio::task::spawn_blocking(move || folder.credentials()).await;
        let credentials: Credentials = (credentials.map_err(io::Error::other).flatten())
            .map_err(|error| failed(format!("what it is asked with cannot be read: {error}")))?;
        let mut pauses = AGAIN.iter();
        let found = loop {
            let found = self.look(state, &from, &credentials, running).await;
            match (found, pauses.as_slice()) {
                (Err(Failed { why, again: true }), [pause, ..]) => {
                    tracing::info!(
                        list = self.name,
                        why,
                        "a do-not-call list is asked for again"
                    );
                    tokio::time::sleep(*pause).await;
                    pauses.next();
                }
                (found, _) => break found?,
            }
        };
        let dry_run = running.operation.dry_run;
        let taken = match found {
            Found::Unchanged { as_of, bytes } => {
                note.bytes = bytes;
                note.result = DncListResult::Unchanged;
                if let Some(text) = &mut state.accepted {
                    note.numbers = text.numbers;
                    text.confirmed(as_of);
                }
                if let Some(waiting) = state.waiting.take().filter(|_| !dry_run) {
                    let why = "the publisher has gone back to what was accepted before";
                    lists.settle(self.backend, &waiting, Err(why.to_owned()));
                }
                return Ok(());
            }
            Found::New(taken) => taken,
        };
        note.bytes = taken.bytes;
        note.rows = taken.counts.read - taken.counts.blank;
        note.invalid = invalid(&taken.counts);
        note.numbers = taken.built.count;
        (note.added, note.removed) = self.compared(state, taken.built.id).await?;
        let doubt = self.doubt(note);
        note.result = match &doubt {
            None => DncListResult::Accepted,
            Some(_) => DncListResult::NeedsApproval,
        };
        note.error = doubt.clone();
        if dry_run {
            // Nothing is left of it, and what it would have been is told.
            std::fs::remove_file(&taken.built.path)
                .map_err(|error| failed(format!("the disk refused: {error}")))?;
            return Ok(());
        }
        let text = Text::new(
            taken.built.id,
            taken.content,
            taken.built.count,
            taken.as_of,
            taken.marks,
        );
        if let Some(before) = state.waiting.take() {
            let why = "a later pull took its place".to_owned();
            lists.settle(self.backend, &before, Err(why));
        }
        match doubt {
            None => state.accepted = Some(text),
            Some(reason) => {
                state.waiting = Some(Waiting {
                    text,
                    reason,
                    operation: running.operation.id.clone(),
                });
            }
        }
        Ok(())
    }

    /// Asks the publisher once, and reads what comes.
    async fn look(
        &self,
        state: &State,
        from: &Address,
        credentials: &Credentials,
        running: &mut Running,
    ) -> Result<Found, Failed> {
        let lists = &self.backend.lists;
        let accepted = state.accepted.as_ref();
        // What is confirmed must be here, and what the directory knows.
        let accepted = accepted.filter(|text| {
            text.part()
                .is_some_and(|part| self.folder.open(part).is_ok())
        });
        let marks = accepted.map(|text| text.marks.clone()).unwrap_or_default();
        let ask = Ask {
            from,
            files: lists.files(),
            header: credentials.header.as_ref(),
            ca: credentials.ca.as_deref(),
            marks: &marks,
            most: lists.most(),
        };
        let list = match fetch(&ask).await? {
            Fetched::Unchanged(as_of) => return Ok(Found::Unchanged { as_of, bytes: 0 }),
            Fetched::List(list) => list,
        };
        running.operation.bytes_total = list.length;
        let taken = self.take(list, running).await?;
        if accepted.is_some_and(|text| text.content == taken.content) {
            let path = taken.built.path;
            let same = accepted.and_then(Text::part) == Some(taken.built.id);
            if !same {
                std::fs::remove_file(path)
                    .map_err(|error| failed(format!("the disk refused: {error}")))?;
            }
            let (as_of, bytes) = (taken.as_of, taken.bytes);
            return Ok(Found::Unchanged { as_of, bytes });
        }
        Ok(Found::New(Box::new(taken)))
    }

    /// Reads a list to its end, as a base file of its own.
    async fn take(&self, mut list: List, running: &mut Running) -> Result<Taken, Failed> {
        let (send, pieces) = mpsc::channel(PIECES);
        let bytes = Arc::new(AtomicU64::new(0));
        let reader = Reader {
            pieces,
            rest: Bytes::new(),
            hash: blake3::Hasher::new(),
            bytes: Arc::clone(&bytes),
            ended: false,
        };
        let plan = DncBaseBuild {
            dir: self.folder.dir().to_owned(),
            about: BaseAbout {
                source: self.name.to_owned(),
                built_at: list.as_of,
            },
            memory: SORT_MEMORY,
        };
        let country = self.list.settings.country;
        let building = tokio::task::spawn_blocking(move || built(&plan, reader, country));
        let most = self.backend.lists.most();
        let mut came = 0;
        let mut broken = None;
        while let Some(piece) = list.pieces.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            };
            came += piece.len() as u64;
            if came > most {
                broken = Some(FetchError::too_large(most));
                break;
            }
            running.operation.bytes_done = came;
            running.tell();
            if send.send(Piece::Bytes(piece)).await.is_err() {
                // The builder has given up, and says why.
                break;
            }
        }
        let short = list.length.is_some_and(|length| came < length);
        if broken.is_none() && !short {
            // As above.
            drop(send.send(Piece::End).await);
        }
        drop(send);
        let done = match building.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if let Some(broken) = broken {
            return Err(broken.into());
        }
        let (built, counts, content) = done.map_err(|error| Failed {
            why: format!("{:#}", anyhow::Error::from(error)),
            again: short,
        })?;
        Ok(Taken {
            built,
            counts,
            content,
            bytes: bytes.load(Ordering::Relaxed),
            as_of: list.as_of,
            marks: list.marks,
        })
    }

    /// How many numbers are new, and how many are gone.
    async fn compared(&self, state: &State, new: DncBaseId) -> Result<(u64, u64), Failed> {
        let old = state.accepted.as_ref().and_then(Text::part);
        let folder = self.folder.clone();
        let compared = tokio::task::spawn_blocking(move || {
            let new = folder.open(new).map_err(|e| e.to_string())?;
            match old.and_then(|old| folder.open(old).ok()) {
                None => Ok((new.count(), 0)),
                Some(old) => compare_dnc_bases(&old, &new).map_err(|e| e.to_string()),
            }
        });
        match compared.await {
            Ok(compared) => compared.map_err(failed),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Why somebody must look at it first, if somebody must.
    fn doubt(&self, note: &DncListPull) -> Option<String> {
        let settings = &self.list.settings;
        let before = self.list.obtained.map_or(0, |obtained| obtained.numbers);
        let gone = before.saturating_sub(note.numbers);
        if over(gone, before, settings.shrink_permille) {
            return Some(format!(
                "it has {} numbers and had {before}: more than {} of a thousand are gone",
                note.numbers, settings.shrink_permille
            ));
        }
        if over(note.invalid, note.rows, settings.invalid_permille) {
            return Some(format!(
                "{} of {} rows are no numbers: more than {} of a thousand",
                note.invalid, note.rows, settings.invalid_permille
            ));
        }
        None
    }
}

/// Whether `part` is more than so many thousandths of `whole`.
fn over(part: u64, whole: u64, permille: u16) -> bool {
    u128::from(part) * 1000 > u128::from(whole) * u128::from(permille)
}

/// Rows that are no numbers; a heading is none of them.
fn invalid(counts: &ListCounts) -> u64 {
    let heading = counts
        .first_invalid
        .first()
        .is_some_and(|row| row.line == 1);
    counts.invalid - u64::from(heading)
}

fn built(
    plan: &DncBaseBuild,
    mut reader: Reader,
    country: Option<CountryCode>,
) -> Result<(BuiltDncBase, ListCounts, String), storage::BuildError> {
    let read = |text: &str| match &country {
        Some(code) => numbering::parse(text, code.as_str()).map_err(|error| error.to_string()),
        None => e164(text),
    };
    let go_on = |_: BuildProgress| ControlFlow::Continue(());
    let (built, counts) = plan.from_list(&mut reader, read, |_| Ok(()), go_on)?;
    Ok((built, counts, reader.hash.finalize().to_hex().to_string()))
}

/// When a list is to be pulled next.
pub(super) fn next_pull(list: &DncList, state: &State) -> WallTime {
    let Some(tried) = state.tried_at.map(WallTime::from_millis) else {
        return list.declared_at;
    };
    let every = list.settings.every;
    match state.failures {
        0 => tried + every,
        // Twice as long after each failure, and never longer than its own time.
        n => {
            let back_off =
                limits::DNC_LIST_EVERY_MIN.saturating_mul(1 << n.min(16).saturating_sub(1));
            tried + every.min(back_off)
        }
    }
}

impl Lists {
    /// What waited for an approval has ended: taken, or why not.
    pub(super) fn settle(&self, backend: &Backend, waiting: &Waiting, end: Result<(), String>) {
        backend.operations.decide(&waiting.operation, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::DncListSettings;

    #[test]
    fn thousandths_are_exact_at_their_bound() {
        assert!(!over(100, 1000, 100) && over(101, 1000, 100));
        assert!(!over(0, 0, 0) && over(1, 1000, 0));
        assert!(!over(u64::MAX, u64::MAX, 1000));
        assert!(!over(1, 1000, 1) && over(1, 999, 1));
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let list = DncList {
            settings: DncListSettings {
                from: "https://registry.example/".into(),
                every: Duration::from_secs(3600),
                country: None,
                max_age: Duration::from_secs(86_400),
                shrink_permille: 100,
                invalid_permille: 1,
            },
            kept_by: domain::MemberId(1),
            paused: false,
            declared_at: WallTime::from_millis(5),
            obtained: None,
        };
        let next = |tried_at, failures| {
            let state = State {
                tried_at,
                failures,
                ..State::default()
            };
            next_pull(&list, &state).as_millis()
        };
        assert_eq!(next(None, 0), 5, "at once");
        let minutes = [1, 2, 3, 6, 7, 40].map(|failures| next(Some(0), failures) / 60_000);
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60]);
        assert_eq!(next(Some(0), 0), 3_600_000);
    }
}
