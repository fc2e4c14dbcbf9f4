//! The face of a replicated state machine, as `consensus` drives it.

use domain::{MeshVersion, WallTime};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// What is known about the log entry being applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyContext {
    /// The entry's index in its group's log.
    pub index: u64,
    /// The proposer's wall time, made monotonic by the machine: replicas read no clock.
    pub wall: WallTime,
}

/// A snapshot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot of {what} cannot be read: {why}")]
pub struct RestoreError {
    /// Which machine.
    pub what: &'static str,
    /// What is wrong.
    pub why: String,
}

/// A deterministic state machine behind a Raft group. Equal logs give equal state, byte for byte
/// (I10): no clock, no entropy, no hash-map order, no floating point.
pub trait Replicated: Send + Sync + Sized + 'static {
    /// What is written in the log. `Clone` lets a proposer retry.
    type Command: Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static;
    /// What the proposer is answered.
    type Reply: Serialize + DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static;
    /// What local listeners are told as entries apply (do-not-call entries, campaigns ...).
    type Event: Clone + fmt::Debug + Send + Sync + 'static;

    /// The version of the mesh that all members must understand before a command is written.
    fn since(command: &Self::Command) -> MeshVersion {
        let _ = command;
        MeshVersion::BASE
    }

    /// What a proposer is answered at once, where some member may not be able to read the command:
    /// then nothing is written. Once a command may be written it always may.
    fn too_new(&self, command: &Self::Command) -> Option<Self::Reply> {
        let _ = command;
        None
    }

    /// Applies one committed command. Appends what listeners should hear to `events`.
    fn apply(
        &mut self,
        context: ApplyContext,
        command: Self::Command,
        events: &mut Vec<Self::Event>,
    ) -> Self::Reply;

    /// Applies a command whose reply nobody here waits for, as on a follower. The state and the events
    /// are those of [`Replicated::apply`]; only what the reply costs may be left out.
    fn apply_unheard(
        &mut self,
        context: ApplyContext,
        command: Self::Command,
        events: &mut Vec<Self::Event>,
    ) {
        self.apply(context, command, events);
    }

    /// The whole state as bytes, with a version in front.
    fn snapshot(&self) -> Vec<u8>;

    /// [`Replicated::snapshot`] of the state as it is now, in two steps. Nothing is applied during
    /// this one, so a machine with much state makes it short; what it returns may take its time on
    /// another thread.
    fn freeze(&self) -> Box<dyn FnOnce() -> Vec<u8> + Send> {
        let bytes = self.snapshot();
        Box::new(move || bytes)
    }

    /// The state from [`Replicated::snapshot`]'s bytes.
    fn restore(bytes: &[u8]) -> Result<Self, RestoreError>;

    /// What a listener should hear after the whole state was replaced by a snapshot.
    fn reset_event(&self) -> Self::Event;
}
