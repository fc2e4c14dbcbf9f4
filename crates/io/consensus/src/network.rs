//! openraft's messages over the mesh.

use crate::{
    config::{GroupId, LogId, Types, Vote},
    machine::SnapshotOf,
    pipeline::{self, Answered, Place},
    platform::{
        MeshLink, Platform,
        runtime::{AsyncRuntime, Select2},
    },
    protocol::{Kind, SERVICE, SnapshotInstall, SnapshotPart, encode},
    snapshot::{PIECE, SnapshotFile},
};
use bytes::Bytes;
use domain::{MemberId, limits::RPC_BYTES};
use futures::{FutureExt, Stream, future::BoxFuture, stream::BoxStream};
use mesh::{Priority, RpcError};
use openraft::{
    EmptyNode, OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How long entries may take: a cut link is noticed before.
const APPEND_TIME: Duration = Duration::from_secs(5);
/// How long a piece of a snapshot may take.
const PART_TIME: Duration = Duration::from_secs(30);
/// How long the other side may take to read in a snapshot.
const INSTALL_TIME: Duration = Duration::from_secs(110);

pub(crate) struct Network<P: Platform> {
    pub(crate) endpoint: P::Mesh,
    pub(crate) group: GroupId,
    /// How many ways to followers were opened.
    pub(crate) opened: u64,
}

impl<P: Platform> Clone for Network<P> {
    fn clone(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            group: self.group,
            opened: self.opened,
        }
    }
}

impl<P: Platform> RaftNetworkFactory<Types<P>> for Network<P> {
    type Network = Link<P>;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Link<P> {
        // Unlike any line that this member had, over its restarts as well: no follower may take
        // what comes for a part of an earlier one.
        self.opened += 1;
        let line = self.opened << 48 ^ P::wall().as_millis() as u64;
        Link {
            network: self.clone(),
            target: MemberId(target),
            line,
            sessions: 0,
        }
    }
}

/// A group's way to one other member.
pub(crate) struct Link<P: Platform> {
    network: Network<P>,
    target: MemberId,
    /// Names this way to the follower.
    line: u64,
    /// How many sessions of entries were begun on it.
    sessions: u64,
}

fn broken<P: Platform>(why: impl ToString) -> RPCError<Types<P>> {
    RPCError::Network(NetworkError::from_string(why))
}

impl<P: Platform> Link<P> {
    async fn send(
        &self,
        action: RPCTypes,
        message: Bytes,
        deadline: Duration,
        priority: Priority,
    ) -> Result<Bytes, RPCError<Types<P>>> {
        let endpoint = &self.network.endpoint;
        endpoint
            .rpc_with(self.target, SERVICE, message, deadline, priority)
            .await
            .map_err(|e| match e {
                // openraft waits a while before it tries an unreachable member again.
                RpcError::NotConnected { .. } => RPCError::Unreachable(Unreachable::from_string(e)),
                RpcError::Timeout { after, .. } => RPCError::Timeout(Timeout {
                    action,
                    id: endpoint.member().0,
                    target: self.target.0,
                    timeout: after,
                }),
                other => broken(other),
            })
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        action: RPCTypes,
        kind: Kind,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, RPCError<Types<P>>> {
        let message = encode(self.network.group, kind, request);
        let answer = self
            .send(action, message, deadline, Priority::Urgent)
            .await?;
        postcard::from_bytes(&answer).map_err(broken)
    }

    /// Sends entries, with their place where others may be on their way.
    pub(crate) async fn append(
        &self,
        mut request: AppendEntriesRequest<Types<P>>,
        place: Option<Place>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<P>>, RPCError<Types<P>>> {
        let deadline = if request.entries.is_empty() {
            option.hard_ttl()
        } else {
            APPEND_TIME
        };
        let whole = request.entries.len();
        // One message holds what fits; openraft goes on behind it. One entry always fits.
        loop {
            let message = encode(self.network.group, Kind::Append, &(place, &request));
            if message.len() > RPC_BYTES && request.entries.len() > 1 {
                request.entries.truncate(request.entries.len() / 2);
                continue;
            }
            let answer = self
                .send(RPCTypes::AppendEntries, message, deadline, Priority::Urgent)
                .await?;
            let answer = postcard::from_bytes(&answer).map_err(broken)?;
            return Ok(match answer {
                AppendEntriesResponse::Success if request.entries.len() < whole => {
                    AppendEntriesResponse::PartialSuccess(last_id(&request))
                }
                other => other,
            });
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        file: &SnapshotFile<P::Files>,
    ) -> Result<SnapshotResponse<Types<P>>, RPCError<Types<P>>> {
        let action = RPCTypes::InstallSnapshot;
        let (group, checksum, length) = (self.network.group, file.checksum, file.length);
        let mut part = SnapshotPart {
            checksum,
            length,
            offset: 0,
            bytes: Bytes::new(),
        };
        loop {
            let message = encode(group, Kind::SnapshotPart, &part);
            let answer = self
                .send(action, message, PART_TIME, Priority::Bulk)
                .await?;
            // How much is there: after an interruption, or two senders, not always what was sent.
            let offset: u64 = postcard::from_bytes(&answer).map_err(broken)?;
            if offset >= length {
                break;
            }
            let source = file.clone();
            let bytes = P::blocking(move || source.read_part(offset, PIECE))
                .await
                .map_err(broken)?;
            if bytes.is_empty() {
                return Err(broken("the snapshot's file became shorter"));
            }
            part = SnapshotPart {
                offset,
                bytes: bytes.into(),
                ..part
            };
        }
        let install = SnapshotInstall {
            vote,
            meta: file.meta.clone(),
            checksum,
        };
        let message = encode(group, Kind::SnapshotInstall, &install);
        let answer = self
            .send(action, message, INSTALL_TIME, Priority::Bulk)
            .await?;
        postcard::from_bytes(&answer).map_err(broken)
    }
}

pub(crate) fn last_id<P: Platform>(request: &AppendEntriesRequest<Types<P>>) -> Option<LogId> {
    request
        .entries
        .last()
        .map(|e| e.log_id)
        .or(request.prev_log_id)
}

impl<P: Platform> RaftNetworkV2<Types<P>> for Link<P> {
    type SnapshotData = SnapshotFile<P::Files>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types<P>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<P>>, RPCError<Types<P>>> {
        self.append(request, None, option).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Answered<P>>, RPCError<Types<P>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types<P>>> + OptionalSend + Unpin + 'static,
    {
        self.sessions += 1;
        let place = Place {
            line: self.line,
            session: self.sessions,
            number: 0,
        };
        let answers = pipeline::send(self, place, input, option);
        std::future::ready(Ok(answers)).boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types<P>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<P>>, RPCError<Types<P>>> {
        self.ask(RPCTypes::Vote, Kind::Vote, &request, option.hard_ttl())
            .await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types<P>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<P>>, RPCError<Types<P>>> {
        self.ask(RPCTypes::Vote, Kind::PreVote, &request, option.hard_ttl())
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<P>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types<P>>, StreamingError<Types<P>>> {
        let sent = self.send_snapshot(vote, &snapshot.snapshot);
        match P::Runtime::select2(cancel, sent).await {
            Select2::First(closed) => Err(StreamingError::Closed(closed)),
            Select2::Second(sent) => sent.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types<P>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<P>>, RPCError<Types<P>>> {
        self.ask(
            RPCTypes::TransferLeader,
            Kind::TransferLeader,
            &request,
            option.hard_ttl(),
        )
        .await
    }
}
