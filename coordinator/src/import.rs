//! Imports of leads and of do-not-call numbers: CSV in, batches to the groups, exact counts out.

mod consents;
pub(crate) mod mapping;
mod numbers;
mod rejects;
pub(crate) mod rows;

pub(crate) use consents::start as start_consents;
pub(crate) use numbers::start as start_do_not_call;

use crate::{
    backend::{Backend, audit, missing},
    operations::Running,
};
use dialmesh_http::{
    admin::{Answer, ByteStream},
    auth::Caller,
    dto::{ImportOptions, Operation},
    problem::{BackendError, FieldError},
};
use domain::{CampaignId, CampaignState, ListId, NewLead, PhoneNumber, RegionId, limits};
use ledger::{
    Change, DirectoryReply, HomeMap, ImportTotals, MoveRefusal, RegionCommand, RegionRefusal,
    RegionReply, RowOutcome,
};
use mapping::Mapping;
use rejects::Rejects;
use rows::{Row, Rows, RowsError};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long one batch may take to be committed.
const BATCH: Duration = Duration::from_secs(30);
/// Bytes of one region's waiting rows; then they are proposed.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of all waiting rows; then all are proposed.
const WAITING_BYTES: usize = 32 << 20;
/// Numbers that a dry run remembers to find duplicates; a longer file is refused by it.
pub(crate) const DRY_RUN_NUMBERS: usize = 2_000_000;
/// How long a region's group may take to appear on this member.
const REGION: Duration = Duration::from_secs(10);
/// How long rows wait for numbers that are on their way to another region.
const MOVING: Duration = Duration::from_secs(60);
/// How often they are tried.
const MOVING_AGAIN: Duration = Duration::from_millis(200);

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The file.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Its heading.
    #[error("{0}")]
    Heading(String),
    /// Proposing.
    #[error("{0}")]
    Backend(BackendError),
    /// The disk.
    #[error("the file of rejects cannot be written: {0}")]
    Disk(#[from] std::io::Error),
    /// Numbers that did not arrive.
    #[error(
        "numbers have been on their way to another region for a minute; see `dialmesh region homes status`, then send the file again: rows taken already count as duplicates"
    )]
    Moving,
    /// A dry run over its bound.
    #[error("a dry run counts at most {DRY_RUN_NUMBERS} numbers; split the file")]
    DryRun,
}

impl Failure {
    /// What the importer is answered when nothing was taken yet; later the operation tells it.
    fn answer(&self) -> BackendError {
        match self {
            Self::Rows(RowsError::Body(error)) => BackendError::Body(*error),
            Self::Rows(error) => {
                BackendError::Invalid(vec![FieldError::new("", error.to_string())])
            }
            Self::Heading(why) => BackendError::Invalid(vec![FieldError::new("", why.clone())]),
            Self::Backend(error) => error.clone(),
            Self::Disk(error) => BackendError::Internal(error.to_string()),
            Self::Moving => BackendError::Unavailable {
                detail: self.to_string(),
                retry_after: MOVING,
            },
            Self::DryRun => BackendError::Limit {
                what: "numbers in a dry run",
                limit: DRY_RUN_NUMBERS as u64,
            },
        }
    }
}

/// Ends the operation; the answer to the importer.
pub(crate) fn end(running: Running, result: Result<(), Failure>) -> Answer<Operation> {
    let label = match running.operation.kind.as_str() {
        "lead_import" => "dialmesh_import_rows_total",
        "consent_import" => "dialmesh_consent_import_rows_total",
        _ => "dialmesh_dnc_import_rows_total",
    };
    if !running.operation.dry_run {
        for (result, rows) in &running.operation.counts {
            metrics::counter!(label, "result" => result.clone()).increment(*rows);
        }
    }
    match result {
        Ok(()) => Ok(running.end(None)),
        Err(failure) => {
            let nothing_yet = running.operation.rows == 0;
            let broke_off = matches!(failure, Failure::Rows(RowsError::Body(_)));
            let operation = running.end(Some(failure.to_string()));
            if nothing_yet || broke_off {
                Err(failure.answer())
            } else {
                Ok(operation)
            }
        }
    }
}

