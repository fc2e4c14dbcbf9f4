use super::*;
use proptest::prelude::*;

const QUIET: u8 = 0xff;

fn at(millis: u64) -> Instant {
    Instant::from_millis(5_000 + millis)
}

fn packet(millis: u64, channel: Channel, timestamp: u32, payload: &[u8]) -> Sound<'_> {
    Sound {
        at: at(millis),
        channel,
        codec: Codec::Pcmu,
        stream: 7,
        timestamp,
        payload,
    }
}

/// Hears packets in their order, ends, and gives both sides.
fn record(sounds: &[Sound<'_>], end: u64) -> (Recorder, [Vec<u8>; 2]) {
    let mut recorder = Recorder::new(at(0), Codec::Pcmu);
    let (mut chunk, mut all) = (Vec::new(), Vec::new());
    for sound in sounds {
        while recorder.chunk(sound.at, &mut chunk) {
            assert_eq!(chunk.len(), CHUNK_BYTES);
            all.extend_from_slice(&chunk);
        }
        recorder.hear(sound);
    }
    let sides = finish(&mut recorder, end, all);
    (recorder, sides)
}

fn finish(recorder: &mut Recorder, end: u64, mut all: Vec<u8>) -> [Vec<u8>; 2] {
    let mut chunk = Vec::new();
    while recorder.chunk(at(end), &mut chunk) {
        all.extend_from_slice(&chunk);
    }
    recorder.end(at(end));
    while recorder.chunk(at(end), &mut chunk) {
        all.extend_from_slice(&chunk);
    }
    assert_eq!(all.len() as u64, 2 * recorder.frames());
    [0, 1].map(|side| all.iter().skip(side).step_by(2).copied().collect())
}

/// Where other than silence is, as spans of frames.
fn spans(side: &[u8]) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (n, _) in side.iter().enumerate().filter(|(_, code)| **code != QUIET) {
        match spans.last_mut() {
            Some(last) if last.1 == n => last.1 = n + 1,
            _ => spans.push((n, n + 1)),
        }
    }
    spans
}

#[test]
fn both_sides_are_where_they_were_said_and_as_long_as_the_bridge() {
    let mut sounds = Vec::new();
    for n in 0..150u32 {
        sounds.push(packet(
            100 + u64::from(n) * 20,
            Channel::Agent,
            n * 160,
            &[1; 160],
        ));
        if n >= 50 {
            sounds.push(packet(
                100 + u64::from(n) * 20,
                Channel::Person,
                77 + n * 160,
                &[2; 160],
            ));
        }
    }
    let (recorder, [agent, person]) = record(&sounds, 3_333);
    assert_eq!(agent.len(), 3_333 * 8);
    assert_eq!(person.len(), agent.len());
    assert_eq!(recorder.length_ms(), 3_333);
    assert_eq!(spans(&agent), [(640, 640 + 150 * 160)]);
    assert_eq!(spans(&person), [(8_640, 8_640 + 100 * 160)]);
    assert_eq!(recorder.sides().map(|side| side.packets), [150, 100]);
    assert_eq!(recorder.peaks().len(), 34);
    // The agent's first packet was said from 80 ms on, the person's from 1,080 ms.
    let loud = |tenth: usize| recorder.peaks()[tenth].map(|peak| peak > 200);
    assert_eq!(loud(0), [true, false]);
    assert_eq!((loud(9), loud(10)), ([true, false], [true, true]));
    assert_eq!((loud(30), recorder.peaks()[33]), ([true, true], [0, 0]));
}

#[test]
fn what_was_lost_is_silence_and_what_came_late_finds_its_place() {
    let payloads: Vec<[u8; 160]> = (0..10).map(|n| [n + 1; 160]).collect();
    let one = |millis, n: usize| packet(millis, Channel::Person, n as u32 * 160, &payloads[n]);
    // The fourth never comes, the sixth after the seventh, the eighth far too late.
    let sounds = [
        one(20, 0),
        one(40, 1),
        one(60, 2),
        one(100, 4),
        one(140, 6),
        one(145, 5),
        one(180, 8),
        one(200, 9),
        one(1_700, 7),
    ];
    let (recorder, [agent, person]) = record(&sounds, 1_800);
    assert!(spans(&agent).is_empty());
    assert_eq!(spans(&person), [(0, 480), (640, 1_120), (1_280, 1_600)]);
    assert_eq!((person[800], person[960], person[1_300]), (6, 7, 9));
    let facts = recorder.sides()[1];
    assert_eq!((facts.packets, facts.late), (8, 1));
}

