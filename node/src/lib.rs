//! A city's process: configuration and wiring, nothing else.

mod agents;
mod audit;
mod bases;
mod called;
mod callers;
mod carriers;
pub mod config;
mod directory;
mod event;
mod failover;
mod journal;
mod learned;
mod observe;
mod outbox;
mod overflow;
mod phones;
mod prompts;
mod recordings;
mod shell;
mod supervision;
mod wishes;

pub use config::{NodeConfig, NodeConfigError};

use agents::Desk;
use anyhow::{Context, Result, bail};
use audit::Audit;
use called::Called;
use consensus::Applied;
use dialmesh_http::pages;
use domain::{MemberRole, RegionId, Secret, SessionId, SipTransport};
use engine::{Engine, EngineConfig, Side};
use event::{Event, Events};
use journal::Attempts;
use learned::Learned;
use ledger::{Change, DirectoryCommand, DirectoryEvent, RegionCommand};
use member::{Member, MemberConfig, STATUS, encode, save_peers};
use mesh::{Identity, JoinInfo, JoinToken};
use outbox::{Outbox, Shipping};
use permit::audit::NumberKey;
use phones::Phones;
use service::{
    clock, entropy,
    health::{Readiness, monitoring_router},
    listen,
    metrics::Metrics,
    shutdown::{Reason, Shutdown},
    spawn::Tasks,
};
use shell::Shell;
use sip_transport::{Exporter, Limits, Listener, SipSockets, StirFiles, Strangers, Tls, TlsFiles};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use storage::{DataDirLock, DataKeys, Durability, JournalBatch, ProcessEpoch};
use tokio::sync::{mpsc, oneshot};
use wishes::Wishes;

/// Wishes of the engine that may wait for the async side.
const WISHES: usize = 16_384;
/// The member with the CA: the one that made the mesh.
const CERTIFIER: domain::MemberId = domain::MemberId(1);
/// How long the end of a session may take to be agreed on.
const CLOSING: Duration = Duration::from_secs(2);
/// How long giving back shares of abandonment budgets may take.
const SETTLING: Duration = Duration::from_secs(4);
/// How often the certificate's age is looked at.
const RENEWAL_LOOK: Duration = Duration::from_secs(30);
/// How long a renewal may take.
const RENEWAL: Duration = Duration::from_secs(20);
/// How often the node says how it is.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How often a node that is not ready looks whether it is.
const UNREADY_LOOK: Duration = Duration::from_millis(50);

/// Joins a mesh: gets this node's identity and learns where the others are.
///
/// # Errors
/// What was wrong with the token, the address or the data directory, and what to do.
pub async fn join(
    config: &NodeConfig,
    coordinator: SocketAddr,
    region: &str,
    token: &Secret,
) -> Result<domain::MemberId> {
    let _lock = DataDirLock::acquire(&config.data_dir)?;
    if Identity::load(&config.data_dir)?.is_some() {
        bail!(
            "{} has an identity already: this node has joined a mesh; to join another, move the folder away",
            config.data_dir.display()
        );
    }
    let token: JoinToken = token
        .expose()
        .trim()
        .parse()
        .context("the join token cannot be used")?;
    let info = JoinInfo {
        name: config.name.clone(),
        role: MemberRole::Node,
        region: Some(region.to_owned()),
        mesh_address: config
            .mesh
            .advertise
            .unwrap_or(config.mesh.listen)
            .to_string(),
        http_address: http_address(config),
    };
    let joined = mesh::join(&token, coordinator, info, &config.data_dir).await?;
    let mut peers = BTreeMap::new();
    for member in joined
        .members
        .iter()
        .filter(|m| m.id != joined.identity.member && !m.removed)
    {
        let address = member.mesh_address.parse();
        peers.insert(
            member.id,
            address.with_context(|| {
                format!("{} has the address {:?}", member.name, member.mesh_address)
            })?,
        );
    }
    // Where the coordinator answered just now counts more than what it believes of itself.
    peers.insert(joined.coordinator, coordinator);
    save_peers(&config.data_dir, &peers)?;
    Ok(joined.identity.member)
}

