//! Who votes: each group's leader shows the autopilot what it sees and takes the step it names.

use crate::{
    member::Member,
    protocol::{NOT_LEADING, ROUND_TRIPS, VOTERS, decode, encode},
};
pub use autopilot::VoterHealth;
use autopilot::{Candidate, Decision, GroupView, Health, Policy, Presence, Step, decide, heir};
use bytes::Bytes;
use consensus::{ChangeError, Group, GroupId, GroupStatus, MembershipChange};
use domain::MemberId;
use mesh::ServiceError;
use parking_lot::Mutex;
use sansio::Replicated;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How often a leader looks.
const LOOK: Duration = Duration::from_millis(500);
/// Until it looks again after a step, for there may be another.
const NEXT: Duration = Duration::from_millis(50);
/// How long a change of members may take before it is looked at anew.
const CHANGE: Duration = Duration::from_secs(10);
/// How long another may take to lead.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long a group's member may leave messages unanswered before it counts as silent, though its
/// link is up: its process hangs, or the group has stopped there.
const ANSWER: Duration = Duration::from_secs(10);
/// A member that was not noted yet is not there, and far from lost.
const UNSEEN: Duration = Duration::from_secs(6);
/// How often links are noted.
const NOTE: Duration = Duration::from_secs(1);
/// How often whoever votes asks the others how far they are from each other.
const TRIPS: Duration = Duration::from_secs(15);
/// At most so many are asked.
const TRIPS_ASKED: usize = 32;
const QUESTION: Duration = Duration::from_secs(1);

/// What a member keeps for the autopilots of the groups that it leads, or may lead.
#[derive(Debug)]
pub(crate) struct Watch {
    presence: Mutex<Presence>,
    reports: Mutex<BTreeMap<GroupId, VotersReport>>,
    started: domain::Instant,
    /// In which term this member leads a group, and since when.
    led: Mutex<BTreeMap<GroupId, (u64, domain::Instant)>>,
    /// This member is about to stop: it leads nothing any more.
    leaving: AtomicBool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            presence: Mutex::default(),
            reports: Mutex::default(),
            started: service::clock::monotonic(),
            led: Mutex::default(),
            leaving: AtomicBool::new(false),
        }
    }
}

impl Watch {
    /// Since when a group that this member leads is led by it: as far as was seen.
    fn led_since(&self, status: &GroupStatus, now: domain::Instant) -> domain::Instant {
        let mut led = self.led.lock();
        let kept = led.entry(status.id).or_insert((status.term, now));
        if kept.0 != status.term {
            *kept = (status.term, now);
        }
        kept.1
    }
}

/// A group's voters as its leader sees them, and what it does about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotersReport {
    /// Who says this.
    pub leader: MemberId,
    /// The last entry of its log.
    pub last_log: u64,
    /// The last entry that each other voter and learner is known to have.
    pub matched: Vec<(MemberId, Option<u64>)>,
    /// How the group is.
    pub health: Health,
    /// What is done next and why, or what is waited for.
    pub why: String,
    /// The last step taken here since this member leads, and when.
    pub last_step: Option<(String, domain::WallTime)>,
}

