//! Looks ahead over the ring time and pays for risk out of the abandonment budget.

mod models;
mod outlook;
mod price;

#[cfg(test)]
mod tests;

pub use price::Price;

use crate::{Controller, Line, Observation, Phase, View};
use domain::{DialLevel, Instant};
use models::{Answers, Ends, Row, STEPS, bin};
use outlook::Outlook;
use std::time::Duration;

/// Talks and outcomes of lines that must have been seen before anything is dialed ahead.
const TALKS_SEEN: u32 = 20;
const LINES_SEEN: u32 = 60;
/// A line is given up when its risk passes the price so many times.
const TOO_RISKY: f32 = 2.5;
/// The budget must hold with everybody walking out now, save in one case of ten thousand.
const DEVIATIONS: f32 = 4.0;
/// So many times the answers that the models expect are reckoned with: a better list than those
/// before it is noticed only once it has been called.
const SURPRISE: f32 = 1.5;

/// What a predictive controller thinks, for operators who ask why it dials as it does.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Projection {
    /// The share of lines that a person answers.
    pub answer_rate: f32,
    /// Mean talk, in seconds.
    pub talk: f32,
    /// The risk that a line may have.
    pub price: f32,
    /// The risk that one more line would have, had it been launched.
    pub risk: f32,
    /// Answers still to come from the lines that are out, on the careful side.
    pub answers: f32,
    /// Abandonments that are kept for the case that all agents leave.
    pub reserve: f32,
    /// What held the last decision back.
    pub binding: Binding,
}

/// What held a decision back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Binding {
    /// Too little was seen yet: one line for each ready agent.
    #[default]
    Young,
    /// The budget is unknown or spent: one line for each ready agent.
    Budget,
    /// The budget would not outlast all agents leaving now.
    Reserve,
    /// One more line would risk more than the price.
    Price,
    /// The dial level.
    Level,
}

/// The predictive controller.
///
/// From the age of each line, talk and wrap-up it computes, for each moment of the next ring time,
/// the chance that a person who answers then finds every agent taken; launches while that risk is
/// below a [`Price`] which the abandonment budget sets; and lets so many lines out at most that
/// the budget would hold if every agent left. Young, or without budget, it dials one line for each
/// ready agent. It never has more lines than `dial_level` for each agent on shift.
#[derive(Clone, Debug)]
pub struct Predictive {
    level: DialLevel,
    ends: Ends,
    answers: Answers,
    outlook: Outlook,
    price: Price,
    /// Persons who answered since the price was moved.
    answered: u32,
    /// Answers to come from lines that are out: mean and variance, and a slow mean of the first.
    coming: (f32, f32),
    usual: f32,
    projection: Projection,
}

impl Predictive {
    /// A controller that knows nothing yet and has at most so many lines for each agent.
    pub fn new(level: DialLevel) -> Self {
        let answers = Answers::new();
        let mut ends = Ends::new();
        ends.renew_all(&answers.steps);
        Self {
            level,
            ends,
            answers,
            outlook: Outlook::new(),
            price: Price::new(),
            answered: 0,
            coming: (0.0, 0.0),
            usual: 1.0,
            projection: Projection::default(),
        }
    }

    /// What stands behind the last decision.
    pub const fn projection(&self) -> &Projection {
        &self.projection
    }

    fn young(&self) -> bool {
        self.ends.seen < TALKS_SEEN || self.answers.seen < LINES_SEEN
    }

    /// What is kept of the budget: enough for everybody who may answer should all agents leave,
    /// in moments with twice the usual number of answers to come. A smaller one makes the guard
    /// bind just when most agents are ready, which costs more than a point of utilisation.
    fn reserve(&self) -> f32 {
        let usual = 2.0 * SURPRISE * self.usual;
        usual + DEVIATIONS * usual.sqrt() + 4.0
    }

