//! One base of all lists: built when what was accepted of one has changed, staged, and put into use
//! once every node holds it.
//!
//! What is to be in use follows from what is kept of each list; what is follows from the directory.
//! So a crash anywhere is made good by the next look.

use super::{folder::Text, pull::tell};
use crate::{backend::Backend, operations::Running};
use dialmesh_http::problem::BackendError;
use domain::{DncBaseId, MemberRole, limits};
use ledger::{Change, DirectoryReply, DncPart, NewDncBase, NewDncPart};
use permit::base::BaseAbout;
use std::{ops::ControlFlow, sync::Arc};
use storage::{BuildProgress, DncBase, DncBaseBuild, SORT_MEMORY};

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is to be done, or it was done.
    Settled,
    /// A base waits for somebody to put it into use: why.
    NeedsApproval(String),
    /// The directory does not put it into use by itself: why.
    Refused(String),
    /// A base waits for nodes to fetch it: their names.
    Waits(String),
}

fn same(parts: &[DncPart], wanted: &[NewDncPart]) -> bool {
    parts.len() == wanted.len()
        && (parts.iter().zip(wanted)).all(|(a, b)| a.list == b.list && a.part == b.part)
}

/// Brings what is in use in line with what was accepted. Nobody pulls meanwhile.
pub(super) async fn look(backend: &Arc<Backend>) -> Result<Standing, String> {
    let Some(wanted) = wanted(backend).await? else {
        return Ok(Standing::Settled);
    };
    let directory = backend.member.directory();
    let (in_use, done, known) = directory.read(|d| {
        let in_use = d.dnc_base_in_use();
        let done = in_use.is_some_and(|id| same(d.dnc_parts(id), &wanted));
        let mut known = d.dnc_bases().map(|base| base.base.id);
        let known = known.find(|id| same(d.dnc_parts(*id), &wanted));
        (in_use, done, known)
    });
    if done {
        if let Some(id) = in_use {
            backend
                .operations
                .decide_made("do_not_call_list_base", &id.to_string());
        }
        return Ok(Standing::Settled);
    }
    // A base that is known and not here (its file was lost) is built anew.
    let known = known.filter(|id| backend.bases.get(*id).is_some());
    let id = match known {
        Some(id) => id,
        None => build(backend, &wanted).await?,
    };
    if in_use.is_some_and(|id| directory.read(|d| d.dnc_parts(id).is_empty())) {
        return Ok(Standing::NeedsApproval(format!(
            "the base in use was not made of lists, and what it has beyond them would be dialed \
             again; look at it, then `dialmesh dnc base use {id}`"
        )));
    }
    let without: Vec<String> = directory.read(|d| {
        let nodes = d
            .members()
            .filter(|m| m.role == MemberRole::Node && !m.removed);
        let held = d.dnc_base(id).map(|base| base.holders.clone());
        let held = held.unwrap_or_default();
        let without = nodes.filter(|m| !held.contains(&m.id));
        without.map(|m| m.name.clone()).collect()
    });
    if !without.is_empty() {
        return Ok(Standing::Waits(without.join(", ")));
    }
    let change = Change::UseDncBase {
        id: Some(id),
        force: false,
        reason: "made of lists as they were pulled".to_owned(),
    };
    let reply = match backend.change(change).await {
        Ok(reply) => reply,
        // What the directory itself has against it is for somebody to look at.
        Err(BackendError::Invalid(errors)) => {
            let why: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            return Ok(Standing::Refused(format!("base {id} {}", why.join("; "))));
        }
        Err(error) => return Err(error.to_string()),
    };
    match reply.reply {
        DirectoryReply::DncBase { .. } => {}
        other => return Err(format!("the directory answered {other:?}")),
    }
    tracing::info!(target: "audit", what = "use_do_not_call_base", detail = %id, "by lists");
    let settle = crate::compaction::settle(Arc::clone(backend), id);
    backend.tasks.spawn("do_not_call_settle", settle);
    Ok(Standing::Settled)
}

/// The lists that the next base is made of, by name; none while there is nothing to make one of.
async fn wanted(backend: &Backend) -> Result<Option<Vec<NewDncPart>>, String> {
    let directory = backend.member.directory();
    let ours = backend.lists.ours(backend);
    if ours.iter().all(|(_, list)| list.paused) {
        // Whoever puts another base into use by hand pauses the lists first.
        return Ok(None);
    }
    let in_use = directory.read(|d| {
        let parts = d.dnc_base_in_use().map(|id| d.dnc_parts(id).to_vec());
        parts.unwrap_or_default()
    });
    let mut wanted = Vec::new();
    for (name, _) in ours {
        let folder = backend.lists.folder(&name);
        let state = folder.state().map_err(|e| format!("{name}: {e}"))?;
        tell(backend, &name, &state).await?;
        let part = state.accepted.as_ref().and_then(Text::part);
        match part.filter(|part| folder.open(*part).is_ok()) {
            Some(part) => wanted.push(NewDncPart { list: name, part }),
            // What is in use of it must not be lost because its file is.
            None if in_use.iter().any(|part| part.list == name) => return Ok(None),
            None => {}
        }
    }
    Ok((!wanted.is_empty()).then_some(wanted))
}

