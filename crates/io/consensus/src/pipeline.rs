//! Entries on their way to one follower: several messages at a time over a long link, in order.
//!
//! With one message at a time an entry waits for the answer to the one before it, and the news that
//! it is committed for another: up to two round trips more. Over a short link it is still one at a
//! time, so that what comes meanwhile goes together.
//!
//! Each message is a stream of its own below, so they may overtake each other. The follower takes
//! them in the order of their numbers; where one is missing for [`PATIENCE`] it refuses those behind
//! it, and the leader begins anew. It must not show them to Raft: the answer to entries behind a gap
//! is a conflict, and the gap may be filled by the time the leader reads that.

use crate::{
    config::Types,
    network::{Link, last_id},
    platform::{InstantOf, Platform, now, runtime::AsyncRuntime, within},
    protocol::code,
};
use domain::MemberId;
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesOrdered},
};
use mesh::ServiceError;
use openraft::{
    OptionalSend,
    errors::RPCError,
    network::RPCOption,
    raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

/// A message goes although the one before is not answered yet so long after that left.
const GATHER: Duration = Duration::from_millis(5);
/// Messages on their way to one follower.
const AT_MOST: usize = 32;
/// How long a follower waits for a message that was overtaken.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines that a follower knows. A leader has two to it; who led before, two that are of no use.
const LINES: usize = 32;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// A leader's way to one follower for entries, or for heartbeats.
    pub(crate) line: u64,
    /// Begun anew on that way, from 1: what is missing of earlier ones is not waited for.
    pub(crate) session: u64,
    /// From 0 in each session.
    pub(crate) number: u64,
}

pub(crate) type Answered<P> = Result<StreamAppendResult<Types<P>>, RPCError<Types<P>>>;

/// Sends what `input` yields in a session that begins at `place`, and yields the answers in order;
/// ends after the first that is no success.
pub(crate) fn send<'a, P: Platform, S>(
    link: &'a Link<P>,
    place: Place,
    input: S,
    option: RPCOption,
) -> BoxStream<'a, Answered<P>>
where
    S: futures::Stream<Item = AppendEntriesRequest<Types<P>>> + OptionalSend + Unpin + 'static,
{
    let sending = Sending {
        link,
        option,
        input: Some(input),
        flying: FuturesOrdered::new(),
        next: now::<P>(),
        place,
    };
    stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        let (answer, whole) = sending.answer().await?;
        Some((answer, whole.then_some(sending)))
    })
    .boxed()
}

struct Sending<'a, P: Platform, S> {
    link: &'a Link<P>,
    option: RPCOption,
    /// None once it has ended.
    input: Option<S>,
    flying: FuturesOrdered<BoxFuture<'a, (Answered<P>, bool)>>,
    /// When the next message may go although others are on their way.
    next: InstantOf<P>,
    place: Place,
}

impl<P: Platform, S> Sending<'_, P, S>
where
    S: futures::Stream<Item = AppendEntriesRequest<Types<P>>> + OptionalSend + Unpin + 'static,
{
    /// The next answer, and whether all of its entries were taken.
    async fn answer(&mut self) -> Option<(Answered<P>, bool)> {
        loop {
            let room = self.flying.len() < AT_MOST;
            let free = self.flying.is_empty() || (room && now::<P>() >= self.next);
            match &mut self.input {
                None => return self.flying.next().await,
                Some(input) => tokio::select! {
                    biased;
                    Some(answer) = self.flying.next(), if !self.flying.is_empty() => {
                        return Some(answer);
                    }
                    request = input.next(), if free => match request {
                        None => self.input = None,
                        Some(request) => self.push(request),
                    },
                    () = P::Runtime::sleep_until(self.next), if !free && room => {}
                },
            }
        }
    }

    fn push(&mut self, request: AppendEntriesRequest<Types<P>>) {
        let (link, option, place) = (self.link, self.option.clone(), self.place);
        self.place.number += 1;
        self.next = now::<P>() + GATHER;
        let sent = async move {
            let (prev, last) = (request.prev_log_id, last_id(&request));
            match link.append(request, Some(place), option).await {
                Err(e) => (Err(e), false),
                Ok(answer) => {
                    let partial = matches!(answer, AppendEntriesResponse::PartialSuccess(_));
                    let result = answer.into_stream_result(prev, last);
                    let whole = result.is_ok() && !partial;
                    (Ok(result), whole)
                }
            }
        };
        self.flying.push_back(sent.boxed());
    }
}

/// The lines that come to this member.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    lines: BTreeMap<(MemberId, u64), Line>,
    /// Counts messages, so that the line used last can be told.
    messages: u64,
}

