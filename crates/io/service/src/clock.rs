//! The one place that reads the machine's clocks.

use arc_swap::ArcSwapOption;
use domain::{ClockVerdict, Instant, MeshClock, Now, WallTime};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{
    fs, io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The calendars of other members, once some were heard.
static MESH: ArcSwapOption<MeshClock> = ArcSwapOption::const_empty();

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Nanoseconds since boot on `CLOCK_BOOTTIME`, which counts suspend: a lease must not outlive the
/// nap of a laptop or a paused virtual machine.
pub fn monotonic() -> Instant {
    Instant::from_nanos(u64::try_from(nanos(clock_gettime(ClockId::Boottime))).unwrap_or(0))
}

/// The machine's own calendar, right or wrong: what it tells others.
pub fn machine_wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or_else(
        |before| -i128::try_from(before.duration().as_millis()).unwrap_or(i128::MAX),
        |since| i128::try_from(since.as_millis()).unwrap_or(i128::MAX),
    );
    WallTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// The machine's own clocks, read once.
fn machine() -> Now {
    Now {
        monotonic: monotonic(),
        wall: machine_wall(),
    }
}

/// The calendar's time, in milliseconds: the machine's, or that of the other members where most of
/// them say otherwise.
pub fn wall() -> WallTime {
    judged().0.wall
}

/// Both clocks, read once.
pub fn now() -> Now {
    judged().0
}

/// Both clocks, and whether the calendar can be trusted.
pub fn judged() -> (Now, ClockVerdict) {
    let own = machine();
    match MESH.load().as_deref() {
        None => (own, ClockVerdict::Alone),
        Some(mesh) => {
            let (wall, verdict) = mesh.wall(own);
            (Now { wall, ..own }, verdict)
        }
    }
}

/// The time that proposals carry: the calendar's, at the earliest that it can be
/// ([`MeshClock::proposed`]).
pub fn proposed() -> WallTime {
    let own = machine();
    match MESH.load().as_deref() {
        None => own.wall,
        Some(mesh) => mesh.proposed(own),
    }
}

/// From now on this process goes by the majority of these and its own.
pub fn heard(mesh: MeshClock) {
    MESH.store(Some(Arc::new(mesh)));
}

/// How long until `at` on the steady clock; zero when it has passed.
pub fn until(at: Instant) -> Duration {
    at.since(monotonic())
}

/// The kernel's name for this boot: a journal written under another one was left by a boot that
/// has ended.
///
/// # Errors
/// The kernel's file could not be read.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_never_goes_back_and_the_calendar_is_plausible() {
        let (a, b) = (now(), now());
        assert!(b.monotonic >= a.monotonic);
        assert!(a.wall > WallTime::from_millis(1_700_000_000_000));
        assert_eq!(until(a.monotonic), Duration::ZERO);
    }

    #[test]
    fn a_boot_has_one_name() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert!(boot_id().unwrap().len() >= 32);
    }
}
