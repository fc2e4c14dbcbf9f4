//! Another map from numbers to home regions: what it would move, its plan, and how far the regions'
//! leaders are with it. They do the work (`member`); here it is begun and watched.

use crate::{
    backend::{Backend, audit, unexpected},
    operations::Running,
};
use dialmesh_http::{
    admin::Answer,
    auth::Caller,
    dto::{
        HomeRule, HomesFlow, HomesMove, HomesPlan, HomesPlanRequest, HomesRegion, HomesState,
        Operation,
    },
    problem::{BackendError, FieldError},
};
use domain::{DncScope, RegionId};
use ledger::{Change, DirectoryReply, HomeMap, RegionLedger, RegionMoves};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What operations of moves are called.
pub(crate) const KIND: &str = "home_move";
/// Numbers looked at while a region's group is held.
const LOOK: u32 = 1_000;
/// How often progress is looked at.
const WATCH: Duration = Duration::from_millis(500);

pub(crate) fn rules(rules: &[HomeRule]) -> Answer<Vec<domain::HomeRule>> {
    let mut wanted = Vec::with_capacity(rules.len());
    for (at, rule) in rules.iter().enumerate() {
        wanted.push(rule.to_domain().map_err(|error| {
            BackendError::Invalid(vec![FieldError::new(
                format!("/rules/{at}/when"),
                error.to_string(),
            )])
        })?);
    }
    Ok(wanted)
}

/// What a map would move, as the regions are here now.
async fn flows(backend: &Backend, map: &HomeMap) -> Vec<HomesFlow> {
    let mut flows: BTreeMap<(RegionId, RegionId), HomesFlow> = BTreeMap::new();
    for (from, group) in backend.member.regions() {
        let mut place = 0;
        while place < group.read(RegionLedger::number_places) {
            let numbers: Vec<_> = group.read(|ledger| {
                let end = ledger.number_places().min(place + LOOK);
                (place..end).filter_map(|at| ledger.number_at(at)).collect()
            });
            place += LOOK;
            for number in numbers {
                let Some(to) =
                    (map.home(number.number).map(|home| home.region)).filter(|to| *to != from)
                else {
                    continue;
                };
                let flow = flows.entry((from, to)).or_insert(HomesFlow {
                    from,
                    to,
                    numbers: 0,
                    leads: 0,
                    live: 0,
                });
                flow.numbers += 1;
                flow.leads += u64::from(number.leads);
                flow.live += u64::from(number.live);
            }
            tokio::task::yield_now().await;
        }
    }
    flows.into_values().collect()
}

/// Do-not-call entries of one region alone whose numbers a map puts into another.
fn region_entries(backend: &Backend, map: &HomeMap) -> u64 {
    backend.member.directory().read(|directory| {
        let goes = |fact: &ledger::DncFact| match fact.entry.scope {
            DncScope::Region(region) => {
                (map.home(fact.entry.number)).is_some_and(|home| home.region != region)
            }
            _ => false,
        };
        directory.dnc().filter(goes).count() as u64
    })
}

pub(crate) async fn plan(
    backend: &Backend,
    by: &Caller,
    request: HomesPlanRequest,
) -> Answer<HomesPlan> {
    let wanted = rules(&request.rules)?;
    let unknown = backend.member.directory().read(|directory| {
        let known: BTreeSet<RegionId> = directory.regions().map(|r| r.id).collect();
        (wanted.iter()).position(|rule| !known.contains(&rule.region))
    });
    if let Some(at) = unknown {
        let error = FieldError::new(format!("/rules/{at}/region"), "is not known");
        return Err(BackendError::Invalid(vec![error]));
    }
    let map = HomeMap {
        version: 0,
        rules: wanted.clone(),
        before: None,
    };
    let mut plan = HomesPlan {
        id: None,
        in_force: false,
        moves: Vec::new(),
        region_entries: region_entries(backend, &map),
    };
    if !request.dry_run {
        audit(by, "plan_home_rules", &format!("{} rules", wanted.len()));
        let change = Change::PlanHomes {
            rules: wanted,
            move_leads: true,
        };
        match backend.change(change).await?.reply {
            DirectoryReply::Homes { id, in_force } => {
                (plan.id, plan.in_force) = (Some(id), in_force);
            }
            other => return Err(unexpected(&other)),
        }
    }
    plan.moves = flows(backend, &map).await;
    Ok(plan)
}

