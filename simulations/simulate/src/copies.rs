//! Nodes' and regions' own copies of the directory: how they hear of it, and what they do at once.

use crate::{
    begin::change,
    defect::Defect,
    seen::Happening,
    violation::Checked,
    world::{CAMPAIGNS, Event, REGION, Which, World},
};
use domain::*;
use ledger::{Change, DirectoryEvent, DncRemoval, Fact, Facts, RegionCommand};
use permit::{PermitInput, base::BaseLookup};
use std::sync::Arc;

impl World {
    /// Sends the directory's log on its way to a node.
    pub(crate) fn replicate(&mut self, i: usize) {
        let late = match self.random.below(6) {
            0 if !self.calm() => self.millis(20_000),
            _ => self.millis(500),
        };
        let (run, index) = (self.nodes[i].run, self.directory.last());
        self.after(late, Event::DirectoryReaches(i, run, index));
    }

    /// Entries of the directory reach a node, unless nobody who has them is heard.
    pub(crate) fn directory_reaches(&mut self, i: usize, run: Incarnation, index: u64) -> Checked {
        if self.nodes[i].run != run {
            return Ok(());
        }
        let place = self.place_of(i);
        let heard = (0..self.voters.len()).any(|v| self.network.joined(v, place));
        if !self.runs(i) || !heard {
            let busy = self.nodes[i].paused_until.max(self.nodes[i].down_until);
            let wait = busy.saturating_sub(self.now) + 300;
            self.after(wait, Event::DirectoryReaches(i, run, index));
            return Ok(());
        }
        let behind = index.saturating_sub(self.nodes[i].reached);
        if behind > 4 && self.chance(300) {
            self.copy_replaced(i)?;
        }
        while self.nodes[i].reached < index {
            self.node_can_read(i, self.nodes[i].reached + 1)?;
            let events = self.told[self.nodes[i].reached as usize].clone();
            self.nodes[i].reached += 1;
            for event in events {
                self.node_hears(i, event);
            }
            let applied = PermitInput::DirectoryApplied {
                index: self.nodes[i].reached,
            };
            let now = self.local(i);
            self.nodes[i].permit.handle(now, applied).ok();
        }
        self.take_over(i);
        self.outputs(i);
        let index = self.nodes[i].reached;
        let request = crate::leaders::Request::Applied { node: i, index };
        let voter = self.asks(i, Which::Directory);
        self.send(place, voter, Event::ToVoter(voter, request));
        Ok(())
    }

    /// A node far behind is given the whole directory.
    fn copy_replaced(&mut self, i: usize) -> Checked {
        self.saw(Happening::CopyReset);
        let now = self.local(i);
        let facts = self.directory.witness.facts();
        let entries =
            (facts.dnc.iter()).map(|fact| (fact.entry.number, fact.entry.scope, fact.index));
        let node = &mut self.nodes[i];
        node.reached = facts.index;
        let clearance = facts.clearance.iter().copied().collect();
        node.permit
            .directory_reset(now, facts.index, entries, clearance);
        for campaign in facts.campaigns {
            node.campaigns.insert(campaign.id, campaign);
        }
        self.require_base(i, facts.dnc_base, facts.index);
        self.forbid_where(i, |_| true);
        Ok(())
    }

    fn node_hears(&mut self, i: usize, event: DirectoryEvent) {
        match event {
            DirectoryEvent::Changed { index, facts } => {
                for fact in facts {
                    match fact {
                        Fact::Campaign(campaign) => {
                            self.nodes[i].campaigns.insert(campaign.id, *campaign);
                        }
                        Fact::DncBase(base) => self.require_base(i, base, index),
                        Fact::Clearance(facts) => self.hears_clearance(i, index, &facts),
                        _ => {}
                    }
                }
            }
            DirectoryEvent::Dnc {
                index,
                added,
                removed,
            } => {
                for gone in removed {
                    let everywhere = self.options.has(Defect::EntryEndsEverywhere);
                    let dnc = self.nodes[i].permit.dnc_mut();
                    dnc.remove(gone.number, gone.scope, gone.index, index);
                    for scope in scopes().filter(|_| everywhere) {
                        dnc.remove(gone.number, scope, index, index);
                    }
                }
                for fact in added {
                    let (number, scope) = (fact.entry.number, fact.entry.scope);
                    self.nodes[i].permit.dnc_mut().add(number, scope, index);
                    self.forbid(i, number);
                }
            }
            DirectoryEvent::Reset(_) => {}
        }
    }

