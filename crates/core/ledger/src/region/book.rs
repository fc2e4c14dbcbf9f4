//! Rows of leads and numbers, and every index and count over them.
//!
//! One rule keeps indexes and counts true: a row is *lifted* out of them, changed, and *placed*
//! again; nothing else touches them. After a restore they are rebuilt from the rows.

use super::{
    LeadStanding,
    due::{Class, DueKey, within_reach},
};
use crate::table::{Sparse, Table};
use domain::{
    CampaignId, Disposition, DispositionCode, LeadProfile, ListId, PhoneNumber, RegionId, WallTime,
    ZoneId, limits,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

/// A lead's place in the rows; its id counts from 1.
pub(super) type LeadSlot = u32;
/// A number's place among the numbers.
pub(super) type NumberSlot = u32;
/// No lead.
pub(super) const NONE: u32 = u32::MAX;

/// Where a lead stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LeadState {
    /// To be dialed when due.
    Waiting,
    /// Held by a session, one attempt reserved.
    Leased,
    /// Its session ended; nobody here knows how its attempt went.
    InDoubt,
    /// Never to be dialed again.
    Finished(Disposition),
    /// Another region has it; the row stays so that its id is never another lead's.
    Moved(RegionId),
}

/// What forbids a lead's number: bits of one byte, the first of which is the flag that it was once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Blocked(u8);

impl Blocked {
    /// A do-not-call entry or pattern of the directory.
    pub(super) const ENTRY: u8 = 1;
    /// The do-not-call base in use, as a node found.
    pub(super) const BASE: u8 = 2;
    /// A freeze.
    pub(super) const FROZEN: u8 = 4;
    /// Consent is asked for, and there is none.
    pub(super) const CONSENT: u8 = 8;
    /// It is on its way to another region.
    pub(super) const LEAVING: u8 = 16;

    /// With a bit set or not.
    pub(super) const fn with(self, bit: u8, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether a bit is set.
    pub(super) const fn by(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Whether do-not-call forbids it, whatever else does.
    pub(super) const fn by_dnc(self) -> bool {
        self.by(Self::ENTRY) || self.by(Self::BASE)
    }

    /// Whether any bit is set.
    pub(super) const fn any(self) -> bool {
        self.0 != 0
    }
}

/// One lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) number: NumberSlot,
    /// The next lead of the same number; [`NONE`] at the end.
    pub(super) next: LeadSlot,
    pub(super) campaign: CampaignId,
    pub(super) list: ListId,
    /// Not before this time.
    pub(super) due: WallTime,
    pub(super) priority: i16,
    /// Attempts so far, the reserved one included.
    pub(super) attempts: u16,
    /// The set of time zones; 0 is the empty one.
    pub(super) zones: u16,
    pub(super) state: LeadState,
    /// By do-not-call, a freeze, the lack of consent or a move.
    pub(super) blocked: Blocked,
}

/// One number, across leads and campaigns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NumberRow {
    pub(super) number: PhoneNumber,
    /// The newest lead of this number.
    pub(super) first: LeadSlot,
    /// The lead whose attempt may be live: leased or in doubt. At most one (I1).
    pub(super) live: LeadSlot,
    /// Ended attempts in seconds, rounded up, ascending; the last [`limits::ATTEMPT_HISTORY`].
    pub(super) history: Box<[u32]>,
}

