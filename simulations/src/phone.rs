//! A desk phone: registers with its node, answers the shift's INVITE by itself, speaks its owner's
//! tone for as long as the leg lives, and remembers which tones it heard when. UDP only.

use crate::{
    audio::{
        Law, Sound,
        rtp::{Hearing, RtpStream, RtpThread},
        tone_hertz,
    },
    wire::{Message, address_of, digest, list, response_target, sdp::Sdp, uri_of},
};
use anyhow::Context as _;
use sansio::{Seed, Stream};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const LIFETIME: Duration = Duration::from_secs(32);
/// A registrar that says nothing for so long is asked anew: a node restarts within seconds.
const REGISTER_PATIENCE: Duration = Duration::from_secs(4);
const RETRY: Duration = Duration::from_secs(1);

/// Whose phone, and where it registers.
#[derive(Clone, Debug)]
pub struct PhoneConfig {
    /// SIP user name, and what the tone follows from.
    pub login: String,
    /// Digest password.
    pub password: String,
    /// The node's SIP address for agents' phones.
    pub registrar: SocketAddr,
    /// Address of our own for SIP and RTP.
    pub local_ip: IpAddr,
    /// How long a registration is asked to last.
    pub expires: Duration,
}

impl PhoneConfig {
    /// A phone on loopback with a registration of 60 s.
    pub fn new(login: &str, password: &str, registrar: SocketAddr) -> Self {
        Self {
            login: login.to_owned(),
            password: password.to_owned(),
            registrar,
            local_ip: registrar.ip(),
            expires: Duration::from_secs(60),
        }
    }
}

/// What a phone is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneStatus {
    /// The registrar knows us.
    pub registered: bool,
    /// The shift's leg is up.
    pub in_leg: bool,
    /// Legs answered so far.
    pub legs: u32,
    /// The last refusal of a registration.
    pub refused: Option<u16>,
}

enum Order {
    Register,
    HangUp,
    Stop(oneshot::Sender<()>),
}

/// Starts phones.
#[derive(Debug)]
pub struct Phone;

/// A running phone. Dropping it switches it off without a word to the registrar.
#[derive(Clone, Debug)]
pub struct PhoneHandle {
    addr: SocketAddr,
    tone: u32,
    status: watch::Receiver<PhoneStatus>,
    hearing: Arc<Mutex<Hearing>>,
    orders: mpsc::Sender<Order>,
}

impl Phone {
    /// Binds a port and begins to register. Phones of one process share one RTP thread.
    pub async fn start(config: PhoneConfig, rtp: RtpThread) -> anyhow::Result<PhoneHandle> {
        let socket = UdpSocket::bind((config.local_ip, 0))
            .await
            .with_context(|| format!("binding a phone on {}", config.local_ip))?;
        let addr = socket.local_addr()?;
        let (status_out, status) = watch::channel(PhoneStatus::default());
        let (orders, inbox) = mpsc::channel(8);
        let hearing = Arc::<Mutex<Hearing>>::default();
        let tone = tone_hertz(&config.login);
        let desk = Desk {
            random: Seed::from_u64(u64::from(addr.port())).stream(&config.login),
            registration: Registration::default(),
            leg: None,
            pending: Vec::new(),
            hearing: Arc::clone(&hearing),
            status: status_out,
            tone,
            addr,
            config,
            rtp,
            out: Vec::new(),
        };
        tokio::spawn(desk.run(socket, inbox));
        Ok(PhoneHandle {
            addr,
            tone,
            status,
            hearing,
            orders,
        })
    }
}

impl PhoneHandle {
    /// The phone's SIP address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The tone it speaks, in hertz.
    pub fn tone(&self) -> u32 {
        self.tone
    }

    /// What it is doing, and changes of that.
    pub fn status(&self) -> watch::Receiver<PhoneStatus> {
        self.status.clone()
    }

    /// Tones heard in two windows or more between two moments.
    pub fn heard_between(&self, from: Instant, to: Instant) -> Vec<u32> {
        self.hearing
            .lock()
            .unwrap_or_else(|p| p.into_inner())
            .between(from, to)
    }

    /// Registers at once, without waiting for the half of the lifetime.
    pub async fn register_now(&self) {
        self.orders.send(Order::Register).await.ok();
    }

