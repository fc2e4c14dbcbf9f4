//! What an operator sets of a campaign's pacing beside mode and dial level.

use crate::limits;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A campaign's levers. None of them can make a campaign dial more than it would without. Kept beside
/// the campaign, by its id: the campaign's own bytes are those of earlier releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Levers {
    /// Thousandths of the live answers to let down on the long mean, where that is less than the
    /// budget; from [`limits::TARGET_PERMILLE_MIN`]. The budget itself stays the law's: it is what
    /// holds whatever happens. Only predictive pacing aims.
    pub target_permille: Option<u16>,
    /// Ready agents of each node who are left to inbound calls, at most
    /// [`limits::INBOUND_AGENTS`]. Who answered and finds nobody else goes to one of them all the
    /// same.
    pub inbound_agents: u32,
    /// From the begin of dialing the level rises within so long from one line an agent to its own.
    /// At most [`limits::RAMP_MAX`].
    pub ramp_up: Duration,
    /// Before the end of dialing the level falls within so long to one line an agent. At most
    /// [`limits::RAMP_MAX`].
    pub ramp_down: Duration,
}

/// Why levers cannot be set so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeverError {
    /// Which lever, by its field.
    pub field: &'static str,
    /// What was asked for, in thousandths, agents or seconds.
    pub got: u64,
    /// The least that is allowed.
    pub min: u64,
    /// The most that is allowed.
    pub max: u64,
}

impl fmt::Display for LeverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { got, min, max, .. } = self;
        write!(f, "{got} is not within {min} to {max}")
    }
}

impl std::error::Error for LeverError {}

impl Levers {
    /// The names of those that are set.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let set = [
            ("target_permille", self.target_permille.is_some()),
            ("inbound_agents", self.inbound_agents > 0),
            ("ramp_up", !self.ramp_up.is_zero()),
            ("ramp_down", !self.ramp_down.is_zero()),
        ];
        set.into_iter().filter_map(|(name, is)| is.then_some(name))
    }

    /// Whether all of them are within their bounds, where the rule pack allows so many thousandths to
    /// be abandoned.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, budget_permille: u16) -> Result<(), LeverError> {
        let within = |field, got: u64, (min, max): (u64, u64)| {
            let wrong = LeverError {
                field,
                got,
                min,
                max,
            };
            if (min..=max).contains(&got) {
                Ok(())
            } else {
                Err(wrong)
            }
        };
        if let Some(target) = self.target_permille {
            let range = (limits::TARGET_PERMILLE_MIN, budget_permille);
            within(
                "target_permille",
                target.into(),
                (range.0.into(), range.1.into()),
            )?;
        }
        let agents = limits::INBOUND_AGENTS;
        within(
            "inbound_agents",
            self.inbound_agents.into(),
            (0, agents.into()),
        )?;
        for (field, ramp) in [("ramp_up", self.ramp_up), ("ramp_down", self.ramp_down)] {
            // A part of a second more is more.
            let seconds = ramp.as_secs() + u64::from(ramp.subsec_nanos() > 0);
            within(field, seconds, (0, limits::RAMP_MAX.as_secs()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levers_have_bounds_and_errors_name_them() {
        let most = Levers {
            target_permille: Some(30),
            inbound_agents: limits::INBOUND_AGENTS,
            ramp_up: limits::RAMP_MAX,
            ramp_down: limits::RAMP_MAX,
        };
        assert_eq!(most.check(30), Ok(()));
        assert_eq!(Levers::default().check(30), Ok(()));
        let second = Duration::from_millis(1);
        let cases = [
            (
                Levers {
                    target_permille: Some(31),
                    ..most
                },
                "target_permille",
                "31 is not within 1 to 30",
            ),
            (
                Levers {
                    target_permille: Some(0),
                    ..most
                },
                "target_permille",
                "0 is not within 1 to 30",
            ),
            (
                Levers {
                    inbound_agents: limits::INBOUND_AGENTS + 1,
                    ..most
                },
                "inbound_agents",
                "5001 is not within 0 to 5000",
            ),
            (
                Levers {
                    ramp_up: limits::RAMP_MAX + second,
                    ..most
                },
                "ramp_up",
                "14401 is not within 0 to 14400",
            ),
            (
                Levers {
                    ramp_down: limits::RAMP_MAX + second,
                    ..most
                },
                "ramp_down",
                "14401 is not within 0 to 14400",
            ),
        ];
        for (levers, field, why) in cases {
            let wrong = levers.check(30).unwrap_err();
            assert_eq!((wrong.field, wrong.to_string().as_str()), (field, why));
        }
    }
}
