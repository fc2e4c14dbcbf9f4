//! What becomes of a call: drawn from nothing but the seed, the number, how often it was called,
//! and the hour. The same campaign against the same seed meets the same people.

use crate::audio::{Sound, rtp::Program, tone_hertz};
use sansio::{Seed, Stream};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a number takes a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// Rings, a person answers, says hello, talks, hangs up or waits for the caller to.
    #[default]
    Human,
    /// Answers at once and never hangs up: for load and for tests that hang up themselves.
    AnswerNow,
    /// Rings, a machine answers, greets, beeps, records, hangs up.
    Machine,
    /// Rings, a fax machine answers.
    Fax,
    /// 486.
    Busy,
    /// Rings until CANCEL.
    NoAnswer,
    /// As `NoAnswer`, with ringback as early media (183).
    EarlyMedia,
    /// 404.
    Unallocated,
    /// 480 with Q.850 cause 20: subscriber absent.
    PoweredOff,
    /// 480 without a cause.
    Unavailable,
    /// 603.
    Rejected,
    /// 503.
    Failure,
    /// 100 and nothing more.
    Mute,
    /// No answer at all, not even 100.
    BlackHole,
    /// Rings; when CANCEL comes the person has just picked up: 200 to the INVITE goes out first.
    AnswersAtCancel,
    /// This status, after the post-dial delay.
    Status(u16),
}

/// How people behave. Times are milliseconds; spread times are lognormal with the given mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habits {
    /// Of 1000 calls, how many a person answers, by hour of day.
    pub answer_permille_by_hour: [u32; 24],
    /// Of 1000 calls that no person answers, how many are busy.
    pub busy_permille: u32,
    /// ... how many go to a machine.
    pub machine_permille: u32,
    /// ... how many reach a number that does not exist.
    pub unallocated_permille: u32,
    /// ... how many are switched off.
    pub powered_off_permille: u32,
    /// ... how many are rejected.
    pub rejected_permille: u32,
    /// ... how many fail in the network with 503. The rest of the 1000 ring without an answer.
    pub failure_permille: u32,
    /// Of 1000 that ring, how many send early media.
    pub early_media_permille: u32,
    /// From INVITE to the first ringing.
    pub post_dial_mean_ms: u32,
    /// From ringing to the answer.
    pub ring_mean_ms: u32,
    /// From the answer to hanging up.
    pub talk_mean_ms: u32,
    /// Of 1000 people, how many wait for the caller to hang up.
    pub waits_permille: u32,
    /// How long a machine's greeting lasts.
    pub greeting_mean_ms: u32,
    /// How long a person who said hello is silent before the own tone: who listens to who answers
    /// (answering machine detection) hears a person wait, as persons do.
    pub hush_ms: u32,
}

impl Default for Habits {
    /// An ordinary town: nights are quiet, people answer a third of the calls.
    fn default() -> Self {
        let mut by_hour = [0; 24];
        for (hour, share) in by_hour.iter_mut().enumerate() {
            *share = match hour {
                0..7 => 60,
                7..9 => 220,
                9..12 => 320,
                12..14 => 280,
                14..18 => 330,
                18..21 => 400,
                _ => 180,
            };
        }
        Self {
            answer_permille_by_hour: by_hour,
            busy_permille: 140,
            machine_permille: 120,
            unallocated_permille: 60,
            powered_off_permille: 120,
            rejected_permille: 30,
            failure_permille: 15,
            early_media_permille: 300,
            post_dial_mean_ms: 2_500,
            ring_mean_ms: 9_000,
            talk_mean_ms: 45_000,
            waits_permille: 300,
            greeting_mean_ms: 7_000,
            hush_ms: 200,
        }
    }
}

impl Habits {
    /// For demonstrations and tests: awake at every hour, quick to answer, short of words.
    pub fn demo() -> Self {
        Self {
            answer_permille_by_hour: [480; 24],
            post_dial_mean_ms: 300,
            ring_mean_ms: 2_000,
            talk_mean_ms: 8_000,
            greeting_mean_ms: 3_000,
            ..Self::default()
        }
    }

    /// What cannot be true; names the field.
    pub fn check(&self) -> Result<(), String> {
        let unanswered = self.busy_permille
            + self.machine_permille
            + self.unallocated_permille
            + self.powered_off_permille
            + self.rejected_permille
            + self.failure_permille;
        if unanswered > 1000 {
            return Err(format!(
                "habits: *_permille of unanswered calls add up to {unanswered}, above 1000"
            ));
        }
        for (hour, share) in self.answer_permille_by_hour.iter().enumerate() {
            if *share > 1000 {
                return Err(format!(
                    "habits.answer_permille_by_hour[{hour}]: {share} is above 1000"
                ));
            }
        }
        Ok(())
    }
}

/// One call's fate.
#[derive(Clone, Debug, PartialEq)]
pub struct Fate {
    /// How the number takes it.
    pub behaviour: Behaviour,
    /// From INVITE to ringing or to the refusal.
    pub post_dial: Duration,
    /// From ringing to the answer.
    pub ring: Duration,
    /// From the answer to hanging up; none: waits for the caller.
    pub talk: Option<Duration>,
    /// Whether ringing comes as 183 with ringback.
    pub early_media: bool,
    /// What is played after the answer.
    pub program: Program,
    /// The callee's own tone, in hertz.
    pub tone: u32,
}