fn http_address(config: &NodeConfig) -> String {
    config
        .http
        .advertise
        .clone()
        .unwrap_or_else(|| format!("http://{}", config.http.listen))
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// What could not be started, with the place and the remedy; or what failed while running.
pub async fn run(config: NodeConfig) -> Result<()> {
    service::logs::start(&config.log)?;
    let metrics = Metrics::start()?;
    observe::declare(&metrics)?;
    let shutdown = Shutdown::new();
    shutdown.begin_on_signals()?;
    let tasks = Tasks::new(shutdown.clone());

    let _lock = DataDirLock::acquire(&config.data_dir)?;
    let Some(identity) = Identity::load(&config.data_dir)? else {
        bail!(
            "{} has no identity: this node has not joined a mesh; see `dialmesh node join --help`",
            config.data_dir.display()
        );
    };
    let key_file = config.storage.data_key_file(&config.data_dir);
    let keys = DataKeys::open(&key_file, &config.data_dir)?;
    let epoch = ProcessEpoch::begin(&config.data_dir)?;
    let boot = clock::boot_id().context("the boot id cannot be read")?;
    let renew_at = identity.renew_at();
    let (events, queue) = Events::channel();

    let heard = events.clone();
    let listener = move |applied: Applied<DirectoryEvent>| {
        heard.directory(applied.index, directory::changes(applied.events));
    };
    let member = Member::start(
        MemberConfig {
            data_dir: config.data_dir.clone(),
            listen: config.mesh.listen,
            keys: keys.clone(),
            identity,
            authority: None,
            freshness: config.protocol.freshness,
            listener: Some(Arc::new(listener)),
        },
        &tasks,
    )
    .await?;
    println!(
        "node {}: mesh {}",
        config.name,
        member.endpoint().local_address()?
    );

    let (attempts, left) = Attempts::open(member.journal(), &epoch, &boot, clock::wall())?;
    let journal::Left { owed, proofs } = left;
    let attempts = Arc::new(attempts);
    let epoch = Arc::new(epoch);
    let outbox = Arc::new(Outbox::default());
    if !owed.is_empty() {
        tracing::info!(
            entries = owed.len(),
            "an earlier run left outcomes, records or opt-outs to ship"
        );
    }
    owed.into_iter().for_each(|one| outbox.push(one));

    let region = own_region(&member, &config, &shutdown).await?;
    let Some(region) = region else { return Ok(()) };
    move_if_needed(&member, &config).await;
    let place = ledger::Place {
        failure_domain: config.place.failure_domain.clone(),
        legal_domain: config.place.legal_domain.clone(),
    };
    tasks.spawn("place", member.clone().tell_place(place));
    let version = member.clone().tell_version(config.mesh.version());
    tasks.spawn("mesh_version", version);

    let readiness = Readiness::new();
    let (view, known) = phones::open(&config.data_dir, &keys, clock::wall())?;
    let phones = Phones::new(&keys);
    let (called_view, called_before) = called::open(&config.data_dir, &keys, clock::wall())?;
    let called = Called::new(&keys);
    let (learned_view, learned_before) = learned::open(&config.data_dir, &keys)?;
    let learned = Learned::default();
    let anchor = (member.directory()).read(|directory| directory.audit_head(member.id()));
    let anchor = anchor.map(|(sequence, hash)| permit::audit::Head { sequence, hash });
    let (audit, head, shown) = Audit::open(&config.data_dir, member.id(), anchor, clock::wall())?;
    let recorded = recordings::start(&config, member.id(), &events)?;
    recordings::serve(&member, &recorded.folder);
    supervision::serve(&member, &events);
    learned::serve(&member, &events);
    tasks.spawn("recordings", recordings::keep(recorded.folder));
    let writer = recorded.writer;
    let kept = Kept {
        audit: audit.clone(),
        attempts: Arc::clone(&attempts),
        outbox: Arc::clone(&outbox),
        phones: phones.clone(),
        called: called.clone(),
        learned: learned.clone(),
        recordings: recorded.recordings,
    };
    let numbers = keys.hash_keys(permit::audit::NUMBERS).pop();
    let (id, key) = numbers.context("there is no data key")?;
    let chain = (head, NumberKey::new(id.to_string(), *key), recorded.tapes);
    let started = start_engine(&config, &member, &readiness, &events, kept, region, chain)?;
    let (shell, wishes, errands) = started;
    let (trunks, agents) = (
        shell.trunks.bound()[0].address,
        shell.agents.bound()[0].address,
    );
    println!(
        "node {}: SIP trunks {trunks}, agents' phones {agents}",
        config.name
    );
    if let Some(address) = shell.relay.browser_address() {
        println!("node {}: browsers' audio {address}", config.name);
    }
    let browsers = shell.relay.browsers().cloned();
    let overflow = overflow::Overflow {
        member: member.clone(),
        events: events.clone(),
        config: config.overflow,
    };
    overflow.start(&tasks, errands, shell.relay.carried());
    let engine_thread = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || shell::run(shell, &queue))
        .context("the engine's thread cannot be started")?;

    events.put(Event::Shown(shown)).await;
    tasks.spawn("audit", audit.clone().keep(member.clone()));
    let bases = bases::Bases {
        member: member.clone(),
        events: events.clone(),
        dir: config.data_dir.join("dnc"),
        gate: readiness.gate("do_not_call_base"),
    };
    tasks.spawn("do_not_call_bases", bases.keep());
    events.put(Event::OptOuts(outbox.opt_outs())).await;
    events.put(Event::Phones(known)).await;
    tasks.spawn("phones", phones.keep(view));
    events.put(Event::Called(called_before)).await;
    tasks.spawn("called", called.keep(called_view));
    events.put(Event::Learned(learned_before)).await;
    tasks.spawn("learned", learned.keep(learned_view));
    let served = Wishes {
        member: member.clone(),
        events: events.clone(),
        tasks: tasks.clone(),
        incarnation: epoch.incarnation,
        session_ttl: config.protocol.session_ttl,
        claims: Arc::new(AtomicU64::new(0)),
        proofs,
    };
    let (helped, sessions) = tokio::sync::watch::channel(BTreeSet::new());
    tasks.spawn("wishes", served.serve(region, sessions, wishes));
    let following = failover::follow(member.clone(), events.clone(), helped);
    tasks.spawn("failover", following);
    let shipping = Shipping {
        outbox: Arc::clone(&outbox),
        member: member.clone(),
        attempts,
        events: events.clone(),
        sequence: Arc::new(AtomicU64::new(1)),
        epoch: Arc::clone(&epoch),
        boot,
        shutdown: shutdown.clone(),
    };
    shipping.start(&tasks);
    tasks.spawn(
        "certificate",
        renew(member.clone(), config.data_dir.clone(), renew_at),
    );
    let servers = config.sip.dns.clone();
    let carriers = carriers::follow(member.clone(), events.clone(), servers);
    tasks.spawn("carriers", carriers);
    tasks.spawn("status", tell_status(member.clone(), events.clone()));
    tasks.spawn(
        "readiness",
        keep_ready(events.clone(), readiness.clone(), region),
    );

    let desk = Arc::new(Desk {
        member: member.clone(),
        events: events.clone(),
        tasks: tasks.clone(),
        browsers,
    });
    let http = listen::bind("the agents' API", config.http.listen).await?;
    println!(
        "node {}: agents' page and API http://{}",
        config.name,
        http.address()
    );
    let router = dialmesh_http::agent::router(desk).merge(pages::router(pages::Page::Agent));
    tasks.spawn_fallible("http", http.serve(router, shutdown.clone()));
    let monitoring = listen::bind("monitoring", config.monitoring.listen).await?;
    println!(
        "node {}: monitoring http://{}/metrics",
        config.name,
        monitoring.address()
    );
    let router = monitoring_router(readiness, metrics);
    tasks.spawn_fallible("monitoring", monitoring.serve(router, shutdown.clone()));
    println!("node {}: ready", config.name);

    shutdown.started().await;
    // While its calls end, others lead what it led.
    member.leave_office();
    let settled = drain(&config, &events, &outbox).await;
    give_shares_back(&events).await;
    let sessions = open_sessions(&events).await;
    events.put(Event::Stop).await;
    if engine_thread.join().is_err() {
        tracing::error!("the engine's thread panicked");
    }
    // The relay went with it: what was recorded is written to its end.
    if tokio::task::spawn_blocking(move || writer.join())
        .await
        .is_err()
    {
        tracing::error!("recordings may lack their end");
    }
    // The engine is gone: nothing can be dialed under them any more.
    if settled {
        close_sessions(&member, sessions).await;
    }
    tokio::time::timeout(CLOSING, audit.anchor(&member, &mut 0))
        .await
        .ok();
    member.shut_down().await;
    match shutdown.reason() {
        Some(Reason::Failed(why)) => bail!(why),
        _ => {
            drop(tasks);
            if let Some(epoch) = Arc::into_inner(epoch) {
                sync_journal(&member).await?;
                epoch.finish_clean()?;
            }
            Ok(())
        }
    }
}

