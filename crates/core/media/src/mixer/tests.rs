use super::*;
use proptest::prelude::*;

const LAWS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

/// So many parties, each of whom hears all others.
fn conference(parties: usize) -> (Mixer, Vec<Party>) {
    let mut mixer = Mixer::default();
    let all: Vec<Party> = (0..parties).map(|_| mixer.join().unwrap()).collect();
    for listener in &all {
        for speaker in &all {
            mixer.set_hears(*listener, *speaker, true);
        }
    }
    (mixer, all)
}

fn sound(codec: Codec, sample: i16, len: usize) -> Vec<u8> {
    vec![g711::encode(codec, sample); len]
}

fn heard(mixer: &Mixer, listener: Party, codec: Codec) -> Vec<i16> {
    let mut frame = [0; FRAME];
    mixer.mix(listener, codec, &mut frame);
    frame
        .iter()
        .map(|code| g711::decode(codec, *code))
        .collect()
}

fn close(heard: &[i16], wanted: i32) -> bool {
    let room = wanted.abs() / 16 + 32;
    heard
        .iter()
        .all(|sample| (i32::from(*sample) - wanted).abs() <= room)
}

#[test]
fn each_hears_the_others_and_never_itself() {
    let (mut mixer, all) = conference(3);
    for (n, party) in all.iter().enumerate() {
        let codec = LAWS[n % 2];
        let said = sound(codec, [1_000, 3_000, -6_000][n], FRAME);
        mixer.say(*party, codec, (1, 1), &said);
    }
    mixer.tick();
    for codec in LAWS {
        assert!(close(&heard(&mixer, all[0], codec), 3_000 - 6_000));
        assert!(close(&heard(&mixer, all[1], codec), 1_000 - 6_000));
        assert!(close(&heard(&mixer, all[2], codec), 1_000 + 3_000));
    }
    // Nothing more was said.
    mixer.tick();
    assert!(close(&heard(&mixer, all[0], Codec::Pcmu), 0));
}

#[test]
fn loud_voices_saturate() {
    let (mut mixer, all) = conference(3);
    for party in &all[1..] {
        mixer.say(
            *party,
            Codec::Pcmu,
            (1, 1),
            &sound(Codec::Pcmu, 30_000, FRAME),
        );
    }
    mixer.tick();
    let top = heard(&mixer, all[0], Codec::Pcmu);
    assert!(top.iter().all(|sample| *sample > 31_000), "{top:?}");
}

#[test]
fn who_may_not_be_heard_is_not_and_who_left_neither() {
    let (mut mixer, all) = conference(3);
    let say = |mixer: &mut Mixer, n| {
        mixer.say(
            all[2],
            Codec::Pcma,
            (1, n),
            &sound(Codec::Pcma, 9_000, FRAME),
        );
        mixer.tick();
    };
    mixer.set_hears(all[0], all[2], false);
    say(&mut mixer, 1);
    assert!(close(&heard(&mixer, all[0], Codec::Pcma), 0));
    assert!(close(&heard(&mixer, all[1], Codec::Pcma), 9_000));
    // At once: what was said before it is not heard either.
    mixer.set_hears(all[1], all[2], false);
    assert!(close(&heard(&mixer, all[1], Codec::Pcma), 0));
    mixer.set_hears(all[1], all[2], true);
    mixer.leave(all[2]);
    assert!(close(&heard(&mixer, all[1], Codec::Pcma), 0));
    // Whoever takes the place is heard by nobody yet.
    let next = mixer.join().unwrap();
    assert_eq!(next, all[2]);
    say(&mut mixer, 2);
    assert!(close(&heard(&mixer, all[1], Codec::Pcma), 0));
}

#[test]
fn places_are_bounded() {
    let (mut mixer, all) = conference(limits::MIX_PARTIES);
    assert_eq!(mixer.join(), None);
    mixer.leave(all[1]);
    assert_eq!(mixer.parties(), limits::MIX_PARTIES - 1);
    assert_eq!(mixer.join(), Some(all[1]));
    assert_eq!(mixer.join(), None);
}

