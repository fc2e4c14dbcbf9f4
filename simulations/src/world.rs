//! A whole mesh of real processes on loopback: one coordinator, a node a city, each with its data on
//! disk, and around them the simulated carrier, phones, agents and the wire between the members.
//!
//! Everything is done as an operator would do it: configuration files, join tokens, the admin API.

pub mod api;
mod desks;
pub mod evidence;
mod faults;
mod files;
mod found;
mod hardships;
mod ports;
pub mod process;
pub mod status;

pub use api::{Api, Problem};
pub use desks::Account;
pub use evidence::{Evidence, at_least, holds};
pub use faults::{DncAnswer, Wait, add_do_not_call, wall_ms};
pub use hardships::{clock_library, small_disks_work};
pub use process::Process;
pub use status::{CityStatus, Status};

use crate::{
    agent::AgentLog,
    audio::rtp::RtpThread,
    carrier::{CarrierHandle, CarrierStats, Habits},
    checker::DoNotDial,
    link::LinkHandle,
    phone::PhoneHandle,
    population::{City, Population},
};
use anyhow::Context as _;
use desks::Desk;
use hardships::SmallDisk;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a part of the mesh may take to come up; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often conditions are looked at.
const POLL: Duration = Duration::from_millis(200);
/// `mesh.hold_version` by the environment.
const HOLD_VERSION: &str = "DIALMESH_MESH__HOLD_VERSION";
/// The coordinator's name among the members.
pub const COORDINATOR: &str = "coordinator";

/// A city of the mesh: one node, one region, one trunk.
#[derive(Clone, Debug)]
pub struct WorldCity {
    /// The node's name.
    pub name: String,
    /// The region it dials for.
    pub region: String,
    /// Where its people live.
    pub place: City,
}

impl WorldCity {
    /// Beijing, Shanghai and Shenzhen, each its own region.
    pub fn china() -> Vec<Self> {
        [
            ("beijing", "north-china", City::Beijing),
            ("shanghai", "east-china", City::Shanghai),
            ("shenzhen", "south-china", City::Shenzhen),
        ]
        .map(|(name, region, place)| Self {
            name: name.into(),
            region: region.into(),
            place,
        })
        .into()
    }
}

/// What to build.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// The program `dialmesh`.
    pub binary: PathBuf,
    /// Where everything lies. Where none is given: the one that `DIALMESH_WORLD` names, else a
    /// temporary folder that goes with the world.
    pub folder: Option<PathBuf>,
    /// What every draw follows from.
    pub seed: u64,
    /// The cities.
    pub cities: Vec<WorldCity>,
    /// Agents in each of them.
    pub agents_per_city: usize,
    /// Caller IDs local to each of them.
    pub caller_ids_per_city: usize,
    /// As many caller IDs more on each city's trunk that are of this place; none: local ones only.
    pub far_caller_ids: Option<City>,
    /// Whether members reach each other through a wire that can be cut.
    pub link: bool,
    /// Whether each member's data lies on a small disk of its own that can be filled.
    pub small_disks: bool,
    /// The library by which members' calendars can be set ([`clock_library`]); none: true ones.
    pub clocks: Option<PathBuf>,
    /// The mesh version that members are held at until each is upgraded ([`World::upgrade`]); none:
    /// the newest from the beginning.
    pub hold_version: Option<u16>,
    /// Session time to live of the mesh protocol, in whole seconds.
    pub session_ttl: Duration,
    /// Do-not-call freshness of the mesh protocol, in whole seconds.
    pub freshness: Duration,
    /// The members' log level.
    pub log_level: String,
    /// Settings of the campaign beside name and rule pack; they win over the world's own.
    pub campaign: Value,
    /// How the called people behave.
    pub habits: Habits,
    /// Calls at a time on a trunk.
    pub channels: u32,
    /// New calls a second on a trunk.
    pub calls_per_second: u32,
    /// Where every city's trunk leads; the simulated carrier's own where none is given.
    pub trunk: Option<SocketAddr>,
    /// An agent hangs up after so long, in milliseconds: shortest and longest.
    pub talk_ms: (u32, u32),
    /// An agent's wrap-up in milliseconds: shortest and longest.
    pub wrap_up_ms: (u32, u32),
    /// Of 1000 calls, after how many an agent takes a break.
    pub pause_permille: u32,
}

