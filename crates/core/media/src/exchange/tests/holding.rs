//! Bridges on hold. A is the person's leg, B the agent's.

use super::*;
use crate::tones::{self, Goertzel};
use domain::{AttemptId, Supervision};

const BOSS: LegId = LegId(3);
const PERSON: f64 = 425.0;
const AGENT: f64 = 1_175.0;

fn tell(exchange: &mut Exchange, millis: u64, command: MediaCommand) {
    exchange.handle(at(millis), command).unwrap();
}

fn hold() -> MediaCommand {
    let prompt = PromptId::HOLD;
    MediaCommand::Hold { leg: A, prompt }
}

const RESUME: MediaCommand = MediaCommand::Resume { leg: A };

/// A frame of a tone, in A's law where A says it.
fn voice(leg: LegId, n: u16) -> Vec<u8> {
    let (codec, hertz) = match leg {
        A => (Codec::Pcmu, PERSON),
        _ => (Codec::Pcma, AGENT),
    };
    let sound = tones::sine(hertz, -10.0, u64::from(n) * 160, 160);
    let sound: Vec<u8> = sound.map(|s| g711::encode(codec, s)).collect();
    packet(n, g711::payload_type(codec), &sound)
}

/// What a leg's peer is sent.
type Stream = Vec<(Header, Vec<u8>)>;

/// Some time in which both speak: what each leg's peer is sent, and how many packets were for the tape.
fn both_speak(exchange: &mut Exchange, from: u64, to: u64) -> ([Stream; 3], usize) {
    let (mut sent, mut taped) = ([const { Vec::new() }; 3], 0);
    let mut note = |to: SocketAddr, header: Header, payload: Vec<u8>| {
        let leg = [A, B, BOSS].iter().position(|leg| peer(*leg) == to);
        sent[leg.unwrap()].push((header, payload));
    };
    for millis in from..to {
        for (_, transmit, bytes) in run(exchange, millis, millis) {
            if !transmit.rtcp {
                let (header, payload) = Header::read(&bytes).unwrap();
                note(transmit.to, header, bytes[payload].to_vec());
            }
        }
        if millis % 20 == 0 {
            for leg in [A, B] {
                let n = (millis / 20) as u16;
                if let Some((to, header, payload)) = pass(exchange, at(millis), leg, voice(leg, n))
                {
                    note(to, header, payload);
                }
                taped += usize::from(exchange.taped().is_some());
            }
        }
    }
    (sent, taped)
}

fn share(codec: Codec, hertz: f64, heard: &[(Header, Vec<u8>)]) -> f64 {
    let sound = heard.iter().flat_map(|(_, payload)| payload);
    Goertzel::share_of(hertz, sound.map(|code| g711::decode(codec, *code)))
}

fn steps(streams: &[Stream]) {
    for stream in streams {
        for two in stream.windows(2) {
            let step = two[1].0.sequence.wrapping_sub(two[0].0.sequence);
            assert_eq!(step, 1, "one stream, without a step");
            assert_eq!(two[1].0.ssrc, two[0].0.ssrc);
            let later = two[1].0.timestamp.wrapping_sub(two[0].0.timestamp);
            assert!(later < 0x8000_0000, "its clock never goes back");
        }
    }
}

