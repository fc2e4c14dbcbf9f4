//! Members, clients and faults of one run.

use crate::{
    defect::Defect,
    disk::{Disk, End, Quirks},
    log::SimLog,
    machine::{Write, plant},
    network::{Network, drawn_millis},
    nodes::Place,
    office::Office,
    options::Options,
    oracle::Oracle,
    platform::SimPlatform,
    region::{Command, Heard, Machine, Reply},
    runtime::{self, Process, WORLD, draw, millis, sleep, spawn_on},
    seen::{Happening, Seen},
    violation::{Rule, Violation},
};
use consensus::{
    Applied, Group, GroupConfig, GroupId, Groups, MembershipChange, ProposeError, StartError,
};
use domain::{MemberId, RegionId};
use parking_lot::Mutex;
use sansio::{Seed, Stream};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

const REGION: RegionId = RegionId(7);
const GROUP: GroupId = GroupId::Region(REGION);
/// How long everything may take to settle once healed.
const SETTLES: Duration = Duration::from_secs(120);

pub(crate) type Replicas = Group<Machine, SimPlatform>;

/// A machine in a rack, and what runs on it.
pub(crate) struct Member {
    pub(crate) disk: Disk,
    folder: PathBuf,
    pub(crate) process: Option<Process>,
    log: Option<SimLog>,
    /// Once it has started.
    pub(crate) group: Option<Replicas>,
    /// The duties of a region's leader, where there is a region.
    office: Option<Office>,
    /// Why its process would stop by itself.
    fatal: Option<String>,
    /// The disk was full while this process ran.
    pub(crate) was_full: bool,
    /// Milliseconds that a sync takes at most.
    pub(crate) sync: Rc<Cell<u64>>,
    pub(crate) rate: u64,
    pub(crate) calendar: i64,
    purged: u64,
}

impl Member {
    /// Its process does nothing any more, and is still to be taken away.
    pub(crate) fn is_ended(&self) -> bool {
        self.disk.failed().is_some() || self.fatal.is_some()
    }
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) network: Network,
    pub(crate) members: RefCell<BTreeMap<MemberId, Member>>,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    /// What the world draws by itself, apart from what the runtime draws.
    random: RefCell<Stream>,
    processes: Cell<Process>,
    /// Faults and clients go on.
    pub(crate) stormy: Cell<bool>,
    commands: Cell<u64>,
    /// A region's nodes.
    pub(crate) nodes: RefCell<Vec<Place>>,
}

impl World {
    pub(crate) fn new(options: &Options, oracle: Arc<Mutex<Oracle>>, folder: &Path) -> Rc<Self> {
        plant(options.defect);
        let members = (1..=options.members).map(|n| {
            let quirks = Quirks {
                swallows_full: options.has(Defect::FullDiskSwallowed),
                content_unsynced: options.has(Defect::SnapshotUnsynced),
                names_unsynced: options.has(Defect::SnapshotNameUnsynced),
                swallows_failed_sync: options.has(Defect::GoesOnAfterFailedSync),
            };
            let folder = folder.join(n.to_string());
            std::fs::create_dir(&folder).expect("the folder is new and ours");
            let member = Member {
                disk: Disk::new(quirks, options.seed ^ n << 56),
                folder,
                process: None,
                log: None,
                group: None,
                office: None,
                fatal: None,
                was_full: false,
                sync: Rc::new(Cell::new(options.sync)),
                rate: 1_000_000,
                calendar: 0,
                purged: 0,
            };
            (MemberId(n), member)
        });
        Rc::new(Self {
            network: Network::new(options, Arc::clone(&oracle)),
            members: RefCell::new(members.collect()),
            oracle,
            random: RefCell::new(Seed::from_u64(options.seed).stream("raft world")),
            processes: Cell::new(WORLD),
            stormy: Cell::new(true),
            commands: Cell::new(0),
            nodes: RefCell::new((0..options.nodes).map(|_| Place::default()).collect()),
            options: options.clone(),
        })
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        u64::from(self.random.borrow_mut().below(end as u32))
    }

