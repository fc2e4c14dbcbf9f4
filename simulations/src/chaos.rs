//! Trouble for a running mesh, drawn from one seed: processes killed and held, links cut whole, in
//! part and one way, the quorum lost; opt-outs meanwhile. The judge is the carrier's log.

mod script;
mod window;

pub use script::{Fault, Means, kills, script};

use crate::{
    carrier::witness::{self, Event},
    checker::{Check, Class, Verdict},
    world::{
        DncAnswer, Evidence, Problem, Wait, World, WorldConfig, add_do_not_call, clock_library,
        holds, small_disks_work, wall_ms,
    },
};
use anyhow::Context as _;
use sansio::{Seed, Stream};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Session and do-not-call freshness of the run: the shortest allowed, so that much happens.
pub const PERMIT: Duration = Duration::from_secs(5);
/// Somebody who did not answer rests this long.
const REST: Duration = Duration::from_secs(20);
const ATTEMPTS_MAX: u32 = 3;
/// The mesh version at which all begin; they are upgraded one by one.
const BEFORE: u16 = 1;
/// How long a member may take to stop in order: its drain and what it owes.
const STOPS: Duration = Duration::from_secs(15);
/// Opt-outs on their way at a time.
const ASKING: usize = 4;
/// What a member that ended by itself said last.
const LAST_LINES: usize = 20;
/// How long a member that is whole again may need to dial.
const BACK: Duration = Duration::from_secs(60);
/// How long calls and records may need to come to their end after the last fault: networks let
/// the calls of a dead node ring for a minute.
const SETTLE: Duration = Duration::from_secs(120);

/// What this machine allows, and what not and why.
pub fn means() -> (Means, Vec<String>) {
    let mut missing = Vec::new();
    let mut works = |what: &str, tried: anyhow::Result<()>| {
        if let Err(error) = &tried {
            missing.push(format!("SKIPPED: {what}: {error:#}"));
        }
        tried.is_ok()
    };
    let means = Means {
        disks: works("full disks", small_disks_work()),
        clocks: works("clocks that jump", clock_library().map(drop)),
    };
    (means, missing)
}

/// A world for it.
pub fn world(binary: &Path, seed: u64, means: Means) -> WorldConfig {
    let mut config = WorldConfig::new(binary, seed);
    config.agents_per_city = 8;
    config.small_disks = means.disks;
    config.clocks = means.clocks.then(clock_library).and_then(Result::ok);
    config.session_ttl = PERMIT;
    config.freshness = PERMIT;
    config.hold_version = Some(BEFORE);
    config.campaign = json!({
        "ring_limit_seconds": 15,
        "talk_limit_seconds": 60,
        "attempts_max": ATTEMPTS_MAX,
        "retry": [
            {"after": "no_answer", "delay_seconds": REST.as_secs(), "attempts_max": ATTEMPTS_MAX},
            {"after": "busy", "delay_seconds": REST.as_secs(), "attempts_max": ATTEMPTS_MAX},
            {"after": "unknown", "delay_seconds": REST.as_secs(), "attempts_max": ATTEMPTS_MAX},
        ],
    });
    config
}

/// How many people a run of that length needs: so few that most are called again, so many that
/// there is always somebody to call.
pub fn people(length: Duration) -> usize {
    100 + 7 * length.as_secs() as usize
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Every fault with the time since the start.
    pub faults: Vec<(Duration, Fault)>,
    /// From starting a killed process to its `/readyz`.
    pub restarts: Vec<Duration>,
    /// From healing a cut to the next INVITE there.
    pub resumed: Vec<Duration>,
    /// How long opt-outs took to be effective, whole or not.
    pub opt_outs: Vec<Duration>,
    /// Opt-outs that were refused, and accepted later.
    pub refused: u32,
    /// Cities alone: which, from and to (wall milliseconds).
    alone: Vec<(String, i64, i64)>,
    /// Cities whose process stood still: which, from and to.
    held: Vec<(String, i64, i64)>,
    /// When the calling window closed (wall milliseconds), where clocks can be set.
    closed: Option<i64>,
}

