//! How many lines to launch now: one trait, one file a controller.
//!
//! Pacing sees counts and ages, never calls. A controller says how many lines it would launch;
//! [`Limits`] says how many may be launched: free channels, the trunk's calls a second
//! ([`RateLimiter`]) and the leads at hand. [`hopper::wanted`] says how many leads to hold ready.

mod budget;
mod governor;
pub mod hopper;
pub mod levers;
mod limit;
mod pool;
mod predictive;
mod progressive;
mod ratio;

#[cfg(test)]
mod scenarios;

pub use budget::{Budget, Window};
pub use domain::Levers;
pub use governor::{Limits, RateLimiter};
pub use levers::Shift;
pub use limit::Look;
pub use pool::{FORECAST_LIFE, Forecast, MOMENTS, Neighbour, Sums, overlap_permille};
pub use predictive::{Binding, Predictive, Price, Projection};
pub use progressive::Progressive;
pub use ratio::Ratio;

use domain::{DialLevel, Instant, PacingMode, limits};
use std::{fmt, time::Duration};

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing heard yet.
    Dialing,
    /// It rings.
    Ringing,
    /// Answered; by whom is being found out.
    Screening,
}

/// One outstanding line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// How far it has come.
    pub phase: Phase,
    /// How long ago it was begun.
    pub age: Duration,
    /// Whether it may be given up: unanswered, and the law's minimum ring has passed.
    pub cancellable: bool,
    /// Whether an agent is kept for it: whoever answers finds that one, even if the agent has
    /// asked for a pause meanwhile.
    pub kept: bool,
}

/// One campaign at one node, as a controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// Agents who would take a call of this campaign now.
    pub ready: u32,
    /// Agents kept for lines of this campaign that are outstanding.
    pub reserved: u32,
    /// How long each agent who serves the campaign has been on the present call.
    pub on_call: Vec<Duration>,
    /// How long each has been in wrap-up, where nothing but it stands before the next call.
    pub wrap_up: Vec<Duration>,
    /// Lines that may still need an agent.
    pub lines: Vec<Line>,
    /// Persons who answered and wait for an agent.
    pub waiting: u32,
    /// Outstanding lines of other campaigns that may take the same ready agents.
    pub lines_elsewhere: u32,
    /// Ready agents on whom no line may count: left to inbound calls, or about to leave
    /// ([`levers::tell`]).
    pub spared: u32,
    /// What may still be abandoned; none when it is not known.
    pub budget: Option<Budget>,
    /// Other nodes whose agents this one's persons may be given to, and those who share these
    /// agents; at most [`limits::POOL_NEIGHBOURS`] of them count. Empty where a city works alone.
    pub neighbours: Vec<Neighbour>,
}

impl View {
    /// Everything that is already on its way to an agent.
    pub fn outstanding(&self) -> u32 {
        let lines = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        lines
            .saturating_add(self.waiting)
            .saturating_add(self.lines_elsewhere)
    }

    /// Persons who could be let down at worst, whatever is done now: everybody answers on a line
    /// that keeps no agent and may not be given up, and every agent who is not kept leaves. Each
    /// campaign answers for its own lines.
    pub fn exposed(&self) -> u32 {
        let fixed = |line: &&Line| !line.kept && !line.cancellable;
        u32::try_from(self.lines.iter().filter(fixed).count())
            .unwrap_or(u32::MAX)
            .saturating_add(self.waiting)
    }

    /// Lines that have a ready agent each: with them nobody can be abandoned.
    pub fn one_to_one(&self) -> u32 {
        let ready = self.ready.saturating_sub(self.spared);
        (ready.saturating_add(self.reserved))
            .saturating_sub(self.outstanding())
            .min(ready)
    }

    /// Whole abandonments that the budget has left; none where it is not known.
    pub fn may_abandon(&self) -> u32 {
        let left = self.budget.map_or(0, |budget| budget.left.max(0) / 1000);
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// The others whose word is fresh enough to count.
    pub fn pool(&self) -> impl Iterator<Item = &Neighbour> {
        (self.neighbours.iter().take(limits::POOL_NEIGHBOURS)).filter(|n| n.age <= FORECAST_LIFE)
    }

    /// Agents on shift who take calls of the campaign, now or after what they are doing.
    pub fn agents(&self) -> u32 {
        let busy = u32::try_from(self.on_call.len() + self.wrap_up.len()).unwrap_or(u32::MAX);
        busy.saturating_add(self.ready)
            .saturating_add(self.reserved)
    }
}

/// What became of a line, a talk, a wrap-up: from these a controller learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A person answered and needs an agent.
    Answered {
        /// After how long, from the line's begin to the end of screening.
        after: Duration,
    },
    /// A line ended without a person: no answer, busy. Failures of the trunk or the carrier say
    /// nothing of persons and are not told.
    Unanswered {
        /// After how long.
        after: Duration,
    },
    /// Something answered that turned out to be no person: a machine, a fax.
    Screened {
        /// After how long.
        after: Duration,
    },
    /// We gave a line up; how it would have ended stays unknown.
    GivenUp {
        /// After how long.
        after: Duration,
    },
    /// A person who answered found no agent within the limit.
    Abandoned,
    /// An agent's talk ended.
    Talked {
        /// How long it was.
        lasted: Duration,
    },
    /// An agent's wrap-up ended.
    WrappedUp {
        /// How long it was.
        lasted: Duration,
        /// Whether the agent is ready now; false for a break or log-out that was not announced.
        ready: bool,
    },
}

/// Decides how many lines a campaign launches.
pub trait Controller: fmt::Debug + Send {
    /// How many lines to launch now. Called at every change of the view and at least each second.
    fn lines(&mut self, now: Instant, view: &View) -> u32;

    /// The place in `view.lines` of a line that has become too risky to let ring on; it must be
    /// one that is cancellable. Asked until there is none, before [`Controller::lines`].
    fn give_up(&mut self, _now: Instant, _view: &View) -> Option<usize> {
        None
    }

    /// Whether each line of the last [`Controller::lines`] is to keep an agent of its own, who then
    /// takes nobody else until it has ended.
    fn keeps_agents(&self) -> bool {
        false
    }

    /// What held the last [`Controller::lines`] back.
    fn binding(&self) -> Binding {
        Binding::Agents
    }

    /// Another dial level from here on. What was learned stays; a rule without a level ignores it.
    fn set_level(&mut self, _level: DialLevel) {}

    /// What this node tells the others of its next half minute; none where it plans nothing.
    fn forecast(&mut self, _view: &View) -> Option<Forecast> {
        None
    }

    /// Something ended. Told once each, as it happens.
    fn observe(&mut self, _now: Instant, _observation: Observation) {}
}

/// The controller of a pacing mode.
pub fn controller(mode: PacingMode, level: DialLevel) -> Box<dyn Controller> {
    match mode {
        PacingMode::Progressive => Box::new(Progressive),
        PacingMode::Ratio => Box::new(Ratio::new(level)),
        PacingMode::Predictive => Box::new(Predictive::new(level)),
    }
}
