//! The event stream: a bounded ring that every subscriber reads at its own pace, so that no
//! subscriber needs a queue of its own and a slow one can only fall off the end.

use crate::limits::EVENTS;
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;

/// The place of an event. The first part names the run of the process: places of another run mean
/// nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    run: u32,
    place: u64,
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}", self.run, self.place)
    }
}

impl FromStr for EventId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, place) = text.split_once('-').ok_or(())?;
        Ok(Self {
            run: u32::from_str_radix(run, 16).map_err(drop)?,
            place: place.parse().map_err(drop)?,
        })
    }
}

/// Something that happened, or the newest state of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub id: EventId,
    /// What it is about: `status`, `campaign`, `call`, `operation`, `member`.
    pub topic: &'static str,
    /// JSON.
    pub data: String,
}

/// The events after a place are no longer kept: read the objects anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the events after that place are no longer kept")]
pub struct Gone;

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The newest event of each topic that is a state.
    states: BTreeMap<&'static str, Arc<Event>>,
    /// Place of the last event published.
    head: u64,
    /// Place of the last event that fell off the end.
    lost: u64,
}

#[derive(Debug)]
struct Shared {
    run: u32,
    ring: Mutex<Ring>,
    /// The head, or `None` once closed.
    head: watch::Sender<Option<u64>>,
    subscribers: AtomicUsize,
}

/// The events of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// None yet.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            run: u32::from_be_bytes(crate::auth::random()),
            ring: Mutex::default(),
            head: watch::Sender::new(Some(0)),
            subscribers: AtomicUsize::new(0),
        }))
    }

    /// Tells that something happened. It is kept for those who come back.
    pub fn publish<T: Serialize>(&self, topic: &'static str, data: &T) {
        self.add(topic, data, false);
    }

    /// Tells the newest state of something. Only the newest is kept; new subscribers get it first.
    pub fn publish_state<T: Serialize>(&self, topic: &'static str, data: &T) {
        self.add(topic, data, true);
    }

    fn add<T: Serialize>(&self, topic: &'static str, data: &T, state: bool) {
        let data = match serde_json::to_string(data) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(topic, %error, "an event cannot be written as JSON");
                return;
            }
        };
        let mut ring = self.0.ring.lock();
        ring.head += 1;
        let place = ring.head;
        let event = Arc::new(Event {
            id: EventId {
                run: self.0.run,
                place,
            },
            topic,
            data,
        });
        if state {
            ring.states.insert(topic, event);
        } else {
            ring.events.push_back(event);
            if ring.events.len() > EVENTS
                && let Some(oldest) = ring.events.pop_front()
            {
                ring.lost = oldest.id.place;
            }
        }
        drop(ring);
        self.0.head.send_if_modified(|head| match head {
            Some(head) => {
                *head = place;
                true
            }
            None => false,
        });
    }

    /// Subscribers now: who publishes a costly state may skip it when there are none.
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    /// Ends every stream, so that a graceful shutdown need not wait for them.
    pub fn close(&self) {
        self.0.head.send_replace(None);
    }

    /// From the place after `last`, or from now on with the newest states first.
    ///
    /// # Errors
    /// The events after `last` are gone.
    pub fn subscribe(&self, last: Option<EventId>) -> Result<Subscription, Gone> {
        let ring = self.0.ring.lock();
        let (place, first_states) = match last {
            None => (ring.head, true),
            Some(id) if id.run == self.0.run && (ring.lost..=ring.head).contains(&id.place) => {
                (id.place, false)
            }
            Some(_) => return Err(Gone),
        };
        let waiting = if first_states {
            ring.states.values().cloned().collect()
        } else {
            VecDeque::new()
        };
        drop(ring);
        self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        Ok(Subscription {
            events: self.clone(),
            head: self.0.head.subscribe(),
            place,
            waiting,
        })
    }
}

/// One reader of the events.
#[derive(Debug)]
pub struct Subscription {
    events: Events,
    head: watch::Receiver<Option<u64>>,
    place: u64,
    waiting: VecDeque<Arc<Event>>,
}

impl Subscription {
    /// The next event; `None` when the stream ends because the process stops, or because this
    /// reader fell behind what is kept.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let place = self.place;
            let head = *self
                .head
                .wait_for(|head| head.is_none_or(|head| head > place))
                .await
                .ok()?;
            head?;
            let ring = self.events.0.ring.lock();
            if ring.lost > self.place {
                return None;
            }
            let first = ring.events.partition_point(|e| e.id.place <= place);
            let mut new: Vec<_> = ring.events.iter().skip(first).cloned().collect();
            new.extend(ring.states.values().filter(|e| e.id.place > place).cloned());
            new.sort_by_key(|e| e.id.place);
            self.place = ring.head;
            self.waiting = new.into();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.events.0.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_comes_back_misses_nothing() {
        let events = Events::new();
        let mut first = events.subscribe(None).unwrap();
        events.publish("call", &1);
        let seen = first.next().await.unwrap();
        assert_eq!((seen.topic, seen.data.as_str()), ("call", "1"));
        drop(first);
        events.publish("call", &2);
        events.publish_state("status", &"old");
        events.publish_state("status", &"new");
        let id: EventId = seen.id.to_string().parse().unwrap();
        let mut again = events.subscribe(Some(id)).unwrap();
        assert_eq!(again.next().await.unwrap().data, "2");
        assert_eq!(again.next().await.unwrap().data, "\"new\"");
        assert_eq!(events.subscribers(), 1);
    }

    #[tokio::test]
    async fn a_new_reader_gets_the_newest_states_first() {
        let events = Events::new();
        events.publish_state("status", &1);
        events.publish("call", &2);
        let mut reader = events.subscribe(None).unwrap();
        assert_eq!(reader.next().await.unwrap().topic, "status");
        events.publish("call", &3);
        assert_eq!(reader.next().await.unwrap().data, "3");
        events.close();
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn beyond_the_bound_events_are_gone() {
        let events = Events::new();
        events.publish("call", &0);
        let mut slow = events.subscribe(None).unwrap();
        let first = EventId {
            run: events.0.run,
            place: 1,
        };
        for n in 1..=EVENTS {
            events.publish("call", &n);
        }
        assert!(events.subscribe(Some(first)).is_ok(), "at the bound");
        events.publish("call", &0);
        assert_eq!(events.subscribe(Some(first)).unwrap_err(), Gone);
        assert_eq!(slow.next().await, None, "a reader that fell behind ends");
        let other_run = EventId {
            run: events.0.run.wrapping_add(1),
            place: 3,
        };
        assert_eq!(events.subscribe(Some(other_run)).unwrap_err(), Gone);
    }
}
