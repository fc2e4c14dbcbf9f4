//! Trunks and caller IDs: which number to show, by which trunk.

use crate::{
    Engine, Observed, TimerName,
    health::{Health, Room},
    targets::Targets,
};
use domain::{
    Arm, AttemptId, CallerId, Campaign, Now, PhoneNumber, Presence, Trunk, TrunkAddress, TrunkId,
    TrunkManner, TrunkTarget,
};
use numbering::{
    CallerIdFacts, Choice, Closeness, Locality, Route, choose_caller_id, choose_distant,
    is_held_out, locality, sticky_caller_id,
};
use pacing::RateLimiter;
use std::collections::BTreeMap;

/// One trunk's limits and health.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) rate: RateLimiter,
    pub(crate) health: Health,
    pub(crate) targets: Targets,
    pub(crate) attempts: u64,
    pub(crate) answered: u64,
}

impl Way {
    /// How many calls may leave now. One that another trunk failed finds a place where trunks take
    /// several at a moment: new ones `leave_one`.
    fn calls(&self, now: Now, leave_one: bool) -> u32 {
        let left = u32::from(leave_one && self.rate.burst() > 1);
        self.rate.available(now.monotonic).saturating_sub(left)
    }
}

/// Whose call it is for which a number is chosen.
pub(crate) struct Called<'a> {
    pub(crate) attempt: AttemptId,
    pub(crate) number: PhoneNumber,
    pub(crate) campaign: &'a Campaign,
}

/// Every trunk's.
pub(crate) type Ways = BTreeMap<TrunkId, Way>;

impl Engine {
    /// A trunk appeared or changed.
    pub(crate) fn trunk_changed(&mut self, now: Now, trunk: Trunk) {
        let id = trunk.id;
        let before = self.facts.trunks.get(&id).map(|old| old.address.clone());
        if !self.facts.set_trunk(self.config.member, trunk) {
            return;
        }
        match self.facts.trunks.get(&id).cloned() {
            None => self.trunk_removed(now, id),
            Some(trunk) => {
                let fresh = || Way {
                    rate: RateLimiter::new(trunk.calls_per_second),
                    health: Health::new(now.wall),
                    targets: Targets::default(),
                    attempts: 0,
                    answered: 0,
                };
                let way = self.ways.entry(id).or_insert_with(fresh);
                way.rate.set_rate(trunk.calls_per_second);
                way.health.forgive();
                way.targets.forgive();
                if before.is_some_and(|before| before != trunk.address) {
                    way.targets.clear(now.monotonic);
                }
                if let Ok(TrunkAddress::At(address)) = trunk.address.parse() {
                    let only = TrunkTarget {
                        priority: 0,
                        weight: 0,
                        address,
                    };
                    way.targets.set(now.monotonic, vec![only]);
                }
                self.signal_trunk(now, &trunk);
                self.tell_health(now, id);
            }
        }
        self.signal_peers();
    }

    /// A trunk's name leads there. What was looked up of another name is nothing to it.
    pub(crate) fn trunk_located(
        &mut self,
        now: Now,
        id: TrunkId,
        name: &str,
        targets: Vec<TrunkTarget>,
    ) {
        let named = (self.facts.trunks.get(&id)).filter(|trunk| trunk.address == name);
        let Some(way) = named.and_then(|_| self.ways.get_mut(&id)) else {
            return;
        };
        way.targets.set(now.monotonic, targets);
        self.watch_first(now, id);
        self.tell_health(now, id);
        self.signal_peers();
    }

    /// OPTIONS and REGISTER go to the first of the targets that a call may take; and once the next one
    /// has rested that is looked at again.
    pub(crate) fn watch_first(&mut self, now: Now, id: TrunkId) {
        let (Some(trunk), Some(way)) = (self.facts.trunks.get(&id).cloned(), self.ways.get(&id))
        else {
            return;
        };
        if way.targets.first(now.monotonic) != way.targets.watched {
            self.signal_trunk(now, &trunk);
        }
        let rested = (self.ways.get(&id)).and_then(|way| way.targets.next_rested(now.monotonic));
        if let Some(at) = rested {
            self.timers.arm(TimerName::TargetRested(id), at);
        }
    }