struct Run<'a, F> {
    world: &'a mut World,
    outcome: Outcome,
    draws: Stream,
    say: F,
    began: Instant,
    /// Opt-outs on their way.
    asked: JoinSet<Asked>,
    /// Numbers whose opt-out nobody confirmed yet.
    owed: Vec<String>,
    /// Who was upgraded.
    upgraded: BTreeSet<String>,
}

/// Who asked to be left alone, how long that took, and what was answered, if anything in time.
type Asked = (String, Duration, Option<anyhow::Result<DncAnswer>>);

/// Runs a script; every member is whole again afterwards. Then the calling window closes.
///
/// # Errors
/// A member does not come back, or the world breaks.
pub async fn run(
    world: &mut World,
    seed: u64,
    script: Vec<Fault>,
    say: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let mut run = Run {
        world,
        outcome: Outcome::default(),
        draws: Seed::from_u64(seed).stream("opt-outs"),
        say,
        began: Instant::now(),
        asked: JoinSet::new(),
        owed: Vec::new(),
        upgraded: BTreeSet::new(),
    };
    for fault in script {
        run.fault(fault).await?;
    }
    run.upgrade_the_rest().await?;
    run.settle_owed().await?;
    if run.world.config().clocks.is_some() {
        (run.say)("          the calling window closes");
        run.outcome.closed = Some(window::close(run.world).await?);
        run.nobody_ended()?;
    }
    Ok(run.outcome)
}

