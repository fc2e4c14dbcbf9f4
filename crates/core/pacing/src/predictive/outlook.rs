//! Whether a person who answers in a few seconds will find an agent: the number of agents still
//! busy and of lines answered by then, as a sum of independent chances.

// The loops over steps run over several rows at once; an index says so most plainly, and the
// compiler makes vectors of them.
#![allow(clippy::needless_range_loop)]

use super::models::{Row, STEPS};
use crate::{Forecast, MOMENTS, Neighbour, Sums};

// What is told is what is computed, moment by moment.
const _: () = assert!(MOMENTS == STEPS);

/// Up to so many places for persons the sum's law is computed exactly; above, by three moments.
pub(super) const EXACT: usize = 24;

/// Mean, variance and third central moment of a sum of independent chances, at each step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    mean: Row,
    variance: Row,
    third: Row,
}

impl Moments {
    /// Adds `count` with that chance each.
    pub(super) fn add(&mut self, chance: &Row, count: u32) {
        let count = count as f32;
        for step in 0..STEPS {
            let p = chance[step];
            let spread = p * (1.0 - p);
            self.mean[step] += count * p;
            self.variance[step] += count * spread;
            self.third[step] += count * spread * (1.0 - 2.0 * p);
        }
    }

    /// As they are told to other nodes.
    pub(super) fn told(&self) -> Sums {
        let thousandths = |value: f32| (value * 1000.0).round();
        Sums {
            mean: self.mean.map(|value| thousandths(value) as u32),
            variance: self.variance.map(|value| thousandths(value) as u32),
            third: self.third.map(|value| thousandths(value) as i32),
        }
    }

    fn add_told(&mut self, step: usize, [mean, variance, third]: [f32; 3]) {
        self.mean[step] += mean;
        self.variance[step] += variance;
        self.third[step] += third;
    }
}

/// Places for persons, and at each step the law of how many of them are taken.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    /// Agents who are ready or will be, less persons waiting. A person who answers is lost when so
    /// many are busy still or taken by others.
    places: i64,
    /// `law[n][step]`: chance that n are taken; only below `places`.
    law: [Row; EXACT],
    moments: Moments,
    /// Others' agents are among the places: of those only moments are known.
    pooled: bool,
}

impl Outlook {
    pub(super) fn new() -> Self {
        let zero = [0.0; STEPS];
        Self {
            places: 0,
            law: [zero; EXACT],
            moments: Moments::default(),
            pooled: false,
        }
    }

    /// Begins anew with so many places, none taken. Of a pool only moments are computed.
    pub(super) fn begin(&mut self, places: i64, pooled: bool) {
        self.places = places;
        self.pooled = pooled;
        if self.exact() {
            let used = places.max(1) as usize;
            self.law[..used].fill([0.0; STEPS]);
            self.law[0] = [1.0; STEPS];
        }
        self.moments = Moments::default();
    }

    /// Adds what another node told: the places of its agents where they take this node's persons,
    /// and of its lines those that may come to an agent of this node's reach.
    pub(super) fn join(&mut self, neighbour: &Neighbour, steps: &[usize; STEPS]) {
        let told: &Forecast = &neighbour.forecast;
        let share = f32::from(neighbour.overlap_permille) / 1000.0;
        let waiting = told.waiting as f32;
        let (age, half) = (neighbour.age.as_secs_f32(), share * (1.0 - share));
        if neighbour.takes {
            self.places += i64::from(neighbour.agents());
        }
        for step in 0..STEPS {
            let between = told.between(steps[step] as f32 + age);
            if neighbour.takes {
                self.moments.add_told(step, told.busy.at(between, 1.0));
            }
            let mut lines = told.lines.at(between, share);
            lines[0] += waiting * share;
            lines[1] += waiting * half;
            lines[2] += waiting * half * (1.0 - 2.0 * share);
            self.moments.add_told(step, lines);
        }
    }

    /// Whether the law is computed exactly.
    pub(super) fn exact(&self) -> bool {
        !self.pooled && self.places <= EXACT as i64
    }

    /// Adds `count` that take a place with that chance each.
    pub(super) fn add(&mut self, chance: &Row, count: u32) {
        if self.exact() {
            for _ in 0..count {
                self.add_exactly(chance);
            }
            return;
        }
        self.moments.add(chance, count);
    }

    fn add_exactly(&mut self, chance: &Row) {
        let used = self.places.max(1) as usize;
        for n in (1..used).rev() {
            let below = self.law[n - 1];
            let here = &mut self.law[n];
            for step in 0..STEPS {
                here[step] += (below[step] - here[step]) * chance[step];
            }
        }
        for step in 0..STEPS {
            self.law[0][step] *= 1.0 - chance[step];
        }
    }

