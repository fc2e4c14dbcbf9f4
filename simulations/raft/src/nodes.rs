//! Nodes of a region: they open sessions, keep them alive, claim leads, dial, and tell how it went.
//!
//! Each has a clock of its own, which drifts within the bound that the protocol allows; a node may be
//! killed, or stand still for longer than its session. It asks any member, over links that lose
//! questions and answers. Its disk is honest: what its journal holds survives.

use crate::{
    defect::Defect,
    office::{KeepAlive, of_region, read},
    region::Command,
    runtime::{self, Process, WORLD, calendar, local_nanos, millis, sleep, spawn_on},
    seen::Happening,
    violation::Rule,
    world::{Replicas, World},
};
use domain::{
    AttemptId, CallOutcome, Campaign, CampaignId, CampaignState, DialLevel, Disposition,
    DispositionCode, DncEntry, DncScope, DncSource, Incarnation, LeadProfile, LeasedLead, ListId,
    MemberId, NewLead, PacingMode, PhoneNumber, RetryRule, SessionId, WallTime, limits, zones,
};
use ledger::{DncFact, Facts, Proof, RegionCommand, RegionRefusal, RegionReply};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

const CAMPAIGN: CampaignId = CampaignId(1);
/// The shortest that a session may have: a run is short.
const TTL: Duration = limits::SESSION_TTL_MIN;
const RING: Duration = Duration::from_secs(2);
const TALK: Duration = Duration::from_secs(1);
/// The guard before the end of validity, shorter than a node's by as much as the session is.
const GUARD: Duration = Duration::from_millis(300);
/// Leads that a node holds ready.
const HOPPER: usize = 3;
/// A node gives up a question after so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a node's journal says of an attempt.
#[derive(Clone, Debug)]
enum Mark {
    Held,
    Dialed,
    Ended(CallOutcome),
}

/// A node's machine in its rack.
#[derive(Default)]
pub(crate) struct Place {
    process: Option<Process>,
    run: Incarnation,
    /// Attempts of each run that the region is not known to have heard the end of.
    journal: BTreeMap<(Incarnation, AttemptId), (LeasedLead, Mark)>,
}

/// One run of a node.
#[derive(Default)]
struct Node {
    session: Option<SessionId>,
    /// May dial until then, by its own clock.
    until: u64,
    hopper: Vec<LeasedLead>,
    sequence: u64,
    /// A claim that was not answered.
    asked: Option<u64>,
}

/// Outcomes of one session, to be told.
struct Ended {
    run: Incarnation,
    session: SessionId,
    outcomes: Vec<CallOutcome>,
}

type Shared = Rc<RefCell<Node>>;

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::from_digits(12_125_550_000 + n).expect("eleven digits")
}

fn lead(n: u64) -> NewLead {
    let names = ["America/New_York", "America/Chicago"];
    NewLead {
        number: number(n),
        zones: names.into_iter().filter_map(zones::find).collect(),
        priority: (n % 3) as i16,
        profile: LeadProfile::default(),
    }
}

