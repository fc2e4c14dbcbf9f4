//! Founds a mesh: files, processes, joining, and what an operator sets up before the first call.

use super::{
    Api, COORDINATOR, Folder, HOLD_VERSION, Node, PATIENCE, Process, Step, World, WorldCity,
    WorldConfig, api,
    files::{self, Addresses, Protocol},
    hardships::{SmallDisk, with_clock, write_clock},
    ports,
};
use crate::{
    agent::AgentLog,
    audio::rtp::RtpThread,
    audio::{Law, RATE, Sound},
    carrier::{Carrier, CarrierConfig, CarrierHandle, TrunkConfig},
    link::{LinkHandle, LinkMember, LinkProxy},
    population::City,
};
use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

const SAFE_HARBOUR: &[u8] = include_bytes!("../../../deploy/three-cities/safe-harbour.wav");
/// What the nodes' message for answering machines, `tone`, sounds like: no agent's and no number's.
pub(super) const MESSAGE_HERTZ: u32 = 1_700;
/// The name of everybody's campaign.
const CAMPAIGN: &str = "demo";

pub(super) async fn build(
    config: WorldConfig,
    on_step: &mut dyn FnMut(&Step),
) -> anyhow::Result<World> {
    anyhow::ensure!(
        !config.cities.is_empty(),
        "cities: empty; name at least one"
    );
    let folder = Folder::open(config.folder.as_deref())?;
    let path = folder.path().to_owned();
    std::fs::write(path.join("safe-harbour.wav"), SAFE_HARBOUR)
        .with_context(|| format!("writing into {}", path.display()))?;

    std::fs::write(path.join("voice-drop.wav"), voice_drop())
        .with_context(|| format!("writing into {}", path.display()))?;

    on_step(&Step::Carrier);
    let caller_ids: Vec<_> = config
        .cities
        .iter()
        .enumerate()
        .map(|(place, city)| {
            let count = config.caller_ids_per_city;
            let mut shown = caller_ids(city.place, count);
            if let Some(far) = config.far_caller_ids {
                // Each trunk's own, and nobody's local ones.
                shown.extend(caller_ids(far, count * (place + 2)).split_off(count * (place + 1)));
            }
            shown
        })
        .collect();
    let carrier = start_carrier(&config, &caller_ids, &path).await?;
    let names: Vec<&str> = std::iter::once(COORDINATOR)
        .chain(config.cities.iter().map(|c| c.name.as_str()))
        .collect();
    let (link, addresses) = start_link(&config, &names).await?;

    let mut disks = BTreeMap::new();
    for name in &names {
        if config.small_disks {
            let disk = SmallDisk::mount(path.join("data").join(name))?;
            disks.insert((*name).to_owned(), disk);
        }
        if config.clocks.is_some() {
            write_clock(&path.join(format!("{name}.clock")), 0)?;
        }
    }

    on_step(&Step::Coordinator);
    let protocol = Protocol {
        session_ttl: config.session_ttl,
        freshness: config.freshness,
    };
    let (coordinator, api) =
        start_coordinator(&config, &path, &addresses[COORDINATOR], protocol).await?;
    let mut nodes = Vec::new();
    for (city, caller_ids) in config.cities.iter().zip(caller_ids) {
        on_step(&Step::Node(city.name.clone()));
        let joining = Joining {
            config: &config,
            folder: &path,
            api: &api,
            coordinator: addresses[COORDINATOR],
            protocol,
        };
        nodes.push(
            joining
                .node(city, &addresses[city.name.as_str()], caller_ids)
                .await?,
        );
    }
    for node in &mut nodes {
        let (name, process) = (node.city.name.clone(), &mut node.process);
        api::until_ready(node.monitoring, PATIENCE, || process.is_alive())
            .await
            .with_context(|| format!("node {name}; it said:\n{}", node.process.tail(20)))?;
    }

    on_step(&Step::Trunks);
    set_up_dialing(&config, &api, &carrier, &mut nodes).await?;
    on_step(&Step::Campaign);
    let campaign = make_campaign(&config, &api).await?;
    let agent_log = AgentLog::open(&path.join("agents.jsonl"))?;
    Ok(World {
        coordinator_monitoring: addresses[COORDINATOR].monitoring,
        nodes,
        coordinator,
        api: Arc::new(api),
        carrier: Some(carrier),
        link,
        campaign,
        desks: Vec::new(),
        spare_phones: Vec::new(),
        agent_log,
        rtp: RtpThread::start("phones-rtp").context("starting the phones' RTP thread")?,
        leads: Vec::new(),
        do_not_dial: Vec::new(),
        crashes: false,
        disks,
        folder,
        config,
    })
}

