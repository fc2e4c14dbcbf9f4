//! What kept a campaign from more lines at one look, in an operator's words.

use crate::{Binding, Limits, View, levers};
use domain::{DialLevel, Levers, status::PacingLimit};

/// One look at a campaign, as it was decided.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What the controller was shown.
    pub view: &'a View,
    /// The levers.
    pub levers: &'a Levers,
    /// Where the shift stands.
    pub shift: levers::Shift,
    /// The campaign's own dial level, and that of the moment.
    pub level: (DialLevel, Option<DialLevel>),
    /// What held the controller.
    pub binding: Binding,
    /// How many lines it would launch.
    pub wish: u32,
    /// What may be launched at all.
    pub limits: Limits,
}

impl Look<'_> {
    /// What held the lines back: the first of what would have to change for one more.
    pub fn limit(&self) -> PacingLimit {
        let (own, now) = self.level;
        let view = self.view;
        if view.agents() == 0 {
            return PacingLimit::NoAgents;
        }
        let held = levers::hold(own, now, view, self.wish);
        let Limits {
            channels,
            calls,
            leads,
        } = self.limits;
        if self.limits.hold(held) < held {
            return match leads.min(channels).min(calls) {
                least if least == leads => PacingLimit::Leads,
                least if least == channels => PacingLimit::Channels,
                _ => PacingLimit::CallsPerSecond,
            };
        }
        // A level that rises or falls may be what the controller itself went by.
        let ramped = now != Some(own);
        if held < self.wish || (ramped && self.binding == Binding::Level) {
            return match levers::is_ending(self.levers, self.shift) {
                true => PacingLimit::RampDown,
                false => PacingLimit::RampUp,
            };
        }
        // With each agent who is not left to others a line of its own, those who are are what is left.
        let one_to_one =
            matches!(self.binding, Binding::Agents | Binding::Young) || view.may_abandon() == 0;
        if view.spared > 0 && (one_to_one || view.spared == view.ready) {
            return PacingLimit::InboundAgents;
        }
        match self.binding {
            Binding::Agents => PacingLimit::ReadyAgents,
            _ if view.may_abandon() == 0 => PacingLimit::Budget,
            Binding::Young => PacingLimit::Young,
            Binding::Budget => PacingLimit::Budget,
            Binding::Reserve => PacingLimit::Reserve,
            Binding::Price if self.levers.target_permille.is_some() => PacingLimit::Target,
            Binding::Price => PacingLimit::Risk,
            Binding::Level => PacingLimit::DialLevel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shift;
    use std::time::Duration;

    const LEVEL: DialLevel = DialLevel(300);

    /// Four ready agents, budget, and nothing else in the way.
    fn view() -> View {
        View {
            ready: 4,
            budget: crate::scenarios::AMPLE,
            ..View::default()
        }
    }

    fn ample() -> Limits {
        Limits {
            channels: 100,
            calls: 100,
            leads: 100,
        }
    }

    fn limit(view: &View, levers: &Levers, shift: Shift, binding: Binding) -> PacingLimit {
        let mut view = view.clone();
        levers::tell(levers, &mut view, 0);
        let look = Look {
            view: &view,
            levers,
            shift,
            level: (LEVEL, levers::level(levers, LEVEL, shift)),
            binding,
            wish: 8,
            limits: ample(),
        };
        look.limit()
    }

    fn minutes(since: u64, left: Option<u64>) -> Shift {
        let minutes = |n| Duration::from_secs(n * 60);
        Shift {
            since: minutes(since),
            left: left.map(minutes),
        }
    }

    #[test]
    fn the_lever_that_holds_is_named() {
        let none = Levers::default();
        let late = minutes(600, Some(600));
        let ramps = Levers {
            ramp_up: Duration::from_secs(600),
            ramp_down: Duration::from_secs(600),
            ..none
        };
        let inbound = Levers {
            inbound_agents: 2,
            ..none
        };
        let target = Levers {
            target_permille: Some(10),
            ..none
        };
        let empty = View {
            budget: None,
            ..view()
        };
        let nobody = View { ready: 0, ..view() };
        for (view, levers, shift, binding, expected) in [
            (&view(), none, late, Binding::Price, PacingLimit::Risk),
            (&view(), target, late, Binding::Price, PacingLimit::Target),
            (&view(), none, late, Binding::Level, PacingLimit::DialLevel),
            (
                &view(),
                none,
                late,
                Binding::Agents,
                PacingLimit::ReadyAgents,
            ),
            (&view(), none, late, Binding::Young, PacingLimit::Young),
            (&view(), none, late, Binding::Reserve, PacingLimit::Reserve),
            (&empty, none, late, Binding::Level, PacingLimit::Budget),
            (&nobody, none, late, Binding::Price, PacingLimit::NoAgents),
            (
                &view(),
                inbound,
                late,
                Binding::Agents,
                PacingLimit::InboundAgents,
            ),
            (&view(), inbound, late, Binding::Price, PacingLimit::Risk),
            (
                &empty,
                inbound,
                late,
                Binding::Price,
                PacingLimit::InboundAgents,
            ),
            (
                &view(),
                ramps,
                minutes(1, None),
                Binding::Price,
                PacingLimit::RampUp,
            ),
            (
                &view(),
                ramps,
                minutes(1, Some(0)),
                Binding::Price,
                PacingLimit::RampDown,
            ),
            (
                &view(),
                ramps,
                minutes(60, Some(1)),
                Binding::Price,
                PacingLimit::RampDown,
            ),
            (
                &view(),
                ramps,
                minutes(60, Some(9)),
                Binding::Level,
                PacingLimit::RampDown,
            ),
            (
                &view(),
                ramps,
                minutes(60, None),
                Binding::Price,
                PacingLimit::Risk,
            ),
        ] {
            let said = limit(view, &levers, shift, binding);
            assert_eq!(said, expected, "{levers:?} {shift:?} {binding:?}");
        }
    }

    #[test]
    fn what_is_short_is_named_before_levers() {
        let view = view();
        for (limits, expected) in [
            (
                Limits {
                    leads: 1,
                    ..ample()
                },
                PacingLimit::Leads,
            ),
            (
                Limits {
                    channels: 1,
                    ..ample()
                },
                PacingLimit::Channels,
            ),
            (
                Limits {
                    calls: 1,
                    ..ample()
                },
                PacingLimit::CallsPerSecond,
            ),
        ] {
            let look = Look {
                view: &view,
                levers: &Levers::default(),
                shift: minutes(60, None),
                level: (LEVEL, Some(LEVEL)),
                binding: Binding::Price,
                wish: 8,
                limits,
            };
            assert_eq!(look.limit(), expected);
        }
    }
}