impl Member {
    /// Keeps the voters of one group, wherever this member leads.
    pub(crate) async fn keep_voters<M: Replicated>(self, group: Group<M>) {
        let id = group.id();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if !group.is_leader() {
                if self.watch().reports.lock().remove(&id).is_some() {
                    gauges(id, 0, None);
                }
                continue;
            }
            let status = group.status();
            let (view, policy) = self.view(&status);
            let decision = decide(&view, &policy);
            gauges(id, status.voters.len(), Some(&decision.health));
            self.note(&status, &decision);
            let Some(step) = decision.step else {
                self.finish_half(&group, &status).await;
                continue;
            };
            match self.take(&group, &status, step).await {
                Ok(()) => {
                    tracing::info!(group = %id, ?step, why = decision.why, "autopilot");
                    self.note_step(id, &decision);
                    metrics::counter!("dialmesh_autopilot_steps_total", "group" => id.to_string(), "step" => word(step)).increment(1);
                    looks.reset_after(NEXT);
                }
                Err(error) => {
                    tracing::warn!(group = %id, ?step, %error, "autopilot: the step was not taken; looked at anew");
                }
            }
        }
    }

    /// What a leader that was lost began is brought to its end.
    async fn finish_half<M: Replicated>(&self, group: &Group<M>, status: &GroupStatus) {
        let Some(voters) = &status.half_changed else {
            return;
        };
        let change = MembershipChange::SetVoters(voters.iter().copied().collect());
        match group.change_as_leader(&change, status, CHANGE).await {
            Ok(()) => {
                tracing::info!(group = %group.id(), ?voters, "a half-done change of voters is finished")
            }
            Err(error) => {
                tracing::warn!(group = %group.id(), %error, "a half-done change of voters was not finished; tried again");
            }
        }
    }

    async fn take<M: Replicated>(
        &self,
        group: &Group<M>,
        status: &GroupStatus,
        step: Step,
    ) -> Result<(), ChangeError> {
        let mut voters: BTreeSet<MemberId> = status.voters.iter().copied().collect();
        let change = match step {
            Step::TransferLeader(to) => return group.hand_over_within(to, HAND_OVER).await,
            Step::AddLearner(id) => MembershipChange::AddLearners([id].into()),
            Step::Remove(id) => MembershipChange::Remove([id].into()),
            Step::Promote(id) => {
                voters.insert(id);
                MembershipChange::SetVoters(voters)
            }
            Step::Replace { out, by } => {
                voters.remove(&out);
                voters.insert(by);
                MembershipChange::SetVoters(voters)
            }
            Step::Demote(id) => {
                voters.remove(&id);
                MembershipChange::SetVoters(voters)
            }
        };
        group.change_as_leader(&change, status, CHANGE).await
    }

    fn view(&self, status: &GroupStatus) -> (GroupView, Policy) {
        let me = self.id();
        let now = service::clock::monotonic();
        let replicas: BTreeMap<MemberId, &consensus::Replica> =
            status.replicas.iter().map(|r| (r.member, r)).collect();
        let since = self.watch().led_since(status, now);
        let presence = self.watch().presence.lock();
        // Whoever has what the leader had a look ago has caught up: at a distance nobody ever has
        // what it has now.
        let last_look = (self.watch().reports.lock().get(&status.id)).map(|r| r.last_log);
        let leaving = self.watch().leaving.load(Ordering::Relaxed);
        let region = match status.id {
            GroupId::Directory => None,
            GroupId::Region(region) => Some(region),
        };
        self.directory().read(|directory| {
            let candidates = directory.members().map(|member| {
                let place = directory.place(member.id);
                let mut candidate = Candidate {
                    id: member.id,
                    name: member.name.clone(),
                    role: member.role,
                    region: member.region,
                    failure_domain: directory.failure_domain(member).to_owned(),
                    legal_domain: place.and_then(|p| p.legal_domain.clone()),
                    draining: directory.is_draining(member.id) || (member.id == me && leaving),
                    removed: member.removed,
                    silent: Duration::ZERO,
                    steady: now.since(self.watch().started),
                    losses: 0,
                    matched: Some(status.last_log),
                };
                if member.id != me {
                    let replica = replicas.get(&member.id);
                    candidate.matched = replica.and_then(|r| r.matched);
                    // Noted within a second of its joining; till then it is not there.
                    let seen = presence.seen(now, member.id);
                    let away = replica
                        .and_then(|r| r.answered_ago)
                        .filter(|ago| *ago > ANSWER);
                    candidate.silent = seen.map_or(UNSEEN, |seen| seen.silent);
                    candidate.steady = seen.map_or(Duration::ZERO, |seen| seen.steady);
                    candidate.losses = seen.map_or(0, |seen| seen.losses);
                    if let Some(away) = away {
                        candidate.silent = candidate.silent.max(away);
                        candidate.steady = Duration::ZERO;
                    }
                }
                (member.id, candidate)
            });
            let kept = directory.voter_policy();
            let policy = Policy {
                voters: usize::from(kept.voters),
                grace: kept.grace,
                stable: kept.stable,
                legal_domain: region.and_then(|id| directory.region_policy(id).legal_domain),
                ..Policy::default()
            };
            let view = GroupView {
                region,
                leader: me,
                led: now.since(since),
                voters: status.voters.iter().copied().collect(),
                learners: status.learners.iter().copied().collect(),
                changing: status.changing,
                last_log: last_look.map_or(status.last_log, |seen| seen.min(status.last_log)),
                members: candidates.collect(),
                round_trips: presence.trips(),
            };
            (view, policy)
        })
    }

    fn note(&self, status: &GroupStatus, decision: &Decision) {
        let mut reports = self.watch().reports.lock();
        let last_step = reports
            .remove(&status.id)
            .and_then(|report| report.last_step);
        let matched = status.replicas.iter().map(|r| (r.member, r.matched));
        let report = VotersReport {
            leader: self.id(),
            last_log: status.last_log,
            matched: matched.collect(),
            health: decision.health.clone(),
            why: decision.why.clone(),
            last_step,
        };
        reports.insert(status.id, report);
    }

    fn note_step(&self, id: GroupId, decision: &Decision) {
        if let Some(report) = self.watch().reports.lock().get_mut(&id) {
            report.last_step = Some((decision.why.clone(), service::clock::wall()));
        }
    }

    /// From now on this member leads no group for longer than it takes to hand it over.
    pub fn leave_office(&self) {
        self.watch().leaving.store(true, Ordering::Relaxed);
    }

    /// Hands over what this member leads, to a voter that is there and has caught up; nothing
    /// where there is none.
    pub(crate) async fn hand_over_all(&self) {
        self.leave_office();
        let mut handed = Vec::new();
        for (_, group) in self.regions() {
            handed.push(tokio::spawn(self.clone().hand_over(group)));
        }
        handed.push(tokio::spawn(
            self.clone().hand_over(self.directory().clone()),
        ));
        for one in handed {
            if let Err(error) = one.await {
                tracing::error!(%error, "a group was not handed over");
            }
        }
    }

    async fn hand_over<M: Replicated>(self, group: Group<M>) {
        if !group.is_leader() {
            return;
        }
        let (view, policy) = self.view(&group.status());
        let Some(to) = heir(&view, &policy) else {
            return;
        };
        match group.hand_over_within(to, HAND_OVER).await {
            Ok(()) => tracing::info!(group = %group.id(), %to, "handed over"),
            // The others elect when they miss the leader.
            Err(error) => tracing::info!(group = %group.id(), %error, "not handed over"),
        }
    }

    /// Notes who is there and how far, for as long as the process lives.
    pub(crate) async fn watch_presence(self) {
        let mut connected = self.endpoint().watch_connected();
        let mut ticks = tokio::time::interval(NOTE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked = None;
        loop {
            tokio::select! {
                changed = connected.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
            }
            let now = service::clock::monotonic();
            let linked = connected.borrow_and_update().clone();
            let known: BTreeSet<MemberId> = self.directory().read(|directory| {
                let all = directory.members().filter(|m| !m.removed);
                all.map(|m| m.id).collect()
            });
            {
                let mut presence = self.watch().presence.lock();
                let others = known.iter().copied().filter(|id| *id != self.id());
                presence.linked(now, &linked, &others.collect());
                for peer in linked.intersection(&known) {
                    if let Some(time) = self.endpoint().rtt(*peer) {
                        presence.trip(now, self.id(), *peer, time);
                    }
                }
            }
            // Whoever votes may lead the next moment, and should know then.
            let me = self.id();
            let votes = self.directory().status().voters.contains(&me)
                || (self.regions().iter()).any(|(_, group)| group.status().voters.contains(&me));
            if votes && asked.is_none_or(|at| now.since(at) >= TRIPS) {
                asked = Some(now);
                self.ask_trips(linked.intersection(&known).copied()).await;
            }
        }
    }

    /// How far the others are from each other.
    async fn ask_trips(&self, peers: impl Iterator<Item = MemberId>) {
        for peer in peers.take(TRIPS_ASKED) {
            let asked = self
                .endpoint()
                .rpc(peer, ROUND_TRIPS, encode(&()), QUESTION);
            let Some(told): Option<Vec<(MemberId, u32)>> =
                asked.await.ok().and_then(|bytes| decode(&bytes).ok())
            else {
                continue;
            };
            let now = service::clock::monotonic();
            let mut presence = self.watch().presence.lock();
            for (other, micros) in told.into_iter().take(domain::limits::MEMBERS) {
                presence.trip(now, peer, other, Duration::from_micros(u64::from(micros)));
            }
        }
    }

    fn round_trips(&self) -> Vec<(MemberId, u32)> {
        let connected = self.endpoint().watch_connected();
        let peers = connected.borrow().clone();
        peers
            .into_iter()
            .filter_map(|peer| {
                let time = self.endpoint().rtt(peer)?;
                Some((peer, u32::try_from(time.as_micros()).unwrap_or(u32::MAX)))
            })
            .collect()
    }

    /// What the leader of a group says about its voters; none when no leader says anything.
    pub async fn voters_report(&self, id: GroupId) -> Option<VotersReport> {
        let here = self.watch().reports.lock().get(&id).cloned();
        if here.is_some() {
            return here;
        }
        let leader = match id {
            GroupId::Directory => self.directory().leader(),
            GroupId::Region(region) => self.region(region)?.leader(),
        }?;
        if leader == self.id() {
            return None;
        }
        let asked = self.endpoint().rpc(leader, VOTERS, encode(&id), QUESTION);
        decode(&asked.await.ok()?).ok()
    }

    pub(crate) fn serve_voters(&self) {
        let member = self.clone();
        self.endpoint().serve(ROUND_TRIPS, move |_, _: Bytes| {
            let trips = encode(&member.round_trips());
            async { Ok(trips) }
        });
        let member = self.clone();
        self.endpoint().serve(VOTERS, move |_, request: Bytes| {
            let asked: Result<GroupId, _> = decode(&request);
            let report = asked.and_then(|id| {
                let report = member.watch().reports.lock().get(&id).cloned();
                report.ok_or_else(|| ServiceError::new(NOT_LEADING, "this member does not lead it"))
            });
            async { report.map(|report| encode(&report)) }
        });
    }
}

/// As the leader sees it; 0 on members that do not lead.
fn gauges(id: GroupId, voters: usize, health: Option<&Health>) {
    let set = |name: &'static str, value: usize| {
        metrics::gauge!(name, "group" => id.to_string()).set(value as f64);
    };
    set("dialmesh_raft_voters", voters);
    let (healthy, tolerance) = health.map_or((0, 0), |h| (h.healthy_voters, h.failure_tolerance));
    set("dialmesh_raft_healthy_voters", healthy);
    set("dialmesh_raft_failure_tolerance", tolerance);
}

fn word(step: Step) -> &'static str {
    match step {
        Step::AddLearner(_) => "add_learner",
        Step::Promote(_) => "promote",
        Step::Replace { .. } => "replace",
        Step::Demote(_) => "demote",
        Step::Remove(_) => "remove",
        Step::TransferLeader(_) => "transfer_leader",
    }
}
