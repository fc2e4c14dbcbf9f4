//! What persons think of a caller ID: how they answer it beside what is expected of them, whether it
//! was labelled as spam, when it rests.
//!
//! Numbers are stock first: one that is shown too often is labelled, by whom and when is not told, and
//! then answered half as often. So calls are spread over a city's numbers, a little more to those that
//! are answered better ([`Standing::worth`]); one that seems labelled rests, but only while the others
//! stay within their quota without it: rest without spare numbers wears out those that are left.

/// Calls a day that a resting number is still shown for, to see whether its label is gone.
pub const PROBES: u32 = 4;

/// What a label does to the chance of an answer.
const LABELLED: f32 = 0.55;

/// Evidence for a label that must be there, as a logarithm of the odds, and for its end.
const DOUBT: f32 = 3.5;
const HOPE: f32 = 1.5;

/// Days after which a number comes back from its rest whatever is known.
const REST_DAYS: u16 = 9;

/// What stays of what was seen, each day: half of it after four.
const STAYS: f32 = 0.84;

/// Expected answers that say as much as that a number is like others.
const FIRM: f32 = 20.0;

/// A city buys numbers beyond so many thousandths of its quota.
const BUY: u32 = 600;

/// What a report of an unwanted call weighs, as [`DOUBT`] does: two of them are doubt enough.
const REPORT: f32 = 2.0;

/// Bytes of a [`Standing`] as it is kept.
pub const STANDING_BYTES: usize = 18;

/// No rest, among the bytes of a [`Standing`].
const NO_REST: u16 = u16::MAX;

/// One number's: sums and counts, without a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    answered: f32,
    expected: f32,
    /// How much more likely a label is than none (CUSUM), and while it rests that the label is gone.
    evidence: f32,
    /// Lines of the day so far.
    used: u32,
    /// Days of the rest so far.
    rests: Option<u16>,
}

impl Standing {
    /// A line that showed the number came to this. `chance` is what it was expected to by
    /// everything but the number, a fraction: so a hard list is not held against the number.
    pub fn note(&mut self, chance: f32, answered: bool) {
        let chance = chance.clamp(0.001, 0.98);
        self.used += 1;
        self.answered += f32::from(u8::from(answered));
        self.expected += chance;
        let labelled = match answered {
            true => LABELLED.ln(),
            false => ((1.0 - LABELLED * chance) / (1.0 - chance)).ln(),
        };
        let step = match self.rests {
            None => labelled,
            Some(_) => -labelled,
        };
        self.evidence = (self.evidence + step).max(0.0);
    }

    /// A line showed the number and says nothing of it.
    pub fn shown(&mut self) {
        self.used += 1;
    }

    /// A call that showed the number was refused as unwanted: by the person (607, RFC 8197), or by
    /// something in between that takes the number for a nuisance (608, RFC 8688).
    pub fn reported(&mut self) {
        if self.rests.is_none() {
            self.evidence += REPORT;
        }
    }

    /// Answers of late, and those that were expected: half of each is forgotten after four days.
    pub const fn answers(&self) -> (f32, f32) {
        (self.answered, self.expected)
    }

    /// Lines of the day so far.
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Days of its rest so far; none while it does not rest.
    pub const fn rests(&self) -> Option<u16> {
        self.rests
    }

    /// As it is kept over runs, little-endian.
    pub fn save(&self) -> [u8; STANDING_BYTES] {
        let mut bytes = [0; STANDING_BYTES];
        let sums = [self.answered, self.expected, self.evidence];
        for (place, sum) in sums.into_iter().enumerate() {
            bytes[place * 4..][..4].copy_from_slice(&sum.to_le_bytes());
        }
        bytes[12..16].copy_from_slice(&self.used.to_le_bytes());
        bytes[16..].copy_from_slice(&self.rests.unwrap_or(NO_REST).to_le_bytes());
        bytes
    }