#[test]
fn laws_are_one_in_the_file() {
    let other = Sound {
        codec: Codec::Pcma,
        ..packet(20, Channel::Person, 0, &[0xd5; 160])
    };
    let (_, [_, person]) = record(&[other], 100);
    // A-law has no zero: its quietest is a step beside it.
    let quiet = person
        .iter()
        .map(|code| g711::decode(Codec::Pcmu, *code).abs());
    assert!(
        quiet.max() <= Some(8),
        "as loud as if it were of the other law"
    );
    assert_eq!(person.iter().filter(|code| **code != QUIET).count(), 160);
}

#[test]
fn a_pause_is_silence_and_marked_whatever_comes() {
    let mut recorder = Recorder::new(at(0), Codec::Pcmu);
    let (mut all, mut chunk) = (Vec::new(), Vec::new());
    for n in 0..300u32 {
        let millis = 20 + u64::from(n) * 20;
        while recorder.chunk(at(millis), &mut chunk) {
            all.extend_from_slice(&chunk);
        }
        match millis {
            1_000 => recorder.pause(at(millis)),
            2_500 => recorder.pause(at(millis)),
            3_020 => recorder.resume(at(3_025)),
            5_000 => recorder.pause(at(millis)),
            _ => {}
        }
        // On its way for 15 ms: what is told of the pause's last moment comes after it.
        let heard = Sound {
            at: at(millis + 15),
            ..packet(0, Channel::Agent, n * 160, &[3; 160])
        };
        recorder.hear(&heard);
    }
    let [agent, _] = finish(&mut recorder, 6_000, all);
    assert_eq!(recorder.pauses(), [(1_000, 3_025), (5_000, 6_000)]);
    assert_eq!(recorder.paused_ms(), 3_025);
    assert!(agent[8_000..24_200].iter().all(|code| *code == QUIET));
    assert!(agent[24_200..39_000].iter().all(|code| *code == 3));
    assert!(agent[40_000..].iter().all(|code| *code == QUIET));
    assert_eq!(agent.len(), 48_000);
}

#[test]
fn pauses_beyond_the_bound_are_one_with_the_last() {
    let mut recorder = Recorder::new(at(0), Codec::Pcmu);
    for n in 0..limits::RECORDING_PAUSES as u64 + 5 {
        recorder.pause(at(n * 20));
        recorder.resume(at(n * 20 + 10));
    }
    assert_eq!(recorder.pauses().len(), limits::RECORDING_PAUSES);
    let end = (limits::RECORDING_PAUSES as u32 + 4) * 20 + 10;
    assert_eq!(recorder.pauses().last().map(|mark| mark.1), Some(end));
}

#[test]
fn it_ends_at_its_longest() {
    let mut recorder = Recorder::new(at(0), Codec::Pcmu);
    let day = Instant::from_millis(90_000_000);
    let mut chunk = Vec::new();
    recorder.end(day);
    let mut chunks = 0;
    while recorder.chunk(day, &mut chunk) {
        chunks += 1;
    }
    assert_eq!(chunks, limits::RECORDING.as_secs());
    assert_eq!(
        u128::from(recorder.length_ms()),
        limits::RECORDING.as_millis()
    );
}

#[test]
fn a_new_clock_and_a_stall_are_told_apart() {
    let mut sounds = Vec::new();
    // A second of talk, two seconds in which nothing comes through, then all of it at once.
    for n in 0..50u32 {
        sounds.push(packet(
            20 + u64::from(n) * 20,
            Channel::Agent,
            n * 160,
            &[4; 160],
        ));
    }
    for n in 50..150u32 {
        sounds.push(packet(3_000, Channel::Agent, n * 160, &[5; 160]));
    }
    for n in 150..200u32 {
        sounds.push(packet(
            20 + u64::from(n) * 20,
            Channel::Agent,
            n * 160,
            &[6; 160],
        ));
    }
    // Then timestamps that go back, on the same stream.
    for n in 0..100u32 {
        sounds.push(packet(
            4_020 + u64::from(n) * 20,
            Channel::Agent,
            n * 160,
            &[7; 160],
        ));
    }
    let (recorder, [agent, _]) = record(&sounds, 6_100);
    assert!(agent[24_000..32_000].iter().all(|code| *code == 6));
    let sevens: Vec<_> = (agent.iter().enumerate().filter(|(_, c)| **c == 7))
        .map(|(n, _)| n)
        .collect();
    // Half a second of doubt, then heard to its end.
    assert!((36_000..37_000).contains(&sevens[0]), "{}", sevens[0]);
    assert_eq!(sevens.last(), Some(&47_999));
    assert!(recorder.sides()[0].late >= 25);
}

