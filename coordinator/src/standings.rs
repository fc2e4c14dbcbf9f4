//! What the nodes know of their caller IDs, put together.

use crate::{
    asking,
    backend::{Backend, missing},
};
use bytes::Bytes;
use dialmesh_http::{
    admin::Answer,
    dto::{CallerIdReputations, StandingsQuery},
};
use domain::CallerIdStandings;
use member::{STANDINGS, decode};

pub(crate) async fn caller_ids(
    backend: &Backend,
    query: StandingsQuery,
) -> Answer<CallerIdReputations> {
    let mut nodes = asking::nodes(backend);
    if let Some(node) = query.node {
        nodes.retain(|known| *known == node);
        if nodes.is_empty() {
            return Err(missing("node", node));
        }
    }
    let said = asking::ask(backend, nodes, STANDINGS, &Bytes::new()).await;
    let said = said.into_iter().map(|(node, answer)| {
        let standings: Result<CallerIdStandings, String> = answer
            .map_err(|error| error.to_string())
            .and_then(|bytes| decode(&bytes).map_err(|error| error.to_string()));
        if let Err(error) = &standings {
            tracing::debug!(%node, %error, "a node did not tell of its caller IDs");
        }
        (node, standings.ok())
    });
    Ok(CallerIdReputations::new(said.collect()))
}
