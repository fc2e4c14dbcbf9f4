//! Who holds which lead: by lead in one step, by session in the order of its leads.

use super::{
    Doubt, Lease,
    book::{LeadSlot, NONE},
};
use domain::SessionId;
use sansio::LookUp;
use std::collections::BTreeMap;

/// A lease's place among the slots.
type Place = u32;

/// A lease, chained with the others of its session.
#[derive(Clone, Debug)]
struct Slot {
    /// [`NONE`] while the slot is free.
    lead: LeadSlot,
    lease: Lease,
    before: Place,
    /// Of a free slot, the next free one.
    after: Place,
}

/// A session's chain.
#[derive(Clone, Copy, Debug)]
struct Held {
    first: Place,
    count: usize,
}

/// Every lease. A claim and a report touch each of theirs a few times, so none of that climbs a tree:
/// leases lie in slots that are used again, chained by session. The order of slots is an accident
/// of history and never seen.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    slots: Vec<Slot>,
    free: Place,
    places: LookUp<LeadSlot, Place>,
    held: BTreeMap<SessionId, Held>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            places: LookUp::default(),
            held: BTreeMap::new(),
        }
    }
}

/// Equal when they say the same, wherever it lies.
impl PartialEq for Leases {
    fn eq(&self, other: &Self) -> bool {
        self.by_lead() == other.by_lead()
    }
}

impl Eq for Leases {}

impl Leases {
    /// A lead's lease.
    pub(super) fn get(&self, lead: LeadSlot) -> Option<&Lease> {
        let place = self.places.get(&lead)?;
        Some(&self.slots[*place as usize].lease)
    }

    /// Leases a lead that is not leased.
    pub(super) fn insert(&mut self, lead: LeadSlot, lease: Lease) {
        debug_assert!(self.get(lead).is_none(), "a lead has one lease");
        let session = lease.session;
        let held = (self.held.entry(session)).or_insert(Held {
            first: NONE,
            count: 0,
        });
        let slot = Slot {
            lead,
            lease,
            before: NONE,
            after: held.first,
        };
        let place = match self.free {
            NONE => {
                self.slots.push(slot);
                (self.slots.len() - 1) as Place
            }
            free => {
                let old = std::mem::replace(&mut self.slots[free as usize], slot);
                self.free = old.after;
                free
            }
        };
        if held.first != NONE {
            self.slots[held.first as usize].before = place;
        }
        held.first = place;
        held.count += 1;
        self.places.insert(lead, place);
    }

    /// Ends a lead's lease.
    pub(super) fn remove(&mut self, lead: LeadSlot) -> Option<Lease> {
        let place = self.places.remove(&lead)?;
        let slot = &mut self.slots[place as usize];
        let (before, after, lease) = (slot.before, slot.after, slot.lease.clone());
        slot.lead = NONE;
        slot.after = self.free;
        self.free = place;
        if after != NONE {
            self.slots[after as usize].before = before;
        }
        if before != NONE {
            self.slots[before as usize].after = after;
        }
        if let Some(held) = self.held.get_mut(&lease.session) {
            held.count -= 1;
            if before == NONE {
                held.first = after;
            }
            if held.count == 0 {
                self.held.remove(&lease.session);
            }
        }
        Some(lease)
    }

    /// Puts a lease in doubt.
    pub(super) fn doubt(&mut self, lead: LeadSlot, doubt: Doubt) {
        if let Some(place) = self.places.get(&lead) {
            self.slots[*place as usize].lease.doubt = Some(doubt);
        }
    }

    /// How many leads a session holds.
    pub(super) fn count(&self, session: SessionId) -> usize {
        self.held.get(&session).map_or(0, |held| held.count)
    }

    /// A session's leads, in order.
    pub(super) fn of(&self, session: SessionId) -> Vec<LeadSlot> {
        let mut place = self.held.get(&session).map_or(NONE, |held| held.first);
        let mut leads = Vec::with_capacity(self.count(session));
        while place != NONE {
            let slot = &self.slots[place as usize];
            leads.push(slot.lead);
            place = slot.after;
        }
        leads.sort_unstable();
        leads
    }

    /// Every lease, by lead.
    pub(super) fn by_lead(&self) -> BTreeMap<LeadSlot, Lease> {
        let used = self.slots.iter().filter(|slot| slot.lead != NONE);
        used.map(|slot| (slot.lead, slot.lease.clone())).collect()
    }
}

impl FromIterator<(LeadSlot, Lease)> for Leases {
    fn from_iter<T: IntoIterator<Item = (LeadSlot, Lease)>>(leases: T) -> Self {
        let mut all = Self::default();
        for (lead, lease) in leases {
            all.insert(lead, lease);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AttemptId, RegionId, WallTime};
    use sansio::Seed;

    #[test]
    fn as_maps_would_have_it() {
        let mut draws = Seed::from_u64(3).stream("leases");
        let (mut leases, mut plain) = (Leases::default(), BTreeMap::new());
        for step in 0..20_000_u32 {
            let lead = draws.below(300);
            if plain.remove(&lead).is_some() {
                assert!(leases.remove(lead).is_some());
            } else {
                let lease = Lease {
                    attempt: AttemptId::new(RegionId(1), step.into(), 0),
                    session: SessionId(draws.below(5).into()),
                    claimed_at: WallTime::EPOCH,
                    doubt: None,
                };
                plain.insert(lead, lease.clone());
                leases.insert(lead, lease);
            }
            assert_eq!(leases.get(lead), plain.get(&lead));
            if step % 500 == 0 {
                assert_eq!(leases.by_lead(), plain);
                assert_eq!(leases, plain.clone().into_iter().collect());
                for session in (0..5).map(SessionId) {
                    let held = plain.iter().filter(|(_, l)| l.session == session);
                    let held: Vec<_> = held.map(|(lead, _)| *lead).collect();
                    assert_eq!(leases.count(session), held.len());
                    assert_eq!(leases.of(session), held);
                }
            }
        }
        assert!(leases.slots.len() <= 300, "slots are used again");
        assert_eq!(leases.remove(301), None);
    }
}