async fn start_carrier(
    config: &WorldConfig,
    caller_ids: &[Vec<String>],
    folder: &Path,
) -> anyhow::Result<CarrierHandle> {
    let trunks = config
        .cities
        .iter()
        .zip(caller_ids)
        .map(|(city, shown)| TrunkConfig {
            username: Some(city.name.clone()),
            password: password(config, city),
            channels: config.channels,
            calls_per_second: config.calls_per_second,
            caller_ids: shown
                .iter()
                .map(|n| n.trim_start_matches('+').to_owned())
                .collect(),
            ..TrunkConfig::open(&city.name, ([127, 0, 0, 1], 0).into())
        });
    let mut carrier = CarrierConfig::new(config.seed, trunks.collect());
    carrier.habits = config.habits.clone();
    carrier.log = Some(folder.join("carrier.jsonl"));
    Carrier::start(carrier)
        .await
        .context("starting the carrier")
}

/// Made up anew for each seed; it opens a simulated trunk on loopback and nothing else.
fn password(config: &WorldConfig, city: &WorldCity) -> String {
    format!("{}-{:x}", city.name, config.seed)
}

async fn start_link<'a>(
    config: &WorldConfig,
    names: &[&'a str],
) -> anyhow::Result<(Option<LinkHandle>, BTreeMap<&'a str, Addresses>)> {
    let mut addresses = BTreeMap::new();
    for name in names {
        let at = Addresses {
            mesh: ports::address()?,
            advertised: None,
            http: ports::address()?,
            monitoring: ports::address()?,
        };
        addresses.insert(*name, at);
    }
    if !config.link {
        return Ok((None, addresses));
    }
    let mut members = Vec::new();
    for (name, at) in &addresses {
        members.push(LinkMember {
            name: (*name).to_owned(),
            advertised: ports::address()?,
            target: at.mesh,
        });
    }
    let link = LinkProxy::start(members, config.seed, None)
        .await
        .context("starting the wire between the members")?;
    for (name, at) in &mut addresses {
        at.advertised = link.addr(name);
    }
    Ok((Some(link), addresses))
}

async fn start_coordinator(
    config: &WorldConfig,
    folder: &Path,
    at: &Addresses,
    protocol: Protocol,
) -> anyhow::Result<(Process, Api)> {
    let file = folder.join("coordinator.toml");
    let token = folder.join("admin-token");
    std::fs::write(
        &file,
        files::coordinator(COORDINATOR, at, protocol, &config.log_level),
    )?;
    let (file_text, token_text) = (file.to_string_lossy(), token.to_string_lossy());
    let log = folder.join("coordinator.log");
    let arguments = [
        "coordinator",
        "init",
        "--config",
        &file_text,
        "--token-file",
        &token_text,
    ];
    Process::new("coordinator init", &config.binary, &arguments, log.clone())
        // Contexts of the user's own are left alone.
        .with("XDG_CONFIG_HOME", &folder.to_string_lossy())
        .held(config)
        .run(PATIENCE)
        .await?;
    let token = std::fs::read_to_string(&token)
        .with_context(|| format!("reading the admin token {}", token.display()))?;
    let arguments = ["coordinator", "run", "--config", &file_text];
    let process = Process::new("coordinator", &config.binary, &arguments, log);
    let mut process = clocked(config, folder, COORDINATOR, process).held(config);
    process.start()?;
    let ready = api::until_ready(at.monitoring, PATIENCE, || process.is_alive()).await;
    ready.with_context(|| format!("the coordinator; it said:\n{}", process.tail(20)))?;
    Ok((process, Api::new(at.http, token.trim())?))
}

/// With a calendar that can be set, where the world has such.
fn clocked(config: &WorldConfig, folder: &Path, name: &str, process: Process) -> Process {
    match &config.clocks {
        Some(library) => with_clock(process, library, &folder.join(format!("{name}.clock"))),
        None => process,
    }
}

impl Process {
    /// As a member whose way back to the release before is kept open, where the world has such.
    fn held(self, config: &WorldConfig) -> Self {
        match config.hold_version {
            Some(version) => self.with(HOLD_VERSION, &version.to_string()),
            None => self,
        }
    }
}

/// What every joining node needs.
struct Joining<'a> {
    config: &'a WorldConfig,
    folder: &'a Path,
    api: &'a Api,
    coordinator: Addresses,
    protocol: Protocol,
}

