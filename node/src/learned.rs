//! What this node learned of who answers, and of its caller IDs, kept on sled so that a restarted node need
//! not learn it again; and told to coordinators who ask. A view of what the engine learned: without it the node begins anew,
//! which costs answers and nothing else. Sealed, as every view, so that a torn or changed one is not read.

use crate::event::{Event, Events};
use anyhow::{Context, Result};
use bytes::Bytes;
use domain::{CampaignId, MemberId, MemberRole, PhoneNumber, WallTime, limits};
use engine::LearnedOf;
use member::{LEARNED, Member, NOT_FOR_YOU, NOT_HERE, STANDINGS, decode, encode};
use mesh::ServiceError;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use storage::{DataKeys, KeyValue, OpenedView, SledView, ViewBatch};
use tokio::sync::{Notify, oneshot};

/// Version of what stands in front of what was learned.
const VERSION: u8 = 1;
/// What is told gathers so long before it is written.
const GATHER: Duration = Duration::from_secs(1);

/// The last word of something, and when it came; none to forget it.
type Word = Option<(WallTime, Vec<u8>)>;
/// What was learned, what was learned last first.
type LearnedBefore = Vec<(LearnedOf, Vec<u8>)>;

/// Caller IDs that words may wait for while the disk stands still.
const WAITING_CALLER_IDS: usize = 100_000;

/// What the engine told and the disk does not know yet.
#[derive(Debug, Default)]
struct Told {
    waiting: Mutex<Waiting>,
    news: Notify,
}

/// The last word of each, and when it came.
#[derive(Debug, Default)]
struct Waiting {
    campaigns: BTreeMap<CampaignId, Word>,
    caller_ids: BTreeMap<PhoneNumber, Word>,
}

/// Puts a word in the place of the one before, within a bound: a disk that stands still. What is not
/// written is learned again after a restart.
fn put<K: Ord>(words: &mut BTreeMap<K, Word>, of: K, word: Word, most: usize) {
    if words.len() < most || words.contains_key(&of) {
        words.insert(of, word);
    }
}

/// The engine's end: it never waits for the disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned(Arc<Told>);

impl Learned {
    /// What was learned as it is now; none to forget it.
    pub(crate) fn tell(&self, now: WallTime, of: LearnedOf, bytes: Option<Vec<u8>>) {
        let word = bytes.map(|bytes| (now, bytes));
        let mut waiting = self.0.waiting.lock();
        let Waiting {
            campaigns,
            caller_ids,
        } = &mut *waiting;
        match of {
            LearnedOf::Campaign(id) => put(campaigns, id, word, 2 * limits::LEARNED_CAMPAIGNS),
            LearnedOf::CallerId(number) => put(caller_ids, number, word, WAITING_CALLER_IDS),
        }
        drop(waiting);
        self.0.news.notify_one();
    }

    /// Writes what is told, for ever.
    pub(crate) async fn keep(self, view: SledView) {
        let view = Arc::new(view);
        loop {
            self.0.news.notified().await;
            tokio::time::sleep(GATHER).await;
            let told = std::mem::take(&mut *self.0.waiting.lock());
            let (view, batch) = (Arc::clone(&view), batch(told));
            let written = tokio::task::spawn_blocking(move || view.write(&batch, 0)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "what was learned is not kept; after a restart it is learned again");
            }
        }
    }
}

fn batch(told: Waiting) -> ViewBatch {
    let campaigns = told.campaigns.into_iter();
    let campaigns = campaigns.map(|(id, word)| (LearnedOf::Campaign(id), word));
    let caller_ids = told.caller_ids.into_iter();
    let caller_ids = caller_ids.map(|(number, word)| (LearnedOf::CallerId(number), word));
    let mut batch = ViewBatch::new();
    for (of, learned) in campaigns.chain(caller_ids) {
        let key = key(of);
        match learned {
            Some((at, learned)) => {
                let mut bytes = vec![VERSION];
                bytes.extend(at.as_millis().to_be_bytes());
                bytes.extend(learned);
                batch.put(key, bytes)
            }
            None => batch.delete(key),
        };
    }
    batch
}

