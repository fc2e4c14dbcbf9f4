//! The predictive controller's promises.

use super::*;
use crate::{Budget, Window, scenarios::views};
use proptest::prelude::*;

pub(super) const AMPLE: Option<Budget> = Some(Budget {
    permille: 30,
    left: 50_000,
});

/// A controller that has seen a third of its lines answered after 10 s and talks of 60 s.
pub(super) fn grown(level: DialLevel) -> Predictive {
    let mut controller = Predictive::new(level);
    let second = Duration::from_secs;
    for n in 0..600u64 {
        let now = Instant::from_millis(n * 2000);
        let observation = match n % 3 {
            0 => Observation::Answered { after: second(10) },
            _ => Observation::Unanswered { after: second(25) },
        };
        controller.observe(now, observation);
        if n % 3 == 0 {
            controller.observe(now, Observation::Talked { lasted: second(60) });
            let ready = true;
            let lasted = second(10);
            controller.observe(now, Observation::WrappedUp { lasted, ready });
        }
    }
    controller.answers.renew();
    controller.ends.renew_all(&controller.answers.steps);
    controller
}

pub(super) fn ringing(n: usize, age: u64) -> Vec<Line> {
    let line = Line {
        phase: Phase::Ringing,
        age: Duration::from_secs(age),
        cancellable: age >= 15,
        kept: false,
    };
    vec![line; n]
}

pub(super) fn ready(ready: u32) -> View {
    View {
        ready,
        budget: AMPLE,
        ..View::default()
    }
}

#[test]
fn young_it_dials_one_line_an_agent() {
    let mut controller = Predictive::new(DialLevel(500));
    assert_eq!(controller.lines(Instant::ZERO, &ready(7)), 7);
    assert_eq!(controller.projection().binding, Binding::Young);
}

#[test]
fn grown_it_dials_ahead() {
    let mut controller = grown(DialLevel(500));
    let lines = controller.lines(Instant::ZERO, &ready(10));
    assert!((13..30).contains(&lines), "{lines}");
    assert_eq!(controller.projection().binding, Binding::Price);
    // A talk of 58 s is nearly over, one of 5 s is not.
    let with = |age| View {
        on_call: vec![Duration::from_secs(age); 10],
        budget: AMPLE,
        ..View::default()
    };
    assert_eq!(controller.lines(Instant::ZERO, &with(5)), 0);
    assert!(controller.lines(Instant::ZERO, &with(58)) > 0);
}

#[test]
fn without_budget_it_falls_to_one_line_an_agent() {
    let mut controller = grown(DialLevel(500));
    for left in [None, Some(999), Some(0), Some(-4000)] {
        let view = View {
            budget: left.map(|left| Budget { permille: 30, left }),
            ..ready(10)
        };
        assert_eq!(controller.lines(Instant::ZERO, &view), 10, "{left:?}");
        assert_eq!(controller.projection().binding, Binding::Budget);
        let out = View {
            lines: ringing(4, 3),
            waiting: 1,
            ..view
        };
        assert_eq!(controller.lines(Instant::ZERO, &out), 5, "{left:?}");
    }
}

#[test]
fn lines_thin_out_as_the_budget_does() {
    let mut last = u32::MAX;
    for left in [50_000, 6_000, 3_000, 1_500, 900] {
        let mut controller = grown(DialLevel(500));
        let view = View {
            budget: Some(Budget { permille: 30, left }),
            ..ready(10)
        };
        let lines = controller.lines(Instant::ZERO, &view);
        assert!(lines <= last && lines >= 10, "{lines} {last}");
        last = lines;
        // With less left than there are agents ready, each line keeps one of them.
        assert_eq!(controller.keeps_agents(), left < 10_000, "{left}");
    }
    assert_eq!(last, 10);
}

