//! Leads on their way to another region (mesh protocol, section 1): out in one recorded step, in by
//! another, and only then forgotten.
//!
//! What moves is a *number*: its leads of all campaigns and every attempt at it that is remembered.
//! The region that has it dials it until the export that picks it up. From then on its rows say that
//! they are leaving and no claim sees them; the other region dials it once it has committed the
//! import; and the first forgets it when it hears of that. So a number is dialable in one region, or
//! for a moment in none.
//!
//! One batch is under way to each region at a time, and each names the one before it. So a batch that
//! comes twice, late or out of turn is known without a table of all that ever came.

use super::{
    RegionLedger, RegionRefusal, RegionReply, RowOutcome,
    book::{Blocked, LeadSlot, LeadState, NONE, NumberSlot, Row},
    import::Routed,
};
use domain::{
    CampaignId, Disposition, DncBaseId, LeadProfile, ListId, PhoneNumber, RegionId, WallTime,
    ZoneId, limits,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How much moved, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MovedCounts {
    /// Numbers, those without a lead too.
    pub numbers: u64,
    /// Their leads.
    pub leads: u64,
}

/// A lead as one region hands it to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedLead {
    /// Its campaign.
    pub campaign: CampaignId,
    /// The list it came with.
    pub list: ListId,
    /// Not before this time: a retry's or a call-back's.
    pub due: WallTime,
    /// Larger goes first.
    pub priority: i16,
    /// Attempts so far.
    pub attempts: u16,
    /// Its time zones.
    pub zones: Vec<ZoneId>,
    /// Never to be dialed again, and why.
    pub finished: Option<Disposition>,
    /// A node found it in the do-not-call base of the batch.
    pub listed: bool,
    /// Name and further fields.
    pub profile: LeadProfile,
}

/// A number as one region hands it to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedNumber {
    /// The number.
    pub number: PhoneNumber,
    /// Ended attempts in seconds since the epoch, rounded up, oldest first.
    pub history: Vec<u32>,
    /// When one was last abandoned, likewise; 0 for never.
    pub abandoned: u32,
    /// Its leads, oldest first. A number that was dialed may have none.
    pub leads: Vec<MovedLead>,
}

/// A batch of numbers between two regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBatch {
    /// Whence.
    pub source: RegionId,
    /// Counts the batches of that region.
    pub batch: u64,
    /// Its batch to this region before; 0 for none.
    pub after: u64,
    /// The version of the home map that they move by.
    pub homes: u64,
    /// The do-not-call base in use there.
    pub base: Option<DncBaseId>,
    /// At most [`limits::MOVE_BATCH`].
    pub numbers: Vec<MovedNumber>,
    /// Abandonments heard of after their numbers had left; at most [`limits::MOVE_BATCH`].
    pub late: Vec<(PhoneNumber, u32)>,
}

/// Why a step of a move changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MoveRefusal {
    /// Decided by an earlier home map.
    #[error("decided by version {got} of the home map, and {have} holds; read it anew")]
    StaleHomes {
        /// What the command named.
        got: u64,
        /// The newest heard of.
        have: u64,
    },
    /// From a region to itself.
    #[error("{0} is the region itself")]
    Itself(RegionId),
    /// An earlier batch to that region is under way.
    #[error("batch {batch} to {to} is under way; finish it first")]
    UnderWay {
        /// Where to.
        to: RegionId,
        /// The batch.
        batch: u64,
    },
    /// Not the next batch.
    #[error("batch {got} came, and {expected} is next")]
    OutOfTurn {
        /// What the command named.
        got: u64,
        /// What is next: a batch of this region, or the one that the source's must follow.
        expected: u64,
    },
    /// No such batch is under way: it was let go of before.
    #[error("no batch {batch} to {to} is under way")]
    NotUnderWay {
        /// Where to.
        to: RegionId,
        /// The batch.
        batch: u64,
    },
    /// The other region did not take what was sent.
    #[error("{taken:?} were taken of {sent:?}; the batch stays under way")]
    Torn {
        /// What was picked up.
        sent: MovedCounts,
        /// What the other region says.
        taken: MovedCounts,
    },
}

impl From<MoveRefusal> for RegionRefusal {
    fn from(refusal: MoveRefusal) -> Self {
        Self::Move(refusal)
    }
}

/// A batch under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leaving {
    batch: u64,
    numbers: BTreeSet<NumberSlot>,
    late: Vec<(PhoneNumber, u32)>,
    counts: MovedCounts,
}

