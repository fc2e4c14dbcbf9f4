//! The engine's thread: one queue in, sockets, relay, journal and tasks out.

mod overflow;

use crate::{
    Kept,
    event::{Event, Events},
    journal::{Owed, Telling},
    observe::{self, SipMeter},
    overflow::Errand,
};
use bytes::Bytes;
use call::{AgentError, AgentNotice, CommandError, PersistToken, RequestId};
use domain::{
    AgentId, CampaignId, Chances, ClockVerdict, DncEntry, Instant, MemberId, Now, PhoneNumber,
    RegionId, SessionId, Trunk, TrunkAddress, TrunkId, TrunkTarget,
};
use engine::{DirectoryChange, Engine, Entry, Input, Output, Side};
use media::{BrowserCommand, BrowserId};
use media_io::{Arrival, BeginError, RelayHandle};
use permit::EscrowQuestion;
use service::{clock, health::Pulse};
use sip_transport::{SipSockets, Tls, TransportEvent};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// What the engine asks of the async side.
#[derive(Debug)]
pub(crate) enum Wish {
    KeepAlive {
        region: RegionId,
        session: SessionId,
        sent_at: Instant,
    },
    AskFresh {
        sent_at: Instant,
        applied: u64,
    },
    Claim {
        region: RegionId,
        session: SessionId,
        campaign: CampaignId,
        n: u32,
        chances: Option<Box<Chances>>,
    },
    Applied(u64),
    WhoCalls {
        ask: u64,
        number: Option<PhoneNumber>,
        called: PhoneNumber,
    },
    AskEscrow(EscrowQuestion),
}

/// Everything the thread holds.
pub(crate) struct Shell {
    pub(crate) engine: Engine,
    pub(crate) trunks: SipSockets,
    /// Of both; told by which names carriers are known.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) agents: SipSockets,
    pub(crate) relay: RelayHandle,
    pub(crate) kept: Kept,
    pub(crate) events: Events,
    pub(crate) wishes: mpsc::Sender<Wish>,
    pub(crate) member: member::Member,
    pub(crate) node: MemberId,
    /// Where the names of trunks lead.
    pub(crate) located: BTreeMap<TrunkId, Vec<TrunkTarget>>,
    /// Where agents' phones are, by login.
    pub(crate) phone_hosts: BTreeMap<String, IpAddr>,
    pub(crate) pulse: Pulse,
    /// What is asked of other nodes.
    pub(crate) errands: mpsc::Sender<Errand>,
}

/// The longest sleep: the pulse must beat.
const IDLE: Duration = Duration::from_millis(500);
/// Events taken before timers are looked at again.
const BURST: usize = 256;
/// While rounds follow one another closely the thread rests so long after each: more events a wake, and
/// nobody who brings one has to wake it. So much later a message may be taken.
const GATHER: Duration = Duration::from_millis(1);

struct Running {
    shell: Shell,
    screens: BTreeMap<AgentId, Vec<mpsc::Sender<AgentNotice>>>,
    replies: BTreeMap<u64, oneshot::Sender<Result<(), CommandError>>>,
    /// Other nodes that wait for whether a word was taken.
    words: BTreeMap<u64, oneshot::Sender<bool>>,
    requests: u64,
    /// Browsers' sessions begun.
    browsers: u64,
    drained: Option<oneshot::Sender<()>>,
    settled: Option<oneshot::Sender<()>>,
    /// Opt-outs of an earlier run that the directory may not have yet: they bind this engine.
    opt_outs: Vec<DncEntry>,
    sip_meter: SipMeter,
    /// Whether the engine was told that the calendar cannot be trusted.
    clock_doubted: bool,
    /// Of rounds before, for their room: outputs, and lines of the audit chain.
    outputs: Vec<Output>,
    lines: Vec<Bytes>,
}

