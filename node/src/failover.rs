//! Working another city's region while that city's own nodes are gone.

use crate::event::{Event, Events};
use autopilot::Failover;
use consensus::Group;
use domain::{MemberId, RegionId};
use ledger::RegionLedger;
use member::Member;
use service::clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::watch;

/// How often the regions are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Follows the regions whose policy names this node, for as long as the process lives: `sessions`
/// is told where sessions are to be opened, the engine where leads are to be claimed.
pub(crate) async fn follow(
    member: Member,
    events: Events,
    sessions: watch::Sender<BTreeSet<RegionId>>,
) {
    let mut book = Failover::default();
    let mut helped = BTreeSet::new();
    metrics::gauge!("dialmesh_node_regions_helped").set(0.0);
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let grace = member.directory().read(|d| d.voter_policy().grace);
        let now = book.look(clock::monotonic(), grace, &named(&member));
        if now == helped {
            continue;
        }
        for region in now.difference(&helped) {
            tracing::warn!(%region, "the region's own nodes are gone: this node works its leads");
        }
        for region in helped.difference(&now) {
            tracing::info!(%region, "the region's own nodes work its leads again");
        }
        metrics::gauge!("dialmesh_node_regions_helped").set(now.len() as f64);
        helped = now;
        sessions.send_replace(helped.clone());
        events
            .put(Event::Helped(helped.iter().copied().collect()))
            .await;
    }
}

/// Regions whose policy names this node, where it copies the group, and whether a node of their
/// own has a session there.
fn named(member: &Member) -> BTreeMap<RegionId, bool> {
    let me = member.id();
    let homes: Vec<(RegionId, BTreeSet<MemberId>)> = member.directory().read(|directory| {
        let named = directory
            .regions()
            .filter(|r| directory.region_policy(r.id).failover.contains(&me));
        named
            .map(|region| {
                let own = directory
                    .members()
                    .filter(|m| !m.removed && m.region == Some(region.id));
                (region.id, own.map(|m| m.id).collect())
            })
            .collect()
    });
    homes
        .into_iter()
        .filter_map(|(region, own)| {
            let group = member.region(region)?;
            copies(&group, me).then(|| {
                let open = group.read(|ledger| {
                    let mut open = ledger.sessions().filter(|s| s.ended.is_none());
                    open.any(|s| own.contains(&s.node))
                });
                (region, open)
            })
        })
        .collect()
}

/// Whether this member is sent the group's entries, and knows who leads: an old copy says nothing.
fn copies(group: &Group<RegionLedger>, me: MemberId) -> bool {
    let status = group.status();
    let belongs = status.voters.contains(&me) || status.learners.contains(&me);
    belongs && status.leader.is_some()
}