/// The default country, if it is one.
pub(crate) fn country(given: Option<String>) -> Answer<Option<String>> {
    if let Some(text) = &given
        && let Err(numbering::ParseError::UnknownCountry { .. }) = numbering::parse("1", text)
    {
        let error = FieldError::new(
            "?default_country",
            "is not an ISO 3166 code such as CN or US",
        );
        return Err(BackendError::Invalid(vec![error]));
    }
    Ok(given)
}

/// A row that waits to be proposed.
struct Waiting {
    number: u64,
    fields: Vec<String>,
    lead: NewLead,
}

/// A region, and whether it takes only leads whose number it has: the one that a number leaves is
/// asked before the one that it goes to.
type Route = (RegionId, bool);

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    bytes: usize,
}

/// What a region has taken of the list.
#[derive(Default)]
struct Taken {
    batches: u64,
    totals: ImportTotals,
}

struct Import {
    backend: Arc<Backend>,
    campaign: CampaignId,
    /// None for a dry run.
    list: Option<ListId>,
    country: Option<String>,
    homes: HomeMap,
    queues: BTreeMap<Route, Queue>,
    taken: BTreeMap<RegionId, Taken>,
    waiting_bytes: usize,
    seen: BTreeSet<PhoneNumber>,
    /// What is not counted by the regions.
    counts: BTreeMap<&'static str, u64>,
    running: Running,
}

/// Reads a file of leads to its end; see [`dialmesh_http::admin::AdminBackend::import_leads`].
pub(crate) async fn start(
    backend: &Arc<Backend>,
    by: &Caller,
    campaign: CampaignId,
    options: ImportOptions,
    length: Option<u64>,
    rows: ByteStream,
) -> Answer<Operation> {
    let (state, mapped) = backend.member.directory().read(|directory| {
        (
            directory.campaign(campaign).map(|c| c.state),
            !directory.home_rules().is_empty(),
        )
    });
    match state {
        None => return Err(missing("campaign", campaign)),
        Some(CampaignState::Stopped) => {
            return Err(BackendError::Conflict(
                "the campaign is stopped for good".to_owned(),
            ));
        }
        Some(_) => {}
    }
    if !mapped {
        let why = "no home rules are set: leads would have no region; set at least the default";
        return Err(BackendError::Conflict(why.to_owned()));
    }
    let country = country(options.default_country)?;
    let name = options
        .list
        .unwrap_or_else(|| format!("import of {}", service::clock::wall()));
    audit(
        by,
        "import_leads",
        &format!("{campaign} list={name} dry_run={}", options.dry_run),
    );
    let list = if options.dry_run {
        None
    } else {
        match backend
            .change(Change::CreateList { campaign, name })
            .await?
            .reply
        {
            DirectoryReply::List(list) => Some(list),
            other => return Err(crate::backend::unexpected(&other)),
        }
    };
    let running = backend
        .operations
        .begin("lead_import", options.dry_run, length);
    let running = running.map_err(|e| BackendError::Internal(e.to_string()))?;
    let import = Import {
        backend: Arc::clone(backend),
        campaign,
        list,
        country,
        // Read after the list was made: from then on another map comes into force by moving leads.
        homes: backend.member.directory().read(ledger::Directory::home_map),
        queues: BTreeMap::new(),
        taken: BTreeMap::new(),
        waiting_bytes: 0,
        seen: BTreeSet::new(),
        counts: BTreeMap::new(),
        running,
    };
    let (tell, told) = oneshot::channel();
    backend.tasks.spawn("lead_import", async move {
        // The importer may have gone; the operation is listed all the same.
        drop(tell.send(import.run(Rows::new(rows)).await));
    });
    told.await
        .unwrap_or_else(|_| Err(BackendError::Internal("the import was cut off".to_owned())))
}

