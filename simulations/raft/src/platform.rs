//! What a simulated member stands on.

use crate::{
    disk::Disk,
    log::SimLog,
    network::SimMesh,
    runtime::{SimRuntime, calendar, draw_up_to, sleep},
};
use consensus::{GroupId, platform::Platform};
use domain::WallTime;
use std::{io, time::Duration};

/// How long work for the disk waits at most before it begins.
const WAITS: Duration = Duration::from_millis(40);

/// Simulated time, tasks, disk and links below the real adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SimPlatform;

impl Platform for SimPlatform {
    type Runtime = SimRuntime;
    type Log = SimLog;
    type Mesh = SimMesh;
    type Files = Disk;

    fn wall() -> WallTime {
        WallTime::from_millis(calendar())
    }

    /// The world looks at each member's groups, and ends the process of one that failed.
    fn group_failed(_: GroupId, _: &str) {}

    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        sleep(draw_up_to(WAITS)).await;
        let result = work();
        // If the power failed meanwhile, the process never comes back from this.
        sleep(Duration::from_nanos(1)).await;
        result
    }
}