/// What the engine noted last is on the disk from here on: a clean stop is believed at the next
/// start, after a power cut too.
async fn sync_journal(member: &Member) -> Result<()> {
    let journal = member.journal().clone();
    let barrier = move || journal.write(JournalBatch::new(), Durability::Synced);
    (tokio::task::spawn_blocking(barrier).await)
        .context("the journal was not synced; the next start takes this stop for a crash")
}

/// The region this node dials for, as the directory has it; waits for the first entries.
async fn own_region(
    member: &Member,
    config: &NodeConfig,
    shutdown: &Shutdown,
) -> Result<Option<RegionId>> {
    let mut applied = member.directory().watch_applied();
    loop {
        let found = member
            .directory()
            .read(|directory| directory.member(member.id()).cloned());
        if let Some(me) = found {
            if me.removed {
                bail!(
                    "{} was removed from the mesh; to join again, move {} away",
                    config.name,
                    config.data_dir.display()
                );
            }
            return me
                .region
                .map(Some)
                .with_context(|| format!("{} has no region in the directory", config.name));
        }
        tokio::select! {
            changed = applied.changed() => changed.context("the directory group stopped")?,
            () = shutdown.started() => return Ok(None),
        }
    }
}

/// Tells the directory new addresses; the node goes on when nobody answers, and tells again at the
/// next start.
async fn move_if_needed(member: &Member, config: &NodeConfig) {
    let mesh_address = config
        .mesh
        .advertise
        .unwrap_or(config.mesh.listen)
        .to_string();
    let http_address = http_address(config);
    let same = member.directory().read(|directory| {
        directory
            .member(member.id())
            .is_some_and(|me| me.mesh_address == mesh_address && me.http_address == http_address)
    });
    if !same {
        let change = Change::MoveMember {
            id: member.id(),
            mesh_address,
            http_address,
        };
        if let Err(error) = member
            .directory()
            .propose(DirectoryCommand::from(change))
            .await
        {
            tracing::warn!(%error, "the directory was not told this node's new addresses");
        }
    }
}