impl Import {
    async fn run(mut self, mut rows: Rows) -> Answer<Operation> {
        let result = self.take_all(&mut rows).await;
        self.progress(&rows);
        end(self.running, result)
    }

    async fn take_all(&mut self, rows: &mut Rows) -> Result<(), Failure> {
        let Some(heading) = rows.next().await? else {
            return Err(Failure::Heading(
                "the file is empty; its first row names the columns".into(),
            ));
        };
        let mapping = Mapping::of(&heading.fields).map_err(Failure::Heading)?;
        let mut rejects = Rejects::new(self.running.rejects_file(), &heading.fields);
        let taken = self.take_rows(rows, &mapping, &mut rejects).await;
        rejects.finish()?;
        self.running.operation.has_rejects = rejects.any();
        taken
    }

    async fn take_rows(
        &mut self,
        rows: &mut Rows,
        mapping: &Mapping,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        while let Some(row) = rows.next().await? {
            self.take(row, mapping, rejects).await?;
            if rows.rows.is_multiple_of(256) {
                self.progress(rows);
                self.running.tell();
            }
        }
        self.propose_all(rejects).await
    }

    fn count(&mut self, result: &'static str) {
        *self.counts.entry(result).or_default() += 1;
    }

    /// Every row read is in exactly one count, once its batch is committed.
    fn progress(&mut self, rows: &Rows) {
        let mut counts: BTreeMap<String, u64> = self
            .counts
            .iter()
            .map(|(result, n)| ((*result).to_owned(), *n))
            .collect();
        for region in self.taken.values() {
            for (result, n) in [
                ("accepted", region.totals.accepted),
                ("duplicate", region.totals.duplicate),
                ("refused", region.totals.refused),
            ] {
                if n > 0 {
                    *counts.entry(result.to_owned()).or_default() += n;
                }
            }
        }
        let operation = &mut self.running.operation;
        (operation.counts, operation.bytes_done) = (counts, rows.bytes_done);
        operation.rows = rows.rows.saturating_sub(1);
    }

    async fn take(
        &mut self,
        row: Row,
        mapping: &Mapping,
        rejects: &mut Rejects,
    ) -> Result<(), Failure> {
        let lead = match mapping.lead(&row.fields, row.utf8, self.country.as_deref()) {
            Ok(lead) => lead,
            Err(problem) => {
                self.count("invalid");
                let remedy = problem.to_string();
                return Ok(rejects.add(row.number, "invalid", &remedy, &row.fields)?);
            }
        };
        let mut reject = |reason, remedy| rejects.add(row.number, reason, remedy, &row.fields);
        if lead.zones.is_empty() {
            reject(
                "unknown_zone",
                "no time zone is known for the number, so no hour is known to be allowed",
            )?;
            self.count("unknown_zone");
            return Ok(());
        }
        let Some(home) = self.homes.home(lead.number) else {
            reject(
                "no_home_region",
                "no home rule matches the number; add one, or a default",
            )?;
            self.count("no_home_region");
            return Ok(());
        };
        let region = home.region;
        let directory = self.backend.member.directory();
        if directory.read(|d| d.dnc_covers(lead.number, self.campaign, region)) {
            let pattern = directory.read(|d| d.dnc_pattern_for(lead.number, self.campaign, region));
            let remedy = match pattern {
                Some(prefix) => format!("the do-not-call pattern {prefix} covers the number"),
                None => "the number is on the do-not-call list".to_owned(),
            };
            reject("do_not_call", &remedy)?;
            self.count("do_not_call");
            return Ok(());
        }
        if crate::bases::covers(&self.backend, lead.number) {
            reject("do_not_call", "the number is in the do-not-call base")?;
            self.count("do_not_call");
            return Ok(());
        }
        let now = service::clock::wall();
        let consented = |d: &ledger::Directory| {
            !crate::consents::required(d, self.campaign)
                || d.consent_for(lead.number, self.campaign, now).is_some()
        };
        if !directory.read(consented) {
            let remedy = "the campaign asks for consent; import it with its proof, then this row";
            reject("no_consent", remedy)?;
            self.count("no_consent");
            return Ok(());
        }
        if self.list.is_none() {
            let asked = [home.before, Some(home.region)];
            return self.try_dry(asked, lead.number).await;
        }
        let route = route(home);
        self.queue(
            route,
            Waiting {
                number: row.number,
                fields: row.fields,
                lead,
            },
        );
        let held = &self.queues[&route];
        if held.waiting.len() >= limits::IMPORT_BATCH || held.bytes >= BATCH_BYTES {
            self.settle(&[route], rejects).await?;
        } else if self.waiting_bytes >= WAITING_BYTES {
            self.propose_all(rejects).await?;
        }
        Ok(())
    }