    /// How a trunk is used; the trunk itself is said next.
    pub(crate) fn manner_changed(&mut self, id: TrunkId, manner: TrunkManner) {
        self.facts.set_manner(id, manner);
        self.candidates_stale = true;
    }

    /// Tells whether a trunk is used from now on or not any more, if that changed.
    pub(crate) fn tell_health(&mut self, now: Now, id: TrunkId) {
        let Some(way) = self.ways.get_mut(&id) else {
            return;
        };
        if way.health.changed(now.wall) {
            let trouble = way.health.trouble();
            self.observe(Observed::TrunkHealth { trunk: id, trouble });
            self.pace_soon(now);
        }
    }

    /// A trunk is gone: its live calls go on, nothing new leaves by it.
    pub(crate) fn trunk_removed(&mut self, now: Now, id: TrunkId) {
        let trunk = self.facts.forget_trunk(id);
        let watched = self.ways.remove(&id).and_then(|way| way.targets.watched);
        let flow = trunk.and_then(|trunk| self.trunk_flow(&trunk, watched?));
        self.facts.set_manner(id, TrunkManner::default());
        self.timers.disarm(&TimerName::TargetRested(id));
        self.forget_trunk(now, id, flow);
        self.signal_peers();
    }

    /// Caller IDs appeared or changed.
    pub(crate) fn caller_ids_changed(&mut self, caller_ids: Vec<CallerId>) {
        for caller_id in caller_ids {
            self.permit.caps_mut().set(caller_id.number, caller_id.caps);
            self.facts.caller_ids.insert(caller_id.number, caller_id);
        }
        self.refresh_candidates();
    }

    /// Caller IDs are gone.
    pub(crate) fn caller_ids_removed(&mut self, numbers: &[PhoneNumber]) {
        for number in numbers {
            self.permit.caps_mut().remove(*number);
            self.facts.caller_ids.remove(number);
            self.shown_for.remove(number);
        }
        self.forget_standings(numbers);
        self.refresh_candidates();
    }

    /// Those of this node's trunks, with their places looked up once; those of one trunk side by side.
    fn refresh_candidates(&mut self) {
        let own = self.facts.caller_ids.values().filter_map(|id| {
            let trunk = self.facts.trunks.get(&id.trunk)?;
            let route = Route {
                trunk: trunk.id,
                rank: trunk.rank,
                weight: self.facts.manner(trunk.id).weight,
            };
            Some(CallerIdFacts::new(id.number, id.caps, route))
        });
        self.candidates = own.collect();
        for facts in &mut self.candidates {
            self.standings.tell(facts);
        }
        (self.candidates).sort_by_key(|facts| (facts.route.trunk, facts.number));
    }

    /// Whether a trunk takes one more call now; `again` for one that another trunk failed.
    fn takes_call(&self, now: Now, id: TrunkId, again: bool) -> bool {
        let (Some(trunk), Some(way)) = (self.facts.trunks.get(&id), self.ways.get(&id)) else {
            return false;
        };
        trunk.enabled
            && way.health.room(now.monotonic) != Room::None
            && self.legs.channels(id) < trunk.channels
            && way.calls(now, !again && self.ways.len() > 1) > 0
    }

    /// Channels and calls that this node's trunks have free at this moment.
    pub(crate) fn room(&self, now: Now) -> (u32, u32) {
        let usable = (self.facts.trunks.values())
            .filter_map(|trunk| Some((trunk, self.ways.get(&trunk.id)?)))
            .filter(|(trunk, _)| trunk.enabled);
        let (channels, calls) = usable.fold((0, 0), |(channels, calls), (trunk, way)| {
            let free = trunk.channels.saturating_sub(self.legs.channels(trunk.id));
            let free = match way.health.room(now.monotonic) {
                Room::Any => free,
                Room::One => free.min(1),
                Room::None => 0,
            };
            (
                channels + free,
                calls + way.calls(now, self.ways.len() > 1).min(free),
            )
        });
        // A line without a port would take a lead and an agent, and let both go again.
        let ports = u32::try_from(self.ports.rested(now.monotonic)).unwrap_or(u32::MAX);
        (channels.min(ports), calls.min(ports))
    }

