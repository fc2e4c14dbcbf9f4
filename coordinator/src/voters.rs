//! Who votes: settings, and what the leaders of the groups say about it.

use crate::{
    backend::{Backend, audit, missing},
    members,
};
use consensus::GroupId;
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{Autopilot, GroupStatus, Member, RegionPolicy, ReplicaHealth, VoterSettings},
};
use domain::{MemberId, RegionId};
use ledger::{Change, VoterPolicy};
use member::{VoterHealth, VotersReport};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often the leaders are asked.
const ASK: Duration = Duration::from_secs(2);

/// What the leaders last said; of a group whose leader says nothing, nothing.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<BTreeMap<GroupId, VotersReport>>);

impl Reports {
    /// Adds what is known of a group to what is shown of it.
    pub(crate) fn complete(&self, id: GroupId, status: &mut GroupStatus) {
        let held = self.0.lock();
        let Some(report) = held.get(&id).filter(|r| status.leader == Some(r.leader)) else {
            return;
        };
        for member in &mut status.members {
            let matched = report.matched.iter().find(|(id, _)| *id == member.member);
            member.matched_index = match matched {
                Some((_, matched)) => *matched,
                None => (member.member == report.leader).then_some(report.last_log),
            };
            let health = report.health.members.iter();
            let health = health.clone().find(|(id, _)| *id == member.member);
            member.health = health.map(|(_, health)| match health {
                VoterHealth::Healthy => ReplicaHealth::Healthy,
                VoterHealth::Behind => ReplicaHealth::Behind,
                VoterHealth::Silent => ReplicaHealth::Silent,
            });
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        status.autopilot = Some(Autopilot {
            healthy_voters: count(report.health.healthy_voters),
            failure_tolerance: count(report.health.failure_tolerance),
            last_index: report.last_log,
            why: report.why.clone(),
            last_step: report.last_step.as_ref().map(|(step, _)| step.clone()),
            last_step_at: report.last_step.as_ref().map(|(_, at)| (*at).into()),
        });
    }
}

/// Asks the leaders of all groups, for as long as the process lives.
pub(crate) async fn ask(backend: Arc<Backend>) {
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let regions = backend.member.regions().into_iter();
        let groups = regions.map(|(id, _)| GroupId::Region(id));
        let asked = groups.chain([GroupId::Directory]).map(|id| {
            let member = backend.member.clone();
            async move { Some((id, member.voters_report(id).await?)) }
        });
        let told = futures::future::join_all(asked).await;
        *backend.voters.0.lock() = told.into_iter().flatten().collect();
    }
}

pub(crate) fn settings(backend: &Backend) -> VoterSettings {
    let policy = backend.member.directory().read(|d| d.voter_policy());
    VoterSettings {
        voters: policy.voters,
        grace_seconds: policy.grace.as_secs(),
        stable_seconds: policy.stable.as_secs(),
    }
}

pub(crate) async fn set_settings(
    backend: &Backend,
    by: &Caller,
    wanted: VoterSettings,
) -> Answer<VoterSettings> {
    audit(by, "set_voter_settings", &format!("{wanted:?}"));
    let policy = VoterPolicy {
        voters: wanted.voters,
        grace: Duration::from_secs(wanted.grace_seconds),
        stable: Duration::from_secs(wanted.stable_seconds),
    };
    backend.change(Change::SetVoterPolicy { policy }).await?;
    Ok(settings(backend))
}

pub(crate) fn policy(backend: &Backend, id: RegionId) -> Answer<RegionPolicy> {
    let policy = backend.member.directory().read(|d| {
        let known = d.regions().any(|region| region.id == id);
        known.then(|| d.region_policy(id))
    });
    let policy = policy.ok_or_else(|| missing("region", id))?;
    Ok(RegionPolicy {
        legal_domain: policy.legal_domain,
        failover: policy.failover,
    })
}

pub(crate) async fn set_policy(
    backend: &Backend,
    by: &Caller,
    id: RegionId,
    wanted: RegionPolicy,
) -> Answer<RegionPolicy> {
    policy(backend, id)?;
    audit(by, "set_region_policy", &format!("{id} {wanted:?}"));
    let policy = ledger::RegionPolicy {
        legal_domain: wanted.legal_domain,
        failover: wanted.failover,
    };
    backend
        .change(Change::SetRegionPolicy { id, policy })
        .await?;
    self::policy(backend, id)
}

pub(crate) async fn drain(
    backend: &Backend,
    by: &Caller,
    id: MemberId,
    on: bool,
) -> Answer<Member> {
    members::show(backend, id)?;
    let act = if on { "drain_member" } else { "undrain_member" };
    audit(by, act, &id.to_string());
    backend.change(Change::DrainMember { id, on }).await?;
    members::show(backend, id)
}
