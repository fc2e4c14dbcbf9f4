//! The person at the desk: logs in, gets ready, talks, writes the call up, takes a break, comes
//! back after every lost connection. Speaks the node's agent API over a WebSocket.

pub mod api;

use crate::phone::PhoneHandle;
use anyhow::Context as _;
use api::{Button, Card, Desk, Notice};
use futures::{SinkExt as _, StreamExt as _};
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, client::IntoClientRequest as _},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Without a word from the node for so long the connection counts as lost. The node is pinged
/// three times within it.
const SILENCE: Duration = Duration::from_secs(15);
/// A command without effect is given again after this.
const INSIST: Duration = Duration::from_secs(3);

/// Who, where, and with which habits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The agent's login.
    pub login: String,
    /// Opens the API.
    pub token: String,
    /// `ws://node/agent/v1/socket`.
    pub url: String,
    /// What every draw follows from.
    #[serde(default)]
    pub seed: u64,
    /// Shortest and longest wrap-up, in milliseconds.
    #[serde(default = "default_wrap_up")]
    pub wrap_up_ms: (u32, u32),
    /// The agent hangs up after this long on a call, in milliseconds: shortest and longest.
    #[serde(default = "default_talk")]
    pub talk_ms: (u32, u32),
    /// Of 1000 calls, after how many the agent takes a break.
    #[serde(default)]
    pub pause_permille: u32,
    /// How long a break lasts, in milliseconds.
    #[serde(default = "default_pause")]
    pub pause_ms: u32,
    /// How often each disposition is chosen, relative to the others of the card; one that is not
    /// named here weighs 20, or 1 where it forbids further calls.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
}

fn default_wrap_up() -> (u32, u32) {
    (300, 1_500)
}
fn default_talk() -> (u32, u32) {
    (6_000, 15_000)
}
fn default_pause() -> u32 {
    5_000
}

impl AgentConfig {
    /// An agent of the demonstration.
    pub fn new(login: &str, token: &str, url: &str) -> Self {
        Self {
            login: login.to_owned(),
            token: token.to_owned(),
            url: url.to_owned(),
            seed: 1,
            wrap_up_ms: default_wrap_up(),
            talk_ms: default_talk(),
            pause_permille: 20,
            pause_ms: default_pause(),
            weights: BTreeMap::new(),
        }
    }
}

/// What an agent saw and did: the product must never forget an acknowledged disposition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The node said that the disposition is kept.
    Disposed {
        /// The attempt.
        attempt: String,
        /// The disposition's name.
        disposition: String,
    },
    /// A call's audio is over.
    Heard {
        /// The attempt.
        attempt: String,
        /// Tones, in hertz, that the phone heard during the call.
        heard: Vec<u32>,
        /// How long the agent was on the call.
        talk_ms: u64,
    },
    /// The connection came or went.
    Connection {
        /// Whether it is up.
        up: bool,
        /// Why not.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// A command was refused, or the node complained.
    Refused {
        /// In its words.
        why: String,
    },
}

/// One line of the agents' log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentEntry {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// The agent's login.
    pub agent: String,
    /// What happened.
    #[serde(flatten)]
    pub event: AgentEvent,
}

/// A log that agents share; each line is written at once.
#[derive(Clone, Debug, Default)]
pub struct AgentLog(Option<Arc<Mutex<File>>>);

impl AgentLog {
    /// Opens (creates, appends to) the file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("opening the agents' log {}", path.display()))?;
        Ok(Self(Some(Arc::new(Mutex::new(file)))))
    }

    fn write(&self, agent: &str, event: AgentEvent) {
        let Some(file) = &self.0 else { return };
        let wall_ms = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64);
        let entry = AgentEntry {
            wall_ms,
            agent: agent.to_owned(),
            event,
        };
        let mut line = serde_json::to_vec(&entry).expect("plain data");
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(|p| p.into_inner());
        if let Err(error) = file.write_all(&line) {
            eprintln!("agents: the log cannot be written: {error}");
        }
    }

    /// Reads a log back.
    pub fn read(path: &Path) -> anyhow::Result<Vec<AgentEntry>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the agents' log {}", path.display()))?;
        text.lines()
            .map(|line| serde_json::from_str(line).context("a line of the agents' log"))
            .collect()
    }
}

/// What an agent did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// The connection is up.
    pub connected: bool,
    /// Where the agent stands.
    pub desk: Desk,
    /// Calls taken.
    pub calls: u64,
    /// Dispositions acknowledged.
    pub disposed: u64,
    /// Calls in which any tone of a called number was heard.
    pub heard: u64,
    /// The last refusal or failure.
    pub trouble: String,
}

