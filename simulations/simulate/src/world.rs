//! Time, messages, both groups, and the way of a run: faults, heal, everything settles.

use crate::{
    checkers::{Checkers, Truth},
    defect::Defect,
    group::{Group, Wrongs},
    homes::Homes,
    keeper::Keeper,
    leaders::{Answer, Request, Voter},
    network::Network,
    nodes::Node,
    options::Options,
    seen::Happening,
    trace::{Keep, Trace, fold_of},
    upgrades::Upgrades,
    violation::{Checked, Violation},
};
use domain::{
    CampaignId, Consent, DncBaseId, Incarnation, Instant, MemberId, PhoneNumber, RegionId,
    WallTime, limits,
};
use ledger::{
    Directory, DirectoryCommand, DirectoryEvent, MovedCounts, RegionCommand, RegionLedger,
};
use permit::base::MemoryBase;
use sansio::{Seed, Stream};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

/// The regions that there may be.
pub(crate) const REGIONS: [RegionId; 2] = [RegionId(1), RegionId(2)];
/// The one that is always there.
pub(crate) const REGION: RegionId = REGIONS[0];
pub(crate) const CAMPAIGNS: [CampaignId; 2] = [CampaignId(1), CampaignId(2)];
pub(crate) const RULE_PACK: &str = "us-federal";
/// How long a lead rests after an attempt, whatever came of it.
pub(crate) const RETRY: Duration = Duration::from_secs(30);

/// Which of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// That of a region, by its place.
    Region(usize),
    Directory,
}

impl Which {
    /// How many there may be.
    pub(crate) const MOST: usize = REGIONS.len() + 1;

    /// Its place among all.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Region(region) => region,
            Self::Directory => REGIONS.len(),
        }
    }
}

/// A clock that is off by up to nearly ρ, and began whenever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    permille: u64,
    offset: u64,
}

impl Clock {
    pub(crate) fn drawn(random: &mut Stream) -> Self {
        Self {
            permille: 981 + u64::from(random.below(39)),
            offset: u64::from(random.below(1_000_000)),
        }
    }

    pub(crate) fn at(self, real: u64) -> Instant {
        Instant::from_nanos((self.offset * 1000 + real * self.permille) * 1000)
    }

    /// How long `span` on this clock really is, in milliseconds.
    pub(crate) fn real(self, span: Duration) -> u64 {
        span.as_millis() as u64 * 1000 / self.permille
    }
}

/// What is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    NodeWakes(usize),
    VoterWakes(usize),
    Watch,
    Elect(Which),
    Deposed(Which, usize, u64),
    ToVoter(usize, Request),
    RoundEnds(usize, u64, Request),
    ToNode(usize, Incarnation, Box<Answer>),
    Propose {
        region: usize,
        voter: usize,
        command: Box<RegionCommand>,
        asker: Option<(usize, Incarnation)>,
        hops: u8,
    },
    ProposeDirectory {
        voter: usize,
        command: Box<DirectoryCommand>,
        asker: Option<(usize, Incarnation)>,
        hops: u8,
    },
    DirectoryReaches(usize, Incarnation, u64),
    DncChange,
    CampaignChange,
    Fault,
    Heals(usize, usize),
    Slumber,
    Keeper,
    /// Home rules change, or somebody imports.
    HomesChange,
    /// A member is upgraded, or goes back.
    Upgrade,
    /// A region took what another sent it: the driver, whence, whither, and how much.
    Moved(usize, usize, usize, u64, Option<MovedCounts>),
}