#[test]
fn no_line_goes_out_that_the_budget_could_not_lose() {
    let mut controller = grown(DialLevel(500));
    for (left, out, waiting, expected) in [
        (15, 0, 0, 14),
        (15, 9, 0, 5),
        (15, 9, 2, 3),
        (15, 14, 0, 0),
        (15, 30, 0, 0),
    ] {
        let view = View {
            budget: Some(Budget {
                permille: 30,
                left: left * 1000 + 999,
            }),
            lines: ringing(out, 3),
            waiting,
            ..ready(10)
        };
        let lines = controller.lines(Instant::ZERO, &view);
        assert_eq!(lines, expected, "{left} left, {out} out, {waiting} waiting");
        assert_eq!(controller.projection().binding, Binding::Reserve);
    }
    // Lines that keep an agent need nothing of it.
    let mut view = View {
        budget: Some(Budget {
            permille: 30,
            left: 30_000,
        }),
        lines: ringing(12, 3),
        reserved: 12,
        ..ready(10)
    };
    for line in &mut view.lines {
        line.kept = true;
    }
    assert!(controller.lines(Instant::ZERO, &view) >= 10);
    assert!(!controller.keeps_agents());
}

#[test]
fn what_the_budget_does_not_cover_any_more_is_given_up() {
    let mut controller = grown(DialLevel(500));
    let mut give_up = |view: &View| controller.give_up(Instant::ZERO, view);
    let mut view = View {
        lines: ringing(6, 3),
        waiting: 2,
        ..ready(3)
    };
    view.lines.extend(ringing(4, 16));
    assert_eq!(give_up(&view), None);
    view.budget = Some(Budget {
        permille: 30,
        left: 9_000,
    });
    // Eight could be let down and one more: that is covered.
    assert_eq!(give_up(&view), None);
    view.waiting = 3;
    assert!(give_up(&view).is_some_and(|at| at >= 6));
    view.budget = None;
    assert!(give_up(&view).is_some());
    for line in &mut view.lines {
        line.kept = true;
    }
    assert_eq!(give_up(&view), None);
}

#[test]
fn another_level_forgets_nothing() {
    let mut controller = grown(DialLevel(500));
    let before = controller.lines(Instant::ZERO, &ready(10));
    controller.set_level(DialLevel(110));
    assert_eq!(controller.lines(Instant::ZERO, &ready(10)), 11);
    assert_eq!(controller.projection().binding, Binding::Level);
    controller.set_level(DialLevel(500));
    assert_eq!(controller.lines(Instant::ZERO, &ready(10)), before);
}

#[test]
fn large_teams_are_launched_in_batches() {
    let mut controller = grown(DialLevel(1000));
    let budget = Some(Budget {
        permille: 30,
        left: 2_000_000,
    });
    let view = View {
        budget,
        ..ready(500)
    };
    let lines = controller.lines(Instant::ZERO, &view);
    assert!((1200..1600).contains(&lines), "{lines}");
    let out = View {
        lines: ringing(lines as usize, 0),
        ..view
    };
    assert!(controller.lines(Instant::ZERO, &out) < 10);
}

proptest! {
    #[test]
    fn promises_hold_in_every_view(
        mut view in views(),
        level in 100u16..=1000,
        left in prop::option::of(-5_000i64..60_000),
        ages in prop::collection::vec(0u64..900, 0..40),
        wise in any::<bool>(),
    ) {
        let level = DialLevel(level);
        let mut controller = if wise { grown(level) } else { Predictive::new(level) };
        view.budget = left.map(|left| Budget { permille: 30, left });
        view.on_call = ages.iter().map(|age| Duration::from_secs(*age)).collect();
        let launch = controller.lines(Instant::ZERO, &view);
        if launch > 0 {
            prop_assert!(launch + view.outstanding() <= level.lines(view.agents()));
        }
        if view.agents() == 0 {
            prop_assert_eq!(launch, 0);
        }
        if !wise || left.is_none_or(|left| left < 1000) {
            prop_assert_eq!(launch, view.one_to_one());
            prop_assert!(controller.keeps_agents());
        }
        if controller.keeps_agents() {
            prop_assert!(launch <= view.one_to_one());
        } else if launch > 0 {
            prop_assert!(i64::from(view.exposed() + launch) < left.unwrap_or(0) / 1000);
        }
        let again = controller.clone().lines(Instant::ZERO, &view);
        prop_assert_eq!(again, controller.clone().lines(Instant::ZERO, &view));
    }
}