    /// Ends the leg with a BYE, as when a handset is put down.
    pub async fn hang_up(&self) {
        self.orders.send(Order::HangUp).await.ok();
    }

    /// Hangs up, unregisters, lets the port go.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            wait.await.ok();
        }
    }
}

#[derive(Debug)]
struct Registration {
    call_id: String,
    cseq: u32,
    challenge: Option<digest::Params>,
    uses: u32,
    answered_challenge: bool,
    expires: Duration,
    next: Instant,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            call_id: String::new(),
            cseq: 0,
            challenge: None,
            uses: 0,
            answered_challenge: false,
            expires: Duration::ZERO,
            next: Instant::now(),
        }
    }
}

/// A request of ours that waits for its final response.
#[derive(Debug)]
struct Pending {
    branch: String,
    register: bool,
    bytes: Vec<u8>,
    peer: SocketAddr,
    interval: Duration,
    next: Instant,
    until: Instant,
}

/// The shift's leg.
#[derive(Debug)]
struct Leg {
    invite: Message,
    peer: SocketAddr,
    local_tag: String,
    response: Vec<u8>,
    acked: bool,
    interval: Duration,
    next: Instant,
    until: Instant,
    law: Law,
    stream: RtpStream,
    reinvite: Option<(u32, Vec<u8>)>,
}

#[derive(Debug)]
struct Desk {
    config: PhoneConfig,
    addr: SocketAddr,
    tone: u32,
    rtp: RtpThread,
    random: Stream,
    registration: Registration,
    leg: Option<Leg>,
    pending: Vec<Pending>,
    hearing: Arc<Mutex<Hearing>>,
    status: watch::Sender<PhoneStatus>,
    out: Vec<(SocketAddr, Vec<u8>)>,
}

