//! Whom this node called, kept on sled so that a restarted node still knows who calls back. A view of
//! what the engine remembers: without it they are served as strangers. Sealed, as every view; its keys
//! are keyed hashes of numbers.

use anyhow::{Context, Result};
use domain::{PhoneNumber, WallTime, limits};
use engine::CalledPerson;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use storage::{DataKeys, KeyValue, OpenedView, SledView, ViewBatch};
use tokio::sync::Notify;

/// Version of a person's bytes.
const VERSION: u8 = 1;
/// What is told gathers so long before it is written.
const GATHER: Duration = Duration::from_secs(1);

/// What the engine told and the disk does not know yet: the last word of each number.
#[derive(Debug)]
struct Told {
    keys: DataKeys,
    persons: Mutex<BTreeMap<PhoneNumber, Option<Box<CalledPerson>>>>,
    news: Notify,
}

/// The engine's end: it never waits for the disk. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Called(Arc<Told>);

impl Called {
    /// Nothing told yet.
    pub(crate) fn new(keys: &DataKeys) -> Self {
        Self(Arc::new(Told {
            keys: keys.clone(),
            persons: Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// A person was called, and others are forgotten for that.
    pub(crate) fn tell(&self, person: Box<CalledPerson>, gone: Vec<PhoneNumber>) {
        let mut persons = self.0.persons.lock();
        let news = gone.into_iter().map(|number| (number, None));
        for (number, person) in news.chain([(person.number, Some(person))]) {
            // A disk that stands still: who is not written is a stranger after a restart.
            if persons.len() < limits::CALLED || persons.contains_key(&number) {
                persons.insert(number, person);
            }
        }
        drop(persons);
        self.0.news.notify_one();
    }

    /// Writes what is told, for ever.
    pub(crate) async fn keep(self, view: SledView) {
        let view = Arc::new(view);
        loop {
            self.0.news.notified().await;
            tokio::time::sleep(GATHER).await;
            let told = std::mem::take(&mut *self.0.persons.lock());
            let (view, batch) = (Arc::clone(&view), batch(&self.0.keys, told));
            let written = tokio::task::spawn_blocking(move || view.write(&batch, 0)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "whom this node called is not kept; after a restart they are strangers when they call back");
            }
        }
    }
}

fn key(keys: &DataKeys, number: PhoneNumber) -> [u8; 16] {
    keys.keyed_hash("called", &number.digits().to_be_bytes())
}

fn batch(keys: &DataKeys, told: BTreeMap<PhoneNumber, Option<Box<CalledPerson>>>) -> ViewBatch {
    let mut batch = ViewBatch::new();
    for (number, person) in told {
        let number = key(keys, number);
        match person {
            Some(person) => {
                let bytes = postcard::to_extend(&*person, vec![VERSION]);
                batch.put(number, bytes.expect("persons are plain data"))
            }
            None => batch.delete(number),
        };
    }
    batch
}

/// Opens the view in `data_dir` and reads whom the node called within [`limits::ATTEMPT_MEMORY`],
/// longest ago first; the others are taken out.
///
/// # Errors
/// No view can be opened or made there.
pub(crate) fn open(
    data_dir: &Path,
    keys: &DataKeys,
    now: WallTime,
) -> Result<(SledView, Vec<CalledPerson>)> {
    let OpenedView { view, .. } = SledView::open(&data_dir.join("called"), keys)?;
    let entries = view.scan(b"", None, 2 * limits::CALLED)?;
    let (mut persons, mut over) = (Vec::new(), ViewBatch::new());
    let from = now - limits::ATTEMPT_MEMORY;
    for (found, value) in entries {
        let Some(person) = read(&value).filter(|person| person.at >= from) else {
            over.delete(found);
            continue;
        };
        // The hash by an older data key.
        let hashed = key(keys, person.number);
        if found != hashed {
            over.delete(found).put(hashed, value);
        }
        persons.push(person);
    }
    view.write(&over, 0)
        .context("persons called long ago cannot be taken out")?;
    persons.sort_by_key(|person| (person.at, person.number));
    Ok((view, persons))
}

/// None for bytes of another release: the person is a stranger.
fn read(value: &[u8]) -> Option<CalledPerson> {
    match value.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AgentId, AttemptId, CampaignId, LeadId, LeadProfile, ListId, RegionId};

    fn person(n: u64, at: WallTime) -> CalledPerson {
        CalledPerson {
            number: PhoneNumber::from_digits(14_155_550_000 + n).expect("a number"),
            attempt: AttemptId::new(RegionId(1), n, 0),
            at,
            lead: LeadId::new(RegionId(1), n),
            list: ListId(1),
            campaign: CampaignId(1),
            shown: None,
            agent: Some(AgentId(3)),
            zones: Vec::new(),
            profile: LeadProfile::default(),
        }
    }

    #[test]
    fn whom_the_node_called_is_known_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys = DataKeys::ephemeral();
        let now = WallTime::from_millis(1_795_300_000_000);
        let day = Duration::from_secs(86_400);
        {
            let (view, persons) = open(dir.path(), &keys, now).expect("a new view");
            assert!(persons.is_empty());
            let called = Called::new(&keys);
            called.tell(Box::new(person(1, now)), Vec::new());
            called.tell(Box::new(person(2, now - day)), Vec::new());
            called.tell(Box::new(person(3, now - 40 * day)), Vec::new());
            called.tell(Box::new(person(4, now)), Vec::new());
            called.tell(Box::new(person(5, now)), vec![person(4, now).number]);
            let told = std::mem::take(&mut *called.0.persons.lock());
            view.write(&batch(&keys, told), 0).expect("written");
        }
        let (view, persons) = open(dir.path(), &keys, now).expect("it is there");
        let numbers: Vec<_> = persons.iter().map(|person| person.number).collect();
        let of = |n| person(n, now).number;
        assert_eq!(numbers, [of(2), of(1), of(5)]);
        assert_eq!(persons[1], person(1, now));
        assert_eq!(view.scan(b"", None, 10).expect("read").len(), 3);
        drop(view);
        let clear = storage::in_clear(&dir.path().join("called"), &[of(1), of(5)], &[]);
        assert_eq!(clear.expect("read"), []);
    }
}