impl Event {
    /// Tells events apart in the trace.
    fn words(&self) -> [u64; 3] {
        let which = |which: &Which| which.place() as u64;
        match self {
            Self::NodeWakes(i) => [1, *i as u64, 0],
            Self::VoterWakes(i) => [2, *i as u64, 0],
            Self::Watch => [3, 0, 0],
            Self::Elect(w) => [4, which(w), 0],
            Self::Deposed(w, i, term) => [5, which(w) << 8 | *i as u64, *term],
            Self::ToVoter(i, request) => [6, *i as u64, request.word()],
            Self::RoundEnds(i, term, request) => [7, *i as u64 | term << 8, request.word()],
            Self::ToNode(i, run, answer) => [8, *i as u64 | run.0 << 8, answer.word()],
            Self::Propose {
                region,
                voter,
                hops,
                ..
            } => [9, *voter as u64 | (*region as u64) << 8, u64::from(*hops)],
            Self::ProposeDirectory { voter, hops, .. } => [10, *voter as u64, u64::from(*hops)],
            Self::DirectoryReaches(i, run, index) => [11, *i as u64 | run.0 << 8, *index],
            Self::DncChange => [12, 0, 0],
            Self::CampaignChange => [13, 0, 0],
            Self::Fault => [14, 0, 0],
            Self::Heals(a, b) => [15, *a as u64, *b as u64],
            Self::Slumber => [16, 0, 0],
            Self::Keeper => [17, 0, 0],
            Self::HomesChange => [18, 0, 0],
            Self::Upgrade => [20, 0, 0],
            Self::Moved(i, from, to, batch, _) => [
                19,
                *i as u64 | (*from as u64) << 8 | (*to as u64) << 16,
                *batch,
            ],
        }
    }
}

#[derive(Debug)]
struct Queued {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    /// The earliest is the greatest: the heap gives that first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) random: Stream,
    /// Real time, in milliseconds of the run.
    pub(crate) now: u64,
    order: u64,
    queue: BinaryHeap<Queued>,
    pub(crate) network: Network,
    pub(crate) regions: Vec<Group<RegionLedger>>,
    pub(crate) directory: Group<Directory>,
    /// What each entry of the directory told its listeners.
    pub(crate) told: Vec<Vec<DirectoryEvent>>,
    /// Every do-not-call base that was ever built.
    pub(crate) bases: BTreeMap<DncBaseId, Arc<MemoryBase>>,
    /// The coordinator that pulls lists and makes bases.
    pub(crate) keeper: Keeper,
    /// Files of consents, as they were imported once and may be again.
    pub(crate) files: Vec<Vec<Consent>>,
    /// Who moves leads and imports some.
    pub(crate) homes: Homes,
    /// What release runs where.
    pub(crate) upgrades: Upgrades,
    pub(crate) voters: Vec<Voter>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) checkers: Checkers,
    pub(crate) trace: Trace,
    /// Faults stop here.
    calm: u64,
    /// Nodes dial no more from here on.
    closing: u64,
    /// Everything must be settled.
    end: u64,
}

/// A number that leads or callers have.
pub(crate) fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).expect("eleven digits")
}

/// A voter's member id.
pub(crate) fn voter_member(voter: usize) -> MemberId {
    MemberId(voter as u64 + 1)
}

/// A node's member id.
pub(crate) fn node_member(node: usize) -> MemberId {
    MemberId(node as u64 + 10)
}

impl World {
    pub(crate) fn new(options: &Options, keep: Keep) -> Self {
        let mut random = Seed::from_u64(options.seed).stream("mesh");
        let voters = (0..options.voters).map(|_| Voter::new(options, &mut random));
        let voters = voters.collect();
        let nodes = (0..options.nodes).map(|i| Node::new(i, options, &mut random));
        let nodes = nodes.collect();
        // Longer than any campaign's limits become in a run.
        let work = Duration::from_secs(2 * (options.ring + options.talk)) + limits::INVITE_LIFETIME;
        let work = work.as_millis() as u64;
        let ttl = options.ttl * 1000;
        let calm = options.safety * 1000;
        let closing = calm + 40_000 + 2 * ttl;
        Self {
            random,
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            network: Network::default(),
            regions: (REGIONS.into_iter().take(options.regions))
                .map(|id| Group::new(options.voters, || RegionLedger::new(id)))
                .collect(),
            homes: Homes::default(),
            upgrades: Upgrades::default(),
            directory: Group::new(options.voters, Directory::default),
            told: Vec::new(),
            bases: BTreeMap::new(),
            keeper: Keeper::default(),
            files: Vec::new(),
            voters,
            nodes,
            checkers: Checkers::new(options),
            trace: Trace::new(keep),
            calm,
            closing,
            end: closing + 2 * ttl + work * 11 / 10 + 90_000,
            options: options.clone(),
        }
    }

