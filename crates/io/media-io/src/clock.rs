//! Both clocks, read once for each wake.

use domain::{Now, WallTime};
use std::time::SystemTime;

use crate::syscalls;

/// What time it is: steady since boot (suspend included) and on the calendar.
pub fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
    Now {
        monotonic: syscalls::boot_time(),
        wall: WallTime::from_millis(wall),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_goes_on() {
        let (a, b) = (super::now(), super::now());
        assert!(b.monotonic >= a.monotonic);
        assert!(a.wall.as_secs() > 1_700_000_000);
    }
}
