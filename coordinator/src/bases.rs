//! Do-not-call bases: taken in by the API, kept in `data_dir/dnc`, handed to nodes piece by piece.

use crate::{
    backend::{Backend, audit, missing, unexpected},
    dnc::acknowledged,
};
use bytes::Bytes;
use compliance::RulePack;
use dialmesh_http::{
    admin::{Answer, ByteStream},
    auth::Caller,
    dto::{DncBase as Shown, DncBaseUse, DncResult, Page},
    problem::{BackendError, FieldError},
};
use domain::{
    Campaign, CampaignState, DncBaseId, MemberRole, PhoneNumber, WallTime, registry_is_too_old,
};
use futures::StreamExt as _;
use ledger::{Change, Directory, DirectoryReply, NewDncBase, StagedDncBase};
use member::{DNC_BASE_CHUNK, DNC_BASE_TAIL, DncBaseChunk, DncBaseTail, NOT_HERE, decode, encode};
use mesh::{Endpoint, ServiceError};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{DncBase, adopt_dnc_base, dnc_base_path, dnc_bases};
use tokio::io::AsyncWriteExt as _;

/// Where uploads lie until they are whole.
const UPLOADS: &str = "uploads";

/// How far the clock of the machine that built a base may be ahead: a base of the future would never
/// be too old.
const SKEW: Duration = Duration::from_secs(86_400);

/// The bases that this coordinator has.
#[derive(Debug)]
pub(crate) struct Bases {
    dir: PathBuf,
    here: Mutex<BTreeMap<DncBaseId, Arc<DncBase>>>,
    /// One upload at a time: each may need a gigabyte.
    upload: tokio::sync::Mutex<()>,
    /// Held while entries that the base in use has are dropped.
    pub(crate) settling: tokio::sync::Mutex<()>,
}

impl Bases {
    /// Opens what lies in the data directory; what a crash left of an upload goes.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("dnc");
        let uploads = dir.join(UPLOADS);
        if uploads.is_dir() {
            fs::remove_dir_all(&uploads)?;
        }
        fs::create_dir_all(&uploads)?;
        let mut here = BTreeMap::new();
        for id in dnc_bases(&dir)? {
            match DncBase::open(&dnc_base_path(&dir, id)) {
                Ok(base) => _ = here.insert(id, Arc::new(base)),
                Err(error) => {
                    tracing::error!(%error, "a do-not-call base cannot be handed out; stage it again");
                }
            }
        }
        Ok(Self {
            dir,
            here: Mutex::new(here),
            upload: tokio::sync::Mutex::new(()),
            settling: tokio::sync::Mutex::new(()),
        })
    }

    /// A base, if it is here.
    pub(crate) fn get(&self, id: DncBaseId) -> Option<Arc<DncBase>> {
        self.here.lock().get(&id).cloned()
    }

    /// Where they lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One that was built here.
    pub(crate) fn adopt(&self, base: DncBase) {
        self.here.lock().insert(base.id(), Arc::new(base));
    }

    /// Deletes one, if it is here. Whether it was.
    pub(crate) fn delete(&self, id: DncBaseId) -> io::Result<bool> {
        let gone = self.here.lock().remove(&id);
        if let Some(base) = &gone {
            fs::remove_file(base.path())?;
        }
        Ok(gone.is_some())
    }

    /// Hands bases to nodes.
    pub(crate) fn serve(self: &Arc<Self>, endpoint: &Endpoint) {
        let bases = Arc::clone(self);
        endpoint.serve(DNC_BASE_TAIL, move |_, request: Bytes| {
            let bases = Arc::clone(&bases);
            async move {
                let base = bases.asked(decode(&request)?)?;
                Ok(encode(&DncBaseTail {
                    file_bytes: base.file_bytes(),
                    tail: base.tail().to_vec(),
                }))
            }
        });
        let bases = Arc::clone(self);
        endpoint.serve(DNC_BASE_CHUNK, move |_, request: Bytes| {
            let bases = Arc::clone(&bases);
            async move {
                let DncBaseChunk { id, chunk } = decode(&request)?;
                let base = bases.asked(id)?;
                if chunk as usize >= base.chunks() {
                    let why = format!("base {id} has {} chunks", base.chunks());
                    return Err(ServiceError::new(NOT_HERE, why));
                }
                Ok(Bytes::copy_from_slice(base.chunk(chunk as usize)))
            }
        });
    }

    fn asked(&self, id: DncBaseId) -> Result<Arc<DncBase>, ServiceError> {
        let gone = || ServiceError::new(NOT_HERE, format!("do-not-call base {id} is not here"));
        self.get(id).ok_or_else(gone)
    }
}

/// Whether the base in use covers a number that is not lifted, as far as this coordinator has it;
/// nodes ask their own.
pub(crate) fn covers(backend: &Backend, number: PhoneNumber) -> bool {
    let lifted = (backend.member.directory()).read(|d| d.dnc_lift(number).is_some());
    !lifted && holds(backend, number)
}

