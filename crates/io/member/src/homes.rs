//! Leads that another region has by a changed home map: each region's leader hands them over
//! (mesh protocol, section 1).
//!
//! Everything that matters is in the groups: what is under way, to whom, how far. So a leader that is
//! gone in the middle leaves nothing behind that the next one does not find, and two that both
//! believe that they lead do each step once.

use crate::member::Member;
use consensus::Group;
use domain::{PhoneNumber, RegionId, limits};
use ledger::{
    Change, DirectoryCommand, DirectoryReply, HomeMap, MovedCounts, NumberView, RegionCommand,
    RegionLedger, RegionReply,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How often a leader looks whether there is anything to do.
const LOOK: Duration = Duration::from_millis(500);
/// How long one step may take before it is tried anew.
const STEP: Duration = Duration::from_secs(10);
/// Numbers looked at while the group's state is held.
const PLACES: u32 = 1_000;
/// How long a region rests whose leads another has no room for.
const NO_ROOM: Duration = Duration::from_secs(30);
/// Bytes of one number that still fit into a command.
const NUMBER_BYTES: usize = 6 * 1024 * 1024;

/// How far a leader's look through its region is.
#[derive(Debug)]
struct Sweep {
    /// The version of the map.
    id: u64,
    map: HomeMap,
    /// The first place not yet looked at.
    next: u32,
    /// Places that are looked at again: their numbers had a live attempt, or were just sent.
    again: BTreeSet<u32>,
    /// Those of them that this round has yet to look at.
    round: Option<Vec<u32>>,
    /// Regions that had no room in this round.
    full: BTreeSet<RegionId>,
    /// Places of numbers that are too large to move, told once.
    too_large: BTreeSet<u32>,
}

/// Why a step was not done; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("{0}")]
    Step(String),
    #[error(
        "region {0} has no room for more leads; split it, or plan a map that sends it fewer of them"
    )]
    NoRoom(RegionId),
}

fn stuck(why: impl ToString) -> Stuck {
    Stuck::Step(why.to_string())
}

