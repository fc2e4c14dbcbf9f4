//! The running process: what is started in which order, and how it stops.

use crate::{
    authority::Authority,
    backend::{Backend, Desk},
    bases::Bases,
    config::CoordinatorConfig,
    init::{advertised, http_url, is_founded},
    lists::Lists,
    nodes::Nodes,
    notes::Notes,
    operations::Operations,
    recordings,
    records::Records,
    voters,
};
use anyhow::{Context, bail};
use bytes::Bytes;
use consensus::Applied;
use dialmesh_http::{
    admin::{self, AdminBackend},
    dto,
    events::Events,
    pages,
};
use domain::status::NodeStatus;
use ledger::{Change, DirectoryEvent, Fact, LostAttempt, RegionEvent};
use member::{Member, MemberConfig, RECORDS, STATUS, decode_status};
use mesh::{Identity, MeshCa, ServiceError};
use parking_lot::Mutex;
use service::{Metrics, Readiness, Shutdown, Tasks, listen, monitoring_router};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use storage::{DataDirLock, DataKeys, ProcessEpoch};
use tokio::sync::mpsc;

/// How long requests and imports under way may take when the process stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How often the state of the mesh is published.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often the log says that the do-not-call base in use is too old, or soon will be.
const WARN_AGAIN: Duration = Duration::from_secs(6 * 3600);
/// How often entries that the do-not-call base in use has are looked for.
const SETTLE_AGAIN: Duration = Duration::from_secs(86_400);
/// How often the identity's age and the gauges are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long the directory may take to be recovered before it is waited for again.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long a renewal may take.
const RENEWAL: Duration = Duration::from_secs(20);
/// Error code of a status that names another node.
const NOT_YOURS: u16 = 2;

/// Where the coordinator listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The mesh endpoint (UDP).
    pub mesh: SocketAddr,
    /// Admin API and console.
    pub http: SocketAddr,
    /// `/metrics`, `/livez`, `/readyz`.
    pub monitoring: SocketAddr,
}