/// Seconds since the epoch, rounded up: an attempt never looks older than it is.
pub(super) fn seconds_up(at: WallTime) -> u32 {
    u32::try_from(at.as_millis().saturating_add(999).div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

impl NumberRow {
    /// Adds another region's attempts at the number to its own: none is forgotten that a rule looks
    /// back to.
    pub(super) fn attempted_elsewhere(&mut self, marks: &[u32]) {
        let mut all = [&self.history[..], marks].concat();
        all.sort_unstable();
        let memory = limits::ATTEMPT_MEMORY.as_secs() as u32;
        let newest = all.last().copied().unwrap_or(0);
        let forgotten = all.partition_point(|m| *m < newest.saturating_sub(memory));
        let surplus = all.len().saturating_sub(limits::ATTEMPT_HISTORY);
        self.history = all.split_off(forgotten.max(surplus)).into_boxed_slice();
    }

    /// Counts an attempt made at `at`, for good.
    pub(super) fn attempted(&mut self, at: WallTime) {
        let mark = seconds_up(at);
        // What no rule looks back to is forgotten, or a number would grow for years.
        let memory = limits::ATTEMPT_MEMORY.as_secs() as u32;
        let newest = mark.max(self.history.last().copied().unwrap_or(0));
        let forgotten = (self.history).partition_point(|m| *m < newest.saturating_sub(memory));
        let place = self.history.partition_point(|m| *m <= mark).max(forgotten);
        let mut marks = Vec::with_capacity(self.history.len() - forgotten + 1);
        marks.extend_from_slice(&self.history[forgotten..place]);
        marks.push(mark);
        marks.extend_from_slice(&self.history[place..]);
        let surplus = marks.len().saturating_sub(limits::ATTEMPT_HISTORY);
        marks.drain(..surplus);
        self.history = marks.into_boxed_slice();
    }
}

/// Where a row is counted and indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Due,
    Waiting,
    Blocked,
    Frozen,
    NoConsent,
    NoZone,
    Leased,
    InDoubt,
    Finished(u16),
    Moving,
    Moved(RegionId),
}

/// A disposition as a small integer: the system's by their place, then the agents' codes.
fn finished_key(disposition: Disposition) -> u16 {
    match disposition {
        Disposition::Agent(code) => 100u16.saturating_add(code.0),
        system => Disposition::SYSTEM
            .iter()
            .position(|d| *d == system)
            .expect("every system disposition is listed") as u16,
    }
}

/// The disposition of a small integer.
fn finished_disposition(key: u16) -> Disposition {
    match Disposition::SYSTEM.get(usize::from(key)) {
        Some(system) => *system,
        None => Disposition::Agent(DispositionCode(key - 100)),
    }
}

/// Leads of one campaign in one region, by where they stand. Every count is kept as leads move,
/// so reading it costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegionStats {
    /// May be claimed now, as far as time and do-not-call go; windows and limits come on top.
    pub due: u64,
    /// Rest until a time yet to come.
    pub waiting: u64,
    /// Held by a session.
    pub leased: u64,
    /// Their session ended and the attempt's end is not known.
    pub in_doubt: u64,
    /// Not dialable: a do-not-call entry, a pattern or the base covers them.
    pub blocked_dnc: u64,
    /// Rest until a freeze of their number ends or is lifted.
    pub frozen: u64,
    /// Not dialable: consent is asked for, and there is none that is good.
    pub no_consent: u64,
    /// Not dialable: no time zone is known.
    pub no_zone: u64,
    /// On their way to another region, where they may be counted already.
    pub moving: u64,
    /// Done, by final disposition.
    pub finished: Vec<(Disposition, u64)>,
}

impl RegionStats {
    /// All leads of the campaign.
    pub fn total(&self) -> u64 {
        self.due
            + self.waiting
            + self.leased
            + self.in_doubt
            + self.blocked_dnc
            + self.frozen
            + self.no_consent
            + self.no_zone
            + self.moving
            + self.finished.iter().map(|(_, n)| n).sum::<u64>()
    }
}

/// One campaign's indexes and counts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct CampaignBook {
    /// Due leads by set of time zones, so that a closed window costs one look, not one per lead.
    pub(super) due: BTreeMap<u16, BTreeSet<DueKey>>,
    due_count: u64,
    waiting: u64,
    blocked: u64,
    frozen: u64,
    no_consent: u64,
    no_zone: u64,
    leased: u64,
    in_doubt: u64,
    moving: u64,
    finished: BTreeMap<u16, u64>,
}

/// Every row and index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) clock: WallTime,
    pub(super) rows: Table<Row>,
    pub(super) numbers: Table<NumberRow>,
    /// When an attempt at a number was last abandoned, in seconds, rounded up. Few ever are.
    pub(super) abandoned: BTreeMap<NumberSlot, u32>,
    /// Leads whose next attempt is a callback that was promised. Few ever are.
    promised: BTreeSet<LeadSlot>,
    /// Profiles as they were written, apart from the rows: read only at a claim.
    pub(super) profiles: Sparse<Box<[u8]>>,
    pub(super) zone_sets: Vec<Vec<ZoneId>>,
    zone_index: BTreeMap<Vec<ZoneId>, u16>,
    number_index: BTreeMap<PhoneNumber, NumberSlot>,
    /// Leads of all campaigns that are not yet due, by when they will be.
    waiting: BTreeSet<DueKey>,
    campaigns: BTreeMap<CampaignId, CampaignBook>,
}