    /// What [`Standing::save`] wrote; none for what it cannot have written.
    pub fn read(bytes: &[u8; STANDING_BYTES]) -> Option<Self> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let sum = |at: usize| Some(f32::from_le_bytes(word(at))).filter(|sum| *sum >= 0.0);
        let finite = |sum: f32| sum.is_finite().then_some(sum);
        let rests = u16::from_le_bytes([bytes[16], bytes[17]]);
        Some(Self {
            answered: finite(sum(0)?)?,
            expected: finite(sum(4)?)?,
            evidence: finite(sum(8)?)?,
            used: u32::from_le_bytes(word(12)),
            rests: (rests != NO_REST).then_some(rests),
        })
    }

    /// Answers beside those expected, in thousandths, shrunk to 1000 by little evidence.
    pub fn quality(&self) -> u16 {
        let ratio = (FIRM + self.answered) / (FIRM + self.expected);
        (ratio * 1000.0).clamp(1.0, f32::from(u16::MAX)) as u16
    }

    /// Whether it seems labelled.
    pub fn doubted(&self) -> bool {
        self.rests.is_some() || self.evidence > DOUBT
    }

    /// Whether it must not be shown now: it rests, and the day's probes are done.
    pub fn resting(&self) -> bool {
        self.rests.is_some() && self.used >= PROBES
    }

    /// Its weight in the choice, in thousandths: its quality, within bounds.
    pub fn worth(&self) -> u16 {
        self.quality().clamp(500, 2000)
    }
}

/// A pool of numbers at the end of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Review {
    /// The day's lines beside the quota of all numbers, in thousandths.
    pub load: u32,
    /// Numbers that seem labelled, resting or not.
    pub doubted: usize,
    /// Numbers that rest from now on.
    pub resting: usize,
}

impl Review {
    /// Whether the pool is too small: more numbers are wanted, nothing else helps.
    pub const fn buy(&self) -> bool {
        self.load > BUY
    }
}

