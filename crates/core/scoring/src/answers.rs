//! What one campaign learns of who answers: chances by list, attempt, weekday and region, what the hour
//! makes of them, and whether they are what happens.

use crate::{
    Count, Factors, Features, HOURS, Hours, Learning, Model, Reliability, SEGMENTS,
    saved::{self, Unreadable},
};
use serde::{Deserialize, Serialize};

/// Attempts at a lead that are told apart; those beyond the last count with it.
pub const ATTEMPTS: usize = 10;

/// Days of a week.
pub const WEEKDAYS: usize = 7;

/// Forgotten each day: half of what was seen stays after a month and a half.
const FADE: f32 = 0.015;

/// Days that are made up for at once after a long rest: nothing is left by then.
const DAYS_MOST: i64 = 400;

/// Places of an [`Answers`]' model, as a power of two: lists, regions, attempts and weekdays are few.
const BITS: u32 = 12;

/// All that is seen of a line that is begun. None of it is an attribute of the person: see
/// `docs/pacing.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The region that the number is at home in.
    pub region: u16,
    /// The imported list that the lead came with: the segment.
    pub list: u32,
    /// Which attempt at the lead it is, from 1.
    pub attempt: u16,
    /// The hour of the person's day, 0 to 23.
    pub hour: u8,
    /// The day of the person's week, 0 for Monday.
    pub weekday: u8,
}

/// How leads were given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenOut {
    /// By how long they were due.
    InTurn,
    /// The best chance first.
    ByChance,
    /// In turn, while others went by chance: what tells what that wins.
    HeldOut,
}

/// Lines and answers of a campaign, and what follows from them. Fixed memory: 32 kB of weights, 18 kB
/// of hours, 24 kB of counts.
#[derive(Clone, Debug)]
pub struct Answers {
    pub(crate) model: Model,
    pub(crate) hours: Hours,
    /// The list of each segment but the last, which is all others'.
    pub(crate) lists: Vec<u32>,
    /// Counted as they were, never forgotten: by segment and hour.
    pub(crate) seen: Box<[[Count; HOURS]]>,
    pub(crate) counts: Counts,
    pub(crate) kept: Reliability,
    factors: Factors,
    /// Lines since the factors were worked out.
    unseen: u32,
}

/// What is counted beside segments and hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) attempts: [Count; ATTEMPTS],
    pub(crate) weekdays: [Count; WEEKDAYS],
    pub(crate) by_chance: Count,
    pub(crate) held_out: Count,
    /// The weekday of the last line.
    pub(crate) weekday: u8,
    /// The last day on which something was forgotten, counted from any; none before the first.
    pub(crate) day: Option<i64>,
}

impl Answers {
    /// Nothing seen: each attempt has the chance `beginning`, a fraction. Other campaigns of the same
    /// node know a good one.
    pub fn new(beginning: f32) -> Self {
        let hours = Hours::new();
        Self {
            model: Model::sized(Learning::default(), BITS, beginning),
            factors: hours.factors(),
            hours,
            lists: Vec::new(),
            seen: vec![[Count::default(); HOURS]; SEGMENTS].into_boxed_slice(),
            counts: Counts::default(),
            kept: Reliability::default(),
            unseen: 0,
        }
    }

    /// A line came to this. `day` counts days; when it rises something is forgotten.
    pub fn note(&mut self, line: &Line, given: GivenOut, day: i64, answered: bool) {
        self.pass(day);
        let segment = self.segment_or_new(line.list);
        let hour = usize::from(line.hour) % HOURS;
        let factor = self.factors.of(segment, hour).mean;
        let chance = self.model.learn(&features(line), answered);
        // What was promised before it was known.
        self.kept.note((chance * factor).min(0.999), answered);
        self.hours.note(segment, hour, chance, answered);
        self.seen[segment][hour].note(answered);
        let counts = &mut self.counts;
        counts.attempts[step(line.attempt)].note(answered);
        counts.weekdays[usize::from(line.weekday) % WEEKDAYS].note(answered);
        counts.weekday = line.weekday;
        match given {
            GivenOut::InTurn => {}
            GivenOut::ByChance => counts.by_chance.note(answered),
            GivenOut::HeldOut => counts.held_out.note(answered),
        }
        self.unseen += 1;
        if self.unseen >= 50 {
            self.look();
        }
    }

    /// Forgets what the days that passed ask for.
    fn pass(&mut self, day: i64) {
        let last = *self.counts.day.get_or_insert(day);
        for _ in 0..(day - last).clamp(0, DAYS_MOST) {
            self.model.fade(FADE);
            self.hours.fade(FADE);
            self.kept.fade(FADE);
        }
        if day > last {
            self.counts.day = Some(day);
            self.look();
        }
    }

