//! Logistic regression over hashed features, one result at a time (FTRL-proximal, McMahan and
//! others 2013).

use crate::{
    effects::{self, logistic},
    features::{BITS, Features},
};
use serde::{Deserialize, Serialize};

/// How fast a model learns, and how much it must see to believe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// The rate of a weight that has seen nothing.
    pub rate: f32,
    /// What slows the first steps.
    pub calm: f32,
    /// Weights below so much evidence are zero: words that were met once say nothing.
    pub least: f32,
    /// Pulls every weight to zero.
    pub shrink: f32,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            rate: 0.1,
            calm: 0.3,
            least: 0.02,
            shrink: 3.0,
        }
    }
}

/// What a place of the table has seen: the sum of its gradients, less what its weight has moved,
/// and the sum of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    sum: f32,
    squares: f32,
}

/// Chances by features. Half a megabyte, allocated once; less where few features are expected.
#[derive(Clone, Debug)]
pub struct Model {
    learning: Learning,
    /// The logarithm of the odds of who is known by nothing.
    beginning: f32,
    /// By how much places of the whole table are shifted to those of this one.
    shift: u32,
    table: Box<[Seen]>,
}

impl Model {
    /// A model that knows nothing: every chance is a half.
    pub fn new(learning: Learning) -> Self {
        Self::sized(learning, BITS, 0.5)
    }

    /// A model that knows nothing but a chance, a fraction, that all have in common, with a table of
    /// `1 << bits` places (16 at most). To what is forgotten it goes back.
    pub(crate) fn sized(learning: Learning, bits: u32, beginning: f32) -> Self {
        let bits = bits.min(BITS);
        let beginning = beginning.clamp(0.001, 0.999);
        Self {
            learning,
            beginning: effects::odds(beginning),
            shift: BITS - bits,
            table: vec![Seen::default(); 1 << bits].into_boxed_slice(),
        }
    }

    /// The same model, that begins with such a chance instead of a half. Set before it learns.
    #[must_use]
    pub fn beginning_at(self, chance: f32) -> Self {
        let Self {
            learning, shift, ..
        } = self;
        Self::sized(learning, BITS - shift, chance)
    }

    /// The logarithm of the odds that it began with.
    pub(crate) const fn beginning(&self) -> f32 {
        self.beginning
    }