    /// Cancels what rings at a number that may not be called any more.
    fn forbid(&mut self, i: usize, number: PhoneNumber) {
        self.forbid_where(i, |lead| lead.number == number);
    }

    fn forbid_where(&mut self, i: usize, concerned: impl Fn(&LeasedLead) -> bool) {
        if self.options.has(Defect::RingsOnForbidden) {
            return;
        }
        let (wall, dnc) = (self.local(i).wall, self.nodes[i].permit.dnc());
        let covered: Vec<_> = (self.nodes[i].live.iter())
            .filter(|live| concerned(&live.lead) && dnc.bars(&live.lead, false, wall))
            .map(|live| live.lead.attempt)
            .collect();
        if !covered.is_empty() {
            self.cancel(i, |lead| covered.contains(&lead.attempt));
        }
    }

    /// A node hears of patterns and freezes: it asks them from now on, and cancels what rings.
    fn hears_clearance(&mut self, i: usize, index: u64, facts: &[ClearanceFact]) {
        if self.options.has(Defect::ClearanceUnheard) {
            return;
        }
        let now = self.local(i).wall;
        for fact in facts {
            let fact = match *fact {
                ClearanceFact::Freeze(target, Some(until))
                    if self.options.has(Defect::ThawsEarly) =>
                {
                    ClearanceFact::Freeze(target, Some(now + until.since(now) / 2))
                }
                ClearanceFact::Consent(_, _, None)
                    if self.options.has(Defect::WithdrawalUnheard) =>
                {
                    continue;
                }
                ClearanceFact::Lift(_, false) if self.options.has(Defect::LiftEndUnheard) => {
                    continue;
                }
                fact => fact,
            };
            let defect = self.options.defect;
            let dnc = self.nodes[i].permit.dnc_mut();
            dnc.take(&fact, index);
            match (defect, fact) {
                (Some(Defect::LiftFreesEntries), ClearanceFact::Lift(number, true)) => {
                    for scope in scopes() {
                        dnc.remove(number, scope, index, index);
                    }
                }
                (
                    Some(Defect::PatternEndsEverywhere),
                    ClearanceFact::ScopedPattern(prefix, _, false),
                ) => {
                    for scope in scopes() {
                        dnc.take(&ClearanceFact::ScopedPattern(prefix, scope, false), index);
                    }
                    dnc.take(&ClearanceFact::Pattern(prefix, false), index);
                }
                _ => {}
            }
        }
        self.forbid_where(i, |lead| {
            (facts.iter()).any(|fact| fact.concerns(lead.number, lead.campaign))
        });
    }

    /// A node may have fetched a base meanwhile.
    pub(crate) fn fetch_base(&mut self, i: usize) {
        let registers = self.options.registers;
        if !self.chance(if registers { 150 } else { 50 }) {
            return;
        }
        if registers {
            self.tell_held(i);
        }
        let missing = (self.directory.witness.dnc_bases())
            .map(|staged| staged.base.id)
            .find(|id| !self.nodes[i].bases.contains(id));
        if let Some(id) = missing {
            self.saw(Happening::BasesFetched);
            self.nodes[i].bases.insert(id);
            let reached = self.nodes[i].reached;
            if let Some(base) = self.nodes[i].wants_base {
                self.require_base(i, base, reached);
            }
        }
    }

