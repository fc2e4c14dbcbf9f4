//! Supervisors in bridges: who hears whom, what is on the wire, what is recorded.

use super::*;
use crate::{Channel, g711::FRAME};
use domain::Supervision;

const BOSS: LegId = LegId(3);
const OTHER: LegId = LegId(4);
/// What each says, as a level of its own.
const LEVELS: [(LegId, i16); 4] = [(A, 900), (B, 2_700), (BOSS, 8_100), (OTHER, 300)];

fn level(leg: LegId) -> i16 {
    LEVELS.iter().find(|(id, _)| *id == leg).unwrap().1
}

fn supervise(exchange: &mut Exchange, leg: LegId, manner: Supervision) -> Result<(), Rejected> {
    let agent = A;
    exchange.handle(at(0), MediaCommand::Supervise { leg, agent, manner })
}

/// The bridge of an agent (A, mu-law) and a person (B, A-law), recorded, and two supervisors.
fn floor() -> Exchange {
    let mut exchange = bridged();
    open(&mut exchange, BOSS, Codec::Pcmu, at(0));
    open(&mut exchange, OTHER, Codec::Pcma, at(0));
    let record = MediaCommand::Record {
        recording: domain::AttemptId(9),
        agent: A,
        person: B,
    };
    exchange.handle(at(0), record).unwrap();
    exchange
}

/// What each leg was sent, and what was recorded, frame by frame.
#[derive(Default)]
struct Heard {
    sent: Vec<(LegId, Header, Vec<i16>)>,
    taped: Vec<(Channel, Vec<i16>)>,
    relayed: usize,
}

impl Heard {
    /// The loudest level that a leg was sent.
    fn top(&self, leg: LegId) -> i32 {
        let frames = self.sent.iter().filter(|(to, ..)| *to == leg);
        top(frames.map(|(.., sound)| sound))
    }

    fn top_taped(&self, channel: Channel) -> i32 {
        let frames = self.taped.iter().filter(|(of, _)| *of == channel);
        top(frames.map(|(_, sound)| sound))
    }

    fn frames(&self, leg: LegId) -> usize {
        self.sent.iter().filter(|(to, ..)| *to == leg).count()
    }
}

fn top<'a>(frames: impl Iterator<Item = &'a Vec<i16>>) -> i32 {
    frames.flatten().map(|s| i32::from(*s)).max().unwrap_or(0)
}

fn is(heard: i32, wanted: &[LegId]) -> bool {
    let wanted: i32 = wanted.iter().map(|leg| i32::from(level(*leg))).sum();
    (heard - wanted).abs() <= wanted / 16 + 16
}

#[derive(Default)]
struct Clock {
    millis: u64,
    sequence: u16,
}

/// Everybody speaks for so many frames.
fn talk(exchange: &mut Exchange, clock: &mut Clock, frames: u16) -> Heard {
    let mut heard = Heard::default();
    for _ in 0..frames {
        clock.sequence = clock.sequence.wrapping_add(1);
        clock.millis += 5;
        for (leg, level) in LEVELS {
            let Some(place) = exchange.place_of(leg) else {
                continue;
            };
            let said = vec![g711::encode(Codec::Pcmu, level); FRAME];
            let mut bytes = packet(clock.sequence, 0, &said);
            let onward = exchange.receive(at(clock.millis), place, peer(leg), &mut bytes);
            tape(exchange, &bytes, &mut heard);
            if let Some(onward) = onward {
                heard.relayed += 1;
                sent(exchange, onward.place, &bytes[onward.bytes], &mut heard);
            }
        }
        clock.millis += 15;
        exchange.handle_timeout(at(clock.millis));
        let mut buffer = [0; TRANSMIT_BYTES];
        while let Some(transmit) = exchange.poll_transmit(&mut buffer) {
            tape(exchange, &buffer, &mut heard);
            if !transmit.rtcp {
                sent(
                    exchange,
                    transmit.place,
                    &buffer[..transmit.len],
                    &mut heard,
                );
            }
        }
    }
    heard
}

fn decoded(codec: Codec, sound: &[u8]) -> Vec<i16> {
    sound.iter().map(|c| g711::decode(codec, *c)).collect()
}

