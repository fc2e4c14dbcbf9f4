//! Time in steps, and what the real machines say of each span.
//!
//! Real time goes in steps, a short one and a long one by turns; two of them together are a
//! *stride*, and so many strides are T (and δ). So a span of whole strides can be met exactly, and
//! just missed on either side, which is where drift and the guard matter. A state knows no time of
//! day, only how many steps ago things happened: that makes the states finite.
//!
//! Every question "is it still valid, is it due" is put once for each age to the machines that
//! ship, [`SessionLease`], [`Freshness`], [`SessionBook`] and [`FreshnessBook`], and the answers are kept
//! as tables.
//!
//! A node's clock here is slow by ρ against the leader's: the worst case, since a node whose clock
//! is right, or fast, may only do less.

use domain::{Instant, MemberId, SessionId, limits};
use ledger::{FreshnessBook, Leadership, SessionBook};
use permit::{Freshness, SessionLease};
use std::time::Duration;

/// T and δ: the longest that may be configured, where drift weighs most against the guard.
pub(crate) const SPAN: Duration = limits::SESSION_TTL_MAX;
/// The short step: within what the guard allows for sending.
pub(crate) const SHORT: Duration = Duration::from_millis(1900);
/// Ages are told apart up to here.
pub(crate) const AGES: usize = 10;
/// Longer ago than matters.
pub(crate) const LONG_AGO: u8 = AGES as u8 - 1;

const _: () = assert!(SHORT.as_millis() < limits::SEND_GUARD.as_millis());

/// Whether something holds, by age and by the step that time stands at.
pub(crate) type Table = [[bool; AGES]; 2];

/// When everything began that ages are counted from.
const BEGAN: Instant = Instant::from_millis(1_000_000);

/// How steps make up time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    stride: Duration,
}

impl Grid {
    /// So many strides are [`SPAN`].
    pub(crate) fn new(strides: u32) -> Self {
        Self {
            stride: SPAN / strides,
        }
    }

    /// How long `age` steps last that end at `phase`: 1 is after the short step, 0 after the long.
    pub(crate) fn span(self, age: usize, phase: usize) -> Duration {
        let last = match (age % 2, phase) {
            (0, _) => Duration::ZERO,
            (_, 1) => SHORT,
            _ => self.stride - SHORT,
        };
        self.stride * (age / 2) as u32 + last
    }

    /// The same on a node's clock.
    pub(crate) fn on_slow_clock(self, age: usize, phase: usize) -> Duration {
        self.span(age, phase) * (1000 - limits::DRIFT_PERMILLE) / 1000
    }

    /// Asks for each age and phase.
    pub(crate) fn table(self, holds: impl Fn(usize, usize) -> bool) -> Table {
        std::array::from_fn(|phase| std::array::from_fn(|age| holds(age, phase)))
    }

    /// Whether a node may act by a keep-alive that was sent so long ago, as `ask` has it.
    pub(crate) fn session(self, ttl: Duration, ask: fn(&SessionLease, Instant) -> bool) -> Table {
        self.table(|age, phase| {
            let mut lease = SessionLease::new(SessionId(1), ttl);
            lease.keepalive_sent(BEGAN);
            lease.confirmed(BEGAN);
            ask(&lease, BEGAN + self.on_slow_clock(age, phase))
        })
    }

    /// Whether a leader may expire a session whose last request it noted so long ago.
    pub(crate) fn expiry(self, ttl: Duration) -> Table {
        let leadership = Leadership {
            term: 1,
            member: MemberId(1),
        };
        self.table(|age, phase| {
            let mut book = SessionBook::default();
            book.elected(BEGAN, leadership, [(SessionId(1), ttl)]);
            book.ticked(leadership);
            (book.request_noted(BEGAN, SessionId(1))).expect("the session is open, we lead");
            !(book.due_expiries(BEGAN + self.span(age, phase))).is_empty()
        })
    }

    /// Whether a copy may be trusted by an answer whose request was sent so long ago.
    pub(crate) fn freshness(self, ask: fn(&Freshness, Instant) -> bool) -> Table {
        self.table(|age, phase| {
            let mut fresh = Freshness::new(SPAN);
            fresh.request_sent(BEGAN);
            fresh.answered(BEGAN, 0);
            ask(&fresh, BEGAN + self.on_slow_clock(age, phase))
        })
    }

    /// Whether a leader counts a node's freshness as over whose last request it noted so long ago.
    pub(crate) fn run_out(self) -> Table {
        self.table(|age, phase| self.waited_out(phase, [Some(age)]))
    }

