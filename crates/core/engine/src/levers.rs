//! Campaigns' levers at this node: where a shift stands, and what holds lines back.

use crate::{Engine, lines::Pace};
use compliance::RulePack;
use domain::{
    Campaign, CampaignId, DialLevel, Instant, Levers, Now, PacingMode, WallTime, limits,
    status::{PacingLimit, PacingStatus},
};
use pacing::{Look, Shift, View, levers};
use std::{collections::BTreeSet, time::Duration};

/// After so long without a line or a lead, dialing begins anew.
const REST: Duration = Duration::from_secs(900);
/// How often the end of calling windows is looked up.
const LOOK_UP: Duration = Duration::from_secs(10);

/// A campaign's dialing since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShiftClock {
    /// Since when agents are there and somebody may be dialed.
    since: Option<Instant>,
    /// When that was so last.
    last: Instant,
    /// When the calling windows of leads at hand close, and when that was looked up.
    closes: Option<(WallTime, Instant)>,
}

impl ShiftClock {
    /// Takes in whether there are agents, and lines or leads.
    fn turn(&mut self, now: Instant, agents: bool, dials: bool) {
        if !agents || (self.since.is_some() && now.since(self.last) >= REST) {
            self.since = None;
        }
        if agents && dials {
            self.since.get_or_insert(now);
            self.last = now;
        }
    }

    fn shift(&self, now: Now) -> Shift {
        let left = |(closes, _): (WallTime, _)| closes.since(now.wall);
        Shift {
            since: (self.since).map_or(Duration::ZERO, |since| now.monotonic.since(since)),
            // What has passed its window is refused one by one; there may be leads elsewhere.
            left: self.closes.map(left).filter(|left| !left.is_zero()),
        }
    }
}

/// What held the decisions since it was last asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    looks: [u32; PacingLimit::ALL.len()],
    last: Option<PacingStatus>,
}

impl Held {
    /// As [`Held::take`] tells it, and from here on anew.
    fn note(&mut self, status: PacingStatus) {
        let place = PacingLimit::ALL.iter().position(|l| *l == status.limit);
        if let Some(count) = place.and_then(|place| self.looks.get_mut(place)) {
            *count = count.saturating_add(1);
        }
        self.last = Some(status);
    }

    /// The last look, with what held most of them; none where there was no look since.
    fn take(&mut self) -> Option<PacingStatus> {
        let last = self.last.take()?;
        let looks = std::mem::take(&mut self.looks);
        let most = PacingLimit::ALL.into_iter().zip(looks);
        let limit = most.max_by_key(|(_, count)| *count);
        Some(PacingStatus {
            limit: limit.map_or(last.limit, |(limit, _)| limit),
            ..last
        })
    }
}

impl Engine {
    /// A campaign's levers were changed.
    pub(crate) fn levers_changed(&mut self, now: Now, campaign: CampaignId, levers: Levers) {
        self.facts.set_levers(campaign, levers);
        self.pace_soon(now);
    }

    /// Where a campaign's dialing stands, and the dial level of this moment. A fixed ratio goes by
    /// that level itself.
    pub(crate) fn ramp(
        &mut self,
        now: Now,
        campaign: &Campaign,
        view: &View,
    ) -> (Shift, Option<DialLevel>) {
        let levers = self.facts.levers(campaign.id);
        let dials = self.hoppers.of(campaign.id) > 0 || !view.lines.is_empty();
        let closes = (!levers.ramp_down.is_zero()).then(|| self.closes(now, campaign));
        let own = campaign.dial_level;
        let Some(pace) = self.paces.get_mut(&campaign.id) else {
            return (Shift::default(), Some(own));
        };
        pace.shift.turn(now.monotonic, view.agents() > 0, dials);
        pace.shift.closes = closes.flatten();
        let shift = pace.shift.shift(now);
        let level = levers::level(&levers, own, shift);
        if campaign.pacing == PacingMode::Ratio {
            pace.controller.set_level(level.unwrap_or(DialLevel::ONE));
        }
        (shift, level)
    }