/// The certificates of `[sip.tls]`.
fn load_tls(config: &config::SipTlsConfig) -> Result<Arc<Tls>> {
    let files = TlsFiles {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        trust: config.trust.clone(),
        client_trust: config.client_trust.clone(),
    };
    let tls = Tls::load(&files).context("[sip.tls] cannot be used")?;
    Ok(Arc::new(tls))
}

/// The key of `[sip.stir]`.
fn load_voucher(
    config: &config::SipStirConfig,
    origin: &str,
) -> Result<Arc<sip::passport::Voucher>> {
    let files = StirFiles {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        x5u: config.x5u.clone(),
    };
    let voucher = sip_transport::load_voucher(&files, origin, clock::wall());
    Ok(Arc::new(voucher.context("[sip.stir] cannot be used")?))
}

/// What the engine's thread leaves to others to keep.
struct Kept {
    audit: Audit,
    attempts: Arc<Attempts>,
    outbox: Arc<Outbox>,
    phones: Phones,
    called: Called,
    learned: Learned,
    recordings: recordings::Recordings,
}

type Started = (
    Shell,
    mpsc::Receiver<shell::Wish>,
    mpsc::Receiver<overflow::Errand>,
);

fn start_engine(
    config: &NodeConfig,
    member: &Member,
    readiness: &Readiness,
    events: &Events,
    kept: Kept,
    region: RegionId,
    (audit, audit_numbers, tapes): (permit::audit::Head, NumberKey, media_io::Tapes),
) -> Result<Started> {
    let seed = entropy::seed()?;
    let sip_tls = config.sip.tls.as_ref();
    let tls = sip_tls.map(load_tls).transpose()?;
    let sockets = |side: Side, address: SocketAddr, secure: Option<SocketAddr>| {
        let events = events.clone();
        let listener = |transport, address| Listener { transport, address };
        let mut listeners = vec![
            listener(SipTransport::Udp, address),
            listener(SipTransport::Tcp, address),
        ];
        listeners.extend(secure.map(|address| listener(SipTransport::Tls, address)));
        // Carriers are known; phones must be able to prove whose they are.
        let strangers = match side {
            Side::Trunks => Strangers::Refused,
            Side::Agents => Strangers::Metered,
        };
        let limits = Limits {
            strangers,
            ..Limits::default()
        };
        SipSockets::bind_with(
            &listeners,
            limits,
            tls.clone(),
            Arc::new(move |event| events.offer(Event::Sip { side, event })),
        )
    };
    let trunks = sockets(
        Side::Trunks,
        config.sip.trunk_listen,
        sip_tls.map(|tls| tls.trunk_listen),
    )?;
    let agents = sockets(
        Side::Agents,
        config.sip.agent_listen,
        sip_tls.and_then(|tls| tls.agent_listen),
    )?;

    if let Some(collector) = config.sip.hep {
        // By our id a collector tells the cities apart.
        let agent = u32::try_from(member.id().0).unwrap_or(u32::MAX);
        let exporter = Exporter::new(collector, agent)
            .with_context(|| format!("sip.hep: there is no way to {collector}"))?;
        let exporter = Arc::new(exporter);
        trunks.export_to(Arc::clone(&exporter));
        agents.export_to(exporter);
        tracing::info!(%collector, agent, "SIP messages are copied, with numbers in full");
    }

    let prompts::Loaded {
        prompts,
        safe_harbour,
        call_backs,
        hold,
        voice_drops,
    } = prompts::load(&config.prompts, &config.call_backs)?;
    let (first, last) = config.rtp_ports();
    let ports = media::PortRange::new(first, last - last % 2)
        .with_context(|| format!("media.ports {:?}", config.media.ports))?;
    let mut exchange = media::ExchangeConfig::new(ports);
    exchange.silent_after = Duration::from_secs(60);
    let relay_seed = entropy::seed()?;
    let heard = events.clone();
    let sink = Box::new(move |event| heard.offer(Event::Media(event)));
    let relayed = media_io::RelayConfig::new(config.media.address, exchange, prompts, relay_seed);
    let browsers = config.media.browsers().map(|browsers| {
        let told = events.clone();
        let told: media_io::BrowserSink = Box::new(move |event| told.offer(Event::Browser(event)));
        (browsers, told)
    });
    let relay = media_io::Relay::start_with(relayed, sink, browsers, Some(tapes))?;
    let trunk_address = trunks.bound()[0].address;
    let trunk_tls = sip_tls.map(|tls| {
        let bound = trunks.bound()[2].address;
        (bound, tls.trunk_advertise.unwrap_or(bound))
    });
    let stir = config.sip.stir.as_ref();
    let voucher = stir
        .map(|stir| load_voucher(stir, &config.name))
        .transpose()?;
    let engine = Engine::new(
        EngineConfig {
            member: member.id(),
            regions: vec![region],
            trunk_address,
            trunk_advertised: config.sip.trunk_advertise.unwrap_or(trunk_address),
            trunk_tls,
            voucher,
            agent_address: agents.bound()[0].address,
            media_address: config.media.advertise.unwrap_or(config.media.address),
            media_ports: ports,
            realm: config.sip.realm.clone(),
            md5_only: config.sip.md5_only,
            srtp: config.sip.srtp.to_engine(),
            freshness: config.protocol.freshness,
            safe_harbour,
            hold,
            call_backs,
            voice_drops,
            audit,
            audit_numbers,
        },
        seed,
    );
    let (wishes, served) = mpsc::channel(WISHES);
    let (errands, run) = mpsc::channel(overflow::ERRANDS);
    let shell = Shell {
        engine,
        trunks,
        tls,
        agents,
        relay,
        kept,
        events: events.clone(),
        wishes,
        member: member.clone(),
        node: member.id(),
        located: BTreeMap::new(),
        phone_hosts: BTreeMap::new(),
        pulse: readiness.pulse("engine", Duration::from_secs(10)),
        errands,
    };
    Ok((shell, served, run))
}

