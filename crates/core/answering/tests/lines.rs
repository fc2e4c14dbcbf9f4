//! Whole lines from memory: what a listener says, whatever cuts the samples.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use answering::{Event, FRAME, Listener, Phase, Reason, Ringing, Settings, Sit, Verdict};
use media::tones::sine;
use sansio::{Seed, Stream};

/// Sines together for so many ms; none is silence.
fn tone(samples: &mut Vec<i16>, frequencies: &[f64], millis: usize) {
    let from = samples.len();
    samples.resize(from + millis * 8, 0);
    for frequency in frequencies {
        let wave = sine(*frequency, -15.0, 0, millis * 8);
        samples[from..]
            .iter_mut()
            .zip(wave)
            .for_each(|(s, w)| *s += w);
    }
}

/// Something like speech: a gliding voice in syllables of 180 ms with 40 ms between.
fn speak(samples: &mut Vec<i16>, millis: usize) {
    let mut phase = 0.0f64;
    for n in 0..millis * 8 {
        let at = n as f64 / 8_000.0;
        phase += (130.0 + 40.0 * (9.0 * at).sin()) / 8_000.0;
        let syllable = (std::f64::consts::PI * (at % 0.22) / 0.18).sin().max(0.0);
        let voice: f64 = (1..=12)
            .map(|h| (std::f64::consts::TAU * phase * f64::from(h)).sin() / f64::from(h).sqrt())
            .sum();
        samples.push((2_500.0 * syllable * voice) as i16);
    }
}

fn noise(samples: &mut [i16], random: &mut Stream) {
    for sample in samples {
        *sample = sample.saturating_add((random.below(61) as i16) - 30);
    }
}

/// What is said of a line that is answered at once, and when, in ms.
fn hear(samples: &[i16]) -> Vec<(Event, u32)> {
    let mut listener = Listener::new(Settings::default());
    listener.answered();
    let mut events = Vec::new();
    for frame in samples.as_chunks::<FRAME>().0 {
        events.extend(
            listener
                .handle_frame(frame)
                .map(|e| (e, listener.heard_ms())),
        );
    }
    events
}

/// A line with everything: ringing, the answer after 6 s, a greeting, a beep.
fn machine() -> Vec<i16> {
    let mut samples = Vec::new();
    tone(&mut samples, &[450.0], 1_000);
    tone(&mut samples, &[], 4_000);
    tone(&mut samples, &[450.0], 1_000);
    tone(&mut samples, &[], 700);
    speak(&mut samples, 4_000);
    tone(&mut samples, &[], 600);
    tone(&mut samples, &[1_000.0], 500);
    tone(&mut samples, &[], 1_000);
    noise(&mut samples, &mut Seed::from_u64(1).stream("noise"));
    samples
}

#[test]
fn frames_cut_anywhere_say_the_same() {
    let samples = machine();
    let answered = 6_000 * 8;
    let run = |random: &mut Stream, most: u32| {
        let mut listener = Listener::new(Settings::default());
        let mut events = Vec::new();
        for (n, part) in [&samples[..answered], &samples[answered..]]
            .into_iter()
            .enumerate()
        {
            if n == 1 {
                listener.answered();
            }
            let mut rest = part;
            while !rest.is_empty() {
                let count = (1 + random.below(most) as usize).min(rest.len());
                let (now, later) = rest.split_at(count);
                listener.hear(now, |event| events.push(event));
                rest = later;
            }
        }
        (events, listener.features())
    };
    let random = &mut Seed::from_u64(2).stream("cuts");
    let whole = run(random, 1);
    let ringing = Event::Verdict(Verdict::Ringback(Ringing::China), Reason::Cadence);
    assert!(
        matches!(whole.0[..], [first, Event::Verdict(Verdict::Machine, _), Event::Beep] if first == ringing),
        "{whole:?}"
    );
    for most in [7, 160, 161, 240, 5_000] {
        for _ in 0..5 {
            assert_eq!(run(random, most), whole, "{most}");
        }
    }
}

#[test]
fn a_hello_is_a_person_soon_after() {
    let mut samples = Vec::new();
    tone(&mut samples, &[], 500);
    speak(&mut samples, 420);
    tone(&mut samples, &[], 2_000);
    noise(&mut samples, &mut Seed::from_u64(3).stream("noise"));
    let [(event, ms)] = hear(&samples)[..] else {
        panic!("one verdict");
    };
    assert_eq!(event, Event::Verdict(Verdict::Human, Reason::GreetingEnded));
    assert!(ms <= 920 + 1_000, "{ms}");
}

#[test]
fn nobody_speaks() {
    let mut samples = Vec::new();
    tone(&mut samples, &[], 6_000);
    noise(&mut samples, &mut Seed::from_u64(4).stream("noise"));
    let silence = Event::Verdict(Verdict::Silence, Reason::Limit);
    assert_eq!(hear(&samples), [(silence, 4_000)]);
}

#[test]
fn a_verdict_comes_by_the_limit() {
    // Words far apart and a tone that never ends: nothing that could be told.
    let mut samples = Vec::new();
    for _ in 0..4 {
        tone(&mut samples, &[1_300.0], 3_000);
        tone(&mut samples, &[], 20);
    }
    let unknown = Event::Verdict(Verdict::Unknown, Reason::Limit);
    assert_eq!(hear(&samples), [(unknown, 8_000)]);
}

#[test]
fn faxes_busy_lines_and_special_tones_after_the_answer() {
    for (parts, verdict) in [
        (&[(&[][..], 500), (&[2_100.0], 2_000)][..], Verdict::Fax),
        (&[(&[], 500), (&[1_100.0], 500), (&[], 500)], Verdict::Fax),
        (
            &[
                (&[450.0], 350),
                (&[], 350),
                (&[450.0], 350),
                (&[], 350),
                (&[450.0], 350),
            ],
            Verdict::Busy,
        ),
        (
            &[
                (&[], 100),
                (&[985.2], 380),
                (&[1_370.6], 274),
                (&[1_776.7], 380),
                (&[], 500),
            ],
            Verdict::Sit(Sit::VacantCode),
        ),
    ] {
        let mut samples = Vec::new();
        for (frequencies, millis) in parts {
            tone(&mut samples, frequencies, *millis);
        }
        let events = hear(&samples);
        let first = events.first().map(|(event, _)| *event);
        let matches = matches!(first, Some(Event::Verdict(v, _)) if v == verdict);
        assert!(matches && events.len() == 1, "{verdict:?}: {events:?}");
    }
}

#[test]
fn the_answer_forgets_what_was_said_before() {
    let mut listener = Listener::new(Settings::default());
    let mut samples = Vec::new();
    tone(&mut samples, &[], 300);
    speak(&mut samples, 3_000);
    let mut events = Vec::new();
    listener.hear(&samples, |event| events.push(event));
    let announcement = Event::Verdict(Verdict::Announcement, Reason::GreetingWentOn);
    assert_eq!(
        (events, listener.phase()),
        (vec![announcement], Phase::EarlyMedia)
    );
    listener.answered();
    assert_eq!((listener.verdict(), listener.heard_ms()), (None, 0));
    assert_eq!(listener.features().spoken_ms, 0);
}
