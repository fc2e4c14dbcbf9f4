//! Who is called first: what a lead is worth now beside what it is worth at another hour.

use crate::{
    effects::Factors,
    hours::{HOURS, SEGMENTS},
};

/// What an attempt now costs, as a share of what one at a usual hour brings: that a lead is called again
/// later is likely, not certain, and what is known of hours then is not what happens.
const LATER: f32 = 0.6;

/// The order of leads at one hour. Worked out once an hour; a lead's place then is one look.
#[derive(Clone, Debug)]
pub struct Order {
    /// For each segment what this hour makes of the chance, less what an attempt costs.
    worth: [f32; SEGMENTS],
}

impl Order {
    /// The order at that hour of leads that are called at the hours of the day in these `shares`; where
    /// there are none yet, their usual hour is one without an effect. With `draw`, standard normal
    /// numbers, each segment's factor is drawn from what is not known of it (Thompson sampling) instead
    /// of its mean: what was seen little of is tried now and then.
    pub fn new(
        factors: &Factors,
        hour: usize,
        shares: &[f32; HOURS],
        mut draw: Option<&mut dyn FnMut() -> f32>,
    ) -> Self {
        let mut worth = [0.0; SEGMENTS];
        let all: f32 = shares.iter().sum();
        for (segment, worth) in worth.iter_mut().enumerate() {
            let at = |hour: usize| shares[hour] * factors.of(segment, hour).mean;
            let usual = match all > 0.0 {
                true => (0..HOURS).map(at).sum::<f32>() / all,
                false => 1.0,
            };
            let factor = factors.of(segment, hour);
            let now = match &mut draw {
                Some(draw) => (factor.mean + factor.sd * draw()).max(0.05),
                None => factor.mean,
            };
            *worth = Self::beyond(now, usual);
        }
        Self { worth }
    }

    /// What an attempt is worth of which so much is expected now and so much at a usual hour.
    pub fn beyond(now: f32, usual: f32) -> f32 {
        now - LATER * usual
    }

    /// A lead's place: higher goes first; among equals who waited for longest should. `chance` is that
    /// of an answer at a usual hour, `value` what an answer is worth (1 where the campaign says nothing).
    ///
    /// What an attempt is expected to bring now, less a share of what the same attempt would bring at
    /// another hour. So hours count for more than they would if the best chance went first, and a lead
    /// that answers often does not go first at the hours when it hardly does.
    pub fn place(&self, segment: usize, chance: f32, value: f32) -> f32 {
        value * chance * self.worth(segment)
    }

    /// What this hour makes of the segment's chances, less what an attempt costs.
    pub fn worth(&self, segment: usize) -> f32 {
        self.worth[segment.min(SEGMENTS - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hours;

    /// Twelve hours from nine on.
    fn day() -> [f32; HOURS] {
        let mut shares = [0.0; HOURS];
        shares[9..21].fill(1.0 / 12.0);
        shares
    }

    /// Segment 0 answers best at 10, segment 1 at 18 and hardly else.
    fn factors() -> Factors {
        let mut hours = Hours::new();
        for (segment, best) in [(0, 10), (1, 18)] {
            for hour in 9..21 {
                for n in 0..400 {
                    let tenths = if hour == best { 4 } else { 2 };
                    hours.note(segment, hour, 0.2, n % 10 < tenths);
                }
            }
        }
        hours.factors()
    }

    #[test]
    fn each_goes_first_at_its_own_hour() {
        let factors = factors();
        let first = |hour| {
            let order = Order::new(&factors, hour, &day(), None);
            order.place(0, 0.2, 1.0) > order.place(1, 0.2, 1.0)
        };
        assert!(first(10));
        assert!(!first(18));
    }

    #[test]
    fn value_and_chance_count_where_the_hour_suits() {
        let order = Order::new(&factors(), 10, &day(), None);
        assert!(order.worth(0) > order.worth(1) + 0.3);
        assert!(order.place(0, 0.3, 1.0) > order.place(0, 0.2, 1.0));
        assert!(order.place(0, 0.2, 5.0) > order.place(0, 0.3, 1.0));
    }

    #[test]
    fn who_knows_nothing_goes_by_what_an_answer_is_worth() {
        let factors = Hours::new().factors();
        let order = Order::new(&factors, 10, &day(), None);
        assert_eq!(order.place(0, 0.2, 1.0), order.place(5, 0.2, 1.0));
        assert!(order.place(0, 0.2, 1.0) > order.place(5, 0.1, 1.0));
        // Nor is it an error that no hour was called at.
        let order = Order::new(&factors, 10, &[0.0; HOURS], None);
        assert_eq!(order.worth(3), 1.0 - LATER);
    }

    #[test]
    fn a_hour_that_suits_outweighs_a_chance_that_is_little_better() {
        let factors = factors();
        let order = Order::new(&factors, 10, &day(), None);
        let (now, usual) = (factors.of(0, 10).mean, factors.of(1, 10).mean);
        // The second has the better chance at this very hour, and loses nothing by waiting.
        let chance = 0.2 * now / usual * 1.05;
        assert!(chance * usual > 0.2 * now);
        assert!(order.place(0, 0.2, 1.0) > order.place(1, chance, 1.0));
    }

    #[test]
    fn draws_try_what_was_seen_little_of() {
        let factors = factors();
        let mut n = 0u32;
        let mut draw = || {
            n = n.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (n >> 16) as f32 / 16_384.0 - 2.0
        };
        let mut first = 0;
        for _ in 0..200 {
            let order = Order::new(&factors, 10, &day(), Some(&mut draw));
            // Of segment 5 nothing was seen.
            first += u32::from(order.worth(5) > order.worth(0));
        }
        assert!((1..100).contains(&first), "{first}");
    }
}