/// A running coordinator. [`run`] is this with logs, signals and an end.
pub struct Coordinator {
    addresses: Addresses,
    desk: Desk,
    authority: Authority,
    tasks: Tasks,
    member_tasks: Tasks,
    shutdown: Shutdown,
    epoch: ProcessEpoch,
    // The last to go: the directory is free once nothing is written any more.
    _lock: DataDirLock,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The coordinator's process: serves until SIGTERM or SIGINT, then drains. Prints each bound
/// address on standard output.
///
/// # Errors
/// It cannot be started, or a task failed.
pub async fn run(config: CoordinatorConfig) -> anyhow::Result<()> {
    service::logs::start(&config.log)?;
    let metrics = Metrics::start()?;
    describe(&metrics)?;
    let shutdown = Shutdown::new();
    shutdown
        .begin_on_signals()
        .context("signals cannot be heard")?;
    let coordinator = Coordinator::start(&config, metrics, shutdown.clone()).await?;
    let Addresses {
        mesh,
        http,
        monitoring,
    } = coordinator.addresses;
    println!("coordinator: admin API http://{http}");
    println!("coordinator: monitoring http://{monitoring}");
    println!("coordinator: mesh endpoint {mesh} (UDP)");
    shutdown.started().await;
    coordinator.stop().await?;
    match shutdown.reason() {
        Some(reason) if reason.is_failure() => bail!("{reason}"),
        _ => Ok(()),
    }
}

/// Help texts and buckets, before the first record.
fn describe(metrics: &Metrics) -> anyhow::Result<()> {
    let buckets = [
        0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
    ];
    metrics.histogram(
        "dialmesh_dnc_effective_seconds",
        "From a do-not-call request until no node can dial the number any more.",
        &[],
        &buckets,
    )?;
    metrics::describe_gauge!(
        "dialmesh_directory_members",
        "Members of the mesh that are not removed."
    );
    metrics::describe_gauge!(
        "dialmesh_nodes_reachable",
        "Nodes that spoke within the last seconds."
    );
    metrics::describe_gauge!(
        "dialmesh_dnc_list_age_seconds",
        "Time since a do-not-call list was last given or confirmed by its publisher; base: the \
         oldest in use."
    );
    metrics::describe_gauge!(
        "dialmesh_dnc_list_needs_approval",
        "1 while what was pulled waits for somebody to approve it; base: what was made of all lists."
    );
    metrics::describe_counter!(
        "dialmesh_dnc_list_pulls_total",
        "Pulls of do-not-call lists, by what became of them."
    );
    metrics::describe_counter!(
        "dialmesh_consent_import_rows_total",
        "Imported consents, by what became of them."
    );
    metrics::describe_counter!(
        "dialmesh_call_records_total",
        "Call records kept, by disposition."
    );
    metrics::describe_counter!(
        "dialmesh_import_rows_total",
        "Imported rows, by what became of them."
    );
    metrics::describe_counter!(
        "dialmesh_dnc_import_rows_total",
        "Imported do-not-call rows, by what became of them."
    );
    metrics::describe_counter!(
        "dialmesh_homes_moved_numbers_total",
        "Numbers handed over to another region, by the region that had them."
    );
    metrics::describe_counter!(
        "dialmesh_homes_moved_leads_total",
        "Leads handed over to another region, by the region that had them."
    );
    Ok(())
}

/// Hears the directory and tells the console what changed.
struct Ear {
    events: Events,
    live: Arc<AtomicBool>,
}

impl Ear {
    fn hear(&self, applied: Applied<DirectoryEvent>) {
        // What is applied again at a start is no news.
        if !self.live.load(Ordering::Relaxed) {
            return;
        }
        for event in applied.events {
            let DirectoryEvent::Changed { facts, .. } = event else {
                continue;
            };
            for fact in facts {
                match fact {
                    Fact::Campaign(campaign) => {
                        self.events
                            .publish("campaign", &dto::Campaign::from(&*campaign));
                    }
                    Fact::Member(member) => {
                        self.events
                            .publish("member", &dto::Member::new(&member, !member.removed));
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Coordinator {
    /// Starts everything. `shutdown` ends it, then call [`Coordinator::stop`].
    ///
    /// # Errors
    /// No mesh was made in the data directory, it is in use, or a port is taken.
    pub async fn start(
        config: &CoordinatorConfig,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        if !is_founded(dir) {
            bail!(
                "{} holds no mesh; make one with `dialmesh coordinator init`",
                dir.display()
            );
        }
        let lock = DataDirLock::acquire(dir)?;
        let keys = DataKeys::open(&config.storage.data_key_file(dir), dir)?;
        let epoch = ProcessEpoch::begin(dir)?;
        let identity = Identity::load(dir)?.with_context(|| {
            format!(
                "{} holds no identity; restore it from a backup",
                dir.display()
            )
        })?;
        let renew_at = Arc::new(Mutex::new(identity.renew_at()));
        let http = listen::bind("http", config.http.listen).await?;
        let monitoring = listen::bind("monitoring", config.monitoring.listen).await?;
        let (tasks, member_tasks) = (Tasks::new(shutdown.clone()), Tasks::new(shutdown.clone()));
        let readiness = Readiness::new();
        let directory_gate = readiness.gate("directory");
        let monitoring_address = monitoring.address();
        tasks.spawn_fallible(
            "monitoring",
            monitoring.serve(
                monitoring_router(readiness.clone(), metrics),
                shutdown.clone(),
            ),
        );

        let events = Events::new();
        let notes = Arc::new(Notes::open(dir)?);
        let records = Records::open(&dir.join("records.redb"), &keys, events.clone()).await?;
        let operations = Arc::new(Operations::open(dir, &keys, events.clone())?);
        let recording_keys =
            recordings::Keys::open(dir, &keys).context("the recording keys cannot be opened")?;
        let lists = Lists::open(dir, &keys, &config.do_not_call)
            .context("the do-not-call lists cannot be opened")?;
        let authority = Authority::new(MeshCa::open(dir)?, Arc::clone(&notes));
        let live = Arc::new(AtomicBool::new(false));
        let ear = Ear {
            events: events.clone(),
            live: Arc::clone(&live),
        };
        let (lost, lost_here) = mpsc::unbounded_channel();
        let member = Member::start_hearing(
            MemberConfig {
                data_dir: dir.clone(),
                listen: config.mesh.listen,
                keys,
                identity,
                authority: Some(Arc::new(authority.clone())),
                freshness: config.protocol.freshness,
                listener: Some(Arc::new(move |applied: Applied<DirectoryEvent>| {
                    ear.hear(applied)
                })),
            },
            Some(Arc::new(move |applied: Applied<RegionEvent>| {
                hear_lost(&lost, applied)
            })),
            &member_tasks,
        )
        .await?;
        authority.attach(member.clone());
        let backend = Arc::new(Backend {
            member: member.clone(),
            records,
            recording_keys,
            nodes: Arc::new(Nodes::default()),
            operations,
            notes,
            bases: Arc::new(Bases::open(dir).context("the do-not-call bases cannot be opened")?),
            lists: Arc::new(lists),
            events,
            tasks: tasks.clone(),
            ca_key_hash: authority.key_hash(),
            freshness: config.protocol.freshness,
            incarnation: epoch.incarnation,
            sequence: AtomicU64::new(0),
            voters: voters::Reports::default(),
            edit: tokio::sync::Mutex::new(()),
        });
        let mesh = member
            .endpoint()
            .local_address()
            .context("the mesh endpoint has no address")?;
        let addresses = Addresses {
            mesh,
            http: http.address(),
            monitoring: monitoring_address,
        };
        let coordinator = Self {
            addresses,
            desk: Desk(backend),
            authority,
            tasks,
            member_tasks,
            shutdown,
            epoch,
            _lock: lock,
        };
        coordinator.serve_nodes();
        coordinator.spawn_work(
            config,
            lost_here,
            live,
            renew_at,
            directory_gate,
            &readiness,
        );
        let desk: Arc<dyn AdminBackend> = Arc::new(coordinator.desk.clone());
        let router = admin::router(desk, coordinator.desk.0.events.clone())
            .merge(pages::router(pages::Page::Console));
        coordinator
            .tasks
            .spawn_fallible("http", http.serve(router, coordinator.shutdown.clone()));
        Ok(coordinator)
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The backend of its admin API, for who runs it within a process of their own.
    pub fn backend(&self) -> Arc<dyn AdminBackend> {
        Arc::new(self.desk.clone())
    }

    /// The backend itself.
    #[cfg(test)]
    pub(crate) fn inside(&self) -> Arc<Backend> {
        Arc::clone(&self.desk.0)
    }

    /// Lets what is under way end, then stops groups and links. Shutdown must have begun.
    ///
    /// # Errors
    /// The clean end cannot be noted.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self {
            desk,
            authority,
            tasks,
            member_tasks,
            epoch,
            ..
        } = self;
        desk.0.events.close();
        if let Err(unfinished) = tasks.drain(DRAIN).await {
            tracing::warn!(%unfinished, "work was cut off");
        }
        authority.detach();
        desk.0.member.shut_down().await;
        // The member's own tasks only watch; they have nothing to finish.
        drop(member_tasks.drain(Duration::ZERO).await);
        epoch
            .finish_clean()
            .context("the clean end cannot be noted")
    }

    /// A task that ends with the process.
    fn until_shutdown(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = work => {}
                () = shutdown.started() => {}
            }
        });
    }

    /// What nodes ask of a coordinator.
    fn serve_nodes(&self) {
        let endpoint = self.desk.0.member.endpoint();
        let records = self.desk.0.records.clone();
        endpoint.serve(RECORDS, move |from, request: Bytes| {
            let records = records.clone();
            async move { records.receive(from, request).await }
        });
        self.desk.0.bases.serve(endpoint);
        let nodes = Arc::clone(&self.desk.0.nodes);
        endpoint.serve(STATUS, move |from, request: Bytes| {
            let nodes = Arc::clone(&nodes);
            async move {
                let status: NodeStatus = decode_status(&request)?;
                if status.node != from {
                    let why = format!("the status names {}, not {from}", status.node);
                    return Err(ServiceError::new(NOT_YOURS, why));
                }
                nodes.hear(status, Instant::now(), service::clock::wall());
                Ok(Bytes::new())
            }
        });
    }

    fn spawn_work(
        &self,
        config: &CoordinatorConfig,
        mut lost: mpsc::UnboundedReceiver<Vec<LostAttempt>>,
        live: Arc<AtomicBool>,
        renew_at: Arc<Mutex<domain::WallTime>>,
        gate: service::health::Gate,
        readiness: &Readiness,
    ) {
        let backend = Arc::clone(&self.desk.0);
        let records = backend.records.clone();
        self.tasks.spawn_fallible("lost_attempts", {
            let shutdown = self.shutdown.clone();
            async move {
                loop {
                    let attempts = tokio::select! {
                        attempts = lost.recv() => attempts,
                        () = shutdown.started() => None,
                    };
                    let Some(attempts) = attempts else {
                        return Ok::<(), storage::RecordError>(());
                    };
                    let kept = records.lost(attempts).await?;
                    if kept > 0 {
                        tracing::warn!(
                            attempts = kept,
                            "attempts ended without anybody knowing how"
                        );
                    }
                }
            }
        });
        let desk: Arc<dyn AdminBackend> = Arc::new(self.desk.clone());
        let publish = admin::publish_status(desk, backend.events.clone(), STATUS_EVERY);
        self.until_shutdown("publish_status", publish);
        let leads = Arc::clone(&backend);
        readiness.check("directory_leader", move || {
            match leads.member.directory().leader() {
                Some(leader) => Ok(format!("led by {leader}")),
                None => Err("no leader is known".to_owned()),
            }
        });
        self.until_shutdown("voters", voters::ask(Arc::clone(&backend)));
        let place = ledger::Place {
            failure_domain: config.place.failure_domain.clone(),
            legal_domain: config.place.legal_domain.clone(),
        };
        let placed = backend.member.clone().tell_place(place);
        self.until_shutdown("place", placed);
        let version = backend.member.clone().tell_version(config.mesh.version());
        self.until_shutdown("mesh_version", version);
        let mesh_address = advertised(config, self.addresses.mesh);
        let http_address = http_url(self.addresses.http, mesh_address);
        let recovering = Arc::clone(&backend);
        self.until_shutdown("recovery", async move {
            while let Err(error) = recovering.member.directory().recovered(RECOVERY).await {
                gate.close(error.to_string());
            }
            live.store(true, Ordering::Relaxed);
            crate::homes::resume(&recovering);
            gate.open(format!(
                "applied index {}",
                recovering.member.directory().applied_index()
            ));
            tell_addresses(&recovering, mesh_address.to_string(), http_address).await;
        });
        let pulled = Lists::run(Arc::clone(&backend));
        self.until_shutdown("do_not_call_lists", pulled);
        let dir = config.data_dir.clone();
        self.until_shutdown("look_after", async move {
            let mut looks = tokio::time::interval(LOOK);
            let (mut warned, mut settled): (Option<Instant>, Option<Instant>) = (None, None);
            let mut aged = false;
            loop {
                looks.tick().await;
                let now = service::clock::wall();
                // With none in use there is no age any more.
                let age = crate::bases::age(&backend, now).map(|age| age.as_secs_f64());
                if aged || age.is_some() {
                    aged = age.is_some();
                    metrics::gauge!("dialmesh_dnc_list_age_seconds", "list" => "base")
                        .set(age.unwrap_or(f64::NAN));
                }
                if settled.is_none_or(|at| at.elapsed() > SETTLE_AGAIN)
                    && backend.member.directory().leader().is_some()
                {
                    settled = Some(Instant::now());
                    let in_use = ledger::Directory::dnc_base_in_use;
                    if let Some(id) = backend.member.directory().read(in_use) {
                        let settle = crate::compaction::settle(Arc::clone(&backend), id);
                        backend.tasks.spawn("do_not_call_settle", settle);
                    }
                }
                if warned.is_none_or(|at| at.elapsed() > WARN_AGAIN) {
                    let warnings = crate::bases::age_warnings(&backend, now);
                    warned = (!warnings.is_empty()).then(Instant::now);
                    warnings
                        .iter()
                        .for_each(|warning| tracing::warn!("{warning}"));
                }
                let members = backend
                    .member
                    .directory()
                    .read(|d| d.members().filter(|m| !m.removed).count());
                metrics::gauge!("dialmesh_directory_members").set(members as f64);
                metrics::gauge!("dialmesh_nodes_reachable").set(backend.nodes.fresh().len() as f64);
                if service::clock::wall() < *renew_at.lock() {
                    continue;
                }
                match backend
                    .member
                    .endpoint()
                    .renew(backend.member.id(), &dir, RENEWAL)
                    .await
                {
                    Ok(identity) => *renew_at.lock() = identity.renew_at(),
                    Err(error) => {
                        tracing::error!(%error, "the certificate was not renewed; tried again")
                    }
                }
            }
        });
    }
}

fn hear_lost(lost: &mpsc::UnboundedSender<Vec<LostAttempt>>, applied: Applied<RegionEvent>) {
    for event in applied.events {
        if let RegionEvent::AttemptsLost(attempts) = event {
            // At the end of the process nobody listens; the next start hears them again.
            drop(lost.send(attempts));
        }
    }
}

/// Tells the directory where this member is, where that has changed.
async fn tell_addresses(backend: &Backend, mesh_address: String, http_address: String) {
    let id = backend.member.id();
    loop {
        let same = backend.member.directory().read(|d| {
            d.member(id)
                .is_some_and(|m| m.mesh_address == mesh_address && m.http_address == http_address)
        });
        if same {
            return;
        }
        let (mesh_address, http_address) = (mesh_address.clone(), http_address.clone());
        match backend
            .change(Change::MoveMember {
                id,
                mesh_address,
                http_address,
            })
            .await
        {
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the directory does not know this member's addresses yet")
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
