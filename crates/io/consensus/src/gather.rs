//! Proposals that wait together go together: in one message to the leader, and there in one write
//! of its log.
//!
//! A proposal goes at once while fewer than [`AT_ONCE`] messages are on their way, so that a quiet
//! group waits for nothing; beyond, those that come within [`GATHER`] go as one.

use crate::{
    config::{GroupId, Proposal},
    group::GroupCore,
    platform::{InstantOf, MeshLink, Platform, now, runtime::AsyncRuntime, runtime::Instant},
    propose::Miss,
    protocol::{self, Kind, Outcome, SERVICE, code},
    receive::RaftOf,
    status::Leadership,
};
use bytes::Bytes;
use domain::{MemberId, limits::RPC_BYTES};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use mesh::{Priority, ServiceError};
use openraft::{
    async_runtime::WatchReceiver, errors::ClientWriteError,
    raft::linearizable_read::LinearizerOption,
};
use sansio::Replicated;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Proposals in one message. Their replies fit in one answer: the longest is to a claim, of some
/// 30 KiB.
const MANY: usize = 64;
/// Bytes of their commands, unless one alone has more.
const MANY_BYTES: usize = 1024 * 1024;
/// Proposals that wait for their message; who comes then waits to be let in.
const WAITING: usize = 4 * MANY;
/// While fewer messages are on their way, the next goes at once.
const AT_ONCE: usize = 2;
/// Beyond, one goes so long after the one before.
const GATHER: Duration = Duration::from_millis(1);
/// Messages on their way at most.
const AT_MOST: usize = 64;
/// How long the answer of a member that leads no more is waited for: one that handed over answers
/// yet, a dead one never does, and its link is noticed to be dead only after seconds.
const AFTERMATH: Duration = Duration::from_millis(400);

/// A quorum's last answer to the leader may be so old when it takes proposals: several heartbeats
/// and the way there and back.
const QUORUM_AGE: Duration = Duration::from_millis(800);
/// How long the leader then asks for a new one.
pub(crate) const QUORUM_WAIT: Duration = Duration::from_millis(500);

type Answer = Result<(u64, Bytes), Miss>;

/// An encoded command that waits for its message.
pub(crate) struct Waiting<P: Platform> {
    command: Bytes,
    until: InstantOf<P>,
    answer: oneshot::Sender<Answer>,
}

/// Where proposals are brought.
pub(crate) type Inbox<P> = mpsc::Sender<Waiting<P>>;

/// What carries them.
struct Carrier<M: Replicated, P: Platform> {
    id: GroupId,
    endpoint: P::Mesh,
    raft: RaftOf<M, P>,
    leadership: watch::Receiver<Leadership>,
}

/// Starts the task that carries proposals; it ends when the inbox is dropped.
pub(crate) fn start<M: Replicated, P: Platform>(
    id: GroupId,
    endpoint: P::Mesh,
    raft: RaftOf<M, P>,
    leadership: watch::Receiver<Leadership>,
) -> Inbox<P> {
    let (inbox, waiting) = mpsc::channel(WAITING);
    let carrier = Carrier {
        id,
        endpoint,
        raft,
        leadership,
    };
    // Ends by itself: nobody waits for it.
    drop(P::Runtime::spawn(carrier.carry(waiting)));
    inbox
}

impl<M: Replicated, P: Platform> Carrier<M, P> {
    async fn carry(self, mut inbox: mpsc::Receiver<Waiting<P>>) {
        let mut flying = FuturesUnordered::new();
        let mut waiting = VecDeque::new();
        let mut arrived = Vec::with_capacity(MANY);
        let mut next = now::<P>();
        loop {
            let free = flying.len() < AT_ONCE || (flying.len() < AT_MOST && now::<P>() >= next);
            if !waiting.is_empty() && free {
                next = now::<P>() + GATHER;
                flying.push(self.send(take(&mut waiting)));
                continue;
            }
            let room = MANY - waiting.len().min(MANY);
            let gathers = !waiting.is_empty() && flying.len() < AT_MOST;
            tokio::select! {
                biased;
                Some(()) = flying.next(), if !flying.is_empty() => {}
                count = inbox.recv_many(&mut arrived, room), if room > 0 => {
                    if count == 0 {
                        break;
                    }
                    waiting.extend(arrived.drain(..));
                }
                () = P::Runtime::sleep_until(next), if gathers => {}
            }
        }
        // Nobody proposes any more; who did is answered.
        while flying.next().await.is_some() {}
    }

