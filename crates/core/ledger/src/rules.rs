//! The one place where the ledger asks `compliance`.

use compliance::{AbandonmentRule, RulePack};
use domain::{Campaign, WallTime, ZoneId};

/// What a rule says about an attempt now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Allowed.
    Open,
    /// Not before this time.
    Until(WallTime),
    /// Not at all, as far as can be seen.
    Shut,
}

/// A campaign's rule pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules(&'static RulePack);

impl Rules {
    /// Whether they are for simulated telephone networks only.
    pub(crate) fn simulated_only(&self) -> bool {
        self.0.simulated_only
    }

    /// Whether they ask for each person's consent.
    pub(crate) fn consent_required(&self) -> bool {
        self.0.consent.required
    }

    /// Whether messages may be left on answering machines.
    pub(crate) fn may_leave_messages(&self) -> bool {
        self.0.message.voice_drop
    }

    /// The pack of that name, if this release has one.
    pub(crate) fn of(name: &str) -> Option<Self> {
        RulePack::by_name(name).map(Self)
    }

    /// What it asks of abandonment.
    pub(crate) fn abandonment(self) -> AbandonmentRule {
        self.0.abandonment
    }

    /// Why the pack forbids a campaign as it is set, in words.
    pub(crate) fn breach(self, campaign: &Campaign) -> Option<String> {
        self.0
            .allows(campaign)
            .err()
            .map(|breach| breach.to_string())
    }

    /// Whether the calling window is open in every zone.
    pub(crate) fn window(self, zones: &[ZoneId], wall: WallTime) -> Gate {
        if compliance::may_dial_at(self.0, zones, wall).is_ok() {
            return Gate::Open;
        }
        match compliance::next_open(self.0, zones, wall) {
            Some(at) => Gate::Until(at),
            None => Gate::Shut,
        }
    }

    /// Whether the attempt limits of a number allow one more. `history` holds earlier attempts in
    /// seconds, oldest first; `abandoned` when one was last abandoned, 0 for never.
    pub(crate) fn attempts(self, history: &[u32], abandoned: u32, wall: WallTime) -> Gate {
        let time = |seconds: u32| WallTime::from_millis(i64::from(seconds) * 1000);
        let newest_first = history.iter().rev().map(|at| time(*at));
        let abandoned = (abandoned != 0).then(|| time(abandoned));
        match compliance::check_attempts(self.0, newest_first, abandoned, wall) {
            Ok(()) => Gate::Open,
            Err(refusal) => refusal.until().map_or(Gate::Shut, Gate::Until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::limits;

    #[test]
    fn every_pack_fits_the_remembered_history() {
        for pack in RulePack::all() {
            assert!(
                pack.history_len() <= limits::ATTEMPT_HISTORY,
                "{}",
                pack.name
            );
            assert!(
                pack.history_span() < limits::ATTEMPT_MEMORY,
                "{}",
                pack.name
            );
        }
    }

    #[test]
    fn no_zone_is_never_open() {
        let rules = Rules::of("us-federal").unwrap();
        assert_eq!(rules.window(&[], WallTime::EPOCH), Gate::Shut);
        assert!(Rules::of("atlantis").is_none());
    }

    #[test]
    fn an_abandoned_call_and_a_full_day_close_the_gate() {
        let rules = Rules::of("us-federal").unwrap();
        let now = WallTime::from_millis(1_795_300_496_000);
        let at = |hours: u32| 1_795_300_496 - hours * 3600;
        assert_eq!(rules.attempts(&[at(2), at(1)], 0, now), Gate::Open);
        let full = rules.attempts(&[at(5), at(2), at(1)], 0, now);
        assert!(matches!(full, Gate::Until(until) if until > now));
        assert!(matches!(rules.attempts(&[], at(1), now), Gate::Until(_)));
    }
}