#[test]
fn who_is_held_hears_the_prompt_and_neither_hears_the_other() {
    let mut exchange = bridged();
    let record = MediaCommand::Record {
        recording: AttemptId(7),
        agent: B,
        person: A,
    };
    tell(&mut exchange, 0, record);
    let ([a, b, _], taped) = both_speak(&mut exchange, 0, 2_000);
    assert!(share(Codec::Pcmu, AGENT, &a) > 0.9 && share(Codec::Pcma, PERSON, &b) > 0.9);
    assert_eq!(taped, 200);

    tell(&mut exchange, 2_000, hold());
    let ([held, holds, _], taped) = both_speak(&mut exchange, 2_000, 8_000);
    assert!(held.len() >= 299, "music all the time: {}", held.len());
    assert!(
        share(Codec::Pcmu, AGENT, &held) < 0.01,
        "nothing of the agent"
    );
    for (hertz, note) in [(523.25, 1..19), (659.25, 21..39)] {
        let note = share(Codec::Pcmu, hertz, &held[note]);
        assert!(note > 0.9, "{hertz} Hz: {note}");
    }
    let said = holds.iter().flat_map(|(_, payload)| payload);
    let quiet = g711::silence(Codec::Pcma);
    assert!(
        said.into_iter().all(|code| *code == quiet),
        "nothing of the person"
    );
    assert_eq!(taped, 0, "the recording has silence of both");

    tell(&mut exchange, 8_000, RESUME);
    let ([after, heard, _], taped) = both_speak(&mut exchange, 8_000, 10_000);
    assert!(share(Codec::Pcmu, AGENT, &after) > 0.9 && share(Codec::Pcma, PERSON, &heard) > 0.9);
    assert_eq!(taped, 200);
    steps(&[[a, held, after].concat(), [b, holds, heard].concat()]);
}

#[test]
fn a_supervisor_hears_the_agent_alone_and_barges_into_nothing() {
    let mut exchange = bridged();
    open(&mut exchange, BOSS, Codec::Pcma, at(0));
    let supervise = MediaCommand::Supervise {
        leg: BOSS,
        agent: B,
        manner: Supervision::Barge,
    };
    tell(&mut exchange, 0, supervise);
    let ([a, ..], _) = both_speak(&mut exchange, 0, 1_000);
    tell(&mut exchange, 1_000, hold());
    let ([held, _, boss], _) = both_speak(&mut exchange, 1_000, 4_000);
    assert!(share(Codec::Pcmu, AGENT, &held) < 0.01);
    assert!(
        share(Codec::Pcma, AGENT, &boss[10..]) > 0.9,
        "the agent alone"
    );
    assert!(share(Codec::Pcma, PERSON, &boss[10..]) < 0.01);
    tell(&mut exchange, 4_000, RESUME);
    let ([after, _, boss], _) = both_speak(&mut exchange, 4_000, 6_000);
    assert!(share(Codec::Pcmu, AGENT, &after) > 0.9);
    assert!(share(Codec::Pcma, PERSON, &boss) > 0.3);
    steps(&[[a, held, after].concat()]);
}

#[test]
fn a_hold_ends_with_its_bridge_and_needs_one() {
    let mut exchange = bridged();
    let unbridge = MediaCommand::Unbridge { a: A, b: B };
    tell(&mut exchange, 0, hold());
    // Twice is once.
    tell(&mut exchange, 10, hold());
    tell(&mut exchange, 500, unbridge);
    let ([a, b, _], _) = both_speak(&mut exchange, 500, 3_400);
    let quiet = |heard: &[(Header, Vec<u8>)], silence| {
        heard
            .iter()
            .all(|(_, payload)| payload.iter().all(|code| *code == silence))
    };
    assert!(quiet(&a, 0xff) && quiet(&b, 0xd5), "the music is over");
    for command in [hold(), RESUME] {
        let refused = exchange.handle(at(3_400), command);
        assert_eq!(refused, Err(Rejected::NotBridged));
    }
    tell(&mut exchange, 3_400, MediaCommand::Bridge { a: A, b: B });
    let unknown = PromptId(99);
    let refused = exchange.handle(
        at(3_400),
        MediaCommand::Hold {
            leg: A,
            prompt: unknown,
        },
    );
    assert_eq!(refused, Err(Rejected::UnknownPrompt));
    // Nothing to resume, and what is said is heard.
    tell(&mut exchange, 3_400, RESUME);
    let ([a, ..], _) = both_speak(&mut exchange, 3_400, 4_400);
    assert!(share(Codec::Pcmu, AGENT, &a) > 0.9);
}
