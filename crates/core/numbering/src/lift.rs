//! What a local number is worth: the difference between two shares of answers, with its interval.

/// Dials of one kind, and those that a person answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Answered {
    /// Dials.
    pub dials: u64,
    /// Of them, answered; at most as many.
    pub answers: u64,
}

impl Answered {
    /// The share that was answered; none where nothing was dialed.
    pub fn share(self) -> Option<f64> {
        (self.dials > 0).then(|| self.answers as f64 / self.dials as f64)
    }

    /// Where the share lies with 95 % confidence, by Wilson's score interval (1927). Nothing dialed
    /// says nothing: 0 to 1.
    fn interval(self) -> (f64, f64) {
        let Some(share) = self.share() else {
            return (0.0, 1.0);
        };
        let dials = self.dials as f64;
        let square = Z * Z / dials;
        let middle = share + square / 2.0;
        let half = Z * (share * (1.0 - share) / dials + square / (4.0 * dials)).sqrt();
        let (low, high) = (middle - half, middle + half);
        (
            (low / (1.0 + square)).max(0.0),
            (high / (1.0 + square)).min(1.0),
        )
    }
}

/// 97.5 % of a normal distribution lie below so many of its deviations.
const Z: f64 = 1.959_963_984_540_054;

/// Fewer dials of a kind say nothing, however far apart the shares seem.
pub const LIFT_DIALS: u64 = 30;

/// By how much more often one kind is answered than another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// The difference of the two shares, -1 to 1.
    pub difference: f64,
    /// Its lower end with 95 % confidence.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// One of the kinds has fewer than [`LIFT_DIALS`].
    TooFew,
    /// The interval holds zero: there may be no difference, or too few dials to see it.
    NotToldApart(Lift),
    /// Answered more often.
    More(Lift),
    /// Answered less often.
    Less(Lift),
}

impl Comparison {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooFew => "too_few",
            Self::NotToldApart(_) => "not_told_apart",
            Self::More(_) => "more",
            Self::Less(_) => "less",
        }
    }

    /// The difference, where there is enough to tell one.
    pub const fn lift(self) -> Option<Lift> {
        match self {
            Self::TooFew => None,
            Self::NotToldApart(lift) | Self::More(lift) | Self::Less(lift) => Some(lift),
        }
    }
}

/// By how much more often `one` is answered than `other`: the difference of the shares, with the 95 %
/// interval of Newcombe's hybrid score method (Statistics in Medicine 17, 1998, method 10), which
/// holds its level for shares near 0 and for small counts, where the textbook's does not.
pub fn compare(one: Answered, other: Answered) -> Comparison {
    if one.dials < LIFT_DIALS || other.dials < LIFT_DIALS {
        return Comparison::TooFew;
    }
    let lift = newcombe(one, other);
    if lift.low > 0.0 {
        Comparison::More(lift)
    } else if lift.high < 0.0 {
        Comparison::Less(lift)
    } else {
        Comparison::NotToldApart(lift)
    }
}

fn newcombe(one: Answered, other: Answered) -> Lift {
    let shares = (one.share().unwrap_or(0.0), other.share().unwrap_or(0.0));
    let ((low_1, high_1), (low_2, high_2)) = (one.interval(), other.interval());
    let difference = shares.0 - shares.1;
    Lift {
        difference,
        low: difference - (shares.0 - low_1).hypot(high_2 - shares.1),
        high: difference + (high_1 - shares.0).hypot(shares.1 - low_2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(answers: u64, dials: u64) -> Answered {
        Answered { dials, answers }
    }

    #[test]
    fn intervals_are_those_that_newcombe_published() {
        // Newcombe 1998, table II, method 10.
        for (one, other, difference, low, high) in [
            (of(56, 70), of(48, 80), 0.2000, 0.0524, 0.3339),
            (of(9, 10), of(3, 10), 0.6000, 0.1705, 0.8090),
            (of(6, 7), of(2, 7), 0.5714, 0.0582, 0.8062),
            (of(5, 56), of(0, 29), 0.0893, -0.0381, 0.1926),
            (of(0, 10), of(0, 20), 0.0, -0.1611, 0.2775),
            (of(0, 10), of(0, 10), 0.0, -0.2775, 0.2775),
            (of(10, 10), of(0, 20), 1.0, 0.6791, 1.0),
            (of(10, 10), of(0, 10), 1.0, 0.6075, 1.0),
        ] {
            let lift = newcombe(one, other);
            for (got, want) in [
                (lift.difference, difference),
                (lift.low, low),
                (lift.high, high),
            ] {
                assert!((got - want).abs() < 0.000_06, "{one:?} {other:?}: {lift:?}");
            }
        }
    }

    #[test]
    fn what_may_be_chance_is_not_called_a_difference() {
        let name = |one, other| compare(one, other).name();
        assert_eq!(name(of(56, 70), of(48, 80)), "more");
        assert_eq!(name(of(48, 80), of(56, 70)), "less");
        assert_eq!(name(of(5, 56), of(0, 30)), "not_told_apart");
        // At the bound, on either side.
        assert_eq!(name(of(30, 30), of(0, 30)), "more");
        assert_eq!(name(of(29, 29), of(0, 30)), "too_few");
        assert_eq!(name(of(30, 30), of(0, 29)), "too_few");
        assert_eq!(compare(of(0, 0), of(0, 0)).lift(), None);
    }

    proptest! {
        #[test]
        fn the_difference_lies_within_and_the_other_way_round_is_its_mirror(
            one in (0u64..5_000, 0u64..5_000),
            other in (0u64..5_000, 0u64..5_000),
        ) {
            let [one, other] = [one, other].map(|(a, b)| of(a.min(b), a.max(b).max(1)));
            let lift = newcombe(one, other);
            prop_assert!(-1.0 - 1e-9 <= lift.low && lift.high <= 1.0 + 1e-9);
            prop_assert!(lift.low <= lift.difference && lift.difference <= lift.high);
            let back = newcombe(other, one);
            prop_assert!((lift.low + back.high).abs() < 1e-9);
            prop_assert!((lift.high + back.low).abs() < 1e-9);
        }
    }
}
