//! A phone network in a process: real SIP over UDP and TCP, real RTP, people with habits, and a
//! log of everything that was dialed: the independent witness.

pub mod config;
pub mod fate;
mod net;
mod switch;
pub mod witness;

pub use config::{CarrierConfig, Rule, TrunkConfig};
pub use fate::{Behaviour, Habits};

use crate::{audio::rtp::RtpThread, control};
use anyhow::Context as _;
use net::{Arrived, Net};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use switch::Switch;
use tokio::sync::{mpsc, oneshot};
use witness::{Entry, Event, Witness};

/// How a trunk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It works.
    #[default]
    None,
    /// Every new call and OPTIONS gets 503.
    Storm,
    /// Nothing gets any answer.
    Silence,
}

/// What a carrier counted since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierStats {
    /// INVITEs that open a call or wanted to, retransmissions included.
    pub invites: u64,
    /// Retransmitted INVITEs of opened calls.
    pub retransmissions: u64,
    /// INVITEs answered with 407.
    pub challenged: u64,
    /// INVITEs left without any answer.
    pub ignored: u64,
    /// Calls opened.
    pub opened: u64,
    /// Calls answered.
    pub answered: u64,
    /// Final answers by status.
    pub finals: BTreeMap<u16, u64>,
    /// CANCELs that met their call.
    pub cancels: u64,
    /// First ACKs.
    pub acks: u64,
    /// BYEs from the caller.
    pub byes_in: u64,
    /// BYEs from the called side.
    pub byes_out: u64,
    /// Calls live now.
    pub live: u64,
    /// Calls over.
    pub closed: u64,
    /// Answered calls in which some agent's tone was heard.
    pub heard_caller: u64,
    /// Successful REGISTERs.
    pub registrations: u64,
    /// OPTIONS.
    pub options: u64,
    /// Contract violations.
    pub violations: u64,
    /// Datagrams that are no SIP.
    pub odd: u64,
}

/// What a carrier may be told while it runs; JSON tagged `cmd` on the control socket.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "cmd", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Puts a rule in front of all others.
    Force {
        /// The rule.
        rule: Rule,
    },
    /// Forgets every rule.
    ClearRules,
    /// Every hour's answer share.
    AnswerShare {
        /// Of 1000 calls.
        permille: u32,
    },
    /// Breaks or heals a trunk.
    Outage {
        /// Its name; none: all.
        #[serde(default)]
        trunk: Option<String>,
        /// How.
        mode: Outage,
    },
    /// The counters.
    Stats,
    /// The bound addresses by trunk.
    Addresses,
}

enum Inbox {
    Command(Command, oneshot::Sender<Value>),
    Stop(oneshot::Sender<()>),
}

/// Starts carriers.
#[derive(Debug)]
pub struct Carrier;

/// A running carrier. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct CarrierHandle {
    addresses: Vec<(String, SocketAddr)>,
    control: Option<SocketAddr>,
    stats: Arc<Mutex<CarrierStats>>,
    inbox: mpsc::Sender<Inbox>,
}

impl Carrier {
    /// Binds every trunk's address, opens the log, serves.
    pub async fn start(mut config: CarrierConfig) -> anyhow::Result<CarrierHandle> {
        config.check()?;
        let witness = Witness::open(config.log.as_deref())
            .with_context(|| format!("opening the witness log {:?}", config.log))?;
        let (listens, groups) = listeners(&config);
        let (bytes, wire) = mpsc::channel(65_536);
        let (net, bound) = Net::bind(&listens, &bytes).await?;
        for (group, address) in groups.iter().zip(&bound) {
            for trunk in group {
                config.trunks[*trunk].listen = *address;
            }
        }
        let addresses = config
            .trunks
            .iter()
            .map(|t| (t.name.clone(), t.listen))
            .collect();
        let (inbox, commands) = mpsc::channel(64);
        let control = match config.control {
            None => None,
            Some(address) => {
                let (local, requests) = control::serve(address)
                    .await
                    .with_context(|| format!("binding the control socket {address}"))?;
                tokio::spawn(relay_control(requests, inbox.clone()));
                Some(local)
            }
        };
        let stats = Arc::<Mutex<CarrierStats>>::default();
        let (wall_ms, mono_ns) = witness.clocks();
        witness.write(Entry {
            wall_ms,
            mono_ns,
            trunk: String::new(),
            call_id: String::new(),
            number: String::new(),
            caller_id: String::new(),
            source: None,
            attempt: String::new(),
            event: Event::Started { seed: config.seed },
        });
        let rtp = RtpThread::start("carrier-rtp").context("starting the RTP thread")?;
        let switch = Switch::new(config, groups, rtp, witness.clone(), Arc::clone(&stats));
        let handle = CarrierHandle {
            addresses,
            control,
            stats,
            inbox,
        };
        let addresses = handle.addresses.clone();
        tokio::spawn(run(switch, net, witness, wire, commands, addresses));
        Ok(handle)
    }
}

