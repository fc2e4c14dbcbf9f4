//! So many lines for each ready agent.

use crate::{Controller, View};
use domain::{DialLevel, Instant};

/// `dial_level` lines for each ready agent, less what is outstanding. Plain on purpose: it looks
/// neither ahead nor back, and so abandons at every level above one. Fixed since it was made; a
/// changed level asks for a new controller.
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
        self.level
            .lines(view.ready)
            .saturating_sub(view.outstanding())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{lines, views};
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
                ..View::default()
            };
            let launch = Ratio::new(DialLevel(level)).lines(Instant::ZERO, &view);
            assert_eq!(launch, expected, "level {level}, {view:?}");
        }
    }

    proptest! {
        #[test]
        fn never_above_the_level(view in views(), level in 0u16..=1000) {
            let level = DialLevel(level);
            let launch = Ratio::new(level).lines(Instant::ZERO, &view);
            if launch > 0 {
                prop_assert!(launch + view.outstanding() <= level.lines(view.ready));
            }
        }
    }
}
