//! What a region's ledger hears of the directory.

use super::{
    DncFact, DncRemoval, Facts, RegionCommand, RegionEvent, RegionLedger, RegionRefusal,
    RegionReply, book::Blocked,
};
use crate::directory::Directory;
use domain::{Campaign, Clearance, DncBaseId, DncScope, MeshVersion, limits};

impl RegionLedger {
    pub(super) fn facts(
        &mut self,
        facts: Facts,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        if facts.directory_index < self.facts_index {
            return Err(RegionRefusal::StaleFacts {
                got: facts.directory_index,
                have: self.facts_index,
            });
        }
        let most = (facts.dnc_added.len()).max(facts.dnc_removed.len());
        if most > limits::DNC_BATCH {
            return Err(RegionRefusal::TooMany {
                what: "do-not-call entries".into(),
                got: most as u64,
                limit: limits::DNC_BATCH as u64,
            });
        }
        self.facts_index = facts.directory_index;
        for campaign in facts.campaigns {
            self.take_campaign(campaign);
        }
        // Removals first: where one batch adds and removes an entry, adding wins.
        for removal in facts.dnc_removed {
            let key = (removal.number, removal.scope);
            // Only the entry it names: one added later stays.
            if self
                .dnc
                .get(&key)
                .is_some_and(|index| *index <= removal.index)
            {
                self.dnc.remove(&key);
                self.recheck(removal.number);
            }
        }
        for DncFact { entry, index } in facts.dnc_added {
            if self.concerns_us(entry.scope) {
                let key = (entry.number, entry.scope);
                let known = self.dnc.get(&key).copied().unwrap_or(index);
                self.dnc.insert(key, index.max(known));
                self.recheck(entry.number);
            }
        }
        events.push(RegionEvent::FactsTaken {
            directory_index: self.facts_index,
        });
        Ok(RegionReply::FactsTaken {
            directory_index: self.facts_index,
        })
    }

    /// Another do-not-call base is in use: what nodes found in the one before is asked anew.
    pub(super) fn use_base(
        &mut self,
        directory_index: u64,
        base: Option<DncBaseId>,
        events: &mut Vec<RegionEvent>,
    ) -> Result<RegionReply, RegionRefusal> {
        if directory_index < self.facts_index {
            return Err(RegionRefusal::StaleFacts {
                got: directory_index,
                have: self.facts_index,
            });
        }
        self.facts_index = directory_index;
        if self.base != base {
            self.base = base;
            self.book.forget(Blocked::BASE);
        }
        events.push(RegionEvent::FactsTaken { directory_index });
        Ok(RegionReply::FactsTaken { directory_index })
    }

    pub(super) fn take_version(
        &mut self,
        version: MeshVersion,
    ) -> Result<RegionReply, RegionRefusal> {
        self.version = self.version.max(version);
        Ok(RegionReply::FactsTaken {
            directory_index: self.facts_index,
        })
    }

    /// What may be written, as the region knows it.
    pub const fn mesh_version(&self) -> MeshVersion {
        self.version
    }

    /// Why a command may not be written yet.
    pub(super) fn not_yet(&self, command: &RegionCommand) -> Result<(), RegionRefusal> {
        let (now, wanted) = (self.version, command.since());
        if wanted <= now {
            return Ok(());
        }
        Err(RegionRefusal::NotYet { now, wanted })
    }

    fn concerns_us(&self, scope: DncScope) -> bool {
        !matches!(scope, DncScope::Region(region) if region != self.region)
    }

    fn take_campaign(&mut self, campaign: Campaign) {
        let id = campaign.id;
        if self
            .campaigns
            .get(&id)
            .is_some_and(|known| known.version > campaign.version)
        {
            return;
        }
        let work = campaign.ring_limit + campaign.talk_limit;
        let known = self.longest.get(&id).copied();
        // The longest ever heard of: a node may still dial by an earlier version.
        if known.is_none_or(|known| work > known) {
            self.longest.insert(id, work);
            self.recount_doubts();
        }
        let asked = self.consent_required(id);
        self.campaigns.insert(id, campaign);
        if asked != self.consent_required(id) {
            self.recheck_campaign(id);
        }
    }
}

/// The commands that bring a region up to what the directory says now: the do-not-call base in use
/// and every campaign that differ, every do-not-call entry that is missing, renewed or gone. None when nothing differs.
///
/// For a new leader of a region; it compares the whole sets. In steady state the events of the
/// directory carry the same facts one by one.
pub fn catch_up(directory: &Directory, region: &RegionLedger) -> Vec<RegionCommand> {
    let directory_index = directory.applied();
    if directory_index < region.facts_index {
        // This member's directory lags behind what the region knows already.
        return Vec::new();
    }
    let campaigns: Vec<Campaign> = (directory.campaigns())
        .filter(|campaign| region.campaigns.get(&campaign.id) != Some(campaign))
        .cloned()
        .collect();
    let added: Vec<DncFact> = (directory.dnc())
        .filter(|fact| region.concerns_us(fact.entry.scope))
        .filter(|fact| region.dnc.get(&(fact.entry.number, fact.entry.scope)) != Some(&fact.index))
        .collect();
    let removed: Vec<DncRemoval> = (region.dnc.iter())
        .filter(|((number, scope), _)| directory.dnc_entry(*number, *scope).is_none())
        .map(|((number, scope), index)| DncRemoval {
            number: *number,
            scope: *scope,
            index: *index,
        })
        .collect();
    let mut commands = Vec::new();
    let base = directory.dnc_base_in_use();
    let use_base = (base != region.base).then_some(RegionCommand::DncBase {
        directory_index,
        base,
    });
    // Entries go in before campaigns, which may start dialing.
    for added in added.chunks(limits::DNC_BATCH) {
        commands.push(Facts {
            dnc_added: added.to_vec(),
            ..Facts::default()
        });
    }
    for removed in removed.chunks(limits::DNC_BATCH) {
        commands.push(Facts {
            dnc_removed: removed.to_vec(),
            ..Facts::default()
        });
    }
    for campaigns in campaigns.chunks(100) {
        commands.push(Facts {
            campaigns: campaigns.to_vec(),
            ..Facts::default()
        });
    }
    let facts = (commands.into_iter()).map(|facts| {
        RegionCommand::Facts(Facts {
            directory_index,
            ..facts
        })
    });
    let clearance: Clearance = directory.clearance_facts().collect();
    let cleared = region.clearance.facts_until(&clearance);
    let cleared = (cleared.chunks(limits::DNC_BATCH)).map(|facts| RegionCommand::Clearance {
        directory_index,
        facts: facts.to_vec(),
    });
    // First, since what follows may need it.
    let version = directory.mesh_version();
    let version = (version > region.version).then_some(RegionCommand::MeshVersion { version });
    (version.into_iter().chain(use_base))
        .chain(cleared)
        .chain(facts)
        .collect()
}