/// Gets a new certificate from the coordinator before the present one ends: it lives for days.
async fn renew(member: Member, dir: std::path::PathBuf, mut renew_at: domain::WallTime) {
    loop {
        tokio::time::sleep(RENEWAL_LOOK).await;
        if clock::wall() < renew_at {
            continue;
        }
        match member.endpoint().renew(CERTIFIER, &dir, RENEWAL).await {
            Ok(identity) => {
                renew_at = identity.renew_at();
                tracing::info!(next = %renew_at, "the certificate was renewed");
            }
            Err(error) => tracing::error!(%error, "the certificate was not renewed; tried again"),
        }
    }
}

/// Keeps readiness true to the engine. Nobody is sent here before it is ready, so that is looked for
/// often; what was ready is looked at each second.
async fn keep_ready(events: Events, readiness: Readiness, own: RegionId) {
    let gate = readiness.gate("mesh");
    while let Some(status) = engine_status(&events).await {
        // A region that is only helped does not make this node unready.
        let mut sessions = status.sessions.iter().filter(|s| s.region == own);
        let every = match sessions.all(|s| s.valid_ms > 0) && status.fresh_ms > 0 {
            true => {
                gate.open("sessions and do-not-call are confirmed");
                STATUS_EVERY
            }
            false => {
                gate.close("no session or no fresh do-not-call: nothing is dialed");
                UNREADY_LOOK
            }
        };
        tokio::time::sleep(every).await;
    }
}

