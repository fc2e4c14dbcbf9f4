//! What an operator sets beside mode and dial level ([`Levers`]): how much less than the law to let
//! down, whom to leave to inbound calls, how dialing begins and ends.

use crate::{Budget, View};
use domain::{DialLevel, Levers};
use std::time::Duration;

/// Where a campaign stands between begin and end of its dialing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Shift {
    /// Since its dialing began today, or its agents came back from a break of all.
    pub since: Duration,
    /// Until it ends or all go on a break; none where no end is set.
    pub left: Option<Duration>,
}

/// Tells a controller of the levers. `leaving` of the ready agents go on an announced break before a
/// line that is begun now could bring them a call.
pub fn tell(levers: &Levers, view: &mut View, leaving: u32) {
    view.spared = levers
        .inbound_agents
        .saturating_add(leaving)
        .min(view.ready);
    view.budget = view.budget.map(|budget| Budget {
        permille: (levers.target_permille)
            .map_or(budget.permille, |target| target.min(budget.permille)),
        ..budget
    });
}

/// How far each ramp has come, in thousandths: that of the begin, that before the end.
fn ramps(levers: &Levers, shift: Shift) -> (u128, u128) {
    let share = |passed: Duration, ramp: Duration| -> u128 {
        if passed >= ramp {
            1000
        } else {
            passed.as_nanos() * 1000 / ramp.as_nanos()
        }
    };
    let down = (shift.left).map_or(1000, |left| share(left, levers.ramp_down));
    (share(shift.since, levers.ramp_up), down)
}

/// Whether it is the ramp before the end that holds the level down, not the one at the begin.
pub(crate) fn is_ending(levers: &Levers, shift: Shift) -> bool {
    let (up, down) = ramps(levers, shift);
    down < up
}

/// The dial level at a moment of the shift; none once it has ended.
pub fn level(levers: &Levers, level: DialLevel, shift: Shift) -> Option<DialLevel> {
    if shift.left == Some(Duration::ZERO) {
        return None;
    }
    let (up, down) = ramps(levers, shift);
    let above = u128::from(level.0.saturating_sub(DialLevel::ONE.0)) * up.min(down) / 1000;
    let above = u16::try_from(above).unwrap_or(u16::MAX);
    Some(DialLevel(level.0.min(DialLevel::ONE.0) + above))
}

/// Of the lines that a controller of a dial level wishes, those that go out at the level `now` of the
/// moment ([`level`]).
pub fn hold(own: DialLevel, now: Option<DialLevel>, view: &View, lines: u32) -> u32 {
    match now {
        Some(now) if now == own => lines,
        Some(now) => {
            let agents = view.agents().saturating_sub(view.spared);
            lines.min(now.lines(agents).saturating_sub(view.outstanding()))
        }
        None => 0,
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
            let now = level(&levers, LEVEL, shift);
            assert_eq!(now, expected.map(DialLevel), "{since} {left:?}");
        }
        let shift = Shift {
            since: Duration::ZERO,
            left: Some(minutes(1)),
        };
        assert_eq!(level(&Levers::default(), LEVEL, shift), Some(LEVEL));
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
            tell(&levers, &mut view, 0);
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
            tell(&levers, &mut view, 3);
            assert_eq!(view.spared, 5);
            let lines = controller(mode, LEVEL).lines(Instant::ZERO, &view);
            assert_eq!(lines, expected, "{mode:?}");
            tell(&levers, &mut view, 40);
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
            own in 100u16..=1000,
        ) {
            let seconds = Duration::from_secs;
            view.budget = crate::scenarios::AMPLE;
            let own = DialLevel(own);
            let levers = Levers {
                target_permille: Some(10),
                inbound_agents,
                ramp_up: seconds(up),
                ramp_down: seconds(down),
            };
            for mode in [PacingMode::Progressive, PacingMode::Ratio, PacingMode::Predictive] {
                let mut controller = controller(mode, own);
                let free = controller.lines(Instant::ZERO, &view);
                let mut told = view.clone();
                tell(&levers, &mut told, leaving);
                let shift = Shift { since: seconds(since), left: left.map(seconds) };
                let wish = controller.lines(Instant::ZERO, &told);
                prop_assert!(wish <= free);
                let now = level(&levers, own, shift);
                prop_assert!(now.is_none_or(|now| now <= own));
                prop_assert!(hold(own, now, &told, wish) <= wish);
            }
        }
    }
}