    /// Tells the directory of a base that it does not know to be here.
    fn tell_held(&mut self, i: usize) {
        let member = self.nodes[i].member;
        let untold = (self.directory.witness.dnc_bases())
            .filter(|staged| !staged.holders.contains(&member))
            .map(|staged| staged.base.id)
            .find(|id| self.nodes[i].bases.contains(id));
        let Some(id) = untold else {
            return;
        };
        let voter = self.asks(i, Which::Directory);
        let event = Event::ProposeDirectory {
            voter,
            command: Box::new(change(Change::HoldDncBase { member, id })),
            asker: None,
            hops: 0,
        };
        let from = self.place_of(i);
        self.send(from, voter, event);
    }

    /// A node hears which base is in use: it asks that one, or dials nobody.
    fn require_base(&mut self, i: usize, base: Option<DncBaseId>, index: u64) {
        let here = base.is_none_or(|id| self.nodes[i].bases.contains(&id));
        self.nodes[i].wants_base = Some(base);
        if !here && self.options.has(Defect::OldBaseStays) {
            return;
        }
        let asked = base
            .filter(|_| here)
            .and_then(|id| self.bases.get(&id))
            .cloned();
        let (now, asked) = (self.local(i), asked.map(|base| base as Arc<dyn BaseLookup>));
        let permit = &mut self.nodes[i].permit;
        permit.base_in_use(now, base, asked, index);
        self.outputs(i);
        let listed: Vec<PhoneNumber> = (self.nodes[i].live.iter())
            .map(|live| live.lead.number)
            .filter(|number| self.nodes[i].permit.dnc().is_listed(*number))
            .collect();
        for number in listed {
            self.forbid(i, number);
        }
    }
}

/// Every scope that an entry or pattern may have.
fn scopes() -> impl Iterator<Item = DncScope> {
    let campaigns = CAMPAIGNS.map(DncScope::Campaign);
    ([DncScope::Mesh, DncScope::Region(REGION)].into_iter()).chain(campaigns)
}

/// Mistakes in what a region's leader makes of the directory's word.
pub(crate) fn misheard(defect: Option<Defect>, commands: &mut Vec<RegionCommand>) {
    let mut more = Vec::new();
    for command in commands.iter_mut() {
        match (defect, command) {
            (Some(Defect::LiftUntold), RegionCommand::Clearance { facts, .. }) => {
                facts.retain(|fact| !matches!(fact, ClearanceFact::Lift(..)));
            }
            (Some(Defect::EntryEndsEverywhere), RegionCommand::Facts(facts)) => {
                let gone = std::mem::take(&mut facts.dnc_removed);
                facts.dnc_removed = (gone.iter())
                    .flat_map(|gone| everywhere(gone.number))
                    .collect();
            }
            (
                Some(Defect::LiftFreesEntries),
                RegionCommand::Clearance {
                    directory_index,
                    facts,
                },
            ) => {
                let lifted = facts.iter().filter_map(|fact| match fact {
                    ClearanceFact::Lift(number, true) => Some(*number),
                    _ => None,
                });
                more.push(RegionCommand::Facts(Facts {
                    directory_index: *directory_index,
                    dnc_removed: lifted.flat_map(everywhere).collect(),
                    ..Facts::default()
                }));
            }
            (Some(Defect::PatternEndsEverywhere), RegionCommand::Clearance { facts, .. }) => {
                let gone: Vec<_> = (facts.iter())
                    .filter_map(|fact| match fact {
                        ClearanceFact::ScopedPattern(prefix, _, false) => Some(*prefix),
                        _ => None,
                    })
                    .collect();
                for prefix in gone {
                    let ends = |scope| ClearanceFact::ScopedPattern(prefix, scope, false);
                    facts.extend(scopes().map(ends));
                    facts.push(ClearanceFact::Pattern(prefix, false));
                }
            }
            _ => {}
        }
    }
    commands.extend(more);
}

/// The removal of every entry of a number.
fn everywhere(number: PhoneNumber) -> impl Iterator<Item = DncRemoval> {
    scopes().map(move |scope| DncRemoval {
        number,
        scope,
        index: u64::MAX,
    })
}