fn sent(exchange: &Exchange, place: usize, bytes: &[u8], heard: &mut Heard) {
    let (header, payload) = Header::read(bytes).unwrap();
    let codec = g711::codec_of(header.payload_type).unwrap();
    let sound = decoded(codec, &bytes[payload]);
    let leg = exchange.leg_at(place).unwrap();
    heard.sent.push((leg, header, sound));
}

fn tape(exchange: &mut Exchange, bytes: &[u8], heard: &mut Heard) {
    if let Some(taped) = exchange.taped() {
        let sound = decoded(taped.codec, &bytes[taped.payload]);
        heard.taped.push((taped.channel, sound));
    }
}

#[test]
fn who_listens_is_heard_by_nobody_and_changes_nothing() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    talk(&mut exchange, &mut clock, 10);
    supervise(&mut exchange, BOSS, Supervision::Listen).unwrap();
    let heard = talk(&mut exchange, &mut clock, 50);
    // The two go on packet by packet, bit by bit.
    assert_eq!(heard.relayed, 100);
    assert_eq!((heard.frames(A), heard.frames(B)), (50, 50));
    assert!(is(heard.top(A), &[B]) && is(heard.top(B), &[A]));
    assert!(is(heard.top(BOSS), &[A, B]), "{}", heard.top(BOSS));
    assert_eq!(exchange.supervised(), (1, 1));
}

/// The promise: what a supervisor whispers is never on the person's wire, nor in the recording.
#[test]
fn a_whisper_reaches_the_agent_and_never_the_person() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    supervise(&mut exchange, BOSS, Supervision::Whisper).unwrap();
    let heard = talk(&mut exchange, &mut clock, 100);
    assert!(is(heard.top(A), &[B, BOSS]), "{}", heard.top(A));
    assert!(is(heard.top(B), &[A]), "{}", heard.top(B));
    assert!(is(heard.top(BOSS), &[A, B]), "{}", heard.top(BOSS));
    assert!(is(heard.top_taped(Channel::Agent), &[A]));
    assert!(is(heard.top_taped(Channel::Person), &[B]));
    // The agent's packets went on as they were.
    assert_eq!((heard.relayed, heard.frames(B)), (100, 100));
    // From a barge back to a whisper, too: not one sample more.
    supervise(&mut exchange, BOSS, Supervision::Barge).unwrap();
    assert!(is(talk(&mut exchange, &mut clock, 20).top(B), &[A, BOSS]));
    supervise(&mut exchange, BOSS, Supervision::Whisper).unwrap();
    let after = talk(&mut exchange, &mut clock, 20);
    assert!(is(after.top(B), &[A]), "{}", after.top(B));
    assert!(is(after.top_taped(Channel::Agent), &[A]));
    assert!(is(after.top_taped(Channel::Person), &[B]));
}

#[test]
fn who_barges_in_is_heard_by_both_and_recorded_as_sent() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    supervise(&mut exchange, BOSS, Supervision::Barge).unwrap();
    let heard = talk(&mut exchange, &mut clock, 50);
    assert!(is(heard.top(A), &[B, BOSS]) && is(heard.top(B), &[A, BOSS]));
    assert!(is(heard.top(BOSS), &[A, B]));
    assert_eq!(heard.relayed, 0);
    // Left is what the person was sent; right is what the person said.
    assert!(is(heard.top_taped(Channel::Agent), &[A, BOSS]));
    assert!(is(heard.top_taped(Channel::Person), &[B]));
    let taped = heard.taped.iter().filter(|t| t.0 == Channel::Agent).count();
    assert_eq!(taped, heard.frames(B));
    // Nothing of a pause.
    let pause = |paused| MediaCommand::PauseRecording { leg: A, paused };
    exchange.handle(at(clock.millis), pause(true)).unwrap();
    let heard = talk(&mut exchange, &mut clock, 20);
    assert_eq!((heard.taped.len(), heard.frames(B)), (0, 20));
}

#[test]
fn two_supervisors_hear_each_other_as_far_as_they_speak() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    supervise(&mut exchange, BOSS, Supervision::Whisper).unwrap();
    supervise(&mut exchange, OTHER, Supervision::Listen).unwrap();
    let heard = talk(&mut exchange, &mut clock, 30);
    assert!(is(heard.top(BOSS), &[A, B]));
    assert!(is(heard.top(OTHER), &[A, B, BOSS]));
    supervise(&mut exchange, OTHER, Supervision::Barge).unwrap();
    let heard = talk(&mut exchange, &mut clock, 30);
    assert!(is(heard.top(BOSS), &[A, B, OTHER]));
    assert!(is(heard.top(A), &[B, BOSS, OTHER]));
    assert!(is(heard.top(B), &[A, OTHER]), "{}", heard.top(B));
}

