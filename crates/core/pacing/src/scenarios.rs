//! A small population in virtual time: lines over time as snapshots, and the controllers' promises
//! at every tick. The full population stands in the simulator.

use crate::{
    Budget, Controller, Levers, Limits, Line, Phase, RateLimiter, Shift, View, controller, hopper,
};
use domain::{DialLevel, Instant, PacingMode};
use proptest::prelude::*;
use sansio::{Seed, Stream};
use std::{fmt::Write, time::Duration};

/// More than any team could abandon.
pub(crate) const AMPLE: Option<Budget> = Some(Budget {
    permille: 30,
    left: 1_000_000,
});

pub(crate) fn lines(n: u32) -> Vec<Line> {
    let line = Line {
        phase: Phase::Ringing,
        age: Duration::from_secs(3),
        cancellable: false,
        kept: false,
    };
    vec![line; n as usize]
}

pub(crate) fn views() -> impl Strategy<Value = View> {
    let small = 0u32..40;
    (
        small.clone(),
        small.clone(),
        small.clone(),
        small.clone(),
        small,
    )
        .prop_map(
            |(ready, reserved, outstanding, waiting, lines_elsewhere)| View {
                ready,
                reserved,
                lines: lines(outstanding),
                waiting,
                lines_elsewhere,
                ..View::default()
            },
        )
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Agent {
    Ready,
    Reserved,
    OnCall { since: u64, until: u64 },
    WrapUp { since: u64, until: u64 },
    Paused,
}

#[derive(Clone, Copy, Debug)]
struct Dialed {
    began: u64,
    /// When it ends, and whether with a person's answer.
    ends: u64,
    answered: bool,
    agent: Option<usize>,
}

/// What happens in a scenario beside the population's own ways.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    agents: usize,
    answer_permille: u32,
    calls_per_second: u32,
    /// In this second half of the agents walk out.
    walk_out: Option<u64>,
    /// From this second on the carrier fails every call at once.
    outage: Option<(u64, u64)>,
}

struct Population {
    plan: Plan,
    random: Stream,
    agents: Vec<Agent>,
    dialed: Vec<Dialed>,
    waiting: Vec<u64>,
    leads: u32,
    totals: (u32, u32, u32),
}

impl Population {
    fn view(&self, second: u64) -> View {
        let count = |state| self.agents.iter().filter(|a| **a == state).count() as u32;
        let age = |since| Duration::from_secs(second - since);
        let mut view = View {
            ready: count(Agent::Ready),
            reserved: count(Agent::Reserved),
            waiting: self.waiting.len() as u32,
            budget: AMPLE,
            ..View::default()
        };
        for agent in &self.agents {
            match agent {
                Agent::OnCall { since, .. } => view.on_call.push(age(*since)),
                Agent::WrapUp { since, .. } => view.wrap_up.push(age(*since)),
                _ => {}
            }
        }
        for line in &self.dialed {
            view.lines.push(Line {
                phase: if second > line.began + 3 {
                    Phase::Ringing
                } else {
                    Phase::Dialing
                },
                age: age(line.began),
                cancellable: false,
                kept: false,
            });
        }
        view
    }

    fn dial(&mut self, second: u64, agent: Option<usize>) {
        let out = self
            .plan
            .outage
            .is_some_and(|(a, b)| (a..b).contains(&second));
        let answered = !out && self.random.permille(self.plan.answer_permille);
        let after = match (out, answered) {
            (true, _) => 1,
            (false, true) => 6 + self.random.below(12),
            (false, false) => 25,
        };
        self.totals.0 += 1;
        self.leads -= 1;
        self.dialed.push(Dialed {
            began: second,
            ends: second + u64::from(after),
            answered,
            agent,
        });
    }

    fn talk(&mut self, second: u64, agent: usize) {
        // A sum of two: most calls near the mean of 60 s, few very short or long.
        let length = 1 + self.random.below(60) + self.random.below(60);
        self.agents[agent] = Agent::OnCall {
            since: second,
            until: second + u64::from(length),
        };
    }

    /// Moves everything to this second.
    fn live(&mut self, second: u64) {
        if self.plan.walk_out == Some(second) {
            for agent in self.agents.iter_mut().step_by(2) {
                *agent = Agent::Paused;
            }
            for line in &mut self.dialed {
                line.agent = line.agent.filter(|a| a % 2 == 1);
            }
        }
        for agent in &mut self.agents {
            *agent = match *agent {
                Agent::OnCall { until, .. } if until <= second => Agent::WrapUp {
                    since: second,
                    until: second + 15,
                },
                Agent::WrapUp { until, .. } if until <= second => Agent::Ready,
                same => same,
            };
        }
        let (over, on): (Vec<_>, _) = self.dialed.iter().partition(|line| line.ends <= second);
        self.dialed = on;
        for line in over {
            if line.answered {
                self.totals.1 += 1;
            }
            match line.agent {
                Some(agent) if line.answered => self.talk(second, agent),
                Some(agent) => self.agents[agent] = Agent::Ready,
                None if line.answered => self.waiting.push(second),
                None => {}
            }
        }
        let ready = |agents: &[Agent]| agents.iter().position(|a| *a == Agent::Ready);
        while let (Some(agent), false) = (ready(&self.agents), self.waiting.is_empty()) {
            self.waiting.remove(0);
            self.talk(second, agent);
        }
        let before = self.waiting.len();
        self.waiting.retain(|since| second < since + 2);
        self.totals.2 += (before - self.waiting.len()) as u32;
    }
}

