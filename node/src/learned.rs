//! What this node learned of who answers, kept on sled so that a restarted node need not learn it again;
//! and told to coordinators who ask. A view of what the engine learned: without it the node begins anew,
//! which costs answers and nothing else. Sealed, as every view, so that a torn or changed one is not read.

use crate::event::{Event, Events};
use anyhow::{Context, Result};
use bytes::Bytes;
use domain::{CampaignId, MemberRole, WallTime, limits};
use member::{LEARNED, Member, NOT_FOR_YOU, NOT_HERE, decode};
use mesh::ServiceError;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use storage::{DataKeys, KeyValue, OpenedView, SledView, ViewBatch};
use tokio::sync::{Notify, oneshot};

/// Version of what stands in front of a campaign's bytes.
const VERSION: u8 = 1;
/// What is told gathers so long before it is written.
const GATHER: Duration = Duration::from_secs(1);

/// The last word of a campaign, and when it came; none to forget it.
type Word = Option<(WallTime, Vec<u8>)>;
/// What was learned of campaigns, of those learned of last first.
type LearnedBefore = Vec<(CampaignId, Vec<u8>)>;

/// What the engine told and the disk does not know yet: the last word of each campaign, and when it came.
#[derive(Debug, Default)]
struct Told {
    campaigns: Mutex<BTreeMap<CampaignId, Word>>,
    news: Notify,
}

/// The engine's end: it never waits for the disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learned(Arc<Told>);

impl Learned {
    /// What was learned of a campaign as it is now; none to forget it.
    pub(crate) fn tell(&self, now: WallTime, campaign: CampaignId, bytes: Option<Vec<u8>>) {
        let mut campaigns = self.0.campaigns.lock();
        // A disk that stands still: what is not written is learned again after a restart.
        if campaigns.len() < 2 * limits::LEARNED_CAMPAIGNS || campaigns.contains_key(&campaign) {
            campaigns.insert(campaign, bytes.map(|bytes| (now, bytes)));
        }
        drop(campaigns);
        self.0.news.notify_one();
    }

    /// Writes what is told, for ever.
    pub(crate) async fn keep(self, view: SledView) {
        let view = Arc::new(view);
        loop {
            self.0.news.notified().await;
            tokio::time::sleep(GATHER).await;
            let told = std::mem::take(&mut *self.0.campaigns.lock());
            let (view, batch) = (Arc::clone(&view), batch(told));
            let written = tokio::task::spawn_blocking(move || view.write(&batch, 0)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "what was learned of who answers is not kept; after a restart it is learned again");
            }
        }
    }
}

fn batch(told: BTreeMap<CampaignId, Word>) -> ViewBatch {
    let mut batch = ViewBatch::new();
    for (campaign, learned) in told {
        let key = campaign.0.to_be_bytes();
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

/// Opens the view in `data_dir` and reads what was learned, of the campaigns learned of last first. Those
/// beyond [`limits::LEARNED_CAMPAIGNS`] are taken out.
///
/// # Errors
/// No view can be opened or made there.
pub(crate) fn open(data_dir: &Path, keys: &DataKeys) -> Result<(SledView, LearnedBefore)> {
    let OpenedView { view, .. } = SledView::open(&data_dir.join("learned"), keys)?;
    let entries = view.scan(b"", None, 4 * limits::LEARNED_CAMPAIGNS)?;
    let (mut known, mut over) = (Vec::new(), ViewBatch::new());
    for (key, value) in entries {
        match read(&key, &value) {
            Some(found) => known.push(found),
            None => _ = over.delete(key),
        }
    }
    known.sort_by_key(|(campaign, at, _)| (std::cmp::Reverse(*at), *campaign));
    for (campaign, ..) in known.drain(limits::LEARNED_CAMPAIGNS.min(known.len())..) {
        over.delete(campaign.0.to_be_bytes());
    }
    view.write(&over, 0)
        .context("what was learned long ago cannot be taken out")?;
    let learned = known
        .into_iter()
        .map(|(campaign, _, bytes)| (campaign, bytes));
    Ok((view, learned.collect()))
}

/// None for bytes of another release: it is learned again.
fn read(key: &[u8], value: &[u8]) -> Option<(CampaignId, WallTime, Vec<u8>)> {
    let campaign = CampaignId(u32::from_be_bytes(key.try_into().ok()?));
    let (version, rest) = value.split_first()?;
    let (at, learned) = rest.split_first_chunk()?;
    let at = WallTime::from_millis(i64::from_be_bytes(*at));
    let good = *version == VERSION && learned.len() <= limits::LEARNED_BYTES;
    good.then(|| (campaign, at, learned.to_vec()))
}

/// Answers coordinators: a campaign to what was learned of it.
pub(crate) fn serve(member: &Member, events: &Events) {
    let (here, engine) = (member.clone(), events.clone());
    let answer = move |from, request: Bytes| {
        let (here, engine) = (here.clone(), engine.clone());
        async move {
            let coordinator = here.directory().read(|directory| {
                let known = directory.member(from);
                known.is_some_and(|m| m.role == MemberRole::Coordinator && !m.removed)
            });
            if !coordinator {
                let why = "what was learned is for coordinators";
                return Err(ServiceError::new(NOT_FOR_YOU, why));
            }
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
                learned.tell(at(n), CampaignId(n), Some(vec![n as u8; 40]));
            }
            learned.tell(at(0), CampaignId(9), None);
            let told = std::mem::take(&mut *learned.0.campaigns.lock());
            view.write(&batch(told), 0).expect("written");
            // Of another release, and a key that is none.
            let mut other = ViewBatch::new();
            other.put(7u32.to_be_bytes(), vec![9; 60]);
            other.put(*b"other", vec![VERSION; 60]);
            view.write(&other, 0).expect("written");
        }
        let (view, known) = open(dir.path(), &keys).expect("it is there");
        let ids: Vec<u32> = known.iter().map(|(id, _)| id.0).collect();
        let want: Vec<u32> = (2..=most + 3)
            .rev()
            .filter(|n| ![7, 9].contains(n))
            .collect();
        assert_eq!(ids, want);
        assert_eq!(known[0].1, vec![(most + 3) as u8; 40]);
        assert_eq!(view.scan(b"", None, 1_000).expect("read").len(), want.len());
    }

    #[test]
    fn told_campaigns_are_bounded_while_the_disk_stands_still() {
        let learned = Learned::default();
        let most = 2 * limits::LEARNED_CAMPAIGNS as u32;
        for n in 0..most + 10 {
            learned.tell(WallTime::EPOCH, CampaignId(n), Some(vec![1]));
        }
        learned.tell(WallTime::EPOCH, CampaignId(3), Some(vec![2]));
        let told = learned.0.campaigns.lock();
        assert_eq!(told.len(), most as usize);
        assert_eq!(told[&CampaignId(3)], Some((WallTime::EPOCH, vec![2])));
    }
}
