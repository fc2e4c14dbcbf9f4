//! Best time to call: lines and answers by segment and hour, beside what else was known of them.

use crate::effects::{self, Factors, logistic, odds};
use serde::{Deserialize, Serialize};

/// Segments of one table at most; whoever has a higher one is counted with the last.
pub const SEGMENTS: usize = 64;

/// Hours of a day.
pub const HOURS: usize = 24;

/// One cell: sums, so that what several nodes saw can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Answers expected without regard to the hour.
    pub(crate) expected: f32,
    /// The variance of their number.
    spread: f32,
    pub(crate) answered: f32,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.spread += other.spread;
        self.answered += other.answered;
    }

    /// What one of its lines was expected to bring, on the mean; none without a line.
    pub(crate) fn chance(&self) -> Option<f32> {
        (self.expected > 0.0).then(|| (1.0 - self.spread / self.expected).clamp(1e-4, 1.0 - 1e-4))
    }
}

/// Answers by segment and hour beside those expected from everything but these two. Sums, which what
/// several nodes saw can be added to. Fixed memory: 18 kB.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    cells: Box<[[Cell; HOURS]]>,
}

impl Default for Hours {
    fn default() -> Self {
        Self::new()
    }
}

impl Hours {
    /// Nothing seen: every factor is 1.
    pub fn new() -> Self {
        Self {
            cells: vec![[Cell::default(); HOURS]; SEGMENTS].into_boxed_slice(),
        }
    }

    /// A line begun at that hour of the called person's day; `chance` is what a model that sees neither
    /// the hour nor the segment gave it.
    pub fn note(&mut self, segment: usize, hour: usize, chance: f32, answered: bool) {
        let cell = &mut self.cells[segment.min(SEGMENTS - 1)][hour % HOURS];
        cell.add(&Cell {
            expected: chance,
            spread: chance * (1.0 - chance),
            answered: f32::from(u8::from(answered)),
        });
    }

    /// Forgets so much of what was seen: hours that were good do not stay so.
    pub fn fade(&mut self, share: f32) {
        let stays = (1.0 - share).clamp(0.0, 1.0);
        for cell in self.cells.iter_mut().flatten() {
            cell.expected *= stays;
            cell.spread *= stays;
            cell.answered *= stays;
        }
    }

    /// Adds what `other` has seen since both were `base`.
    pub fn merge(&mut self, other: &Self, base: &Self) {
        let theirs = other.cells.iter().flatten();
        let both = theirs.zip(base.cells.iter().flatten());
        for (cell, (other, base)) in self.cells.iter_mut().flatten().zip(both) {
            cell.expected = (cell.expected + other.expected - base.expected).max(0.0);
            cell.spread = (cell.spread + other.spread - base.spread).max(0.0);
            cell.answered = (cell.answered + other.answered - base.answered).max(0.0);
        }
    }

    /// Adds what another has seen from nothing, whose segments have these places here.
    pub(crate) fn add(&mut self, other: &Self, places: &[usize]) {
        for (row, at) in other.cells.iter().zip(places) {
            let sums = &mut self.cells[(*at).min(SEGMENTS - 1)];
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, cell)| sum.add(cell));
        }
    }

    /// The cells that something was seen of, by segment and hour.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (u16, Cell)> + '_ {
        let known = self.cells.iter().flatten().enumerate();
        let known = known.filter(|(_, cell)| **cell != Cell::default());
        known.map(|(at, cell)| (at as u16, *cell))
    }

    /// As it was told; none where a cell or a figure is beyond its bound.
    pub(crate) fn restore(&mut self, cells: &[(u16, Cell)]) -> Option<()> {
        for (at, cell) in cells {
            let good = |figure: f32| figure.is_finite() && figure >= 0.0;
            let good = good(cell.expected) && good(cell.spread) && good(cell.answered);
            let row = self.cells.get_mut(usize::from(*at) / HOURS)?;
            row[usize::from(*at) % HOURS] = Some(*cell).filter(|_| good)?;
        }
        Some(())
    }

    /// Chances of the segment's lines were noted with so much too much on the logarithm of their odds.
    pub(crate) fn take_back(&mut self, segment: usize, shift: f32) {
        for cell in &mut self.cells[segment.min(SEGMENTS - 1)] {
            if let Some(chance) = cell.chance() {
                let lines = cell.expected / chance;
                let chance = logistic(odds(chance) - shift);
                cell.expected = lines * chance;
                cell.spread = cell.expected * (1.0 - chance);
            }
        }
    }

    /// The factors as they are believed now. To be worked out once an hour or so, not for each lead.
    pub fn factors(&self) -> Factors {
        effects::found(&self.cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many lines a cell, of which the segment's good hour answers half as often again.
    fn seen(lines: u32) -> Hours {
        let mut hours = Hours::new();
        for segment in 0..8 {
            for hour in 9..21 {
                let tenths = if hour == 9 + segment { 3 } else { 2 };
                for n in 0..lines {
                    hours.note(segment, hour, 0.2, n % 10 < tenths);
                }
            }
        }
        hours
    }

    #[test]
    fn nothing_seen_is_a_factor_of_one() {
        let factor = Hours::new().factors().of(3, 14);
        assert_eq!(factor.mean, 1.0);
        assert!((0.1..0.3).contains(&factor.sd), "{factor:?}");
    }

    #[test]
    fn factors_come_nearer_the_more_was_seen() {
        let (few, many) = (seen(20).factors(), seen(2_000).factors());
        assert!((many.of(2, 11).mean - 1.4).abs() < 0.1, "{many:?}");
        assert!((many.of(2, 12).mean - 0.96).abs() < 0.05);
        assert!((1.0..many.of(2, 11).mean).contains(&few.of(2, 11).mean));
        assert!(many.of(2, 11).sd < many.of(20, 11).sd);
    }

    #[test]
    fn segments_and_hours_beyond_the_bound_have_a_place() {
        let mut hours = Hours::new();
        for n in 0..500 {
            hours.note(SEGMENTS + n, HOURS + 9, 0.2, true);
            hours.note(SEGMENTS + n, 12, 0.2, false);
        }
        assert!(hours.factors().of(SEGMENTS - 1, 9).mean > 1.5);
        assert_eq!(
            hours.factors().of(99, 9),
            hours.factors().of(SEGMENTS - 1, 9)
        );
    }

    #[test]
    fn what_is_forgotten_counts_less_and_nodes_add_up() {
        let base = seen(100);
        let mut one = base.clone();
        one.fade(0.5);
        let sure = |hours: &Hours| (hours.factors().of(1, 10).mean - 1.0).abs();
        assert!(sure(&one) < sure(&base));
        let mut other = base.clone();
        for n in 0..100 {
            other.note(1, 10, 0.2, n % 2 == 0);
        }
        let mut merged = base.clone();
        merged.merge(&other, &base);
        let factor = |hours: &Hours| hours.factors().of(1, 10).mean;
        assert!((factor(&merged) - factor(&other)).abs() < 1e-4);
        assert!(factor(&merged) > factor(&base) + 0.1);
    }
}