/// The last batch that a region sent, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) batch: u64,
    /// None when there was no room.
    counts: Option<MovedCounts>,
}

/// What a region keeps of moves.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Moves {
    /// The newest home map heard of.
    pub(super) homes: u64,
    /// The last batch that was picked up, to whatever region.
    last: u64,
    /// Batches under way.
    leaving: BTreeMap<RegionId, Leaving>,
    /// The last batch that each region took or had no room for.
    sent: BTreeMap<RegionId, u64>,
    /// Numbers that another region has.
    away: BTreeMap<NumberSlot, RegionId>,
    /// Abandonments heard of after their numbers had left, and who must hear of them.
    late: BTreeMap<PhoneNumber, (RegionId, u32)>,
    pub(super) taken: BTreeMap<RegionId, Taken>,
    /// Leads with a live attempt here whose other half from another region was finished.
    pub(super) ends: BTreeMap<LeadSlot, Disposition>,
    /// Left by the newest map.
    out: MovedCounts,
    /// Came by the newest map.
    into: MovedCounts,
}

impl Moves {
    /// No moves, as they are encoded: what snapshots before version 4 lack.
    pub(super) const EMPTY: [u8; 12] = [0; 12];

    /// Where a number is on its way to.
    fn leaving_to(&self, slot: NumberSlot) -> Option<RegionId> {
        (self.leaving.iter())
            .find(|(_, leaving)| leaving.numbers.contains(&slot))
            .map(|(to, _)| *to)
    }
}

/// A number, for who decides where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberView {
    /// The number.
    pub number: PhoneNumber,
    /// Its leads here.
    pub leads: u32,
    /// Whether an attempt at it may be live.
    pub live: bool,
    /// About as many bytes as it takes in a batch.
    pub bytes: usize,
}

/// How far a region's moves are, for queries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RegionMoves {
    /// The newest home map heard of.
    pub homes: u64,
    /// Left by that map, for good.
    pub out: MovedCounts,
    /// Came by that map.
    pub into: MovedCounts,
    /// Under way: to which region, which batch, how much.
    pub under_way: Vec<(RegionId, u64, MovedCounts)>,
    /// Regions that must hear of an abandonment.
    pub late: BTreeSet<RegionId>,
    /// What the next batch is called.
    pub next_batch: u64,
}

impl RegionLedger {
    /// How far this region's moves are.
    pub fn moves(&self) -> RegionMoves {
        let moves = &self.moves;
        RegionMoves {
            homes: moves.homes,
            out: moves.out,
            into: moves.into,
            under_way: (moves.leaving.iter())
                .map(|(to, leaving)| (*to, leaving.batch, leaving.counts))
                .collect(),
            late: moves.late.values().map(|(to, _)| *to).collect(),
            next_batch: moves.last + 1,
        }
    }

    /// How many places of numbers there are: [`RegionLedger::number_at`] knows those below.
    pub fn number_places(&self) -> u32 {
        self.book.numbers.len() as u32
    }

    /// The number at a place, if this region has anything of it and it is not leaving.
    pub fn number_at(&self, place: u32) -> Option<NumberView> {
        let row = self.book.numbers.get(place as usize)?;
        let abandoned = self.book.abandoned.contains_key(&place);
        let anything = row.first != NONE || !row.history.is_empty() || abandoned;
        if !anything || self.moves.leaving_to(place).is_some() {
            return None;
        }
        let leads = self.book.leads_of(row.number);
        let profile =
            |lead: &LeadSlot| self.book.profiles.get(*lead).map_or(0, |bytes| bytes.len());
        Some(NumberView {
            number: row.number,
            leads: leads.len() as u32,
            live: row.live != NONE,
            bytes: 32
                + 5 * row.history.len()
                + (leads.iter().map(|lead| 64 + profile(lead))).sum::<usize>(),
        })
    }

    /// The batch under way to a region, as that region takes it.
    pub fn moved_batch(&self, to: RegionId) -> Option<MovedBatch> {
        let leaving = self.moves.leaving.get(&to)?;
        Some(MovedBatch {
            source: self.region,
            batch: leaving.batch,
            after: self.moves.sent.get(&to).copied().unwrap_or(0),
            homes: self.moves.homes,
            base: self.base,
            numbers: leaving
                .numbers
                .iter()
                .map(|n| self.moved_number(*n))
                .collect(),
            late: leaving.late.clone(),
        })
    }

