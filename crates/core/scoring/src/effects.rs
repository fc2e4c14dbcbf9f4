//! What segments and hours do to the chance of an answer, as far as the counts of [`crate::Hours`] say:
//! all effects at once, each shrunk by how much effects of its kind differ (empirical Bayes).
//!
//! On the logarithm of the odds a segment has an effect, an hour has one that all segments share, and
//! beside both each segment has its own at each hour. They are found together, since orders of leads see
//! to it that a segment is called at its good hours above all: taken one after the other, the segment or
//! the hour would be given what is the cell's.

use crate::hours::{Cell, HOURS, SEGMENTS};

/// How much effects of a kind differ before anything was seen: the variance on the logarithm of the odds.
const SEGMENT_VARIANCE: f32 = 0.01;
const HOUR_VARIANCE: f32 = 0.06;
const OWN_VARIANCE: f32 = 0.05;
/// After so many effects of a kind that are well known, half of that is what they say themselves.
const PRIOR_EFFECTS: f32 = 30.0;
/// Bounds of such a variance.
const VARIANCES: (f32, f32) = (1e-4, 4.0);
/// How often effects, their variances and the chances they make are worked out from each other.
const ROUNDS: u32 = 8;
/// The furthest that a round moves a cell, on the logarithm of the odds.
const STEP: f32 = 2.0;

/// A cell's factor on the chance: its mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// What the chance is multiplied by, on the mean.
    pub mean: f32,
    /// The standard deviation of what is not known of it beside other segments at the same hour.
    pub sd: f32,
}

/// What [`crate::Hours`] believes at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// What each segment adds to the logarithm of the odds at a usual hour.
    segments: [f32; SEGMENTS],
    /// What each hour adds beside that.
    beside: Box<[[f32; HOURS]]>,
    factors: Box<[[Factor; HOURS]]>,
}

impl Factors {
    /// A segment's factor at that hour on its chance at a usual one.
    pub fn of(&self, segment: usize, hour: usize) -> Factor {
        self.factors[segment.min(SEGMENTS - 1)][hour % HOURS]
    }

    /// What the segment adds to the logarithm of the odds at a usual hour.
    pub fn usual(&self, segment: usize) -> f32 {
        self.segments[segment.min(SEGMENTS - 1)]
    }

    /// What the segment adds to the logarithm of the odds at that hour.
    pub fn at(&self, segment: usize, hour: usize) -> f32 {
        self.usual(segment) + self.beside[segment.min(SEGMENTS - 1)][hour % HOURS]
    }
}

/// An effect: its mean, and the variance of what is not known of it.
#[derive(Clone, Copy, Debug, Default)]
struct Effect {
    mean: f32,
    unknown: f32,
}

/// Effects of one kind: what was seen says `pull` with so much `weight`.
#[derive(Clone, Copy, Default)]
struct Told {
    pull: f32,
    weight: f32,
}

impl Told {
    /// Told by a cell whose own effect beside this one is not known but for its variance.
    fn by(&mut self, pull: f32, weight: f32, own: f32) {
        let certain = 1.0 / (1.0 + weight * own);
        self.pull += pull * certain;
        self.weight += weight * certain;
    }

    fn effect(self, variance: f32) -> Effect {
        let firm = self.weight + 1.0 / variance;
        Effect {
            mean: self.pull / firm,
            unknown: 1.0 / firm,
        }
    }
}

/// A cell that something was seen of.
struct Seen {
    segment: usize,
    hour: usize,
    /// Lines, and the logarithm of their odds without these effects.
    lines: f32,
    odds: f32,
    answered: f32,
    own: Effect,
    /// What its lines say of all its effects together, and with what weight.
    pull: f32,
    weight: f32,
}

impl Seen {
    fn of((at, cell): (usize, &Cell)) -> Option<Self> {
        let chance = cell.chance()?;
        Some(Self {
            segment: at / HOURS,
            hour: at % HOURS,
            lines: cell.expected / chance,
            odds: odds(chance),
            answered: cell.answered,
            own: Effect::default(),
            pull: 0.0,
            weight: 0.0,
        })
    }

    /// One step of Newton's on the likelihood of its lines, from where its effects are.
    fn look(&mut self, effects: f32) {
        let chance = logistic(self.odds + effects);
        self.weight = (self.lines * chance * (1.0 - chance)).max(1e-6);
        let step = (self.answered - self.lines * chance) / self.weight;
        self.pull = self.weight * (effects + step.clamp(-STEP, STEP));
    }
}

