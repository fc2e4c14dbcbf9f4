//! What the telephone network saw of the nodes' dials, and what must be true of it.

use crate::{
    seen::{Happening, Seen},
    violation::Rule,
};
use domain::{AttemptId, LeasedLead, PhoneNumber, SessionId};
use ledger::{RegionEvent, RegionLedger, SessionEnd};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Dials of a number within a day, by the rule pack of the simulated campaign.
const A_DAY: usize = 3;

#[derive(Clone, Debug)]
struct Dial {
    /// The network may work on it until that millisecond.
    ends: u64,
}

/// Outside of all members and nodes: nothing of it is ever lost.
#[derive(Debug, Default)]
pub(crate) struct History {
    dials: BTreeMap<AttemptId, Dial>,
    of: BTreeMap<PhoneNumber, Vec<AttemptId>>,
    /// Sessions that some replica has shown to be over.
    over: BTreeSet<SessionId>,
    opened: BTreeSet<SessionId>,
    lost: BTreeSet<AttemptId>,
    /// The entry that forbade a number, as acknowledged.
    forbidden: BTreeMap<PhoneNumber, u64>,
}

impl History {
    /// A replica applied a command of the region.
    pub(crate) fn heard(&mut self, events: &[RegionEvent], seen: &mut Seen) {
        for event in events {
            match event {
                RegionEvent::SessionOpened { session, .. } if self.opened.insert(*session) => {
                    seen.saw(Happening::Sessions);
                }
                RegionEvent::SessionEnded { session, end, .. } if self.over.insert(*session) => {
                    match end {
                        SessionEnd::Expired => seen.saw(Happening::SessionsExpired),
                        SessionEnd::Superseded => seen.saw(Happening::SessionsSuperseded),
                        SessionEnd::Closed => {}
                    }
                }
                RegionEvent::AttemptsLost(lost) => {
                    for lost in lost {
                        if self.lost.insert(lost.attempt) {
                            seen.saw(Happening::DoubtsEnded);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// An INVITE leaves at `now`; the network may work on it for `most` milliseconds.
    pub(crate) fn dialed(
        &mut self,
        now: u64,
        lead: &LeasedLead,
        most: u64,
    ) -> Result<(), (Rule, String)> {
        let number = lead.number;
        let attempt = lead.attempt;
        if self.over.contains(&lead.session) {
            let what = format!("{attempt} is dialed after its {} had ended", lead.session);
            return Err((Rule::InSession, what));
        }
        let others = self.of.entry(number).or_default();
        let live =
            (others.iter()).find(|other| **other != attempt && self.dials[*other].ends > now);
        if let Some(other) = live {
            let what = format!("{attempt} is dialed while {other} at the same number is live");
            return Err((Rule::OneDial, what));
        }
        match self.dials.entry(attempt) {
            Entry::Occupied(_) => {
                return Err((Rule::Counted, format!("{attempt} is dialed twice")));
            }
            Entry::Vacant(place) => place.insert(Dial { ends: now + most }),
        };
        others.push(attempt);
        if others.len() > A_DAY {
            let what = format!("a number is dialed {} times in a day", others.len());
            return Err((Rule::Counted, what));
        }
        Ok(())
    }

    /// The call is over for everybody.
    pub(crate) fn ended(&mut self, now: u64, attempt: AttemptId) {
        if let Some(dial) = self.dials.get_mut(&attempt) {
            dial.ends = dial.ends.min(now);
        }
    }

    /// Do-not-call was acknowledged to have come to the region with that entry.
    pub(crate) fn forbidden(&mut self, number: PhoneNumber, index: u64) {
        self.forbidden.entry(number).or_insert(index);
    }

    /// A node was given a lead.
    pub(crate) fn leased(&mut self, lead: &LeasedLead) -> Result<(), (Rule, String)> {
        // An attempt is named after the entry that reserved it.
        let claimed = (lead.attempt.0 >> 32) as u64;
        match self.forbidden.get(&lead.number) {
            Some(index) if claimed > *index => {
                let what = format!("entry {claimed} leases a number that {index} had forbidden");
                Err((Rule::Forbidden, what))
            }
            _ => Ok(()),
        }
    }

    /// A dial that a ledger which is said to hold everything does not count.
    pub(crate) fn uncounted(&self, region: &RegionLedger) -> Option<String> {
        self.of.iter().find_map(|(number, dials)| {
            let (ended, live) = region.attempts_at(*number);
            let counted = ended.len() + usize::from(live);
            (counted < dials.len())
                .then(|| format!("{counted} of {} dials of a number are counted", dials.len()))
        })
    }
}
