//! A browser's side of WebRTC (str0m) over real sockets against the relay.

// Tests may unwrap; clippy's exemption does not reach the functions around them.
#![allow(clippy::unwrap_used)]

#[path = "common/browser.rs"]
mod client;

use client::{Act, Browser, Offered};
use domain::{AttemptId, Codec, LegId, RegionId, limits};
use media::{
    BROWSER_EVENT, BrowserCommand, BrowserEnd, BrowserEvent, BrowserId, Channel, ExchangeConfig,
    MediaCommand, MediaEvent, PortRange, Prompts, Seed,
    dtmf::{self, Event},
    g711,
    rtp::Header,
    tones::{self, Goertzel},
};
use media_io::{
    BrowserConfig, Relay, RelayConfig, RelayHandle, StartError, TapeEntry, TapeReader, tapes,
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(15);
const EVENT: u8 = 101;
const AGENT: LegId = LegId(1);
const PERSON: LegId = LegId(2);
/// Of the browser and of the person: no harmonics of each other.
const LOW: f64 = 437.5;
const HIGH: f64 = 1_062.5;

struct House {
    relay: RelayHandle,
    events: Receiver<MediaEvent>,
    browsers: Receiver<BrowserEvent>,
    recorded: TapeReader,
    range: PortRange,
}

fn house() -> House {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 900) as u16 * 20;
    for _ in 0..500 {
        let step = NEXT.fetch_add(20, Ordering::Relaxed);
        let first = 12_000 + (spread + step) % 18_000;
        let range = PortRange::new(first, first + 18).unwrap();
        let seed = Seed::from_u64(u64::from(first));
        let ip = "127.0.0.1".parse().unwrap();
        let config = RelayConfig::new(ip, ExchangeConfig::new(range), Prompts::default(), seed);
        let (sender, events) = channel();
        let (told, browsers) = channel();
        let listen = BrowserConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
        };
        let (tapes, recorded) = tapes();
        let started = Relay::start_with(
            config,
            Box::new(move |event| sender.send(event).is_ok()),
            Some((listen, Box::new(move |event| told.send(event).is_ok()))),
            Some(tapes),
        );
        match started {
            Ok(relay) => {
                return House {
                    relay,
                    events,
                    browsers,
                    recorded,
                    range,
                };
            }
            Err(StartError::Bind { source, .. })
                if source.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
    panic!("no free range of ports");
}

/// The far end of a trunk's leg: plain RTP.
struct Person {
    socket: UdpSocket,
    to: SocketAddr,
    codec: Codec,
    next: u16,
}

impl House {
    fn send(&self, command: MediaCommand) {
        self.relay.send(command).unwrap();
    }

    fn wait<T>(&self, pick: impl Fn(MediaEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).expect("an event in time");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }

    /// A page's audio, up.
    fn browser(&self, id: u64, codec: Codec) -> Browser {
        let offered = Offered::new(codec);
        let gate = self.relay.browsers().unwrap();
        let (arrival, answer) = gate.answer(&offered.sdp).unwrap();
        self.relay.begin_browser(BrowserId(id), arrival).unwrap();
        let browser = offered.answered(&answer);
        browser.until("ICE and DTLS are through", |known| known.connected);
        let browser_id = BrowserId(id);
        assert_eq!(
            self.told(),
            BrowserEvent::Up {
                browser: browser_id
            }
        );
        browser
    }

    fn told(&self) -> BrowserEvent {
        self.browsers
            .recv_timeout(PATIENCE)
            .expect("a word in time")
    }

    fn open(&self, leg: LegId, telephone_event: u8) {
        let port = self.range.port(leg.0 as usize).unwrap();
        self.send(MediaCommand::Open {
            leg,
            port,
            telephone_event: Some(telephone_event),
        });
    }

    fn attach(&self, leg: LegId, browser: u64) {
        let browser = BrowserId(browser);
        let attach = BrowserCommand::Attach { leg, browser };
        self.relay.send_browser(attach).unwrap();
    }

    /// An agent's browser and a person's leg, bridged.
    fn call(&self, theirs: Codec, ours: Codec) -> (Browser, Person) {
        let browser = self.browser(7, ours);
        self.open(AGENT, BROWSER_EVENT);
        self.attach(AGENT, 7);
        let person = self.person(theirs);
        self.send(MediaCommand::Bridge {
            a: PERSON,
            b: AGENT,
        });
        (browser, person)
    }

    fn person(&self, codec: Codec) -> Person {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        self.open(PERSON, EVENT);
        self.send(MediaCommand::SetRemote {
            leg: PERSON,
            addr: socket.local_addr().unwrap(),
            rtcp: None,
            codec,
            telephone_event: Some(EVENT),
            send: true,
            symmetric: false,
        });
        let port = self.range.port(PERSON.0 as usize).unwrap();
        Person {
            socket,
            to: SocketAddr::new([127, 0, 0, 1].into(), port.number()),
            codec,
            next: 500,
        }
    }

    fn snapshot(&self, leg: LegId) -> (domain::LegStats, media::LegDetail) {
        self.send(MediaCommand::Snapshot { leg });
        self.wait(|event| match event {
            MediaEvent::Snapshot {
                leg: told,
                stats,
                detail,
            } if told == leg => Some((stats, detail)),
            _ => None,
        })
    }
}

impl Person {
    fn send(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mut bytes = vec![0; 12];
        let header = Header {
            marker: false,
            payload_type,
            sequence: self.next,
            timestamp,
            ssrc: 9,
        };
        self.next += 1;
        header.write(bytes.first_chunk_mut().unwrap());
        bytes.extend_from_slice(payload);
        self.socket.send_to(&bytes, self.to).unwrap();
    }

    fn say(&mut self, hertz: f64) {
        let place = u64::from(self.next) * 160;
        let codec = self.codec;
        let sound: Vec<u8> = tones::sine(hertz, -10.0, place, 160)
            .map(|sample| g711::encode(codec, sample))
            .collect();
        self.send(g711::payload_type(codec), place as u32, &sound);
    }

    fn hear(&self) -> Option<(Header, Vec<u8>)> {
        let mut buffer = [0; 2_000];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        let (header, payload) = Header::read(&buffer[..length]).unwrap();
        Some((header, buffer[payload].to_vec()))
    }

    /// Speaks a tone for so long, a packet each 20 ms, and says what it heard of the last half second.
    fn talk(&mut self, hertz: f64, span: Duration) -> Vec<i16> {
        let (mut next, end) = (Instant::now(), Instant::now() + span);
        let mut heard = Vec::new();
        while Instant::now() < end {
            if Instant::now() >= next {
                next += Duration::from_millis(20);
                self.say(hertz);
            }
            if let Some((header, payload)) = self.hear()
                && let Some(codec) = g711::codec_of(header.payload_type)
            {
                assert_eq!(codec, self.codec);
                heard.extend(payload.iter().map(|code| g711::decode(codec, *code)));
            }
        }
        let old = heard.len().saturating_sub(4_000);
        heard.split_off(old)
    }
}

#[test]
fn both_hear_each_other_whatever_their_law() {
    for (theirs, ours) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcma),
        (Codec::Pcma, Codec::Pcmu),
    ] {
        let house = house();
        let (browser, mut person) = house.call(theirs, ours);
        browser.act(Act::Speak(Some(LOW)));
        let heard = person.talk(HIGH, Duration::from_millis(1_500));
        let share = Goertzel::share_of(LOW, heard.iter().copied());
        assert!(
            heard.len() >= 4_000 && share > 0.8,
            "{share} of {}",
            heard.len()
        );
        let known = browser.known();
        let share = known.share(HIGH);
        assert!(share > 0.8, "{share} of {} packets", known.packets);
        assert_eq!(known.codec, Some(g711::payload_type(ours)));
        drop(known);
        let (stats, _) = house.snapshot(AGENT);
        assert!(stats.received > 50 && stats.sent > 50, "{stats:?}");
        assert_eq!((stats.lost, stats.refused), (0, 0), "{stats:?}");
    }
}

