//! Home maps that change while all dial: who hands leads over from region to region, as `member`
//! does it, and who imports meanwhile by a map that may be old.

use crate::{
    begin::new_lead,
    checkers::one_live_attempt::dialable_in,
    defect::Defect,
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, REGIONS, Which, World, number},
};
use domain::*;
use ledger::{Change, MovedCounts, RegionCommand, RegionReply, RowOutcome};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers looked at in one step.
const PLACES: usize = 6;
/// Numbers handed over at a time.
const BATCH: usize = 3;
/// What comes after the lists of the beginning.
const FIRST_LIST: u32 = 100;

/// What is true of leads, wherever they are.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// Leads that were taken in.
    pub(crate) imported: BTreeSet<(PhoneNumber, CampaignId)>,
    lists: u32,
}

/// How far a leader's look through its region is.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// The version of the map, and the map.
    id: u64,
    rules: Vec<HomeRule>,
    /// The first place not yet looked at.
    next: u32,
    /// Places that are looked at again: their numbers had a live attempt, or were just sent.
    again: BTreeSet<u32>,
    /// Those of them that this round has yet to look at.
    round: Option<Vec<u32>>,
}

impl Sweep {
    /// The next places to look at: new ones, then those seen before, then none for a moment.
    fn places(&mut self, all: u32) -> Vec<u32> {
        if self.next < all {
            let end = all.min(self.next + PLACES as u32);
            let places = (self.next..end).collect();
            self.next = end;
            return places;
        }
        let again = &self.again;
        let round = (self.round).get_or_insert_with(|| again.iter().copied().collect());
        let places = round.split_off(round.len().saturating_sub(PLACES));
        if places.is_empty() {
            self.round = None;
        }
        for place in &places {
            self.again.remove(place);
        }
        places
    }
}

/// Where a number is at home by rules that name whole numbers.
fn home_by(rules: &[HomeRule], number: PhoneNumber) -> Option<RegionId> {
    let named = |rule: &&HomeRule| rule.when == HomeMatch::Prefix(number.digits());
    let rule = rules.iter().find(named);
    let rule = rule.or_else(|| rules.iter().find(|rule| rule.when == HomeMatch::Default));
    rule.map(|rule| rule.region)
}

/// The place of a region.
fn place(region: RegionId) -> usize {
    (REGIONS.iter().position(|id| *id == region)).expect("no other regions are made")
}

impl World {
    /// Each number is at home anywhere.
    fn any_rules(&mut self) -> Vec<HomeRule> {
        let mut rules = vec![HomeRule {
            when: HomeMatch::Default,
            region: REGIONS[0],
        }];
        for n in 0..self.options.numbers {
            rules.push(HomeRule {
                when: HomeMatch::Prefix(number(n).digits()),
                region: REGIONS[self.random.below(2) as usize],
            });
        }
        rules
    }

    /// The first map, and lists: from then on leads must move.
    pub(crate) fn first_homes(&mut self) -> Checked {
        if self.regions.len() == 1 {
            return Ok(());
        }
        let rules = self.any_rules();
        let first = Change::PlanHomes {
            rules,
            move_leads: false,
        };
        self.commit_directory(None, &first.into())?;
        for campaign in CAMPAIGNS {
            let name = "a list".into();
            let list = Change::CreateList { campaign, name };
            self.commit_directory(None, &list.into())?;
        }
        self.after(5_000, Event::HomesChange);
        Ok(())
    }

    /// Where a number is at home by the map in force, or the one that leads move to.
    pub(crate) fn home(&self, number: PhoneNumber) -> usize {
        let map = self.directory.witness.home_map();
        home_by(&map.rules, number).map_or(0, place)
    }

    /// An administrator plans, applies or drops a map, or somebody imports.
    pub(crate) fn change_homes(&mut self) {
        if self.calm() {
            return;
        }
        let next = 1_000 + self.millis(8_000);
        self.after(next, Event::HomesChange);
        if self.chance(600) {
            return self.import_some();
        }
        let moving = self.directory.witness.homes_move();
        let change = match moving.map(|moving| (moving.id, moving.applied_at)) {
            Some((_, Some(_))) => return,
            Some((id, None)) if self.chance(850) => {
                self.saw(Happening::HomesApplied);
                Change::ApplyHomes { id }
            }
            Some((id, None)) => Change::CancelHomes { id },
            None => Change::PlanHomes {
                rules: self.any_rules(),
                move_leads: true,
            },
        };
        self.administrator(change);
    }

