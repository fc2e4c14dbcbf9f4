//! What one run is like: everything drawn from the seed, and printed first.

use crate::defect::Defect;
use consensus::GroupOptions;
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One run. Equal options give equal runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where all randomness comes from.
    pub seed: u64,
    /// A mistake on purpose, if any.
    pub defect: Option<Defect>,
    /// Members; voters are three or five of them.
    pub members: u64,
    /// Clients that propose and read.
    pub clients: u64,
    /// Nodes of a region, whose real ledger the group replicates then beside the book; or none.
    pub nodes: u64,
    /// Leads of the region.
    pub leads: u64,
    /// How long faults happen, in seconds.
    pub safety: u64,
    /// One thing of each client, on average every so many milliseconds.
    pub client_every: u64,
    /// Faults, on average one every so many milliseconds.
    pub fault_every: u64,
    /// Milliseconds that a message takes at least.
    pub distance: u64,
    /// Of a thousand messages, so many are lost once.
    pub loss: u32,
    /// So many requests are refused as too many.
    pub busy: u32,
    /// Of a thousand of Raft's own requests, so many come twice, the second time late.
    pub doubled: u32,
    /// A sync of the journal takes up to so many milliseconds.
    pub sync: u64,
    /// A heartbeat, in milliseconds.
    pub heartbeat: u64,
    /// The shortest silence before an election, in milliseconds; twice that is the longest.
    pub election: u64,
    /// Entries between snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub keep_entries: u64,
    /// Bytes that a command carries along at most.
    pub ballast: u32,
    /// Links are cut, both ways or one.
    pub partitions: bool,
    /// Links become slow for a while.
    pub clogs: bool,
    /// Processes stop for a while.
    pub pauses: bool,
    /// Processes are killed and come back.
    pub kills: bool,
    /// Machines go down and lose unsynced writes.
    pub power_losses: bool,
    /// Clocks drift and leap; calendars jump.
    pub clocks: bool,
    /// Disks become full, or slow, for a while.
    pub disks: bool,
    /// Leaders hand over or are killed.
    pub churn: bool,
    /// Members come, vote, and go.
    pub changes: bool,
}

impl Options {
    /// The run of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut random = Seed::from_u64(seed).stream("raft options");
        let mut draw = |least: u32, most: u32| least + random.below(most - least + 1);
        let members = u64::from(draw(3, 5));
        let clients = u64::from(draw(1, 4));
        let safety = u64::from(draw(20, 60));
        let client_every = u64::from(draw(15, 150));
        let fault_every = u64::from(draw(300, 4000));
        let distance = [1, 1, 5, 20, 60][draw(0, 4) as usize];
        let (loss, busy) = (draw(0, 60), draw(0, 20));
        let doubled = [0, 5, 30][draw(0, 2) as usize];
        let sync = [2, 10, 10, 50][draw(0, 3) as usize];
        let (heartbeat, election) = [(300, 1000), (300, 1000), (100, 500)][draw(0, 2) as usize];
        let snapshot_every = [10, 25, 60, 200][draw(0, 3) as usize];
        let keep_entries = [0, 3, 20, 100][draw(0, 3) as usize];
        let ballast = [0, 64, 600, 4000][draw(0, 3) as usize];
        let on = |random: &mut Stream| random.permille(650);
        let drawn = Self {
            seed,
            defect: None,
            members,
            clients,
            nodes: 0,
            leads: 0,
            safety,
            client_every,
            fault_every,
            distance,
            loss,
            busy,
            doubled,
            sync,
            heartbeat,
            election,
            snapshot_every,
            keep_entries,
            ballast,
            partitions: on(&mut random),
            clogs: on(&mut random),
            pauses: on(&mut random),
            kills: on(&mut random),
            power_losses: on(&mut random),
            clocks: on(&mut random),
            disks: on(&mut random),
            churn: on(&mut random),
            changes: on(&mut random),
        };
        if Seed::from_u64(seed).stream("raft region").below(3) == 0 {
            drawn.with_region()
        } else {
            drawn
        }
    }

    /// The same with a region's ledger.
    fn with_region(self) -> Self {
        let mut random = Seed::from_u64(self.seed).stream("raft nodes");
        Self {
            nodes: u64::from(2 + random.below(3)),
            leads: u64::from(15 + random.below(60)),
            // A doubt lasts 45 s: some runs see its end.
            safety: u64::from(50 + random.below(50)),
            client_every: 4 * self.client_every,
            ..self
        }
    }

    /// The same with a mistake on purpose, and with what it needs to show.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        let mistaken = Self {
            defect: Some(defect),
            ..self
        };
        if defect.needs_region() && mistaken.nodes == 0 {
            mistaken.with_region()
        } else {
            mistaken
        }
    }

    /// Whether this mistake is on.
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(crate) fn group(&self) -> GroupOptions {
        GroupOptions {
            heartbeat: Duration::from_millis(self.heartbeat),
            election_min: Duration::from_millis(self.election),
            election_max: Duration::from_millis(2 * self.election),
            snapshot_every: self.snapshot_every,
            keep_entries: self.keep_entries,
        }
    }
}