    /// The most local caller ID of a trunk that takes a call now, other than `except`, or one that is
    /// not local where the attempt is held out; none means do not dial. `again` for a call that failed
    /// before.
    pub(crate) fn choose_caller(
        &mut self,
        now: Now,
        called: &Called<'_>,
        except: Option<TrunkId>,
        again: bool,
    ) -> Option<(CallerId, Presence)> {
        self.refresh_use(now, except, again);
        let place = locality(called.number);
        let any_city = called.campaign.any_city_caller_id;
        let local = self.choose_near(called.number, &place, any_city)?;
        let mut presence = Presence {
            local: local.closeness != Closeness::AnyOfCity,
            trial: None,
        };
        let mut index = local.index;
        let percent = self.facts.hold_out(called.campaign.id);
        // Only where both are to be had do the dials differ by the lot alone.
        if presence.local
            && percent > 0
            && let Some(distant) = self.distant(&place)
        {
            let held_out = is_held_out(called.attempt, percent);
            presence.trial = Some(if held_out { Arm::HeldOut } else { Arm::Local });
            if held_out {
                (index, presence.local) = (distant, false);
            }
        }
        let number = self.candidates[index].number;
        let caller = self.facts.caller_ids.get(&number).copied()?;
        Some((caller, presence))
    }

    /// The number that the person saw before, else the nearest. One that rests by itself is better than
    /// none: rest is for later answers, and this call is now.
    fn choose_near(
        &mut self,
        number: PhoneNumber,
        place: &Locality,
        any_city: bool,
    ) -> Option<Choice> {
        let mut choice =
            choose_caller_id(&self.candidates, place, any_city, &mut self.caller_draws);
        if choice.is_none() && self.candidates.iter().any(|facts| facts.tired) {
            for facts in &mut self.candidates {
                facts.tired = false;
            }
            choice = choose_caller_id(&self.candidates, place, any_city, &mut self.caller_draws);
            for facts in &mut self.candidates {
                self.standings.tell(facts);
            }
        }
        let shown = self.called.get(number).and_then(|person| person.shown);
        Some(match (choice?, shown) {
            (chosen, None) => chosen,
            (chosen, Some(shown)) => {
                sticky_caller_id(&self.candidates, shown, place, any_city, chosen)
            }
        })
    }

    /// One of the candidates that is not local.
    fn distant(&mut self, called: &Locality) -> Option<usize> {
        let choice = choose_distant(&self.candidates, called, &mut self.caller_draws);
        choice.map(|choice| choice.index)
    }

    /// How often each candidate was shown, and whether its trunk takes a call.
    fn refresh_use(&mut self, now: Now, except: Option<TrunkId>, again: bool) {
        if self.candidates_stale {
            self.candidates_stale = false;
            self.refresh_candidates();
        }
        self.review_standings(now);
        let mut last: Option<(TrunkId, bool)> = None;
        for place in 0..self.candidates.len() {
            let CallerIdFacts { number, route, .. } = self.candidates[place];
            let takes = match last {
                Some((trunk, takes)) if trunk == route.trunk => takes,
                _ => except != Some(route.trunk) && self.takes_call(now, route.trunk, again),
            };
            last = Some((route.trunk, takes));
            let (used_today, used_this_hour) = self.permit.caps().counts(number, now.wall);
            let rests = self
                .facts
                .caller_ids
                .get(&number)
                .is_none_or(|id| id.resting);
            let facts = &mut self.candidates[place];
            facts.used_today = used_today;
            facts.used_this_hour = used_this_hour;
            facts.resting = rests || !takes;
        }
    }
}