/// The worst that can be done to a controller in half an hour.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// So many lines that keep no agent are answered, and nobody takes them. Of those that may be
    /// given up it is one: the controller looks in between.
    Loses(usize),
    /// So many are answered and taken.
    Takes(usize),
    /// So many agents are there and ready, all others gone.
    Agents(u32),
    /// So many seconds in which nobody answers.
    Silence(u64),
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let blow = prop_oneof![
        (1usize..60).prop_map(Blow::Loses),
        (1usize..20).prop_map(Blow::Takes),
        (0u32..40).prop_map(Blow::Agents),
        (0u64..20).prop_map(Blow::Silence),
    ];
    prop::collection::vec(blow, 1..90)
}

/// Lines and counts of one campaign while blows fall.
struct Besieged {
    controller: Predictive,
    window: Window,
    now: Instant,
    view: View,
    recent: Vec<Instant>,
    lost: Vec<Instant>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Besieged {
    /// A day with so many answers, more of them early or late, of which the permitted share was let
    /// down.
    fn new(answers: u64, bend: f64) -> Self {
        let mut besieged = Self {
            controller: grown(DialLevel(1000)),
            window: Window::new(30, DAY),
            now: Instant::ZERO,
            view: ready(12),
            recent: vec![],
            lost: vec![],
        };
        for n in 0..answers {
            let share = (n as f64 / answers as f64).powf(bend);
            besieged.now = Instant::ZERO + DAY.mul_f64(share);
            besieged.answers();
            if n % 50 == 49 {
                besieged.loses();
            }
        }
        besieged.now = Instant::ZERO + DAY;
        besieged
    }

    fn answers(&mut self) {
        self.window.note_answer(self.now);
        self.recent.push(self.now);
    }

    fn loses(&mut self) {
        self.window.note_abandoned(self.now);
        self.lost.push(self.now);
    }

    fn falls(&mut self, blow: Blow) {
        match blow {
            Blow::Loses(n) => {
                let mut late = 1;
                for _ in 0..n {
                    let fits = |line: &Line| !line.kept && (!line.cancellable || late > 0);
                    let Some(at) = self.view.lines.iter().position(fits) else {
                        break;
                    };
                    late -= usize::from(self.view.lines.swap_remove(at).cancellable);
                    self.answers();
                    self.view.waiting += 1;
                }
                self.look();
                for _ in 0..std::mem::take(&mut self.view.waiting) {
                    self.loses();
                }
            }
            Blow::Takes(n) => {
                for _ in 0..n.min(self.view.lines.len()) {
                    self.view.lines.pop();
                    self.answers();
                }
            }
            Blow::Agents(n) => self.view.ready = n,
            Blow::Silence(seconds) => {
                let passed = Duration::from_secs(seconds);
                self.now = self.now + passed;
                for line in &mut self.view.lines {
                    line.age += passed;
                    line.cancellable = line.age >= Duration::from_secs(15);
                }
                let most = Duration::from_secs(25);
                self.view.lines.retain(|line| line.age < most);
            }
        }
        self.look();
    }

    /// As a node does after each event.
    fn look(&mut self) {
        let kept = self.view.lines.iter().filter(|line| line.kept).count();
        self.view.reserved = kept as u32;
        self.view.budget = Some(self.window.budget(self.now));
        while let Some(at) = self.controller.give_up(self.now, &self.view) {
            self.view.lines.swap_remove(at);
        }
        let lines = self.controller.lines(self.now, &self.view);
        let kept = self.controller.keeps_agents();
        let new = ringing(lines as usize, 0).into_iter();
        self.view
            .lines
            .extend(new.map(|line| Line { kept, ..line }));
        if kept {
            self.view.ready -= lines;
        }
    }

    /// By how much the day's budget is passed, in thousandths of a call.
    fn over(&self) -> i64 {
        let inside = |list: &[Instant]| {
            let inside = list.iter().filter(|at| **at + DAY >= self.now);
            inside.count() as i64
        };
        1000 * inside(&self.lost) - 30 * inside(&self.recent)
    }
}

proptest! {
    #[test]
    fn the_budget_holds_whatever_happens(
        answers in 0u64..6000,
        bend in 0.2f64..4.0,
        blows in blows(),
    ) {
        let mut besieged = Besieged::new(answers, bend);
        let before = besieged.over().max(0);
        for blow in blows {
            besieged.falls(blow);
            // One call is the smallest that can be counted.
            prop_assert!(besieged.over() <= 1000 + before, "{} {blow:?}", besieged.over());
        }
    }
}