/// Whether the base in use has a number, lifted or not.
pub(crate) fn holds(backend: &Backend, number: PhoneNumber) -> bool {
    let in_use = (backend.member.directory()).read(Directory::dnc_base_in_use);
    in_use
        .and_then(|id| backend.bases.get(id))
        .is_some_and(|base| base.contains(number))
}

/// How old the base in use is: as the oldest list that it was made of, or since it was built. None
/// when none is in use.
pub(crate) fn age(backend: &Backend, now: WallTime) -> Option<Duration> {
    (backend.member.directory()).read(|directory| {
        let base = directory.dnc_base(directory.dnc_base_in_use()?)?;
        let oldest = directory.dnc_ages().into_iter().map(|list| list.as_of);
        Some(now.since(oldest.min().unwrap_or(base.base.built_at)))
    })
}

/// Whether the base in use is older at `wall` than a campaign's rule pack allows.
pub(crate) fn is_too_old(directory: &Directory, campaign: &Campaign, wall: WallTime) -> bool {
    let rule = || {
        let pack = RulePack::by_name(&campaign.rule_pack)?;
        Some((pack.registry_age_max?, pack.registry_country))
    };
    let base = directory
        .dnc_base_in_use()
        .and_then(|id| directory.dnc_base(id));
    base.zip(rule()).is_some_and(|(base, rule)| {
        registry_is_too_old(&directory.dnc_ages(), base.base.built_at, rule, wall)
    })
}

/// How long before the rule pack's end a running campaign is warned of.
const WARNED: Duration = Duration::from_secs(7 * 86_400);

/// Running campaigns that the age of the base in use stops, or will within days: what to log.
pub(crate) fn age_warnings(backend: &Backend, now: WallTime) -> Vec<String> {
    (backend.member.directory()).read(|directory| {
        (directory.campaigns())
            .filter(|campaign| campaign.state == CampaignState::Running)
            .filter(|campaign| is_too_old(directory, campaign, now + WARNED))
            .map(|campaign| {
                let (name, pack) = (&campaign.name, &campaign.rule_pack);
                let what = if is_too_old(directory, campaign, now) {
                    "does not dial"
                } else {
                    "will not dial much longer"
                };
                format!(
                    "campaign {name} {what}: the do-not-call data in use is as old as {pack} \
                     allows, or soon will be; look at `dialmesh dnc list ls`, or build a new \
                     base and put it into use"
                )
            })
            .collect()
    })
}

fn shown(backend: &Backend, staged: &StagedDncBase) -> Shown {
    let base = &staged.base;
    backend.member.directory().read(|directory| {
        let nodes = || (directory.members()).filter(|m| m.role == MemberRole::Node && !m.removed);
        let names = |here: bool| {
            let of = nodes().filter(|m| staged.holders.contains(&m.id) == here);
            of.map(|m| m.name.clone()).collect()
        };
        Shown {
            id: base.id.to_string(),
            numbers: base.count,
            file_bytes: base.file_bytes,
            source: base.source.clone(),
            built_at: base.built_at.into(),
            staged_at: staged.staged_at.into(),
            in_use: directory.dnc_base_in_use() == Some(base.id),
            held_by: names(true),
            missing_at: names(false),
        }
    })
}

fn staged(backend: &Backend) -> Vec<StagedDncBase> {
    (backend.member.directory()).read(|directory| directory.dnc_bases().cloned().collect())
}

pub(crate) fn list(backend: &Backend) -> Page<Shown> {
    let mut all = staged(backend);
    all.sort_by_key(|base| std::cmp::Reverse(base.staged_at));
    Page::new(all.iter().map(|one| shown(backend, one)).collect(), None)
}

/// Takes a file in, and tells the nodes to fetch it.
pub(crate) async fn stage(
    backend: &Backend,
    by: &Caller,
    id: DncBaseId,
    mut body: ByteStream,
) -> Answer<Shown> {
    audit(by, "stage_do_not_call_base", &id.to_string());
    let bases = &backend.bases;
    let base = match bases.get(id) {
        Some(base) => {
            // Read all the same: a client hears no answer while it is still sending.
            while let Some(piece) = body.next().await {
                piece.map_err(BackendError::Body)?;
            }
            base
        }
        None => take_in(bases, id, body).await?,
    };
    let about = base.about();
    let now = service::clock::wall();
    if about.built_at > now + SKEW {
        let built_at = about.built_at;
        if !(backend.member.directory()).read(|directory| directory.dnc_base(id).is_some()) {
            bases.delete(id).map_err(|error| disk(&error))?;
        }
        let why = format!(
            "was built at {built_at}, which is in the future; see the clock of the machine that \
             built it, and build it again"
        );
        return Err(BackendError::Invalid(vec![FieldError::new("", why)]));
    }
    let new = NewDncBase {
        id,
        file_bytes: base.file_bytes(),
        count: base.count(),
        source: about.source.clone(),
        built_at: about.built_at,
    };
    match backend
        .change(Change::StageDncBase { base: new })
        .await?
        .reply
    {
        DirectoryReply::Done => {}
        other => return Err(unexpected(&other)),
    }
    show(backend, id)
}

