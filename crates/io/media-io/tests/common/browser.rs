//! A browser for tests: str0m as the page's RTCPeerConnection, on a socket and a thread of its own. It
//! speaks a tone or presses keys, and keeps what it hears. Shared with the node's tests.

use domain::Codec;
use media::{
    dtmf, g711,
    tones::{self, Goertzel},
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    format::{Codec as Coding, FormatParams},
    media::{Direction, Frequency, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

/// Chromium's number for telephone events.
const EVENT: u8 = 126;
const FRAME: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(15);

/// What a page tells its connection to do.
pub(crate) enum Act {
    /// Speak a tone of so many hertz from now on; none: silence, as a muted microphone sends it.
    Speak(Option<f64>),
    /// Press a key for 100 ms.
    Press(char),
    /// Nothing leaves any more, and nothing is read: the network is gone.
    Vanish,
    /// `RTCPeerConnection.close()`.
    Close,
}

/// What the page knows of its connection.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) connected: bool,
    /// The connection closed or was closed.
    pub(crate) over: bool,
    /// Packets of sound, and what was in the newest second of them.
    pub(crate) packets: u64,
    pub(crate) heard: Vec<i16>,
    /// Keys that were pressed at the other end.
    pub(crate) keys: Vec<char>,
    pub(crate) codec: Option<u8>,
}

impl Known {
    /// How much of the newest second is this tone, 0 to 1.
    pub(crate) fn share(&self, hertz: f64) -> f64 {
        Goertzel::share_of(hertz, self.heard.iter().copied())
    }
}

/// A connection.
pub(crate) struct Browser {
    known: Arc<Mutex<Known>>,
    acts: Sender<Act>,
    thread: Option<JoinHandle<()>>,
}

/// A connection that offered and was not answered yet.
pub(crate) struct Offered {
    rtc: Rtc,
    socket: UdpSocket,
    pending: SdpPendingOffer,
    law: Codec,
    pub(crate) sdp: String,
}

fn config(codec: Codec) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
        .clear_codecs()
        .enable_pcmu(codec == Codec::Pcmu, false)
        .enable_pcma(codec == Codec::Pcma, false)
        .set_rtp_mode(true);
    let keys = FormatParams {
        telephone_event_max: Some(15),
        ..FormatParams::default()
    };
    let clock = Frequency::EIGHT_KHZ;
    (config.codec_config()).add_config(EVENT.into(), None, Coding::Tele, clock, None, keys);
    config
}

impl Offered {
    /// What a page offers: one audio track that sends and receives.
    pub(crate) fn new(codec: Codec) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = config(codec).build(Instant::now());
        let address = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().unwrap();
        Self {
            rtc,
            socket,
            pending,
            law: codec,
            sdp: offer.to_sdp_string(),
        }
    }

    /// Takes the answer and connects.
    pub(crate) fn answered(mut self, sdp: &str) -> Browser {
        let answer = SdpAnswer::from_sdp_string(sdp).unwrap();
        self.rtc
            .sdp_api()
            .accept_answer(self.pending, answer)
            .unwrap();
        let mid = sdp.lines().find_map(|line| line.strip_prefix("a=mid:"));
        let known = Arc::<Mutex<Known>>::default();
        let (acts, told) = channel();
        let page = Page {
            rtc: self.rtc,
            local: self.socket.local_addr().unwrap(),
            socket: self.socket,
            mid: Mid::from(mid.unwrap()),
            law: self.law,
            known: Arc::clone(&known),
            speaking: None,
            pressed: None,
            sequence: 100,
            timestamp: 4_000,
            next: Instant::now(),
            gone: false,
        };
        let thread = thread::spawn(move || page.run(&told));
        Browser {
            known,
            acts,
            thread: Some(thread),
        }
    }
}