#[test]
fn both_sides_of_a_browsers_call_are_recorded() {
    let house = house();
    let (browser, mut person) = house.call(Codec::Pcma, Codec::Pcmu);
    house.send(MediaCommand::Record {
        recording: AttemptId::new(RegionId(1), 2, 3),
        agent: AGENT,
        person: PERSON,
    });
    browser.act(Act::Speak(Some(LOW)));
    person.talk(HIGH, Duration::from_millis(1_500));
    let mut sides = [Vec::new(), Vec::new()];
    while let Some(batch) = house.recorded.next(Duration::from_millis(200)).unwrap() {
        for entry in batch.entries() {
            if let TapeEntry::Sound(_, sound) = entry {
                let side = &mut sides[usize::from(sound.channel == Channel::Person)];
                let decode = |code: &u8| g711::decode(sound.codec, *code);
                side.extend(sound.payload.iter().map(decode));
            }
        }
        house.recorded.give_back(batch);
        // The browser speaks on; what counts is there.
        if sides.iter().all(|side| side.len() >= 8_000) {
            break;
        }
    }
    for (side, tone) in sides.iter().zip([LOW, HIGH]) {
        let old = side.len().saturating_sub(4_000);
        let share = Goertzel::share_of(tone, side[old..].iter().copied());
        assert!(share > 0.8, "{tone} Hz: {share} of {} samples", side.len());
    }
}