impl Joining<'_> {
    async fn node(
        &self,
        city: &WorldCity,
        at: &Addresses,
        caller_ids: Vec<String>,
    ) -> anyhow::Result<Node> {
        let Self {
            config,
            folder,
            api,
            ..
        } = *self;
        let (trunk_sip, agent_sip) = (ports::address()?, ports::address()?);
        // Two ports a leg; the agents' legs, their calls, the ringing and the draining.
        let rtp = ports::row(400 + 16 * config.agents_per_city.min(1_000) as u16)?;
        let file = folder.join(format!("{}.toml", city.name));
        let sip = (trunk_sip, agent_sip);
        let text = files::node(&city.name, at, self.protocol, &config.log_level, sip, rtp);
        std::fs::write(&file, text)?;
        let region = ask(api, Method::POST, "/regions", &json!({"name": city.region})).await?;
        let wish = json!({"role": "node", "name": city.name, "region": region["id"]});
        let token = ask(api, Method::POST, "/join-tokens", &wish).await?;
        let token = token["token"].as_str().context("a join token")?.to_owned();
        let token_file = folder.join(format!("{}.token", city.name));
        write_secret(&token_file, &token)?;
        let log = folder.join(format!("{}.log", city.name));
        let meet = self
            .coordinator
            .advertised
            .unwrap_or(self.coordinator.mesh)
            .to_string();
        let (file, token) = (file.to_string_lossy(), token_file.to_string_lossy());
        let arguments = [
            "node",
            "join",
            "--config",
            &file,
            "--coordinator",
            &meet,
            "--region",
            &city.region,
            "--token-file",
            &token,
        ];
        Process::new(
            &format!("node join {}", city.name),
            &config.binary,
            &arguments,
            log.clone(),
        )
        .run(PATIENCE)
        .await?;
        let arguments = ["node", "run", "--config", &file];
        let process = Process::new(&city.name, &config.binary, &arguments, log);
        let mut process = clocked(config, folder, &city.name, process).held(config);
        process.start()?;
        Ok(Node {
            city: city.clone(),
            process,
            id: String::new(),
            trunk: String::new(),
            http: at.http,
            monitoring: at.monitoring,
            agent_sip,
            caller_ids,
        })
    }
}

