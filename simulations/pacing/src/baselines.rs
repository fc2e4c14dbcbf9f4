//! Other dialers' rules, written anew from published descriptions of what they do, each under its
//! own name and with its own defaults. They see the product's [`View`]; where their original sees
//! something else, it is said.

use domain::Instant;
use pacing::{Controller, Observation, Price, View};
use std::{collections::VecDeque, time::Duration};

/// VICIdial's ways to set its dial level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The level stays as it is.
    Ratio,
    /// Level 1 while the day's drops are above the limit.
    HardLimit,
    /// The level is halved while they are.
    Average,
    /// The level is scaled by the time left until the last dialing hour while they are.
    Tapered,
}

/// VICIdial: a dial level for agents ready or on a call, adapted from the balance of agents waiting
/// and persons waiting. Defaults: limit 3 %, at most level 3, intensity 0, target difference 0,
/// last hour 21:00. Here a shift is eight hours from 9:00, and agents on a break are not counted
/// among those logged in (the view has none).
#[derive(Debug)]
pub struct Vicidial {
    method: Method,
    level: f64,
    limit: f64,
    level_max: f64,
    /// Ready agents, persons waiting, agents, each second.
    samples: VecDeque<(f64, f64, f64)>,
    day: u64,
    day_answers: f64,
    day_drops: f64,
    day_share: f64,
    dialed: VecDeque<(Instant, u32)>,
    dropped: VecDeque<Instant>,
    next_sample: Instant,
    next_share: Instant,
    next_level: Instant,
    next_place: Instant,
}

impl Vicidial {
    /// With its defaults; `level` is where it begins, and for RATIO where it stays.
    pub fn new(method: Method, level: f64) -> Self {
        Self {
            method,
            level,
            limit: 3.0,
            level_max: 3.0,
            samples: VecDeque::with_capacity(16),
            day: 0,
            day_answers: 0.0,
            day_drops: 0.0,
            day_share: 0.0,
            dialed: VecDeque::new(),
            dropped: VecDeque::new(),
            next_sample: Instant::ZERO,
            next_share: Instant::ZERO,
            next_level: Instant::ZERO,
            next_place: Instant::ZERO,
        }
    }

    fn adapt(&mut self, now: Instant) {
        let n = self.samples.len().max(1) as f64;
        let sum = self
            .samples
            .iter()
            .fold((0.0, 0.0, 0.0), |a, s| (a.0 + s.0, a.1 + s.1, a.2 + s.2));
        let (difference, agents) = ((sum.0 - sum.1) / n, sum.2 / n);
        if agents > 0.0 {
            let level = self.level * (1.0 + difference / agents);
            self.level = ((level * 1000.0).round() / 1000.0).clamp(1.0, self.level_max);
        }
        let minute = now - Duration::from_secs(60);
        while self.dialed.front().is_some_and(|(at, _)| *at < minute) {
            self.dialed.pop_front();
        }
        while self.dropped.front().is_some_and(|at| *at < minute) {
            self.dropped.pop_front();
        }
        let calls: u32 = self.dialed.iter().map(|(_, n)| n).sum();
        if calls > 20 && self.dropped.len() as f64 > 0.5 * f64::from(calls) {
            self.level /= 2.0;
        }
        if self.day_answers > 50.0 && self.day_share > self.limit {
            match self.method {
                Method::Ratio => {}
                Method::HardLimit => self.level = 1.0,
                Method::Average => self.level /= 2.0,
                Method::Tapered => {
                    let left = left_today(now);
                    let rate = if left > 1000.0 { 1.0 } else { left / 1000.0 };
                    self.level *= rate.max(0.0);
                }
            }
        }
        self.level = self.level.max(1.0);
    }
}

/// The hour and minute written as one decimal number, as the original subtracts them.
fn left_today(now: Instant) -> f64 {
    let minutes = 9 * 60 + (now.as_nanos() / 60_000_000_000) % 480;
    2100.0 - (minutes / 60 * 100 + minutes % 60) as f64
}