#[derive(Debug)]
struct Line {
    session: u64,
    /// The number whose turn it is.
    next: watch::Sender<u64>,
    used: u64,
}

impl Known {
    /// Follows a session. None for one that is over.
    fn follow(&mut self, from: MemberId, place: Place) -> Option<watch::Receiver<u64>> {
        self.messages += 1;
        let used = self.messages;
        let key = (from, place.line);
        if self.lines.len() == LINES && !self.lines.contains_key(&key) {
            let oldest = self.lines.iter().min_by_key(|(_, line)| line.used);
            let oldest = oldest.map(|(key, _)| *key);
            oldest.and_then(|key| self.lines.remove(&key));
        }
        let new = || Line {
            session: place.session,
            next: watch::Sender::new(0),
            used,
        };
        let line = self.lines.entry(key).or_insert_with(new);
        line.used = used;
        if line.session > place.session {
            return None;
        }
        if line.session < place.session {
            // Who waits in the session before goes on.
            *line = new();
        }
        Some(line.next.subscribe())
    }

    fn done(&self, from: MemberId, place: Place) {
        let line = self.lines.get(&(from, place.line));
        if let Some(line) = line.filter(|line| line.session == place.session) {
            line.next.send_if_modified(|next| {
                let later = place.number >= *next;
                *next = (*next).max(place.number + 1);
                later
            });
        }
    }
}

impl Lines {
    /// Waits until the messages before this one were taken.
    ///
    /// # Errors
    /// One of them does not come, or the leader has begun a later session.
    pub(crate) async fn turn<P: Platform>(
        &self,
        from: MemberId,
        place: Place,
    ) -> Result<(), ServiceError> {
        let gap = |why: &str| ServiceError::new(code::GAP, why);
        let Some(mut next) = self.0.lock().follow(from, place) else {
            return Err(gap("the leader has begun to send entries anew"));
        };
        let reached = next.wait_for(|next| *next >= place.number);
        match within::<P, _>(PATIENCE, reached).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(gap("the leader has begun to send entries anew")),
            None => Err(gap("entries before these did not come")),
        }
    }

    /// This one was taken: it is the next one's turn.
    pub(crate) fn taken(&self, from: MemberId, place: Place) {
        self.0.lock().done(from, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Native;

    const FROM: MemberId = MemberId(1);

    fn place(session: u64, number: u64) -> Place {
        Place {
            line: 7,
            session,
            number,
        }
    }

    #[tokio::test]
    async fn messages_have_their_turn_in_order() {
        let lines = Lines::default();
        lines.turn::<Native>(FROM, place(1, 0)).await.unwrap();
        let second = lines.turn::<Native>(FROM, place(1, 1));
        let mut second = std::pin::pin!(second);
        assert!(futures::poll!(&mut second).is_pending(), "it overtook");
        lines.taken(FROM, place(1, 0));
        second.await.unwrap();
        // A later session waits for nothing of the one before, and ends it.
        let third = lines.turn::<Native>(FROM, place(1, 3));
        let mut third = std::pin::pin!(third);
        assert!(futures::poll!(&mut third).is_pending());
        lines.turn::<Native>(FROM, place(2, 0)).await.unwrap();
        assert_eq!(third.await.unwrap_err().code, code::GAP);
        lines.taken(FROM, place(1, 3));
        let next = lines.turn::<Native>(FROM, place(2, 1));
        let mut next = std::pin::pin!(next);
        assert!(futures::poll!(&mut next).is_pending(), "of another session");
        let late = lines.turn::<Native>(FROM, place(1, 9)).await;
        assert_eq!(late.unwrap_err().code, code::GAP);
    }

    #[tokio::test]
    async fn what_does_not_come_is_not_waited_for_long() {
        let lines = Lines::default();
        let began = std::time::Instant::now();
        let gap = lines.turn::<Native>(FROM, place(1, 5)).await.unwrap_err();
        assert_eq!(gap.code, code::GAP);
        assert!(began.elapsed() >= PATIENCE);
    }

    #[test]
    fn the_lines_known_are_bounded() {
        let mut known = Known::default();
        for line in 0..3 * LINES as u64 {
            let at = Place {
                line,
                ..place(1, 0)
            };
            assert!(known.follow(FROM, at).is_some());
            assert!(known.follow(MemberId(2), place(1, 0)).is_some());
        }
        assert_eq!(known.lines.len(), LINES);
        assert!(known.lines.contains_key(&(MemberId(2), 7)), "used last");
    }
}