/// For this user's eyes only.
fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(secret.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

async fn ask(api: &Api, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
    api.insist(method, path, body, PATIENCE).await
}

/// Member ids, home rules, trunks, caller IDs.
async fn set_up_dialing(
    config: &WorldConfig,
    api: &Api,
    carrier: &CarrierHandle,
    nodes: &mut [Node],
) -> anyhow::Result<()> {
    let members = api.list("/members").await?;
    let regions = api.list("/regions").await?;
    let by_name = |list: &[Value], name: &str| -> anyhow::Result<String> {
        let found = list.iter().find(|o| o["name"] == name);
        let id = found.and_then(|o| o["id"].as_str()).map(str::to_owned);
        id.with_context(|| format!("{name:?} is not listed"))
    };
    let mut rules = Vec::new();
    for city in &config.cities {
        let region = by_name(&regions, &city.region)?;
        if rules.is_empty() {
            rules.push(json!({"when": "default", "region": region}));
        }
        rules.push(json!({"when": {"city": english(city.place)}, "region": region}));
    }
    ask(api, Method::PUT, "/home-rules", &json!({"rules": rules})).await?;
    for node in nodes {
        node.id = by_name(&members, &node.city.name)?;
        let address: SocketAddr = carrier
            .addr(&node.city.name)
            .context("a trunk has an address")?;
        let auth = json!({"username": node.city.name, "password": password(config, &node.city)});
        let trunk = json!({
            "name": format!("{} carrier", node.city.name),
            "node": node.id,
            "address": config.trunk.unwrap_or(address).to_string(),
            "auth": config.trunk.map_or(auth, |_| Value::Null),
            "channels": config.channels,
            "calls_per_second": config.calls_per_second,
            // What is not the simulated carrier need not answer OPTIONS.
            "options_interval_seconds": if config.trunk.is_some() { 0 } else { 5 },
        });
        let trunk = ask(api, Method::POST, "/trunks", &trunk).await?;
        node.trunk = trunk["id"]
            .as_str()
            .context("a trunk has an id")?
            .to_owned();
        let shown: Vec<Value> = node
            .caller_ids
            .iter()
            .map(|number| {
                json!({"number": number, "trunk": node.trunk, "per_day": 10_000, "per_hour": 10_000})
            })
            .collect();
        ask(
            api,
            Method::POST,
            "/caller-ids",
            &json!({"caller_ids": shown}),
        )
        .await?;
    }
    Ok(())
}

async fn make_campaign(config: &WorldConfig, api: &Api) -> anyhow::Result<String> {
    let mut settings = json!({
        "name": CAMPAIGN,
        "rule_pack": "demo",
        // An agent reserved for each line: in a run this short a burst of answers at the start
        // would cost a ratio controller the whole budget.
        "pacing": "progressive",
        "ring_limit_seconds": 15,
        "wrap_up_limit_seconds": 30,
        // Nobody is tried twice within a short run.
        "retry": [
            {"after": "no_answer", "delay_seconds": 3_600, "attempts_max": 3},
            {"after": "busy", "delay_seconds": 1_800, "attempts_max": 3},
        ],
    });
    if let (Some(settings), Some(own)) = (settings.as_object_mut(), config.campaign.as_object()) {
        settings.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    let campaign = ask(api, Method::POST, "/campaigns", &settings).await?;
    Ok(campaign["id"]
        .as_str()
        .context("a campaign has an id")?
        .to_owned())
}

/// Two seconds of a tone, as a G.711 WAV.
fn voice_drop() -> Vec<u8> {
    let tone = Sound::Tone(MESSAGE_HERTZ).render();
    let codes = (tone.iter().cycle()).map(|sample| Law::A.encode(*sample));
    let codes: Vec<u8> = codes.take(2 * RATE as usize).collect();
    media::wav::write(domain::Codec::Pcma, 1, &codes)
}

/// The city's name as numbering knows it.
const fn english(place: City) -> &'static str {
    match place {
        City::Beijing => "Beijing",
        City::Shanghai => "Shanghai",
        City::Shenzhen => "Shenzhen",
        City::NewYork => "New York",
        City::Chicago => "Chicago",
        City::SanFrancisco => "San Francisco",
    }
}

/// Numbers of the city's own that no lead has.
fn caller_ids(place: City, count: usize) -> Vec<String> {
    let first: u64 = match place {
        City::Beijing => 861_058_880_001,
        City::Shanghai => 862_161_880_001,
        City::Shenzhen => 8_675_586_880_001,
        City::NewYork => 12_127_360_001,
        City::Chicago => 13_127_440_001,
        City::SanFrancisco => 14_157_770_001,
    };
    (first..)
        .take(count)
        .map(|number| format!("+{number}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::PopulationConfig;

    #[test]
    fn caller_ids_are_of_the_city_and_of_no_lead() {
        for place in City::CHINA.into_iter().chain(City::UNITED_STATES) {
            let shown = caller_ids(place, 50);
            assert_eq!(shown.len(), 50);
            let people = PopulationConfig::new(1, 20_000, &[place]);
            let area = &people.number_at(if place.is_chinese() { 4 } else { 0 })[..5];
            assert!(
                shown.iter().all(|n| n.starts_with(area)),
                "{place:?} {area}"
            );
            let leads: std::collections::BTreeSet<_> =
                (0..people.leads).map(|i| people.number_at(i)).collect();
            assert!(shown.iter().all(|n| !leads.contains(n)));
        }
    }

    #[tokio::test]
    async fn members_are_reached_through_the_wire() {
        let config = WorldConfig::new("/bin/false", 1);
        let (link, addresses) = start_link(&config, &["a", "b"]).await.unwrap();
        let link = link.unwrap();
        assert_eq!(addresses["a"].advertised, link.addr("a"));
        assert_ne!(addresses["a"].advertised, Some(addresses["a"].mesh));
        link.stop().await;
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("world");
        let mut config = WorldConfig::new("/bin/false", 1);
        config.folder = Some(kept.clone());
        let mut steps = Vec::new();
        let error = World::build(config, |step| steps.push(step.clone()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("coordinator init"), "{error:#}");
        assert_eq!(steps, [Step::Carrier, Step::Coordinator]);
        // A used folder is not taken a second time.
        let mut again = WorldConfig::new("/bin/false", 1);
        again.folder = Some(kept);
        let error = World::build(again, |_| ()).await.unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error:#}");
    }

    #[test]
    fn rates_fit_the_demo() {
        let habits = super::super::brisk();
        habits.check().unwrap();
        // Lines that ring until the limit would fill the dialer: a few of 100 at most.
        let ended = habits.busy_permille
            + habits.machine_permille
            + habits.unallocated_permille
            + habits.powered_off_permille
            + habits.rejected_permille
            + habits.failure_permille;
        let unanswered = 1_000 - habits.answer_permille_by_hour[0];
        assert!((1_000 - ended) * unanswered / 1_000 < 50);
    }
}