    fn moved_number(&self, slot: NumberSlot) -> MovedNumber {
        let row = &self.book.numbers[slot as usize];
        let leads = self.book.leads_of(row.number);
        MovedNumber {
            number: row.number,
            history: row.history.to_vec(),
            abandoned: self.book.abandoned.get(&slot).copied().unwrap_or(0),
            leads: leads
                .iter()
                .rev()
                .map(|lead| self.moved_lead(*lead))
                .collect(),
        }
    }

    fn moved_lead(&self, lead: LeadSlot) -> MovedLead {
        let row = &self.book.rows[lead as usize];
        MovedLead {
            campaign: row.campaign,
            list: row.list,
            due: row.due,
            priority: row.priority,
            attempts: row.attempts,
            zones: self.book.zone_sets[usize::from(row.zones)].clone(),
            finished: match row.state {
                LeadState::Finished(disposition) => Some(disposition),
                _ => None,
            },
            listed: row.blocked.by(Blocked::BASE),
            profile: self.book.profile(lead),
        }
    }

    /// Whether another region has the number, or is about to.
    pub(super) fn is_away(&self, number: PhoneNumber) -> bool {
        (self.book.number_slot(number)).is_some_and(|slot| {
            self.moves.away.contains_key(&slot) || self.moves.leaving_to(slot).is_some()
        })
    }

    /// The outcome of an import's row whose number this region cannot take.
    pub(super) fn not_at_home(&self, routed: Routed, number: PhoneNumber) -> Option<RowOutcome> {
        // Nearly always so: a large import need not look every number up for it.
        if self.moves.leaving.is_empty() && !routed.known_only {
            return None;
        }
        let slot = self.book.number_slot(number);
        if slot.is_some_and(|slot| self.moves.leaving_to(slot).is_some()) {
            return Some(RowOutcome::Moving);
        }
        let here = slot.is_some_and(|slot| {
            let row = &self.book.numbers[slot as usize];
            let abandoned = self.book.abandoned.contains_key(&slot);
            row.first != NONE || !row.history.is_empty() || abandoned
        });
        (routed.known_only && !here).then_some(RowOutcome::Elsewhere)
    }

    /// The number's home is here, whatever was before.
    pub(super) fn came_home(&mut self, number: PhoneNumber) {
        if self.moves.away.is_empty() && self.moves.late.is_empty() {
            return;
        }
        let Some(slot) = self.book.number_slot(number) else {
            return;
        };
        self.moves.away.remove(&slot);
        if let Some((_, mark)) = self.moves.late.remove(&number) {
            self.abandoned_at(slot, mark);
        }
    }

    fn abandoned_at(&mut self, slot: NumberSlot, mark: u32) {
        if mark > 0 {
            let last = self.book.abandoned.entry(slot).or_default();
            *last = mark.max(*last);
        }
    }

    /// An abandonment of a number that another region has, or will have in a moment, is told there.
    /// False when it is this region's.
    pub(super) fn tell_elsewhere(&mut self, slot: NumberSlot, mark: u32) -> bool {
        let away = self.moves.away.get(&slot).copied();
        let Some(to) = away.or_else(|| self.moves.leaving_to(slot)) else {
            return false;
        };
        let number = self.book.numbers[slot as usize].number;
        let late = self.moves.late.entry(number).or_insert((to, mark));
        *late = (to, mark.max(late.1));
        true
    }

    /// A home map's version came. One that is older than the newest is refused: its leads might be
    /// elsewhere by now.
    pub(super) fn hear_homes(&mut self, version: u64) -> Result<(), MoveRefusal> {
        let have = self.moves.homes;
        if version < have {
            return Err(MoveRefusal::StaleHomes { got: version, have });
        }
        if version > have {
            self.moves.homes = version;
            (self.moves.out, self.moves.into) = Default::default();
        }
        Ok(())
    }

    pub(super) fn take_homes(&mut self, version: u64) -> Result<RegionReply, RegionRefusal> {
        self.hear_homes(version)?;
        Ok(RegionReply::HomesTaken { version })
    }