impl Member {
    /// Hands over leads that belong elsewhere, while this member leads the region's group.
    pub(crate) async fn move_leads(self, group: Group<RegionLedger>) {
        let mut leadership = group.watch_leadership();
        let mut sweep = None;
        loop {
            let mut wait = LOOK;
            if group.is_leader() {
                match self.move_some(&group, &mut sweep).await {
                    Ok(true) => wait = Duration::ZERO,
                    Ok(false) => {}
                    Err(why) => {
                        tracing::warn!(group = %group.id(), %why, "leads wait for their new region");
                        match why {
                            Stuck::NoRoom(_) => wait = NO_ROOM,
                            // What the groups say now is looked at anew.
                            Stuck::Step(_) => sweep = None,
                        }
                    }
                }
            } else {
                sweep = None;
            }
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One bounded piece of work; false when there is nothing to do now.
    async fn move_some(
        &self,
        group: &Group<RegionLedger>,
        sweep: &mut Option<Sweep>,
    ) -> Result<bool, Stuck> {
        let moves = group.read(RegionLedger::moves);
        for (to, ..) in &moves.under_way {
            self.hand_leads_over(group, *to).await?;
        }
        for to in &moves.late {
            self.export(group, moves.homes, *to, Vec::new()).await?;
        }
        let region = group.read(RegionLedger::region);
        let wanted = self.directory().read(|directory| {
            let moving = directory.homes_move()?;
            let ours = moving.applied_at.is_some() && !moving.left.contains(&region);
            ours.then_some(moving.id)
        });
        let Some(id) = wanted else {
            *sweep = None;
            return Ok(false);
        };
        if sweep.as_ref().is_none_or(|sweep| sweep.id != id) {
            *sweep = Some(self.begin_sweep(group, id).await?);
        }
        let Some(sweep) = sweep else {
            return Ok(false);
        };
        let places = sweep.places(group.read(RegionLedger::number_places));
        if places.is_empty() {
            if let Some(full) = std::mem::take(&mut sweep.full).pop_first() {
                return Err(Stuck::NoRoom(full));
            }
            if !sweep.again.is_empty() {
                return Ok(false);
            }
            // Another that believes to lead may have picked up what was looked for here: as long as
            // it is on its way, the region has not let go of it.
            if !group.read(RegionLedger::moves).under_way.is_empty() {
                return Ok(true);
            }
            self.left(id, region).await?;
            return Ok(true);
        }
        let looked: Vec<(u32, NumberView)> = group.read(|ledger| {
            let known = |place: &u32| Some((*place, ledger.number_at(*place)?));
            places.iter().filter_map(known).collect()
        });
        let mut batches: BTreeMap<RegionId, Batch> = BTreeMap::new();
        for (place, number) in looked {
            let home = sweep.map.home(number.number);
            let Some(to) = home.map(|home| home.region).filter(|to| *to != region) else {
                continue;
            };
            sweep.again.insert(place);
            if number.live || sweep.full.contains(&to) {
                continue;
            }
            if number.bytes > NUMBER_BYTES {
                if !sweep.too_large.insert(place) {
                    continue;
                }
                let leads = number.leads;
                tracing::error!(number = %number.number, leads, "a number's leads are too large to move; shorten their attributes");
                continue;
            }
            let batch = batches.entry(to).or_default();
            if batch.is_full_with(number.bytes) {
                let numbers = std::mem::take(batch).numbers;
                self.export_unless_full(group, sweep, to, numbers).await?;
            }
            let batch = batches.entry(to).or_default();
            batch.bytes += number.bytes;
            batch.numbers.push(number.number);
        }
        for (to, batch) in batches {
            if !batch.numbers.is_empty() {
                self.export_unless_full(group, sweep, to, batch.numbers)
                    .await?;
            }
        }
        Ok(true)
    }

    /// Where one region is full, others may have room.
    async fn export_unless_full(
        &self,
        group: &Group<RegionLedger>,
        sweep: &mut Sweep,
        to: RegionId,
        numbers: Vec<PhoneNumber>,
    ) -> Result<(), Stuck> {
        match self.export(group, sweep.id, to, numbers).await {
            Err(Stuck::NoRoom(full)) => {
                sweep.full.insert(full);
                Ok(())
            }
            other => other,
        }
    }

    /// From here on nothing comes by an earlier map, and this member has seen all that came.
    async fn begin_sweep(&self, group: &Group<RegionLedger>, id: u64) -> Result<Sweep, Stuck> {
        let command = RegionCommand::Homes { version: id };
        let committed = group.propose_again(&command, STEP).await.map_err(stuck)?;
        if let RegionReply::Refused(refusal) = committed.reply {
            return Err(stuck(refusal));
        }
        group
            .wait_applied(committed.index, STEP)
            .await
            .map_err(stuck)?;
        let map = self.directory().read(ledger::Directory::home_map);
        if map.version != id {
            return Err(stuck("the home map changed meanwhile"));
        }
        Ok(Sweep {
            id,
            map,
            next: 0,
            again: BTreeSet::new(),
            round: None,
            full: BTreeSet::new(),
            too_large: BTreeSet::new(),
        })
    }

    /// Picks a batch up and hands it over.
    async fn export(
        &self,
        group: &Group<RegionLedger>,
        version: u64,
        to: RegionId,
        numbers: Vec<PhoneNumber>,
    ) -> Result<(), Stuck> {
        let command = RegionCommand::ExportLeads {
            version,
            to,
            batch: group.read(|ledger| ledger.moves().next_batch),
            numbers,
        };
        let committed = group.propose_again(&command, STEP).await.map_err(stuck)?;
        if let RegionReply::Refused(refusal) = committed.reply {
            return Err(stuck(refusal));
        }
        group
            .wait_applied(committed.index, STEP)
            .await
            .map_err(stuck)?;
        self.hand_leads_over(group, to).await
    }

    /// Brings the batch that is under way to a region to its end: in there, then gone here.
    async fn hand_leads_over(
        &self,
        group: &Group<RegionLedger>,
        to: RegionId,
    ) -> Result<(), Stuck> {
        let Some(batch) = group.read(|ledger| ledger.moved_batch(to)) else {
            return Ok(());
        };
        let (source, number) = (batch.source, batch.batch);
        let target = self
            .region(to)
            .ok_or_else(|| stuck(format!("the group of {to} does not run here")))?;
        let command = RegionCommand::ImportMoved { batch };
        let taken = match target
            .propose_again(&command, STEP)
            .await
            .map_err(stuck)?
            .reply
        {
            RegionReply::MovedTaken { counts, .. } => counts,
            RegionReply::Refused(refusal) => return Err(stuck(refusal)),
            other => return Err(stuck(format!("{to} answered {other:?}"))),
        };
        let command = RegionCommand::ForgetMoved {
            to,
            batch: number,
            taken,
        };
        let committed = group.propose_again(&command, STEP).await.map_err(stuck)?;
        group
            .wait_applied(committed.index, STEP)
            .await
            .map_err(stuck)?;
        match (committed.reply, taken) {
            // Another leader was quicker.
            (RegionReply::Refused(refusal), _) => Err(stuck(refusal)),
            (_, None) => Err(Stuck::NoRoom(to)),
            (_, Some(MovedCounts { numbers, leads })) => {
                let source = source.to_string();
                metrics::counter!("dialmesh_homes_moved_numbers_total", "region" => source.clone())
                    .increment(numbers);
                metrics::counter!("dialmesh_homes_moved_leads_total", "region" => source)
                    .increment(leads);
                Ok(())
            }
        }
    }

    /// Tells the directory that this region has nothing left that belongs elsewhere.
    async fn left(&self, id: u64, region: RegionId) -> Result<(), Stuck> {
        let command = DirectoryCommand::from(Change::LeftHomes { id, region });
        let directory = self.directory();
        let committed = directory
            .propose_again(&command, STEP)
            .await
            .map_err(stuck)?;
        if let DirectoryReply::Rejected(rejection) = committed.reply {
            return Err(stuck(rejection));
        }
        directory
            .wait_applied(committed.index, STEP)
            .await
            .map_err(stuck)?;
        tracing::info!(%region, map = id, "nothing is left that belongs to another region");
        Ok(())
    }
}

/// Numbers on their way to one region.
#[derive(Debug, Default)]
struct Batch {
    numbers: Vec<PhoneNumber>,
    bytes: usize,
}

impl Batch {
    fn is_full_with(&self, bytes: usize) -> bool {
        !self.numbers.is_empty()
            && (self.numbers.len() == limits::MOVE_BATCH
                || self.bytes + bytes > limits::MOVE_BATCH_BYTES)
    }
}

impl Sweep {
    /// The next places to look at: new ones, then those seen before, then none for a moment.
    fn places(&mut self, all: u32) -> Vec<u32> {
        if self.next < all {
            let end = all.min(self.next + PLACES);
            let places = (self.next..end).collect();
            self.next = end;
            return places;
        }
        let again = &self.again;
        let round = (self.round).get_or_insert_with(|| again.iter().copied().collect());
        let places = round.split_off(round.len().saturating_sub(PLACES as usize));
        if places.is_empty() {
            self.round = None;
        }
        for place in &places {
            self.again.remove(place);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_looked_at_and_live_ones_again() {
        let mut sweep = Sweep {
            id: 1,
            map: HomeMap::default(),
            next: 0,
            again: BTreeSet::new(),
            round: None,
            full: BTreeSet::new(),
            too_large: BTreeSet::new(),
        };
        let all = 2 * PLACES + 1;
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(sweep.places(all));
        }
        assert!(seen.iter().copied().eq(0..all));
        sweep.again = (0..PLACES + 1).collect();
        assert_eq!(sweep.places(all).len(), PLACES as usize);
        assert_eq!(sweep.places(all), [0]);
        assert!(sweep.places(all).is_empty() && sweep.again.is_empty());
        assert_eq!(sweep.places(all + 1), [all], "one that came meanwhile");
    }

    #[test]
    fn a_batch_has_two_bounds() {
        let number = |n: u64| PhoneNumber::from_digits(12_125_550_000 + n).unwrap();
        let mut batch = Batch::default();
        assert!(!batch.is_full_with(NUMBER_BYTES), "one always fits");
        batch.numbers = (0..limits::MOVE_BATCH as u64 - 1).map(number).collect();
        assert!(!batch.is_full_with(limits::MOVE_BATCH_BYTES));
        assert!(batch.is_full_with(limits::MOVE_BATCH_BYTES + 1));
        batch.numbers.push(number(9_999));
        assert!(batch.is_full_with(0));
    }
}