impl WorldConfig {
    /// Three Chinese cities with quick people, short talks and a wire that can be cut.
    pub fn new(binary: impl Into<PathBuf>, seed: u64) -> Self {
        Self {
            binary: binary.into(),
            folder: std::env::var_os("DIALMESH_WORLD").map(PathBuf::from),
            seed,
            cities: WorldCity::china(),
            agents_per_city: 12,
            caller_ids_per_city: 8,
            far_caller_ids: None,
            link: true,
            small_disks: false,
            clocks: None,
            hold_version: None,
            session_ttl: Duration::from_secs(10),
            freshness: Duration::from_secs(10),
            log_level: "info".into(),
            campaign: json!({}),
            habits: brisk(),
            channels: 200,
            calls_per_second: 50,
            trunk: None,
            talk_ms: (3_000, 7_000),
            wrap_up_ms: (300, 1_500),
            pause_permille: 10,
        }
    }

    /// A free address of loopback, for UDP and TCP, outside the range from which the system hands
    /// out its own ports.
    ///
    /// # Errors
    /// There is none.
    pub fn free_address() -> anyhow::Result<SocketAddr> {
        ports::address()
    }

    /// The first and the last of `count` free UDP ports in a row; the first is even.
    ///
    /// # Errors
    /// There is no such row.
    pub fn free_row(count: u16) -> anyhow::Result<(u16, u16)> {
        ports::row(count)
    }
}

/// People for a run of seconds: many attempts, short rings and talks. Of 100 calls about 25 reach a
/// person, 5 a machine, 3 ring until the dialer gives up; the rest ends at once.
fn brisk() -> Habits {
    Habits {
        answer_permille_by_hour: [250; 24],
        busy_permille: 340,
        machine_permille: 70,
        unallocated_permille: 160,
        powered_off_permille: 260,
        rejected_permille: 110,
        failure_permille: 20,
        early_media_permille: 300,
        post_dial_mean_ms: 250,
        ring_mean_ms: 1_300,
        talk_mean_ms: 5_000,
        waits_permille: 300,
        greeting_mean_ms: 2_500,
        hush_ms: 200,
    }
}

/// What is being done while a world comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The phone network.
    Carrier,
    /// The first member and the mesh's CA.
    Coordinator,
    /// A node joins and runs.
    Node(String),
    /// Home rules, trunks, caller IDs.
    Trunks,
    /// Campaign.
    Campaign,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carrier => f.write_str("carrier"),
            Self::Coordinator => f.write_str("coordinator"),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Trunks => f.write_str("trunks and caller IDs"),
            Self::Campaign => f.write_str("campaign"),
        }
    }
}

/// Where a city's node listens, and what it is called in the mesh.
#[derive(Debug)]
pub struct Node {
    city: WorldCity,
    process: Process,
    id: String,
    trunk: String,
    http: SocketAddr,
    monitoring: SocketAddr,
    agent_sip: SocketAddr,
    caller_ids: Vec<String>,
}

impl Node {
    /// The city's name.
    pub fn name(&self) -> &str {
        &self.city.name
    }

    /// The agents' API.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// `/metrics`, `/livez`, `/readyz`.
    pub fn monitoring(&self) -> SocketAddr {
        self.monitoring
    }

    /// Where its agents' phones register.
    pub fn agent_sip(&self) -> SocketAddr {
        self.agent_sip
    }

    /// Its process, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Its id as a member.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its trunk's id.
    pub fn trunk(&self) -> &str {
        &self.trunk
    }
}