pub(crate) async fn cancel(backend: &Backend, by: &Caller, id: u64) -> Answer<()> {
    audit(by, "cancel_home_rules_plan", &id.to_string());
    backend.change(Change::CancelHomes { id }).await?;
    Ok(())
}

pub(crate) async fn apply(backend: &Arc<Backend>, by: &Caller, id: u64) -> Answer<Operation> {
    audit(by, "apply_home_rules_plan", &id.to_string());
    backend.change(Change::ApplyHomes { id }).await?;
    let running = (backend.operations).begin(KIND, false, None);
    let running = running.map_err(|e| BackendError::Internal(e.to_string()))?;
    let begun = running.operation.clone();
    (backend.tasks).spawn(KIND, watch(Arc::clone(backend), id, running));
    Ok(begun)
}

/// After a start: a move that is under way is listed anew.
pub(crate) fn resume(backend: &Arc<Backend>) {
    let moving = backend.member.directory().read(|directory| {
        let moving = directory.homes_move()?;
        moving.applied_at.is_some().then_some(moving.id)
    });
    let Some(id) = moving else { return };
    match backend.operations.begin(KIND, false, None) {
        Ok(running) => {
            (backend.tasks).spawn(KIND, watch(Arc::clone(backend), id, running));
        }
        Err(error) => tracing::warn!(%error, "leads move, and no operation shows it"),
    }
}

/// Tells progress until the map is in force. It is the regions' leaders that move the leads: should
/// this process end, they go on.
async fn watch(backend: Arc<Backend>, id: u64, mut running: Running) {
    loop {
        let moves = of_regions(&backend);
        let by_this = || moves.values().filter(|moves| moves.homes == id);
        let operation = &mut running.operation;
        operation.rows = by_this().map(|moves| moves.out.numbers).sum();
        let leads = by_this().map(|moves| moves.out.leads).sum();
        operation.counts = [("numbers", operation.rows), ("leads", leads)]
            .map(|(name, n)| (name.to_owned(), n))
            .into();
        running.tell();
        let moving = backend
            .member
            .directory()
            .read(|directory| (directory.homes_move()).is_some_and(|moving| moving.id == id));
        if !moving {
            running.end(None);
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            // It ends as one that was cut off, and says that the move goes on.
            () = backend.tasks.shutdown().started() => return,
        }
    }
}

fn of_regions(backend: &Backend) -> BTreeMap<RegionId, RegionMoves> {
    let regions = backend.member.regions().into_iter();
    regions
        .map(|(id, group)| (id, group.read(RegionLedger::moves)))
        .collect()
}

pub(crate) fn status(backend: &Backend) -> HomesMove {
    let moving = backend
        .member
        .directory()
        .read(|directory| directory.homes_move().cloned());
    let version = backend
        .member
        .directory()
        .read(ledger::Directory::home_version);
    let regions = of_regions(backend).into_iter().map(|(region, moves)| {
        let ours = moves.homes == version;
        let (out, into) = if ours {
            (moves.out, moves.into)
        } else {
            Default::default()
        };
        HomesRegion {
            region,
            left: (moving.as_ref())
                .is_none_or(|moving| moving.applied_at.is_some() && moving.left.contains(&region)),
            numbers_out: out.numbers,
            leads_out: out.leads,
            numbers_in: into.numbers,
            leads_in: into.leads,
            under_way: moves.under_way.iter().map(|(_, _, n)| n.numbers).sum(),
        }
    });
    HomesMove {
        state: match &moving {
            None => HomesState::Settled,
            Some(moving) if moving.applied_at.is_some() => HomesState::Moving,
            Some(_) => HomesState::Planned,
        },
        id: moving.as_ref().map(|moving| moving.id),
        planned_at: moving.as_ref().map(|moving| moving.planned_at.into()),
        applied_at: (moving.as_ref()).and_then(|moving| Some(moving.applied_at?.into())),
        rules: (moving.iter())
            .flat_map(|moving| moving.rules.iter().map(HomeRule::from))
            .collect(),
        regions: regions.collect(),
    }
}