/// Draws the fate of the `attempt`th call (from 1) to a number, at an hour of the day. A forced
/// behaviour changes what happens, but none of the times.
pub fn draw(
    seed: u64,
    digits: &str,
    attempt: u32,
    hour: usize,
    habits: &Habits,
    forced: Option<Behaviour>,
) -> Fate {
    let stream = |name: &str| Seed::from_u64(seed).stream(&format!("{name}/{digits}/{attempt}"));
    let behaviour = forced.unwrap_or_else(|| behave(&mut stream("behaviour"), hour, habits));
    let mut times = stream("times");
    let mut spread = |mean_ms: u32, sigma: f64| lognormal(&mut times, mean_ms, sigma);
    let post_dial = spread(habits.post_dial_mean_ms, 0.4);
    let ring = spread(habits.ring_mean_ms, 0.5);
    let talk = spread(habits.talk_mean_ms, 0.6);
    let greeting = spread(habits.greeting_mean_ms, 0.3);
    let mut choices = stream("choices");
    let waits = choices.permille(habits.waits_permille);
    let early_media = choices.permille(habits.early_media_permille);
    let tone = tone_hertz(digits);
    let packets = |d: Duration| (d.as_millis() / 20) as u32;
    let own_tone = (Sound::Tone(tone), 0);
    let (talk, program) = match behaviour {
        Behaviour::AnswerNow => (None, vec![own_tone]),
        Behaviour::Machine => (
            Some(greeting + Duration::from_millis(500) + talk / 2),
            vec![
                (Sound::Speech, packets(greeting).max(1)),
                (Sound::Beep, 25),
                (Sound::Silence, 0),
            ],
        ),
        Behaviour::Fax => (
            Some(Duration::from_secs(8)),
            vec![(Sound::Fax, 150), (Sound::Silence, 0)],
        ),
        _ => (
            (!waits).then_some(talk),
            vec![
                (Sound::Speech, 20),
                (Sound::Silence, (habits.hush_ms / 20).max(1)),
                own_tone,
            ],
        ),
    };
    let at_once = behaviour == Behaviour::AnswerNow;
    Fate {
        behaviour,
        post_dial: if at_once { Duration::ZERO } else { post_dial },
        ring: if at_once { Duration::ZERO } else { ring },
        talk,
        early_media: !at_once && (early_media || behaviour == Behaviour::EarlyMedia),
        program,
        tone,
    }
}

fn behave(stream: &mut Stream, hour: usize, habits: &Habits) -> Behaviour {
    if stream.permille(habits.answer_permille_by_hour[hour % 24]) {
        return Behaviour::Human;
    }
    let mut left = stream.below(1000);
    for (share, behaviour) in [
        (habits.busy_permille, Behaviour::Busy),
        (habits.machine_permille, Behaviour::Machine),
        (habits.unallocated_permille, Behaviour::Unallocated),
        (habits.powered_off_permille, Behaviour::PoweredOff),
        (habits.rejected_permille, Behaviour::Rejected),
        (habits.failure_permille, Behaviour::Failure),
    ] {
        if left < share {
            return behaviour;
        }
        left -= share;
    }
    Behaviour::NoAnswer
}

/// Lognormal with that mean (not median), kept within a tenth and six times of it.
fn lognormal(stream: &mut Stream, mean_ms: u32, sigma: f64) -> Duration {
    // Box and Muller; the draw is moved off zero, whose logarithm is infinite.
    let unit = |s: &mut Stream| (s.next_u64() >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON;
    let (a, b) = (unit(stream), unit(stream));
    let normal = (-2.0 * a.ln()).max(0.0).sqrt() * (2.0 * std::f64::consts::PI * b).cos();
    let mean = f64::from(mean_ms);
    let value = mean * (sigma * normal - sigma * sigma / 2.0).exp();
    Duration::from_micros((value.clamp(mean / 10.0, mean * 6.0) * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_call_meets_the_same_fate() {
        let habits = Habits::demo();
        let fate = |attempt| draw(1, "8613800138000", attempt, 10, &habits, None);
        assert_eq!(fate(1), fate(1));
        assert!((1..9).any(|attempt| fate(attempt) != fate(1)));
        let forced = draw(1, "8613800138000", 1, 10, &habits, Some(Behaviour::Busy));
        assert_eq!(forced.behaviour, Behaviour::Busy);
        assert_eq!(
            (forced.ring, forced.post_dial),
            (fate(1).ring, fate(1).post_dial)
        );
    }

    #[test]
    fn shares_and_means_are_as_told() {
        let habits = Habits::default();
        let (mut answered, mut quiet, mut talk) = (0, 0, Duration::ZERO);
        let all = 4_000u32;
        for i in 0..all {
            let digits = (8_613_800_000_000u64 + u64::from(i)).to_string();
            let fate = draw(9, &digits, 1, 10, &habits, None);
            answered += u32::from(fate.behaviour == Behaviour::Human);
            quiet += u32::from(draw(9, &digits, 1, 3, &habits, None).behaviour == Behaviour::Human);
            let human = draw(
                9,
                &digits,
                1,
                10,
                &Habits {
                    waits_permille: 0,
                    ..habits.clone()
                },
                Some(Behaviour::Human),
            );
            talk += human.talk.expect("nobody waits");
        }
        assert!(
            (1_150..1_410).contains(&answered),
            "{answered} of {all}, 320 permille expected"
        );
        assert!(
            (180..310).contains(&quiet),
            "{quiet} of {all}, 60 permille expected"
        );
        let mean = (talk / all).as_millis();
        assert!((42_000..48_000).contains(&mean), "{mean}");
    }

    #[test]
    fn impossible_habits_are_named() {
        let habits = Habits {
            busy_permille: 990,
            ..Habits::default()
        };
        assert!(habits.check().unwrap_err().contains("above 1000"));
    }
}
