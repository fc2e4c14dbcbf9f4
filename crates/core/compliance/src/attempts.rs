//! How often a number may be tried.

use crate::{Refusal, RulePack};
use domain::{WallTime, limits::ATTEMPT_LIMITS};
use std::time::Duration;

/// At most so many attempts at a number in any span of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimit {
    /// How many.
    pub max: u32,
    /// In how long a rolling span.
    pub within: Duration,
}

/// Whether the pack's limits allow one more attempt at a number.
///
/// `attempts` are the times of earlier ones, newest first; times older than
/// [`RulePack::history_span`] and beyond [`RulePack::history_len`] need not be given.
/// `abandoned` is when a call to the number was last abandoned. An attempt exactly one span old
/// counts no more.
///
/// # Errors
/// [`Refusal::AttemptLimit`] or [`Refusal::AfterAbandonment`], whichever ends last.
pub fn check_attempts(
    pack: &RulePack,
    attempts: impl IntoIterator<Item = WallTime>,
    abandoned: Option<WallTime>,
    now: WallTime,
) -> Result<(), Refusal> {
    let mut worst: Option<(WallTime, Refusal)> = None;
    let mut refuse = |until: WallTime, refusal: Refusal| {
        if worst.is_none_or(|(latest, _)| until > latest) {
            worst = Some((until, refusal));
        }
    };
    if let Some(abandoned) = abandoned {
        let until = abandoned + pack.abandonment.gap;
        if until > now {
            refuse(until, Refusal::AfterAbandonment { until });
        }
    }
    // The answer does not depend on the order; with the newest first, the attempt that fills a
    // limit is the one whose end opens it again.
    let mut counts = [0u32; ATTEMPT_LIMITS];
    for attempt in attempts {
        for (count, limit) in counts.iter_mut().zip(&pack.attempts) {
            let until = attempt + limit.within;
            if until > now {
                *count += 1;
                if *count == limit.max {
                    let AttemptLimit { max, within } = *limit;
                    refuse(until, Refusal::AttemptLimit { max, within, until });
                }
            }
        }
    }
    worst.map_or(Ok(()), |(_, refusal)| Err(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: WallTime = WallTime::from_millis(1_795_300_496_789);
    const HOUR: Duration = Duration::from_secs(3600);

    fn us() -> &'static RulePack {
        RulePack::by_name("us-federal").unwrap()
    }

    fn ago(hours: &[u32]) -> Vec<WallTime> {
        hours.iter().map(|&h| NOW - HOUR * h).collect()
    }

    #[test]
    fn limits_roll_and_hold_at_the_bound() {
        for (hours, want) in [
            (&[][..], None),
            (&[0, 1][..], None),
            // The third of 24 hours, which ends when the oldest of the three is a day old.
            (&[0, 1, 5], Some((3, NOW + HOUR * 19))),
            (&[0, 1, 24], None),
            (&[0, 1, 23], Some((3, NOW + HOUR))),
            (&[0, 1, 2, 3], Some((3, NOW + HOUR * 22))),
            // Seven of seven days.
            (
                &[25, 30, 50, 60, 80, 90, 100],
                Some((7, NOW + HOUR * (168 - 100))),
            ),
            (&[25, 30, 50, 60, 80, 90, 168], None),
        ] {
            let got = check_attempts(us(), ago(hours), None, NOW);
            let got = got.err().map(|refusal| match refusal {
                Refusal::AttemptLimit { max, until, .. } => (max, until),
                other => panic!("{other}"),
            });
            assert_eq!(got, want, "{hours:?}");
        }
    }

    #[test]
    fn the_reason_that_lasts_longest_is_told() {
        let gap = us().abandonment.gap;
        let abandoned = NOW - HOUR;
        let until = abandoned + gap;
        assert_eq!(
            check_attempts(us(), ago(&[1, 2, 3]), Some(abandoned), NOW),
            Err(Refusal::AfterAbandonment { until })
        );
        assert_eq!(check_attempts(us(), [], Some(NOW - gap), NOW), Ok(()));
        let soon = check_attempts(us(), ago(&[0, 0, 0]), Some(NOW - gap + HOUR), NOW);
        assert!(matches!(soon, Err(Refusal::AttemptLimit { max: 3, .. })));
    }

    proptest! {
        #[test]
        fn the_answer_is_the_naive_one(
            mut ages in proptest::collection::vec(0u64..40 * 86_400_000, 0..25),
            pack in prop::sample::select(vec!["us-federal", "china", "demo"]),
        ) {
            let pack = RulePack::by_name(pack).unwrap();
            ages.sort_unstable();
            let attempts: Vec<WallTime> =
                ages.iter().map(|&age| NOW - Duration::from_millis(age)).collect();
            let full = |at: WallTime| {
                pack.attempts.iter().any(|limit| {
                    let since = attempts.iter().filter(|a| **a + limit.within > at).count();
                    since >= limit.max as usize
                })
            };
            let got = check_attempts(pack, attempts.iter().copied(), None, NOW);
            prop_assert_eq!(got.is_err(), full(NOW));
            if let Err(refusal) = got {
                let until = refusal.until().unwrap();
                prop_assert!(!full(until), "still full at the end");
                prop_assert!(full(until - Duration::from_millis(1)), "told too late");
            }
        }
    }
}
