//! How many lines to launch now: one trait, one file a controller.
//!
//! Pacing sees counts and ages, never calls. A controller says how many lines it would launch;
//! [`Limits`] says how many may be launched: free channels, the trunk's calls a second
//! ([`RateLimiter`]) and the leads at hand. [`hopper::wanted`] says how many leads to hold ready.

mod governor;
pub mod hopper;
mod progressive;
mod ratio;

#[cfg(test)]
mod scenarios;

pub use governor::{Limits, RateLimiter};
pub use progressive::Progressive;
pub use ratio::Ratio;

use domain::{DialLevel, Instant, PacingMode};
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
}

impl View {
    /// Everything that is already on its way to an agent.
    pub fn outstanding(&self) -> u32 {
        let lines = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        lines
            .saturating_add(self.waiting)
            .saturating_add(self.lines_elsewhere)
    }

    /// Agents on shift who take calls of the campaign, now or after what they are doing.
    pub fn agents(&self) -> u32 {
        let busy = u32::try_from(self.on_call.len() + self.wrap_up.len()).unwrap_or(u32::MAX);
        busy.saturating_add(self.ready)
            .saturating_add(self.reserved)
    }
}

/// Decides how many lines a campaign launches.
pub trait Controller: fmt::Debug + Send {
    /// How many lines to launch now. Called at every change of the view and at least each second.
    fn lines(&mut self, now: Instant, view: &View) -> u32;
}

/// The controller of a pacing mode.
pub fn controller(mode: PacingMode, level: DialLevel) -> Box<dyn Controller> {
    match mode {
        PacingMode::Progressive => Box::new(Progressive),
        PacingMode::Ratio => Box::new(Ratio::new(level)),
    }
}
