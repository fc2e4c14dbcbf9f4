//! What a run is judged by.

use crate::center::{Setting, Time, time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The figures of one run. Shares are fractions, times seconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// Who decided.
    pub controller: String,
    /// Agents at the start.
    pub agents: usize,
    /// The population's answer rate.
    pub answer_rate: f64,
    /// The seed.
    pub seed: u64,
    /// Hours that counted.
    pub hours: f64,
    /// Talk and wrap-up over the time agents were there and on no break.
    pub utilisation: f64,
    /// Half the width of its 95 % interval, by tenths of the hours that counted.
    #[serde(default)]
    pub utilisation_half: f64,
    /// Abandoned of the live answers, in the hours that counted.
    pub abandonment: f64,
    /// Half the width of its 95 % interval, in the same way.
    #[serde(default)]
    pub abandonment_half: f64,
    /// The same over the whole run, first hours included.
    pub abandonment_whole: f64,
    /// The most by which any rolling window passed its budget at any moment, in calls; below zero
    /// when none did.
    pub over_budget_calls: f64,
    /// How long an agent waited for a call, on the mean.
    pub agent_wait: f64,
    /// Calls an agent had in an hour.
    pub calls_per_agent_hour: f64,
    /// Lines dialed for each call that an agent had.
    pub dials_per_call: f64,
    /// Lines outstanding, on the mean.
    #[serde(default)]
    pub lines: f64,
    /// Of the lines dialed, the share that was given up while ringing.
    pub given_up: f64,
    /// Live answers in the hours that counted.
    pub answers: u64,
}

/// Parts of the hours that count: from how they differ follows a run's own interval.
const PARTS: usize = 10;

/// One of them.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    busy_time: i128,
    staffed_time: i128,
    answers: u64,
    abandoned: u64,
}

/// Counts while a run lasts.
#[derive(Debug)]
pub(crate) struct Measure {
    from: Time,
    part: Time,
    parts: [Part; PARTS],
    /// Lines outstanding now, and their sum over time.
    pub(crate) lines: i64,
    lines_time: i128,
    /// Agents talking or in wrap-up, and those there.
    pub(crate) busy: i64,
    pub(crate) staffed: i64,
    waited: u128,
    joined: u64,
    dials: u64,
    given_up: u64,
    pub(crate) answers_in_all: u64,
    pub(crate) abandoned_in_all: u64,
    window: Time,
    permille: i64,
    /// Live answers of the window, and those of them abandoned.
    recent: VecDeque<Time>,
    lost: VecDeque<Time>,
    over: i64,
}

impl Measure {
    pub(crate) fn new(setting: &Setting<'_>) -> Self {
        Self {
            from: time(setting.warm_up * 3600.0),
            part: time(setting.hours * 3600.0 / PARTS as f64).max(1),
            parts: [Part::default(); PARTS],
            lines: 0,
            lines_time: 0,
            busy: 0,
            staffed: setting.agents as i64,
            waited: 0,
            joined: 0,
            dials: 0,
            given_up: 0,
            answers_in_all: 0,
            abandoned_in_all: 0,
            window: time(setting.population.window_hours * 3600.0),
            permille: i64::from(setting.population.budget_permille),
            recent: VecDeque::new(),
            lost: VecDeque::new(),
            over: i64::MIN,
        }
    }

    /// Time passes with everybody as they are.
    pub(crate) fn pass(&mut self, before: Time, now: Time) {
        let span = i128::from(now.saturating_sub(before.max(self.from)));
        let (busy, staffed) = (i128::from(self.busy), i128::from(self.staffed));
        self.lines_time += span * i128::from(self.lines);
        if let Some(part) = self.part(now) {
            part.busy_time += span * busy;
            part.staffed_time += span * staffed;
        }
    }

    /// The part of the hours that count in which this moment lies.
    fn part(&mut self, now: Time) -> Option<&mut Part> {
        let at = now.checked_sub(self.from)? / self.part;
        self.parts.get_mut((at as usize).min(PARTS - 1))
    }