#[test]
fn the_browsers_own_figures_come_in() {
    let house = house();
    let (_browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    let end = Instant::now() + Duration::from_secs(30);
    let report = loop {
        person.talk(HIGH, Duration::from_secs(1));
        if let (
            _,
            media::LegDetail {
                peer: Some(report), ..
            },
        ) = house.snapshot(AGENT)
        {
            break report;
        }
        assert!(Instant::now() < end, "no receiver report");
    };
    assert_eq!(report.lost, 0, "{report:?}");
    assert!(report.jitter_us < 20_000, "{report:?}");
}

#[test]
fn keys_go_both_ways() {
    let house = house();
    let (browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    // From the browser: told to the engine, and passed on under the trunk's number.
    browser.act(Act::Press('5'));
    let digit = house.wait(|event| match event {
        MediaEvent::Digit { leg, digit } => Some((leg, digit)),
        _ => None,
    });
    assert_eq!(digit, (AGENT, '5'));
    let end = Instant::now() + PATIENCE;
    let (header, payload) = loop {
        assert!(Instant::now() < end, "the key was not passed on");
        match person.hear() {
            Some((header, payload)) if header.payload_type == EVENT => break (header, payload),
            _ => {}
        }
    };
    assert_eq!(dtmf::key(Event::read(&payload).unwrap().code), Some('5'));
    assert_eq!(header.payload_type, EVENT);
    // To the browser, under its own number.
    for n in 0..8_u16 {
        let event = Event {
            code: dtmf::code('#').unwrap(),
            end: n > 4,
            volume: 10,
            duration: (n.min(5) + 1) * 160,
        };
        person.send(EVENT, 80_000, &event.bytes());
    }
    browser.until("the key is heard", |known| known.keys == ['#']);
}

#[test]
fn a_browser_without_a_network_is_lost_after_a_while() {
    let house = house();
    let (browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    let began = Instant::now();
    browser.act(Act::Vanish);
    let down = house
        .browsers
        .recv_timeout(Duration::from_secs(40))
        .unwrap();
    let lost = BrowserEvent::Down {
        browser: BrowserId(7),
        why: BrowserEnd::Lost,
    };
    assert_eq!(down, lost);
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(30),
        "{took:?}"
    );
    // The leg stays, with nobody behind it; its packets go nowhere and are not counted as sent.
    let (before, _) = house.snapshot(AGENT);
    person.talk(HIGH, Duration::from_millis(200));
    let (after, detail) = house.snapshot(AGENT);
    assert_eq!((after.sent, detail.unsent), (before.sent, 0));
    // Another takes its place, and the call goes on.
    let again = house.browser(8, Codec::Pcma);
    house.attach(AGENT, 8);
    again.act(Act::Speak(Some(LOW)));
    let heard = person.talk(HIGH, Duration::from_millis(1_500));
    assert!(Goertzel::share_of(LOW, heard) > 0.8);
    again.until("it hears the person", |known| known.share(HIGH) > 0.8);
}

#[test]
fn a_new_offer_takes_over_within_the_call() {
    let house = house();
    let (old, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    let end = BrowserCommand::End {
        browser: BrowserId(7),
    };
    house.relay.send_browser(end).unwrap();
    let ended = BrowserEvent::Down {
        browser: BrowserId(7),
        why: BrowserEnd::Ended,
    };
    assert_eq!(house.told(), ended);
    old.until("the page was told that it is over", |known| known.over);
    let new = house.browser(8, Codec::Pcmu);
    house.attach(AGENT, 8);
    new.act(Act::Speak(Some(LOW)));
    let heard = person.talk(HIGH, Duration::from_millis(1_500));
    assert!(Goertzel::share_of(LOW, heard) > 0.8);
    new.until("it hears the person", |known| known.share(HIGH) > 0.8);
}

#[test]
fn a_page_that_closes_is_down_at_once() {
    let house = house();
    let browser = house.browser(1, Codec::Pcmu);
    let began = Instant::now();
    browser.act(Act::Close);
    let down = BrowserEvent::Down {
        browser: BrowserId(1),
        why: BrowserEnd::Closed,
    };
    assert_eq!(house.told(), down);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_browser_that_never_comes_is_given_up() {
    let house = house();
    let offered = Offered::new(Codec::Pcmu);
    let gate = house.relay.browsers().unwrap();
    let (arrival, _) = gate.answer(&offered.sdp).unwrap();
    house.relay.begin_browser(BrowserId(3), arrival).unwrap();
    let down = BrowserEvent::Down {
        browser: BrowserId(3),
        why: BrowserEnd::Unreached,
    };
    let limit = limits::BROWSER_CONNECT + Duration::from_secs(10);
    assert_eq!(house.browsers.recv_timeout(limit), Ok(down));
}

/// STUN binding requests, DTLS, SRTP and noise of strangers.
fn strangers(ufrag: &str) -> Vec<Vec<u8>> {
    let mut check = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    check.extend([5; 12]);
    let name = format!("{ufrag}:abcd");
    check.extend([0, 6]);
    check.extend((name.len() as u16).to_be_bytes());
    check.extend(name.as_bytes());
    check.resize(check.len().next_multiple_of(4), 0);
    // MESSAGE-INTEGRITY that nobody with the password made.
    check.extend([0, 8, 0, 20]);
    check.extend([9; 20]);
    let length = (check.len() - 20) as u16;
    check[2..4].copy_from_slice(&length.to_be_bytes());
    let mut hello = vec![22, 254, 253];
    hello.extend([0; 60]);
    let mut srtp = vec![0x80, 0];
    srtp.extend([1; 170]);
    vec![
        check,
        hello,
        srtp,
        vec![],
        vec![0],
        vec![0xff; 1_400],
        vec![0; 1_472],
    ]
}

#[test]
fn strangers_get_no_answer_and_disturb_nobody() {
    let house = house();
    let to = house.relay.browser_address().unwrap();
    let (browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    let offered = Offered::new(Codec::Pcmu);
    let gate = house.relay.browsers().unwrap();
    let (arrival, answer) = gate.answer(&offered.sdp).unwrap();
    house.relay.begin_browser(BrowserId(2), arrival).unwrap();
    let ufrag = answer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A user name of nobody, and one of somebody without the password.
    for ufrag in ["nobody", ufrag] {
        for datagram in strangers(ufrag) {
            stranger.send_to(&datagram, to).unwrap();
        }
    }
    browser.act(Act::Speak(Some(LOW)));
    let heard = person.talk(HIGH, Duration::from_secs(1));
    assert!(Goertzel::share_of(LOW, heard) > 0.8);
    stranger
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(stranger.recv_from(&mut [0; 2_000]).is_err(), "answered");
    assert!(house.browsers.try_recv().is_err(), "nobody came or went");
    // The one whose name was abused comes through all the same.
    let second = offered.answered(&answer);
    second.until("ICE and DTLS are through", |known| known.connected);
}

#[test]
fn a_browsers_leg_takes_nothing_from_its_port() {
    let house = house();
    let (browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    let port = house.range.port(AGENT.0 as usize).unwrap();
    let mut intruder = Person {
        socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
        to: SocketAddr::new([127, 0, 0, 1].into(), port.number()),
        codec: Codec::Pcmu,
        next: 1,
    };
    // The relay has followed every command of the call.
    house.snapshot(AGENT);
    for _ in 0..50 {
        intruder.say(2_000.0);
    }
    browser.act(Act::Speak(Some(LOW)));
    let heard = person.talk(HIGH, Duration::from_secs(1));
    assert!(Goertzel::share_of(2_000.0, heard.iter().copied()) < 0.01);
    assert!(Goertzel::share_of(LOW, heard) > 0.8);
    let (stats, _) = house.snapshot(AGENT);
    assert_eq!(stats.refused, 50);
}

#[test]
fn a_shift_ends_and_the_next_begins_on_the_same_audio() {
    let house = house();
    let (browser, mut person) = house.call(Codec::Pcmu, Codec::Pcmu);
    person.talk(HIGH, Duration::from_millis(200));
    house.send(MediaCommand::Close { leg: AGENT });
    let leg = LegId(3);
    house.open(leg, BROWSER_EVENT);
    house.attach(leg, 7);
    house.send(MediaCommand::Bridge { a: PERSON, b: leg });
    browser.forget();
    browser.act(Act::Speak(Some(LOW)));
    let heard = person.talk(HIGH, Duration::from_millis(1_200));
    assert!(Goertzel::share_of(LOW, heard) > 0.8);
    browser.until("it hears the person", |known| known.share(HIGH) > 0.8);
}
