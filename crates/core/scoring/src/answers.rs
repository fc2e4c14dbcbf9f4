//! What one campaign learns of who answers: chances by attempt, weekday and region, what the list and the
//! hour make of them, and whether they are what happens.

use crate::{
    Count, Factors, Features, HOURS, Hours, Learning, Model, Order, Reliability, SEGMENTS,
    effects::logistic,
    saved::{self, Unreadable},
};
use serde::{Deserialize, Serialize};

/// Attempts at a lead that are told apart; those beyond the last count with it.
pub const ATTEMPTS: usize = 10;

/// Days of a week.
pub const WEEKDAYS: usize = 7;

/// Forgotten each day: half of what was seen stays after a month and a half.
const FADE: f32 = 0.015;

/// What each attempt takes from the logarithm of the odds of the next, as far as nothing else was learned:
/// whoever did not answer is more likely one who seldom does.
const WORN: f32 = 0.1;

/// Days that are made up for at once after a long rest: nothing is left by then.
const DAYS_MOST: i64 = 400;

/// Lines until effects of lists and hours are worked out anew.
const LOOK_EVERY: u32 = 50;

/// Places of an [`Answers`]' model, as a power of two: regions, attempts and weekdays are few.
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
/// of hours and as much of what follows from them, 24 kB of counts.
///
/// Each part learns beside what the others know by then, for the parts are not met evenly: a list is
/// called at its good hours above all, and a model that does not know of the hour would take it for a
/// good list.
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
    /// The share of the campaign's lines at each hour.
    shares: [f32; HOURS],
    /// Lines since these two were worked out.
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
            shares: [0.0; HOURS],
            unseen: 0,
        }
    }

    /// A line came to this. `day` counts days; when it rises something is forgotten. Gives the chance that
    /// the line had by what was known before.
    pub fn note(&mut self, line: &Line, given: GivenOut, day: i64, answered: bool) -> f32 {
        self.pass(day);
        let segment = self.segment_or_new(line.list);
        let hour = usize::from(line.hour) % HOURS;
        let (beside, worn) = (self.factors.at(segment, hour), worn(line.attempt));
        let odds = (self.model).learn_beside(&features(line), beside + worn, answered) + worn;
        let promised = logistic(odds + beside);
        self.kept.note(promised, answered);
        self.hours.note(segment, hour, logistic(odds), answered);
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
        if self.unseen >= LOOK_EVERY {
            self.look();
        }
        promised
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

    /// Works out anew what lists and hours do.
    pub(crate) fn look(&mut self) {
        self.unseen = 0;
        self.factors = self.hours.factors();
        let lines = self.by_hour().map(|count| count.lines as f32);
        let all = lines.iter().sum::<f32>().max(1.0);
        self.shares = lines.map(|lines| lines / all);
    }

    /// The chance at a usual hour, as it stands for the weekday of the last line.
    pub fn chance(&self, region: u16, list: u32, attempt: u16) -> f32 {
        let odds = self.model.odds(&features(&Line {
            region,
            list,
            attempt,
            hour: 0,
            weekday: self.counts.weekday,
        }));
        logistic(odds + worn(attempt) + self.factors.usual(self.place(Some(list))))
    }

    /// What an hour makes of a list's chances; of `None`, those of lists that were not seen.
    pub fn factor(&self, list: Option<u32>, hour: usize) -> f32 {
        self.factors.of(self.place(list), hour).mean
    }

    /// The order of leads at that hour of their day. With `draw`, standard normal numbers, by draws from
    /// what is not known of each list's hour.
    pub fn order(&self, hour: usize, draw: Option<&mut dyn FnMut() -> f32>) -> Order {
        Order::new(&self.factors, hour, &self.shares, draw)
    }

    /// Which segment of an [`Order`] a list is; of `None`, those that were not seen.
    pub fn place(&self, list: Option<u32>) -> usize {
        let segment = list.and_then(|list| self.segment(list));
        segment.unwrap_or(SEGMENTS - 1)
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

    /// From [`Answers::save`], of this release or the one before.
    ///
    /// # Errors
    /// Bytes of another release, or none of such.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut answers = Self::new(0.5);
        saved::read(bytes, &mut answers)?;
        answers.look();
        Ok(answers)
    }

    /// As the release before learned it: the model saw the list, and chances of lines were noted with that.
    pub(crate) fn without_lists(&mut self) {
        for (segment, list) in self.lists.iter().enumerate() {
            let mut features = Features::new();
            features.word("list", &list.to_string());
            let shift = self.model.parts(&features).last().unwrap_or_default();
            self.hours.take_back(segment, shift);
        }
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

/// What is believed of an attempt before anything is learned, on the logarithm of the odds.
fn worn(attempt: u16) -> f32 {
    -WORN * step(attempt) as f32
}

/// What the model sees: the list of fields in `docs/pacing.md`, but for the list and the hour, which
/// [`Hours`] sees.
fn features(line: &Line) -> Features {
    let mut features = Features::new();
    features.word("region", &line.region.to_string());
    features.word("attempt", &step(line.attempt).to_string());
    features.word("weekday", &line.weekday.to_string());
    features
}

#[cfg(test)]
mod tests;