impl Browser {
    pub(crate) fn act(&self, act: Act) {
        // A connection that is over does nothing any more.
        self.acts.send(act).ok();
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Waits until the page knows something.
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Known) -> bool) {
        self.within(PATIENCE, what, is);
    }

    pub(crate) fn within(&self, limit: Duration, what: &str, is: impl Fn(&Known) -> bool) {
        let end = Instant::now() + limit;
        while !is(&self.known()) {
            let known = self.known();
            assert!(
                Instant::now() < end,
                "{what}: not within {limit:?}; connected {}, over {}, {} packets, keys {:?}",
                known.connected,
                known.over,
                known.packets,
                known.keys
            );
            drop(known);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Forgets what was heard, so that only what comes from here on counts.
    pub(crate) fn forget(&self) {
        self.known().heard.clear();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.act(Act::Vanish);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Page {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    mid: Mid,
    law: Codec,
    known: Arc<Mutex<Known>>,
    speaking: Option<f64>,
    /// The key that is down, when it began, and how many packets it has had.
    pressed: Option<(char, u32, u16)>,
    sequence: u64,
    timestamp: u32,
    next: Instant,
    gone: bool,
}

impl Page {
    fn run(mut self, acts: &Receiver<Act>) {
        let mut events = dtmf::EventReceiver::default();
        let mut buffer = [0; 2_000];
        while !self.gone {
            while let Ok(act) = acts.try_recv() {
                match act {
                    Act::Speak(tone) => self.speaking = tone,
                    Act::Press(key) => self.pressed = Some((key, self.timestamp, 0)),
                    Act::Vanish => self.gone = true,
                    Act::Close => self.rtc.close().unwrap(),
                }
            }
            let Some(due) = self.drain(&mut events) else {
                break;
            };
            let connected = self.known.lock().unwrap().connected;
            let now = Instant::now();
            if connected && now >= self.next {
                self.next += FRAME;
                self.say(now);
                self.rtc.handle_input(Input::Timeout(now)).unwrap();
                continue;
            }
            let due = if connected { due.min(self.next) } else { due };
            let wait = due.saturating_duration_since(now).min(FRAME);
            self.socket
                .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
                .unwrap();
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let receive = Receive {
                        proto: Protocol::Udp,
                        source,
                        destination: self.local,
                        contents: buffer[..length].try_into().unwrap(),
                    };
                    (self
                        .rtc
                        .handle_input(Input::Receive(Instant::now(), receive)))
                    .ok();
                }
                Err(_) => (self.rtc.handle_input(Input::Timeout(Instant::now()))).unwrap(),
            }
        }
        self.known.lock().unwrap().over = true;
    }

    /// None when the connection is over.
    fn drain(&mut self, events: &mut dtmf::EventReceiver) -> Option<Instant> {
        loop {
            match self.rtc.poll_output().ok()? {
                Output::Timeout(due) => return self.rtc.is_alive().then_some(due),
                Output::Transmit(out) => {
                    if !self.gone {
                        self.socket.send_to(&out.contents, out.destination).unwrap();
                    }
                }
                Output::Event(Event::Connected) => {
                    self.next = Instant::now();
                    self.known.lock().unwrap().connected = true;
                }
                Output::Event(Event::Closed) => return None,
                Output::Event(Event::RtpPacket(packet)) => {
                    let mut known = self.known.lock().unwrap();
                    let payload_type = *packet.header.payload_type;
                    if payload_type == EVENT {
                        let key = events.note(packet.header.timestamp, &packet.payload);
                        known.keys.extend(key);
                    } else if let Some(codec) = g711::codec_of(payload_type) {
                        known.packets += 1;
                        known.codec = Some(payload_type);
                        known
                            .heard
                            .extend(packet.payload.iter().map(|code| g711::decode(codec, *code)));
                        let old = known.heard.len().saturating_sub(8_000);
                        known.heard.drain(..old);
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// The next 20 ms.
    fn say(&mut self, now: Instant) {
        let mut api = self.rtc.direct_api();
        let law = self.law;
        let (payload_type, timestamp, payload) = match self.pressed {
            Some((key, began, sent)) => {
                let end = sent >= 5;
                self.pressed = (sent < 7).then_some((key, began, sent + 1));
                let event = dtmf::Event {
                    code: dtmf::code(key).unwrap(),
                    end,
                    volume: 10,
                    duration: (sent.min(5) + 1) * 160,
                };
                (EVENT, began, event.bytes().to_vec())
            }
            None => {
                let place = u64::from(self.timestamp);
                let sound = match self.speaking {
                    Some(hertz) => tones::sine(hertz, -10.0, place, 160)
                        .map(|sample| g711::encode(law, sample))
                        .collect(),
                    None => vec![g711::silence(law); 160],
                };
                (g711::payload_type(law), self.timestamp, sound)
            }
        };
        let stream = api.stream_tx_by_mid(self.mid, None).expect("it sends");
        let write = RtpWrite::new(
            payload_type.into(),
            self.sequence.into(),
            timestamp,
            now,
            payload,
        );
        stream.write_rtp(write);
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(160);
    }
}