    /// The places that something was seen of.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (u16, Seen)> + '_ {
        let known = self.table.iter().enumerate();
        let known = known.filter(|(_, seen)| **seen != Seen::default());
        known.map(|(at, seen)| (at as u16, *seen))
    }

    /// As it was told; none where a place or a figure is beyond its bound.
    pub(crate) fn restore(&mut self, beginning: f32, seen: &[(u16, Seen)]) -> Option<()> {
        self.beginning = Some(beginning).filter(|odds| odds.is_finite())?;
        for (at, seen) in seen {
            let good = seen.sum.is_finite() && seen.squares.is_finite() && seen.squares >= 0.0;
            *self.table.get_mut(usize::from(*at))? = Some(*seen).filter(|_| good)?;
        }
        Some(())
    }

    /// Adds what a model of the same size learned from nothing.
    pub(crate) fn add(&mut self, other: &Self) {
        for (seen, other) in self.table.iter_mut().zip(&other.table) {
            seen.sum += other.sum;
            seen.squares += other.squares;
        }
    }

    /// The chance for a lead, between 0 and 1.
    pub fn chance(&self, lead: &Features) -> f32 {
        logistic(self.odds(lead))
    }

    /// The logarithm of its odds.
    pub(crate) fn odds(&self, lead: &Features) -> f32 {
        self.beginning + self.parts(lead).sum::<f32>()
    }

    /// What each of the lead's features adds to the logarithm of the odds that the model began with, in
    /// their order: why the chance is what it is.
    pub fn parts<'a>(&'a self, lead: &'a Features) -> impl Iterator<Item = f32> + 'a {
        lead.places().iter().map(|at| self.weight(*at))
    }

    /// What became of a lead. Gives the chance that it had before.
    pub fn learn(&mut self, lead: &Features, outcome: bool) -> f32 {
        logistic(self.learn_beside(lead, 0.0, outcome))
    }

    /// What became of a lead of which something else is known that adds `beside` to the logarithm of its
    /// odds: the model learns what is left. Gives the logarithm of the odds that the lead had before
    /// without it.
    pub(crate) fn learn_beside(&mut self, lead: &Features, beside: f32, outcome: bool) -> f32 {
        let odds = self.odds(lead);
        let gradient = logistic(odds + beside) - f32::from(u8::from(outcome));
        for at in lead.places() {
            let weight = self.weight(*at);
            let seen = &mut self.table[self.index(*at)];
            let squares = seen.squares + gradient * gradient;
            let slower = (squares.sqrt() - seen.squares.sqrt()) / self.learning.rate;
            seen.sum += gradient - slower * weight;
            seen.squares = squares;
        }
        odds
    }

    /// Forgets so much of what was seen: 0.01 is one part in a hundred.
    pub fn fade(&mut self, share: f32) {
        let stays = (1.0 - share).clamp(0.0, 1.0);
        for seen in &mut self.table {
            seen.sum *= stays;
            seen.squares *= stays;
        }
    }

    /// Adds what `other` has seen since both were `base`.
    pub fn merge(&mut self, other: &Self, base: &Self) {
        let both = other.table.iter().zip(&base.table);
        for (seen, (other, base)) in self.table.iter_mut().zip(both) {
            seen.sum += other.sum - base.sum;
            seen.squares = (seen.squares + other.squares - base.squares).max(0.0);
        }
    }

    /// What all leads have in common keeps a place of its own.
    fn index(&self, at: u16) -> usize {
        match at {
            0 => 0,
            _ => usize::from(at >> self.shift).max(1),
        }
    }

    fn weight(&self, at: u16) -> f32 {
        let (seen, learning) = (&self.table[self.index(at)], &self.learning);
        if seen.sum.abs() <= learning.least {
            return 0.0;
        }
        let evidence = seen.sum - learning.least.copysign(seen.sum);
        -evidence / ((learning.calm + seen.squares.sqrt()) / learning.rate + learning.shrink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leads of ten kinds, of which each is bought by as many tenths.
    fn lead(n: u32) -> (Features, bool) {
        let kind = n * 7919 % 10;
        let mut features = Features::new();
        features.word("kind", &kind.to_string());
        features.word("noise", &(n % 13).to_string());
        (features, n * 104_729 / 10 % 10 < kind)
    }

    fn taught(from: u32, to: u32, model: &mut Model) {
        for n in from..to {
            let (features, outcome) = lead(n);
            model.learn(&features, outcome);
        }
    }

    fn of_kind(model: &Model, kind: u32) -> f32 {
        let mut features = Features::new();
        features.word("kind", &kind.to_string());
        model.chance(&features)
    }

    #[test]
    fn knowing_nothing_it_says_a_half() {
        assert_eq!(Model::new(Learning::default()).chance(&lead(3).0), 0.5);
    }

    #[test]
    fn a_small_one_begins_where_it_is_told_and_goes_back_to_it() {
        let mut model = Model::sized(Learning::default(), 10, 0.2);
        assert!((model.chance(&lead(3).0) - 0.2).abs() < 1e-6);
        taught(0, 20_000, &mut model);
        assert!((of_kind(&model, 8) - 0.8).abs() < 0.1);
        for _ in 0..2_000 {
            model.fade(0.05);
        }
        assert!((of_kind(&model, 8) - 0.2).abs() < 1e-3);
        let other = Model::new(Learning::default()).beginning_at(0.3);
        assert!((other.chance(&lead(3).0) - 0.3).abs() < 1e-6);
    }

    #[test]
    fn chances_become_what_happens() {
        let mut model = Model::new(Learning::default());
        taught(0, 20_000, &mut model);
        for kind in 1..9 {
            let chance = of_kind(&model, kind);
            let expected = kind as f32 / 10.0;
            assert!((chance - expected).abs() < 0.1, "{kind}: {chance}");
        }
        let features = lead(8).0;
        let odds: f32 = model.parts(&features).sum();
        assert!((logistic(odds) - model.chance(&features)).abs() < 1e-6);
    }

    #[test]
    fn what_is_forgotten_counts_less() {
        let mut model = Model::new(Learning::default());
        taught(0, 5_000, &mut model);
        let before = of_kind(&model, 9);
        for _ in 0..300 {
            model.fade(0.05);
        }
        let after = of_kind(&model, 9);
        assert!((after - 0.5).abs() < (before - 0.5).abs() / 4.0);
    }

    #[test]
    fn two_that_learned_apart_know_what_one_would() {
        let base = {
            let mut model = Model::new(Learning::default());
            taught(0, 2_000, &mut model);
            model
        };
        let (mut one, mut other) = (base.clone(), base.clone());
        taught(2_000, 6_000, &mut one);
        taught(6_000, 10_000, &mut other);
        one.merge(&other, &base);
        let mut whole = base;
        taught(2_000, 10_000, &mut whole);
        for kind in 0..10 {
            let (merged, whole) = (of_kind(&one, kind), of_kind(&whole, kind));
            assert!((merged - whole).abs() < 0.05, "{kind}: {merged} {whole}");
        }
    }
}
