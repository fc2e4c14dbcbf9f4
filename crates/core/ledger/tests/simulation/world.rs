//! Time, messages, the log.

use super::{
    checks::Checks,
    leaders::{Answer, Request, Voter},
    nodes::Node,
};
use domain::*;
use ledger::*;
use sansio::{ApplyContext, Replicated, Seed, Stream};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

/// A value as the other side of a link reads it.
fn by_wire<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let bytes = postcard::to_stdvec(value).expect("plain data always serialises into memory");
    postcard::from_bytes(&bytes).expect("what is sent can be read")
}

pub(crate) const REGION: RegionId = RegionId(1);
pub(crate) const CAMPAIGN: CampaignId = CampaignId(1);
pub(crate) const T: Duration = Duration::from_secs(10);
pub(crate) const DELTA: Duration = Duration::from_secs(10);
pub(crate) const RING: Duration = Duration::from_secs(20);
pub(crate) const TALK: Duration = Duration::from_secs(60);
const NODES: usize = 3;
const VOTERS: usize = 3;
const LEADS: u64 = 24;
/// Faults stop here, real milliseconds; all must be settled some time later.
pub(crate) const CALM: u64 = 6 * 60_000;
const END: u64 = CALM + 5 * 60_000;
/// Noon in New York.
const NOON: i64 = 1_795_280_400_000;

/// A mistake on purpose, in the shell around the real machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// The leader's ticks run fast: doubts end while the network still works.
    TicksRunFast,
    /// The leader counts half of T.
    ExpiresEarly,
    /// A leader answers keep-alives without a quorum round.
    NoQuorumRound,
    /// A decided expiry does not stop keep-alives.
    AnswersDecided,
    /// A node does not ask its permit about its session.
    NoSessionCheck,
    /// A node does not look at the clock after sending.
    NoCheckAfterSend,
    /// A node dials leads that it has given back.
    DialsGivenBack,
    /// A journal that lost its tail is called complete.
    FalseProof,
    /// `effective` is answered at commit.
    EffectiveAtCommit,
    /// A node counts an answer as fresh before its index is applied.
    FreshTooSoon,
}

impl Defect {
    pub(crate) const ALL: [Self; 10] = [
        Self::TicksRunFast,
        Self::ExpiresEarly,
        Self::NoQuorumRound,
        Self::AnswersDecided,
        Self::NoSessionCheck,
        Self::NoCheckAfterSend,
        Self::DialsGivenBack,
        Self::FalseProof,
        Self::EffectiveAtCommit,
        Self::FreshTooSoon,
    ];
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

#[derive(Clone, Debug)]
pub(crate) enum Event {
    NodeWakes(usize),
    VoterWakes(usize),
    Elect,
    Deposed(usize, u64),
    ToVoter(usize, Request),
    RoundEnds(usize, u64, Request),
    ToNode(usize, Incarnation, Answer),
    Append(RegionCommand, Option<(usize, Incarnation)>),
    DirectoryReaches(usize, Incarnation, u64),
    Refuse,
    Fault,
}

pub(crate) struct World {
    pub(crate) random: Stream,
    pub(crate) defect: Defect,
    pub(crate) now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    waiting: BTreeMap<u64, Event>,
    pub(crate) ledger: RegionLedger,
    /// Added to real time for the leader's calendar; jumps forward now and then.
    pub(crate) calendar: i64,
    /// The directory's log is its do-not-call entries: entry i is at index i + 1.
    pub(crate) refusals: Vec<PhoneNumber>,
    pub(crate) voters: Vec<Voter>,
    pub(crate) nodes: Vec<Node>,
    /// The real leader, and how many elections there were.
    pub(crate) leader: Option<usize>,
    pub(crate) term: u64,
    pub(crate) checks: Checks,
}

pub(crate) fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).expect("eleven digits")
}

impl World {
    pub(crate) fn new(seed: u64, defect: Defect) -> Self {
        let mut random = Seed::from_u64(seed).stream("mesh");
        let voters = (0..VOTERS).map(|_| Voter::new(&mut random)).collect();
        let nodes = (0..NODES).map(|i| Node::new(i, &mut random)).collect();
        let mut world = Self {
            random,
            defect,
            now: 0,
            order: 0,
            queue: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            ledger: RegionLedger::new(REGION),
            calendar: NOON,
            refusals: Vec::new(),
            voters,
            nodes,
            leader: None,
            term: 0,
            checks: Checks::default(),
        };
        for event in [Event::Elect, Event::Fault, Event::Refuse] {
            world.after(0, event);
        }
        for i in 0..NODES {
            world.after(100, Event::NodeWakes(i));
        }
        for i in 0..VOTERS {
            world.after(50, Event::VoterWakes(i));
        }
        world
    }