/// Runs until told to stop.
pub(crate) fn run(shell: Shell, queue: &Receiver<Event>) {
    let mut running = Running {
        shell,
        screens: BTreeMap::new(),
        replies: BTreeMap::new(),
        words: BTreeMap::new(),
        requests: 0,
        browsers: 0,
        drained: None,
        settled: None,
        opt_outs: Vec::new(),
        sip_meter: SipMeter::default(),
        clock_doubted: false,
        outputs: Vec::new(),
        lines: Vec::new(),
    };
    let mut woke = std::time::Instant::now();
    loop {
        running.shell.pulse.beat();
        let wait = match running.shell.engine.poll_timeout() {
            Some((at, _)) => clock::until(at).min(IDLE),
            None => IDLE,
        };
        let mut next = match queue.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let last = std::mem::replace(&mut woke, std::time::Instant::now());
        for _ in 0..BURST {
            let Some(event) = next.take() else { break };
            if matches!(event, Event::Stop) {
                return;
            }
            running.take(event);
            next = queue.try_recv().ok();
        }
        let more = next.is_some();
        if let Some(event) = next {
            running.take(event);
        }
        if running
            .shell
            .events
            .directory_missed
            .swap(false, Ordering::AcqRel)
        {
            running.read_directory();
        }
        let now = running.now();
        if running
            .shell
            .engine
            .poll_timeout()
            .is_some_and(|(at, _)| at <= now.monotonic)
        {
            running.shell.engine.handle_timeout(now);
            running.drain();
        }
        if running.shell.engine.live() == 0
            && let Some(drained) = running.drained.take()
        {
            // Nobody waits any more when the deadline came first.
            let _gone = drained.send(()).is_err();
        }
        if running.settled.is_some() && running.shell.engine.shares_settled() {
            let settled = running.settled.take();
            // Nobody waits any more when the deadline came first.
            let _gone = settled.is_some_and(|settled| settled.send(()).is_err());
        }
        running.shell.relay.flush();
        if !more && woke.duration_since(last) < 2 * GATHER {
            std::thread::sleep(GATHER);
        }
    }
}

impl Running {
    /// Both clocks. The engine hears first where the calendar cannot be trusted: the members disagree,
    /// or none of them was heard since this process began.
    fn now(&mut self) -> Now {
        let (now, verdict) = clock::judged();
        let doubted = verdict.is_disputed() || verdict == ClockVerdict::Alone;
        if std::mem::replace(&mut self.clock_doubted, doubted) != doubted {
            self.input(now, Input::ClockDisputed(doubted));
        }
        now
    }

