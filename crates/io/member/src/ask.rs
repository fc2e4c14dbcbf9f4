//! Asking the leaders, from any member.

use crate::{
    member::Member,
    protocol::{
        APPLIED, EFFECTIVE, FRESHNESS, FreshnessRequest, KEEP_ALIVE, KeepAliveReply,
        KeepAliveRequest, OTHER_FRESHNESS, decode, encode,
    },
};
use domain::{MemberId, RegionId, SessionId};
use mesh::{Priority, RpcError};
use std::time::{Duration, Instant};

/// How long one question may take: well within the renewals of the shortest session.
const QUESTION: Duration = Duration::from_secs(2);

/// The answer to a keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// The session is confirmed.
    Confirmed,
    /// It has ended: open a new one.
    Ended,
    /// Nobody could say: ask again.
    Unknown,
}

/// A leader could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No leader that a quorum confirms.
    #[error("the {group} group has no leader that a quorum confirms; see `dialmesh status`")]
    NoQuorum {
        /// Which group.
        group: String,
    },
    /// It was not effective in time.
    #[error(
        "not effective after {waited:?}: a node that may still be dialing has not said that it knows"
    )]
    NotEffective {
        /// How long was waited.
        waited: Duration,
    },
}

impl Member {
    /// Asks a region's leader to confirm a session.
    pub async fn keep_alive(&self, region: RegionId, session: SessionId) -> KeepAlive {
        let Some(leader) = self.region(region).and_then(|group| group.leader()) else {
            return KeepAlive::Unknown;
        };
        let reply = if leader == self.id() {
            self.confirm_session(region, session).await
        } else {
            let request = encode(&KeepAliveRequest { region, session });
            let endpoint = self.endpoint();
            let asked = endpoint
                .rpc_with(leader, KEEP_ALIVE, request, QUESTION, Priority::Urgent)
                .await;
            match asked.ok().and_then(|bytes| decode(&bytes).ok()) {
                Some(reply) => reply,
                None => return KeepAlive::Unknown,
            }
        };
        match reply {
            KeepAliveReply::Confirmed => KeepAlive::Confirmed,
            KeepAliveReply::Ended => KeepAlive::Ended,
            KeepAliveReply::NotLeading => KeepAlive::Unknown,
        }
    }

    /// Asks the directory's leader for its commit index, for a node whose engine has applied
    /// `applied`. None when nobody could say: ask again.
    pub async fn fresh(&self, applied: u64) -> Option<u64> {
        let leader = self.directory().leader()?;
        if leader == self.id() {
            return self.confirm_fresh(self.id(), applied).await.ok();
        }
        let question = encode(&FreshnessRequest {
            applied,
            delta: self.freshness().delta,
        });
        let asked =
            self.endpoint()
                .rpc_with(leader, FRESHNESS, question, QUESTION, Priority::Urgent);
        match asked.await {
            Ok(answer) => decode(&answer).ok(),
            Err(RpcError::Service {
                code: OTHER_FRESHNESS,
                message,
                ..
            }) => {
                tracing::error!(%leader, message, "this node may not dial");
                None
            }
            Err(_) => None,
        }
    }

    /// Tells the directory's leader that this node's engine has applied `index`. Best effort: the
    /// next freshness request says it again.
    pub async fn tell_applied(&self, index: u64) {
        match self.directory().leader() {
            Some(leader) if leader == self.id() => self.note_applied(leader, index),
            Some(leader) => {
                let endpoint = self.endpoint();
                let told = endpoint
                    .rpc_with(leader, APPLIED, encode(&index), QUESTION, Priority::Urgent)
                    .await;
                if let Err(error) = told {
                    tracing::debug!(%error, "the directory's leader was not told what is applied");
                }
            }
            None => {}
        }
    }

    /// Waits until the directory's entries up to `index` are effective: no node can send an INVITE
    /// that they forbid. At most `deadline`.
    ///
    /// # Errors
    /// [`AskError::NotEffective`] after the deadline; then it may yet become so.
    pub async fn effective(&self, index: u64, deadline: Duration) -> Result<(), AskError> {
        let began = Instant::now();
        let failed = || AskError::NotEffective { waited: deadline };
        loop {
            let left = deadline.checked_sub(began.elapsed()).ok_or_else(failed)?;
            let over = match self.directory().leader() {
                Some(leader) if leader == self.id() => {
                    let wait = tokio::time::timeout(left, self.wait_effective_here(index));
                    wait.await.map_err(|_| failed())?.is_ok()
                }
                Some(leader) => self.ask_effective(leader, index, left).await,
                None => false,
            };
            if over {
                return Ok(());
            }
            // The leader changed or is not there: a new one is asked.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask_effective(&self, leader: MemberId, index: u64, left: Duration) -> bool {
        self.endpoint()
            .rpc(leader, EFFECTIVE, encode(&index), left)
            .await
            .is_ok()
    }
}
