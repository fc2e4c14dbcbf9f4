//! What the cities have learned of who answers a campaign's calls, put together.

use crate::{
    asking,
    backend::{Backend, missing},
};
use bytes::Bytes;
use dialmesh_http::{admin::Answer, dto::CampaignLearned};
use domain::{CampaignId, ListId, MemberId};
use member::{LEARNED, NOT_HERE, encode};
use mesh::RpcError;
use scoring::Answers;

/// What a node said.
enum Told {
    Learned(Box<Answers>),
    /// It dialed none of the campaign's leads.
    Nothing,
    Silent,
}

fn told(node: MemberId, campaign: CampaignId, answer: Result<Bytes, RpcError>) -> Told {
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
    let (found, order) = (backend.member.directory())
        .read(|directory| (directory.campaign(id).is_some(), directory.lead_order(id)));
    if !found {
        return Err(missing("campaign", id));
    }
    let nodes = asking::nodes(backend);
    let said = asking::ask(backend, nodes, LEARNED, &encode(&id)).await;
    let said = said
        .into_iter()
        .map(|(node, answer)| (node, told(node, id, answer)));
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
