//! Looks ahead over the ring time and pays for risk out of the abandonment budget.

mod models;
mod outlook;
mod price;

#[cfg(test)]
mod pool_tests;
#[cfg(test)]
mod tests;

pub use price::Price;

use crate::{Controller, Forecast, Line, Observation, Phase, View};
use domain::{DialLevel, Instant};
use models::{Answers, Ends, Row, STEPS, bin};
use outlook::{Moments, Outlook};
use price::{Pace, Told};
use std::time::Duration;

/// Talks and outcomes of lines that must have been seen before anything is dialed ahead.
const TALKS_SEEN: u32 = 20;
const LINES_SEEN: u32 = 60;
/// A line is given up when its risk passes the price so many times.
const TOO_RISKY: f32 = 2.5;
/// How much slower the number of lines that are usually out falls than it rises.
const FALLS: f32 = 0.05;
/// What a pool lacks is made up for within so many times the age of what is known of it.
const PATIENT: f32 = 2.0;
/// Abandonments kept for a line that might have been given up and is answered before it is.
const IN_HAND: u32 = 1;

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
    /// Persons who could be let down at worst, with what was launched ([`View::exposed`]).
    pub exposed: u32,
    /// Abandonments that the price would like to have left.
    pub reserve: f32,
    /// What held the last decision back.
    pub binding: Binding,
}

/// What held a decision back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Binding {
    /// One line for each ready agent, by choice.
    Agents,
    /// Too little was seen yet: one line for each ready agent.
    #[default]
    Young,
    /// The budget is unknown or spent: one line for each ready agent.
    Budget,
    /// The budget would not outlast all agents leaving and everybody answering.
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
/// below a [`Price`] which the abandonment budget sets. Young, or without budget, it dials one line
/// for each ready agent, who is kept for it. It never has more lines than `dial_level` for each
/// agent on shift.
///
/// **What holds, whatever happens.** When it launches lines that keep no agent, the budget has a
/// whole abandonment left for each person who could come to one ([`View::exposed`]), and one more:
/// who is let down takes one of both, and what [`crate::Window::left`] gives holds for longer than
/// any line rings. A line that may be given up is not among them, because it is, as soon as the one
/// more is gone: one such line was answered, and nobody took the person yet. So no model needs to
/// be right for the budget to hold, not the answer rate, not who stays; it costs a stock of
/// abandonments that is saved up once.
#[derive(Clone, Debug)]
pub struct Predictive {
    level: DialLevel,
    ends: Ends,
    answers: Answers,
    outlook: Outlook,
    price: Price,
    pace: Pace,
    /// Persons who answered since the price was moved, and those of them who were let down.
    answered: u32,
    abandoned: u32,
    /// Lines that are out and may not be given up, and what they often come to: a mean that rises
    /// with them and falls slowly.
    out: u32,
    usual: f32,
    /// Whether each line of the last decision keeps an agent.
    keeps: bool,
    part: Part,
    projection: Projection,
}