/// Runs a scenario and writes down, at each tenth second, what there is.
fn run(mode: PacingMode, level: DialLevel, plan: Plan) -> String {
    run_with(mode, level, plan, Levers::default(), None)
}

/// The same with levers, and with an end of dialing at that second.
fn run_with(
    mode: PacingMode,
    level: DialLevel,
    plan: Plan,
    levers: Levers,
    ends: Option<u64>,
) -> String {
    let mut controller: Box<dyn Controller> = controller(mode, level);
    let mut limiter = RateLimiter::new(plan.calls_per_second);
    let mut rate = hopper::DialRate::default();
    let mut people = Population {
        plan,
        random: Seed::from_u64(7).stream("population"),
        agents: vec![Agent::Ready; plan.agents],
        dialed: vec![],
        waiting: vec![],
        leads: 0,
        totals: (0, 0, 0),
    };
    let mut text = format!("{mode:?} {level:?} {plan:?}\n");
    text.push_str("   s ready kept talk wrap lines wait leads | dials answers abandoned\n");
    for second in 0..=240u64 {
        let now = Instant::from_millis(second * 1000);
        people.live(second);
        let mut view = people.view(second);
        crate::levers::tell(&levers, &mut view, 0);
        let shift = Shift {
            since: Duration::from_secs(second),
            left: ends.map(|ends| Duration::from_secs(ends.saturating_sub(second))),
        };
        let lines = view.lines.len() as u32;
        people.leads += hopper::wanted(&hopper::View {
            leads: people.leads,
            lines: lines.max(level.lines(view.agents())),
            dials: rate.dials(now),
            agents: view.agents(),
            ..hopper::View::default()
        });
        let limits = Limits {
            channels: 100,
            calls: limiter.available(now),
            leads: people.leads,
        };
        let wish = controller.lines(now, &view);
        let at = crate::levers::level(&levers, level, shift);
        let launch = limits.hold(crate::levers::hold(level, at, &view, wish));
        for _ in 0..launch {
            assert!(limiter.take(now));
            rate.note(now);
            let agent = (mode == PacingMode::Progressive).then(|| {
                let ready = people.agents.iter().position(|a| *a == Agent::Ready);
                let agent = ready.expect("a progressive line has a ready agent");
                people.agents[agent] = Agent::Reserved;
                agent
            });
            people.dial(second, agent);
        }
        let view = people.view(second);
        if launch > 0 {
            match mode {
                PacingMode::Progressive => {
                    assert!(view.outstanding() <= view.ready + view.reserved);
                }
                PacingMode::Ratio => assert!(view.outstanding() <= level.lines(view.ready)),
                PacingMode::Predictive => assert!(view.outstanding() <= level.lines(view.agents())),
            }
        }
        if second % 10 == 0 {
            writeln!(
                text,
                "{second:4} {:5} {:4} {:4} {:4} {:5} {:4} {:5} | {:5} {:7} {:9}",
                view.ready,
                view.reserved,
                view.on_call.len(),
                view.wrap_up.len(),
                view.lines.len(),
                view.waiting,
                people.leads,
                people.totals.0,
                people.totals.1,
                people.totals.2
            )
            .expect("writing to a String cannot fail");
        }
    }
    text
}

const PLAN: Plan = Plan {
    agents: 10,
    answer_permille: 300,
    calls_per_second: 100,
    walk_out: None,
    outage: None,
};

#[test]
fn progressive_keeps_one_line_an_agent() {
    let text = run(PacingMode::Progressive, DialLevel::ONE, PLAN);
    insta::assert_snapshot!("progressive", text);
}

#[test]
fn progressive_through_a_walk_out() {
    let plan = Plan {
        walk_out: Some(65),
        ..PLAN
    };
    let text = run(PacingMode::Progressive, DialLevel::ONE, plan);
    insta::assert_snapshot!("progressive_walk_out", text);
}

#[test]
fn ratio_dials_above_its_agents() {
    let text = run(PacingMode::Ratio, DialLevel(250), PLAN);
    insta::assert_snapshot!("ratio", text);
}

#[test]
fn ratio_through_a_carrier_outage_on_a_slow_trunk() {
    let plan = Plan {
        calls_per_second: 2,
        outage: Some((100, 130)),
        ..PLAN
    };
    let text = run(PacingMode::Ratio, DialLevel(250), plan);
    insta::assert_snapshot!("ratio_outage", text);
}

#[test]
fn ratio_with_ramps_and_agents_left_to_inbound_calls() {
    let levers = Levers {
        inbound_agents: 2,
        ramp_up: Duration::from_secs(90),
        ramp_down: Duration::from_secs(60),
        ..Levers::default()
    };
    let text = run_with(PacingMode::Ratio, DialLevel(250), PLAN, levers, Some(210));
    insta::assert_snapshot!("ratio_levers", text);
}
