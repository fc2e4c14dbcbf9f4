//! Where carriers are that are given by name: looked up, and again when the answer is old.

use crate::event::{Event, Events};
use domain::{SipTransport, TrunkAddress, TrunkId};
use member::Member;
use sip_transport::Locator;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::task::AbortHandle;

/// How often the directory is looked at for trunks that changed.
const LOOK: Duration = Duration::from_millis(500);
/// The first answer is told twice: the engine may not have heard of the trunk yet.
const AGAIN: Duration = Duration::from_secs(2);
/// How long after a failure it is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// A trunk whose carrier is given by name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    address: String,
    host: String,
    port: Option<u16>,
    transport: SipTransport,
}

/// Follows this node's trunks for as long as the process lives, and asks `servers`, or those of the
/// system where none are given. A node without named carriers needs no resolver.
pub(crate) async fn follow(member: Member, events: Events, servers: Vec<SocketAddr>) {
    metrics::describe_counter!(
        "dialmesh_trunk_lookups_total",
        "Look-ups of carriers' names, by result"
    );
    metrics::describe_gauge!(
        "dialmesh_trunk_targets",
        "Addresses that a carrier's name leads to"
    );
    let mut locator = None;
    let mut applied = member.directory().watch_applied();
    let mut followed: BTreeMap<TrunkId, (Named, AbortHandle)> = BTreeMap::new();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = named(&member);
        followed.retain(|id, (named, task)| {
            let stays = now.get(id) == Some(named);
            if !stays {
                task.abort();
                metrics::gauge!("dialmesh_trunk_targets", "trunk" => id.to_string()).set(0.0);
            }
            stays
        });
        if locator.is_none() && !now.is_empty() {
            match Locator::new(&servers) {
                Ok(set_up) => locator = Some(set_up),
                Err(error) => {
                    tracing::error!(%error, "carriers that are given by name cannot be found")
                }
            }
        }
        for (id, named) in now {
            let Some(locator) = &locator else { break };
            followed.entry(id).or_insert_with(|| {
                let (events, locator) = (events.clone(), locator.clone());
                let task = tokio::spawn(one(id, named.clone(), events, locator));
                (named, task.abort_handle())
            });
        }
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// This node's trunks whose carriers are given by name.
fn named(member: &Member) -> BTreeMap<TrunkId, Named> {
    let me = member.id();
    member.directory().read(|directory| {
        let own = directory.trunks().filter(|trunk| trunk.node == me);
        let named = own.filter_map(|trunk| match trunk.address.parse() {
            Ok(TrunkAddress::Named { host, port }) => Some((
                trunk.id,
                Named {
                    address: trunk.address.clone(),
                    host,
                    port,
                    transport: trunk.transport,
                },
            )),
            Ok(TrunkAddress::At(_)) | Err(_) => None,
        });
        named.collect()
    })
}

/// Looks one name up again and again. While nobody answers, what was known last stays in use.
async fn one(id: TrunkId, named: Named, events: Events, locator: Locator) {
    let counted = |result| {
        metrics::counter!("dialmesh_trunk_lookups_total", "result" => result).increment(1);
    };
    let known = metrics::gauge!("dialmesh_trunk_targets", "trunk" => id.to_string());
    let (mut retry, mut told) = (RETRY.0, Vec::new());
    loop {
        let found = (locator.locate(&named.host, named.port, named.transport)).await;
        let rest = match found {
            Ok(found) => {
                counted("found");
                known.set(found.targets.len() as f64);
                retry = RETRY.0;
                let new = told != found.targets;
                if new {
                    tracing::info!(trunk = %id, name = named.address, targets = ?found.targets, "the carrier's name leads here");
                    told.clone_from(&found.targets);
                }
                let located = Event::Located {
                    trunk: id,
                    name: named.address.clone(),
                    targets: found.targets,
                };
                events.put(located).await;
                match new {
                    true => AGAIN.min(found.ttl),
                    false => found.ttl,
                }
            }
            Err(error) => {
                counted("failed");
                tracing::warn!(trunk = %id, name = named.address, %error, "the carrier's name leads nowhere; what was known of it stays in use");
                let rest = retry;
                retry = (retry * 2).min(RETRY.1);
                rest
            }
        };
        tokio::time::sleep(rest).await;
    }
}