/// What a snapshot keeps of a [`Book`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedBook {
    clock: WallTime,
    rows: Table<Row>,
    numbers: Table<NumberRow>,
    abandoned: BTreeMap<NumberSlot, u32>,
    profiles: Sparse<Box<[u8]>>,
    zone_sets: Vec<Vec<ZoneId>>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            clock: WallTime::EPOCH,
            rows: Table::default(),
            numbers: Table::default(),
            abandoned: BTreeMap::new(),
            promised: BTreeSet::new(),
            profiles: Sparse::default(),
            zone_sets: vec![Vec::new()],
            zone_index: BTreeMap::from([(Vec::new(), 0)]),
            number_index: BTreeMap::new(),
            waiting: BTreeSet::new(),
            campaigns: BTreeMap::new(),
        }
    }
}

impl Book {
    /// What to keep. The large tables share their rows with it, so this is quick.
    pub(super) fn saved(&self) -> SavedBook {
        SavedBook {
            clock: self.clock,
            rows: self.rows.clone(),
            numbers: self.numbers.clone(),
            abandoned: self.abandoned.clone(),
            profiles: self.profiles.clone(),
            zone_sets: self.zone_sets.clone(),
        }
    }

    /// The book of a snapshot, or why its rows contradict each other.
    pub(super) fn restored(saved: SavedBook, promised: BTreeSet<LeadSlot>) -> Result<Self, String> {
        let mut book = Self {
            clock: saved.clock,
            rows: saved.rows,
            numbers: saved.numbers,
            abandoned: saved.abandoned,
            promised,
            profiles: saved.profiles,
            zone_sets: saved.zone_sets,
            zone_index: BTreeMap::new(),
            ..Self::default()
        };
        let (rows, numbers) = (book.rows.len(), book.numbers.len());
        let lead_or_none = |lead: LeadSlot| lead == NONE || (lead as usize) < rows;
        let sound = book.rows.iter().all(|row| row.due == within_reach(row.due))
            && book.zone_sets.first().is_some_and(Vec::is_empty)
            && book.rows.iter().all(|row| {
                (row.number as usize) < numbers
                    && lead_or_none(row.next)
                    && usize::from(row.zones) < book.zone_sets.len()
            })
            && (book.numbers.iter()).all(|n| lead_or_none(n.first) && lead_or_none(n.live))
            && (book.promised.last()).is_none_or(|lead| (*lead as usize) < rows);
        if !sound {
            return Err("rows point beside each other".into());
        }
        book.zone_index = (book.zone_sets.iter().cloned()).zip(0..).collect();
        // Sorted first: a tree built from sorted keys is dense and quick to build.
        let mut index: Vec<_> = book.numbers.iter().map(|n| n.number).zip(0..).collect();
        index.sort_unstable();
        book.number_index = index.into_iter().collect();
        for lead in 0..rows as LeadSlot {
            book.place(lead);
        }
        Ok(book)
    }

    /// Moves the clock forward; leads whose time has come become due.
    pub(super) fn advance(&mut self, wall: WallTime) {
        self.clock = self.clock.max(within_reach(wall));
        while let Some(key) = self.waiting.first().copied() {
            if key.rests_until() > self.clock {
                break;
            }
            self.waiting.pop_first();
            let lead = key.lead();
            let row = &self.rows[lead as usize];
            let key = DueKey::new(self.class(lead), row.due, lead);
            let zones = row.zones;
            let campaign = self.campaigns.entry(row.campaign).or_default();
            campaign.waiting -= 1;
            campaign.due_count += 1;
            campaign.due.entry(zones).or_default().insert(key);
        }
    }

    fn standing(&self, row: &Row) -> Place {
        match row.state {
            LeadState::Leased => Place::Leased,
            LeadState::InDoubt => Place::InDoubt,
            LeadState::Moved(to) => Place::Moved(to),
            _ if row.blocked.by(Blocked::LEAVING) => Place::Moving,
            LeadState::Finished(disposition) => Place::Finished(finished_key(disposition)),
            LeadState::Waiting if row.blocked.by_dnc() => Place::Blocked,
            LeadState::Waiting if row.blocked.by(Blocked::CONSENT) => Place::NoConsent,
            LeadState::Waiting if row.blocked.any() => Place::Frozen,
            LeadState::Waiting if row.zones == 0 => Place::NoZone,
            LeadState::Waiting if row.due <= self.clock => Place::Due,
            LeadState::Waiting => Place::Waiting,
        }
    }

