//! Who a person is who calls one of our numbers, as far as the number's region knows.

use super::{
    RegionLedger,
    book::{LeadSlot, LeadState, NONE},
};
use domain::{KnownPerson, PhoneNumber};

impl RegionLedger {
    /// The lead of a number that was called: the one whose attempt may be live, else the newest of those
    /// that were attempted. None where nobody of this region was called at that number, or another
    /// region has it.
    ///
    /// Which agent spoke with the person, and which number was shown, the group does not keep.
    pub fn who_calls(&self, number: PhoneNumber) -> Option<KnownPerson> {
        let row = self.book.number(number)?;
        let called = |lead: &LeadSlot| {
            let row = &self.book.rows[*lead as usize];
            row.attempts > 0 && !matches!(row.state, LeadState::Moved(_))
        };
        let live = Some(row.live).filter(|lead| *lead != NONE);
        let lead = live.or_else(|| self.book.leads_of(number).into_iter().find(called))?;
        let row = &self.book.rows[lead as usize];
        Some(KnownPerson {
            lead: self.lead_id(lead),
            list: row.list,
            campaign: row.campaign,
            zones: self.book.zone_sets[usize::from(row.zones)].clone(),
            profile: self.book.profile(lead),
        })
    }
}