/// How the engine is; none when it has ended.
async fn engine_status(events: &Events) -> Option<domain::status::NodeStatus> {
    let (reply, answer) = oneshot::channel();
    events.put(Event::Status(reply)).await;
    answer.await.ok()
}

/// Says each second how the node is: to the coordinator and to metrics.
async fn tell_status(member: Member, events: Events) {
    let mut ticks = tokio::time::interval(STATUS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(status) = engine_status(&events).await else {
            return;
        };
        observe::status(&status);
        let coordinators: Vec<_> = member.directory().read(|directory| {
            let all = directory
                .members()
                .filter(|m| m.role == MemberRole::Coordinator && !m.removed);
            all.map(|m| m.id).collect()
        });
        for coordinator in coordinators {
            let told = member
                .endpoint()
                .rpc(coordinator, STATUS, encode(&status), STATUS_EVERY)
                .await;
            if let Err(error) = told {
                tracing::debug!(%coordinator, %error, "the coordinator was not told how this node is");
            }
        }
    }
}

/// No new attempts; live calls go on until they end or the deadline comes; then what is owed is
/// shipped as far as somebody takes it. True when nothing is left.
async fn drain(config: &NodeConfig, events: &Events, outbox: &Outbox) -> bool {
    let (drained, done) = oneshot::channel();
    events.put(Event::Drain(drained)).await;
    let over = tokio::time::timeout(config.drain, done).await.is_ok();
    if !over {
        tracing::warn!(deadline = ?config.drain, "calls are still up at the drain's deadline; they are cut off");
    }
    let emptied = tokio::time::timeout(Duration::from_secs(5), outbox.emptied())
        .await
        .is_ok();
    if !emptied {
        tracing::info!(
            queued = outbox.len(),
            "what is still owed is shipped at the next start"
        );
    }
    over && emptied
}

/// What this node holds of abandonment budgets goes back. When no quorum takes it, it stays in
/// doubt until the next start, whose journal proves what was spent.
async fn give_shares_back(events: &Events) {
    let (settled, done) = oneshot::channel();
    events.put(Event::SharesSettled(settled)).await;
    if tokio::time::timeout(SETTLING, done).await.is_err() {
        tracing::info!("shares of abandonment budgets are given back at the next start");
    }
}

/// The engine's sessions.
async fn open_sessions(events: &Events) -> Vec<(RegionId, SessionId)> {
    let status = engine_status(events).await;
    let sessions = status.map_or(Vec::new(), |status| status.sessions);
    let open = |s: &domain::status::SessionStatus| Some((s.region, s.session?));
    sessions.iter().filter_map(open).collect()
}

/// Ends the sessions of a node that owes nothing, so that nobody waits for them to expire. When
/// no quorum takes it, they expire.
async fn close_sessions(member: &Member, sessions: Vec<(RegionId, SessionId)>) {
    for (region, session) in sessions {
        let Some(group) = member.region(region) else {
            continue;
        };
        let close = RegionCommand::CloseSession { session };
        match group.propose_again(&close, CLOSING).await {
            Ok(_) => tracing::info!(%region, %session, "session closed"),
            Err(error) => {
                tracing::info!(%region, %session, %error, "the session is left to expire")
            }
        }
    }
}
