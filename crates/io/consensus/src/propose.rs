//! Proposing commands, from any member.

use crate::{
    config::GroupId,
    gather::QUORUM_WAIT,
    group::Group,
    platform::{InstantOf, Platform, now, runtime::Instant, within},
    protocol::code,
};
use bytes::Bytes;
use domain::{MeshVersion, limits::RPC_BYTES};
use mesh::{RpcError, ServiceError};
use sansio::Replicated;
use std::time::Duration;

/// Bytes of one encoded command: with its frame it fits in one message.
pub(crate) const COMMAND_BYTES: usize = RPC_BYTES - 64 * 1024;

/// A command that was committed and applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<R> {
    /// Index of its entry.
    pub index: u64,
    /// What the machine replied.
    pub reply: R,
}

/// A command was not answered with a reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader with a quorum was found in time. **The command was not and will not be applied.**
    #[error(
        "{group} has no leader with a quorum of its voters (waited {waited:?}, last: {last}); see \
         that most of its voters run and reach each other"
    )]
    NoQuorum {
        /// Which group.
        group: GroupId,
        /// How long was waited.
        waited: Duration,
        /// What the last try met.
        last: String,
    },
    /// It was sent, and its end is not known. **It may be applied, now or later.** Propose it again
    /// only if the machine recognises it (node, session and sequence in the command), then its
    /// first application counts.
    #[error("{group} did not confirm the command ({why}); it may or may not be applied")]
    UnknownOutcome {
        /// Which group.
        group: GroupId,
        /// What happened.
        why: String,
    },
    /// The command exceeds the limit. Not applied.
    #[error(
        "a command of {bytes} bytes exceeds the limit of {COMMAND_BYTES}; propose smaller batches"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The group refused it for good. Not applied.
    #[error("{group} refused the command: {why}")]
    Refused {
        /// Which group.
        group: GroupId,
        /// Why.
        why: String,
    },
    /// The reply cannot be read by this release. It **was applied**.
    #[error("{group} applied the command, but its reply cannot be read by this release: {why}")]
    Reply {
        /// Which group.
        group: GroupId,
        /// What is wrong.
        why: String,
    },
}

impl ProposeError {
    /// Whether the command certainly was not applied and never will be.
    pub fn surely_not_applied(&self) -> bool {
        matches!(
            self,
            Self::NoQuorum { .. } | Self::TooLarge { .. } | Self::Refused { .. }
        )
    }
}

/// How one try at the leader ended badly.
pub(crate) enum Miss {
    /// Nothing was done: try again, perhaps elsewhere.
    Again(String),
    /// It may have been done.
    Unknown(String),
    /// It will never work.
    Refused(String),
}

impl Miss {
    pub(crate) fn of_service(e: ServiceError) -> Self {
        Self::of_code(e.code, e.message)
    }

    fn of_code(number: u16, message: String) -> Self {
        match number {
            code::NOT_LEADER | code::UNKNOWN_GROUP | code::STOPPED => Self::Again(message),
            code::UNREADABLE | code::REFUSED => Self::Refused(message),
            _ => Self::Unknown(message),
        }
    }

    pub(crate) fn of_rpc(e: RpcError) -> Self {
        match e {
            e if e.surely_not_done() => Self::Again(e.to_string()),
            RpcError::Service { code, message, .. } => Self::of_code(code, message),
            RpcError::TooLarge { .. } => Self::Refused(e.to_string()),
            e => Self::Unknown(e.to_string()),
        }
    }
}

impl<M: Replicated, P: Platform> Group<M, P> {
    /// Proposes a command and waits (10 s at most) for the machine's reply. Works on any member: it
    /// finds the leader, and tries again as long as surely nothing was done.
    ///
    /// # Errors
    /// [`ProposeError`]; after [`ProposeError::UnknownOutcome`] the command may have been applied.
    pub async fn propose(&self, command: M::Command) -> Result<M::Reply, ProposeError> {
        self.propose_within(&command, Duration::from_secs(10))
            .await
            .map(|c| c.reply)
    }

    /// [`Group::propose`] with its own deadline; also tells the index.
    ///
    /// # Errors
    /// As [`Group::propose`].
    pub async fn propose_within(
        &self,
        command: &M::Command,
        deadline: Duration,
    ) -> Result<Committed<M::Reply>, ProposeError> {
        self.propose_until(command, deadline, deadline, false).await
    }