    pub(crate) fn chance(&self, permille: u32) -> bool {
        self.random.borrow_mut().permille(permille)
    }

    pub(crate) fn saw(&self, what: Happening) {
        self.oracle.lock().seen.saw(what);
    }

    /// Something happened, of that kind, to that member.
    pub(crate) fn note(&self, kind: u64, member: MemberId, line: impl FnOnce() -> String) {
        let mut oracle = self.oracle.lock();
        oracle.now = millis();
        oracle.note(&[100 + kind, member.0, runtime::nanos()], line);
    }

    pub(crate) fn breaks(&self, rule: Rule, what: impl Into<String>) {
        let mut oracle = self.oracle.lock();
        oracle.now = millis();
        oracle.breaks(rule, what);
    }

    fn is_broken(&self) -> bool {
        self.oracle.lock().broken.is_some()
    }

    pub(crate) fn ids(&self) -> BTreeSet<MemberId> {
        self.members.borrow().keys().copied().collect()
    }

    /// Any member, whatever its state.
    pub(crate) fn any(&self) -> MemberId {
        MemberId(1 + self.below(self.options.members))
    }

    /// Draws what a failed sync drops.
    pub(crate) fn drop_stream(&self) -> Stream {
        let seed = u64::from(self.random.borrow_mut().next_u32());
        Seed::from_u64(seed).stream("failed sync")
    }

    /// The group on a member whose process has started, and the process.
    pub(crate) fn running(&self, member: MemberId) -> Option<(Process, Replicas)> {
        let members = self.members.borrow();
        let member = members.get(&member)?;
        Some((member.process?, member.group.clone()?))
    }

    /// Who says of itself that it leads.
    pub(crate) fn leader(&self) -> Option<MemberId> {
        let all = self.ids();
        all.into_iter()
            .filter_map(|id| Some((id, self.running(id)?.1.status())))
            .filter(|(_, status)| status.role == consensus::Role::Leader)
            .max_by_key(|(_, status)| status.term)
            .map(|(id, _)| id)
    }