    /// A lead is imported by some voter's copy of the map: where the number leaves first, then where
    /// it goes.
    fn import_some(&mut self) {
        let voter = self.random.below(self.voters.len() as u32) as usize;
        let n = self.millis(self.options.numbers);
        let campaign = CAMPAIGNS[self.random.below(2) as usize];
        let map = self.directory.replica(voter).home_map();
        let Some(home) = home_by(&map.rules, number(n)) else {
            return;
        };
        let before = (map.before.as_ref()).and_then(|rules| home_by(rules, number(n)));
        let asks = !self.options.has(Defect::ImportsUnasked);
        let before = before.filter(|before| *before != home && asks);
        self.homes.lists += 1;
        let command = RegionCommand::ImportAt {
            homes: match self.options.has(Defect::ImportsNameNewMap) {
                true => self.directory.witness.home_version(),
                false => map.version,
            },
            known_only: before.is_some(),
            list: ListId(FIRST_LIST + self.homes.lists),
            campaign,
            batch: 1,
            rows: vec![new_lead(n)],
        };
        self.tell_region(voter, place(before.unwrap_or(home)), command);
    }

    /// A voter proposes something to a region, of which it may be no leader.
    fn tell_region(&mut self, from: usize, region: usize, command: RegionCommand) {
        let voter = self.leader(Which::Region(region)).unwrap_or(from);
        let event = Event::Propose {
            region,
            voter,
            command: Box::new(command),
            asker: None,
            hops: 0,
        };
        self.send(from, voter, event);
    }

    /// A voter that believes to lead a region hands over what belongs elsewhere: one step.
    pub(crate) fn move_leads(&mut self, i: usize, region: usize) {
        if self.regions.len() == 1 || !self.chance(400) {
            return;
        }
        let moves = self.regions[region].replica(i).moves();
        for (to, _, counts) in &moves.under_way {
            self.hand_over(i, region, *to, *counts);
        }
        if !moves.under_way.is_empty() {
            return;
        }
        if let Some(to) = moves.late.first() {
            return self.export(i, region, moves.homes, (*to, Vec::new()));
        }
        let directory = self.directory.replica(i);
        let wanted = (directory.homes_move())
            .filter(|moving| moving.applied_at.is_some())
            .filter(|moving| !moving.left.contains(&REGIONS[region]))
            .map(|moving| (moving.id, moving.rules.clone()));
        let Some((id, rules)) = wanted else {
            self.voters[i].sweeps[region] = None;
            return;
        };
        if moves.homes < id {
            // From here on nothing comes by an earlier map.
            return self.tell_region(i, region, RegionCommand::Homes { version: id });
        }
        if (self.voters[i].sweeps[region].as_ref()).is_none_or(|sweep| sweep.id != id) {
            self.voters[i].sweeps[region] = Some(Sweep {
                id,
                rules,
                next: 0,
                again: BTreeSet::new(),
                round: None,
            });
        }
        self.sweep(i, region);
    }

    fn sweep(&mut self, i: usize, region: usize) {
        let early = self.options.has(Defect::LeftEarly);
        let ledger = self.regions[region].replica(i);
        let Some(sweep) = &mut self.voters[i].sweeps[region] else {
            return;
        };
        let (id, places) = (sweep.id, sweep.places(ledger.number_places()));
        if places.is_empty() {
            if sweep.again.is_empty() || early {
                let region = REGIONS[region];
                self.administrator(Change::LeftHomes { id, region });
            }
            return;
        }
        let mut batches: BTreeMap<RegionId, Vec<PhoneNumber>> = BTreeMap::new();
        for place in places {
            let Some(view) = ledger.number_at(place) else {
                continue;
            };
            let home = home_by(&sweep.rules, view.number);
            let Some(to) = home.filter(|home| *home != REGIONS[region]) else {
                continue;
            };
            sweep.again.insert(place);
            let batch = batches.entry(to).or_default();
            if !view.live && batch.len() < BATCH {
                batch.push(view.number);
            }
        }
        for (to, numbers) in batches {
            if !numbers.is_empty() {
                self.export(i, region, id, (to, numbers));
            }
        }
    }

    fn export(
        &mut self,
        i: usize,
        region: usize,
        version: u64,
        (to, numbers): (RegionId, Vec<PhoneNumber>),
    ) {
        let command = RegionCommand::ExportLeads {
            version,
            to,
            batch: self.regions[region].replica(i).moves().next_batch,
            numbers,
        };
        self.tell_region(i, region, command);
    }

