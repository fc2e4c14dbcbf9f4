//! Live calls, asked of the nodes that have them; supervisors, let in there.

use crate::backend::{Backend, audit, missing};
use bytes::Bytes;
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{LiveCall, LiveCalls, Seat, Timestamp},
    problem::BackendError,
};
use domain::{
    AgentId, AttemptId, LiveFloor, MemberId, MemberRole, Supervision, SupervisionOrder,
    SupervisionRefusal,
};
use futures::future::join_all;
use member::{LIVE_CALLS, SUPERVISE, decode, decode_live, encode};
use mesh::RpcError;
use std::time::Duration;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

async fn ask(
    backend: &Backend,
    node: MemberId,
    service: mesh::ServiceId,
    body: Bytes,
) -> Result<Bytes, RpcError> {
    let endpoint = backend.member.endpoint();
    endpoint.rpc(node, service, body, ANSWER).await
}

/// The live calls of every node that is connected; none of one that did not answer.
async fn floors(backend: &Backend) -> Vec<(MemberId, Option<LiveFloor>)> {
    let nodes: Vec<MemberId> = backend.member.directory().read(|directory| {
        let nodes = directory.members();
        let nodes = nodes.filter(|m| m.role == MemberRole::Node && !m.removed);
        nodes.map(|m| m.id).collect()
    });
    let asked = nodes.into_iter().map(|node| async move {
        let answer = ask(backend, node, LIVE_CALLS, encode(&())).await;
        let floor = answer.map_err(|error| error.to_string());
        let floor = floor.and_then(|body| decode_live(&body).map_err(|error| error.to_string()));
        if let Err(error) = &floor {
            tracing::debug!(%node, error, "a node did not tell its live calls");
        }
        (node, floor.ok())
    });
    join_all(asked).await
}

pub(crate) async fn list(backend: &Backend) -> Answer<LiveCalls> {
    let told = floors(backend).await;
    Ok(backend.member.directory().read(|directory| {
        let login = |id| {
            let account = directory.agent(id);
            account.map(|a| a.login.clone()).unwrap_or_default()
        };
        let campaign = |id| {
            let campaign = directory.campaign(id);
            campaign.map(|c| c.name.clone()).unwrap_or_default()
        };
        let mut all = LiveCalls::default();
        for (node, floor) in told {
            let Some(floor) = floor else {
                all.silent.push(node);
                continue;
            };
            all.data.extend(floor.calls.iter().map(|call| {
                LiveCall {
                    campaign_name: campaign(call.campaign),
                    agent_login: login(call.agent),
                    held_since: (floor.held.iter())
                        .find(|(held, _)| *held == call.attempt)
                        .map(|(_, since)| Timestamp(*since)),
                    ..LiveCall::new(node, call)
                }
            }));
            all.seats.extend(floor.seats.into_iter().map(|agent| Seat {
                agent,
                login: login(agent),
                node,
            }));
        }
        all
    }))
}

/// Lets a supervisor into a call at the node of the supervisor's audio leg, or out of it.
pub(crate) async fn supervise(
    backend: &Backend,
    by: &Caller,
    (call, seat): (AttemptId, AgentId),
    manner: Option<Supervision>,
) -> Answer<()> {
    let node = backend.member.directory().read(|directory| {
        let mut agents = directory.agents();
        agents
            .find(|agent| agent.id == seat)
            .map(|agent| agent.node)
    });
    let node = node.ok_or_else(|| missing("agent", seat))?;
    let act = manner.map_or("leave", Supervision::name);
    // Before it is done: what was tried is kept, too.
    audit(by, "supervise_call", &format!("{act} {call} seat={seat}"));
    let order = SupervisionOrder { call, seat, manner };
    let answer = ask(backend, node, SUPERVISE, encode(&order)).await;
    let answer = answer.map_err(|error| BackendError::Unavailable {
        detail: format!(
            "the node {node}, where the supervisor's audio leg is, did not answer: {error}"
        ),
        retry_after: Duration::from_secs(1),
    })?;
    let result: Result<(), SupervisionRefusal> =
        decode(&answer).map_err(|error| BackendError::Internal(error.to_string()))?;
    match result {
        Ok(()) => Ok(()),
        Err(SupervisionRefusal::NotLive) => Err(elsewhere(backend, call, node).await),
        Err(refusal) => Err(BackendError::Conflict(format!(
            "{refusal} ({act}, {call}, {node})"
        ))),
    }
}

/// Why a call is not at a node: it is at another, or nowhere.
async fn elsewhere(backend: &Backend, call: AttemptId, node: MemberId) -> BackendError {
    let has = |floor: &Option<LiveFloor>| {
        let calls = floor.iter().flat_map(|floor| &floor.calls);
        calls.into_iter().any(|live| live.attempt == call)
    };
    let found = floors(backend)
        .await
        .into_iter()
        .find(|(_, floor)| has(floor));
    let name = |id| {
        let named = |member: &domain::Member| member.name.clone();
        (backend.member.directory())
            .read(|d| d.member(id).map(named))
            .unwrap_or_default()
    };
    match found {
        Some((there, _)) => BackendError::Conflict(format!(
            "the call is at {} ({there}), the supervisor's audio leg at {} ({node}): both must be at one \
             node; use an agent account of {}",
            name(there),
            name(node),
            name(there)
        )),
        None => missing("live call", call),
    }
}
