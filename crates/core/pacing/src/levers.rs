//! What an operator sets beside mode and dial level: how much less than the law to let down, whom
//! to leave to inbound calls, how dialing begins and ends.

use crate::{Budget, View};
use domain::DialLevel;
use std::time::Duration;

/// A campaign's levers. None of them can make a campaign dial more than it would without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Levers {
    /// Thousandths of the live answers to let down on the long mean, where that is less than the
    /// budget. The budget itself stays the law's: it is what holds whatever happens.
    pub target_permille: Option<u16>,
    /// Ready agents who are left to inbound calls. Who answered and finds nobody else goes to one
    /// of them all the same.
    pub inbound_agents: u32,
    /// From the begin of dialing the level rises within so long from one line an agent to its own.
    pub ramp_up: Duration,
    /// Before the end of dialing the level falls within so long to one line an agent.
    pub ramp_down: Duration,
}

/// Where a campaign stands between begin and end of its dialing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Since its dialing began today, or its agents came back from a break of all.
    pub since: Duration,
    /// Until it ends or all go on a break; none where no end is set.
    pub left: Option<Duration>,
}

impl Levers {
    /// Tells a controller of them. `leaving` of the ready agents go on an announced break before a
    /// line that is begun now could bring them a call.
    pub fn tell(&self, view: &mut View, leaving: u32) {
        view.spared = self.inbound_agents.saturating_add(leaving).min(view.ready);
        view.budget = view.budget.map(|budget| Budget {
            permille: (self.target_permille)
                .map_or(budget.permille, |target| target.min(budget.permille)),
            ..budget
        });
    }

    /// The dial level at a moment of the shift; none once it has ended.
    pub fn level(&self, level: DialLevel, shift: Shift) -> Option<DialLevel> {
        if shift.left == Some(Duration::ZERO) {
            return None;
        }
        let share = |passed: Duration, ramp: Duration| -> u128 {
            if passed >= ramp {
                1000
            } else {
                passed.as_nanos() * 1000 / ramp.as_nanos()
            }
        };
        let up = share(shift.since, self.ramp_up);
        let down = shift.left.map_or(1000, |left| share(left, self.ramp_down));
        let above = u128::from(level.0.saturating_sub(DialLevel::ONE.0)) * up.min(down) / 1000;
        let above = u16::try_from(above).unwrap_or(u16::MAX);
        Some(DialLevel(level.0.min(DialLevel::ONE.0) + above))
    }

    /// Of the lines that a controller of that level wishes, those that the moment of the shift lets
    /// go out.
    pub fn hold(&self, level: DialLevel, shift: Shift, view: &View, lines: u32) -> u32 {
        match self.level(level, shift) {
            Some(now) if now == level => lines,
            Some(now) => {
                let agents = view.agents().saturating_sub(view.spared);
                lines.min(now.lines(agents).saturating_sub(view.outstanding()))
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{controller, scenarios::views};
    use domain::{Instant, PacingMode};
    use proptest::prelude::*;

    const LEVEL: DialLevel = DialLevel(300);

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn the_level_rises_and_falls() {
        let levers = Levers {
            ramp_up: minutes(10),
            ramp_down: minutes(5),
            ..Levers::default()
        };
        for (since, left, expected) in [
            (0, None, Some(100)),
            (5, None, Some(200)),
            (10, None, Some(300)),
            (60, Some(60), Some(300)),
            (60, Some(5), Some(300)),
            (60, Some(1), Some(140)),
            (60, Some(0), None),
            // A short shift is both at once: the lower holds.
            (2, Some(4), Some(140)),
        ] {
            let shift = Shift {
                since: minutes(since),
                left: left.map(minutes),
            };
            let level = levers.level(LEVEL, shift);
            assert_eq!(level, expected.map(DialLevel), "{since} {left:?}");
        }
        let shift = Shift {
            since: Duration::ZERO,
            left: Some(minutes(1)),
        };
        assert_eq!(Levers::default().level(LEVEL, shift), Some(LEVEL));
    }

    #[test]
    fn a_target_below_the_budget_is_told_and_one_above_is_not() {
        for (target, told) in [(None, 30), (Some(20), 20), (Some(50), 30)] {
            let levers = Levers {
                target_permille: target,
                ..Levers::default()
            };
            let budget = Budget {
                permille: 30,
                left: 7000,
            };
            let mut view = View {
                budget: Some(budget),
                ..View::default()
            };
            levers.tell(&mut view, 0);
            let permille = told;
            assert_eq!(view.budget, Some(Budget { permille, ..budget }));
        }
    }

    #[test]
    fn who_is_left_to_inbound_calls_or_leaves_gets_no_line() {
        let levers = Levers {
            inbound_agents: 2,
            ..Levers::default()
        };
        for (mode, expected) in [(PacingMode::Progressive, 5), (PacingMode::Ratio, 15)] {
            let mut view = View {
                ready: 10,
                budget: crate::scenarios::AMPLE,
                ..View::default()
            };
            levers.tell(&mut view, 3);
            assert_eq!(view.spared, 5);
            let lines = controller(mode, LEVEL).lines(Instant::ZERO, &view);
            assert_eq!(lines, expected, "{mode:?}");
            levers.tell(&mut view, 40);
            assert_eq!(controller(mode, LEVEL).lines(Instant::ZERO, &view), 0);
        }
    }

    proptest! {
        #[test]
        fn no_lever_adds_a_line(
            mut view in views(),
            inbound_agents in 0u32..30,
            leaving in 0u32..30,
            (since, left) in (0u64..2000, prop::option::of(0u64..2000)),
            (up, down) in (0u64..1500, 0u64..1500),
            level in 100u16..=1000,
        ) {
            let seconds = Duration::from_secs;
            view.budget = crate::scenarios::AMPLE;
            let level = DialLevel(level);
            let levers = Levers {
                target_permille: Some(10),
                inbound_agents,
                ramp_up: seconds(up),
                ramp_down: seconds(down),
            };
            for mode in [PacingMode::Progressive, PacingMode::Ratio, PacingMode::Predictive] {
                let mut controller = controller(mode, level);
                let free = controller.lines(Instant::ZERO, &view);
                let mut told = view.clone();
                levers.tell(&mut told, leaving);
                let shift = Shift { since: seconds(since), left: left.map(seconds) };
                let wish = controller.lines(Instant::ZERO, &told);
                prop_assert!(wish <= free);
                prop_assert!(levers.hold(level, shift, &told, wish) <= wish);
            }
        }
    }
}
