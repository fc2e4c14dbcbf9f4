//! Whom this node called, for when they call back: the last attempt at each number.

use call::AttemptEnd;
use domain::{
    AgentId, AttemptId, CampaignId, KnownPerson, LeadId, LeadProfile, LeasedLead, ListId,
    PhoneNumber, WallTime, ZoneId, limits,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A person whom this node called.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledPerson {
    /// The number.
    pub number: PhoneNumber,
    /// The last attempt.
    pub attempt: AttemptId,
    /// When it ended.
    pub at: WallTime,
    /// The lead.
    pub lead: LeadId,
    /// Its list.
    pub list: ListId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// The number that was shown.
    pub shown: Option<PhoneNumber>,
    /// The agent who spoke with the person last.
    pub agent: Option<AgentId>,
    /// Every time zone the number may lie in.
    pub zones: Vec<ZoneId>,
    /// Name and further fields.
    pub profile: LeadProfile,
}

impl fmt::Debug for CalledPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CalledPerson({}, {})", self.number, self.attempt)
    }
}

impl CalledPerson {
    /// What an attempt's end tells; none where nothing was dialed.
    pub(crate) fn of(end: &AttemptEnd) -> Option<Self> {
        let facts = end.dialed.as_ref().filter(|_| end.call_back.is_none())?;
        Some(Self {
            shown: facts.caller_id,
            agent: end.agent,
            ..Self::of_lease(&end.lease, end.ended_at)
        })
    }

    /// A person whom another city called, and who called this node: what it was told of the lead. None
    /// for strangers.
    pub(crate) fn of_call_back(end: &AttemptEnd) -> Option<Self> {
        let told = end.call_back.filter(|call_back| !call_back.withheld)?;
        let lease = &end.lease;
        let stranger = lease.lead == LeadId::new(lease.lead.region(), 0);
        (!stranger).then(|| Self {
            attempt: told.after.unwrap_or(lease.attempt),
            ..Self::of_lease(lease, end.ended_at)
        })
    }

    /// A person of another city with whom an agent of this node speaks.
    pub(crate) fn of_lent(lease: &LeasedLead, now: WallTime, agent: AgentId) -> Self {
        Self {
            agent: Some(agent),
            ..Self::of_lease(lease, now)
        }
    }

    fn of_lease(lease: &LeasedLead, at: WallTime) -> Self {
        Self {
            number: lease.number,
            attempt: lease.attempt,
            at,
            lead: lease.lead,
            list: lease.list,
            campaign: lease.campaign,
            shown: None,
            agent: None,
            zones: lease.zones.clone(),
            profile: lease.profile.clone(),
        }
    }

    /// What is known of the person.
    pub(crate) fn known(&self) -> KnownPerson {
        KnownPerson {
            lead: self.lead,
            list: self.list,
            campaign: self.campaign,
            zones: self.zones.clone(),
            profile: self.profile.clone(),
        }
    }

    /// Bytes of what differs most from person to person, with a round sum for the rest.
    fn bytes(&self) -> usize {
        let profile = &self.profile;
        let fields = profile.attributes.iter();
        let fields: usize = fields.map(|(key, value)| key.len() + value.len()).sum();
        200 + profile.name.len() + fields
    }
}

/// Everybody whom this node called of late, at most [`limits::CALLED`] and
/// [`limits::CALLED_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct Called {
    persons: BTreeMap<PhoneNumber, CalledPerson>,
    /// Longest ago first.
    ages: BTreeSet<(WallTime, PhoneNumber)>,
    bytes: usize,
}

impl Called {
    pub(crate) fn get(&self, number: PhoneNumber) -> Option<&CalledPerson> {
        self.persons.get(&number)
    }

    /// Takes a person in; who is the person as remembered, and whose place that took.
    pub(crate) fn remember(
        &mut self,
        mut person: CalledPerson,
    ) -> (CalledPerson, Vec<PhoneNumber>) {
        if let Some(known) = self.forget(person.number) {
            // An attempt that nobody answered does not hide who spoke with the person before.
            person.agent = person.agent.or(known.agent);
        }
        self.bytes += person.bytes();
        self.ages.insert((person.at, person.number));
        self.persons.insert(person.number, person.clone());
        let mut gone = Vec::new();
        while self.persons.len() > limits::CALLED || self.bytes > limits::CALLED_BYTES {
            let Some((_, oldest)) = self.ages.first().copied() else {
                break;
            };
            self.forget(oldest);
            gone.push(oldest);
        }
        (person, gone)
    }

    fn forget(&mut self, number: PhoneNumber) -> Option<CalledPerson> {
        let known = self.persons.remove(&number)?;
        self.ages.remove(&(known.at, number));
        self.bytes -= known.bytes();
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RegionId;

    fn person(n: u64, at: i64) -> CalledPerson {
        CalledPerson {
            number: PhoneNumber::from_digits(14_155_000_000 + n).expect("a number"),
            attempt: AttemptId::new(RegionId(1), n, 0),
            at: WallTime::from_millis(at),
            lead: LeadId::new(RegionId(1), n),
            list: ListId(1),
            campaign: CampaignId(1),
            shown: None,
            agent: None,
            zones: Vec::new(),
            profile: LeadProfile::default(),
        }
    }

    #[test]
    fn who_was_called_longest_ago_goes_first() {
        let mut called = Called::default();
        for n in 0..limits::CALLED as u64 {
            assert!(called.remember(person(n, n as i64)).1.is_empty());
        }
        // Called again: the first one is the newest now.
        assert!(called.remember(person(0, 1_000_000)).1.is_empty());
        let more = person(limits::CALLED as u64, 1_000_001);
        assert_eq!(called.remember(more).1, [person(1, 0).number]);
        assert_eq!(called.persons.len(), limits::CALLED);
        assert!(called.get(person(0, 0).number).is_some());
    }

    #[test]
    fn long_profiles_count() {
        let mut called = Called::default();
        let name = "n".repeat(limits::CALLED_BYTES / 2);
        let long = |n| {
            let mut person = person(n, n as i64);
            person.profile.name.clone_from(&name);
            person
        };
        assert!(called.remember(long(1)).1.is_empty());
        assert_eq!(called.remember(long(2)).1, [person(1, 0).number]);
        assert!(called.bytes <= limits::CALLED_BYTES);
    }

    #[test]
    fn who_spoke_last_is_not_forgotten_for_an_attempt_that_came_to_nothing() {
        let mut called = Called::default();
        let spoke = CalledPerson {
            agent: Some(AgentId(3)),
            ..person(1, 1)
        };
        called.remember(spoke);
        let (now, _) = called.remember(person(1, 2));
        assert_eq!(
            (now.agent, now.at),
            (Some(AgentId(3)), WallTime::from_millis(2))
        );
        assert_eq!(called.get(now.number), Some(&now));
    }
}
