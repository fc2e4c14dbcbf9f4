//! The price of a risk: a slow loop that lets the window's abandonment end just under the budget.

/// What a line may risk: the chance that its answer finds nobody.
///
/// The price follows what is left of the budget against a reserve: at the reserve it is its own
/// long mean, below it falls, above it rises a little. What is left is the sum of all errors so
/// far, hence the share abandoned settles at the budget by construction, whatever the models say.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    /// Logarithm of the mean price.
    mean: f32,
    now: f32,
    /// Answers so far.
    seen: f32,
}

impl Default for Price {
    fn default() -> Self {
        Self::new()
    }
}

impl Price {
    /// A price low enough for a first day.
    pub fn new() -> Self {
        Self {
            mean: 0.03f32.ln(),
            now: 0.01,
            seen: 0.0,
        }
    }

    /// The chance of a loss that a line may have.
    pub const fn now(&self) -> f32 {
        self.now
    }

    /// So many persons answered since the last time; `left` and `reserve` in calls.
    pub fn turn(&mut self, answers: u32, left: f32, reserve: f32) {
        /// The mean follows within so many answers, at first within fewer. A price that wavers
        /// buys less for the same abandonment: with a sixth of this it cost 0.1 to 0.2 points.
        const MEMORY: f32 = 3000.0;
        /// A purse that is still being filled says little of the price, so the mean falls slowly.
        const FALLS: f32 = -0.25;
        self.seen = (self.seen + answers as f32).min(3.0 * MEMORY);
        let memory = (MEMORY / 10.0).max(self.seen / 3.0);
        let error = (left / reserve - 1.0).clamp(-3.0, 0.4);
        let share = (answers as f32 / memory).min(0.2);
        self.mean = (self.mean + share * error.max(FALLS)).clamp(0.004f32.ln(), 0.35f32.ln());
        self.now = (self.mean + error).exp().min(0.4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_purse_raises_and_an_empty_one_lowers() {
        let mut price = Price::new();
        price.turn(0, 6.0, 6.0);
        assert!((price.now() - 0.03).abs() < 1e-6);
        // Some twenty memories: the mean is slow.
        for _ in 0..60_000 {
            price.turn(1, 12.0, 6.0);
        }
        assert!(price.now() > 0.3 && price.now() <= 0.4);
        for _ in 0..60_000 {
            price.turn(1, 0.0, 6.0);
        }
        assert!(price.now() < 0.002);
    }
}