impl<F: FnMut(&str)> Run<'_, F> {
    async fn fault(&mut self, fault: Fault) -> anyhow::Result<()> {
        let at = self.began.elapsed();
        (self.say)(&format!("{:>6.1} s  {fault}", at.as_secs_f64()));
        self.outcome.faults.push((at, fault.clone()));
        let from = wall_ms();
        match &fault {
            Fault::Kill { member, .. } => self.kill(member)?,
            Fault::Hold { member, .. } => self.world.hold_member(member)?,
            Fault::Cut { members, .. } => {
                for member in members {
                    self.world.cut(member)?;
                }
            }
            Fault::CutPair { a, b, .. } => self.world.cut_pair(a, b)?,
            Fault::CutOneWay { from, to, .. } => self.world.cut_one_way(from, to)?,
            Fault::FullDisk { member, .. } => self.world.fill_disk(member)?,
            Fault::Clock { member, ahead, .. } => self.world.set_clock(member, *ahead)?,
            Fault::Upgrade { member } => self.upgrade(member).await?,
        }
        self.opt_out()?;
        tokio::time::sleep(
            fault
                .span()
                .saturating_sub(self.began.elapsed().saturating_sub(at)),
        )
        .await;
        let to = wall_ms();
        match &fault {
            Fault::Kill { member, .. } => {
                self.restart(member).await?;
            }
            Fault::Hold { member, .. } => {
                self.world.let_member_go(member)?;
                self.outcome.held.push((member.clone(), from, wall_ms()));
            }
            Fault::Cut { members, .. } => {
                let cities = members.iter().filter(|m| self.world.is_city(m));
                let alone = cities
                    .map(|city| (city.clone(), from, to))
                    .collect::<Vec<_>>();
                self.outcome.alone.extend(alone);
                self.world.heal(None)?;
            }
            Fault::CutPair { .. } | Fault::CutOneWay { .. } => self.world.heal(None)?,
            Fault::FullDisk { member, .. } => {
                self.world.free_disk(member)?;
                if self.world.goes_on(member).await? {
                    (self.say)("          it went on");
                } else {
                    self.restart(member).await?;
                }
            }
            Fault::Clock { member, .. } => self.world.set_clock(member, 0)?,
            Fault::Upgrade { .. } => {}
        }
        self.nobody_ended()?;
        self.all_dial(matches!(fault, Fault::Cut { .. })).await
    }

    /// Whatever happens, only what was killed or has a full disk ends.
    fn nobody_ended(&mut self) -> anyhow::Result<()> {
        for member in self.world.members() {
            if !self.world.member_is_alive(&member)? {
                let said = self.world.said(&member, LAST_LINES)?;
                anyhow::bail!("{member} ended by itself; it said last:\n{said}");
            }
        }
        Ok(())
    }

    fn kill(&mut self, member: &str) -> anyhow::Result<()> {
        if self.world.is_city(member) {
            return self.world.kill(member);
        }
        self.world.kill_coordinator();
        Ok(())
    }

    async fn restart(&mut self, member: &str) -> anyhow::Result<()> {
        let start = if self.world.is_city(member) {
            self.world.restart(member).await?
        } else {
            self.world.restart_coordinator().await?
        };
        (self.say)(&format!("          {member} serves after {start}"));
        self.outcome.restarts.push(start.took);
        Ok(())
    }

    async fn upgrade(&mut self, member: &str) -> anyhow::Result<()> {
        let start = self.world.upgrade(member, STOPS).await?;
        (self.say)(&format!("          {member} serves after {start}"));
        self.upgraded.insert(member.to_owned());
        Ok(())
    }

    /// Whoever was not upgraded yet is now, one by one; then the mesh is at what all understand.
    async fn upgrade_the_rest(&mut self) -> anyhow::Result<()> {
        let at = |status: &serde_json::Value| (status["mesh_version"].as_u64(), status.clone());
        for member in self.world.members() {
            if self.upgraded.contains(&member) {
                continue;
            }
            let (version, status) = at(&self.world.api().get("/status").await?);
            anyhow::ensure!(
                version == Some(u64::from(BEFORE)),
                "{member} understands {BEFORE}, and the mesh is at another version: {status}"
            );
            self.fault(Fault::Upgrade { member }).await?;
        }
        let newest = u64::from(domain::MeshVersion::NEWEST.0);
        let api = Arc::clone(self.world.api());
        let all = async |_: &World| {
            let status = api.get("/status").await;
            status.is_ok_and(|status| at(&status).0 == Some(newest))
        };
        self.world
            .until("all understand each other", BACK, all)
            .await?;
        (self.say)(&format!("          the mesh is at version {newest}"));
        Ok(())
    }

    /// Every city dials again; how long that took is noted after a cut.
    async fn all_dial(&mut self, note: bool) -> anyhow::Result<()> {
        let from = wall_ms();
        for city in self.world.cities() {
            let what = format!("{city} dials again");
            let took = self.world.until(&what, BACK, async |world| {
                invites(world, &city, from, i64::MAX).is_ok_and(|n| n > 0)
            });
            let took = took.await?;
            if note {
                self.outcome.resumed.push(took);
            }
        }
        Ok(())
    }

    /// Somebody wants to be left alone, called before or not. Nobody waits for the answer: faults go
    /// on meanwhile. What is refused is asked again at the end.
    fn opt_out(&mut self) -> anyhow::Result<()> {
        while let Some(asked) = self.asked.try_join_next() {
            self.answered(asked?)?;
        }
        if self.asked.len() == ASKING {
            return Ok(());
        }
        let leads = self.world.leads();
        let number = leads[self.draws.below(leads.len() as u32) as usize].clone();
        let api = Arc::clone(self.world.api());
        self.asked.spawn(async move {
            let began = Instant::now();
            let added = add_do_not_call(&api, &number, Wait::Effective);
            let answer = tokio::time::timeout(PERMIT * 3, added).await.ok();
            (number, began.elapsed(), answer)
        });
        Ok(())
    }

    fn answered(&mut self, (number, took, answer): Asked) -> anyhow::Result<()> {
        match answer {
            Some(Ok(answer)) => {
                anyhow::ensure!(answer.state == "effective", "it is {}", answer.state);
                self.world.expect_never_since(&number, answer.at_ms);
                self.outcome.opt_outs.push(took);
                return Ok(());
            }
            // A coordinator that is down or held answers nothing; one that lives says why.
            Some(Err(error)) => {
                if let Some(problem) = error.downcast_ref::<Problem>() {
                    anyhow::ensure!(problem.status == 503, "{problem}");
                }
            }
            None => {}
        }
        self.outcome.refused += 1;
        self.owed.push(number);
        Ok(())
    }

    async fn settle_owed(&mut self) -> anyhow::Result<()> {
        while let Some(asked) = self.asked.join_next().await {
            self.answered(asked?)?;
        }
        let deadline = Instant::now() + BACK;
        for number in std::mem::take(&mut self.owed) {
            while let Err(error) = self.world.add_do_not_call(&number, Wait::Effective).await {
                anyhow::ensure!(
                    Instant::now() < deadline,
                    "an opt-out is refused for good: {error:#}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }
}

/// Median, 99th percentile and longest of some times.
pub fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |percent: usize| sorted[((sorted.len() - 1) * percent).div_ceil(100)];
    match sorted.last() {
        None => "none".to_owned(),
        Some(longest) => format!(
            "{} times: median {:.1?}, p99 {:.1?}, longest {longest:.1?}",
            sorted.len(),
            at(50),
            at(99),
        ),
    }
}

/// INVITEs by a city's trunk within a span of wall time.
///
/// # Errors
/// The carrier's log cannot be read.
pub fn invites(world: &World, trunk: &str, from_ms: i64, to_ms: i64) -> anyhow::Result<usize> {
    let log = witness::read(&world.carrier_log())?;
    let counted = log.iter().filter(|entry| {
        entry.trunk == trunk
            && (from_ms..to_ms).contains(&entry.wall_ms)
            && matches!(entry.event, Event::Invite { .. })
    });
    Ok(counted.count())
}

/// Ends the run and judges it by the carrier's log.
///
/// # Errors
/// The evidence cannot be gathered.
pub async fn judge(world: &mut World, outcome: &Outcome) -> anyhow::Result<Verdict> {
    let mut evidence = world.finish(SETTLE).await.context("ending the run")?;
    let again = [
        Class::Busy,
        Class::Unavailable,
        Class::Cancelled,
        Class::AnsweredAtCancel,
        Class::Silent,
    ];
    let never = [
        Class::Answered,
        Class::Unallocated,
        Class::Rejected,
        Class::Failure,
    ];
    evidence.orders.gap = REST;
    evidence.orders.gap_after = (again.into_iter())
        .map(|class| (class, Some(REST)))
        .collect();
    evidence.orders.attempts_max = ATTEMPTS_MAX;
    evidence.deaf.clone_from(&outcome.held);
    let mut verdict = evidence.judge(60)?;
    verdict.checks.push(once_answered(&evidence, &never));
    verdict.checks.push(alone(&evidence, outcome));
    verdict
        .checks
        .push(window::closed(&evidence, outcome.closed));
    Ok(verdict)
}

/// Whoever was reached is not called again, unless the node died before it could tell.
fn once_answered(evidence: &Evidence, never: &[Class]) -> Check {
    let mut known = std::collections::BTreeMap::<&str, bool>::new();
    let records: Vec<serde_json::Value> = (evidence.records.lines())
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    for record in &records {
        if let Some(call) = record["sip_call_id"].as_str() {
            known.insert(call, record["disposition"] != "unknown");
        }
    }
    let dials = crate::checker::dials(&evidence.log);
    let mut ended = std::collections::BTreeMap::<&str, i64>::new();
    let mut check = holds("nobody who was reached is called again", true, String::new);
    check.checked = 0;
    for dial in &dials {
        check.checked += 1;
        if ended.contains_key(dial.number.as_str()) {
            check.failures += 1;
            check.examples.push(format!("call {}", dial.call_id));
        }
        let told = known.get(dial.call_id.as_str()).copied().unwrap_or(false);
        if told && never.contains(&dial.class()) {
            ended.insert(&dial.number, dial.ended_ns as i64);
        }
    }
    check.examples.truncate(crate::checker::EXAMPLES);
    check
}

/// A city that is alone sends its last INVITE before its permission ends.
fn alone(evidence: &Evidence, outcome: &Outcome) -> Check {
    let mut check = holds(
        "a city alone stops before its permission ends",
        true,
        String::new,
    );
    check.checked = 0;
    for (city, from, to) in &outcome.alone {
        let end = from + PERMIT.as_millis() as i64;
        check.checked += 1;
        let late = evidence.log.iter().find(|entry| {
            entry.trunk == *city
                && (end..*to).contains(&entry.wall_ms)
                && matches!(entry.event, Event::Invite { .. })
        });
        if let Some(entry) = late {
            check.failures += 1;
            check
                .examples
                .push(format!("{city}: {} ms after the cut", entry.wall_ms - from));
        }
    }
    check
}