/// Starts agents.
#[derive(Debug)]
pub struct Agent;

/// A working agent. Dropping it closes the connection.
#[derive(Debug)]
pub struct AgentHandle {
    status: watch::Receiver<AgentStatus>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Agent {
    /// Sits down at the desk with that phone.
    pub fn start(config: AgentConfig, phone: PhoneHandle, log: AgentLog) -> AgentHandle {
        let (status_out, status) = watch::channel(AgentStatus::default());
        let (stop, stopping) = watch::channel(false);
        let person = Person {
            random: Seed::from_u64(config.seed).stream(&format!("agent/{}", config.login)),
            status: status_out,
            desk: Desk::default(),
            phone_up: false,
            card: None,
            call_began: None,
            break_until: None,
            due: Instant::now(),
            next_id: 1,
            config,
            phone,
            log,
        };
        AgentHandle {
            status,
            stop,
            task: tokio::spawn(person.work(stopping)),
        }
    }
}

impl AgentHandle {
    /// What the agent does, and changes of that.
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.clone()
    }

    /// Logs out and leaves.
    pub async fn stop(self) {
        self.stop.send(true).ok();
        self.task.await.ok();
    }
}

struct Person {
    config: AgentConfig,
    phone: PhoneHandle,
    log: AgentLog,
    random: Stream,
    status: watch::Sender<AgentStatus>,
    desk: Desk,
    phone_up: bool,
    card: Option<Card>,
    call_began: Option<Instant>,
    break_until: Option<Instant>,
    /// When the person acts next if nothing else happens.
    due: Instant,
    next_id: u64,
}