/// What of the pool's lines this node still has to launch, as a fraction of one.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    due: f32,
    since: Instant,
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
            pace: Pace::default(),
            answered: 0,
            abandoned: 0,
            out: 0,
            usual: 1.0,
            keeps: true,
            part: Part::default(),
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

    /// What the price would like to have left: enough for more lines than usual. With less, what
    /// is left binds just when most agents are ready, which costs more than a point of utilisation.
    /// It hardly follows an hour in which many answer and few lines are out: to save it up again
    /// when that ends would cost more than to keep it.
    /// Never more than a node can hold of a budget that nodes share.
    fn reserve(&self, view: &View) -> f32 {
        let most = self.level.lines(view.agents()) as f32;
        (self.usual + 2.0 * self.usual.sqrt() + 5.0).min(most + 8.0)
    }

    /// Brings models and price up to this moment. Whole abandonments that the budget allows; none
    /// when it allows nothing.
    fn turn(&mut self, view: &View) -> Option<u32> {
        if self.answers.renew() {
            self.ends.renew_all(&self.answers.steps);
        } else {
            self.ends.renew(&self.answers.steps);
        }
        let left = view
            .budget
            .map_or(0.0, |budget| budget.left as f32 / 1000.0);
        let answered = std::mem::take(&mut self.answered);
        let follow = (answered as f32 / 100.0).min(0.2);
        let more = self.out as f32 - self.usual;
        self.usual += follow * if more > 0.0 { more } else { FALLS * more };
        let reserve = self.reserve(view);
        let told = Told {
            answers: answered,
            abandoned: std::mem::take(&mut self.abandoned),
            permille: view.budget.map_or(0, |budget| budget.permille),
        };
        self.pace.turn(told, reserve);
        // While every line keeps an agent nothing is spent, which says nothing of the price.
        let learned = if self.keeps { 0 } else { answered };
        self.price
            .turn(learned, left.min(self.pace.left()), reserve);
        Some(view.may_abandon()).filter(|left| *left > 0)
    }

    /// Chance of being answered by each step.
    fn chances(&self, line: &Line) -> Row {
        if line.phase == Phase::Screening {
            return [self.answers.person(); STEPS];
        }
        *self.answers.by(Answers::place(line.age.as_secs_f32()))
    }

    /// Agents and lines that keep each other are left out.
    fn look_ahead(&mut self, view: &View) {
        let places = i64::from(agents_free(view)) - i64::from(view.waiting);
        let (outlook, answers) = (&mut self.outlook, &self.answers);
        outlook.begin(places, view.pool().next().is_some());
        busy_agents(&self.ends, view, |chance, count| outlook.add(chance, count));
        open_lines(answers, view, |chance, count| outlook.add(chance, count));
        for neighbour in view.pool() {
            outlook.join(neighbour, &answers.steps);
        }
    }

    /// The chance that a new line's answer, when it comes, finds nobody.
    fn risk(&self) -> f32 {
        let full = self.outlook.full();
        let weights = &self.answers.weights;
        full.iter().zip(weights).map(|(full, w)| full * w).sum()
    }

    /// Adds new lines to the outlook while their risk is worth its price, at least `least` and at
    /// most `most`. A line for which there is an agent already risks nothing but that one's leaving.
    fn launch(&mut self, least: u32, most: u32) -> u32 {
        let new = *self.answers.by(0);
        let (mut lines, mut batch) = (0, 1);
        while lines < most {
            self.projection.risk = self.risk();
            if lines >= least && self.projection.risk > self.price.now() {
                self.projection.binding = Binding::Price;
                return lines;
            }
            // Where adding many costs as little as adding one, try many and take back.
            batch = if self.outlook.exact() {
                1
            } else {
                batch.min(most - lines)
            };
            let before = (!self.outlook.exact()).then(|| self.outlook.clone());
            self.outlook.add(&new, batch);
            let fits =
                lines + batch <= least || self.outlook.exact() || self.risk() <= self.price.now();
            match before {
                Some(outlook) if !fits && batch > 1 => {
                    self.outlook = outlook;
                    batch /= 2;
                }
                _ => {
                    lines += batch;
                    batch = if fits { batch * 2 } else { 1 };
                }
            }
        }
        lines
    }

    /// How many lines, and whether each keeps an agent. At most `most`.
    fn decide(&mut self, now: Instant, view: &View, left: Option<u32>, most: u32) -> (u32, bool) {
        let least = view.one_to_one().min(most);
        let room = left.map_or(0, |left| left.saturating_sub(view.exposed() + IN_HAND));
        self.projection.binding = if left.is_none() {
            Binding::Budget
        } else if self.young() {
            Binding::Young
        } else if room < most {
            Binding::Reserve
        } else {
            Binding::Level
        };
        // Without enough left for as many as there are agents ready, each line keeps one of them.
        if left.is_none() || self.young() || room < least {
            self.projection.risk = self.risk();
            return (least, true);
        }
        if view.pool().next().is_some() {
            let lines = self.part_of_the_pool(now, view);
            return (lines.min(most).min(room), false);
        }
        self.part.due = 0.0;
        (self.launch(least, most.min(room)), false)
    }

    /// This node's part of the lines that the pool lacks. Every node sees the same lack, and none
    /// sees what the others do about it before their word comes: each closes its part of it, by its
    /// agents, within a little more than that time.
    fn part_of_the_pool(&mut self, now: Instant, view: &View) -> u32 {
        let own = agents_free(view) as f32;
        let (mut sharing, mut reached, mut age, mut heard) = (own, agents_free(view), 0.0, 0.0);
        for neighbour in view.pool() {
            let agents = neighbour.agents();
            sharing += f32::from(neighbour.overlap_permille) / 1000.0 * agents as f32;
            reached += if neighbour.takes { agents } else { 0 };
            age += neighbour.age.as_secs_f32();
            heard += 1.0;
        }
        // No line is free of risk where others' persons take this node's agents too.
        let lack = self.launch(0, self.level.lines(reached)) as f32;
        let passed = now.since(self.part.since).as_secs_f32();
        self.part.since = now;
        let within = (PATIENT * age / heard).max(0.1);
        let share = own / sharing.max(1.0);
        self.part.due += lack * share * (passed / within).min(1.0);
        let lines = self.part.due.floor();
        self.part.due -= lines;
        lines as u32
    }
}

/// Agents who are kept for no line and on whom one may count.
fn agents_free(view: &View) -> u32 {
    (view.agents() - view.reserved).saturating_sub(view.spared)
}