    /// When the last calling window closes of the leads at hand; as it was known where there are
    /// none.
    fn closes(&self, now: Now, campaign: &Campaign) -> Option<(WallTime, Instant)> {
        let known = self.paces.get(&campaign.id)?.shift.closes;
        if known.is_some_and(|(_, at)| now.monotonic.since(at) < LOOK_UP) {
            return known;
        }
        let pack = RulePack::by_name(&campaign.rule_pack)?;
        let zones: BTreeSet<_> = (self.hoppers.leads(campaign.id))
            .map(|lead| &lead.zones)
            .collect();
        let ends = zones
            .into_iter()
            .filter_map(|zones| compliance::open_until(pack, zones, now.wall));
        ends.max().map(|end| (end, now.monotonic)).or(known)
    }

    /// Remembers that nobody may be dialed.
    pub(crate) fn note_undialable(&mut self, campaign: &Campaign, view: &View) {
        if let Some(pace) = self.paces.get_mut(&campaign.id) {
            let limit = PacingLimit::DoNotCall;
            pace.held
                .note(status(campaign.id, limit, campaign.dial_level, view));
        }
    }

    /// What holds campaigns back, those with the lowest ids where there are many.
    pub(crate) fn held_back(&mut self) -> Vec<PacingStatus> {
        let paces = self.paces.values_mut();
        (paces.filter_map(|pace| pace.held.take()))
            .take(limits::PACING_TOLD)
            .collect()
    }
}

impl Pace {
    /// Remembers what held a campaign at one look.
    pub(crate) fn note_held(&mut self, campaign: CampaignId, look: &Look<'_>) {
        let level = look.level.1.unwrap_or(DialLevel::ONE);
        let status = status(campaign, look.limit(), level, look.view);
        self.held.note(status);
    }
}

fn status(campaign: CampaignId, limit: PacingLimit, level: DialLevel, view: &View) -> PacingStatus {
    PacingStatus {
        campaign,
        limit,
        level,
        lines: view.outstanding(),
        agents: view.agents(),
        ready: view.ready,
        spared: view.spared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_millis(1_000_000 + secs * 1000)
    }

    #[test]
    fn a_shift_begins_with_agents_and_leads_and_anew_after_a_rest() {
        let mut clock = ShiftClock::default();
        clock.turn(at(0), true, false);
        assert_eq!(clock.since, None, "nobody to dial yet");
        clock.turn(at(10), true, true);
        clock.turn(at(20), true, false);
        clock.turn(at(900), true, true);
        assert_eq!(clock.since, Some(at(10)));
        // Everybody has a break.
        clock.turn(at(950), false, true);
        assert_eq!(clock.since, None);
        clock.turn(at(1000), true, true);
        // Nobody may be dialed for a quarter of an hour.
        clock.turn(at(1899), true, false);
        assert_eq!(clock.since, Some(at(1000)));
        clock.turn(at(1900), true, true);
        assert_eq!(clock.since, Some(at(1900)));
    }

    #[test]
    fn a_window_that_has_closed_ends_nothing_by_itself() {
        let wall = WallTime::from_millis(1_795_280_400_000);
        let clock = ShiftClock {
            since: Some(at(0)),
            last: at(0),
            closes: Some((wall + Duration::from_secs(60), at(0))),
        };
        let left = |secs| {
            let now = Now {
                monotonic: at(secs),
                wall: wall + Duration::from_secs(secs),
            };
            clock.shift(now).left
        };
        assert_eq!(left(20), Some(Duration::from_secs(40)));
        assert_eq!(left(60), None);
    }

    #[test]
    fn what_held_most_looks_is_told_once() {
        let mut held = Held::default();
        assert_eq!(held.take(), None);
        let status = |limit, lines| PacingStatus {
            campaign: CampaignId(1),
            limit,
            level: DialLevel::ONE,
            lines,
            agents: 4,
            ready: 2,
            spared: 1,
        };
        held.note(status(PacingLimit::RampUp, 1));
        held.note(status(PacingLimit::RampUp, 2));
        held.note(status(PacingLimit::Leads, 3));
        assert_eq!(held.take(), Some(status(PacingLimit::RampUp, 3)));
        assert_eq!(held.take(), None);
    }
}
