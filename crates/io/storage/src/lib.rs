//! What a process keeps on its disk.
//!
//! - [`Journal`]: the one durable log of a process (Raft groups, the node's own journal), with
//!   group commit. A failed write or fsync stops the process. [`SteppedJournal`] is the same
//!   without threads, on files of its owner's, for the simulator.
//! - [`KeyValue`]: views that can be rebuilt, on sled or redb.
//! - [`RecordStore`]: records found by key and by time (call records), durable.
//! - [`DncBase`]: the do-not-call base, a file mapped into memory; [`DncBaseBuild`] builds it,
//!   [`IncomingDncBase`] receives it, [`DncBaseSwap`] replaces it while it is asked.
//! - [`DataKeys`]: the member's data key, with which all of these are sealed but the do-not-call
//!   base; [`SealedWriter`], [`SealedFile`] for files of other crates.
//! - [`RecordingWriter`], [`SealedRecording`]: recordings of calls, which their writer cannot read;
//!   [`RecordingKeys`]: who can.
//! - [`DataDirLock`], [`ProcessEpoch`]: one process a directory, and which run of it this is.
//!
//! **Crash rules.** Bytes given to `write` survive the death of the process; bytes that a returned
//! `fdatasync` covers survive a power cut. sled gives only the first, so nothing that only sled
//! knows may be the single copy: its views carry the index they are built up to and a checksum,
//! and are thrown away and rebuilt when behind or damaged.

mod clear_text;
mod data_dir;
mod dnc_base;
mod files;
mod journal;
mod key_value;
mod recording;
mod records;
mod redb_view;
mod seal;
mod sled_view;

pub use clear_text::{Clear, in_clear};
pub use data_dir::{
    DataDirError, DataDirLock, EpochError, ProcessEpoch, sync_folder_of, write_atomically,
};
pub use dnc_base::{
    BuildError, BuildProgress, BuiltDncBase, DNC_BASE_SUFFIX, DncBase, DncBaseBuild, DncBaseError,
    DncBaseSwap, IncomingDncBase, IncomingError, InvalidLine, ListCounts, RejectedLine,
    SORT_MEMORY, SORT_MEMORY_MIN, adopt_dnc_base, compare_dnc_bases, dnc_base_path, dnc_bases,
    e164,
};
pub use files::{Files, NativeFiles};
pub use journal::{
    Durability, EntryLog, Journal, JournalBatch, JournalError, JournalOptions, JournalStream,
    MAX_ENTRY_BYTES, SteppedJournal, Written,
};
pub use key_value::{KeyValue, KeyValueError, OpenedView, ViewBatch, ViewEntry, ViewState};
pub use raft_engine::env as engine_files;
pub use recording::{
    OpenRecording, RECORDING_CHUNK, RECORDING_FOOTER, RECORDING_HEAD_MAX, RECORDING_SUFFIX,
    RecordedSide, RecordingError, RecordingFooter, RecordingHead, RecordingKeyError, RecordingKeys,
    RecordingPrivateKey, RecordingSum, RecordingTail, RecordingWriter, SealedRecording,
    content_hash,
};
pub use records::{Record, RecordCursor, RecordError, RecordOrder, RecordPage, RecordStore};
pub use redb_view::RedbView;
pub use seal::{
    DataKeyId, DataKeys, KeyFileError, SEAL_BYTES, SEALED_BY, SealError, SealedFile, SealedKind,
    SealedWriter, is_wrong_key, seal_anew, sealed_parts,
};
pub use sled_view::SledView;

/// Copies a folder of files, for tests on data that earlier releases wrote.
#[cfg(test)]
pub(crate) fn copy_folder(from: &str, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            continue;
        }
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