    /// Brings proposals to the leader and answers each.
    fn send(&self, batch: Vec<Waiting<P>>) -> BoxFuture<'static, ()> {
        let leader = self.leadership.borrow().leader;
        match leader {
            None => {
                let_down(batch, || Miss::Again("no leader is known".into()));
                std::future::ready(()).boxed()
            }
            Some(leader) if leader == self.endpoint.member() => self.write(batch).boxed(),
            Some(leader) => self.forward(leader, batch).boxed(),
        }
    }

    fn write(&self, batch: Vec<Waiting<P>>) -> impl Future<Output = ()> + Send + use<M, P> {
        let raft = self.raft.clone();
        async move {
            let (commands, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|w| (w.command, w.answer)).unzip();
            let results = match has_quorum::<M, P>(&raft).await {
                Ok(()) => write_many::<M, P>(&raft, commands).await,
                Err(e) => vec![Err(e); commands.len()],
            };
            for (sender, result) in answers.into_iter().zip(results) {
                answer(sender, result.map_err(Miss::of_service));
            }
        }
    }

    fn forward(
        &self,
        leader: MemberId,
        batch: Vec<Waiting<P>>,
    ) -> impl Future<Output = ()> + Send + use<M, P> {
        let (endpoint, id) = (self.endpoint.clone(), self.id);
        let changed = deposed::<P>(leader, self.leadership.clone());
        async move {
            let until = batch.iter().map(|w| w.until).max();
            let left = until.map_or(Duration::ZERO, |at| {
                at.saturating_duration_since(now::<P>())
            });
            let message =
                protocol::encode_many(id, Kind::ProposeMany, batch.iter().map(|w| &*w.command));
            let asked = endpoint.rpc_with(leader, SERVICE, message, left, Priority::Normal);
            let (asked, changed) = (std::pin::pin!(asked), std::pin::pin!(changed));
            let results = match select(asked, changed).await {
                Either::Left((Ok(bytes), _)) => protocol::decode_results(bytes, batch.len()),
                Either::Left((Err(e), _)) => return let_down(batch, || Miss::of_rpc(e.clone())),
                Either::Right(_) => {
                    let why = format!("{leader} leads no more and did not answer");
                    Err(ServiceError::new(code::UNKNOWN_OUTCOME, why))
                }
            };
            match results {
                Err(e) => let_down(batch, || Miss::of_service(e.clone())),
                Ok(results) => {
                    for (waiting, result) in batch.into_iter().zip(results) {
                        answer(waiting.answer, result.map_err(Miss::of_service));
                    }
                }
            }
        }
    }
}

/// Answers all of a batch alike.
fn let_down<P: Platform>(batch: Vec<Waiting<P>>, why: impl Fn() -> Miss) {
    for waiting in batch {
        answer(waiting.answer, Err(why()));
    }
}

fn answer(to: oneshot::Sender<Answer>, result: Answer) {
    // Who proposed may have stopped waiting.
    drop(to.send(result));
}

/// The next message's proposals, without those that nobody waits for.
fn take<P: Platform>(waiting: &mut VecDeque<Waiting<P>>) -> Vec<Waiting<P>> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(first) = waiting.pop_front() {
        if first.answer.is_closed() {
            continue;
        }
        bytes += first.command.len();
        if !batch.is_empty() && (bytes > MANY_BYTES || batch.len() == MANY) {
            waiting.push_front(first);
            break;
        }
        batch.push(first);
    }
    batch
}

/// Until `leader` has not led for [`AFTERMATH`], as far as this member knows.
async fn deposed<P: Platform>(leader: MemberId, mut leadership: watch::Receiver<Leadership>) {
    loop {
        let stopped = (leadership.wait_for(|now| now.leader != Some(leader)).await).is_err();
        P::Runtime::sleep(AFTERMATH).await;
        if stopped || leadership.borrow().leader != Some(leader) {
            return;
        }
    }
}