fn show(backend: &Backend, id: DncBaseId) -> Answer<Shown> {
    let known = (backend.member.directory()).read(|directory| directory.dnc_base(id).cloned());
    let known = known.ok_or_else(|| missing("do-not-call base", id))?;
    Ok(shown(backend, &known))
}

async fn take_in(bases: &Bases, id: DncBaseId, body: ByteStream) -> Answer<Arc<DncBase>> {
    let _alone = bases.upload.try_lock().map_err(|_| {
        let why = "another do-not-call base is being uploaded; try again once that has ended";
        BackendError::Conflict(why.to_owned())
    })?;
    let path = bases.dir.join(UPLOADS).join(id.to_string());
    let taken = written(&path, body).await;
    let dir = bases.dir.clone();
    let adopted = match taken {
        Ok(()) => {
            let path = path.clone();
            let adopt = move || adopt_dnc_base(&path, &dir, id);
            (tokio::task::spawn_blocking(adopt).await)
                .map_err(|error| BackendError::Internal(error.to_string()))?
                .map_err(|error| refused(&error))
        }
        Err(error) => Err(error),
    };
    match adopted {
        Ok(base) => {
            let base = Arc::new(base);
            bases.here.lock().insert(id, Arc::clone(&base));
            Ok(base)
        }
        Err(error) => {
            // Nothing is left of it, unless the disk refuses that too.
            if let Err(left) = fs::remove_file(&path) {
                tracing::debug!(%left, "an upload's file is left");
            }
            Err(error)
        }
    }
}

fn refused(error: &storage::DncBaseError) -> BackendError {
    match error {
        storage::DncBaseError::Io { .. } => BackendError::Internal(error.to_string()),
        storage::DncBaseError::Refused { reason, .. } => {
            let why = format!("is not a whole do-not-call base: {reason}");
            BackendError::Invalid(vec![FieldError::new("", why)])
        }
        storage::DncBaseError::Misnamed { id, .. } => {
            let why = format!("the file is base {id}; send it under that name");
            BackendError::Invalid(vec![FieldError::new("", why)])
        }
    }
}

fn disk(error: &io::Error) -> BackendError {
    BackendError::Internal(format!("the disk refused: {error}"))
}

async fn written(path: &Path, mut body: ByteStream) -> Answer<()> {
    let mut file = tokio::fs::File::create(path).await.map_err(|e| disk(&e))?;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(BackendError::Body)?;
        file.write_all(&piece).await.map_err(|e| disk(&e))?;
    }
    file.flush().await.map_err(|e| disk(&e))
}

/// Puts a base into use, or none.
pub(crate) async fn put_into_use(
    backend: &Arc<Backend>,
    by: &Caller,
    request: DncBaseUse,
) -> Answer<DncResult> {
    let begun = Instant::now();
    let id = match &request.id {
        Some(text) => Some(text.parse::<DncBaseId>().map_err(|error| {
            BackendError::Invalid(vec![FieldError::new("/id", format!("is {error}"))])
        })?),
        None => None,
    };
    let detail = format!(
        "{} {}",
        request.id.as_deref().unwrap_or("none"),
        request.reason
    );
    audit(by, "use_do_not_call_base", &detail);
    let change = Change::UseDncBase {
        id,
        force: request.force,
        reason: request.reason,
    };
    let index = match backend.change(change).await?.reply {
        DirectoryReply::DncBase { index } => index,
        other => return Err(unexpected(&other)),
    };
    if let Some(id) = id {
        let settle = crate::compaction::settle(Arc::clone(backend), id);
        backend.tasks.spawn("do_not_call_settle", settle);
    }
    acknowledged(backend, begun, index, request.wait, "the change").await
}

/// Forgets a base that is not in use; nodes delete it. One that was built or uploaded here and
/// never became known is deleted here.
pub(crate) async fn remove(backend: &Backend, by: &Caller, id: DncBaseId) -> Answer<()> {
    let known = (backend.member.directory()).read(|directory| directory.dnc_base(id).is_some());
    if !known && backend.bases.get(id).is_none() {
        return Err(missing("do-not-call base", id));
    }
    audit(by, "remove_do_not_call_base", &id.to_string());
    if known {
        return forget(backend, id).await;
    }
    backend.bases.delete(id).map_err(|error| disk(&error))?;
    Ok(())
}

/// Takes a base out of the directory, and deletes its file here.
pub(crate) async fn forget(backend: &Backend, id: DncBaseId) -> Answer<()> {
    match backend.change(Change::DropDncBase { id }).await?.reply {
        DirectoryReply::Done => {}
        other => return Err(unexpected(&other)),
    }
    backend.bases.delete(id).map_err(|error| disk(&error))?;
    Ok(())
}
