//! A node's view of its session in one region group: until when it may act.

use crate::at_most;
use domain::{Instant, SessionId, limits};
use std::time::Duration;

/// A session and the end of its validity.
///
/// A keep-alive that was *sent* at `t` and answered (whenever) allows to act until `t + T(1-ρ)`.
/// The group counts T(1+ρ) from when the request came, so its end is always the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLease {
    session: SessionId,
    ttl: Duration,
    valid_until: Instant,
    sent: Option<Instant>,
    answered: Option<Instant>,
}

impl SessionLease {
    /// A session that was just opened; not valid before its first keep-alive is answered. `ttl` is
    /// the one that the group's answer named.
    pub const fn new(session: SessionId, ttl: Duration) -> Self {
        Self {
            session,
            ttl,
            valid_until: Instant::ZERO,
            sent: None,
            answered: None,
        }
    }

    /// Its time to live T.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The session.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The end of validity; in the past when it is not valid.
    pub const fn valid_until(&self) -> Instant {
        self.valid_until
    }

    /// A keep-alive leaves now. Its answer must come back with this time.
    pub fn keepalive_sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    /// The keep-alive that was sent at `sent` was answered with a yes. Repeated and late answers
    /// do no harm: validity never grows beyond what their own sending allows, nor shrinks.
    pub fn confirmed(&mut self, sent: Instant) {
        // An answer to something we never sent (a confused peer) counts for nothing.
        if self.sent.is_some_and(|last| sent <= last) {
            self.valid_until = self.valid_until.max(sent + at_most(self.ttl));
            self.answered = self.answered.max(Some(sent));
        }
    }

    /// Whether an INVITE may leave, with [`limits::SEND_GUARD`] to spare.
    pub fn may_send(&self, now: Instant) -> bool {
        now + limits::SEND_GUARD < self.valid_until
    }

    /// Whether it is still valid at all.
    pub fn is_valid(&self, now: Instant) -> bool {
        now < self.valid_until
    }

    /// When to send the next keep-alive: a third of T after the last one that was answered, and
    /// soon after one that nobody has answered.
    pub fn keepalive_due(&self) -> Instant {
        crate::renewal_due(self.ttl, self.sent, self.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn lease() -> SessionLease {
        SessionLease::new(SessionId(7), Duration::from_secs(30))
    }

    #[test]
    fn valid_from_the_sending_less_drift_and_guard() {
        let mut lease = lease();
        assert!(!lease.may_send(at(0)), "not before the first answer");
        lease.keepalive_sent(at(1000));
        lease.confirmed(at(1000));
        assert_eq!(lease.valid_until(), at(30_400));
        assert!(lease.may_send(at(28_399)));
        assert!(!lease.may_send(at(28_400)));
        assert!(lease.is_valid(at(30_399)));
        assert!(!lease.is_valid(at(30_400)));
        assert_eq!(lease.keepalive_due(), at(11_000));
    }

    #[test]
    fn what_nobody_answers_is_asked_again_soon() {
        let mut lease = lease();
        assert_eq!(lease.keepalive_due(), at(0));
        lease.keepalive_sent(at(1000));
        assert_eq!(lease.keepalive_due(), at(1500));
        lease.keepalive_sent(at(1500));
        // A slow answer to the first one: it counts, and nothing is sent for a third of T.
        lease.confirmed(at(1000));
        assert_eq!(lease.keepalive_due(), at(11_000));
    }

    #[test]
    fn late_and_foreign_answers_change_nothing() {
        let mut lease = lease();
        lease.confirmed(at(5000));
        assert_eq!(lease.valid_until(), Instant::ZERO, "nothing was sent");
        lease.keepalive_sent(at(1000));
        lease.keepalive_sent(at(2000));
        lease.confirmed(at(2000));
        lease.confirmed(at(1000));
        lease.confirmed(at(9000));
        assert_eq!(lease.valid_until(), at(31_400));
    }
}