/// Whether a quorum followed this leader a moment ago. One that lost it takes commands that it
/// cannot commit: who proposes is told before anything is written, so that a refusal is one and not
/// a "perhaps".
async fn has_quorum<M: Replicated, P: Platform>(raft: &RaftOf<M, P>) -> Result<(), ServiceError> {
    let acked = raft.metrics().borrow_watched().last_quorum_acked;
    let recent = acked.is_some_and(|at| now::<P>() < at.into_inner() + QUORUM_AGE);
    if recent {
        return Ok(());
    }
    let ask = LinearizerOption::new(Some(QUORUM_AGE), true).with_wait_timeout(QUORUM_WAIT);
    match raft.get_read_linearizer(ask).await {
        Ok(_) => Ok(()),
        Err(e) => Err(ServiceError::new(code::NOT_LEADER, e.to_string())),
    }
}

/// Proposes encoded commands on this member, which must lead: each one's index and reply, in their
/// order.
pub(crate) async fn write_many<M: Replicated, P: Platform>(
    raft: &RaftOf<M, P>,
    commands: Vec<Bytes>,
) -> Vec<Outcome> {
    let wall = P::wall();
    let count = commands.len();
    let proposals = commands
        .into_iter()
        .map(|command| Proposal { wall, command });
    // Those it does not come to may have been written before the group stopped.
    let stopped = |why: String| ServiceError::new(code::UNKNOWN_OUTCOME, why);
    let mut results = Vec::with_capacity(count);
    let end = match raft.client_write_many(proposals).await {
        Ok(mut written) => loop {
            match written.next().await {
                Some(Ok(Ok(one))) => results.push(Ok((one.log_id.index, one.response))),
                Some(Ok(Err(ClientWriteError::ForwardToLeader(f)))) => {
                    results.push(Err(ServiceError::new(code::NOT_LEADER, f.to_string())));
                }
                Some(Ok(Err(e @ ClientWriteError::LogEntryDiscarded(_)))) => {
                    results.push(Err(stopped(e.to_string())));
                }
                Some(Ok(Err(e))) => {
                    results.push(Err(ServiceError::new(code::REFUSED, e.to_string())));
                }
                Some(Err(e)) => break e.to_string(),
                None => break "the group stopped".into(),
            }
        },
        Err(e) => e.to_string(),
    };
    results.resize_with(count, || Err(stopped(end.clone())));
    results
}

impl<M: Replicated, P: Platform> GroupCore<M, P> {
    /// Brings one command to whoever leads.
    pub(crate) async fn bring(&self, command: Bytes, until: InstantOf<P>) -> Answer {
        let (sender, answered) = oneshot::channel();
        let waiting = Waiting {
            command,
            until,
            answer: sender,
        };
        if self.proposals.send(waiting).await.is_err() {
            return Err(Miss::Again("the group has stopped here".into()));
        }
        let lost = |_| Miss::Unknown("the group has stopped here".into());
        answered.await.map_err(lost)?
    }

    /// Answers another member's message.
    pub(crate) async fn take_proposals(&self, body: Bytes) -> Result<Bytes, ServiceError> {
        let commands = protocol::decode_many(body, MANY)?;
        has_quorum::<M, P>(&self.raft).await?;
        let results = write_many::<M, P>(&self.raft, commands).await;
        Ok(protocol::encode_results(results, RPC_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Native;

    fn waiting(bytes: usize) -> (Waiting<Native>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let one = Waiting {
            command: Bytes::from(vec![0; bytes]),
            until: now::<Native>(),
            answer,
        };
        (one, answered)
    }

    #[test]
    fn a_message_holds_what_may_be_in_it() {
        let (mut all, answers): (VecDeque<_>, Vec<_>) = (0..2 * MANY).map(|_| waiting(10)).unzip();
        assert_eq!(take(&mut all).len(), MANY);
        drop(answers);
        assert_eq!(take(&mut all).len(), 0, "nobody waits for them");
        let sizes = [MANY_BYTES - 1, 1, 1, 2 * MANY_BYTES, 5];
        let (mut all, _answers): (VecDeque<_>, Vec<_>) = sizes.into_iter().map(waiting).unzip();
        assert_eq!(take(&mut all).len(), 2, "up to the bound");
        assert_eq!(take(&mut all).len(), 1);
        assert_eq!(take(&mut all).len(), 1, "one beyond it goes alone");
        assert_eq!(take(&mut all).len(), 1);
        assert!(take(&mut all).is_empty() && all.is_empty());
    }
}