    /// Whether a wait for `effective` is over: each member has told that it has applied the index
    /// (`None`), or its last request before the wait is so many steps ago.
    pub(crate) fn is_effective<const N: usize>(self, phase: u8, open: [Option<u8>; N]) -> bool {
        self.waited_out(usize::from(phase), open.map(|age| age.map(usize::from)))
    }

    fn waited_out<const N: usize>(self, phase: usize, open: [Option<usize>; N]) -> bool {
        const INDEX: u64 = 1;
        let mut book = FreshnessBook::new(SPAN);
        let members = || (1..).map(MemberId).zip(open);
        // Long before any of the requests: what the election itself allows is long over.
        let now = BEGAN + SPAN * AGES as u32;
        book.elected(Instant::ZERO, members().map(|(id, _)| id));
        for (id, age) in members() {
            let noted = age.map_or(now, |age| now - self.span(age, phase));
            book.renewed(noted, id, 0);
        }
        let token = book.wait_effective(now, INDEX);
        for (id, _) in members().filter(|(_, age)| age.is_none()) {
            book.applied(id, INDEX);
        }
        token.is_some() && !book.poll(now).is_empty()
    }
}

/// One step older.
pub(crate) fn older(age: &mut u8) {
    *age = (*age + 1).min(LONG_AGO);
}

/// Whether the answer at this age stays what it is, however much time passes: then the age itself
/// no longer matters.
pub(crate) fn settled(age: u8, phase: u8, table: &Table) -> bool {
    let (age, phase) = (usize::from(age), usize::from(phase));
    (age..AGES).all(|later| table[(phase + later - age) % 2][later] == table[0][AGES - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strides that shapes use.
    const STRIDES: [u32; 3] = [1, 2, 3];

    #[test]
    fn steps_add_up_to_strides_and_end_where_they_say() {
        let grid = Grid::new(2);
        assert_eq!(grid.span(1, 1), SHORT);
        assert_eq!(grid.span(1, 0), SPAN / 2 - SHORT);
        assert_eq!(grid.span(4, 0), SPAN);
        assert_eq!(grid.span(5, 1), SPAN + SHORT);
        assert!(grid.on_slow_clock(4, 0) < SPAN);
    }

    #[test]
    fn a_node_ends_before_its_leader_whenever_both_are_asked() {
        for grid in STRIDES.map(Grid::new) {
            let (valid, due) = (
                grid.session(SPAN, SessionLease::is_valid),
                grid.expiry(SPAN),
            );
            let (fresh, out) = (grid.freshness(Freshness::is_valid), grid.run_out());
            let both =
                |a: &Table, b: &Table| (0..2).any(|p| (0..AGES).any(|age| a[p][age] && b[p][age]));
            assert!(!both(&valid, &due) && !both(&fresh, &out));
            assert!(
                due[0][AGES - 1] && due[1][AGES - 1],
                "ages reach far enough"
            );
            assert!(valid[1][1] && fresh[1][1], "a node may act at all");
            assert!(both(&valid, &grid.expiry(SPAN / 2)), "half of T is seen");
        }
    }

    #[test]
    fn what_may_be_sent_is_still_valid_after_the_time_that_sending_takes() {
        for grid in STRIDES.map(Grid::new) {
            let (send, valid) = (
                grid.session(SPAN, SessionLease::may_send),
                grid.session(SPAN, SessionLease::is_valid),
            );
            assert!((0..AGES - 1).all(|age| !send[0][age] || valid[1][age + 1]));
            assert!(
                (0..AGES - 1).any(|age| valid[0][age] && !valid[1][age + 1]),
                "there is a time at which only the guard forbids"
            );
        }
    }

    #[test]
    fn a_wait_is_over_when_every_node_told_or_ran_out() {
        let grid = Grid::new(1);
        assert!(grid.is_effective(0, [None, None, None]));
        assert!(!grid.is_effective(0, [None, Some(1), None]));
        assert!(grid.is_effective(0, [None, Some(2), Some(LONG_AGO)]));
        assert!(!grid.is_effective(1, [Some(0), Some(2), None]));
    }

    #[test]
    fn ages_settle_once_nothing_changes_any_more() {
        let grid = Grid::new(1);
        let valid = grid.session(SPAN, SessionLease::is_valid);
        assert!(!settled(0, 0, &valid) && !settled(1, 0, &valid) && settled(2, 0, &valid));
    }
}