    fn queue(&mut self, route: Route, row: Waiting) {
        let bytes = bytes(&row);
        let held = self.queues.entry(route).or_default();
        held.waiting.push(row);
        held.bytes += bytes;
        self.waiting_bytes += bytes;
    }

    async fn try_dry(
        &mut self,
        asked: [Option<RegionId>; 2],
        number: PhoneNumber,
    ) -> Result<(), Failure> {
        let campaign = self.campaign;
        let mut known = false;
        for region in asked.into_iter().flatten() {
            let group = (self.backend.region(region, REGION).await).map_err(Failure::Backend)?;
            known |= group.read(|ledger| {
                let mut leads = ledger.leads_of(number).into_iter();
                leads.any(|id| {
                    ledger
                        .lead(id)
                        .is_some_and(|lead| lead.campaign == campaign)
                })
            });
        }
        let new = !known && self.seen.insert(number);
        if self.seen.len() > DRY_RUN_NUMBERS {
            return Err(Failure::DryRun);
        }
        self.count(if new { "accepted" } else { "duplicate" });
        Ok(())
    }

    async fn propose_all(&mut self, rejects: &mut Rejects) -> Result<(), Failure> {
        let routes: Vec<Route> = self.queues.keys().copied().collect();
        self.settle(&routes, rejects).await
    }

    /// Proposes what waits on these routes until every row has an answer. While leads move, a row may
    /// have to be asked of another region next.
    async fn settle(&mut self, routes: &[Route], rejects: &mut Rejects) -> Result<(), Failure> {
        let began = Instant::now();
        let mut open: BTreeSet<Route> = routes.iter().copied().collect();
        while !open.is_empty() {
            let (mut next, mut pause) = (BTreeSet::new(), false);
            for route in open {
                let (routes, moving) = self.propose(route, rejects).await?;
                next.extend(routes);
                pause |= moving;
            }
            open = next;
            if pause {
                if began.elapsed() > MOVING {
                    return Err(Failure::Moving);
                }
                tokio::time::sleep(MOVING_AGAIN).await;
            }
        }
        Ok(())
    }

