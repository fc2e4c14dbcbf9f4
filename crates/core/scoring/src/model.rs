//! Logistic regression over hashed features, one result at a time (FTRL-proximal, McMahan and
//! others 2013).

use crate::features::{BITS, Features};

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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    sum: f32,
    squares: f32,
}

/// Chances by features. Half a megabyte, allocated once.
#[derive(Clone, Debug)]
pub struct Model {
    learning: Learning,
    table: Box<[Seen]>,
}

impl Model {
    /// A model that knows nothing: every chance is a half.
    pub fn new(learning: Learning) -> Self {
        Self {
            learning,
            table: vec![Seen::default(); 1 << BITS].into_boxed_slice(),
        }
    }

    /// The chance for a lead, between 0 and 1.
    pub fn chance(&self, lead: &Features) -> f32 {
        logistic(lead.places().iter().map(|at| self.weight(*at)).sum())
    }

    /// What each of the lead's features adds to the logarithm of the odds, in their order: why the
    /// chance is what it is.
    pub fn parts<'a>(&'a self, lead: &'a Features) -> impl Iterator<Item = f32> + 'a {
        lead.places().iter().map(|at| self.weight(*at))
    }

    /// What became of a lead. Gives the chance that it had before.
    pub fn learn(&mut self, lead: &Features, outcome: bool) -> f32 {
        let chance = self.chance(lead);
        let gradient = chance - f32::from(u8::from(outcome));
        for at in lead.places() {
            let weight = self.weight(*at);
            let seen = &mut self.table[usize::from(*at)];
            let squares = seen.squares + gradient * gradient;
            let slower = (squares.sqrt() - seen.squares.sqrt()) / self.learning.rate;
            seen.sum += gradient - slower * weight;
            seen.squares = squares;
        }
        chance
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

    fn weight(&self, at: u16) -> f32 {
        let (seen, learning) = (&self.table[usize::from(at)], &self.learning);
        if seen.sum.abs() <= learning.least {
            return 0.0;
        }
        let evidence = seen.sum - learning.least.copysign(seen.sum);
        -evidence / ((learning.calm + seen.squares.sqrt()) / learning.rate + learning.shrink)
    }
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
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
