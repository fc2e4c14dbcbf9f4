//! Recordings at a node: one thread takes what the relay recorded, lays it on each call's canvas
//! ([`media::Recorder`]), seals it second by second ([`storage::RecordingWriter`]), and tells what became
//! of it. [`Folder`] is where the files lie: found by call, deleted when their time is over, bounded.
//!
//! Nobody who carries sound waits for this thread: what it has no time for is silence, and counted. A
//! disk that refuses ends recordings, never calls.

mod folder;
mod writer;

pub use folder::{Folder, FolderLimits};
pub use writer::{Order, Orders, Writer, WriterHandle};