/// Finds the effects that these cells speak for.
pub(crate) fn found(cells: &[[Cell; HOURS]]) -> Factors {
    let mut seen: Vec<Seen> = (cells.iter().flatten().enumerate())
        .filter_map(Seen::of)
        .collect();
    let mut segments = [Effect::default(); SEGMENTS];
    let mut hours = [Effect::default(); HOURS];
    let (mut segment_variance, mut hour_variance) = (SEGMENT_VARIANCE, HOUR_VARIANCE);
    let mut own_variance = OWN_VARIANCE;
    for _ in 0..ROUNDS {
        let (mut by_segment, mut by_hour) = ([Told::default(); SEGMENTS], [Told::default(); HOURS]);
        for cell in &mut seen {
            let (segment, hour) = (segments[cell.segment].mean, hours[cell.hour].mean);
            cell.look(segment + hour + cell.own.mean);
            let pull = cell.pull - cell.weight * segment;
            by_hour[cell.hour].by(pull, cell.weight, own_variance);
        }
        hours = by_hour.map(|told| told.effect(hour_variance));
        for cell in &seen {
            let pull = cell.pull - cell.weight * hours[cell.hour].mean;
            by_segment[cell.segment].by(pull, cell.weight, own_variance);
        }
        segments = by_segment.map(|told| told.effect(segment_variance));
        for cell in &mut seen {
            let (segment, hour) = (segments[cell.segment], hours[cell.hour]);
            let told = Told {
                pull: cell.pull - cell.weight * (segment.mean + hour.mean),
                weight: cell.weight,
            };
            cell.own = told.effect(own_variance);
            let blurred = cell.weight * cell.own.unknown;
            cell.own.unknown += blurred * blurred * (segment.unknown + hour.unknown);
        }
        segment_variance = variance(SEGMENT_VARIANCE, segment_variance, segments.iter());
        hour_variance = variance(HOUR_VARIANCE, hour_variance, hours.iter());
        let own = seen.iter().map(|cell| &cell.own);
        own_variance = variance(OWN_VARIANCE, own_variance, own);
    }
    factors(&seen, &segments, &hours, own_variance)
}

/// How much effects of a kind differ: their squares, beside how many of them are known, as MacKay has it
/// (1992), with what was believed `before` anything was seen.
fn variance<'a>(before: f32, last: f32, effects: impl Iterator<Item = &'a Effect>) -> f32 {
    let (mut squares, mut known) = (PRIOR_EFFECTS * before, PRIOR_EFFECTS);
    for effect in effects {
        squares += effect.mean * effect.mean;
        known += (1.0 - effect.unknown / last).max(0.0);
    }
    (squares / known).clamp(VARIANCES.0, VARIANCES.1)
}

fn factors(
    seen: &[Seen],
    segments: &[Effect; SEGMENTS],
    hours: &[Effect; HOURS],
    own_variance: f32,
) -> Factors {
    let nothing = Effect {
        mean: 0.0,
        unknown: own_variance,
    };
    let mut own = [None; SEGMENTS];
    let (mut lines, mut answers) = (1.0, 0.2);
    for cell in seen {
        own[cell.segment].get_or_insert([nothing; HOURS])[cell.hour] = cell.own;
        lines += cell.lines;
        answers += cell.lines * logistic(cell.odds);
    }
    // Chances of different leads are multiplied by different factors; these are those of a usual lead.
    let usual = odds(answers / lines);
    let row = |segment: f32, own: &[Effect; HOURS]| {
        let (mut beside, mut factors) = ([0.0; HOURS], [Factor { mean: 1.0, sd: 0.0 }; HOURS]);
        for (at, own) in own.iter().enumerate() {
            beside[at] = hours[at].mean + own.mean;
            let chance = logistic(usual + segment + beside[at]);
            let mean = chance / logistic(usual + segment);
            let sd = mean * (1.0 - chance) * own.unknown.sqrt();
            factors[at] = Factor { mean, sd };
        }
        (beside, factors)
    };
    let unseen = row(0.0, &[nothing; HOURS]);
    let rows = own.iter().zip(segments).map(|(own, segment)| match own {
        Some(own) => row(segment.mean, own),
        None => unseen,
    });
    let (beside, factors): (Vec<_>, Vec<_>) = rows.unzip();
    Factors {
        segments: segments.map(|segment| segment.mean),
        beside: beside.into(),
        factors: factors.into(),
    }
}

/// The logarithm of a chance's odds.
pub(crate) fn odds(chance: f32) -> f32 {
    let chance = chance.clamp(1e-4, 1.0 - 1e-4);
    (chance / (1.0 - chance)).ln()
}

/// The chance of which this is the logarithm of the odds.
pub(crate) fn logistic(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}