async fn build(backend: &Arc<Backend>, wanted: &[NewDncPart]) -> Result<DncBaseId, String> {
    make_room(backend).await?;
    let running = (backend.operations).begin("do_not_call_list_base", false, None);
    let running = running.map_err(|e| e.to_string())?;
    let lists = &backend.lists;
    let parts = wanted.iter().map(|part| {
        let opened = lists.folder(&part.list).open(part.part);
        opened.map_err(|error| error.to_string())
    });
    let parts: Vec<DncBase> = match parts.collect() {
        Ok(parts) => parts,
        Err(error) => {
            running.end(Some(error.clone()));
            return Err(error);
        }
    };
    let oldest = (backend.member.directory()).read(|d| {
        let obtained = wanted.iter().map(|part| d.dnc_list(&part.list)?.obtained);
        let at = obtained.map(|obtained| Some(obtained?.at));
        at.min().flatten()
    });
    let oldest = oldest.unwrap_or(domain::WallTime::EPOCH);
    let plan = DncBaseBuild {
        dir: backend.bases.dir().to_owned(),
        about: BaseAbout {
            source: source(wanted),
            // As old as the oldest of them.
            built_at: oldest,
        },
        memory: SORT_MEMORY,
    };
    // Given back in the end, so that progress can be told from the other thread.
    let blocking = tokio::task::spawn_blocking(move || {
        let mut running: Running = running;
        let parts: Vec<&DncBase> = parts.iter().collect();
        let built = plan.union(&parts, |progress| {
            if let BuildProgress::Writing { numbers } = progress {
                running.operation.rows = numbers;
                running.tell();
            }
            ControlFlow::Continue(())
        });
        let opened = built.map_err(|e| format!("{:#}", anyhow::Error::from(e)));
        let opened = opened.and_then(|built| DncBase::open(&built.path).map_err(|e| e.to_string()));
        (opened, running)
    });
    let (opened, mut running) = match blocking.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let staged = match opened {
        Ok(base) => stage(backend, base, wanted, &mut running).await,
        Err(error) => Err(error),
    };
    match staged {
        Ok(id) => {
            let by_hand = (backend.member.directory())
                .read(|d| (d.dnc_base_in_use()).is_some_and(|id| d.dnc_parts(id).is_empty()));
            if by_hand {
                running.needs_approval(format!(
                    "the base in use was not made of lists; look at this one, then `dialmesh dnc \
                     base use {id}`"
                ));
            } else {
                running.end(None);
            }
            Ok(id)
        }
        Err(error) => {
            running.end(Some(error.clone()));
            Err(error)
        }
    }
}

async fn stage(
    backend: &Backend,
    base: DncBase,
    wanted: &[NewDncPart],
    running: &mut Running,
) -> Result<DncBaseId, String> {
    let id = base.id();
    running.operation.rows = base.count();
    let counts = [("numbers".to_owned(), base.count())];
    running.operation.counts = counts.into();
    running.operation.made = Some(id.to_string());
    let new = NewDncBase {
        id,
        file_bytes: base.file_bytes(),
        count: base.count(),
        source: base.about().source.clone(),
        built_at: base.about().built_at,
    };
    backend.bases.adopt(base);
    let change = Change::StageDncBaseOfLists {
        base: new,
        parts: wanted.to_vec(),
    };
    match backend.change(change).await {
        Ok(_) => Ok(id),
        Err(error) => Err(format!("the base is built and not staged: {error}")),
    }
}

/// Forgets bases of lists that are not in use: another one takes their place.
async fn make_room(backend: &Backend) -> Result<(), String> {
    let directory = backend.member.directory();
    let old: Vec<DncBaseId> = directory.read(|d| {
        (d.dnc_bases().map(|base| base.base.id))
            .filter(|id| !d.dnc_parts(*id).is_empty() && d.dnc_base_in_use() != Some(*id))
            .collect()
    });
    for id in old {
        crate::bases::forget(backend, id)
            .await
            .map_err(|error: BackendError| error.to_string())?;
    }
    Ok(())
}

/// What the base says of itself, within its bound. Other parts give another text, so that bases of
/// the same numbers and other parts have other names.
fn source(wanted: &[NewDncPart]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in wanted {
        hash.update(part.list.as_bytes());
        hash.update(&part.part.0);
    }
    let mut text = format!("lists {}:", &hash.finalize().to_hex()[..8]);
    for (place, part) in wanted.iter().enumerate() {
        let more = format!(" and {} more", wanted.len() - place);
        let next = format!(" {}", part.list);
        if text.len() + next.len() + more.len() > limits::NAME_BYTES {
            return text + &more;
        }
        text += &next;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_names_lists_within_its_bound() {
        let part = |list: &str| NewDncPart {
            list: list.into(),
            part: DncBaseId([0; 32]),
        };
        let two = source(&[part("ftc"), part("tps")]);
        assert!(
            two.starts_with("lists ") && two.ends_with(": ftc tps"),
            "{two}"
        );
        let other = NewDncPart {
            part: DncBaseId([1; 32]),
            ..part("tps")
        };
        assert_ne!(two, source(&[part("ftc"), other]));
        let many: Vec<_> = (0..limits::DNC_LISTS)
            .map(|n| part(&format!("{n:0>32}")))
            .collect();
        let text = source(&many);
        assert!(
            text.len() <= limits::NAME_BYTES && text.contains(" and "),
            "{text}"
        );
    }
}