/// Four bytes are a campaign's id, eight a caller ID's digits.
fn key(of: LearnedOf) -> Vec<u8> {
    match of {
        LearnedOf::Campaign(id) => id.0.to_be_bytes().to_vec(),
        LearnedOf::CallerId(number) => number.digits().to_be_bytes().to_vec(),
    }
}

/// Opens the view in `data_dir` and reads what was learned, what was learned last first. Campaigns beyond
/// [`limits::LEARNED_CAMPAIGNS`] and caller IDs beyond [`limits::CALLER_IDS`] are taken out.
///
/// # Errors
/// No view can be opened or made there.
pub(crate) fn open(data_dir: &Path, keys: &DataKeys) -> Result<(SledView, LearnedBefore)> {
    let OpenedView { view, .. } = SledView::open(&data_dir.join("learned"), keys)?;
    let most = limits::CALLER_IDS + 4 * limits::LEARNED_CAMPAIGNS;
    let entries = view.scan(b"", None, most)?;
    let (mut known, mut over) = (Vec::new(), ViewBatch::new());
    for (key, value) in entries {
        match read(&key, &value) {
            Some(found) => known.push(found),
            None => _ = over.delete(key),
        }
    }
    known.sort_by_key(|(of, at, _)| (std::cmp::Reverse(*at), *of));
    let (mut campaigns, mut caller_ids) = (0, 0);
    known.retain(|(of, ..)| {
        let (count, most) = match of {
            LearnedOf::Campaign(_) => (&mut campaigns, limits::LEARNED_CAMPAIGNS),
            LearnedOf::CallerId(_) => (&mut caller_ids, limits::CALLER_IDS),
        };
        *count += 1;
        if *count > most {
            over.delete(key(*of));
        }
        *count <= most
    });
    view.write(&over, 0)
        .context("what was learned long ago cannot be taken out")?;
    let learned = known.into_iter().map(|(of, _, bytes)| (of, bytes));
    Ok((view, learned.collect()))
}

/// None for bytes of another release: it is learned again.
fn read(key: &[u8], value: &[u8]) -> Option<(LearnedOf, WallTime, Vec<u8>)> {
    let of = match key.len() {
        4 => LearnedOf::Campaign(CampaignId(u32::from_be_bytes(key.try_into().ok()?))),
        _ => {
            let digits = u64::from_be_bytes(key.try_into().ok()?);
            LearnedOf::CallerId(PhoneNumber::from_digits(digits).ok()?)
        }
    };
    let (version, rest) = value.split_first()?;
    let (at, learned) = rest.split_first_chunk()?;
    let at = WallTime::from_millis(i64::from_be_bytes(*at));
    let good = *version == VERSION && learned.len() <= limits::LEARNED_BYTES;
    good.then(|| (of, at, learned.to_vec()))
}

/// Only coordinators are told.
fn for_coordinators(here: &Member, from: MemberId) -> Result<(), ServiceError> {
    let coordinator = here.directory().read(|directory| {
        let known = directory.member(from);
        known.is_some_and(|m| m.role == MemberRole::Coordinator && !m.removed)
    });
    let why = "what was learned is for coordinators";
    coordinator
        .then_some(())
        .ok_or_else(|| ServiceError::new(NOT_FOR_YOU, why))
}