    pub(super) fn export_leads(
        &mut self,
        version: u64,
        to: RegionId,
        batch: u64,
        numbers: &[PhoneNumber],
    ) -> Result<RegionReply, RegionRefusal> {
        at_most("numbers in a batch that moves", numbers.len())?;
        if to == self.region {
            return Err(MoveRefusal::Itself(to).into());
        }
        if let Some(leaving) = self.moves.leaving.get(&to) {
            if leaving.batch == batch {
                // A retry.
                let counts = leaving.counts;
                return Ok(RegionReply::Exported { batch, counts });
            }
            let batch = leaving.batch;
            return Err(MoveRefusal::UnderWay { to, batch }.into());
        }
        let expected = self.moves.last + 1;
        if batch != expected {
            return Err(MoveRefusal::OutOfTurn {
                got: batch,
                expected,
            }
            .into());
        }
        self.hear_homes(version)?;
        self.moves.last = batch;
        let numbers: BTreeSet<NumberSlot> = (numbers.iter())
            .filter_map(|number| self.book.number_slot(*number))
            .filter(|slot| self.number_at(*slot).is_some_and(|view| !view.live))
            .collect();
        let late: Vec<(PhoneNumber, u32)> = (self.moves.late.iter())
            .filter(|(_, (region, _))| *region == to)
            .map(|(number, (_, mark))| (*number, *mark))
            .take(limits::MOVE_BATCH)
            .collect();
        let mut counts = MovedCounts {
            numbers: numbers.len() as u64,
            leads: 0,
        };
        if numbers.is_empty() && late.is_empty() {
            return Ok(RegionReply::Exported { batch, counts });
        }
        for slot in &numbers {
            let number = self.book.numbers[*slot as usize].number;
            for lead in self.book.leads_of(number) {
                counts.leads += 1;
                (self.book).change(lead, |row| {
                    row.blocked = row.blocked.with(Blocked::LEAVING, true);
                });
            }
        }
        for (number, _) in &late {
            self.moves.late.remove(number);
        }
        let leaving = Leaving {
            batch,
            numbers,
            late,
            counts,
        };
        self.moves.leaving.insert(to, leaving);
        Ok(RegionReply::Exported { batch, counts })
    }

    pub(super) fn import_moved(&mut self, batch: MovedBatch) -> Result<RegionReply, RegionRefusal> {
        at_most("numbers in a batch that moves", batch.numbers.len())?;
        at_most("abandonments in a batch that moves", batch.late.len())?;
        let source = batch.source;
        if source == self.region {
            return Err(MoveRefusal::Itself(source).into());
        }
        let known = self.moves.taken.get(&source).copied();
        if let Some(known) = known.filter(|known| known.batch == batch.batch) {
            return Ok(RegionReply::MovedTaken {
                batch: batch.batch,
                counts: known.counts,
            });
        }
        let expected = known.map_or(0, |known| known.batch);
        if batch.after != expected || batch.batch <= expected {
            let got = batch.after;
            return Err(MoveRefusal::OutOfTurn { got, expected }.into());
        }
        // Two releases that place a number differently would pass it to and fro.
        for moved in &batch.numbers {
            let slot = self.book.number_slot(moved.number);
            if let Some(to) = slot.and_then(|slot| self.moves.leaving_to(slot)) {
                let batch = self.moves.leaving[&to].batch;
                return Err(MoveRefusal::UnderWay { to, batch }.into());
            }
        }
        self.moves.homes = self.moves.homes.max(batch.homes);
        let counts = self.room_for(&batch).then(|| self.take_batch(&batch));
        let batch = batch.batch;
        self.moves.taken.insert(source, Taken { batch, counts });
        Ok(RegionReply::MovedTaken { batch, counts })
    }

    fn room_for(&self, batch: &MovedBatch) -> bool {
        let mut new = 0;
        let mut zones = BTreeSet::new();
        for moved in &batch.numbers {
            for lead in &moved.leads {
                if self.book.lead_in(moved.number, lead.campaign).is_none() {
                    new += 1;
                    zones.insert(lead.zones.clone());
                }
            }
        }
        self.len() + new <= self.lead_limit && self.book.zones_fit(&zones)
    }

    fn take_batch(&mut self, batch: &MovedBatch) -> MovedCounts {
        let mut counts = MovedCounts {
            numbers: batch.numbers.len() as u64,
            leads: 0,
        };
        let same_base = self.base.is_some() && self.base == batch.base;
        for moved in &batch.numbers {
            let slot = self.book.number_made(moved.number);
            self.book.numbers[slot as usize].attempted_elsewhere(&moved.history);
            self.abandoned_at(slot, moved.abandoned);
            self.came_home(moved.number);
            // The region that sends may not have heard of a lift.
            let listed = same_base && !self.clearance.is_lifted(moved.number);
            for lead in &moved.leads {
                self.take_lead(moved.number, lead, lead.listed && listed);
                counts.leads += 1;
            }
        }
        for (number, mark) in &batch.late {
            let slot = self.book.number_made(*number);
            if !self.tell_elsewhere(slot, *mark) {
                self.abandoned_at(slot, *mark);
            }
        }
        self.moves.into.numbers += counts.numbers;
        self.moves.into.leads += counts.leads;
        counts
    }