/// Packets of that length on their own clock of samples, `late` samples behind the mixer's.
fn silent_frames(len: usize, late: usize, frames: usize) -> usize {
    let (mut mixer, all) = conference(2);
    let (mut said, mut silent) = (0, 0);
    for frame in 1..=frames {
        while (said + 1) * len + late <= frame * FRAME {
            said += 1;
            mixer.say(
                all[0],
                Codec::Pcmu,
                (1, said as u64),
                &sound(Codec::Pcmu, 5_000, len),
            );
        }
        mixer.tick();
        if said > 0 {
            let frame = heard(&mixer, all[1], Codec::Pcmu);
            silent += usize::from(!close(&frame, 5_000));
        }
    }
    silent
}

#[test]
fn packets_of_every_length_flow() {
    for len in [80, 160, 240, 320, 480, 800, 960] {
        for late in [0, 17, 79, 159] {
            // At the beginning, and no more.
            let silent = silent_frames(len, late, 500);
            assert!(silent <= 2 + len / FRAME, "{len} {late}: {silent}");
        }
    }
}

#[test]
fn a_burst_is_cut_down_and_a_late_packet_left_out() {
    let (mut mixer, all) = conference(2);
    for n in 1..=20 {
        let said = sound(Codec::Pcmu, 500 * n, FRAME);
        mixer.say(all[0], Codec::Pcmu, (1, n as u64), &said);
    }
    let mut frames = 0;
    loop {
        mixer.tick();
        let frame = heard(&mixer, all[1], Codec::Pcmu);
        if close(&frame, 0) {
            break;
        }
        frames += 1;
        // The newest is what is left at the end.
        assert!(frame[0] > 8_000, "{}", frame[0]);
    }
    assert!((1..=3).contains(&frames), "{frames}");
    mixer.say(
        all[0],
        Codec::Pcmu,
        (1, 20),
        &sound(Codec::Pcmu, 500, FRAME),
    );
    mixer.tick();
    assert!(close(&heard(&mixer, all[1], Codec::Pcmu), 0), "came before");
    // Another stream counts anew.
    mixer.say(all[0], Codec::Pcmu, (2, 1), &sound(Codec::Pcmu, 500, FRAME));
    mixer.tick();
    assert!(close(&heard(&mixer, all[1], Codec::Pcmu), 500));
}

#[test]
fn a_rest_of_a_frame_is_forgotten() {
    let (mut mixer, all) = conference(2);
    mixer.say(all[0], Codec::Pcmu, (1, 1), &sound(Codec::Pcmu, 5_000, 240));
    for _ in 0..10 {
        mixer.tick();
    }
    mixer.say(
        all[0],
        Codec::Pcmu,
        (1, 2),
        &sound(Codec::Pcmu, -5_000, FRAME),
    );
    mixer.tick();
    assert!(close(&heard(&mixer, all[1], Codec::Pcmu), -5_000));
}

proptest! {
    /// Whatever comes: no panic, nobody hears itself or one whom it may not, and nothing waits longer
    /// than the newest packet and two frames.
    #[test]
    fn nothing_gets_where_it_may_not(
        turns in proptest::collection::vec((0usize..4, 0usize..1_400, any::<u64>(), 0usize..3), 1..200),
        deaf in (0usize..4, 0usize..4),
    ) {
        let (mut mixer, all) = conference(4);
        mixer.set_hears(all[deaf.0], all[deaf.1], false);
        for (who, len, extended, ticks) in turns {
            // Each speaks with a level of its own: what is heard tells who spoke.
            let level = 1_000 << who;
            mixer.say(all[who], Codec::Pcma, (1, extended % 1_000), &sound(Codec::Pcma, level, len));
            let voice = mixer.voices[who].as_ref().unwrap();
            prop_assert!(voice.waiting <= voice.wanted.max(len.min(PACKET)) + AHEAD);
            for _ in 0..ticks {
                mixer.tick();
                for (n, listener) in all.iter().enumerate() {
                    let allowed: i32 = (0..4)
                        .filter(|m| *m != n && (n, *m) != deaf)
                        .filter(|m| mixer.voices[*m].as_ref().unwrap().speaks)
                        .map(|m| 1_000 << m)
                        .sum();
                    prop_assert!(close(&heard(&mixer, *listener, Codec::Pcma), allowed));
                }
            }
        }
    }
}