#[derive(Debug)]
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn open(kept: Option<&Path>) -> anyhow::Result<Self> {
        match kept {
            None => Ok(Self::Temporary(
                tempfile::Builder::new()
                    .prefix("dialmesh-")
                    .tempdir()
                    .context("making a temporary folder")?,
            )),
            Some(path) => {
                std::fs::create_dir_all(path)
                    .with_context(|| format!("making {}", path.display()))?;
                let path = path
                    .canonicalize()
                    .with_context(|| format!("finding {}", path.display()))?;
                let used = path.read_dir()?.next().is_some();
                anyhow::ensure!(
                    !used,
                    "{} is not empty; name an empty or new folder",
                    path.display()
                );
                Ok(Self::Kept(path))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// A running mesh with everything around it. Dropping it kills every process and, unless the folder
/// is kept, removes every file.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    // Processes are dropped, that is killed, before the folder goes.
    nodes: Vec<Node>,
    coordinator: Process,
    coordinator_monitoring: SocketAddr,
    api: Arc<Api>,
    carrier: Option<CarrierHandle>,
    link: Option<LinkHandle>,
    campaign: String,
    desks: Vec<Desk>,
    /// Phones of agents whom no program plays.
    spare_phones: Vec<PhoneHandle>,
    agent_log: AgentLog,
    rtp: RtpThread,
    leads: Vec<String>,
    do_not_dial: Vec<DoNotDial>,
    crashes: bool,
    // After the processes, before the folder.
    disks: BTreeMap<String, SmallDisk>,
    folder: Folder,
}

impl World {
    /// Starts every process, joins them, and sets up trunks, caller IDs and the campaign. Agents and
    /// leads come after it: [`World::seat_agents`], [`World::import`].
    ///
    /// # Errors
    /// Whatever fails first, with the last words of the process it failed at.
    pub async fn build(
        config: WorldConfig,
        mut on_step: impl FnMut(&Step),
    ) -> anyhow::Result<Self> {
        found::build(config, &mut on_step).await
    }

    /// What it was built from.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The admin API.
    pub fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The campaign's id.
    pub fn campaign(&self) -> &str {
        &self.campaign
    }

    /// The cities' nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The coordinator's process, while it runs.
    pub fn coordinator_process_id(&self) -> Option<u32> {
        self.coordinator.id()
    }

    /// Where the coordinator's `/metrics` is.
    pub fn coordinator_monitoring(&self) -> SocketAddr {
        self.coordinator_monitoring
    }

    /// The good numbers that were imported, in order.
    pub fn leads(&self) -> &[String] {
        &self.leads
    }

    /// The tone, in hertz, of the message for answering machines that every node has as `tone`.
    pub const MESSAGE_HERTZ: u32 = found::MESSAGE_HERTZ;

    /// The carrier's counters.
    pub fn carrier_stats(&self) -> CarrierStats {
        self.carrier
            .as_ref()
            .map(CarrierHandle::stats)
            .unwrap_or_default()
    }

    /// The carrier, while it runs: to change habits and break trunks.
    pub fn carrier(&self) -> Option<&CarrierHandle> {
        self.carrier.as_ref()
    }

    /// The carrier's log file.
    pub fn carrier_log(&self) -> PathBuf {
        self.folder().join("carrier.jsonl")
    }

    fn node(&self, city: &str) -> anyhow::Result<&Node> {
        let names = || {
            self.nodes
                .iter()
                .map(Node::name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let found = self.nodes.iter().find(|n| n.name() == city);
        found.with_context(|| format!("no city {city:?}; there are {}", names()))
    }

    fn place(&self, city: &str) -> anyhow::Result<usize> {
        self.node(city)?;
        Ok(self
            .nodes
            .iter()
            .position(|n| n.name() == city)
            .expect("it was just found"))
    }

    /// The live state as the coordinator tells it.
    ///
    /// # Errors
    /// It does not answer, or not in words that are understood.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let value = self.api.get("/status").await?;
        serde_json::from_value(value).context("the status is not as expected")
    }

    /// Uploads a CSV file of leads and waits for the import to end; the operation as it ended.
    ///
    /// # Errors
    /// The API refuses, or the import fails.
    pub async fn import(&self, csv: &Path) -> anyhow::Result<Value> {
        let path = format!("/campaigns/{}/imports", self.campaign);
        self.upload(&path, csv).await
    }

    /// Uploads a CSV file of numbers not to call and waits for the import to end.
    ///
    /// # Errors
    /// As [`World::import`].
    pub async fn import_do_not_call(&self, csv: &Path) -> anyhow::Result<Value> {
        self.upload("/do-not-call/imports", csv).await
    }

    async fn upload(&self, path: &str, csv: &Path) -> anyhow::Result<Value> {
        let text = std::fs::read(csv).with_context(|| format!("reading {}", csv.display()))?;
        let mut operation = self.api.upload(path, text).await?;
        let id = operation["id"]
            .as_str()
            .context("an operation has an id")?
            .to_owned();
        let deadline = Instant::now() + PATIENCE;
        while operation["state"] == "running" {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{path}: still under way: {operation}"
            );
            tokio::time::sleep(POLL).await;
            operation = self.api.get(&format!("/operations/{id}")).await?;
        }
        anyhow::ensure!(operation["state"] == "succeeded", "{path}: {operation}");
        Ok(operation)
    }

    /// Remembers whom may be dialed.
    pub fn expect_leads(&mut self, population: &Population) {
        self.leads.extend(population.numbers.iter().cloned());
    }

    /// Remembers numbers that no INVITE may ever go to.
    pub fn expect_never(&mut self, numbers: impl IntoIterator<Item = String>) {
        self.do_not_dial
            .extend(numbers.into_iter().map(|number| DoNotDial {
                number,
                effective_ms: None,
            }));
    }

    /// Remembers that the mesh called an opt-out effective at that wall time.
    pub fn expect_never_since(&mut self, number: &str, effective_ms: i64) {
        self.do_not_dial.push(DoNotDial {
            number: number.to_owned(),
            effective_ms: Some(effective_ms),
        });
    }

    /// A lead that the carrier has not seen yet and nobody opted out; `draw` chooses among them.
    ///
    /// # Errors
    /// The carrier's log cannot be read.
    pub fn waiting_lead(&self, draw: usize) -> anyhow::Result<Option<String>> {
        let log = crate::carrier::witness::read(&self.carrier_log())?;
        let mut gone: std::collections::BTreeSet<&str> =
            log.iter().map(|e| e.number.as_str()).collect();
        gone.extend(
            self.do_not_dial
                .iter()
                .map(|d| d.number.trim_start_matches('+')),
        );
        let waiting: Vec<&String> = self
            .leads
            .iter()
            .filter(|n| !gone.contains(n.trim_start_matches('+')))
            .collect();
        Ok(waiting
            .get(draw % waiting.len().max(1))
            .map(|n| (*n).clone()))
    }

    /// The reject file of an import, as CSV.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn rejects(&self, operation: &Value) -> anyhow::Result<String> {
        let id = operation["id"].as_str().context("an operation has an id")?;
        self.api.text(&format!("/operations/{id}/rejects")).await
    }

    /// Lets the campaign dial.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn start_campaign(&self) -> anyhow::Result<()> {
        self.campaign_verb("start").await
    }

    /// Stops dialing; calls go on to their end.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn pause_campaign(&self) -> anyhow::Result<()> {
        self.campaign_verb("pause").await
    }

    /// Changes settings of the campaign by JSON merge patch.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn set_campaign(&self, settings: &Value) -> anyhow::Result<()> {
        let path = format!("/campaigns/{}", self.campaign);
        self.api.patch(&path, settings).await.map(drop)
    }

    async fn campaign_verb(&self, verb: &str) -> anyhow::Result<()> {
        let path = format!("/campaigns/{}/{verb}", self.campaign);
        self.api
            .insist(reqwest::Method::POST, &path, &json!({}), PATIENCE)
            .await?;
        Ok(())
    }

    /// Every call record, whole numbers, one JSON object a line.
    ///
    /// # Errors
    /// The API refuses, or the transfer breaks off.
    pub async fn export_records(&self) -> anyhow::Result<String> {
        self.api
            .text("/call-records/export?format=ndjson&numbers=full")
            .await
    }

    /// Looks at a condition until it holds.
    ///
    /// # Errors
    /// It does not in time: `what` says what.
    pub async fn until(
        &self,
        what: &str,
        patience: Duration,
        mut condition: impl AsyncFnMut(&Self) -> bool,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while !condition(self).await {
            anyhow::ensure!(began.elapsed() < patience, "{what}: not after {patience:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(began.elapsed())
    }

    /// Pauses the campaign, waits (with an end) until calls are over and records have arrived, lets
    /// agents and carrier go, and hands over what is left.
    ///
    /// # Errors
    /// The API refuses the pause or the export, or a log cannot be read.
    pub async fn finish(&mut self, patience: Duration) -> anyhow::Result<Evidence> {
        self.pause_campaign().await?;
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        let quiet = self
            .until("calls over", left(), async |w| w.is_quiet().await)
            .await
            .is_ok();
        let shipped = self
            .until(
                "records arrived",
                left().max(Duration::from_secs(5)),
                async |w| w.is_shipped().await.unwrap_or(false),
            )
            .await
            .is_ok();
        if !(quiet && shipped) {
            let cities = self
                .status()
                .await
                .map(|status| format!("{:#?}", status.cities));
            eprintln!(
                "not settled (quiet: {quiet}, shipped: {shipped}): {:?}; {cities:?}",
                self.carrier_stats()
            );
        }
        let path = format!("/campaigns/{}/stats", self.campaign);
        let stats = self.api.get(&path).await.unwrap_or_default();
        self.dismiss_agents().await;
        let records = self.export_records().await?;
        if let Some(carrier) = self.carrier.take() {
            carrier.stop().await;
        }
        let orders = crate::checker::Orders {
            do_not_dial: self.do_not_dial.clone(),
            leads: self.leads.iter().cloned().collect(),
            caller_ids: self
                .nodes
                .iter()
                .map(|n| (n.city.name.clone(), n.caller_ids.iter().cloned().collect()))
                .collect(),
            ..crate::checker::Orders::default()
        };
        let mut audit = Vec::new();
        for node in &self.nodes {
            audit.push((node.id.clone(), self.audit_chain(node)?));
        }
        Ok(Evidence {
            audit,
            log: crate::carrier::witness::read(&self.carrier_log())?,
            agents: AgentLog::read(&self.folder().join("agents.jsonl"))?,
            records,
            stats,
            orders,
            deaf: Vec::new(),
            crashes: self.crashes,
            settled: quiet && shipped,
        })
    }

    /// What a node's audit files say, in order.
    fn audit_chain(&self, node: &Node) -> anyhow::Result<Vec<u8>> {
        let folder = self.folder().join("data").join(node.name()).join("audit");
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        let mut text = Vec::new();
        for file in files {
            text.extend(
                std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?,
            );
        }
        Ok(text)
    }

    async fn is_quiet(&self) -> bool {
        if self.carrier_stats().live > 0 {
            return false;
        }
        self.status().await.is_ok_and(|status| {
            status
                .cities
                .iter()
                .filter(|c| c.mode != "unreachable")
                .all(|city| {
                    city.calls.total() + city.agents.on_call + city.agents.wrap_up == 0
                        && city.queued == 0
                })
        })
    }

    /// Whether every call of the carrier and every disposition of an agent has its record.
    async fn is_shipped(&self) -> anyhow::Result<bool> {
        use crate::checker::dials;
        // Everything is read anew each time.
        tokio::time::sleep(POLL * 2).await;
        let records = self.export_records().await?;
        let mut calls = std::collections::BTreeSet::new();
        let mut attempts = std::collections::BTreeSet::new();
        for line in records.lines() {
            let record: Value = serde_json::from_str(line).context("a call record")?;
            calls.extend(record["sip_call_id"].as_str().map(str::to_owned));
            attempts.extend(record["attempt"].as_str().map(str::to_owned));
        }
        let log = crate::carrier::witness::read(&self.carrier_log())?;
        let calls_known = dials(&log)
            .iter()
            .all(|d| calls.contains(&d.call_id) || attempts.contains(&d.attempt));
        let agents = AgentLog::read(&self.folder().join("agents.jsonl"))?;
        let disposed_known = agents.iter().all(|entry| match &entry.event {
            crate::agent::AgentEvent::Disposed { attempt, .. } => attempts.contains(attempt),
            _ => true,
        });
        Ok(calls_known && disposed_known)
    }

    /// Stops every process in order and lets everything go.
    pub async fn shut_down(mut self) {
        self.dismiss_agents().await;
        let grace = Duration::from_secs(4);
        let nodes = self.nodes.iter_mut().map(|node| node.process.stop(grace));
        futures::future::join_all(nodes).await;
        self.coordinator.stop(grace).await;
        if let Some(carrier) = self.carrier.take() {
            carrier.stop().await;
        }
        if let Some(link) = self.link.take() {
            link.stop().await;
        }
    }
}