/// For each agent on a call or in wrap-up the chance of still being busy, by step. Equal bins come
/// at once: 500 agents cost hardly more than 50.
fn busy_agents(ends: &Ends, view: &View, mut add: impl FnMut(&Row, u32)) {
    let busy = |free: &Row| free.map(|chance| 1.0 - chance);
    let mut counts = [0u32; 32];
    tally(&mut counts, &view.on_call);
    for (at, count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        add(&busy(ends.on_call(at)), *count);
    }
    counts.fill(0);
    tally(&mut counts, &view.wrap_up);
    for (at, count) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        add(&busy(ends.in_wrap_up(at)), *count);
    }
}

/// For each line that keeps no agent the chance of having been answered, by step.
fn open_lines(answers: &Answers, view: &View, mut add: impl FnMut(&Row, u32)) {
    let mut ages = [0u32; models::SECONDS];
    let mut screening = 0;
    for line in view.lines.iter().filter(|line| !line.kept) {
        if line.phase == Phase::Screening {
            screening += 1;
        } else {
            ages[Answers::place(line.age.as_secs_f32())] += 1;
        }
    }
    // Of lines elsewhere only the number is known: they count as new.
    ages[0] += view.lines_elsewhere;
    if screening > 0 {
        add(&[answers.person(); STEPS], screening);
    }
    for (place, count) in ages.iter().enumerate().filter(|(_, n)| **n > 0) {
        add(answers.by(place), *count);
    }
}

fn tally(counts: &mut [u32; 32], ages: &[Duration]) {
    for age in ages {
        counts[bin(age.as_secs_f32())] += 1;
    }
}

impl Controller for Predictive {
    fn lines(&mut self, now: Instant, view: &View) -> u32 {
        let left = self.turn(view);
        self.look_ahead(view);
        let agents = view.agents().saturating_sub(view.spared);
        let most = if agents == 0 {
            0
        } else {
            self.level.lines(agents).saturating_sub(view.outstanding())
        };
        let (lines, keeps) = self.decide(now, view, left, most);
        self.keeps = keeps;
        let out = view.lines.iter().filter(|line| !line.cancellable).count();
        self.out = u32::try_from(out).unwrap_or(u32::MAX).saturating_add(lines);
        self.projection.answer_rate = self.answers.rate();
        self.projection.talk = self.ends.mean_talk();
        self.projection.price = self.price.now();
        self.projection.reserve = self.reserve(view);
        self.projection.exposed = view.exposed() + if keeps { 0 } else { lines };
        lines
    }

    fn keeps_agents(&self) -> bool {
        self.keeps
    }

    fn binding(&self) -> Binding {
        self.projection.binding
    }

    fn give_up(&mut self, _now: Instant, view: &View) -> Option<usize> {
        let may = |line: &Line| line.cancellable && !line.kept;
        if !view.lines.iter().any(may) {
            return None;
        }
        let left = self.turn(view);
        if left.is_none_or(|left| left < view.exposed() + IN_HAND) {
            let chance = |line: &Line| self.chances(line)[STEPS - 1];
            return (view.lines.iter().enumerate())
                .filter(|(_, line)| may(line))
                .max_by(|(_, a), (_, b)| chance(a).total_cmp(&chance(b)))
                .map(|(at, _)| at);
        }
        // In a pool every node would see the same risk and give up its lines for it at once.
        if self.young() || view.pool().next().is_some() {
            return None;
        }
        let limit = TOO_RISKY * self.price.now();
        self.look_ahead(view);
        // Without the line itself it can only be better.
        if self.outlook.full().iter().all(|full| *full <= limit) {
            return None;
        }
        let (mut worst, mut seen) = (None, [false; models::SECONDS]);
        let mut most = limit;
        for (at, line) in view.lines.iter().enumerate() {
            let place = Answers::place(line.age.as_secs_f32());
            if !may(line) || std::mem::replace(&mut seen[place], true) {
                continue;
            }
            let by = self.chances(line);
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

    fn set_level(&mut self, level: DialLevel) {
        self.level = level;
    }

    fn forecast(&mut self, view: &View) -> Option<Forecast> {
        let (mut busy, mut lines) = (Moments::default(), Moments::default());
        busy_agents(&self.ends, view, |chance, count| busy.add(chance, count));
        open_lines(&self.answers, view, |chance, count| {
            lines.add(chance, count)
        });
        Some(Forecast {
            width: u8::try_from(self.answers.width()).unwrap_or(u8::MAX),
            agents: agents_free(view),
            waiting: view.waiting,
            busy: busy.told(),
            lines: lines.told(),
        })
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
            Observation::Abandoned => self.abandoned = self.abandoned.saturating_add(1),
            Observation::Talked { lasted } => self.ends.talked(lasted.as_secs_f32()),
            Observation::WrappedUp { lasted, ready } => {
                self.ends.wrapped_up(lasted.as_secs_f32(), ready);
            }
        }
    }
}