    /// Brings models and price up to this moment. None when the budget allows nothing.
    fn turn(&mut self, view: &View) -> Option<f32> {
        if self.answers.renew() {
            self.ends.renew_all(&self.answers.steps);
        } else {
            self.ends.renew(&self.answers.steps);
        }
        let left = view.budget.map(|budget| budget.left as f32 / 1000.0);
        let answered = std::mem::take(&mut self.answered);
        let follow = (answered as f32 / 100.0).min(0.2);
        self.usual += follow * (self.coming.0 - self.usual);
        self.price
            .turn(answered, left.unwrap_or(0.0), self.reserve());
        left.filter(|left| *left >= 1.0)
    }

    /// Chance of being answered by each step, and ever.
    fn chances(&self, line: &Line) -> (Row, f32) {
        if line.phase == Phase::Screening {
            let person = self.answers.person();
            return ([person; STEPS], person);
        }
        let place = Answers::place(line.age.as_secs_f32());
        (*self.answers.by(place), self.answers.ever(place))
    }

    fn look_ahead(&mut self, view: &View) {
        let places = i64::from(view.ready)
            + i64::from(view.reserved)
            + (view.on_call.len() + view.wrap_up.len()) as i64
            - i64::from(view.waiting);
        self.outlook.begin(places);
        let busy = |free: &Row| free.map(|chance| 1.0 - chance);
        // Equal bins are added at once: 500 agents cost hardly more than 50.
        let mut counts = [0u32; 32];
        tally(&mut counts, &view.on_call);
        for (at, count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            self.outlook.add(&busy(self.ends.on_call(at)), *count);
        }
        counts.fill(0);
        tally(&mut counts, &view.wrap_up);
        for (at, count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            self.outlook.add(&busy(self.ends.in_wrap_up(at)), *count);
        }
        let mut ages = [0u32; models::SECONDS];
        let mut screening = 0;
        for line in &view.lines {
            if line.phase == Phase::Screening {
                screening += 1;
            } else {
                ages[Answers::place(line.age.as_secs_f32())] += 1;
            }
        }
        // Of lines elsewhere only the number is known: they count as new.
        ages[0] += view.lines_elsewhere;
        self.coming = (0.0, 0.0);
        if screening > 0 {
            let person = self.answers.person();
            self.outlook.add(&[person; STEPS], screening);
            self.expect(person, screening);
        }
        for (place, count) in ages.iter().enumerate().filter(|(_, n)| **n > 0) {
            self.outlook.add(self.answers.by(place), *count);
            self.expect(self.answers.ever(place), *count);
        }
    }

    fn expect(&mut self, chance: f32, count: u32) {
        self.coming.0 += chance * count as f32;
        self.coming.1 += chance * (1.0 - chance) * count as f32;
    }

    /// The chance that a new line's answer, when it comes, finds nobody.
    fn risk(&self) -> f32 {
        let full = self.outlook.full();
        let weights = &self.answers.weights;
        full.iter().zip(weights).map(|(full, w)| full * w).sum()
    }

    /// Whether the budget outlasts all agents leaving, with what is out now.
    fn kept(&self, left: f32) -> bool {
        let (mean, variance) = (SURPRISE * self.coming.0, SURPRISE * self.coming.1);
        mean + DEVIATIONS * variance.sqrt() + 1.0 <= left
    }

    /// Adds new lines to the outlook while they may be launched, at most `most`.
    fn launch(&mut self, left: f32, floor: u32, most: u32) -> u32 {
        let new = (*self.answers.by(0), self.answers.ever(0));
        let (mut lines, mut batch) = (0, 1);
        while lines < most {
            self.projection.risk = self.risk();
            // A line that has an agent of its own already risks nothing but that agent's leaving.
            if lines >= floor {
                if !self.kept(left) {
                    self.projection.binding = Binding::Reserve;
                    return lines;
                }
                if self.projection.risk > self.price.now() {
                    self.projection.binding = Binding::Price;
                    return lines;
                }
            }
            // Where adding many costs as little as adding one, try many and take back.
            batch = if self.outlook.exact() {
                1
            } else {
                batch.min(most - lines)
            };
            let before = (!self.outlook.exact()).then(|| (self.outlook.clone(), self.coming));
            self.outlook.add(&new.0, batch);
            self.expect(new.1, batch);
            let fits = self.risk_fits(left) || lines + batch <= floor;
            match before {
                Some((outlook, coming)) if !fits && batch > 1 => {
                    self.outlook = outlook;
                    self.coming = coming;
                    batch /= 2;
                }
                _ => {
                    lines += batch;
                    batch = if fits { batch * 2 } else { 1 };
                }
            }
        }
        self.projection.binding = Binding::Level;
        lines
    }

