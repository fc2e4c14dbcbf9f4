//! One question to every node at once, each with a time limit.

use crate::backend::Backend;
use bytes::Bytes;
use domain::{MemberId, MemberRole};
use futures::{StreamExt, stream};
use mesh::{RpcError, ServiceId};
use std::time::Duration;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How many nodes are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// The nodes of the mesh.
pub(crate) fn nodes(backend: &Backend) -> Vec<MemberId> {
    backend.member.directory().read(|directory| {
        let nodes = directory.members();
        let nodes = nodes.filter(|m| m.role == MemberRole::Node && !m.removed);
        nodes.map(|m| m.id).collect()
    })
}

/// What each says, in their order.
pub(crate) async fn ask(
    backend: &Backend,
    nodes: Vec<MemberId>,
    service: ServiceId,
    question: &Bytes,
) -> Vec<(MemberId, Result<Bytes, RpcError>)> {
    let asked = stream::iter(nodes).map(|node| async move {
        let endpoint = backend.member.endpoint();
        (
            node,
            endpoint.rpc(node, service, question.clone(), ANSWER).await,
        )
    });
    asked.buffered(ASKED_AT_ONCE).collect().await
}