impl Controller for Vicidial {
    fn lines(&mut self, now: Instant, view: &View) -> u32 {
        let second = Duration::from_secs;
        let day = now.as_nanos() / second(8 * 3600).as_nanos() as u64;
        if day != self.day {
            self.day = day;
            (self.day_answers, self.day_drops, self.day_share) = (0.0, 0.0, 0.0);
        }
        if now >= self.next_sample {
            self.next_sample = now + second(1);
            let (ready, waiting) = (f64::from(view.ready), f64::from(view.waiting));
            self.samples
                .push_back((ready, waiting, f64::from(view.agents())));
            if self.samples.len() > 15 {
                self.samples.pop_front();
            }
        }
        if now >= self.next_share {
            self.next_share = now + second(60);
            self.day_share = 100.0 * self.day_drops / self.day_answers.max(1.0);
        }
        if now >= self.next_level {
            self.next_level = now + second(15);
            if self.method != Method::Ratio {
                self.adapt(now);
            }
        }
        if now < self.next_place {
            return 0;
        }
        self.next_place = now + Duration::from_millis(2500);
        let on_call = view.on_call.len() as f64;
        let goal = (self.level * (f64::from(view.ready) + on_call)).round();
        let existing = view.lines.len() as f64 + f64::from(view.waiting) + on_call;
        let launch = (goal - existing).max(0.0) as u32;
        if launch > 0 {
            self.dialed.push_back((now, launch));
        }
        launch
    }

    fn observe(&mut self, now: Instant, observation: Observation) {
        match observation {
            Observation::Answered { .. } => self.day_answers += 1.0,
            Observation::Abandoned => {
                self.day_drops += 1.0;
                self.dropped.push_back(now);
            }
            _ => {}
        }
    }
}

/// Issabel's predictor: agents free, and busy ones whose talk so far and the usual ring time make
/// 97 % of the exponential law; divided by the share answered in the last half hour (at least
/// 20 %, from ten calls on), less what rings. Looks every three seconds.
#[derive(Debug, Default)]
pub struct Issabel {
    talks: (f64, f64),
    answers: (f64, f64),
    outcomes: VecDeque<(Instant, bool)>,
    next: Instant,
}

impl Controller for Issabel {
    fn lines(&mut self, now: Instant, view: &View) -> u32 {
        if now < self.next {
            return 0;
        }
        self.next = now + Duration::from_secs(3);
        let mut agents = f64::from(view.ready) - f64::from(view.waiting);
        if self.talks.1 >= 10.0 {
            let talk = self.talks.0 / self.talks.1;
            let answer = self.answers.0 / self.answers.1.max(1.0);
            let ends = |age: &&Duration| 1.0 - (-(age.as_secs_f64() + answer) / talk).exp() >= 0.97;
            agents += view.on_call.iter().filter(ends).count() as f64;
        }
        let half_hour = now - Duration::from_secs(1800);
        while self.outcomes.front().is_some_and(|(at, _)| *at < half_hour) {
            self.outcomes.pop_front();
        }
        if self.outcomes.len() >= 10 {
            let answered = self.outcomes.iter().filter(|(_, yes)| *yes).count() as f64;
            agents /= (answered / self.outcomes.len() as f64).max(0.2);
        }
        (agents.round() - view.lines.len() as f64).max(0.0) as u32
    }

    fn observe(&mut self, now: Instant, observation: Observation) {
        match observation {
            Observation::Answered { after } => {
                self.outcomes.push_back((now, true));
                self.answers.0 += after.as_secs_f64();
                self.answers.1 += 1.0;
            }
            Observation::Unanswered { .. } | Observation::Screened { .. } => {
                self.outcomes.push_back((now, false));
            }
            Observation::Talked { lasted } => {
                self.talks.0 += lasted.as_secs_f64();
                self.talks.1 += 1.0;
            }
            _ => {}
        }
    }
}

/// A rule of the kind Samuelson described: agents and lines without memory, a normal law for how
/// many come free and how many answer within a ring time, and one threshold on the chance of a
/// mismatch. The threshold is moved by the same price as the predictive controller's.
#[derive(Debug)]
pub struct Samuelson {
    price: Price,
    answered: u32,
    yes: f64,
    no: f64,
    ring: f64,
    talk: f64,
    wrap_up: f64,
    seen: u32,
}

impl Default for Samuelson {
    fn default() -> Self {
        Self {
            price: Price::new(),
            answered: 0,
            yes: 0.6,
            no: 1.4,
            ring: 12.0,
            talk: 120.0,
            wrap_up: 15.0,
            seen: 0,
        }
    }
}

