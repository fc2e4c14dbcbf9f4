//! Lines and answers, and how sure their share is.

use serde::{Deserialize, Serialize};

/// Lines, and how many of them were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Lines that were begun.
    pub lines: u64,
    /// Those that a person answered.
    pub answered: u64,
}

impl Count {
    /// One line more.
    pub fn note(&mut self, answered: bool) {
        self.lines += 1;
        self.answered += u64::from(answered);
    }

    /// Another's beside these.
    pub fn add(&mut self, other: Self) {
        self.lines = self.lines.saturating_add(other.lines);
        self.answered = self.answered.saturating_add(other.answered);
    }

    /// The share that was answered; none without a line.
    pub fn share(self) -> Option<f64> {
        (self.lines > 0).then(|| self.answered as f64 / self.lines as f64)
    }

    /// The 95 % interval of that share (Wilson's, 1927); all of it without a line.
    pub fn interval(self) -> (f64, f64) {
        const Z: f64 = 1.96;
        let (Some(share), lines) = (self.share(), self.lines as f64) else {
            return (0.0, 1.0);
        };
        let whole = 1.0 + Z * Z / lines;
        let middle = (share + Z * Z / (2.0 * lines)) / whole;
        let spread = share * (1.0 - share) / lines + Z * Z / (4.0 * lines * lines);
        let half = Z * spread.sqrt() / whole;
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_the_share_and_stay_within_bounds() {
        let count = |lines, answered| Count { lines, answered };
        assert_eq!(count(0, 0).share(), None);
        assert_eq!(count(0, 0).interval(), (0.0, 1.0));
        let (low, high) = count(100, 20).interval();
        assert!((low - 0.1333).abs() < 1e-3 && (high - 0.2888).abs() < 1e-3);
        assert_eq!(count(10, 0).interval().0, 0.0);
        assert_eq!(count(10, 10).interval().1, 1.0);
        let narrow = count(10_000, 2_000).interval();
        assert!(narrow.1 - narrow.0 < 0.02);
    }
}