    /// Does something as a member's process; `None` when the process ends before it is done.
    pub(crate) async fn on<T: 'static>(
        &self,
        process: Process,
        work: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        spawn_on(process, async move {
            sender.send(work.await).ok();
        });
        receiver.await.ok()
    }

    pub(crate) fn new_process(&self) -> Process {
        let process = self.processes.get() + 1;
        self.processes.set(process);
        process
    }

    /// Whether the group has a region's ledger.
    pub(crate) fn has_region(&self) -> bool {
        self.options.nodes > 0
    }

    /// A member's office, once its group has started.
    pub(crate) fn office(&self, member: MemberId) -> Option<Office> {
        self.members.borrow()[&member].office.clone()
    }

    /// Starts a member's process.
    pub(crate) fn boot(self: &Rc<Self>, id: MemberId) {
        let process = self.new_process();
        let (disk, folder, sync) = {
            let mut members = self.members.borrow_mut();
            let member = members.get_mut(&id).expect("members stay");
            if member.process.is_some() {
                return;
            }
            runtime::begin(process, member.rate, member.calendar);
            member.process = Some(process);
            member.was_full = member.disk.is_full();
            member.disk.owned_by(process);
            let speed = Rc::clone(&member.sync);
            (member.disk.clone(), member.folder.clone(), speed)
        };
        self.saw(Happening::Boots);
        self.note(1, id, || format!("{id} starts"));
        let world = Rc::clone(self);
        spawn_on(process, async move {
            if let Err(why) = world.start(id, process, disk, &folder, sync).await {
                world.fatal(id, process, why);
            }
        });
    }

    async fn start(
        self: &Rc<Self>,
        id: MemberId,
        process: Process,
        disk: Disk,
        folder: &Path,
        sync: Rc<Cell<u64>>,
    ) -> Result<(), String> {
        let log = SimLog::open(folder, &disk, self.options.defect).map_err(|e| e.to_string())?;
        self.members
            .borrow_mut()
            .get_mut(&id)
            .expect("members stay")
            .log = Some(log.clone());
        let world = Rc::clone(self);
        spawn_on(
            process,
            log.clone().write_for_ever(
                disk.clone(),
                move || Duration::from_millis(sync.get()),
                move |why| world.fatal(id, process, why),
            ),
        );
        let link = self.network.link(id, process);
        let groups = Groups::<SimPlatform>::on(log, link, disk, Path::new("/data"));
        let oracle = Arc::clone(&self.oracle);
        let config = GroupConfig {
            id: GROUP,
            initial: Machine::new(self.has_region().then_some(REGION)),
            listener: Some(Arc::new(move |applied: Applied<Heard>| {
                let mut oracle = oracle.lock();
                oracle.now = millis();
                for heard in &applied.events {
                    oracle.shown(id, heard);
                }
            })),
            options: self.options.group(),
        };
        let group = groups.start(config).await.map_err(|e| match e {
            StartError::Files { source, .. } => format!("{source:?}"),
            other => other.to_string(),
        })?;
        let mut members = self.members.borrow_mut();
        let member = members.get_mut(&id).expect("members stay");
        if member.process == Some(process) {
            if self.has_region() {
                let office = Office::new(group.clone());
                spawn_on(process, office.clone().duties(id));
                member.office = Some(office);
            }
            member.group = Some(group);
        }
        Ok(())
    }

    /// A process cannot go on: it does nothing any more.
    fn fatal(&self, id: MemberId, process: Process, why: String) {
        let mut members = self.members.borrow_mut();
        let member = members.get_mut(&id).expect("members stay");
        if member.process == Some(process) && member.fatal.is_none() {
            member.fatal = Some(why);
            runtime::pause(process, true);
        }
    }

    /// Ends a member's process, and with `power` what its disk had not synced.
    pub(crate) fn crash(&self, id: MemberId, power: bool) {
        let (process, log, held, loss) = {
            let mut members = self.members.borrow_mut();
            let member = members.get_mut(&id).expect("members stay");
            let Some(process) = member.process.take() else {
                return;
            };
            member.fatal = None;
            let mut random = self.random.borrow_mut();
            let loss = member.disk.restart(power.then_some(&mut *random));
            let held = (member.group.take(), member.office.take());
            (process, member.log.take(), held, loss)
        };
        runtime::within(process, || {
            drop(held);
            if let Some(log) = log {
                log.forget_queued();
            }
        });
        runtime::kill(process);
        self.network.gone(id);
        {
            let mut oracle = self.oracle.lock();
            oracle.seen.saw_many(Happening::WritesLost, loss.files);
            oracle.seen.saw_many(Happening::Torn, loss.torn);
            oracle.seen.saw_many(Happening::Holes, loss.holes);
            oracle.seen.saw_many(Happening::NamesLost, loss.names);
        }
        self.note(2, id, || {
            let how = if power { "loses power" } else { "is killed" };
            format!("{id} {how}: {loss:?}")
        });
    }

    /// Starts a member's process after a while.
    pub(crate) fn boot_after(self: &Rc<Self>, id: MemberId, pause: Duration) {
        let world = Rc::clone(self);
        spawn_on(WORLD, async move {
            sleep(pause).await;
            world.boot(id);
        });
    }

    /// Looks at every member: who leads, who stopped, whose power failed.
    fn look(self: &Rc<Self>) {
        for id in self.ids() {
            let (failed, fatal) = {
                let members = self.members.borrow();
                let member = &members[&id];
                if member.process.is_none() {
                    continue;
                }
                (member.disk.failed(), member.fatal.clone())
            };
            if let Some(end) = failed {
                self.saw(match end {
                    End::Power => Happening::PowerLossesInWrite,
                    End::Killed => Happening::KillsInWrite,
                });
                self.crash(id, end == End::Power);
                let pause = Duration::from_millis(self.below(4000));
                self.boot_after(id, pause);
                if end == End::Killed {
                    self.perhaps_lose_power(id);
                }
                continue;
            }
            let status = self.running(id).map(|(_, group)| group.status());
            let stopped = status.as_ref().and_then(|s| s.failure.clone());
            if let Some(why) = fatal.or(stopped) {
                self.stopped(id, &why);
                continue;
            }
            if let Some(status) = status {
                let mut oracle = self.oracle.lock();
                oracle.now = millis();
                oracle.status(id, &status);
                let mut members = self.members.borrow_mut();
                let member = members.get_mut(&id).expect("members stay");
                if status.purged > member.purged {
                    member.purged = status.purged;
                    oracle.seen.saw(Happening::LogsPurged);
                }
            }
        }
    }

    /// A member's process, or its group there, has stopped by itself: for its disk, or it should not.
    fn stopped(self: &Rc<Self>, id: MemberId, why: &str) {
        let (was_full, sync_failed) = {
            let members = self.members.borrow();
            (members[&id].was_full, members[&id].disk.sync_failed())
        };
        if !was_full && !sync_failed {
            return self.breaks(Rule::Alive, format!("{id} stopped: {why}"));
        }
        // The machine may be restarted with it.
        let power = sync_failed && self.chance(300);
        self.saw(match (sync_failed, power) {
            (true, true) => Happening::SyncStopsAndPower,
            (true, false) => Happening::SyncStops,
            (false, _) => Happening::FullStops,
        });
        self.crash(id, power);
        let pause = Duration::from_millis(1000 + self.below(4000));
        self.boot_after(id, pause);
        if sync_failed {
            self.perhaps_lose_power(id);
        }
    }

    /// Trouble seldom comes alone: what the next run went on from is put to the test.
    fn perhaps_lose_power(self: &Rc<Self>, id: MemberId) {
        if self.chance(500) {
            let pause = Duration::from_millis(1000 + self.below(8000));
            self.after(pause, move |world| {
                if world.goes_on() && world.members.borrow()[&id].process.is_some() {
                    world.saw(Happening::PowerLosses);
                    world.crash(id, true);
                    let down = Duration::from_millis(world.below(3000));
                    world.boot_after(id, down);
                }
            });
        }
    }

    /// One client: proposes and reads, one thing after another, anywhere.
    pub(crate) async fn client(self: Rc<Self>) {
        while self.stormy.get() {
            sleep(Duration::from_millis(
                self.below(2 * self.options.client_every),
            ))
            .await;
            let member = self.any();
            let Some((process, group)) = self.running(member) else {
                continue;
            };
            match self.below(10) {
                0..=5 => drop(self.propose(process, group).await),
                6 | 7 => {
                    let deadline = Duration::from_secs(4);
                    self.read(member, process, group, deadline).await;
                }
                _ => self.confirm().await,
            }
        }
    }

    /// True when it was acknowledged.
    pub(crate) async fn propose(&self, process: Process, group: Replicas) -> Option<u64> {
        let number = self.commands.get() + 1;
        self.commands.set(number);
        let once = self.chance(500);
        let mut freight = vec![0; self.below(u64::from(self.options.ballast) + 1) as usize];
        self.random.borrow_mut().fill(&mut freight);
        let write = Write {
            number,
            once,
            freight,
        };
        let deadline = Duration::from_millis(500 + self.below(8000));
        let floor = self.oracle.lock().floor();
        let proposed = self.on(process, async move {
            let write = Command::Write(write);
            if once {
                group.propose_again(&write, deadline).await
            } else {
                group.propose_within(&write, deadline).await
            }
        });
        let result = proposed.await;
        let mut oracle = self.oracle.lock();
        oracle.now = millis();
        match result {
            Some(Ok(committed)) => {
                let Reply::Line(line) = committed.reply else {
                    oracle.breaks(Rule::Once, "a write is answered as another command");
                    return None;
                };
                if line.first != committed.index {
                    oracle.seen.saw(Happening::WritesAgain);
                }
                oracle.acknowledged(number, floor, committed.index, line.times);
                Some(committed.index)
            }
            Some(Err(e)) if e.surely_not_applied() => {
                oracle.undone(number);
                None
            }
            Some(Err(ProposeError::Reply { why, .. })) => {
                oracle.breaks(Rule::Alive, why);
                None
            }
            // Or its process ended.
            Some(Err(_)) | None => {
                oracle.unknown(number);
                None
            }
        }
    }

    /// One of those who believe to lead asks a quorum.
    async fn confirm(&self) {
        let ids = self.ids().into_iter();
        let believe = ids.filter_map(|id| Some((id, self.running(id)?)));
        let believe: Vec<_> = believe.filter(|(_, (_, g))| g.is_leader()).collect();
        if believe.is_empty() {
            return;
        }
        let (member, (process, group)) = believe[self.below(believe.len() as u64) as usize].clone();
        // Whoever holds a group holds its journal, and a process that begins anew could not.
        drop(believe);
        let newest = self.oracle.lock().leadership();
        let asked = self.on(process, async move {
            let before = group.status().term;
            group.confirm_leadership().await.ok()?;
            (group.status().term == before).then_some(before)
        });
        if let Some(term) = asked.await.flatten() {
            let mut oracle = self.oracle.lock();
            oracle.now = millis();
            oracle.confirmed(member, term, newest);
        }
    }

    /// True when something was read.
    pub(crate) async fn read(
        &self,
        member: MemberId,
        process: Process,
        group: Replicas,
        deadline: Duration,
    ) -> bool {
        let floor = self.oracle.lock().floor();
        let defect = self.options.defect;
        let confirm = self.chance(300);
        let read = self.on(process, async move {
            let believes = defect == Some(Defect::LeaderReadsLocally) && group.is_leader();
            let index = if defect == Some(Defect::ReadsLocally) || believes {
                0
            } else if confirm && group.is_leader() {
                group.confirm_leadership().await.ok()?
            } else {
                group.linearizable_index(deadline).await.ok()?
            };
            if defect != Some(Defect::ReadsUnapplied) {
                group.wait_applied(index, deadline).await.ok()?;
            }
            Some(group.read(Machine::clone))
        });
        match read.await.flatten() {
            Some(machine) => {
                let mut oracle = self.oracle.lock();
                oracle.now = millis();
                oracle.read(member, floor, &machine);
                true
            }
            None => {
                self.saw(Happening::ReadsFailed);
                false
            }
        }
    }

    /// The whole run; the hash of the last state.
    pub(crate) async fn run(self: Rc<Self>) -> Result<u64, Violation> {
        for id in self.ids() {
            self.boot(id);
        }
        self.found().await;
        if self.options.has(Defect::ForeignEntropy) {
            sleep(foreign()).await;
        }
        for _ in 0..self.options.clients {
            spawn_on(WORLD, Rc::clone(&self).client());
        }
        spawn_on(WORLD, Rc::clone(&self).faults());
        if self.has_region() {
            self.found_region().await;
            (0..self.options.nodes as usize).for_each(|i| self.node_boots(i));
            spawn_on(WORLD, Rc::clone(&self).node_faults());
            spawn_on(WORLD, Rc::clone(&self).forbids());
        }
        let end = millis() + self.options.safety * 1000;
        while millis() < end {
            self.look_on().await?;
        }
        self.stormy.set(false);
        self.heal();
        let settled = Rc::new(Cell::new(None));
        let (world, place) = (Rc::clone(&self), Rc::clone(&settled));
        spawn_on(WORLD, async move { place.set(Some(world.settle().await)) });
        let end = millis() + SETTLES.as_millis() as u64;
        let last = loop {
            self.look_on().await?;
            if let Some(last) = settled.get() {
                break last;
            }
            if millis() > end {
                self.breaks(Rule::Settles, self.all_status());
            }
        };
        self.look_on().await?;
        Ok(last)
    }

    async fn look_on(self: &Rc<Self>) -> Result<(), Violation> {
        sleep(Duration::from_millis(20)).await;
        self.look();
        match self.oracle.lock().broken.clone() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    /// The first members make the group.
    async fn found(self: &Rc<Self>) {
        let first = MemberId(1);
        let (process, group) = loop {
            match self.running(first) {
                Some(found) => break found,
                None => sleep(Duration::from_millis(5)).await,
            }
        };
        let made = self.on(process, async move {
            let voters: BTreeSet<MemberId> = [1, 2, 3].map(MemberId).into();
            let learners = [2, 3].map(MemberId).into();
            group.initialize(&[first].into()).await.ok()?;
            let change = MembershipChange::AddLearners(learners);
            group.change(&change, SETTLES).await.ok()?;
            let change = MembershipChange::SetVoters(voters);
            group.change(&change, SETTLES).await.ok()
        });
        if made.await.flatten().is_none() {
            self.breaks(Rule::Settles, "the group cannot be made");
        }
    }

    /// Every fault ends.
    fn heal(self: &Rc<Self>) {
        self.note(3, MemberId(0), || "everything heals".into());
        self.network.heal_all();
        for id in self.ids() {
            {
                let mut members = self.members.borrow_mut();
                let member = members.get_mut(&id).expect("members stay");
                member.disk.set_full(false);
                member.disk.mend_syncs();
                member.sync.set(self.options.sync);
                member.rate = 1_000_000;
                if let Some(process) = member.process {
                    runtime::pause(process, member.is_ended());
                    runtime::set_clock(process, member.rate, Duration::ZERO);
                }
            }
            self.boot_after(id, Duration::from_millis(100));
        }
    }

    /// Once healed: every member of the group takes a command and shows the same state.
    async fn settle(self: Rc<Self>) -> u64 {
        // Processes that were to come back have.
        sleep(Duration::from_secs(9)).await;
        for id in self.ids() {
            loop {
                let Some((process, group)) = self.running(id) else {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                };
                // A member that is out of the group hears nothing of it, not even that it is.
                if self.is_out(id) {
                    break;
                }
                let told = self.propose(process, group).await.is_some();
                if told && let Some((process, group)) = self.running(id) {
                    let deadline = Duration::from_secs(10);
                    if self.read(id, process, group, deadline).await {
                        break;
                    }
                }
                // What is refused at once would be asked for ever without any time passing.
                sleep(Duration::from_millis(50)).await;
            }
        }
        let floor = self.oracle.lock().floor();
        let mut last = 0;
        for id in self.ids() {
            if self.is_out(id) {
                continue;
            }
            loop {
                if let Some((_, group)) = self.running(id) {
                    let machine = group.read(Machine::clone);
                    if machine.book.index >= floor {
                        let mut oracle = self.oracle.lock();
                        oracle.now = millis();
                        oracle.last(id, &machine);
                        last = machine.hash();
                        break;
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        last
    }

    /// Whether the leader does not count it among the group's members.
    fn is_out(&self, id: MemberId) -> bool {
        let leader = self.leader().and_then(|leader| self.running(leader));
        leader.is_some_and(|(_, group)| {
            let status = group.status();
            !status.voters.contains(&id) && !status.learners.contains(&id)
        })
    }

    fn all_status(&self) -> String {
        let of = |id: MemberId| match self.running(id) {
            Some((_, group)) => format!("{:?}", group.status()),
            None => format!("{id} is down"),
        };
        let all: Vec<String> = self.ids().into_iter().map(of).collect();
        all.join("; ")
    }

    /// Up to `most` milliseconds, from the runtime's stream.
    pub(crate) fn a_while(&self, most: u64) -> Duration {
        drawn_millis(most.max(1))
    }

    /// What links and disks counted.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = self.network.seen();
        for member in self.members.borrow().values() {
            seen.saw_many(Happening::FullRefused, member.disk.refused());
            seen.saw_many(Happening::SyncsFailed, member.disk.syncs_failed());
        }
        seen
    }

    /// Whether to go on with what began in the storm.
    pub(crate) fn goes_on(&self) -> bool {
        self.stormy.get() && !self.is_broken()
    }
}

/// A delay that no seed knows.
fn foreign() -> Duration {
    let address = std::ptr::from_ref(&Box::new(0u8)) as usize as u64;
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::from(since.subsec_nanos()));
    Duration::from_nanos((address ^ clock) % 1_000_000 + draw(|r| u64::from(r.below(2))))
}