    /// Works out anew what hours do.
    pub(crate) fn look(&mut self) {
        self.unseen = 0;
        self.factors = self.hours.factors();
    }

    /// The chance at a usual hour, as it stands for the weekday of the last line.
    pub fn chance(&self, region: u16, list: u32, attempt: u16) -> f32 {
        self.model.chance(&features(&Line {
            region,
            list,
            attempt,
            hour: 0,
            weekday: self.counts.weekday,
        }))
    }

    /// What an hour makes of a list's chances; of `None`, those of lists that were not seen.
    pub fn factor(&self, list: Option<u32>, hour: usize) -> f32 {
        let segment = list.and_then(|list| self.segment(list));
        self.factors.of(segment.unwrap_or(SEGMENTS - 1), hour).mean
    }

    /// The lists that are told apart, at most [`SEGMENTS`] less one.
    pub fn lists(&self) -> &[u32] {
        &self.lists
    }

    /// Lines and answers of a list by hour; of `None`, those of all that are not told apart.
    pub fn of_list(&self, list: Option<u32>) -> [Count; HOURS] {
        match list {
            None => self.seen[SEGMENTS - 1],
            Some(list) => (self.segment(list)).map_or([Count::default(); HOURS], |s| self.seen[s]),
        }
    }

    /// The same by hour alone.
    pub fn by_hour(&self) -> [Count; HOURS] {
        let mut hours = [Count::default(); HOURS];
        for row in &self.seen {
            hours
                .iter_mut()
                .zip(row)
                .for_each(|(sum, hour)| sum.add(*hour));
        }
        hours
    }

    /// The same by attempt, from the first.
    pub fn by_attempt(&self) -> [Count; ATTEMPTS] {
        self.counts.attempts
    }

    /// The same by weekday, from Monday.
    pub fn by_weekday(&self) -> [Count; WEEKDAYS] {
        self.counts.weekdays
    }

    /// All lines.
    pub fn all(&self) -> Count {
        let mut all = Count::default();
        self.counts.weekdays.iter().for_each(|day| all.add(*day));
        all
    }

    /// Lines to leads that were given out by chance, and to those that were held out meanwhile.
    pub fn compared(&self) -> (Count, Count) {
        (self.counts.by_chance, self.counts.held_out)
    }

    /// Chances that were promised before each line beside what happened; half forgotten after a month
    /// and a half.
    pub fn reliability(&self) -> &Reliability {
        &self.kept
    }

    /// Adds what another node learned, from nothing as this one did.
    pub fn add(&mut self, other: &Self) {
        let places: Vec<usize> = (0..SEGMENTS)
            .map(|segment| match other.lists.get(segment) {
                Some(list) => self.segment_or_new(*list),
                None => SEGMENTS - 1,
            })
            .collect();
        self.model.add(&other.model);
        self.hours.add(&other.hours, &places);
        for (row, at) in other.seen.iter().zip(&places) {
            let sums = &mut self.seen[*at];
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, hour)| sum.add(*hour));
        }
        let (mine, theirs) = (&mut self.counts, &other.counts);
        let pairs = mine.attempts.iter_mut().zip(theirs.attempts);
        pairs.for_each(|(sum, count)| sum.add(count));
        let pairs = mine.weekdays.iter_mut().zip(theirs.weekdays);
        pairs.for_each(|(sum, count)| sum.add(count));
        mine.by_chance.add(theirs.by_chance);
        mine.held_out.add(theirs.held_out);
        self.kept.add(&other.kept);
        self.look();
    }

    /// As bytes, to keep and to tell; fewer than 96 kB.
    pub fn save(&self) -> Vec<u8> {
        saved::write(self)
    }

    /// From [`Answers::save`].
    ///
    /// # Errors
    /// Bytes of another release, or none of such.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut answers = Self::new(0.5);
        saved::read(bytes, &mut answers)?;
        answers.look();
        Ok(answers)
    }

    fn segment(&self, list: u32) -> Option<usize> {
        self.lists.iter().position(|known| *known == list)
    }

    fn segment_or_new(&mut self, list: u32) -> usize {
        if let Some(known) = self.segment(list) {
            return known;
        }
        if self.lists.len() < SEGMENTS - 1 {
            self.lists.push(list);
            return self.lists.len() - 1;
        }
        SEGMENTS - 1
    }
}

fn step(attempt: u16) -> usize {
    usize::from(attempt.max(1) - 1).min(ATTEMPTS - 1)
}