    /// For commands that the machine recognises when they come twice (node, session, sequence):
    /// goes on trying when the outcome of a try is unknown, until `deadline`.
    ///
    /// # Errors
    /// As [`Group::propose`].
    pub async fn propose_again(
        &self,
        command: &M::Command,
        deadline: Duration,
    ) -> Result<Committed<M::Reply>, ProposeError> {
        self.propose_until(command, deadline, deadline, true).await
    }

    /// [`Group::propose_again`] that gives up after `leaderless`, where until then no leader with a
    /// quorum took the command.
    ///
    /// # Errors
    /// As [`Group::propose`]; [`ProposeError::NoQuorum`] after `leaderless`.
    pub async fn propose_again_unless(
        &self,
        leaderless: Duration,
        command: &M::Command,
        deadline: Duration,
    ) -> Result<Committed<M::Reply>, ProposeError> {
        self.propose_until(command, leaderless, deadline, true)
            .await
    }

    async fn propose_until(
        &self,
        command: &M::Command,
        leaderless: Duration,
        wait: Duration,
        again_when_unknown: bool,
    ) -> Result<Committed<M::Reply>, ProposeError> {
        let group = self.id();
        if M::since(command) > MeshVersion::BASE {
            // This member's copy may be behind: then it refuses what could be written by now.
            if let Some(reply) = self.read(|machine| machine.too_new(command)) {
                let index = self.applied_index();
                return Ok(Committed { index, reply });
            }
        }
        let bytes =
            Bytes::from(
                postcard::to_stdvec(command).map_err(|e| ProposeError::Refused {
                    group,
                    why: e.to_string(),
                })?,
            );
        if bytes.len() > COMMAND_BYTES {
            return Err(ProposeError::TooLarge { bytes: bytes.len() });
        }
        let started = now::<P>();
        let deadline = started + wait;
        let no_leader_until = started + leaderless;
        let mut unknown = None;
        let last = loop {
            match self.try_propose(&bytes, deadline).await {
                Ok((index, reply)) => {
                    let took = started.elapsed().as_secs_f64();
                    metrics::histogram!("dialmesh_raft_propose_seconds", "group" => self.core().label.clone())
                        .record(took);
                    return match postcard::from_bytes(&reply) {
                        Ok(reply) => Ok(Committed { index, reply }),
                        Err(e) => Err(ProposeError::Reply {
                            group,
                            why: e.to_string(),
                        }),
                    };
                }
                Err(Miss::Refused(why)) => return Err(ProposeError::Refused { group, why }),
                Err(Miss::Unknown(why)) if !again_when_unknown => {
                    return Err(ProposeError::UnknownOutcome { group, why });
                }
                Err(Miss::Unknown(why)) => {
                    if now::<P>() >= deadline {
                        return Err(ProposeError::UnknownOutcome { group, why });
                    }
                    unknown = Some(why);
                }
                Err(Miss::Again(why)) if now::<P>() >= deadline => break why,
                Err(Miss::Again(why)) if unknown.is_none() && now::<P>() >= no_leader_until => {
                    break why;
                }
                // A leader that has no quorum either says so within this time. A try that the
                // deadline cuts off would leave open what was refused so far.
                Err(Miss::Again(why))
                    if unknown.is_none()
                        && self.leader().is_some()
                        && now::<P>() + QUORUM_WAIT >= deadline =>
                {
                    break why;
                }
                Err(Miss::Again(_)) => {}
            }
            self.pause_for_leader(deadline).await;
        };
        metrics::counter!("dialmesh_raft_propose_failures_total", "group" => self.core().label.clone())
            .increment(1);
        match unknown {
            Some(why) => Err(ProposeError::UnknownOutcome { group, why }),
            None => Err(ProposeError::NoQuorum {
                group,
                waited: started.elapsed(),
                last,
            }),
        }
    }

    async fn try_propose(
        &self,
        command: &Bytes,
        deadline: InstantOf<P>,
    ) -> Result<(u64, Bytes), Miss> {
        let left = deadline.saturating_duration_since(now::<P>());
        if self.leader().is_none() {
            return Err(Miss::Again("no leader is known".into()));
        }
        if left.is_zero() {
            return Err(Miss::Again("out of time".into()));
        }
        match within::<P, _>(left, self.core().bring(command.clone(), deadline)).await {
            Some(result) => result,
            None => Err(Miss::Unknown(format!("not committed within {left:?}"))),
        }
    }
}