#[test]
fn every_stream_stays_one_stream_over_all_changes() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    let mut all = Heard::default();
    for manner in [None]
        .into_iter()
        .chain(Supervision::ALL.map(Some))
        .cycle()
        .take(24)
    {
        match manner {
            Some(manner) => supervise(&mut exchange, BOSS, manner).unwrap(),
            None => {
                let leave = MediaCommand::Unsupervise { leg: BOSS };
                let _first = exchange.handle(at(clock.millis), leave).is_err();
            }
        }
        all.sent.extend(talk(&mut exchange, &mut clock, 7).sent);
    }
    for leg in [A, B] {
        let headers: Vec<Header> = (all.sent.iter().filter(|(to, ..)| *to == leg))
            .map(|(_, header, _)| *header)
            .collect();
        assert!(headers.len() >= 24 * 7);
        for pair in headers.windows(2) {
            assert_eq!(pair[1].ssrc, pair[0].ssrc);
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            // No gap that a listener would notice: two frames at most.
            assert!((160..=480).contains(&step), "{leg} {step}");
        }
    }
}

#[test]
fn everybody_may_go() {
    let (mut exchange, mut clock) = (floor(), Clock::default());
    supervise(&mut exchange, BOSS, Supervision::Barge).unwrap();
    supervise(&mut exchange, OTHER, Supervision::Whisper).unwrap();
    // A supervisor's leg is lost: it is not there any more, and that is all.
    let lost = MediaCommand::Close { leg: BOSS };
    exchange.handle(at(0), lost).unwrap();
    let heard = talk(&mut exchange, &mut clock, 20);
    assert!(is(heard.top(B), &[A]) && is(heard.top(A), &[B, OTHER]));
    let leave = MediaCommand::Unsupervise { leg: OTHER };
    exchange.handle(at(0), leave).unwrap();
    assert_eq!(exchange.handle(at(0), leave), Err(Rejected::NotSupervised));
    assert_eq!(exchange.supervised(), (0, 0));
    assert_eq!(talk(&mut exchange, &mut clock, 20).relayed, 40);
    // The call ends under a supervisor, who may then be in another.
    supervise(&mut exchange, OTHER, Supervision::Barge).unwrap();
    let part = MediaCommand::Unbridge { a: A, b: B };
    exchange.handle(at(0), part).unwrap();
    assert_eq!(exchange.supervised(), (0, 0));
    let heard = talk(&mut exchange, &mut clock, 20);
    assert_eq!(heard.top(B), 0);
    let other = MediaCommand::Bridge { a: OTHER, b: B };
    exchange.handle(at(0), other).unwrap();
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut exchange = floor();
    let listen = Supervision::Listen;
    assert_eq!(supervise(&mut exchange, A, listen), Err(Rejected::Bridged));
    let nobody = LegId(9);
    assert_eq!(
        supervise(&mut exchange, nobody, listen),
        Err(Rejected::UnknownLeg)
    );
    let alone = MediaCommand::Supervise {
        leg: BOSS,
        agent: OTHER,
        manner: listen,
    };
    assert_eq!(exchange.handle(at(0), alone), Err(Rejected::NotBridged));
    for n in 0..limits::CALL_SUPERVISORS as u64 {
        let leg = LegId(5 + n);
        open(&mut exchange, leg, Codec::Pcmu, at(0));
        supervise(&mut exchange, leg, listen).unwrap();
    }
    assert_eq!(
        supervise(&mut exchange, BOSS, listen),
        Err(Rejected::RoomFull)
    );
    let full = (1, limits::CALL_SUPERVISORS);
    assert_eq!(exchange.supervised(), full);
    // Who supervises is not bridged.
    let bridge = MediaCommand::Bridge {
        a: LegId(5),
        b: OTHER,
    };
    assert_eq!(exchange.handle(at(0), bridge), Err(Rejected::Supervises));
}