    /// At each step the chance that all places are taken.
    pub(super) fn full(&self) -> Row {
        if self.places <= 0 {
            return [1.0; STEPS];
        }
        if !self.exact() {
            return self.by_moments(&[0.0; STEPS]);
        }
        let mut free = [0.0; STEPS];
        for law in &self.law[..self.places as usize] {
            for step in 0..STEPS {
                free[step] += law[step];
            }
        }
        free.map(|free| (1.0 - free).clamp(0.0, 1.0))
    }

    /// The same without one of those that were added, whose chance is below a half.
    pub(super) fn full_without(&self, chance: &Row) -> Row {
        if self.places <= 0 {
            return [1.0; STEPS];
        }
        if !self.exact() {
            return self.by_moments(chance);
        }
        // Undoes the last step of `add`; errors shrink as long as the chance is below a half.
        let (mut free, mut before) = ([0.0; STEPS], [0.0; STEPS]);
        for law in &self.law[..self.places as usize] {
            for step in 0..STEPS {
                let p = chance[step].min(0.5);
                let rest = ((law[step] - p * before[step]) / (1.0 - p)).max(0.0);
                free[step] += rest;
                before[step] = rest;
            }
        }
        free.map(|free| (1.0 - free).clamp(0.0, 1.0))
    }

    /// Normal law with a term for skewness and half a unit for whole numbers.
    fn by_moments(&self, without: &Row) -> Row {
        let mut full = [0.0; STEPS];
        for step in 0..STEPS {
            let p = without[step];
            let spread = p * (1.0 - p);
            let deviation = (self.moments.variance[step] - spread).max(1e-3).sqrt();
            let x = (self.places as f32 - 0.5 - self.moments.mean[step] + p) / deviation;
            let third = self.moments.third[step] - spread * (1.0 - 2.0 * p);
            let skew = third / (deviation * deviation * deviation);
            let density = (-0.5 * x * x).exp() * 0.398_942_3;
            full[step] = (tail(x, density) + skew / 6.0 * (x * x - 1.0) * density).clamp(0.0, 1.0);
        }
        full
    }
}

/// The standard normal law above `x`, with its density there; absolute error below 1e-6
/// (Abramowitz and Stegun 26.2.17).
fn tail(x: f32, density: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let sum = t
        * (0.319_381_53
            + t * (-0.356_563_78 + t * (1.781_477_9 + t * (-1.821_255_9 + t * 1.330_274_4))));
    let above = density * sum;
    if x >= 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(places: i64, busy: &[f32]) -> f32 {
        let mut outlook = Outlook::new();
        outlook.begin(places, false);
        for p in busy {
            outlook.add(&[*p; STEPS], 1);
        }
        outlook.full()[3]
    }

    #[test]
    fn small_sums_are_exact() {
        assert_eq!(full(0, &[]), 1.0);
        assert_eq!(full(1, &[]), 0.0);
        assert!((full(1, &[0.3]) - 0.3).abs() < 1e-6);
        assert!((full(2, &[0.5, 0.5]) - 0.25).abs() < 1e-6);
        assert!((full(2, &[0.5, 0.5, 0.5]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn moments_agree_with_the_exact_law() {
        let mut outlook = Outlook::new();
        // 24 places, first exactly, then as if there were too many for that.
        let chances: Vec<f32> = (0..60).map(|n| 0.05 + 0.012 * n as f32).collect();
        let exact = full(24, &chances);
        outlook.begin(25, false);
        for p in &chances {
            outlook.add(&[*p; STEPS], 1);
        }
        outlook.places = 24;
        let near = outlook.by_moments(&[0.0; STEPS])[0];
        assert!((exact - near).abs() < 0.005, "{exact} {near}");
    }

    #[test]
    fn one_taken_out_is_one_never_added() {
        for places in [8, 40] {
            let mut outlook = Outlook::new();
            outlook.begin(places, false);
            for n in 0..places * 2 {
                outlook.add(&[0.1 + 0.3 * (n % 3) as f32; STEPS], 1);
            }
            let before = outlook.full()[0];
            outlook.add(&[0.4; STEPS], 1);
            let without = outlook.full_without(&[0.4; STEPS])[0];
            assert!((before - without).abs() < 1e-3, "{before} {without}");
        }
    }

    #[test]
    fn tails_are_those_of_the_table() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.158_655),
            (-2.0, 0.977_25),
            (3.0, 0.001_35),
        ] {
            let density = (-0.5f32 * x * x).exp() * 0.398_942_3;
            assert!((tail(x, density) - expected).abs() < 1e-5, "{x}");
        }
    }
}
