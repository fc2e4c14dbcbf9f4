//! Where agents' phones are, kept on sled so that a restarted node can call them at once instead of
//! waiting for each to register anew. A view of what phones say: losing it costs that wait only. Sealed,
//! as every view; its keys are keyed hashes of logins.

use anyhow::{Context, Result};
use domain::{WallTime, limits::NODE_AGENTS};
use engine::PhoneAddress;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use storage::{DataKeys, KeyValue, OpenedView, SledView, ViewBatch};
use tokio::sync::Notify;

/// Version of a phone's bytes.
const VERSION: u8 = 1;

/// What the engine told and the disk does not know yet: the last word of each agent's phone, so
/// that it is bounded by the agents.
#[derive(Debug)]
struct Told {
    keys: DataKeys,
    phones: Mutex<BTreeMap<String, Option<PhoneAddress>>>,
    news: Notify,
}

/// The engine's end: it never waits for the disk. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Phones(Arc<Told>);

impl Phones {
    /// Nothing told yet.
    pub(crate) fn new(keys: &DataKeys) -> Self {
        Self(Arc::new(Told {
            keys: keys.clone(),
            phones: Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// A phone is somewhere else, or nowhere any more.
    pub(crate) fn tell(&self, login: String, phone: Option<PhoneAddress>) {
        self.0.phones.lock().insert(login, phone);
        self.0.news.notify_one();
    }

    /// Writes what is told, for ever.
    pub(crate) async fn keep(self, view: SledView) {
        let view = Arc::new(view);
        loop {
            self.0.news.notified().await;
            let told = std::mem::take(&mut *self.0.phones.lock());
            let (view, batch) = (Arc::clone(&view), batch(&self.0.keys, told));
            let written = tokio::task::spawn_blocking(move || view.write(&batch, 0)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "where phones are is not kept; after a restart they must register first");
            }
        }
    }
}

fn key(keys: &DataKeys, login: &str) -> [u8; 16] {
    keys.keyed_hash("phones", login.as_bytes())
}

fn batch(keys: &DataKeys, told: BTreeMap<String, Option<PhoneAddress>>) -> ViewBatch {
    let mut batch = ViewBatch::new();
    for (login, phone) in told {
        let login = key(keys, &login);
        match phone {
            Some(phone) => {
                let bytes = postcard::to_extend(&phone, vec![VERSION]);
                batch.put(login, bytes.expect("phones are plain data"))
            }
            None => batch.delete(login),
        };
    }
    batch
}

/// Opens the view in `data_dir` and reads the phones whose registration is not over at `now`;
/// the others are taken out.
///
/// # Errors
/// No view can be opened or made there.
pub(crate) fn open(
    data_dir: &Path,
    keys: &DataKeys,
    now: WallTime,
) -> Result<(SledView, Vec<PhoneAddress>)> {
    let OpenedView { view, .. } = SledView::open(&data_dir.join("phones"), keys)?;
    let entries = view.scan(b"", None, NODE_AGENTS)?;
    let (mut phones, mut over) = (Vec::new(), ViewBatch::new());
    for (found, value) in entries {
        let Some(phone) = read(&value).filter(|phone| phone.expires > now) else {
            over.delete(found);
            continue;
        };
        // The login itself, as earlier releases had it, or the hash by an older data key.
        let hashed = key(keys, &phone.login);
        if found != hashed {
            over.delete(found).put(hashed, value);
        }
        phones.push(phone);
    }
    view.write(&over, 0)
        .context("old phones cannot be taken out")?;
    Ok((view, phones))
}

/// None for bytes of another release: the phone registers anew.
fn read(value: &[u8]) -> Option<PhoneAddress> {
    match value.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::SipTransport;
    use std::time::Duration;

    fn phone(login: &str, expires: WallTime) -> PhoneAddress {
        PhoneAddress {
            login: login.into(),
            flow: sip::Flow {
                transport: SipTransport::Udp,
                local: "192.0.2.9:5070".parse().unwrap(),
                remote: "192.0.2.1:5060".parse().unwrap(),
            },
            contact: b"sip:li@192.0.2.1:5060".to_vec(),
            expires,
        }
    }

    #[tokio::test]
    async fn phones_are_known_after_a_restart_until_their_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let now = WallTime::from_millis(1_795_280_400_000);
        let later = now + Duration::from_secs(60);
        let (view, phones) = open(folder.path(), &keys, now).unwrap();
        assert_eq!(phones, []);
        let told = BTreeMap::from([
            ("li".to_owned(), Some(phone("li", later))),
            ("wang".to_owned(), Some(phone("wang", later))),
            ("old".to_owned(), Some(phone("old", now))),
        ]);
        view.write(&batch(&keys, told), 0).unwrap();
        let gone = BTreeMap::from([("wang".to_owned(), None)]);
        view.write(&batch(&keys, gone), 0).unwrap();
        // As an earlier release kept it.
        let wei = postcard::to_extend(&phone("wei", later), vec![VERSION]).unwrap();
        view.write(ViewBatch::new().put("wei", wei), 0).unwrap();
        view.write(ViewBatch::new().put("foreign", [9, 9]), 0)
            .unwrap();
        drop(view);
        let (view, phones) = open(folder.path(), &keys, now).unwrap();
        let logins: std::collections::BTreeSet<_> = phones.iter().map(|p| &*p.login).collect();
        assert_eq!(logins, ["li", "wei"].into());
        assert!(view.get(b"wei").unwrap().is_none());
        assert_eq!(
            view.scan(b"", None, 10).unwrap().len(),
            2,
            "the others are taken out"
        );
        drop(view);
        let clear = storage::in_clear(&folder.path().join("phones"), &[], &["sip:li@", "wang"]);
        assert_eq!(clear.unwrap(), []);
        // A damaged view costs the phones, not the start.
        std::fs::remove_dir_all(folder.path().join("phones")).unwrap();
        std::fs::write(folder.path().join("phones"), "no sled").unwrap();
        assert_eq!(open(folder.path(), &keys, now).unwrap().1, []);
    }
}