#[test]
fn slow_and_fast_clocks_stay_beside_ours() {
    for (every_us, name) in [(20_100u64, "slow"), (19_900, "fast")] {
        let mut recorder = Recorder::new(at(0), Codec::Pcmu);
        let (mut chunk, mut all) = (Vec::new(), Vec::new());
        let mut n = 0u32;
        loop {
            let micros = 20_000 + u64::from(n) * every_us;
            if micros > 600_000_000 {
                break;
            }
            let now = Instant::from_nanos(at(0).as_nanos() + micros * 1_000);
            while recorder.chunk(now, &mut chunk) {
                all.extend_from_slice(&chunk);
            }
            // A click each second of the sender's.
            let click = if n.is_multiple_of(50) {
                [9; 160]
            } else {
                [QUIET; 160]
            };
            recorder.hear(&Sound {
                at: now,
                ..packet(0, Channel::Agent, n * 160, &click)
            });
            n += 1;
        }
        let [agent, _] = finish(&mut recorder, 600_000, all);
        assert_eq!(agent.len(), 4_800_000);
        let last = agent.iter().rposition(|code| *code == 9).expect("clicks");
        // The last click, where it came in our time, within 200 ms.
        let click = u64::from((n - 1) / 50 * 50);
        let came = (20_000 + click * every_us) * 8 / 1000;
        assert!(
            came.abs_diff(last as u64) < 1_760,
            "{name}: {last} for {came}"
        );
        assert_eq!(recorder.sides()[0].late, 0, "{name}");
    }
}

proptest! {
    /// Whatever comes: as long as the bridge, nothing of a pause, nothing that nobody said.
    #[test]
    fn anything_may_come(
        packets in proptest::collection::vec(
            (0u64..400, any::<bool>(), any::<u32>(), 0usize..1_500, 0u8..20), 0..200,
        ),
        tail in 0u64..3_000,
    ) {
        let mut recorder = Recorder::new(at(0), Codec::Pcmu);
        let (mut chunk, mut all, mut now, mut paused) = (Vec::new(), Vec::new(), 0, None);
        let mut marks = Vec::new();
        for (step, agent, timestamp, len, what) in packets {
            now += step;
            while recorder.chunk(at(now), &mut chunk) {
                prop_assert_eq!(chunk.len(), CHUNK_BYTES);
                all.extend_from_slice(&chunk);
            }
            match what {
                0 => { recorder.pause(at(now)); paused.get_or_insert(now); }
                1 => { recorder.resume(at(now)); marks.extend(paused.take().map(|p| (p, now))); }
                _ => {
                    let payload = vec![11; len];
                    let channel = if agent { Channel::Agent } else { Channel::Person };
                    // Near timestamps and far ones.
                    let timestamp = if what < 12 { (now as u32 * 8).wrapping_add(timestamp % 4_000) } else { timestamp };
                    recorder.hear(&packet(now, channel, timestamp, &payload));
                }
            }
        }
        let end = now + tail;
        marks.extend(paused.take().map(|p| (p, end)));
        let sides = finish(&mut recorder, end, all);
        for side in &sides {
            prop_assert_eq!(side.len() as u64, end * 8);
            prop_assert!(side.iter().all(|code| [11, QUIET].contains(code)));
        }
        prop_assert_eq!(recorder.peaks().len() as u64, (end * 8).div_ceil(PEAK_FRAMES as u64));
        let kept: Vec<_> = recorder.pauses().iter().map(|(a, b)| (u64::from(*a), u64::from(*b))).collect();
        prop_assert_eq!(kept, marks);
    }
}