    fn import(&mut self) -> Result<(), String> {
        let retry = |after| RetryRule {
            after,
            delay: Duration::from_secs(20),
            attempts_max: 9,
        };
        let campaign = Campaign {
            id: CAMPAIGN,
            name: "simulated".into(),
            state: CampaignState::Running,
            regions: Vec::new(),
            pacing: PacingMode::Progressive,
            dial_level: DialLevel::ONE,
            ring_limit: RING,
            talk_limit: TALK,
            answer_limit: Duration::from_secs(2),
            wrap_up_limit: TALK,
            auto_ready: true,
            rule_pack: "us-federal".into(),
            retry: [
                Disposition::NoAnswer,
                Disposition::Unknown,
                Disposition::Cancelled,
            ]
            .map(retry)
            .into(),
            attempts_max: 9,
            dispositions: Vec::new(),
            default_disposition: DispositionCode(0),
            any_city_caller_id: false,
            version: 1,
        };
        let facts = Facts {
            directory_index: 0,
            campaigns: vec![campaign],
            ..Facts::default()
        };
        let zones: Vec<ZoneId> = zones::find("America/New_York").into_iter().collect();
        let lead = |n| NewLead {
            number: number(n),
            zones: zones.clone(),
            priority: 0,
            profile: LeadProfile::default(),
        };
        self.apply(RegionCommand::Facts(facts))?;
        self.apply(RegionCommand::Import {
            list: ListId(1),
            campaign: CAMPAIGN,
            batch: 1,
            rows: (0..LEADS).map(lead).collect(),
        })?;
        Ok(())
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.import()?;
        while let Some(Reverse((at, order))) = self.queue.pop() {
            if at > END {
                break;
            }
            self.now = at;
            let event = self.waiting.remove(&order).expect("queued events wait");
            let what = format!("{event:?}");
            self.step(event)
                .map_err(|why| format!("{why}; at {at} ms, on {what}"))?;
        }
        let stats = self.ledger.stats(CAMPAIGN);
        // Calm for longer than any doubt: nothing is left open but what nodes hold.
        if stats.in_doubt > 0 {
            return Err(format!(
                "I7: {} still in doubt after the calm",
                stats.in_doubt
            ));
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::NodeWakes(i) => self.node_wakes(i),
            Event::VoterWakes(i) => self.voter_wakes(i),
            Event::Elect => self.elect(),
            Event::Deposed(i, term) => self.deposed(i, term),
            Event::ToVoter(i, request) => self.asked(i, request),
            Event::RoundEnds(i, term, request) => self.round_ends(i, term, request),
            Event::ToNode(i, run, answer) => self.answered(i, run, answer),
            Event::Append(command, asker) => {
                let reply = self.apply(command.clone())?;
                if let Some((node, run)) = asker {
                    let answer = Answer::Applied(Box::new(command), Box::new(reply));
                    self.send(Event::ToNode(node, run, answer));
                }
                Ok(())
            }
            Event::DirectoryReaches(i, run, index) => self.directory_reaches(i, run, index),
            Event::Refuse => self.refuse(),
            Event::Fault => self.fault(),
        }
    }

    pub(crate) fn chance(&mut self, permille: u32) -> bool {
        self.random.permille(permille)
    }

    pub(crate) fn calm(&self) -> bool {
        self.now >= CALM
    }

    /// A fault that stops when all becomes calm.
    pub(crate) fn mishap(&mut self, permille: u32) -> bool {
        let happens = self.random.permille(permille);
        happens && !self.calm()
    }

    pub(crate) fn after(&mut self, millis: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((self.now + millis, self.order)));
        self.waiting.insert(self.order, event);
    }

    /// Sends over the network: late, lost, or twice.
    pub(crate) fn send(&mut self, event: Event) {
        if self.mishap(60) {
            return;
        }
        let delay = |world: &mut Self| match world.random.below(20) {
            0 if !world.calm() => u64::from(world.random.below(8000)),
            1 | 2 => u64::from(world.random.below(800)),
            _ => 2 + u64::from(world.random.below(60)),
        };
        if self.mishap(60) {
            let late = delay(self);
            self.after(late, event.clone());
        }
        let usual = delay(self);
        self.after(usual, event);
    }

    /// Proposes: goes into the log if there is a leader; else lost, or forwarded when there is.
    pub(crate) fn propose(&mut self, command: RegionCommand, asker: Option<(usize, Incarnation)>) {
        if self.leader.is_none() && self.chance(700) {
            return;
        }
        self.send(Event::Append(command, asker));
    }

    pub(crate) fn wall(&self) -> WallTime {
        WallTime::from_millis(self.calendar + self.now as i64)
    }

    /// Commits and applies one entry, everywhere at once.
    pub(crate) fn apply(&mut self, command: RegionCommand) -> Result<RegionReply, String> {
        let outcome = match &command {
            RegionCommand::Report { outcomes, .. } | RegionCommand::Settle { outcomes, .. } => {
                outcomes.first().copied()
            }
            _ => None,
        };
        let expiry = matches!(command, RegionCommand::ExpireSession { .. });
        let mut events = Vec::new();
        let context = ApplyContext {
            index: self.ledger.applied() + 1,
            wall: self.wall(),
        };
        let reply = by_wire(&self.ledger.apply(context, by_wire(&command), &mut events));
        if let Some(outcome) = outcome {
            self.checks.outcome(&outcome, &reply)?;
        }
        if expiry && let RegionReply::Refused(RegionRefusal::StaleLeader { .. }) = reply {
            self.checks.seen.stale_expiries += 1;
        }
        self.checks.claimed(&reply);
        self.checks.events(&events);
        self.checks.balance(&self.ledger)?;
        let now = self.now;
        for voter in &mut self.voters {
            voter.heard(now, &events);
        }
        // Now and then the state is what a snapshot makes of it.
        if context.index.is_multiple_of(128) {
            let copy = RegionLedger::restore(&self.ledger.snapshot()).map_err(|e| e.to_string())?;
            if copy != self.ledger {
                return Err("I10: a restored copy differs".into());
            }
            self.ledger = copy;
        }
        Ok(reply)
    }
}
