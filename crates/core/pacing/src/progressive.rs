//! One line for each ready agent.

use crate::{Controller, View};
use domain::Instant;

/// One line for each agent, who is kept for it from the INVITE on: nobody who answers finds no
/// agent, so abandonment cannot happen. An agent busy with a call gets no line ahead of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progressive;

impl Controller for Progressive {
    fn lines(&mut self, _now: Instant, view: &View) -> u32 {
        // Reserved agents stand beside their lines; a line whose agent left counts against the
        // others, and so do lines of other campaigns that share them.
        view.one_to_one()
    }

    fn keeps_agents(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::{lines, views};
    use proptest::prelude::*;

    #[test]
    fn one_line_for_each_ready_agent() {
        for (ready, reserved, outstanding, waiting, elsewhere, expected) in [
            (0, 0, 0, 0, 0, 0),
            (3, 0, 0, 0, 0, 3),
            (3, 2, 2, 0, 0, 3),
            (3, 2, 3, 0, 0, 2), // one line's agent left
            (1, 2, 2, 1, 0, 0),
            (3, 0, 0, 0, 2, 1),
            (0, 2, 0, 0, 0, 0), // a line just ended, its agent is on the way back
        ] {
            let view = View {
                ready,
                reserved,
                lines: lines(outstanding),
                waiting,
                lines_elsewhere: elsewhere,
                ..View::default()
            };
            assert_eq!(
                Progressive.lines(Instant::ZERO, &view),
                expected,
                "{view:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_more_lines_than_agents(view in views()) {
            let launch = Progressive.lines(Instant::ZERO, &view);
            prop_assert!(launch <= view.ready);
            if launch > 0 {
                prop_assert!(launch + view.outstanding() <= view.ready + view.reserved);
            }
        }
    }
}