    fn take(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Sip { side, event } => self.sip(now, side, event),
            Event::Media(event) => self.input(now, Input::Media(event)),
            Event::Browser(event) => self.input(now, Input::Browser(event)),
            Event::AudioOffer {
                agent,
                arrival,
                reply,
            } => {
                let taken = self.begin_audio(now, agent, *arrival);
                // A page that went away needs no answer; its session ends by its own limit.
                drop(reply.send(taken));
            }
            Event::AudioClose(agent) => self.input(now, Input::BrowserClosed(agent)),
            Event::Located {
                trunk,
                name,
                targets,
            } => {
                self.shell.located.insert(trunk, targets.clone());
                self.name_carriers();
                let located = Input::TrunkLocated {
                    trunk,
                    name,
                    targets,
                };
                self.input(now, located);
                self.let_carriers_in();
            }
            Event::Directory { index, changes } => {
                let about_trunks = |change: &DirectoryChange| {
                    matches!(
                        change,
                        DirectoryChange::Trunk(_)
                            | DirectoryChange::TrunkRemoved(_)
                            | DirectoryChange::Reset(_)
                    )
                };
                let about_trunks = changes.iter().any(about_trunks);
                if about_trunks {
                    self.name_carriers();
                }
                self.input(now, Input::Directory { index, changes });
                if about_trunks {
                    self.let_carriers_in();
                }
                self.bind_opt_outs(now);
            }
            Event::Fresh { sent_at, index } => {
                self.input(
                    now,
                    Input::Directory {
                        index,
                        changes: Vec::new(),
                    },
                );
                self.input(now, Input::Fresh { sent_at, index });
            }
            Event::SessionOpened {
                region,
                session,
                ttl,
            } => {
                self.input(
                    now,
                    Input::SessionOpened {
                        region,
                        session,
                        ttl,
                    },
                );
            }
            Event::SessionConfirmed {
                region,
                session,
                sent_at,
            } => {
                self.input(
                    now,
                    Input::SessionConfirmed {
                        region,
                        session,
                        sent_at,
                    },
                );
            }
            Event::SessionEnded { region, session } => {
                self.input(now, Input::SessionEnded { region, session });
            }
            Event::Claimed {
                region,
                campaign,
                leads,
                rest,
            } => {
                self.input(
                    now,
                    Input::Claimed {
                        region,
                        campaign,
                        leads,
                        rest,
                    },
                );
            }
            Event::Command {
                agent,
                command,
                reply,
            } => {
                self.requests += 1;
                self.replies.insert(self.requests, reply);
                let request = RequestId(self.requests);
                self.input(
                    now,
                    Input::Agent {
                        agent,
                        request,
                        command,
                    },
                );
            }
            Event::Attach { agent, notices } => {
                self.screens.entry(agent).or_default().push(notices);
                self.input(now, Input::ScreenAttached(agent));
            }
            Event::Detach(agent) => self.detach(now, agent),
            Event::Persisted { index, token, owed } => {
                if let Some(mut owed) = owed {
                    owed.index = index;
                    self.shell.kept.outbox.push(*owed);
                }
                if let Some(token) = token {
                    self.input(now, Input::Persisted(token));
                }
            }
            Event::EscrowAnswered { sequence, grants } => {
                self.input(now, Input::EscrowAnswered { sequence, grants });
            }
            Event::SharesSettled(settled) => self.settled = Some(settled),
            Event::Backlog(waiting) => self.input(now, Input::Backlog(waiting)),
            Event::Status(reply) => {
                // Nobody waits any more: fine.
                drop(reply.send(self.shell.engine.status(now)));
                self.sip_meter.tell(self.shell.engine.sip_counters());
            }
            Event::Floor(reply) => drop(reply.send(self.shell.engine.live_floor())),
            Event::Supervise { order, reply } => {
                let taken = self.shell.engine.handle(now, Input::Supervise(order));
                self.drain();
                let result = match taken {
                    Err(engine::Rejected::Supervision(refusal)) => Err(refusal),
                    _ => Ok(()),
                };
                // Nobody waits any more: fine.
                let _gone = reply.send(result).is_err();
            }
            Event::Overflow(event) => self.overflow_event(now, event),
            Event::Helped(regions) => self.input(now, Input::Helped(regions)),
            Event::Drain(drained) => {
                self.drained = Some(drained);
                self.input(now, Input::Drain);
            }
            Event::OptOuts(entries) => {
                self.opt_outs = entries;
                self.bind_opt_outs(now);
            }
            Event::OptOutsTaken { entries, index } => {
                self.input(now, Input::OptOutsTaken { entries, index });
            }
            Event::DncBaseHere(base) => self.input(now, Input::DncBaseHere(base)),
            Event::DncBaseGone(id) => self.input(now, Input::DncBaseGone(id)),
            Event::Shown(times) => self.input(now, Input::Shown(times)),
            Event::Recorded(attempt, recording) => {
                self.input(now, Input::Recorded(attempt, recording));
            }
            Event::Phones(phones) => {
                let hosts = phones.iter().map(|p| (p.login.clone(), p.flow.remote.ip()));
                self.shell.phone_hosts.extend(hosts);
                self.let_phones_in();
                self.input(now, Input::Phones(phones));
            }
            Event::Called(persons) => self.input(now, Input::Called(persons)),
            Event::CallerTold { ask, told } => self.input(now, Input::CallerTold { ask, told }),
            Event::Learned(learned) => self.input(now, Input::Learned(learned)),
            Event::TellLearned { campaign, reply } => {
                // Nobody waits any more: fine.
                drop(reply.send(self.shell.engine.learned(campaign)));
            }
            Event::TellStandings(reply) => {
                drop(reply.send(self.shell.engine.standings(now)));
                self.drain();
            }
            Event::Stop => {}
        }
    }

    fn sip(&mut self, now: Now, side: Side, event: TransportEvent) {
        match event {
            TransportEvent::Received { flow, bytes } => {
                self.input(
                    now,
                    Input::Sip {
                        side,
                        flow,
                        bytes: &bytes,
                    },
                );
            }
            TransportEvent::Closed { flow } => {
                self.input(
                    now,
                    Input::SipFlowLost {
                        side,
                        flow,
                        closed: true,
                    },
                );
            }
            TransportEvent::SendFailed { flow } => {
                self.input(
                    now,
                    Input::SipFlowLost {
                        side,
                        flow,
                        closed: false,
                    },
                );
            }
            TransportEvent::Unsent { flow, bytes } => {
                self.input(
                    now,
                    Input::SipUnsent {
                        side,
                        flow,
                        bytes: &bytes,
                        congested: false,
                    },
                );
            }
        }
    }

    fn input(&mut self, now: Now, input: Input<'_>) {
        if let Err(refused) = self.shell.engine.handle(now, input) {
            tracing::debug!(%refused, "the engine did not take an input");
        }
        self.drain();
    }

    /// Gives an agent's session to the relay and tells the engine, in this order: what the engine then
    /// says of it finds it there.
    fn begin_audio(
        &mut self,
        now: Now,
        agent: AgentId,
        arrival: Arrival,
    ) -> Result<(), CommandError> {
        self.browsers += 1;
        let browser = BrowserId(self.browsers);
        (self.shell.relay.begin_browser(browser, arrival)).map_err(|error| {
            tracing::warn!(%agent, %error, "a browser's audio was not taken");
            match error {
                BeginError::Full => AgentError::AudioFull.plain(),
                BeginError::Send(_) => AgentError::Slow.plain(),
            }
        })?;
        let offered = Input::BrowserOffered { agent, browser };
        let taken = self.shell.engine.handle(now, offered);
        self.drain();
        taken.map_err(|refused| {
            tracing::debug!(%refused, "the engine did not take an input");
            self.command_browser(BrowserCommand::End { browser });
            AgentError::UnknownAgent.plain()
        })
    }

    fn command_browser(&self, command: BrowserCommand) {
        if let Err(error) = self.shell.relay.send_browser(command) {
            tracing::error!(%error, ?command, "the relay did not take a command");
            metrics::counter!("dialmesh_relay_commands_lost_total").increment(1);
        }
    }

    fn detach(&mut self, now: Now, agent: AgentId) {
        let Some(open) = self.screens.get_mut(&agent) else {
            return;
        };
        open.retain(|screen| !screen.is_closed());
        if open.is_empty() {
            self.screens.remove(&agent);
            self.input(now, Input::ScreenGone(agent));
        }
    }

    /// The queue was full when the directory spoke: everything is read anew.
    fn read_directory(&mut self) {
        self.name_carriers();
        let facts = self.shell.member.directory().read(ledger::Directory::facts);
        let changes = vec![crate::directory::reset(&facts)];
        self.input(
            clock::now(),
            Input::Directory {
                index: facts.index,
                changes,
            },
        );
        self.let_carriers_in();
        self.bind_opt_outs(clock::now());
    }

    /// Whom the trunks' sockets hear from here on.
    fn let_carriers_in(&self) {
        let sources = self.shell.engine.trunk_sources();
        self.shell.trunks.set_guests(sources);
    }

    /// Where phones are that the agents' sockets hear without counting.
    fn let_phones_in(&self) {
        let hosts = self.shell.phone_hosts.values().copied();
        self.shell.agents.set_guests(hosts);
    }

    /// By which names the certificates of carriers are judged that speak TLS: their trunks' domains, or
    /// the names that they were looked up by (RFC 5922 section 7).
    fn name_carriers(&mut self) {
        let node = self.shell.node;
        let located = &mut self.shell.located;
        let names = self.shell.member.directory().read(|directory| {
            located.retain(|id, _| directory.trunk(*id).is_some());
            let own = directory.trunks().filter(|trunk| trunk.node == node);
            own.flat_map(|trunk| known_by(trunk, located.get(&trunk.id)))
                .collect::<Vec<_>>()
        });
        if let Some(tls) = &self.shell.tls {
            tls.set_names(names);
        }
    }

    fn bind_opt_outs(&mut self, now: Now) {
        for entry in std::mem::take(&mut self.opt_outs) {
            self.input(now, Input::OptOut(entry));
        }
    }

    /// Does what the engine wishes. Notes of the whole round are in the page cache before the first
    /// datagram of it leaves.
    fn drain(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut lines = std::mem::take(&mut self.lines);
        let mut notes = Vec::new();
        while let Some(output) = self.shell.engine.poll_output() {
            match output {
                Output::Audit(line) => lines.push(line),
                Output::Note(entry) => notes.push(entry),
                output => outputs.push(output),
            }
        }
        if let Err(error) = self.shell.kept.audit.write(&lines) {
            tracing::error!(
                error = format!("{error:#}"),
                "why an attempt is permitted cannot be written; the process stops"
            );
            std::process::abort();
        }
        if !notes.is_empty()
            && let Err(error) = self.shell.kept.attempts.note(notes)
        {
            tracing::error!(%error, "an attempt cannot be noted; the process stops");
            std::process::abort();
        }
        for output in outputs.drain(..) {
            self.output(output);
        }
        lines.clear();
        (self.outputs, self.lines) = (outputs, lines);
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Note(_) | Output::Audit(_) => unreachable!("they were written before"),
            Output::Persist { token, entry } => self.persist(token, entry),
            Output::Transmit {
                side,
                flow,
                bytes,
                invite,
            } => {
                let sockets = match side {
                    Side::Trunks => &self.shell.trunks,
                    Side::Agents => &self.shell.agents,
                };
                let sent = sockets.send(flow, &bytes);
                if let Some(attempt) = invite {
                    // The clock once more, after the datagram left (mesh protocol, section 3.7).
                    let now = clock::now();
                    self.handle_quietly(now, Input::Sent(attempt));
                }
                if let Err(error) = sent {
                    self.unsent(side, flow, &bytes, &error);
                }
            }
            Output::Media(command) => {
                if let Err(error) = self.shell.relay.send_later(command) {
                    tracing::error!(%error, ?command, "the relay did not take a command");
                    metrics::counter!("dialmesh_relay_commands_lost_total").increment(1);
                }
            }
            Output::Browser(command) => self.command_browser(command),
            output @ (Output::Carry(_)
            | Output::Offer { .. }
            | Output::Say { .. }
            | Output::WordTaken { .. }) => self.overflow_output(output),
            Output::Record(order) => self.shell.kept.recordings.order(&order),
            Output::KeepAlive {
                region,
                session,
                sent_at,
            } => {
                self.wish(Wish::KeepAlive {
                    region,
                    session,
                    sent_at,
                });
            }
            Output::AskFresh { sent_at, applied } => self.wish(Wish::AskFresh { sent_at, applied }),
            Output::AskEscrow(question) => self.wish(Wish::AskEscrow(question)),
            Output::Claim {
                region,
                session,
                campaign,
                n,
                chances,
            } => {
                self.wish(Wish::Claim {
                    region,
                    session,
                    campaign,
                    n,
                    chances,
                });
            }
            Output::Notice { agent, notice } => self.notice(agent, &notice),
            Output::Reply { request, result } => {
                if let Some(reply) = self.replies.remove(&request.0) {
                    // A screen that went away needs no answer.
                    drop(reply.send(result));
                }
            }
            Output::Phone { login, phone } => {
                let hosts = &mut self.shell.phone_hosts;
                let changed = match &phone {
                    Some(phone) => {
                        let ip = phone.flow.remote.ip();
                        hosts.insert(login.clone(), ip) != Some(ip)
                    }
                    None => hosts.remove(&login).is_some(),
                };
                if changed {
                    self.let_phones_in();
                }
                self.shell.kept.phones.tell(login, phone);
            }
            Output::Learned { of, bytes } => {
                (self.shell.kept.learned).tell(clock::wall(), of, bytes);
            }
            Output::Called { person, gone } => self.shell.kept.called.tell(person, gone),
            Output::WhoCalls {
                ask,
                number,
                called,
            } => self.wish(Wish::WhoCalls {
                ask,
                number,
                called,
            }),
            Output::Applied(index) => self.wish(Wish::Applied(index)),
            Output::Observed(observed) => observe::observed(&observed),
        }
    }

    /// An input from within the draining of outputs; its own outputs follow in their turn.
    fn handle_quietly(&mut self, now: Now, input: Input<'_>) {
        if let Err(refused) = self.shell.engine.handle(now, input) {
            tracing::debug!(%refused, "the engine did not take an input");
        }
        self.drain();
    }

    fn persist(&mut self, token: Option<PersistToken>, entry: Entry) {
        if let Entry::Closed {
            record: Some(record),
            ..
        }
        | Entry::CalledBack(record) = &entry
        {
            observe::quality(record);
        }
        let owed = match &entry {
            Entry::Closed {
                session,
                outcome,
                record,
            } => Some(Box::new(Owed {
                index: 0,
                outcome: Some((Telling::Report(*session), *outcome)),
                record: record.clone(),
                opt_out: None,
            })),
            Entry::CalledBack(record) => Some(Box::new(Owed {
                index: 0,
                outcome: None,
                record: Some(record.clone()),
                opt_out: None,
            })),
            Entry::OptOut(entry) => Some(Box::new(Owed {
                index: 0,
                outcome: None,
                record: None,
                opt_out: Some(*entry),
            })),
            Entry::Leased(_) | Entry::Dialing(_) | Entry::Disposed(_) | Entry::Abandoned { .. } => {
                None
            }
        };
        let events = self.shell.events.clone();
        let kept = self.shell.kept.attempts.persist(entry, move |index| {
            events.put_blocking(Event::Persisted { index, token, owed });
        });
        if let Err(error) = kept {
            tracing::error!(%error, node = %self.shell.node, "an attempt's end cannot be kept; the process stops");
            std::process::abort();
        }
    }

    fn unsent(&mut self, side: Side, flow: sip::Flow, bytes: &[u8], error: &io::Error) {
        tracing::debug!(%flow, %error, "a SIP message was not sent");
        let congested = error.kind() == io::ErrorKind::WouldBlock;
        self.handle_quietly(
            clock::now(),
            Input::SipUnsent {
                side,
                flow,
                bytes,
                congested,
            },
        );
    }

    fn notice(&mut self, agent: AgentId, notice: &AgentNotice) {
        let Some(open) = self.screens.get_mut(&agent) else {
            return;
        };
        // A screen that does not keep up is closed; it attaches again and gets everything.
        open.retain(|screen| screen.try_send(notice.clone()).is_ok());
        if open.is_empty() {
            self.shell.events.offer(Event::Detach(agent));
        }
    }

    fn wish(&self, wish: Wish) {
        // Full only when the async side is stuck. What is lost is asked again by its own timer.
        if self.shell.wishes.try_send(wish).is_err() {
            metrics::counter!("dialmesh_engine_wishes_lost_total").increment(1);
        }
    }
}

/// A trunk's addresses, each with the name that its certificate must bear, where it is one.
fn known_by(trunk: &Trunk, located: Option<&Vec<TrunkTarget>>) -> Vec<(SocketAddr, String)> {
    let (addresses, host) = match trunk.address.parse() {
        Ok(TrunkAddress::At(address)) => (vec![address], String::new()),
        Ok(TrunkAddress::Named { host, .. }) => {
            let addresses = located.into_iter().flatten().map(|t| t.address);
            (addresses.collect(), host)
        }
        Err(_) => (Vec::new(), String::new()),
    };
    let name = match trunk.domain.is_empty() {
        true => host,
        false => trunk.domain.clone(),
    };
    let named = addresses.into_iter().filter(|_| !name.is_empty());
    named.map(|address| (address, name.clone())).collect()
}