    /// Proposes what waits on a route, once. A retry of a batch is known by its number, so that each
    /// row is taken once and the region's sums stay exact. Answers on which routes rows wait now, and
    /// whether that is for a moment.
    async fn propose(
        &mut self,
        route: Route,
        rejects: &mut Rejects,
    ) -> Result<(BTreeSet<Route>, bool), Failure> {
        let (region, known_only) = route;
        let mut next = BTreeSet::new();
        let held = self.queues.entry(route).or_default();
        let Some(list) = self.list.filter(|_| !held.waiting.is_empty()) else {
            return Ok((next, false));
        };
        let rest = (held.waiting).split_off(held.waiting.len().min(limits::IMPORT_BATCH));
        let waiting = std::mem::replace(&mut held.waiting, rest);
        if !held.waiting.is_empty() {
            next.insert(route);
        }
        let gone: usize = waiting.iter().map(bytes).sum();
        held.bytes -= gone;
        self.waiting_bytes -= gone;
        let taken = self.taken.entry(region).or_default();
        let command = RegionCommand::ImportAt {
            homes: self.homes.version,
            known_only,
            list,
            campaign: self.campaign,
            batch: taken.batches + 1,
            rows: waiting.iter().map(|row| row.lead.clone()).collect(),
        };
        let group = (self.backend.region(region, REGION).await).map_err(Failure::Backend)?;
        let committed = group.propose_again(&command, BATCH).await;
        let committed =
            committed.map_err(|e| Failure::Backend(crate::backend::not_proposed(&e)))?;
        match committed.reply {
            RegionReply::Imported { rows, totals, .. } => {
                taken.batches += 1;
                taken.totals = totals;
                let mut moving = false;
                for (row, outcome) in waiting.into_iter().zip(rows) {
                    let again = match outcome {
                        RowOutcome::Accepted(_) | RowOutcome::Duplicate(_) => continue,
                        RowOutcome::Refused(refusal) => {
                            let why = refusal.to_string();
                            rejects.add(row.number, "refused", &why, &row.fields)?;
                            continue;
                        }
                        RowOutcome::Moving => {
                            moving = true;
                            route
                        }
                        // True of the map that was asked by, which is still the one here.
                        RowOutcome::Elsewhere => match self.homes.home(row.lead.number) {
                            Some(home) => (home.region, false),
                            None => continue,
                        },
                    };
                    self.queue(again, row);
                    next.insert(again);
                }
                Ok((next, moving))
            }
            RegionReply::Refused(RegionRefusal::Move(MoveRefusal::StaleHomes { have, .. })) => {
                next.extend(self.route_anew(have, route, waiting, rejects).await?);
                Ok((next, false))
            }
            other => {
                let why = format!("region {region} answered an import with {other:?}");
                Err(Failure::Backend(BackendError::Internal(why)))
            }
        }
    }

    /// Another home map was applied since this one was read: rows that wait are routed by it.
    async fn route_anew(
        &mut self,
        version: u64,
        route: Route,
        waiting: Vec<Waiting>,
        rejects: &mut Rejects,
    ) -> Result<BTreeSet<Route>, Failure> {
        let directory = self.backend.member.directory();
        let began = Instant::now();
        while directory.read(ledger::Directory::home_version) < version {
            if began.elapsed() > BATCH {
                let why = format!("version {version} of the home map is not seen here yet");
                return Err(Failure::Backend(BackendError::Unavailable {
                    detail: why,
                    retry_after: MOVING_AGAIN,
                }));
            }
            tokio::time::sleep(MOVING_AGAIN).await;
        }
        self.homes = directory.read(ledger::Directory::home_map);
        let mut all = waiting;
        for queue in std::mem::take(&mut self.queues).into_values() {
            all.extend(queue.waiting);
        }
        self.waiting_bytes = 0;
        let mut routes = BTreeSet::from([route]);
        for row in all {
            match self.homes.home(row.lead.number) {
                Some(home) => {
                    routes.insert(self::route(home));
                    self.queue(self::route(home), row);
                }
                None => {
                    self.count("no_home_region");
                    let remedy = "no home rule matches the number; add one, or a default";
                    rejects.add(row.number, "no_home_region", remedy, &row.fields)?;
                }
            }
        }
        Ok(routes)
    }
}

fn route(home: ledger::Home) -> Route {
    match home.before {
        Some(before) => (before, true),
        None => (home.region, false),
    }
}

/// About what a waiting row takes.
fn bytes(row: &Waiting) -> usize {
    row.fields.iter().map(|f| f.len() + 48).sum::<usize>() + 64
}
