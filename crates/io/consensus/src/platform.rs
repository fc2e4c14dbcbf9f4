//! What stands below a group: time, tasks, the journal, files and the mesh.
//!
//! [`Native`] is the one of every process. The simulator brings another, below the same log store,
//! snapshots, machine and protocol; that is all that this seam is for.

use crate::config::GroupId;
use bytes::Bytes;
use domain::{MemberId, WallTime};
use mesh::{Endpoint, Priority, RpcError, Service, ServiceId};
use std::{
    fmt::Debug,
    future::Future,
    io,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::{EntryLog, Journal};

pub use storage::{Files, NativeFiles};

/// openraft's words for a runtime, for those who bring one: nobody else names openraft.
pub use openraft::{
    async_runtime as runtime, impls::TokioRuntime, rt::testing::Suite as RuntimeSuite,
};

/// A place where groups run.
pub trait Platform:
    Debug + Clone + Copy + Default + PartialEq + Eq + PartialOrd + Ord + Send + Sync + 'static
{
    /// Tasks, timers and channels.
    type Runtime: runtime::AsyncRuntime;
    /// The journal.
    type Log: EntryLog;
    /// The way to other members.
    type Mesh: MeshLink;
    /// Where snapshots lie.
    type Files: Files;

    /// The calendar's time.
    fn wall() -> WallTime;

    /// A group cannot go on at this member: what it had to keep was not kept, and what its files hold is
    /// not known.
    fn group_failed(group: GroupId, why: &str);

    /// Does work that waits for the disk, where it holds up nobody.
    fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;
}

/// Now, on the platform's monotonic clock.
pub(crate) type InstantOf<P> = <<P as Platform>::Runtime as runtime::AsyncRuntime>::Instant;

pub(crate) fn now<P: Platform>() -> InstantOf<P> {
    <InstantOf<P> as runtime::Instant>::now()
}

/// Waits for `future`, until `deadline` at most; `None` then.
pub(crate) async fn within<P: Platform, T>(
    deadline: Duration,
    future: impl Future<Output = T> + Send,
) -> Option<T> {
    let timed = <P::Runtime as runtime::AsyncRuntime>::timeout(deadline, future);
    timed.await.ok()
}

/// Requests to other members, and theirs. [`Endpoint`] is one.
pub trait MeshLink: Clone + Send + Sync + 'static {
    /// This member.
    fn member(&self) -> MemberId;

    /// Asks `peer`; see [`Endpoint::rpc_with`].
    fn rpc_with(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
        priority: Priority,
    ) -> impl Future<Output = Result<Bytes, RpcError>> + Send;

    /// Answers requests to `service` with `handler` from now on.
    fn serve(&self, service: ServiceId, handler: impl Service);
}

impl MeshLink for Endpoint {
    fn member(&self) -> MemberId {
        Self::member(self)
    }

    fn rpc_with(
        &self,
        peer: MemberId,
        service: ServiceId,
        payload: Bytes,
        deadline: Duration,
        priority: Priority,
    ) -> impl Future<Output = Result<Bytes, RpcError>> + Send {
        Self::rpc_with(self, peer, service, payload, deadline, priority)
    }

    fn serve(&self, service: ServiceId, handler: impl Service) {
        Self::serve(self, service, handler);
    }
}

/// The calendar of proposals, where the process has a better one than its machine.
static CALENDAR: OnceLock<fn() -> WallTime> = OnceLock::new();

/// Proposals of this process carry the time that `calendar` tells from now on, where the machine's
/// own clock may be wrong. Said again, nothing changes.
pub fn use_calendar(calendar: fn() -> WallTime) {
    CALENDAR.get_or_init(|| calendar);
}

/// Every process: tokio, the journal's threads, QUIC, the operating system's files and clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Native;

impl Platform for Native {
    type Runtime = TokioRuntime;
    type Log = Journal;
    type Mesh = Endpoint;
    type Files = NativeFiles;

    fn wall() -> WallTime {
        if let Some(calendar) = CALENDAR.get() {
            return calendar();
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        WallTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// As where the journal cannot be written: the process ends, the others take over, and whoever
    /// starts it again has all groups.
    fn group_failed(group: GroupId, why: &str) {
        tracing::error!(
            %group,
            why,
            "the group cannot go on at this member; this process stops so that no promise is broken. \
             Check the disk (space, errors in the kernel log), then start it again"
        );
        std::process::abort()
    }

    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(io::Error::other)?
    }
}