    /// Runs to the end, or to the first violation. The hash of every replica's last bytes.
    pub(crate) fn run(&mut self) -> Result<u64, Violation> {
        let result = self.run_on();
        let now = self.now;
        result.map_err(|violation| Violation {
            at: now,
            ..violation
        })
    }

    fn run_on(&mut self) -> Result<u64, Violation> {
        self.begin()?;
        while let Some(next) = self.queue.pop() {
            if next.at > self.end {
                break;
            }
            self.now = next.at;
            let event = next.event;
            self.trace
                .note(self.now, &event.words(), || format!("{event:?}"));
            self.step(event)?;
        }
        self.settle()
    }

    fn step(&mut self, event: Event) -> Checked {
        match event {
            Event::NodeWakes(i) => self.node_wakes(i),
            Event::VoterWakes(i) => self.voter_wakes(i),
            Event::Watch => self.watch(),
            Event::Elect(which) => self.churn(which),
            Event::Deposed(which, i, term) => {
                self.deposed(which, i, term);
                Ok(())
            }
            Event::ToVoter(i, request) => {
                self.asked(i, request);
                Ok(())
            }
            Event::RoundEnds(i, term, request) => {
                self.round_ends(i, term, &request);
                Ok(())
            }
            Event::ToNode(i, run, answer) => self.answered(i, run, *answer),
            Event::Propose {
                region,
                voter,
                command,
                asker,
                hops,
            } => self.proposed(region, (voter, hops), command, asker),
            Event::ProposeDirectory {
                voter,
                command,
                asker,
                hops,
            } => self.proposed_to_directory(voter, command, asker, hops),
            Event::DirectoryReaches(i, run, index) => self.directory_reaches(i, run, index),
            Event::DncChange => {
                self.change_dnc();
                Ok(())
            }
            Event::CampaignChange => {
                self.change_campaign();
                Ok(())
            }
            Event::Fault => self.fault(),
            Event::Heals(a, b) => {
                self.network.heal(a, b);
                Ok(())
            }
            Event::Slumber => {
                self.slumber();
                Ok(())
            }
            Event::Keeper => {
                self.keeper_looks();
                Ok(())
            }
            Event::Upgrade => self.upgrade(),
            Event::HomesChange => {
                self.change_homes();
                Ok(())
            }
            Event::Moved(driver, from, to, batch, taken) => {
                self.moved(driver, from, to, batch, taken);
                Ok(())
            }
        }
    }

    /// One of a thousand chances.
    pub(crate) fn chance(&mut self, permille: u32) -> bool {
        self.random.permille(permille)
    }

    /// Below this many milliseconds.
    pub(crate) fn millis(&mut self, below: u64) -> u64 {
        u64::from(
            self.random
                .below(u32::try_from(below.max(1)).unwrap_or(u32::MAX)),
        )
    }

    /// Whether faults have stopped.
    pub(crate) fn calm(&self) -> bool {
        self.now >= self.calm
    }

    /// Whether nodes dial no more.
    pub(crate) fn closing(&self) -> bool {
        self.now >= self.closing
    }

    /// A fault that stops when all becomes calm.
    pub(crate) fn mishap(&mut self, permille: u32) -> bool {
        let happens = self.random.permille(permille);
        happens && !self.calm()
    }

    pub(crate) fn saw(&mut self, of: Happening) {
        self.checkers.seen.saw(of);
    }

    pub(crate) fn after(&mut self, millis: u64, event: Event) {
        self.order += 1;
        self.queue.push(Queued {
            at: self.now + millis,
            order: self.order,
            event,
        });
    }

    /// A node's place in the network.
    pub(crate) fn place_of(&self, node: usize) -> usize {
        self.options.voters + node
    }

    /// Sends over the network: late, lost, twice, or never while the link is cut.
    pub(crate) fn send(&mut self, from: usize, to: usize, event: Event) {
        let lost = self.mishap(self.options.loss);
        if lost || self.network.is_cut(from, to) {
            self.saw(Happening::Lost);
            return;
        }
        if self.mishap(self.options.repeat) {
            self.saw(Happening::Repeated);
            let late = self.delay(from, to);
            self.after(late, event.clone());
        }
        let usual = self.delay(from, to);
        self.after(usual, event);
    }