/// Answers coordinators: a campaign to what was learned of it, and what is known of caller IDs.
pub(crate) fn serve(member: &Member, events: &Events) {
    let (here, engine) = (member.clone(), events.clone());
    let standings = move |from, _: Bytes| {
        let (here, engine) = (here.clone(), engine.clone());
        async move {
            for_coordinators(&here, from)?;
            let (reply, standings) = oneshot::channel();
            engine.put(Event::TellStandings(reply)).await;
            let stopped = |_| ServiceError::new(NOT_HERE, "the node stops");
            Ok(encode(&standings.await.map_err(stopped)?))
        }
    };
    member.endpoint().serve(STANDINGS, standings);
    let (here, engine) = (member.clone(), events.clone());
    let answer = move |from, request: Bytes| {
        let (here, engine) = (here.clone(), engine.clone());
        async move {
            for_coordinators(&here, from)?;
            let campaign: CampaignId = decode(&request)?;
            let (reply, learned) = oneshot::channel();
            engine.put(Event::TellLearned { campaign, reply }).await;
            let nothing = || ServiceError::new(NOT_HERE, "nothing was learned of this campaign");
            let learned = learned.await.ok().flatten().ok_or_else(nothing)?;
            Ok(Bytes::from(learned))
        }
    };
    member.endpoint().serve(LEARNED, answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_there_after_a_restart_within_its_bound() {
        let dir = tempfile::tempdir().expect("a folder");
        let keys = DataKeys::ephemeral();
        let at = |n: u32| WallTime::from_millis(1_795_300_000_000 + i64::from(n));
        let most = limits::LEARNED_CAMPAIGNS as u32;
        {
            let (view, known) = open(dir.path(), &keys).expect("a new view");
            assert!(known.is_empty());
            let learned = Learned::default();
            for n in 1..=most + 3 {
                let of = LearnedOf::Campaign(CampaignId(n));
                learned.tell(at(n), of, Some(vec![n as u8; 40]));
            }
            learned.tell(at(0), LearnedOf::Campaign(CampaignId(9)), None);
            learned.tell(at(1), caller_id(1), Some(vec![7; 27]));
            learned.tell(at(1), caller_id(2), Some(vec![7; 27]));
            learned.tell(at(2), caller_id(2), None);
            let told = std::mem::take(&mut *learned.0.waiting.lock());
            view.write(&batch(told), 0).expect("written");
            // Of another release, and a key that is none.
            let mut other = ViewBatch::new();
            other.put(7u32.to_be_bytes(), vec![9; 60]);
            other.put(*b"other", vec![VERSION; 60]);
            view.write(&other, 0).expect("written");
        }
        let (view, mut known) = open(dir.path(), &keys).expect("it is there");
        assert_eq!(known.pop(), Some((caller_id(1), vec![7; 27])));
        let ids: Vec<u32> = known
            .iter()
            .filter_map(|(of, _)| match of {
                LearnedOf::Campaign(id) => Some(id.0),
                LearnedOf::CallerId(_) => None,
            })
            .collect();
        let want: Vec<u32> = (2..=most + 3)
            .rev()
            .filter(|n| ![7, 9].contains(n))
            .collect();
        assert_eq!(ids, want);
        assert_eq!(known[0].1, vec![(most + 3) as u8; 40]);
        let left = view.scan(b"", None, 1_000).expect("read").len();
        assert_eq!(left, want.len() + 1);
    }

    fn caller_id(n: u64) -> LearnedOf {
        let number = PhoneNumber::from_digits(14_155_550_100 + n);
        LearnedOf::CallerId(number.expect("a number"))
    }

    #[test]
    fn what_is_told_is_bounded_while_the_disk_stands_still() {
        let learned = Learned::default();
        let tell = |of, byte| learned.tell(WallTime::EPOCH, of, Some(vec![byte]));
        let most = 2 * limits::LEARNED_CAMPAIGNS as u32;
        for n in 0..most + 10 {
            tell(LearnedOf::Campaign(CampaignId(n)), 1);
        }
        tell(LearnedOf::Campaign(CampaignId(3)), 2);
        for n in 0..WAITING_CALLER_IDS as u64 + 10 {
            tell(caller_id(n), 1);
        }
        let told = learned.0.waiting.lock();
        assert_eq!(told.campaigns.len(), most as usize);
        assert_eq!(
            told.campaigns[&CampaignId(3)],
            Some((WallTime::EPOCH, vec![2]))
        );
        assert_eq!(told.caller_ids.len(), WAITING_CALLER_IDS);
    }
}
