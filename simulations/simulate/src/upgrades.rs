//! Members are upgraded one by one, and some go back to the release before as long as they may.

use crate::{
    begin::change,
    defect::Defect,
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, World, node_member, number, voter_member},
};
use domain::{DncEntry, DncScope, DncSource, MemberId, MeshVersion, WallTime};
use ledger::Change;
use sansio::Replicated;

/// What members of the release before understand.
pub(crate) const BEFORE: MeshVersion = MeshVersion::BASE;
/// What this release's members understand.
pub(crate) const NOW: MeshVersion = MeshVersion::NEWEST;

/// One member's process.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// What its release can read.
    reads: MeshVersion,
    /// What it says that it can read: less while the way back is kept open.
    says: MeshVersion,
}

/// What runs where, voters first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upgrades(Vec<Process>);

impl World {
    /// All members begin with the release before; those that are only names understand everything.
    pub(crate) fn first_releases(&mut self) -> Checked {
        let reads = if self.options.upgrades { BEFORE } else { NOW };
        let processes = self.options.voters + self.options.nodes;
        self.upgrades = Upgrades(vec![Process { reads, says: reads }; processes]);
        self.directory.read_by(reads);
        for region in &mut self.regions {
            region.read_by(reads);
        }
        if !self.options.upgrades {
            return Ok(());
        }
        let real: Vec<_> = (0..processes).map(|p| self.member_at(p)).collect();
        let names: Vec<_> = (self.directory.witness.members())
            .map(|member| member.id)
            .filter(|id| !real.contains(id))
            .collect();
        for id in names {
            let version = NOW;
            self.commit_directory(None, &change(Change::Understand { id, version }))?;
        }
        self.after(5_000, Event::Upgrade);
        Ok(())
    }

    /// Both campaigns have one budget from here on. Every member has said that it knows of such.
    pub(crate) fn count_together(&mut self) -> Checked {
        let members: Vec<_> = self.directory.witness.members().map(|m| m.id).collect();
        for id in members {
            let version = NOW;
            self.commit_directory(None, &change(Change::Understand { id, version }))?;
        }
        let [head, campaign] = CAMPAIGNS;
        let with = Some(head);
        let group = Change::SetDropRateGroup { campaign, with };
        self.commit_directory(None, &change(group))?;
        match self.directory.witness.drop_rate_group(campaign) == with {
            true => Ok(()),
            false => Err(Invariant::I6.broken("the directory takes no drop-rate group")),
        }
    }

    fn member_at(&self, process: usize) -> MemberId {
        match process.checked_sub(self.options.voters) {
            None => voter_member(process),
            Some(node) => node_member(node),
        }
    }

    /// What a node's release can read.
    pub(crate) fn node_reads(&self, node: usize) -> MeshVersion {
        self.upgrades.0[self.place_of(node)].reads
    }

    /// Somebody goes from member to member. What was said and got lost is said again, and what only
    /// this release knows is asked for now and then.
    pub(crate) fn upgrade(&mut self) -> Checked {
        let next = match self.calm() {
            true => 1_500,
            false => 4_000 + self.millis(self.options.safety * 1000 / 8),
        };
        let process = if self.calm() {
            (self.upgrades.0.iter()).position(|process| process.says < NOW)
        } else {
            Some(self.random.below(self.upgrades.0.len() as u32) as usize)
        };
        let done = process.is_none();
        if let Some(process) = process {
            self.upgrade_or_back(process)?;
        }
        let told = self.tell_versions();
        self.ask_for_what_is_new();
        if !(done && told && self.calm()) {
            self.after(next, Event::Upgrade);
        }
        Ok(())
    }

    /// A process ends and another release, or another word of its configuration, begins.
    fn upgrade_or_back(&mut self, process: usize) -> Checked {
        let Process { reads, says } = self.upgrades.0[process];
        let after = if reads < NOW {
            self.saw(Happening::Upgrades);
            let kept_open = !self.calm() && self.chance(350);
            let says = if kept_open { BEFORE } else { NOW };
            Process { reads: NOW, says }
        } else if says < NOW {
            if !self.calm() && self.chance(500) {
                self.saw(Happening::Downgrades);
                let (reads, says) = (BEFORE, BEFORE);
                Process { reads, says }
            } else {
                Process { reads, says: NOW }
            }
        } else {
            return Ok(());
        };
        self.upgrades.0[process] = after;
        match process.checked_sub(self.options.voters) {
            None => {
                self.directory.replica_reads(process, after.reads);
                for region in &mut self.regions {
                    region.replica_reads(process, after.reads);
                }
                self.restart_voter(process)
            }
            Some(node) if self.chance(700) => self.stop_in_order(node),
            Some(node) => self.crash(node, false),
        }
    }

    /// Whether everybody's word is known.
    fn tell_versions(&mut self) -> bool {
        let mut all = true;
        for process in 0..self.upgrades.0.len() {
            let id = self.member_at(process);
            let mut version = self.upgrades.0[process].says;
            if self.options.has(Defect::SaysWhatItReads) {
                version = self.upgrades.0[process].reads;
            }
            if self.options.has(Defect::FirstSpeaksForAll) && process > 0 {
                version = self.upgrades.0[0].says;
            }
            let known = self.directory.witness.understands(id);
            // One that lost its way back says so in its log, and stays as it is.
            if known != version && version >= self.directory.witness.mesh_version() {
                all = false;
                self.administrator(Change::Understand { id, version });
            }
        }
        all
    }

    /// What the release before cannot read: proposed only where the proposer's copy of the directory
    /// says that everybody can.
    fn ask_for_what_is_new(&mut self) {
        let Some(leader) = self.directory.leader else {
            return;
        };
        let newer = self.newer_change();
        let asked = change(newer.clone());
        let too_new = self.directory.replica(leader).too_new(&asked).is_some();
        if too_new && !self.options.has(Defect::NewerUnasked) {
            self.saw(Happening::NewerRefused);
            return;
        }
        self.saw(Happening::NewerAsked);
        self.administrator(newer);
    }

    /// A do-not-call entry of somebody who called back.
    fn newer_change(&mut self) -> Change {
        let entry = DncEntry {
            number: number(self.millis(self.options.numbers)),
            scope: DncScope::Mesh,
            source: DncSource::CallBack,
            added_at: WallTime::from_millis(self.true_wall()),
        };
        Change::ChangeDnc {
            add: vec![entry],
            remove: Vec::new(),
            reason: String::new(),
        }
    }

    /// At the end everybody is at this release, and says so.
    pub(crate) fn upgrades_settled(&self) -> Checked {
        let at = self.directory.witness.mesh_version();
        if self.options.upgrades && at != NOW {
            return Err(Invariant::I10.broken(format!(
                "every member understands {NOW}, and the mesh stays at {at}"
            )));
        }
        Ok(())
    }

    /// A node is sent an entry of the directory.
    pub(crate) fn node_can_read(&self, node: usize, index: u64) -> Checked {
        let (reads, since) = (self.node_reads(node), self.directory.since(index));
        if since <= reads {
            return Ok(());
        }
        Err(Invariant::I10.broken(format!(
            "node {node} understands {reads} and was sent entry {index} of the directory, which needs {since}"
        )))
    }
}