fn campaign() -> Campaign {
    let retry = |after| RetryRule {
        after,
        delay: Duration::from_secs(1),
        attempts_max: 9,
    };
    Campaign {
        id: CAMPAIGN,
        name: "simulated".into(),
        state: CampaignState::Running,
        regions: Vec::new(),
        pacing: PacingMode::Progressive,
        dial_level: DialLevel::ONE,
        ring_limit: RING,
        talk_limit: TALK,
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(60),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: [
            Disposition::NoAnswer,
            Disposition::Cancelled,
            Disposition::Unknown,
        ]
        .map(retry)
        .into(),
        attempts_max: 9,
        dispositions: Vec::new(),
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

/// Milliseconds that the network may work on a dial whose node is gone.
fn longest() -> u64 {
    (RING + TALK + limits::INVITE_LIFETIME).as_millis() as u64
}

impl World {
    /// The region's campaign and leads, once the group is made.
    pub(crate) async fn found_region(&self) {
        let facts = Facts {
            directory_index: 1,
            campaigns: vec![campaign()],
            ..Facts::default()
        };
        let rows = (0..self.options.leads).map(lead).collect();
        let import = RegionCommand::Import {
            list: ListId(1),
            campaign: CAMPAIGN,
            batch: 1,
            rows,
        };
        for command in [RegionCommand::Facts(facts), import] {
            while self.region(&command).await.is_none() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Asks any member to do something as its process; `None` when there was no answer. Links to nodes
    /// lose questions and answers in the storm.
    async fn ask<T, W: Future<Output = T> + 'static>(
        &self,
        work: impl FnOnce(Replicas, MemberId) -> W,
    ) -> Option<T>
    where
        T: 'static,
    {
        let lost = if self.stormy.get() { 30 } else { 0 };
        sleep(self.a_while(2 * self.options.distance + 5)).await;
        if self.chance(lost) {
            sleep(PATIENCE).await;
            return None;
        }
        let member = self.any();
        let (process, group) = self.running(member)?;
        let answer = self.on(process, work(group, member)).await?;
        sleep(self.a_while(2 * self.options.distance + 5)).await;
        if self.chance(lost) {
            sleep(PATIENCE).await;
            return None;
        }
        if self.chance(2 * lost) {
            // Sent again and again below, and then there after all.
            sleep(self.a_while(PATIENCE.as_millis() as u64)).await;
        }
        Some(answer)
    }

    /// Proposes to the region's ledger; its reply and the entry's index, if they came.
    async fn region(&self, command: &RegionCommand) -> Option<(u64, RegionReply)> {
        let command = Command::Region(Box::new(command.clone()));
        let asked =
            self.ask(|group, _| async move { group.propose_again(&command, PATIENCE).await });
        let committed = asked.await?.ok()?;
        self.oracle.lock().known(committed.index);
        Some((committed.index, of_region(committed.reply)))
    }

    fn judge(&self, judged: Result<(), (Rule, String)>) {
        if let Err((rule, what)) = judged {
            self.breaks(rule, what);
        }
    }

    /// Starts a run of a node.
    pub(crate) fn node_boots(self: &Rc<Self>, i: usize) {
        let process = self.new_process();
        // Up to ρ too slow or too fast, less a little for the rounding of milliseconds.
        let rho = 1000 * u64::from(limits::DRIFT_PERMILLE) - 1000;
        let rate = 1_000_000 - rho + self.below(2 * rho);
        runtime::begin(process, rate, 0);
        let run = {
            let mut nodes = self.nodes.borrow_mut();
            let place = &mut nodes[i];
            place.process = Some(process);
            place.run = Incarnation(place.run.0 + 1);
            place.run
        };
        self.note(20, MemberId(i as u64), || {
            format!("node {i} begins {run:?}")
        });
        let node = Shared::default();
        spawn_on(process, Rc::clone(self).lives(i, run, Rc::clone(&node)));
        spawn_on(process, Rc::clone(self).keeps_alive(i, run, node));
    }

    fn node_dies(&self, i: usize) {
        let process = self.nodes.borrow_mut()[i].process.take();
        if let Some(process) = process {
            runtime::kill(process);
        }
    }

    /// Nodes are killed, and stand still, now and then.
    pub(crate) async fn node_faults(self: Rc<Self>) {
        while self.goes_on() {
            sleep(Duration::from_millis(500 + self.below(12_000))).await;
            if !self.goes_on() {
                return;
            }
            let i = self.below(self.options.nodes) as usize;
            if self.chance(400) {
                self.saw(Happening::NodeKills);
                self.node_dies(i);
                sleep(Duration::from_millis(self.below(4000))).await;
                self.node_boots(i);
            } else if let Some(process) = self.nodes.borrow()[i].process {
                let lasts = 500 + self.below(9000);
                if lasts > TTL.as_millis() as u64 {
                    self.saw(Happening::NodePauses);
                }
                runtime::pause(process, true);
                self.note(21, MemberId(i as u64), || {
                    format!("node {i} stands still for {lasts} ms")
                });
                spawn_on(WORLD, async move {
                    sleep(Duration::from_millis(lasts)).await;
                    runtime::pause(process, false);
                });
            }
        }
    }

    /// Do-not-call comes to the region now and then, as the directory's leader brings it.
    pub(crate) async fn forbids(self: Rc<Self>) {
        let mut directory_index = 2;
        while self.goes_on() {
            sleep(Duration::from_millis(1000 + self.below(15_000))).await;
            let number = number(self.below(self.options.leads));
            let entry = DncEntry {
                number,
                scope: DncScope::Mesh,
                source: DncSource::Person,
                added_at: WallTime::from_millis(calendar()),
            };
            let index = directory_index;
            directory_index += 1;
            let facts = RegionCommand::Facts(Facts {
                directory_index: index,
                dnc_added: vec![DncFact { entry, index }],
                ..Facts::default()
            });
            if let Some((index, RegionReply::FactsTaken { .. })) = self.region(&facts).await {
                self.saw(Happening::Forbidden);
                self.oracle.lock().history.forbidden(number, index);
            }
        }
    }

    /// One run of a node: session, claims, dials, reports.
    async fn lives(self: Rc<Self>, i: usize, run: Incarnation, node: Shared) {
        loop {
            sleep(Duration::from_millis(100 + self.below(500))).await;
            let session = node.borrow().session;
            let Some(session) = session else {
                self.opens(i, run, &node).await;
                continue;
            };
            self.settles(i, run).await;
            if self.stormy.get() {
                self.claims(i, run, session, &node).await;
                self.dials(i, run, &node);
            } else {
                self.gives_back(i, run, &node);
            }
            self.reports(i, run, &node).await;
        }
    }

    async fn opens(&self, i: usize, run: Incarnation, node: &Shared) {
        let open = RegionCommand::OpenSession {
            node: node_member(i),
            incarnation: run,
            ttl: TTL,
        };
        if let Some((_, RegionReply::SessionOpened { session, .. })) = self.region(&open).await {
            let mut node = node.borrow_mut();
            node.session = Some(session);
            node.until = 0;
            node.asked = None;
            self.note(22, node_member(i), || format!("node {i} has {session}"));
        }
    }

    /// The session is gone, and with it what it held: in doubt now.
    fn loses(&self, i: usize, run: Incarnation, session: SessionId, node: &Shared) {
        let mut node = node.borrow_mut();
        if node.session != Some(session) {
            return;
        }
        node.session = None;
        node.until = 0;
        // What this run holds it will not dial any more, and its journal says so.
        for lead in node.hopper.drain(..) {
            let undialed = undialed(&lead);
            self.marks(i, run, &lead, Mark::Ended(undialed));
        }
    }

    /// Asks for the session to be confirmed, again and again.
    async fn keeps_alive(self: Rc<Self>, i: usize, run: Incarnation, node: Shared) {
        loop {
            sleep(Duration::from_millis(100 + self.below(700))).await;
            let Some(session) = node.borrow().session else {
                continue;
            };
            let sent = local_nanos();
            let members = &self;
            let asked = self.ask(|_, member| {
                let office = members.office(member);
                async move {
                    match office {
                        Some(office) => office.confirm(session).await,
                        None => KeepAlive::NotLeading,
                    }
                }
            });
            match asked.await {
                Some(KeepAlive::Confirmed) => {
                    self.saw(Happening::KeepAlives);
                    let from = if self.options.has(Defect::CountsFromAnswer) {
                        local_nanos()
                    } else {
                        sent
                    };
                    let mut node = node.borrow_mut();
                    if node.session == Some(session) {
                        let valid = TTL - TTL * limits::DRIFT_PERMILLE / 1000;
                        node.until = node.until.max(from + valid.as_nanos() as u64);
                    }
                }
                Some(KeepAlive::Ended) => {
                    self.saw(Happening::KeepAlivesLate);
                    self.loses(i, run, session, &node);
                }
                Some(KeepAlive::NotLeading) | None => {}
            }
        }
    }

    async fn claims(&self, i: usize, run: Incarnation, session: SessionId, node: &Shared) {
        let sequence = {
            let mut node = node.borrow_mut();
            if node.hopper.len() >= HOPPER {
                return;
            }
            if node.asked.is_some() {
                self.saw(Happening::ClaimsAgain);
            }
            let next = node.sequence + 1;
            let sequence = *node.asked.get_or_insert(next);
            node.sequence = sequence;
            sequence
        };
        if sequence > 1 && self.options.has(Defect::LeasesReadLocally) && self.chance(300) {
            let asked = self
                .ask(|group, _| async move { read(&group, |region| region.leased_to(session)) });
            if let Some(leads) = asked.await {
                self.takes(i, run, session, leads, node);
            }
            return;
        }
        let claim = RegionCommand::Claim {
            session,
            campaign: CAMPAIGN,
            n: 1 + self.below(4) as u32,
            sequence,
        };
        match self.region(&claim).await {
            Some((_, RegionReply::Claimed { leads, .. })) => {
                node.borrow_mut().asked = None;
                self.takes(i, run, session, leads, node);
            }
            Some((_, RegionReply::Refused(RegionRefusal::SessionEnded { .. }))) => {
                self.loses(i, run, session, node);
            }
            Some((_, other)) => self.breaks(Rule::Alive, format!("a claim is answered {other:?}")),
            None => {}
        }
    }

    /// Leads came: into the journal, then into the hopper.
    fn takes(
        &self,
        i: usize,
        run: Incarnation,
        session: SessionId,
        leads: Vec<LeasedLead>,
        node: &Shared,
    ) {
        for lead in leads {
            self.saw(Happening::Claimed);
            let judged = self.oracle.lock().history.leased(&lead);
            self.judge(judged);
            let mut node = node.borrow_mut();
            let held = node.hopper.iter().any(|held| held.attempt == lead.attempt);
            if node.session == Some(session) && !held {
                self.marks(i, run, &lead, Mark::Held);
                node.hopper.push(lead);
            }
        }
    }

    fn marks(&self, i: usize, run: Incarnation, lead: &LeasedLead, mark: Mark) {
        let mut nodes = self.nodes.borrow_mut();
        let key = (run, lead.attempt);
        nodes[i].journal.insert(key, (lead.clone(), mark));
    }

    /// Dials what is held, as far as the session is valid.
    fn dials(self: &Rc<Self>, i: usize, run: Incarnation, node: &Shared) {
        while self.chance(700) {
            let valid = local_nanos() + GUARD.as_nanos() as u64 <= node.borrow().until;
            if !valid && !self.options.has(Defect::DialsOn) {
                if !node.borrow().hopper.is_empty() {
                    self.saw(Happening::NotValid);
                }
                return;
            }
            let Some(lead) = node.borrow_mut().hopper.pop() else {
                return;
            };
            let late = self.options.has(Defect::RefundsDialed);
            if !late {
                self.marks(i, run, &lead, Mark::Dialed);
            }
            self.saw(Happening::Dials);
            self.note(23, node_member(i), || {
                format!("node {i} dials {}", lead.attempt)
            });
            let dialed = (self.oracle.lock().history).dialed(millis(), &lead, longest());
            self.judge(dialed);
            let process = self.nodes.borrow()[i].process.expect("it runs");
            spawn_on(process, Rc::clone(self).rings(i, run, lead));
        }
    }

    /// A call until its end.
    async fn rings(self: Rc<Self>, i: usize, run: Incarnation, lead: LeasedLead) {
        let invited_at = WallTime::from_millis(calendar());
        let most = (RING + TALK).as_millis() as u64;
        sleep(Duration::from_millis(200 + self.below(most - 300))).await;
        self.oracle.lock().history.ended(millis(), lead.attempt);
        let ended = CallOutcome::Dialed {
            lead: lead.lead,
            attempt: lead.attempt,
            disposition: Disposition::NoAnswer,
            invited_at,
            ended_at: WallTime::from_millis(calendar()),
            callback_at: None,
        };
        self.marks(i, run, &lead, Mark::Ended(ended));
    }

    /// Nothing is dialed any more: what is held goes back.
    fn gives_back(&self, i: usize, run: Incarnation, node: &Shared) {
        for lead in std::mem::take(&mut node.borrow_mut().hopper) {
            let undialed = undialed(&lead);
            self.marks(i, run, &lead, Mark::Ended(undialed));
        }
    }

    /// How attempts ended, of one session of the first of those runs, by the journal.
    fn ended(&self, i: usize, of: impl Fn(Incarnation) -> bool) -> Option<Ended> {
        let nodes = self.nodes.borrow();
        let ended = (nodes[i].journal.iter())
            .filter(|((run, _), _)| of(*run))
            .filter_map(|((run, _), (lead, mark))| match mark {
                Mark::Ended(outcome) => Some((*run, lead.session, *outcome)),
                _ => None,
            });
        let ended: Vec<_> = ended.collect();
        let (run, session, _) = *ended.first()?;
        let outcomes = (ended.into_iter())
            .filter(|(of, by, _)| (*of, *by) == (run, session))
            .map(|(_, _, outcome)| outcome);
        Some(Ended {
            run,
            session,
            outcomes: outcomes.take(16).collect(),
        })
    }

    fn forgets(&self, i: usize, told: &Ended) {
        let mut nodes = self.nodes.borrow_mut();
        for outcome in &told.outcomes {
            nodes[i].journal.remove(&(told.run, outcome.attempt()));
        }
    }

    /// Tells this run's outcomes, of sessions that ended before as well.
    async fn reports(&self, i: usize, run: Incarnation, node: &Shared) {
        let Some(told) = self.ended(i, |of| of == run) else {
            return;
        };
        let report = RegionCommand::Report {
            session: told.session,
            sequence: node.borrow().sequence,
            outcomes: told.outcomes.clone(),
        };
        if let Some((_, RegionReply::Reported(_))) = self.region(&report).await {
            (0..told.outcomes.len()).for_each(|_| self.saw(Happening::Reported));
            self.forgets(i, &told);
        }
    }

    /// A later run in the same boot tells what the journal knows of earlier ones.
    async fn settles(&self, i: usize, run: Incarnation) {
        {
            // What they only held was never dialed; what they dialed and did not see the end of stays
            // in doubt.
            let mut nodes = self.nodes.borrow_mut();
            let earlier = nodes[i].journal.iter_mut().filter(|((of, _), _)| *of < run);
            for (_, (lead, mark)) in earlier {
                if matches!(mark, Mark::Held) {
                    *mark = Mark::Ended(undialed(lead));
                }
            }
            (nodes[i].journal)
                .retain(|(of, _), (_, mark)| *of == run || !matches!(mark, Mark::Dialed));
        }
        let Some(told) = self.ended(i, |of| of < run) else {
            return;
        };
        let settle = RegionCommand::Settle {
            node: node_member(i),
            incarnation: told.run,
            outcomes: told.outcomes.clone(),
            proof: Proof::SameBoot,
        };
        if let Some((_, RegionReply::Reported(_))) = self.region(&settle).await {
            (0..told.outcomes.len()).for_each(|_| self.saw(Happening::Settled));
            self.forgets(i, &told);
        }
    }
}

fn undialed(lead: &LeasedLead) -> CallOutcome {
    CallOutcome::Undialed {
        lead: lead.lead,
        attempt: lead.attempt,
    }
}

/// A node's member id: behind those of the members.
fn node_member(i: usize) -> MemberId {
    MemberId(100 + i as u64)
}
