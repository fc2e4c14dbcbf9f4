//! So many lines for each ready agent.

use crate::{Binding, Controller, View};
use domain::{DialLevel, Instant};

/// `dial_level` lines for each ready agent, less what is outstanding. Plain on purpose: it looks
/// neither ahead nor back, and so abandons at every level above one. It has at most so many lines
/// more than agents as the budget would survive if a person answered each of them: one line an
/// agent without budget.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    level: DialLevel,
}

impl Ratio {
    /// A controller of that level.
    pub const fn new(level: DialLevel) -> Self {
        Self { level }
    }
}

impl Controller for Ratio {
    fn lines(&mut self, _now: Instant, view: &View) -> u32 {
        let ready = view.ready.saturating_sub(view.spared);
        let agents = ready.saturating_add(view.reserved);
        let most = agents.saturating_add(view.may_abandon());
        self.level
            .lines(ready)
            .min(most)
            .saturating_sub(view.outstanding())
    }

    fn binding(&self) -> Binding {
        Binding::Level
    }

    fn set_level(&mut self, level: DialLevel) {
        self.level = level;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Budget,
        scenarios::{AMPLE, lines, views},
    };
    use proptest::prelude::*;

    #[test]
    fn lines_follow_the_level() {
        for (level, ready, outstanding, waiting, elsewhere, expected) in [
            (100, 3, 0, 0, 0, 3),
            (150, 3, 0, 0, 0, 4),
            (250, 4, 3, 0, 0, 7),
            (250, 4, 3, 2, 1, 4),
            (50, 1, 0, 0, 0, 1),
            (300, 0, 0, 0, 0, 0),
            (200, 2, 9, 0, 0, 0),
        ] {
            let view = View {
                ready,
                lines: lines(outstanding),
                waiting,
                lines_elsewhere: elsewhere,
                budget: AMPLE,
                ..View::default()
            };
            let launch = Ratio::new(DialLevel(level)).lines(Instant::ZERO, &view);
            assert_eq!(launch, expected, "level {level}, {view:?}");
        }
    }

    #[test]
    fn no_more_lines_without_an_agent_than_may_be_abandoned() {
        for (left, outstanding, expected) in [
            (None, 0, 4),
            (Some(-5000), 0, 4),
            (Some(999), 0, 4),
            (Some(1000), 0, 5),
            (Some(2500), 3, 3),
            (Some(2500), 6, 0),
            (Some(90_000), 0, 12),
        ] {
            let view = View {
                ready: 4,
                lines: lines(outstanding),
                budget: left.map(|left| Budget { permille: 30, left }),
                ..View::default()
            };
            let launch = Ratio::new(DialLevel(300)).lines(Instant::ZERO, &view);
            assert_eq!(launch, expected, "{left:?}, {outstanding} out");
        }
    }

    proptest! {
        #[test]
        fn never_above_the_level(view in views(), level in 0u16..=1000) {
            let level = DialLevel(level);
            let view = View { budget: AMPLE, ..view };
            let launch = Ratio::new(level).lines(Instant::ZERO, &view);
            if launch > 0 {
                prop_assert!(launch + view.outstanding() <= level.lines(view.ready));
            }
        }
    }
}