impl CarrierHandle {
    /// The SIP address (UDP and TCP) of a trunk.
    pub fn addr(&self, trunk: &str) -> Option<SocketAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| name == trunk)
            .map(|(_, a)| *a)
    }

    /// Every trunk's name and address, in the order of the configuration.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// The control socket, where one was asked for.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The counters now.
    pub fn stats(&self) -> CarrierStats {
        self.stats.lock().unwrap_or_else(|p| p.into_inner()).clone()
    }

    /// Obeys a command; the answer is what the control socket would say.
    pub async fn command(&self, command: Command) -> anyhow::Result<Value> {
        let (reply, answer) = oneshot::channel();
        self.inbox
            .send(Inbox::Command(command, reply))
            .await
            .context("the carrier has stopped")?;
        let answer = answer.await.context("the carrier has stopped")?;
        anyhow::ensure!(answer["ok"] == true, "refused: {}", answer["error"]);
        Ok(answer)
    }

    /// Ends every call's record, writes the log out, lets the sockets go.
    pub async fn stop(self) {
        let (done, wait) = oneshot::channel();
        if self.inbox.send(Inbox::Stop(done)).await.is_ok() {
            drop(wait.await);
        }
    }
}

/// The distinct addresses, and the trunks of each. Port 0 is distinct every time.
fn listeners(config: &CarrierConfig) -> (Vec<SocketAddr>, Vec<Vec<usize>>) {
    let (mut listens, mut groups) = (Vec::new(), Vec::<Vec<usize>>::new());
    for (i, trunk) in config.trunks.iter().enumerate() {
        let same = listens
            .iter()
            .position(|a| *a == trunk.listen && trunk.listen.port() != 0);
        match same {
            Some(at) => groups[at].push(i),
            None => {
                listens.push(trunk.listen);
                groups.push(vec![i]);
            }
        }
    }
    (listens, groups)
}

async fn relay_control(mut requests: mpsc::Receiver<control::Request>, inbox: mpsc::Sender<Inbox>) {
    while let Some(request) = requests.recv().await {
        match serde_json::from_value(request.command) {
            Ok(command) => {
                if inbox
                    .send(Inbox::Command(command, request.reply))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(e) => drop(request.reply.send(control::refused(&e.to_string()))),
        }
    }
}

async fn run(
    mut switch: Switch,
    net: Net,
    witness: Witness,
    mut wire: mpsc::Receiver<Arrived>,
    mut commands: mpsc::Receiver<Inbox>,
    addresses: Vec<(String, SocketAddr)>,
) {
    loop {
        let wake = switch
            .next_timer()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
        tokio::select! {
            command = commands.recv() => match command {
                Some(Inbox::Command(command, reply)) => {
                    drop(reply.send(obey(&mut switch, command, &addresses)));
                }
                stop => {
                    switch.stop(Instant::now());
                    // Audio is measured on the RTP thread; it answers within one tick.
                    for _ in 0..400 {
                        if switch.reporting.load(Ordering::SeqCst) == 0 {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    witness.sync();
                    if let Some(Inbox::Stop(done)) = stop {
                        done.send(()).ok();
                    }
                    return;
                }
            },
            message = wire.recv() => {
                let Some(arrived) = message else { return };
                switch.on_arrived(&arrived);
                for _ in 0..256 {
                    let Ok(arrived) = wire.try_recv() else { break };
                    switch.on_arrived(&arrived);
                }
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        switch.on_time(Instant::now());
        for (flow, bytes) in switch.take_output() {
            net.send(flow, bytes).await;
        }
    }
}

fn obey(switch: &mut Switch, command: Command, addresses: &[(String, SocketAddr)]) -> Value {
    match command {
        Command::Force { rule } => switch.rules().insert(0, rule),
        Command::ClearRules => switch.rules().clear(),
        Command::AnswerShare { permille } => switch.set_answer_share(permille),
        Command::Outage { trunk, mode } => {
            if !switch.set_outage(trunk.as_deref(), mode) {
                return control::refused(&format!("no trunk {trunk:?}"));
            }
        }
        Command::Stats => {
            let mut stats = Value::Null;
            switch.count(|s| stats = json!({"ok": true, "stats": &*s}));
            return stats;
        }
        Command::Addresses => {
            let map: BTreeMap<_, _> = addresses.iter().map(|(n, a)| (n, a.to_string())).collect();
            return json!({"ok": true, "addresses": map});
        }
    }
    json!({"ok": true})
}
