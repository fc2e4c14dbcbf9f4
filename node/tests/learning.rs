//! What a node learns of who answers, from a real call to where a coordinator reads it; its leads come by
//! claims for the best chance.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/floor.rs"]
mod floor;

use bytes::Bytes;
use common::until;
use domain::{CallerIdStandings, CampaignId, LeadOrder, MeshVersion};
use floor::Floor;
use ledger::Change;
use member::{LEARNED, NOT_HERE, STANDINGS, decode, encode};
use mesh::RpcError;
use scoring::Answers;
use serde_json::json;
use simulations::{
    audio::rtp::RtpThread,
    phone::{Phone, PhoneConfig},
};
use std::time::Duration;

/// How long the node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(30);

/// Asks the node as a coordinator does; none where it has learned nothing.
async fn learned(floor: &Floor, campaign: CampaignId) -> Option<Answers> {
    let endpoint = floor.founder.member.endpoint();
    let answer = endpoint.rpc(floor.node, LEARNED, encode(&campaign), ANSWER);
    match answer.await {
        Ok(bytes) => Some(Answers::read(&bytes).unwrap()),
        Err(RpcError::Service { code: NOT_HERE, .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_learns_from_its_calls_and_claims_by_what_it_learned() {
    let mut floor = Floor::new().await;
    let order = MeshVersion::LEAD_ORDER;
    // The node has said what it understands, and the region knows it: from here on a claim by chance is
    // one, and not the other in its place.
    until("the region may be asked by chance", LONG, async || {
        let regions = floor.founder.member.regions();
        let known = regions
            .iter()
            .all(|(_, r)| r.read(|r| r.mesh_version()) >= order);
        (known && !regions.is_empty()).then_some(())
    })
    .await;
    let campaign = floor.campaign;
    let best = Change::SetLeadOrder {
        campaign,
        order: LeadOrder::BestChance,
    };
    floor.founder.change(best).await;
    assert!(learned(&floor, campaign).await.is_none());

    let rtp = RtpThread::start("phones").unwrap();
    let registrar = ([127, 0, 0, 1], floor.city.agents).into();
    let phone = Phone::start(PhoneConfig::new("li", "secret", registrar), rtp).await;
    let phone = phone.unwrap();
    let mut status = phone.status();
    let known = status.wait_for(|s| s.registered);
    let known = tokio::time::timeout(LONG, known).await;
    known.expect("the phone registers").unwrap();
    floor.screen.press(json!({"type": "log_in"})).await;
    (floor.screen)
        .wait("the leg is up", |n| n["phone"] == "up")
        .await;
    floor.screen.press(json!({"type": "ready"})).await;
    floor.dial().await;
    (floor.screen)
        .wait("a person is on the line", |n| n["type"] == "call")
        .await;
    floor.screen.press(json!({"type": "hang_up"})).await;
    (floor.screen)
        .wait("wrap-up", |n| n["state"] == "wrap_up")
        .await;
    let sale = json!({"type": "dispose", "disposition": "sale", "note": ""});
    floor.screen.press(sale).await;

    let answers = until("the answer is learned", LONG, async || {
        learned(&floor, campaign).await
    })
    .await;
    let all = answers.all();
    assert!(all.lines > 0 && all.answered == all.lines, "{all:?}");
    let (by_chance, held_out) = answers.compared();
    assert_eq!(by_chance.lines + held_out.lines, all.lines);
    assert_eq!(answers.lists().len(), 1);

    // The number that was shown is known by now, and its place.
    let endpoint = floor.founder.member.endpoint();
    let answer = endpoint.rpc(floor.node, STANDINGS, Bytes::new(), ANSWER);
    let standings: CallerIdStandings = decode(&answer.await.unwrap()).unwrap();
    let lines = standings.numbers.iter().map(|number| number.lines_today);
    assert_eq!(u64::from(lines.sum::<u32>()), all.lines);
    assert_eq!(standings.pools.len(), 1, "{:?}", standings.pools);
    assert_eq!(standings.pools[0].country, "US");
    assert!(learned(&floor, CampaignId(99)).await.is_none());
}