    /// Sends the batch that is under way to a region.
    fn hand_over(&mut self, i: usize, region: usize, to: RegionId, counts: MovedCounts) {
        let Some(mut batch) = self.regions[region].replica(i).moved_batch(to) else {
            return;
        };
        if self.options.has(Defect::HistoryLeft) {
            for number in &mut batch.numbers {
                number.history.clear();
            }
        }
        let number = batch.batch;
        self.tell_region(i, place(to), RegionCommand::ImportMoved { batch });
        if self.options.has(Defect::ForgottenEarly) {
            self.moved(i, region, place(to), number, Some(counts));
        }
    }

    /// A region answered a driver what it took: the other one forgets it.
    pub(crate) fn moved(
        &mut self,
        driver: usize,
        from: usize,
        to: usize,
        batch: u64,
        taken: Option<MovedCounts>,
    ) {
        let paused_until = self.voters[driver].paused_until;
        if paused_until > self.now {
            let event = Event::Moved(driver, from, to, batch, taken);
            return self.after(paused_until - self.now, event);
        }
        let to = REGIONS[to];
        self.tell_region(
            driver,
            from,
            RegionCommand::ForgetMoved { to, batch, taken },
        );
    }

    /// What a region answered to a step of a move or an import.
    pub(crate) fn moves_answered(
        &mut self,
        region: usize,
        voter: usize,
        command: &RegionCommand,
        reply: &RegionReply,
    ) -> Checked {
        match (command, reply) {
            (RegionCommand::ExportLeads { .. }, RegionReply::Exported { counts, .. }) => {
                self.checkers
                    .seen
                    .saw_many(Happening::LeadsLeave, counts.leads);
            }
            (RegionCommand::ImportMoved { batch }, RegionReply::MovedTaken { counts, .. }) => {
                self.saw(Happening::BatchesTaken);
                let from = place(batch.source);
                for v in 0..self.voters.len() {
                    if self.voters[v].believes(Which::Region(from)).is_some() {
                        let event = Event::Moved(v, from, region, batch.batch, *counts);
                        self.send(voter, v, event);
                    }
                }
                for moved in &batch.numbers {
                    dialable_in(&self.regions, moved.number)?;
                }
            }
            (RegionCommand::ForgetMoved { .. }, RegionReply::Forgotten { .. }) => {
                self.saw(Happening::BatchesForgotten);
            }
            (
                RegionCommand::ImportAt { campaign, rows, .. },
                RegionReply::Imported {
                    rows: outcomes,
                    again: false,
                    ..
                },
            ) => {
                for (row, outcome) in rows.iter().zip(outcomes) {
                    self.row_imported(region, voter, (row.number, *campaign), *outcome, command)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn row_imported(
        &mut self,
        region: usize,
        voter: usize,
        lead: (PhoneNumber, CampaignId),
        outcome: RowOutcome,
        command: &RegionCommand,
    ) -> Checked {
        match outcome {
            RowOutcome::Accepted(_) => {
                self.saw(Happening::Imported);
                if !self.homes.imported.insert(lead) {
                    let (number, campaign) = lead;
                    return Err(Invariant::I1.broken(format!(
                        "{number} of {campaign} is taken in twice, now by {}",
                        REGIONS[region]
                    )));
                }
                dialable_in(&self.regions, lead.0)?;
            }
            RowOutcome::Moving => self.saw(Happening::ImportsMetMoves),
            RowOutcome::Elsewhere => {
                self.saw(Happening::ImportsSentOn);
                let mut next = command.clone();
                if let RegionCommand::ImportAt { known_only, .. } = &mut next {
                    *known_only = false;
                }
                self.tell_region(voter, 1 - region, next);
            }
            _ => {}
        }
        Ok(())
    }

    /// Every move has ended, and each lead is at home, once.
    pub(crate) fn moves_settled(&self) -> Checked {
        if self.regions.len() == 1 {
            return Ok(());
        }
        let moving = self.directory.witness.homes_move();
        if moving.is_some_and(|moving| moving.applied_at.is_some()) {
            return Err(Invariant::I7.broken("leads still move to another map at the end"));
        }
        for group in &self.regions {
            let moves = group.witness.moves();
            if !moves.under_way.is_empty() || !moves.late.is_empty() {
                return Err(Invariant::I7.broken(format!("a move does not end: {moves:?}")));
            }
        }
        for (number, campaign) in &self.homes.imported {
            for (region, group) in self.regions.iter().enumerate() {
                let leads = group.witness.leads_of(*number).into_iter();
                let leads = leads.filter_map(|lead| group.witness.lead(lead));
                let here = leads.filter(|lead| lead.campaign == *campaign).count();
                if here != usize::from(region == self.home(*number)) {
                    return Err(Invariant::I7.broken(format!(
                        "{number} of {campaign} is {here} times in {} at the end",
                        REGIONS[region]
                    )));
                }
            }
        }
        Ok(())
    }
}
