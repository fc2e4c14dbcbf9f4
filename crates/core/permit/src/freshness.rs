//! Until when a node may trust its copy of do-not-call.

use crate::at_most;
use domain::{Instant, limits};
use std::{collections::VecDeque, time::Duration};

/// Answers that wait for their index to be applied; older ones go first.
const PENDING: usize = 16;

/// The freshness of a node's copy of do-not-call.
///
/// The directory's leader answers a request, sent at `t`, with the commit index at some time after
/// `t`. Once the engine has applied that index, the copy may be trusted until `t + δ(1-ρ)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    delta: Duration,
    valid_until: Instant,
    applied: u64,
    sent: Option<Instant>,
    answered: Option<Instant>,
    pending: VecDeque<(u64, Instant)>,
}

impl Freshness {
    /// Not fresh. `delta` is the directory's δ, the same in the whole mesh.
    pub fn new(delta: Duration) -> Self {
        Self {
            delta,
            valid_until: Instant::ZERO,
            applied: 0,
            sent: None,
            answered: None,
            pending: VecDeque::with_capacity(PENDING),
        }
    }

    /// The index that the engine has applied.
    pub const fn applied_index(&self) -> u64 {
        self.applied
    }

    /// The end of validity; in the past when the copy is not fresh.
    pub const fn valid_until(&self) -> Instant {
        self.valid_until
    }

    /// A request leaves now. Its answer must come back with this time.
    pub fn request_sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    /// The request sent at `sent` was answered with commit index `index`. It counts once the
    /// engine has applied that.
    pub fn answered(&mut self, sent: Instant, index: u64) {
        if self.sent.is_none_or(|last| sent > last) {
            return;
        }
        self.answered = self.answered.max(Some(sent));
        if index <= self.applied {
            self.valid_until = self.valid_until.max(sent + at_most(self.delta));
            return;
        }
        if self.pending.len() == PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((index, sent));
    }

    /// The engine has applied every entry up to `index`: what they forbid is cancelled.
    pub fn applied(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        let (applied, span) = (self.applied, at_most(self.delta));
        let mut until = self.valid_until;
        self.pending.retain(|(index, sent)| {
            if *index <= applied {
                until = until.max(*sent + span);
            }
            *index > applied
        });
        self.valid_until = until;
    }

    /// The copy was thrown away and is being built anew: nothing is trusted until the next answer.
    pub fn reset(&mut self, index: u64) {
        *self = Self {
            applied: index,
            sent: self.sent,
            ..Self::new(self.delta)
        };
        // Answers to requests that were under way speak of the copy that is gone, but an index is
        // an index: what is applied now includes it, or they stay pending.
    }

    /// Whether an INVITE may leave, with [`limits::SEND_GUARD`] to spare.
    pub fn may_send(&self, now: Instant) -> bool {
        now + limits::SEND_GUARD < self.valid_until
    }

    /// Whether the copy may still be trusted at all.
    pub fn is_valid(&self, now: Instant) -> bool {
        now < self.valid_until
    }

    /// When to send the next request: a third of δ after the last one that was answered, and soon
    /// after one that nobody has answered.
    pub fn request_due(&self) -> Instant {
        crate::renewal_due(self.delta, self.sent, self.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn counts_only_what_the_engine_applied() {
        let mut fresh = Freshness::new(Duration::from_secs(30));
        fresh.applied(4);
        fresh.request_sent(at(1000));
        assert_eq!(fresh.request_due(), at(1500), "unanswered: soon again");
        fresh.answered(at(1000), 5);
        assert_eq!(fresh.request_due(), at(11_000));
        assert!(!fresh.may_send(at(1001)), "index 5 is not applied");
        fresh.applied(5);
        assert_eq!(fresh.valid_until(), at(30_400));
        assert!(fresh.may_send(at(28_399)) && !fresh.may_send(at(28_400)));
        fresh.request_sent(at(9000));
        fresh.answered(at(9000), 6);
        assert_eq!(fresh.valid_until(), at(30_400), "6 prolongs nothing yet");
        fresh.applied(7);
        assert_eq!(fresh.valid_until(), at(38_400));
    }

    #[test]
    fn unasked_answers_and_floods_are_harmless() {
        let mut fresh = Freshness::new(Duration::from_secs(30));
        fresh.answered(at(5), 0);
        assert_eq!(fresh.valid_until(), Instant::ZERO);
        fresh.request_sent(at(2000));
        for i in 0..=PENDING as u64 {
            fresh.answered(at(1000 + i), 10 + i);
        }
        assert_eq!(fresh.pending.len(), PENDING);
        fresh.applied(10);
        assert_eq!(fresh.valid_until(), Instant::ZERO, "the oldest was dropped");
        fresh.applied(11);
        assert_eq!(fresh.valid_until(), at(1001 + 29_400));
        fresh.reset(3);
        assert!(!fresh.is_valid(at(1)));
        assert_eq!(fresh.applied_index(), 3);
    }
}