impl Controller for Samuelson {
    fn lines(&mut self, _now: Instant, view: &View) -> u32 {
        let one_to_one = view.ready.saturating_sub(view.outstanding());
        let rate = self.yes / (self.yes + self.no);
        let outstanding = f64::from(view.outstanding());
        let left = view
            .budget
            .map_or(0.0, |budget| budget.left as f32 / 1000.0);
        let usual = view.agents() as f32 * 0.12;
        let answered = std::mem::take(&mut self.answered);
        self.price
            .turn(answered, left, usual + 3.0 * usual.sqrt() + 3.0);
        if self.seen < 60 || left < 1.0 {
            return one_to_one;
        }
        let ahead = self.ring + 2.0;
        let talk = 1.0 - (-ahead / (self.talk + self.wrap_up)).exp();
        let wrap_up = 1.0 - (-ahead / self.wrap_up).exp();
        let (talking, wrapping) = (view.on_call.len() as f64, view.wrap_up.len() as f64);
        let free = f64::from(view.ready) + talking * talk + wrapping * wrap_up;
        let spread = talking * talk * (1.0 - talk) + wrapping * wrap_up * (1.0 - wrap_up);
        let most = f64::from(view.agents()) * 10.0;
        let mut lines = 0;
        while outstanding + f64::from(lines) < most {
            let out = outstanding - f64::from(view.waiting) + f64::from(lines);
            let mean = free - f64::from(view.waiting) - out * rate;
            let deviation = (spread + out * rate * (1.0 - rate)).max(1e-6).sqrt();
            if lines >= one_to_one && normal((0.5 - mean) / deviation) > f64::from(self.price.now())
            {
                break;
            }
            lines += 1;
        }
        lines
    }

    fn observe(&mut self, _now: Instant, observation: Observation) {
        const KEPT: f64 = 1.0 - 1.0 / 300.0;
        let follow =
            |mean: &mut f64, value: Duration| *mean += (value.as_secs_f64() - *mean) / 200.0;
        match observation {
            Observation::Answered { after } => {
                self.answered += 1;
                self.seen += 1;
                self.yes = self.yes * KEPT + 1.0;
                self.no *= KEPT;
                follow(&mut self.ring, after);
            }
            Observation::Unanswered { .. } | Observation::Screened { .. } => {
                self.seen += 1;
                self.yes *= KEPT;
                self.no = self.no * KEPT + 1.0;
            }
            Observation::Talked { lasted } => follow(&mut self.talk, lasted),
            Observation::WrappedUp { lasted, .. } => follow(&mut self.wrap_up, lasted),
            _ => {}
        }
    }
}

/// The standard normal distribution function (Abramowitz and Stegun 26.2.17).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let sum = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let above = (-0.5 * x * x).exp() * 0.398_942_280_4 * sum;
    if x >= 0.0 { 1.0 - above } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(n: u32) -> View {
        View {
            ready: n,
            ..View::default()
        }
    }

    #[test]
    fn ratio_places_for_agents_ready_and_on_calls() {
        let mut vicidial = Vicidial::new(Method::Ratio, 2.0);
        let mut view = ready(4);
        view.on_call = vec![Duration::from_secs(9); 3];
        // Goal 14, of which the three calls under way count as placed.
        assert_eq!(vicidial.lines(Instant::ZERO, &view), 11);
        assert_eq!(vicidial.lines(Instant::from_millis(2000), &view), 0);
    }

    #[test]
    fn the_level_rises_with_agents_waiting_up_to_its_cap() {
        let mut vicidial = Vicidial::new(Method::HardLimit, 1.0);
        for second in 0..120 {
            vicidial.lines(Instant::from_millis(second * 1000), &ready(5));
        }
        assert_eq!(vicidial.level, 3.0);
    }

    #[test]
    fn the_hard_limit_is_level_one() {
        let mut vicidial = Vicidial::new(Method::HardLimit, 2.0);
        let now = Instant::from_millis(1000);
        for n in 0..100 {
            let after = Duration::from_secs(9);
            vicidial.observe(now, Observation::Answered { after });
            if n < 5 {
                vicidial.observe(now, Observation::Abandoned);
            }
        }
        for second in 1..120 {
            vicidial.lines(Instant::from_millis(second * 1000), &ready(5));
        }
        assert_eq!(vicidial.level, 1.0);
    }

    #[test]
    fn tapering_begins_at_eleven() {
        assert_eq!(left_today(Instant::from_millis(0)), 1200.0);
        assert_eq!(left_today(Instant::from_millis(2 * 3_600_000)), 1000.0);
        assert_eq!(left_today(Instant::from_millis(3 * 3_600_000)), 900.0);
    }

    #[test]
    fn issabel_overcommits_by_the_share_answered() {
        let mut issabel = Issabel::default();
        assert_eq!(issabel.lines(Instant::ZERO, &ready(6)), 6);
        let after = Duration::from_secs(9);
        for n in 0..20 {
            let observation = match n % 2 {
                0 => Observation::Answered { after },
                _ => Observation::Unanswered { after },
            };
            issabel.observe(Instant::ZERO, observation);
        }
        assert_eq!(issabel.lines(Instant::from_millis(4000), &ready(6)), 12);
    }
}