impl Desk {
    async fn run(mut self, socket: UdpSocket, mut orders: mpsc::Receiver<Order>) {
        self.registration.expires = self.config.expires;
        self.registration.call_id = format!("{}@{}", self.random.token(16), self.addr.ip());
        let mut datagram = vec![0; 65_536];
        loop {
            for (peer, bytes) in std::mem::take(&mut self.out) {
                socket.send_to(&bytes, peer).await.ok();
            }
            let wake = self.next_wake();
            tokio::select! {
                got = socket.recv_from(&mut datagram) => {
                    if let Ok((len, from)) = got {
                        self.on_datagram(Instant::now(), from, &datagram[..len]);
                    }
                }
                order = orders.recv() => match order {
                    Some(Order::Register) => {
                        self.pending.retain(|p| !p.register);
                        self.registration.next = Instant::now();
                    }
                    Some(Order::HangUp) => self.hang_up(Instant::now()),
                    stop => {
                        let now = Instant::now();
                        self.hang_up(now);
                        self.register(now, Duration::ZERO);
                        for (peer, bytes) in std::mem::take(&mut self.out) {
                            socket.send_to(&bytes, peer).await.ok();
                        }
                        self.say_goodbye(&socket, &mut datagram).await;
                        if let Some(Order::Stop(done)) = stop {
                            done.send(()).ok();
                        }
                        return;
                    }
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.on_time(Instant::now());
        }
    }

    /// Waits a moment for the answers to BYE and unregistration, challenges included.
    async fn say_goodbye(&mut self, socket: &UdpSocket, datagram: &mut [u8]) {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(400);
        while !self.pending.is_empty() {
            let got = tokio::time::timeout_at(deadline, socket.recv_from(datagram)).await;
            let Ok(Ok((len, from))) = got else { return };
            self.on_datagram(Instant::now(), from, &datagram[..len]);
            for (peer, bytes) in std::mem::take(&mut self.out) {
                socket.send_to(&bytes, peer).await.ok();
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = self.registration.next;
        for pending in &self.pending {
            wake = wake.min(pending.next).min(pending.until);
        }
        if let Some(leg) = self.leg.as_ref().filter(|leg| !leg.acked) {
            wake = wake.min(leg.next);
        }
        wake
    }

    fn on_time(&mut self, now: Instant) {
        if now >= self.registration.next {
            self.register(now, self.registration.expires);
        }
        let mut given_up = false;
        for pending in &mut self.pending {
            if now >= pending.until {
                given_up |= pending.register;
            } else if now >= pending.next {
                pending.interval = (pending.interval * 2).min(T2);
                pending.next = now + pending.interval;
                self.out.push((pending.peer, pending.bytes.clone()));
            }
        }
        self.pending.retain(|p| now < p.until);
        if given_up {
            self.lose_registration(now, None);
        }
        let mut lost = false;
        if let Some(leg) = self
            .leg
            .as_mut()
            .filter(|leg| !leg.acked && now >= leg.next)
        {
            leg.interval = (leg.interval * 2).min(T2);
            leg.next = now + leg.interval;
            self.out.push((leg.peer, leg.response.clone()));
            lost = now >= leg.until;
        }
        if lost {
            self.hang_up(now);
        }
    }

    fn lose_registration(&mut self, now: Instant, status: Option<u16>) {
        self.status.send_modify(|s| {
            s.registered = false;
            s.refused = status;
        });
        self.registration.challenge = None;
        self.registration.next = now + RETRY;
    }

    fn register(&mut self, now: Instant, expires: Duration) {
        let registrar = self.config.registrar;
        let uri = format!("sip:{registrar}");
        let me = format!("<sip:{}@{registrar}>", self.config.login);
        let (branch, tag) = (self.random.token(16), self.random.token(8));
        let reg = &mut self.registration;
        reg.cseq += 1;
        // The answer sets the true time; this is for an answer that never comes.
        reg.next = now + LIFETIME;
        let mut request = Message::request("REGISTER", &uri)
            .with(
                "Via",
                format!("SIP/2.0/UDP {};branch=z9hG4bK{branch};rport", self.addr),
            )
            .with("Max-Forwards", "70")
            .with("From", format!("{me};tag={tag}"))
            .with("To", me)
            .with("Call-ID", reg.call_id.clone())
            .with("CSeq", format!("{} REGISTER", reg.cseq))
            .with(
                "Contact",
                format!("<sip:{}@{}>", self.config.login, self.addr),
            )
            .with("Expires", expires.as_secs().to_string());
        if let Some(challenge) = &reg.challenge {
            reg.uses += 1;
            let answer = digest::Answer {
                username: &self.config.login,
                password: &self.config.password,
                method: "REGISTER",
                uri: &uri,
                cnonce: &self.random.token(12),
                count: reg.uses,
            };
            if let Some(text) = answer.to(challenge) {
                request.add("Authorization", text);
            }
        }
        self.ask(now, request, branch, registrar, true);
    }

    fn ask(
        &mut self,
        now: Instant,
        request: Message,
        branch: String,
        peer: SocketAddr,
        register: bool,
    ) {
        let bytes = request.to_bytes();
        self.out.push((peer, bytes.clone()));
        self.pending.push(Pending {
            branch: format!("z9hG4bK{branch}"),
            register,
            bytes,
            peer,
            interval: T1,
            next: now + T1,
            until: now
                + if register {
                    REGISTER_PATIENCE
                } else {
                    LIFETIME
                },
        });
    }

    fn on_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        // Only the node is listened to.
        if from.ip() != self.config.registrar.ip() {
            return;
        }
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        if message.status().is_some() {
            self.on_response(now, &message);
            return;
        }
        let peer = response_target(&message, from);
        match message.method().unwrap_or_default() {
            "INVITE" => self.on_invite(now, peer, message),
            "ACK" => {
                if let Some(leg) = self
                    .leg_of(&message)
                    .filter(|l| l.invite.cseq().0 == message.cseq().0)
                {
                    leg.acked = true;
                    // An offer in our 200 is answered here.
                    if leg.invite.sdp().is_none()
                        && let Some(sdp) = message.sdp()
                    {
                        leg.law = sdp.laws.first().copied().unwrap_or(leg.law);
                        leg.stream.set_peer(sdp.audio, leg.law);
                    }
                }
            }
            "BYE" => {
                let known = self.leg_of(&message).is_some();
                self.reply(peer, &message, if known { 200 } else { 481 });
                if known && let Some(leg) = self.end_leg() {
                    leg.stream.close(drop);
                }
            }
            // We answer at once, so a CANCEL is always too late (RFC 3261 section 9.2).
            "CANCEL" => {
                let known = self
                    .leg
                    .as_ref()
                    .is_some_and(|l| l.invite.branch() == message.branch());
                self.reply(peer, &message, if known { 200 } else { 481 });
            }
            "OPTIONS" | "INFO" | "NOTIFY" | "UPDATE" | "MESSAGE" => self.reply(peer, &message, 200),
            _ => self.reply(peer, &message, 405),
        }
    }

    fn leg_of(&mut self, message: &Message) -> Option<&mut Leg> {
        self.leg.as_mut().filter(|leg| {
            leg.invite.call_id() == message.call_id()
                && leg.invite.from_tag() == message.from_tag()
                && leg.local_tag == message.to_tag()
        })
    }

    fn reply(&mut self, peer: SocketAddr, request: &Message, status: u16) {
        let tag = self
            .leg
            .as_ref()
            .map_or_else(|| "desk".to_owned(), |l| l.local_tag.clone());
        self.out.push((
            peer,
            Message::response(request, status, &tag, peer).to_bytes(),
        ));
    }

    fn on_invite(&mut self, now: Instant, peer: SocketAddr, invite: Message) {
        let same_call = self.leg.as_ref().is_some_and(|l| {
            l.invite.call_id() == invite.call_id() && l.invite.from_tag() == invite.from_tag()
        });
        if same_call && invite.to_tag().is_empty() {
            if let Some(leg) = self.leg.as_ref().filter(|leg| !leg.acked) {
                self.out.push((leg.peer, leg.response.clone()));
            }
            return;
        }
        if same_call {
            self.on_reinvite(peer, &invite);
            return;
        }
        if !invite.to_tag().is_empty() {
            self.reply(peer, &invite, 481);
            return;
        }
        // The node calls anew: it forgot the old leg, so we let it go too.
        self.hang_up(now);
        let offer = invite.sdp();
        let law = offer
            .as_ref()
            .and_then(|o| o.laws.first().copied())
            .unwrap_or(Law::A);
        let opened = self.rtp.open_into(
            self.config.local_ip,
            offer.as_ref().map(|o| (o.audio, law)),
            vec![(Sound::Tone(self.tone), 0)],
            Arc::clone(&self.hearing),
        );
        let Ok(stream) = opened else {
            self.reply(peer, &invite, 500);
            return;
        };
        let Some(sdp) = describe(offer.as_ref(), stream.local(), 1) else {
            stream.close(drop);
            self.reply(peer, &invite, 488);
            return;
        };
        let local_tag = self.random.token(10);
        let response = Message::response(&invite, 200, &local_tag, peer)
            .with(
                "Contact",
                format!("<sip:{}@{}>", self.config.login, self.addr),
            )
            .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO")
            .with_sdp(&sdp)
            .to_bytes();
        self.out.push((peer, response.clone()));
        self.leg = Some(Leg {
            invite,
            peer,
            local_tag,
            response,
            acked: false,
            interval: T1,
            next: now + T1,
            until: now + LIFETIME,
            law,
            stream,
            reinvite: None,
        });
        self.status.send_modify(|s| {
            s.in_leg = true;
            s.legs += 1;
        });
    }

    fn on_reinvite(&mut self, peer: SocketAddr, invite: &Message) {
        let contact = format!("<sip:{}@{}>", self.config.login, self.addr);
        let leg = self.leg.as_mut().expect("the caller saw it");
        let cseq = invite.cseq().0;
        if let Some((_, response)) = leg.reinvite.as_ref().filter(|(n, _)| *n == cseq) {
            self.out.push((peer, response.clone()));
            return;
        }
        let offer = invite.sdp();
        if let Some(offer) = &offer {
            leg.law = offer.laws.first().copied().unwrap_or(leg.law);
            leg.stream.set_peer(offer.audio, leg.law);
        }
        let Some(sdp) = describe(offer.as_ref(), leg.stream.local(), u64::from(cseq)) else {
            self.reply(peer, invite, 488);
            return;
        };
        let response = Message::response(invite, 200, &leg.local_tag, peer)
            .with("Contact", contact)
            .with_sdp(&sdp)
            .to_bytes();
        leg.reinvite = Some((cseq, response.clone()));
        self.out.push((peer, response));
    }

    fn end_leg(&mut self) -> Option<Leg> {
        let leg = self.leg.take()?;
        self.status.send_modify(|s| s.in_leg = false);
        Some(leg)
    }

    fn hang_up(&mut self, now: Instant) {
        let Some(leg) = self.end_leg() else { return };
        let branch = self.random.token(16);
        let target = leg.invite.header("Contact").map_or("", uri_of).to_owned();
        let peer = address_of(&target).unwrap_or(leg.peer);
        let to = leg.invite.header("To").unwrap_or_default();
        let mut bye = Message::request(
            "BYE",
            if target.is_empty() {
                "sip:node"
            } else {
                &target
            },
        )
        .with(
            "Via",
            format!("SIP/2.0/UDP {};branch=z9hG4bK{branch};rport", self.addr),
        )
        .with("Max-Forwards", "70");
        for route in leg.invite.all("Record-Route") {
            bye.add("Route", route);
        }
        let bye = bye
            .with("From", format!("{to};tag={}", leg.local_tag))
            .with("To", leg.invite.header("From").unwrap_or_default())
            .with("Call-ID", leg.invite.call_id())
            .with("CSeq", "1 BYE");
        leg.stream.close(drop);
        self.ask(now, bye, branch, peer, false);
    }

    fn on_response(&mut self, now: Instant, message: &Message) {
        let status = message.status().unwrap_or_default();
        let Some(at) = self
            .pending
            .iter()
            .position(|p| p.branch == message.branch())
        else {
            return;
        };
        if status < 200 {
            return;
        }
        let register = self.pending.remove(at).register;
        if !register {
            return;
        }
        match status {
            200..300 => self.registered(now, message),
            401 | 407 => self.challenged(now, message, status),
            423 => {
                let least = message
                    .header("Min-Expires")
                    .and_then(|e| e.parse().ok())
                    .unwrap_or(3_600);
                self.registration.expires = Duration::from_secs(least);
                self.register(now, self.registration.expires);
            }
            _ => self.lose_registration(now, Some(status)),
        }
    }

    fn registered(&mut self, now: Instant, message: &Message) {
        let reg = &mut self.registration;
        reg.answered_challenge = false;
        let granted = message
            .all("Contact")
            .flat_map(list)
            .filter(|c| address_of(uri_of(c)) == Some(self.addr))
            .find_map(|c| c.split(";expires=").nth(1)?.split(';').next()?.parse().ok())
            .or_else(|| message.header("Expires")?.parse().ok())
            .unwrap_or(reg.expires.as_secs());
        reg.next = now + Duration::from_secs(granted.max(2)) / 2;
        self.status.send_modify(|s| {
            s.registered = granted > 0;
            s.refused = None;
        });
    }

    fn challenged(&mut self, now: Instant, message: &Message, status: u16) {
        let name = if status == 401 {
            "WWW-Authenticate"
        } else {
            "Proxy-Authenticate"
        };
        let spoken = |c: &digest::Params| {
            c.get("algorithm")
                .is_none_or(|a| a.eq_ignore_ascii_case("MD5") || a.eq_ignore_ascii_case("SHA-256"))
        };
        let challenge = message.all(name).filter_map(digest::params).find(spoken);
        let stale = challenge.as_ref().is_some_and(|c| {
            c.get("stale")
                .is_some_and(|s| s.eq_ignore_ascii_case("true"))
        });
        let reg = &mut self.registration;
        // A second challenge that is not about age means that the password is wrong.
        if challenge.is_none() || (reg.answered_challenge && !stale) {
            reg.answered_challenge = false;
            self.lose_registration(now, Some(status));
            return;
        }
        reg.answered_challenge = true;
        (reg.challenge, reg.uses) = (challenge, 0);
        let expires = reg.expires;
        self.register(now, expires);
    }
}

/// Our side of the session: an answer, or an offer where the INVITE had none.
fn describe(offer: Option<&Sdp>, audio: SocketAddr, version: u64) -> Option<String> {
    let laws = [Law::A, Law::Mu];
    let session = match offer {
        Some(offer) => offer.answer(audio, &laws)?,
        None => Sdp {
            audio,
            laws: laws.to_vec(),
            events: Some(101),
            direction: "sendrecv".into(),
        },
    };
    Some(session.to_text(1, version))
}

#[cfg(test)]
mod tests;