    fn delay(&mut self, from: usize, to: usize) -> u64 {
        let clogged = if self.network.is_clogged(self.now, from, to) {
            1000 + self.millis(6000)
        } else {
            0
        };
        if self.options.has(Defect::ForeignEntropy) {
            return clogged + 2 + foreign() % 60;
        }
        if self.mishap(self.options.slow) {
            return clogged + self.millis(12_000);
        }
        match self.random.below(10) {
            0 => clogged + self.millis(800),
            _ => clogged + 2 + self.millis(60),
        }
    }

    /// True time of day, in milliseconds.
    pub(crate) fn true_wall(&self) -> i64 {
        self.options.start + self.now as i64
    }

    /// A voter's calendar.
    pub(crate) fn voter_wall(&self, voter: usize) -> WallTime {
        WallTime::from_millis(self.true_wall() + self.voters[voter].calendar)
    }

    /// What the checkers look at.
    pub(crate) fn truth(&mut self) -> (&mut Checkers, Truth<'_>) {
        let truth = Truth {
            regions: &self.regions,
            directory: &self.directory.witness,
        };
        (&mut self.checkers, truth)
    }

    /// How a voter's replica goes wrong on purpose.
    pub(crate) fn wrongs(&self, voter: usize) -> Wrongs {
        if voter != 0 || self.options.defect.is_none() {
            return Wrongs::default();
        }
        Wrongs {
            order: self.options.has(Defect::WrongOrder),
            calendar: (self.options.has(Defect::OwnCalendar)).then(|| self.voter_wall(voter)),
            gap: self.options.has(Defect::SnapshotGap),
        }
    }

    /// The whole mesh sleeps: nothing of it happens for a while, the world outside goes on.
    fn slumber(&mut self) {
        if self.calm() {
            return;
        }
        self.saw(Happening::Slumbers);
        // The last one ends minutes before what happened first leaves a window of 30 days. Attempts
        // are remembered for 31 days: only a nap fits in after it.
        let minutes = [7, 64, 130, 13 * 60, 25 * 60, 30 * 24 * 60 - 4];
        let slept = self.now / 3_600_000;
        let most = if slept >= 29 * 24 { 1 } else { 6 };
        let most = if slept > 0 { most.min(5) } else { most };
        let minutes = minutes[self.random.below(most) as usize];
        let asleep = minutes * 60_000 + self.millis(60_000);
        let queue = std::mem::take(&mut self.queue);
        self.queue = (queue.into_iter())
            .map(|queued| Queued {
                at: queued.at + asleep,
                ..queued
            })
            .collect();
        for until in [&mut self.calm, &mut self.closing, &mut self.end] {
            *until += asleep;
        }
        for voter in &mut self.voters {
            voter.paused_until += asleep;
        }
        for node in &mut self.nodes {
            node.slept(asleep);
        }
    }

    /// Everything is told and ended, replicas are equal, and what is due can be dialed again.
    fn settle(&mut self) -> Result<u64, Violation> {
        self.moves_settled()?;
        self.upgrades_settled()?;
        self.checkers.disposition.settled(&self.regions)?;
        self.shares_settled()?;
        self.blocked_for_a_reason()?;
        self.dialable_again()?;
        let wrongs: Vec<_> = (0..self.voters.len()).map(|v| self.wrongs(v)).collect();
        let mut region = 0;
        for group in &mut self.regions {
            region ^= group.settled(|voter| wrongs[voter])?;
        }
        let directory = self.directory.settled(|voter| wrongs[voter])?;
        let (now, drawn) = (self.now, self.random.next_u64());
        self.trace.note(now, &[region, directory, drawn], || {
            format!("the end: region {region:016x}, directory {directory:016x}")
        });
        Ok(fold_of(
            &[region.to_le_bytes(), directory.to_le_bytes()].concat(),
        ))
    }
}

/// What no run may ever look at: entropy of the process.
fn foreign() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(7)
}