/// Ends the day of the numbers that are chosen from for the same places. `quota` is how many lines a
/// day a number takes without being labelled soon (60 to 80). Who rests: the most doubted, as
/// long as the others would have had the day's lines within their quota. A day without a line says
/// nothing of how many are needed: nobody begins to rest after it, and nobody is called back.
pub fn review(pool: &mut [&mut Standing], quota: u32) -> Review {
    let quota = quota.max(1);
    let lines: u64 = pool.iter().map(|number| u64::from(number.used)).sum();
    for number in pool.iter_mut() {
        number.used = 0;
        number.answered *= STAYS;
        number.expected *= STAYS;
        if let Some(days) = number.rests {
            let over = number.evidence > HOPE || days + 1 >= REST_DAYS;
            number.rests = (!over).then_some(days + 1);
            if over {
                // It begins anew: what was seen of it was seen under its label.
                **number = Standing::default();
            }
        }
    }
    let needed = usize::try_from(lines.div_ceil(u64::from(quota))).unwrap_or(usize::MAX);
    let spare = pool.len().saturating_sub(needed);
    let doubted = pool.iter().filter(|number| number.doubted()).count();
    // Who rests already, the longest last, goes on resting; then the most doubted begin. Where too few
    // would be left, those at the end of the line come back or go on.
    let mut line: Vec<&mut &mut Standing> = pool.iter_mut().filter(|n| n.doubted()).collect();
    line.sort_by(|a, b| match (a.rests, b.rests) {
        (Some(a), Some(b)) => a.cmp(&b),
        (None, None) => b.evidence.total_cmp(&a.evidence),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    if lines == 0 {
        line.clear();
    }
    for (place, number) in line.into_iter().enumerate() {
        let begins_or_ends = number.rests.is_some() != (place < spare);
        if begins_or_ends {
            number.rests = (place < spare).then_some(0);
            number.evidence = 0.0;
        }
    }
    let resting = pool.iter().filter(|number| number.rests.is_some()).count();
    let whole = (pool.len() as u64 * u64::from(quota)).max(1);
    Review {
        load: u32::try_from(lines * 1000 / whole).unwrap_or(u32::MAX),
        doubted,
        resting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: &mut Standing, lines: u32, answered_of_ten: u32) {
        for n in 0..lines {
            number.note(0.2, n % 10 < answered_of_ten);
        }
    }

    fn end(pool: &mut [Standing], quota: u32) -> Review {
        let mut pool: Vec<&mut Standing> = pool.iter_mut().collect();
        review(&mut pool, quota)
    }

    #[test]
    fn quality_is_answers_beside_expectation() {
        let mut number = Standing::default();
        assert_eq!((number.quality(), number.worth()), (1000, 1000));
        shown(&mut number, 1_000, 3);
        assert!((1400..1500).contains(&number.quality()), "{number:?}");
        let mut bad = Standing::default();
        shown(&mut bad, 10_000, 0);
        assert_eq!((bad.quality(), bad.worth()), (9, 500));
    }

    #[test]
    fn a_label_is_noticed_and_rests_while_there_are_spare_numbers() {
        let mut pool = [Standing::default(); 4];
        for number in &mut pool[1..] {
            shown(number, 40, 2);
        }
        shown(&mut pool[0], 40, 0);
        let review = end(&mut pool, 60);
        assert_eq!((review.load, review.doubted, review.resting), (666, 1, 1));
        assert!(review.buy());
        // Its probes of the day are done.
        assert!(!pool[0].resting());
        shown(&mut pool[0], PROBES, 0);
        assert!(pool[0].resting());
    }

    #[test]
    fn nobody_rests_where_the_others_would_pass_their_quota() {
        let mut pool = [Standing::default(); 3];
        shown(&mut pool[0], 60, 0);
        shown(&mut pool[1], 60, 2);
        shown(&mut pool[2], 60, 2);
        let review = end(&mut pool, 60);
        assert_eq!((review.load, review.doubted, review.resting), (1000, 1, 0));
    }

    #[test]
    fn rest_ends_by_answers_by_days_and_by_need() {
        let labelled = || {
            let mut pool = [Standing::default(); 2];
            shown(&mut pool[0], 60, 0);
            assert_eq!(end(&mut pool, 100).resting, 1);
            pool
        };
        let mut pool = labelled();
        shown(&mut pool[0], PROBES, 10);
        assert_eq!(end(&mut pool, 100).resting, 0);
        let mut pool = labelled();
        let days = (1..).find(|_| end(&mut pool, 100).resting == 0);
        assert_eq!(days, Some(u32::from(REST_DAYS)));
        let mut pool = labelled();
        shown(&mut pool[1], 101, 2);
        assert_eq!(end(&mut pool, 100).resting, 0);
    }

    #[test]
    fn a_day_without_a_line_changes_nobodys_rest() {
        let mut pool = [Standing::default(); 3];
        for number in &mut pool {
            shown(number, 60, 0);
        }
        assert_eq!(end(&mut pool, 60).resting, 0, "all are needed");
        for number in &mut pool {
            shown(number, 60, 0);
        }
        pool[1].used = 0;
        assert_eq!(end(&mut pool, 60).resting, 1);
        let before = pool.map(|number| number.rests().is_some());
        let review = end(&mut pool, 60);
        assert_eq!((review.load, review.doubted, review.resting), (0, 3, 1));
        assert_eq!(pool.map(|number| number.rests().is_some()), before);
    }

    #[test]
    fn two_reports_of_unwanted_calls_are_doubt_enough() {
        let mut number = Standing::default();
        number.reported();
        assert!(!number.doubted());
        number.reported();
        assert!(number.doubted());
        assert_eq!(number.quality(), 1000, "they say nothing of answers");
    }

    #[test]
    fn a_standing_is_what_it_was_once_it_was_kept() {
        let mut pool = [Standing::default(); 2];
        shown(&mut pool[0], 60, 0);
        shown(&mut pool[1], 30, 3);
        assert_eq!(end(&mut pool, 100).resting, 1);
        shown(&mut pool[0], 2, 0);
        for number in pool {
            assert_eq!(Standing::read(&number.save()), Some(number));
        }
        for (at, wrong) in [(0, f32::NAN), (4, -1.0), (8, f32::INFINITY)] {
            let mut bytes = pool[0].save();
            bytes[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
            assert_eq!(Standing::read(&bytes), None);
        }
    }

    #[test]
    fn an_empty_pool_and_no_quota_are_no_error() {
        let review = end(&mut [], 0);
        assert_eq!((review.load, review.doubted, review.resting), (0, 0, 0));
    }
}