    fn risk_fits(&self, left: f32) -> bool {
        self.outlook.exact() || (self.kept(left) && self.risk() <= self.price.now())
    }
}

fn tally(counts: &mut [u32; 32], ages: &[Duration]) {
    for age in ages {
        counts[bin(age.as_secs_f32())] += 1;
    }
}

impl Controller for Predictive {
    fn lines(&mut self, _now: Instant, view: &View) -> u32 {
        let left = self.turn(view);
        let floor = view.one_to_one();
        self.look_ahead(view);
        let agents = view.agents();
        let most = if agents == 0 {
            0
        } else {
            self.level.lines(agents).saturating_sub(view.outstanding())
        };
        self.projection.answer_rate = self.answers.rate();
        self.projection.talk = self.ends.mean_talk();
        self.projection.price = self.price.now();
        self.projection.reserve = self.reserve();
        self.projection.answers = self.coming.0;
        match left {
            Some(left) if !self.young() => {
                let left = left - view.waiting as f32;
                self.launch(left, floor.min(most), most)
            }
            left => {
                self.projection.risk = self.risk();
                self.projection.binding = if left.is_some() {
                    Binding::Young
                } else {
                    Binding::Budget
                };
                floor.min(most)
            }
        }
    }

    fn give_up(&mut self, _now: Instant, view: &View) -> Option<usize> {
        if self.young() || !view.lines.iter().any(|line| line.cancellable) {
            return None;
        }
        let left = self.turn(view);
        let limit = left.map_or(0.001, |_| TOO_RISKY * self.price.now());
        self.look_ahead(view);
        // Without the line itself it can only be better.
        if self.outlook.full().iter().all(|full| *full <= limit) {
            return None;
        }
        let (mut worst, mut seen) = (None, [false; models::SECONDS]);
        let mut most = limit;
        for (at, line) in view.lines.iter().enumerate() {
            let place = Answers::place(line.age.as_secs_f32());
            let fit = line.cancellable && line.phase != Phase::Screening;
            if !fit || std::mem::replace(&mut seen[place], true) {
                continue;
            }
            let (by, _) = self.chances(line);
            let ever = by[STEPS - 1];
            if ever <= 0.0 {
                continue;
            }
            let full = self.outlook.full_without(&by);
            let mut before = 0.0;
            let mut risk = 0.0;
            for (step, by) in by.iter().enumerate() {
                risk += (by - before) / ever * full[step];
                before = *by;
            }
            if risk > most {
                most = risk;
                worst = Some(at);
            }
        }
        worst
    }

    fn observe(&mut self, now: Instant, observation: Observation) {
        match observation {
            Observation::Answered { after } => {
                self.answered = self.answered.saturating_add(1);
                self.answers.note_answered(now, after.as_secs_f32());
            }
            Observation::Unanswered { after } => {
                self.answers
                    .note_unanswered(now, after.as_secs_f32(), false);
            }
            Observation::Screened { after } => {
                self.answers.note_unanswered(now, after.as_secs_f32(), true);
            }
            Observation::GivenUp { after } => {
                self.answers.note_given_up(now, after.as_secs_f32());
            }
            // The budget in the view tells of it.
            Observation::Abandoned => {}
            Observation::Talked { lasted } => self.ends.talked(lasted.as_secs_f32()),
            Observation::WrappedUp { lasted, ready } => {
                self.ends.wrapped_up(lasted.as_secs_f32(), ready);
            }
        }
    }
}
