//! Who is called first: what a lead is worth now beside what it is worth at another hour.

use crate::hours::{Factors, HOURS, SEGMENTS};

/// The order of leads at one hour. Worked out once an hour; a lead's place then is one look.
#[derive(Clone, Debug)]
pub struct Order {
    /// For each segment what this hour does to the chance, beside what its usual hour does.
    now: [f32; SEGMENTS],
    price: Price,
}

/// What a place among an hour's lines costs on the mean: what the last lead that got one was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price(Option<f32>);

impl Price {
    /// The place of the last lead that an hour's lines went to. Two days of twelve hours are
    /// remembered.
    pub fn note(&mut self, last: f32) {
        const HOURS_REMEMBERED: f32 = 24.0;
        let before = self.0.unwrap_or(last);
        self.0 = Some(before + (last - before) / HOURS_REMEMBERED);
    }

    /// What an attempt that is worth `usual` at its usual hour is worth beyond the price of a place. At
    /// first nothing: no lead is kept for another hour.
    pub fn beyond(self, usual: f32) -> f32 {
        self.0.map_or(0.0, |price| (usual - price).max(0.0))
    }
}

impl Order {
    /// The order at that hour of leads that may be called at the hours of `allowed` (bit n for hour n
    /// of the day); `price` is what a place among an hour's lines costs. With `draw`, standard normal
    /// numbers, each segment's factor is drawn from what is not known of it (Thompson sampling)
    /// instead of its mean: what was seen little of is tried now and then.
    pub fn new(
        factors: &Factors,
        hour: usize,
        allowed: u32,
        price: Price,
        mut draw: Option<&mut dyn FnMut() -> f32>,
    ) -> Self {
        let mut now = [1.0; SEGMENTS];
        for (segment, now) in now.iter_mut().enumerate() {
            let open = (0..HOURS).filter(|hour| allowed >> hour & 1 == 1);
            let (sum, count) = open.fold((0.0, 0.0), |(sum, count), hour| {
                (sum + factors.of(segment, hour).mean, count + 1.0)
            });
            let usual = if count > 0.0 { sum / count } else { 1.0 };
            let factor = factors.of(segment, hour);
            let drawn = match &mut draw {
                Some(draw) => (factor.mean + factor.sd * draw()).max(0.05),
                None => factor.mean,
            };
            *now = drawn / usual;
        }
        Self { now, price }
    }

    /// A lead's place: higher goes first; among equals who waited for longest should. `chance` is that
    /// of an answer without regard to the hour, `value` what an answer is worth (1 where the campaign
    /// says nothing).
    ///
    /// What an attempt is expected to bring now, less what it would bring later: the lead's usual hour
    /// beyond the price of a place there. So a lead that answers often waits for its good hour, and one
    /// that would hardly get a place then does not.
    pub fn place(&self, segment: usize, chance: f32, value: f32) -> f32 {
        let usual = value * chance;
        usual * self.now(segment) - self.price.beyond(usual)
    }

    /// How much better this hour suits the segment than its usual hour: 1.2 is a fifth more answers.
    pub fn now(&self, segment: usize) -> f32 {
        self.now[segment.min(SEGMENTS - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hours;

    const DAY: u32 = 0b1111_1111_1111 << 9;

    fn low() -> Price {
        Price(Some(0.0))
    }

    /// Segment 0 answers best at 10, segment 1 at 18 and hardly else.
    fn factors() -> Factors {
        let mut hours = Hours::new();
        for (segment, best) in [(0, 10), (1, 18)] {
            for hour in 9..21 {
                for n in 0..400 {
                    hours.note(
                        segment,
                        hour,
                        0.2,
                        n % 10 < if hour == best { 4 } else { 2 },
                    );
                }
            }
        }
        hours.factors()
    }

    #[test]
    fn each_goes_first_at_its_own_hour() {
        let factors = factors();
        let first = |hour| {
            let order = Order::new(&factors, hour, DAY, low(), None);
            order.place(0, 0.2, 1.0) > order.place(1, 0.2, 1.0)
        };
        assert!(first(10));
        assert!(!first(18));
    }

    #[test]
    fn value_and_chance_count_where_the_hour_suits() {
        let order = Order::new(&factors(), 10, DAY, low(), None);
        assert!(order.now(0) > 1.4);
        assert!(order.place(0, 0.3, 1.0) > order.place(0, 0.2, 1.0));
        assert!(order.place(0, 0.2, 5.0) > order.place(0, 0.3, 1.0));
    }

    #[test]
    fn who_knows_nothing_goes_by_what_an_answer_is_worth() {
        let factors = Hours::new().factors();
        let order = Order::new(&factors, 10, DAY, Price::default(), None);
        assert_eq!(order.place(0, 0.2, 1.0), order.place(5, 0.2, 1.0));
        assert!(order.place(0, 0.2, 1.0) > order.place(5, 0.1, 1.0));
        // Nor is it an error that no hour is allowed.
        let order = Order::new(&factors, 10, 0, Price::default(), None);
        assert_eq!(order.now(3), 1.0);
    }

    #[test]
    fn the_price_of_a_place_says_who_waits() {
        let factors = factors();
        // A bad hour for segment 0, whose good one is at 10.
        let at = |price| Order::new(&factors, 14, DAY, price, None);
        let (rich, poor) = (0.3, 0.1);
        let place = |price, chance| at(price).place(0, chance, 1.0);
        assert!(place(Price::default(), rich) > place(Price::default(), poor));
        let mut price = Price::default();
        for _ in 0..200 {
            price.note(0.05);
        }
        // Either would get a place at the good hour, so the one that wins more there waits.
        assert!(place(price, rich) < place(price, poor));
        for _ in 0..200 {
            price.note(0.2);
        }
        assert!(place(price, rich) > place(price, poor));
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
            let order = Order::new(&factors, 10, DAY, low(), Some(&mut draw));
            // Of segment 5 nothing was seen.
            first += u32::from(order.now(5) > order.now(0));
        }
        assert!((1..100).contains(&first), "{first}");
    }
}