    /// Enters a row into indexes and counts.
    pub(super) fn place(&mut self, lead: LeadSlot) {
        let row = &self.rows[lead as usize];
        let (place, class) = (self.standing(row), self.class(lead));
        let campaign = self.campaigns.entry(row.campaign).or_default();
        match place {
            Place::Due => {
                campaign.due_count += 1;
                let key = DueKey::new(class, row.due, lead);
                campaign.due.entry(row.zones).or_default().insert(key);
            }
            Place::Waiting => {
                campaign.waiting += 1;
                self.waiting.insert(DueKey::resting(row.due, lead));
            }
            Place::Blocked => campaign.blocked += 1,
            Place::Frozen => campaign.frozen += 1,
            Place::NoConsent => campaign.no_consent += 1,
            Place::NoZone => campaign.no_zone += 1,
            Place::Leased => campaign.leased += 1,
            Place::InDoubt => campaign.in_doubt += 1,
            Place::Moving => campaign.moving += 1,
            Place::Moved(_) => {}
            Place::Finished(key) => *campaign.finished.entry(key).or_default() += 1,
        }
    }

    /// Takes a row out of indexes and counts.
    fn lift(&mut self, lead: LeadSlot) {
        let row = &self.rows[lead as usize];
        let (place, class) = (self.standing(row), self.class(lead));
        let campaign = self.campaigns.entry(row.campaign).or_default();
        match place {
            Place::Due => {
                campaign.due_count -= 1;
                let key = DueKey::new(class, row.due, lead);
                if let Some(due) = campaign.due.get_mut(&row.zones) {
                    due.remove(&key);
                    // An empty group must not stay: a restored book would not have it.
                    if due.is_empty() {
                        campaign.due.remove(&row.zones);
                    }
                }
            }
            Place::Waiting => {
                campaign.waiting -= 1;
                self.waiting.remove(&DueKey::resting(row.due, lead));
            }
            Place::Blocked => campaign.blocked -= 1,
            Place::Frozen => campaign.frozen -= 1,
            Place::NoConsent => campaign.no_consent -= 1,
            Place::NoZone => campaign.no_zone -= 1,
            Place::Leased => campaign.leased -= 1,
            Place::InDoubt => campaign.in_doubt -= 1,
            Place::Moving => campaign.moving -= 1,
            Place::Moved(_) => {}
            Place::Finished(key) => {
                if let Some(count) = campaign.finished.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        campaign.finished.remove(&key);
                    }
                }
            }
        }
    }

    /// Changes a row; indexes and counts follow.
    pub(super) fn change(&mut self, lead: LeadSlot, change: impl FnOnce(&mut Row)) {
        self.lift(lead);
        let row = &mut self.rows[lead as usize];
        change(row);
        row.due = within_reach(row.due);
        self.place(lead);
    }

    /// What comes before a due lead's time.
    pub(super) fn class(&self, lead: LeadSlot) -> Class {
        Class {
            priority: self.rows[lead as usize].priority,
            promised: self.promised.contains(&lead),
        }
    }

    /// Whether a lead's next attempt is a callback that was promised.
    pub(super) fn promise(&mut self, lead: LeadSlot, promised: bool) {
        if promised == self.promised.contains(&lead) {
            return;
        }
        self.lift(lead);
        match promised {
            true => self.promised.insert(lead),
            false => self.promised.remove(&lead),
        };
        self.place(lead);
    }

    /// Leads that were promised a callback, to be kept.
    pub(super) fn promises(&self) -> BTreeSet<LeadSlot> {
        self.promised.clone()
    }

    /// Takes a bit of [`Blocked`] off every row: one look at each.
    pub(super) fn forget(&mut self, bit: u8) {
        for lead in 0..self.rows.len() as LeadSlot {
            let blocked = self.rows[lead as usize].blocked;
            if blocked.by(bit) {
                self.change(lead, |row| row.blocked = blocked.with(bit, false));
            }
        }
    }

    /// The number of a lead.
    pub(super) fn number_of(&mut self, lead: LeadSlot) -> &mut NumberRow {
        let slot = self.rows[lead as usize].number;
        &mut self.numbers[slot as usize]
    }

    /// The leads of a number.
    pub(super) fn leads_of(&self, number: PhoneNumber) -> Vec<LeadSlot> {
        iter::successors(self.first_of(number), |lead| self.after(*lead)).collect()
    }

    /// The first lead of a number.
    pub(super) fn first_of(&self, number: PhoneNumber) -> Option<LeadSlot> {
        let slot = self.number_index.get(&number)?;
        Some(self.numbers[*slot as usize].first).filter(|lead| *lead != NONE)
    }

    /// The next lead of the same number.
    pub(super) fn after(&self, lead: LeadSlot) -> Option<LeadSlot> {
        Some(self.rows[lead as usize].next).filter(|next| *next != NONE)
    }

    /// Every known number of a range, both ends included.
    pub(super) fn numbers_within(
        &self,
        range: (PhoneNumber, PhoneNumber),
    ) -> impl Iterator<Item = PhoneNumber> + '_ {
        (self.number_index.range(range.0..=range.1)).map(|(number, _)| *number)
    }

    /// The lead of a number in one campaign.
    pub(super) fn lead_in(&self, number: PhoneNumber, campaign: CampaignId) -> Option<LeadSlot> {
        let mut next = self.numbers[*self.number_index.get(&number)? as usize].first;
        while next != NONE {
            let row = &self.rows[next as usize];
            if row.campaign == campaign {
                return Some(next);
            }
            next = row.next;
        }
        None
    }

    /// The row of a number, if any lead has it.
    pub(super) fn number(&self, number: PhoneNumber) -> Option<&NumberRow> {
        let slot = self.number_index.get(&number)?;
        Some(&self.numbers[*slot as usize])
    }

    /// Whether these further sets of zones fit.
    pub(super) fn zones_fit(&self, sets: &BTreeSet<Vec<ZoneId>>) -> bool {
        let new = sets
            .iter()
            .filter(|set| !self.zone_index.contains_key(*set));
        self.zone_sets.len() + new.count() <= limits::ZONE_SETS
    }

    /// The set of these zones; `None` when there are too many sets.
    pub(super) fn zone_set(&mut self, zones: &[ZoneId]) -> Option<u16> {
        let mut zones = zones.to_vec();
        zones.sort_unstable();
        zones.dedup();
        if let Some(set) = self.zone_index.get(&zones) {
            return Some(*set);
        }
        if self.zone_sets.len() >= limits::ZONE_SETS {
            return None;
        }
        let set = self.zone_sets.len() as u16;
        self.zone_sets.push(zones.clone());
        self.zone_index.insert(zones, set);
        Some(set)
    }

    /// The place of a number, if it was ever here.
    pub(super) fn number_slot(&self, number: PhoneNumber) -> Option<NumberSlot> {
        self.number_index.get(&number).copied()
    }

    /// The place of a number, made where it has none.
    pub(super) fn number_made(&mut self, number: PhoneNumber) -> NumberSlot {
        match self.number_index.get(&number) {
            Some(slot) => *slot,
            None => {
                let slot = self.numbers.len() as NumberSlot;
                self.number_index.insert(number, slot);
                let row = NumberRow {
                    number,
                    first: NONE,
                    live: NONE,
                    history: Box::default(),
                };
                self.numbers.push(row);
                slot
            }
        }
    }

    /// Takes everything of a number away: its leads go to `to`, of its attempts nothing is left.
    pub(super) fn clear_number(&mut self, slot: NumberSlot, to: RegionId) {
        let number = self.numbers[slot as usize].number;
        for lead in self.leads_of(number) {
            self.profiles.remove(lead);
            self.promise(lead, false);
            self.change(lead, |row| {
                row.state = LeadState::Moved(to);
                row.blocked = Blocked::default();
                row.next = NONE;
            });
        }
        self.abandoned.remove(&slot);
        let row = &mut self.numbers[slot as usize];
        row.first = NONE;
        row.history = Box::default();
    }

    /// Adds a lead whose number is not yet in its campaign.
    pub(super) fn add(&mut self, number: PhoneNumber, mut row: Row, profile: &LeadProfile) {
        let lead = self.rows.len() as LeadSlot;
        let slot = self.number_made(number);
        row.number = slot;
        row.next = std::mem::replace(&mut self.numbers[slot as usize].first, lead);
        self.rows.push(row);
        if *profile != LeadProfile::default() {
            self.set_profile(lead, profile);
        }
        self.place(lead);
    }

    /// Gives a lead without a profile one.
    pub(super) fn fill_profile(&mut self, lead: LeadSlot, profile: &LeadProfile) {
        if *profile != LeadProfile::default() && self.profiles.get(lead).is_none() {
            self.set_profile(lead, profile);
        }
    }

    fn set_profile(&mut self, lead: LeadSlot, profile: &LeadProfile) {
        let bytes = postcard::to_stdvec(profile);
        let bytes = bytes.expect("plain data always serialises into memory");
        self.profiles.insert(lead, bytes.into_boxed_slice());
    }

    /// A lead's profile.
    pub(super) fn profile(&self, lead: LeadSlot) -> LeadProfile {
        // Written by `add`; a snapshot's checksum covers it. A release that cannot read an old one
        // shows an empty card rather than losing the lead.
        (self.profiles.get(lead))
            .map(|bytes| postcard::from_bytes(bytes).unwrap_or_default())
            .unwrap_or_default()
    }

    /// A campaign's due leads by set of time zones.
    pub(super) fn campaign(&self, campaign: CampaignId) -> Option<&CampaignBook> {
        self.campaigns.get(&campaign)
    }

    /// When the next lead of any campaign becomes due.
    pub(super) fn next_due(&self) -> Option<WallTime> {
        self.waiting.first().map(|key| key.rests_until())
    }

    /// A campaign's counts.
    pub(super) fn stats(&self, campaign: CampaignId) -> RegionStats {
        let Some(book) = self.campaigns.get(&campaign) else {
            return RegionStats::default();
        };
        RegionStats {
            due: book.due_count,
            waiting: book.waiting,
            leased: book.leased,
            in_doubt: book.in_doubt,
            blocked_dnc: book.blocked,
            frozen: book.frozen,
            no_consent: book.no_consent,
            no_zone: book.no_zone,
            moving: book.moving,
            finished: (book.finished.iter())
                .map(|(key, n)| (finished_disposition(*key), *n))
                .collect(),
        }
    }

    /// Every campaign that has leads.
    pub(super) fn campaign_ids(&self) -> impl Iterator<Item = CampaignId> + '_ {
        self.campaigns.keys().copied()
    }

    /// A lead's standing, for queries.
    pub(super) fn lead_standing(&self, lead: LeadSlot) -> LeadStanding {
        let row = &self.rows[lead as usize];
        match self.standing(row) {
            Place::Due => LeadStanding::Due,
            Place::Waiting => LeadStanding::Waiting(row.due),
            Place::Frozen => LeadStanding::Frozen,
            Place::NoConsent => LeadStanding::NoConsent,
            Place::Blocked => LeadStanding::DoNotCall,
            Place::NoZone => LeadStanding::NoZone,
            Place::Leased => LeadStanding::Leased,
            Place::InDoubt => LeadStanding::InDoubt,
            Place::Moving => LeadStanding::Moving,
            Place::Moved(to) => LeadStanding::Moved(to),
            Place::Finished(key) => LeadStanding::Finished(finished_disposition(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_small() {
        assert!(size_of::<Row>() <= 40, "{}", size_of::<Row>());
        assert!(size_of::<NumberRow>() <= 32, "{}", size_of::<NumberRow>());
    }

    #[test]
    fn history_keeps_the_newest_and_rounds_up() {
        let mut number = NumberRow {
            number: "+14155550134".parse().unwrap(),
            first: NONE,
            live: NONE,
            history: Box::default(),
        };
        for second in (0..=limits::ATTEMPT_HISTORY as i64).rev() {
            number.attempted(WallTime::from_millis(second * 1000 + 1));
        }
        assert_eq!(number.history.len(), limits::ATTEMPT_HISTORY);
        assert_eq!(
            number.history[0], 2,
            "1.001 s rounds to 2, 0.001 s is the oldest"
        );
        assert!(number.history.is_sorted());
        number.attempted(
            WallTime::EPOCH + limits::ATTEMPT_MEMORY + std::time::Duration::from_secs(3),
        );
        assert_eq!(
            number.history[0], 3,
            "what no rule looks back to is forgotten"
        );
    }

    #[test]
    fn finished_keys_round_trip() {
        for disposition in Disposition::SYSTEM
            .into_iter()
            .chain([Disposition::Agent(DispositionCode(63))])
        {
            assert_eq!(finished_disposition(finished_key(disposition)), disposition);
        }
    }
}
