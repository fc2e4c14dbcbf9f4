//! What the cities have learned of who answers a campaign's calls, put together.

use crate::backend::{Backend, missing};
use dialmesh_http::{admin::Answer, dto::CampaignLearned};
use domain::{CampaignId, ListId, MemberId, MemberRole};
use futures::{StreamExt, stream};
use member::{LEARNED, NOT_HERE, encode};
use mesh::RpcError;
use scoring::Answers;
use std::time::Duration;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How many nodes are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// What a node said.
enum Told {
    Learned(Box<Answers>),
    /// It dialed none of the campaign's leads.
    Nothing,
    Silent,
}

async fn ask(backend: &Backend, node: MemberId, campaign: CampaignId) -> Told {
    let endpoint = backend.member.endpoint();
    let answer = endpoint.rpc(node, LEARNED, encode(&campaign), ANSWER).await;
    match answer {
        Ok(bytes) => match Answers::read(&bytes) {
            Ok(answers) => Told::Learned(Box::new(answers)),
            Err(error) => {
                tracing::warn!(%node, %campaign, %error, "what a node learned cannot be read");
                Told::Silent
            }
        },
        Err(RpcError::Service { code: NOT_HERE, .. }) => Told::Nothing,
        Err(error) => {
            tracing::debug!(%node, %campaign, %error, "a node did not tell what it learned");
            Told::Silent
        }
    }
}

pub(crate) async fn campaign(backend: &Backend, id: CampaignId) -> Answer<CampaignLearned> {
    let (found, order, nodes) = backend.member.directory().read(|directory| {
        let nodes = directory.members();
        let nodes = nodes.filter(|m| m.role == MemberRole::Node && !m.removed);
        let nodes: Vec<MemberId> = nodes.map(|m| m.id).collect();
        (
            directory.campaign(id).is_some(),
            directory.lead_order(id),
            nodes,
        )
    });
    if !found {
        return Err(missing("campaign", id));
    }
    let asked = stream::iter(nodes).map(|node| async move { (node, ask(backend, node, id).await) });
    let said: Vec<(MemberId, Told)> = asked.buffered(ASKED_AT_ONCE).collect().await;
    let mut all = Answers::new(0.5);
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for (node, said) in said {
        match said {
            Told::Learned(answers) => {
                // Chances begin where a node's do.
                match told.is_empty() {
                    true => all = *answers,
                    false => all.add(&answers),
                }
                told.push(node);
            }
            Told::Nothing => {}
            Told::Silent => silent.push(node),
        }
    }
    let learned = backend.member.directory().read(|directory| {
        let name = |list: ListId| {
            directory
                .list(list)
                .map(|l| l.name.clone())
                .unwrap_or_default()
        };
        CampaignLearned::new(id, order.into(), &all, name)
    });
    Ok(CampaignLearned {
        told,
        silent,
        ..learned
    })
}