impl Person {
    async fn work(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            match self.connect().await {
                Ok(socket) => {
                    self.said(AgentEvent::Connection {
                        up: true,
                        why: String::new(),
                    });
                    self.status.send_modify(|s| s.connected = true);
                    // A node that restarted has forgotten its phones.
                    self.phone.register_now().await;
                    let why = self.shift(socket, &mut stopping).await;
                    self.end_of_audio();
                    self.said(AgentEvent::Connection { up: false, why });
                    self.status.send_modify(|s| s.connected = false);
                }
                Err(error) => self
                    .status
                    .send_modify(|s| s.trouble = format!("{error:#}")),
            }
            let wait = Duration::from_millis(u64::from(self.between((200, 1_000))));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.changed() => {}
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<Socket> {
        let mut request = self.config.url.as_str().into_client_request()?;
        let bearer = format!("Bearer {}", self.config.token)
            .parse()
            .context("the token")?;
        request.headers_mut().insert("Authorization", bearer);
        let connecting = tokio_tungstenite::connect_async(request);
        let (socket, _) = tokio::time::timeout(Duration::from_secs(5), connecting)
            .await
            .context("no answer within 5 s")??;
        Ok(socket)
    }

    /// One connection's life; why it ended.
    async fn shift(&mut self, mut socket: Socket, stopping: &mut watch::Receiver<bool>) -> String {
        let mut last_word = Instant::now();
        let mut ping = tokio::time::interval(SILENCE / 3);
        self.due = Instant::now() + Duration::from_millis(300);
        loop {
            tokio::select! {
                frame = socket.next() => {
                    last_word = Instant::now();
                    match frame {
                        Some(Ok(tungstenite::Message::Text(text))) => {
                            self.on_notice(Notice::from_json(&text));
                        }
                        Some(Ok(tungstenite::Message::Close(_))) | None => return "closed".into(),
                        Some(Err(error)) => return error.to_string(),
                        Some(Ok(_)) => {}
                    }
                }
                _ = ping.tick() => {
                    if last_word.elapsed() > SILENCE {
                        return format!("silent for {SILENCE:?}");
                    }
                    let ping = tungstenite::Message::Ping(tungstenite::Bytes::new());
                    if let Err(error) = socket.send(ping).await {
                        return error.to_string();
                    }
                }
                () = tokio::time::sleep_until(self.due.into()) => {
                    if let Some(button) = self.act()
                        && let Err(error) = self.press(&mut socket, &button).await
                    {
                        return error;
                    }
                }
                _ = stopping.changed() => {
                    self.press(&mut socket, &Button::LogOut).await.ok();
                    socket.close(None).await.ok();
                    return "shift over".into();
                }
            }
        }
    }

    async fn press(&mut self, socket: &mut Socket, button: &Button) -> Result<(), String> {
        let text = button.to_json(self.next_id).to_string();
        self.next_id += 1;
        socket
            .send(tungstenite::Message::Text(text.into()))
            .await
            .map_err(|e| e.to_string())
    }

    /// What the person does now; sets when to look again.
    fn act(&mut self) -> Option<Button> {
        let now = Instant::now();
        self.due = now + INSIST;
        match self.desk {
            Desk::LoggedOut => self
                .phone
                .status()
                .borrow()
                .registered
                .then_some(Button::LogIn),
            Desk::Paused => match self.break_until {
                Some(until) if until > now => {
                    self.due = until;
                    None
                }
                _ => {
                    self.break_until = None;
                    // Before the leg is up, readiness would be refused.
                    self.phone_up.then_some(Button::Ready)
                }
            },
            Desk::Ready => None,
            Desk::OnCall => Some(Button::HangUp),
            Desk::WrapUp => {
                let card = self.card.clone()?;
                let disposition = self.choose(&card)?;
                Some(Button::Dispose {
                    disposition,
                    note: String::new(),
                    callback_at: None,
                })
            }
        }
    }

    fn choose(&mut self, card: &Card) -> Option<String> {
        // Insisting must not change the choice: it is drawn from the attempt.
        let mut draw = Seed::from_u64(self.config.seed).stream(&format!("choice/{}", card.attempt));
        let weight = |choice: &api::Choice| {
            let usual = if choice.do_not_call { 1 } else { 20 };
            self.config
                .weights
                .get(&choice.name)
                .copied()
                .unwrap_or(usual)
        };
        let total: u32 = card.choices.iter().map(weight).sum();
        if total == 0 {
            return card.choices.first().map(|c| c.name.clone());
        }
        let mut left = draw.below(total);
        card.choices
            .iter()
            .find(|choice| match left.checked_sub(weight(choice)) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .map(|c| c.name.clone())
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::State(desk, phone_up) => {
                self.phone_up = phone_up;
                self.enter(desk);
            }
            Notice::Snapshot(desk, phone_up, card) => {
                self.phone_up = phone_up;
                self.card = card.filter(|c| c.disposition.is_none());
                self.enter(desk);
            }
            Notice::Call(card) => {
                self.card = Some(card);
                if self.call_began.is_none() {
                    self.status.send_modify(|s| s.calls += 1);
                }
                self.call_began = Some(Instant::now());
            }
            Notice::CallEnded(_) => self.end_of_audio(),
            Notice::Disposed(attempt, disposition) => {
                self.end_of_audio();
                self.said(AgentEvent::Disposed {
                    attempt: attempt.clone(),
                    disposition,
                });
                self.status.send_modify(|s| s.disposed += 1);
                if self.card.as_ref().is_some_and(|c| c.attempt == attempt) {
                    self.card = None;
                }
                if self.random.permille(self.config.pause_permille) {
                    let length = Duration::from_millis(u64::from(self.config.pause_ms));
                    self.break_until = Some(Instant::now() + length);
                }
            }
            Notice::Reply(_, Some(why)) | Notice::Error(why) => {
                self.status.send_modify(|s| s.trouble.clone_from(&why));
                self.said(AgentEvent::Refused { why });
            }
            Notice::Reply(_, None) | Notice::Other => {}
        }
    }

    fn enter(&mut self, desk: Desk) {
        let now = Instant::now();
        let changed = std::mem::replace(&mut self.desk, desk) != desk;
        self.status.send_modify(|s| s.desk = desk);
        let millis = |n: u32| Duration::from_millis(u64::from(n));
        if !changed {
            self.due = self.due.min(now + INSIST);
            return;
        }
        self.due = now
            + match desk {
                Desk::LoggedOut => millis(200),
                Desk::Paused => millis(100),
                Desk::Ready => INSIST,
                Desk::OnCall => {
                    self.call_began.get_or_insert(now);
                    millis(self.between(self.config.talk_ms))
                }
                Desk::WrapUp => {
                    self.end_of_audio();
                    millis(self.between(self.config.wrap_up_ms))
                }
            };
    }

    fn end_of_audio(&mut self) {
        let (Some(began), Some(card)) = (self.call_began.take(), &self.card) else {
            return;
        };
        let now = Instant::now();
        // Agents' own tones (even multiples) would be an echo, and are shown as such.
        let heard = self.phone.heard_between(began, now);
        if heard.iter().any(|hertz| hertz % 50 != 0) {
            self.status.send_modify(|s| s.heard += 1);
        }
        let attempt = card.attempt.clone();
        let talk_ms = (now - began).as_millis() as u64;
        self.said(AgentEvent::Heard {
            attempt,
            heard,
            talk_ms,
        });
    }

    fn between(&mut self, (least, most): (u32, u32)) -> u32 {
        least + self.random.below(most.saturating_sub(least) + 1)
    }

    fn said(&self, event: AgentEvent) {
        self.log.write(&self.config.login, event);
    }
}

#[cfg(test)]
mod tests;