/// What the model sees: the list of fields in `docs/pacing.md`.
fn features(line: &Line) -> Features {
    let mut features = Features::new();
    features.word("region", &line.region.to_string());
    features.word("list", &line.list.to_string());
    features.word("attempt", &step(line.attempt).to_string());
    features.word("weekday", &line.weekday.to_string());
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    /// List 7 answers at 18 o'clock, list 8 at 10; a first attempt more often than a second.
    fn taught(lines: u32) -> Answers {
        let mut answers = Answers::new(0.2);
        teach(&mut answers, 0, lines);
        answers
    }

    fn teach(answers: &mut Answers, from: u32, to: u32) {
        for n in from..to {
            let (list, hour) = (7 + n % 2, if n / 2 % 2 == 0 { 10 } else { 18 });
            let attempt = 1 + n / 4 % 2;
            let good = (list == 7) == (hour == 18);
            let tenths = if good { 5 } else { 1 } + if attempt == 1 { 2 } else { 0 };
            let line = Line {
                region: 1,
                list,
                attempt: attempt as u16,
                hour,
                weekday: (n / 200 % 5) as u8,
            };
            let drawn = n.wrapping_mul(2_654_435_761) >> 16;
            answers.note(
                &line,
                GivenOut::InTurn,
                i64::from(n / 2_000),
                drawn % 10 < tenths,
            );
        }
    }

    fn now(answers: &Answers, list: u32, hour: usize) -> f32 {
        answers.chance(1, list, 1) * answers.factor(Some(list), hour)
    }

    #[test]
    fn it_begins_where_it_is_told_and_learns_lists_hours_and_attempts() {
        let young = Answers::new(0.2);
        assert!((young.chance(1, 7, 1) - 0.2).abs() < 1e-6);
        assert_eq!(young.factor(None, 12), 1.0);
        let answers = taught(8_000);
        assert!(now(&answers, 7, 18) > now(&answers, 7, 10) + 0.2);
        assert!(now(&answers, 8, 10) > now(&answers, 8, 18) + 0.2);
        assert!(answers.chance(1, 7, 1) > answers.chance(1, 7, 2) + 0.1);
        assert!(
            answers.reliability().error() < 0.08,
            "{:?}",
            answers.reliability()
        );
        assert_eq!(answers.all().lines, 8_000);
        let hours = answers.by_hour();
        assert_eq!(
            (hours[10].lines, hours[18].lines, hours[9].lines),
            (4_000, 4_000, 0)
        );
        assert_eq!(answers.of_list(Some(7))[18].lines, 2_000);
        assert_eq!(answers.by_attempt()[0].lines, 4_000);
    }

    #[test]
    fn what_is_kept_is_read_again_and_other_bytes_are_not() {
        let mut answers = taught(3_000);
        let bytes = answers.save();
        let mut back = Answers::read(&bytes).expect("its own");
        assert_eq!(back.save(), bytes);
        assert_eq!(now(&back, 7, 18), now(&answers, 7, 18));
        teach(&mut back, 3_000, 4_000);
        teach(&mut answers, 3_000, 4_000);
        assert_eq!(back.save(), answers.save());
        for wrong in [&[][..], &[9, 1, 2], &bytes[..bytes.len() / 2]] {
            assert!(Answers::read(wrong).is_err());
        }
    }

    #[test]
    fn nodes_add_up_whatever_their_lists_are_called_by() {
        let (mut one, mut other) = (Answers::new(0.2), Answers::new(0.2));
        let line = |list| Line {
            region: 1,
            list,
            attempt: 1,
            hour: 9,
            weekday: 0,
        };
        for n in 0..400 {
            one.note(&line(5), GivenOut::ByChance, 0, n % 2 == 0);
            other.note(&line(6), GivenOut::HeldOut, 0, n % 10 == 0);
            other.note(&line(5), GivenOut::InTurn, 0, n % 2 == 0);
        }
        one.add(&other);
        assert_eq!(one.lists(), [5, 6]);
        assert_eq!(one.of_list(Some(5))[9].lines, 800);
        assert_eq!(one.of_list(Some(6))[9].answered, 40);
        assert_eq!(one.all().lines, 1_200);
        let (by_chance, held_out) = one.compared();
        assert_eq!((by_chance.lines, held_out.lines), (400, 400));
        assert!(now(&one, 5, 9) > now(&one, 6, 9) + 0.2);
    }

    #[test]
    fn lists_beyond_the_bound_are_one_segment_and_bytes_stay_within_theirs() {
        let mut answers = Answers::new(0.2);
        for n in 0..40_000u32 {
            let line = Line {
                region: (n % 50) as u16,
                list: n % 500,
                attempt: (n % 30) as u16,
                hour: (n / 500 % 24) as u8,
                weekday: (n % 9) as u8,
            };
            answers.note(&line, GivenOut::InTurn, i64::from(n / 400), n % 3 == 0);
        }
        assert_eq!(answers.lists().len(), SEGMENTS - 1);
        let others: u64 = answers.of_list(None).iter().map(|count| count.lines).sum();
        assert_eq!(others, 80 * (500 - 63));
        assert!(answers.save().len() < 96 * 1024, "{}", answers.save().len());
    }
}