    pub(crate) fn answer(&mut self, now: Time) {
        if let Some(part) = self.part(now) {
            part.answers += 1;
        }
        self.answers_in_all += 1;
        self.recent.push_back(now);
        self.judge(now);
    }

    pub(crate) fn abandon(&mut self, now: Time) {
        if let Some(part) = self.part(now) {
            part.abandoned += 1;
        }
        self.abandoned_in_all += 1;
        self.lost.push_back(now);
        self.judge(now);
    }

    fn judge(&mut self, now: Time) {
        for queue in [&mut self.recent, &mut self.lost] {
            while queue.front().is_some_and(|at| at + self.window < now) {
                queue.pop_front();
            }
        }
        let over = 1000 * self.lost.len() as i64 - self.permille * self.recent.len() as i64;
        self.over = self.over.max(over);
    }

    /// Adds what a city did with its agents and lines. Answers and abandonments of all cities are
    /// counted here as they happen: the budget is one.
    pub(crate) fn add(&mut self, city: &Self) {
        for (part, more) in self.parts.iter_mut().zip(&city.parts) {
            part.busy_time += more.busy_time;
            part.staffed_time += more.staffed_time;
        }
        self.lines_time += city.lines_time;
        self.waited += city.waited;
        self.joined += city.joined;
        self.dials += city.dials;
        self.given_up += city.given_up;
    }

    pub(crate) fn joined(&mut self, now: Time, ready_since: Time) {
        if now >= self.from {
            self.joined += 1;
            self.waited += u128::from(now - ready_since);
        }
    }

    pub(crate) fn dial(&mut self, now: Time) {
        self.dials += u64::from(now >= self.from);
    }

    pub(crate) fn given_up(&mut self, now: Time) {
        self.given_up += u64::from(now >= self.from);
    }

    pub(crate) fn finish(&self, setting: &Setting<'_>) -> Run {
        let sum = |of: fn(&Part) -> f64| self.parts.iter().map(of).sum::<f64>();
        let half = |of: fn(&Part) -> f64| {
            let values: Vec<f64> = self.parts.iter().map(of).collect();
            Interval::of(&values).half.unwrap_or(0.0)
        };
        let staffed = sum(|part| part.staffed_time as f64);
        let answers = sum(|part| part.answers as f64);
        Run {
            controller: String::new(),
            agents: setting.agents,
            answer_rate: setting.population.answer_rate,
            seed: setting.seed,
            hours: setting.hours,
            utilisation: share(sum(|part| part.busy_time as f64), staffed),
            utilisation_half: half(|part| share(part.busy_time as f64, part.staffed_time as f64)),
            abandonment: share(sum(|part| part.abandoned as f64), answers),
            abandonment_half: half(|part| share(part.abandoned as f64, part.answers as f64)),
            abandonment_whole: share(self.abandoned_in_all as f64, self.answers_in_all as f64),
            over_budget_calls: self.over as f64 / 1000.0,
            agent_wait: share(self.waited as f64 / 1e6, self.joined as f64),
            calls_per_agent_hour: share(self.joined as f64, staffed / 3.6e9),
            dials_per_call: share(self.dials as f64, self.joined as f64),
            lines: self.lines_time as f64 / (self.part as f64 * PARTS as f64),
            given_up: share(self.given_up as f64, self.dials as f64),
            answers: answers as u64,
        }
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A mean over seeds with the half-width of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the interval's width; none for a single value.
    pub half: Option<f64>,
}

impl Interval {
    /// Of these values, by Student's law.
    pub fn of(values: &[f64]) -> Self {
        const T: [f64; 15] = [
            12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
            2.160, 2.145, 2.131,
        ];
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        let half = (values.len() > 1).then(|| {
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let t = T.get(values.len() - 2).copied().unwrap_or(2.0);
            t * (variance / n).sqrt()
        });
        Self { mean, half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        let interval = Interval::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(interval.mean, 2.5);
        assert!((interval.half.unwrap() - 2.054).abs() < 1e-3);
        assert_eq!(Interval::of(&[7.0]).half, None);
    }
}