    /// Takes a lead over. Where the campaign has the number already, the two become one: the
    /// attempts of both count, and of their states the one that dials less holds.
    fn take_lead(&mut self, number: PhoneNumber, moved: &MovedLead, listed: bool) {
        if let Some(lead) = self.book.lead_in(number, moved.campaign) {
            self.book.fill_profile(lead, &moved.profile);
            let live = self.leases.get(lead).is_some();
            if let Some(disposition) = moved.finished.filter(|_| live) {
                self.moves.ends.insert(lead, disposition);
            }
            self.book.change(lead, |row| {
                row.attempts = row.attempts.saturating_add(moved.attempts);
                row.due = row.due.max(moved.due);
                row.blocked =
                    (row.blocked).with(Blocked::BASE, listed || row.blocked.by(Blocked::BASE));
                if let (Some(disposition), LeadState::Waiting) = (moved.finished, row.state) {
                    row.state = LeadState::Finished(disposition);
                }
            });
            return;
        }
        let zones = self.book.zone_set(&moved.zones);
        let blocked = Blocked::default().with(Blocked::BASE, listed);
        let row = Row {
            number: 0,
            next: NONE,
            campaign: moved.campaign,
            list: moved.list,
            due: moved.due,
            priority: moved.priority,
            attempts: moved.attempts,
            // There was room for every set; without zones it would never be dialed.
            zones: zones.unwrap_or(0),
            state: moved
                .finished
                .map_or(LeadState::Waiting, LeadState::Finished),
            blocked: self.blocked(number, moved.campaign, blocked),
        };
        self.book.add(number, row, &moved.profile);
    }

    pub(super) fn forget_moved(
        &mut self,
        to: RegionId,
        batch: u64,
        taken: Option<MovedCounts>,
    ) -> Result<RegionReply, RegionRefusal> {
        let under_way = self.moves.leaving.get(&to).filter(|l| l.batch == batch);
        let Some(leaving) = under_way else {
            return Err(MoveRefusal::NotUnderWay { to, batch }.into());
        };
        let sent = leaving.counts;
        if let Some(taken) = taken.filter(|taken| *taken != sent) {
            return Err(MoveRefusal::Torn { sent, taken }.into());
        }
        let leaving = self.moves.leaving.remove(&to).expect("it was just seen");
        self.moves.sent.insert(to, batch);
        if taken.is_none() {
            self.stay(leaving, to);
            return Ok(RegionReply::Forgotten { batch });
        }
        for slot in &leaving.numbers {
            self.book.clear_number(*slot, to);
            self.moves.away.insert(*slot, to);
        }
        self.moves.out.numbers += sent.numbers;
        self.moves.out.leads += sent.leads;
        Ok(RegionReply::Forgotten { batch })
    }

    /// There was no room: everything is as before the export.
    fn stay(&mut self, leaving: Leaving, to: RegionId) {
        for slot in leaving.numbers {
            let number = self.book.numbers[slot as usize].number;
            for lead in self.book.leads_of(number) {
                (self.book).change(lead, |row| {
                    row.blocked = row.blocked.with(Blocked::LEAVING, false);
                });
            }
            // What was heard meanwhile.
            if let Some((_, mark)) = self.moves.late.remove(&number) {
                self.abandoned_at(slot, mark);
            }
        }
        for (number, mark) in leaving.late {
            let late = self.moves.late.entry(number).or_insert((to, mark));
            late.1 = mark.max(late.1);
        }
    }

    /// Whether what a snapshot says of moves fits its rows.
    pub(super) fn check_moves(&self) -> Result<(), String> {
        let numbers = self.book.numbers.len();
        let leaving = self.moves.leaving.values().flat_map(|l| &l.numbers);
        let mut places = leaving.chain(self.moves.away.keys());
        let leads = self
            .moves
            .ends
            .keys()
            .all(|lead| (*lead as usize) < self.len());
        if places.all(|place| (*place as usize) < numbers) && leads {
            Ok(())
        } else {
            Err("a move of a number that is not there".into())
        }
    }
}

fn at_most(what: &str, got: usize) -> Result<(), RegionRefusal> {
    if got <= limits::MOVE_BATCH {
        return Ok(());
    }
    Err(RegionRefusal::TooMany {
        what: what.into(),
        got: got as u64,
        limit: limits::MOVE_BATCH as u64,
    })
}
