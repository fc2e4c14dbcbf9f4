//! What a group answers to other members.

use crate::{
    change::{MembershipChange, change_here},
    config::Types,
    group::GroupCore,
    pipeline::Place,
    platform::Platform,
    protocol::{self, Kind, SnapshotInstall, SnapshotPart, code},
    snapshot::SnapshotFile,
};
use bytes::Bytes;
use domain::MemberId;
use futures::future::{BoxFuture, FutureExt};
use mesh::ServiceError;
use openraft::{Snapshot, errors::RaftError};
use sansio::Replicated;
use std::{io, sync::Arc, task::Poll};

/// A group of any machine, as the mesh sees it.
pub(crate) trait Receive: Send + Sync {
    fn receive(
        &self,
        from: MemberId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, ServiceError>>;
}

impl<M: Replicated, P: Platform> Receive for Arc<GroupCore<M, P>> {
    fn receive(
        &self,
        from: MemberId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, ServiceError>> {
        let core = Arc::clone(self);
        async move { core.handle(from, kind, body).await }.boxed()
    }
}

fn stopped(e: impl ToString) -> ServiceError {
    ServiceError::new(code::STOPPED, e.to_string())
}

impl<M: Replicated, P: Platform> GroupCore<M, P> {
    /// Hands entries to openraft in the order in which they were sent.
    async fn append(&self, from: MemberId, body: &[u8]) -> Result<Bytes, ServiceError> {
        let (place, request): (Option<Place>, _) = protocol::decode(body)?;
        let answered = match place {
            None => self.raft.append_entries(request).await,
            Some(place) => {
                self.lines.turn::<P>(from, place).await?;
                let mut answered = std::pin::pin!(self.raft.append_entries(request));
                // They are in openraft's queue once it was polled.
                let polled = futures::poll!(&mut answered);
                self.lines.taken(from, place);
                match polled {
                    Poll::Ready(answered) => answered,
                    Poll::Pending => answered.await,
                }
            }
        };
        Ok(protocol::answer(&answered.map_err(stopped)?))
    }

    async fn handle(&self, from: MemberId, kind: Kind, body: Bytes) -> Result<Bytes, ServiceError> {
        use protocol::{answer, decode};
        match kind {
            Kind::Append => self.append(from, &body).await,
            Kind::Vote => Ok(answer(
                &self.raft.vote(decode(&body)?).await.map_err(stopped)?,
            )),
            Kind::PreVote => Ok(answer(
                &self.raft.pre_vote(decode(&body)?).await.map_err(stopped)?,
            )),
            Kind::TransferLeader => {
                let request = decode(&body)?;
                Ok(answer(
                    &self
                        .raft
                        .handle_transfer_leader(request)
                        .await
                        .map_err(stopped)?,
                ))
            }
            Kind::SnapshotPart => self.take_part(decode(&body)?).await,
            Kind::SnapshotInstall => self.install(decode(&body)?).await,
            Kind::ProposeMany => self.take_proposals(body).await,
            Kind::ReadIndex => Ok(answer(&self.read_index_here().await?)),
            Kind::Change => {
                let change: MembershipChange = decode(&body)?;
                change_here(&self.raft, &change).await?;
                Ok(Bytes::new())
            }
        }
    }

    /// Confirms by a quorum round that this member leads now.
    pub(crate) async fn read_index_here(&self) -> Result<u64, ServiceError> {
        // ReadIndex and nothing else: LeaseRead answered stale reads (see the crate's page).
        let policy = openraft::ReadPolicy::ReadIndex;
        match self.raft.get_read_linearizer(policy).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(e)) => Err(ServiceError::new(code::NOT_LEADER, e.to_string())),
            Err(RaftError::Fatal(e)) => Err(stopped(e)),
        }
    }

    async fn take_part(&self, part: SnapshotPart) -> Result<Bytes, ServiceError> {
        let snapshots = self.machine.0.snapshots.clone();
        // One at a time: two leaders' pieces never interleave.
        let guard = Arc::clone(&self.receiving).lock_owned().await;
        let work = move || -> io::Result<u64> {
            let _guard = guard;
            snapshots.take_part(&part.checksum, part.length, (part.offset, &part.bytes))
        };
        let there = P::blocking(work).await;
        there
            .map(|t| protocol::answer(&t))
            .map_err(|e| ServiceError::new(code::TORN, e.to_string()))
    }

    async fn install(&self, install: SnapshotInstall) -> Result<Bytes, ServiceError> {
        let snapshots = self.machine.0.snapshots.clone();
        let guard = Arc::clone(&self.receiving).lock_owned().await;
        let meta = install.meta.clone();
        let check = move || -> io::Result<SnapshotFile<P::Files>> {
            let path = snapshots.incoming(&install.checksum);
            let checked = snapshots.read(&path).and_then(|file| {
                let torn =
                    || io::Error::new(io::ErrorKind::InvalidData, "it is not the one announced");
                if file.checksum != install.checksum || file.meta != install.meta {
                    return Err(torn());
                }
                file.read_body()?;
                Ok(file)
            });
            if checked.is_err() {
                snapshots.drop_incoming(&path)?;
            }
            checked
        };
        let file = P::blocking(check).await.map_err(|e| {
            tracing::warn!(group = %self.id, error = %e, "a received snapshot is torn and was refused");
            ServiceError::new(code::TORN, e.to_string())
        })?;
        let snapshot = Snapshot {
            meta,
            snapshot: file,
        };
        let answered = self
            .raft
            .install_full_snapshot(install.vote, snapshot)
            .await;
        drop(guard);
        Ok(protocol::answer(&answered.map_err(stopped)?))
    }
}

/// The openraft handle of a machine.
pub(crate) type RaftOf<M, P> = openraft::Raft<Types<P>, crate::machine::Machine<M, P>>;
