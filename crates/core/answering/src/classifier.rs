//! A logistic regression on the shape of what was said.

use std::fmt;

/// The shape of what was said so far; everything here is known at the moment it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Features {
    /// Silence before the first word, in ms. Machines take their time.
    pub lead_ms: u32,
    /// The first utterance, its short silences included, in ms. A person's greeting is short.
    pub first_ms: u32,
    /// The longest utterance, in ms. Recordings speak in sentences.
    pub longest_ms: u32,
    /// Speech in all, silences left out, in ms. Recordings have more to say.
    pub spoken_ms: u32,
    /// From the first word to the last, silences between them included, in ms. Where noise hides
    /// half the words it still tells how long somebody has been speaking.
    pub span_ms: u32,
    /// Silence since the last word, in ms; 0 while one is said. A person waits for an answer.
    pub silence_ms: u32,
    /// The longest silence between two utterances so far, in ms. "Hello ... hello?" waits longer
    /// than a comma does.
    pub pause_ms: u32,
    /// Utterances: stretches of speech with 200 ms of silence between.
    pub utterances: u32,
    /// Words: stretches of speech with 60 ms of silence between. Not a language's words.
    pub words: u32,
    /// How far the level of speech wavers, in dB (standard deviation). Read texts are even.
    pub spread_db: f32,
}

/// Milliseconds of silence after a plain "hello" that make it a person's: a comma is over by then,
/// and nobody is kept waiting.
pub const PLAIN_SILENCE_MS: u32 = 640;
/// Milliseconds of speech that a plain "hello" has at most.
pub const PLAIN_SPOKEN_MS: u32 = 700;

impl Features {
    /// Whether this is a plain "hello" and then silence: it passes whatever the model says.
    pub const fn is_plain(&self) -> bool {
        self.utterances == 1
            && self.spoken_ms <= PLAIN_SPOKEN_MS
            && self.first_ms <= PLAIN_SPOKEN_MS
            && self.silence_ms >= PLAIN_SILENCE_MS
    }
}

impl fmt::Display for Features {
    /// For the record: one line, names as in the type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lead={} first={} longest={} spoken={} span={} silence={} pause={} utterances={} words={} spread={:.1}",
            self.lead_ms,
            self.first_ms,
            self.longest_ms,
            self.spoken_ms,
            self.span_ms,
            self.silence_ms,
            self.pause_ms,
            self.utterances,
            self.words,
            self.spread_db
        )
    }
}

/// Lengths of speech in seconds between which weights are blended.
const SPOKEN: [f32; 5] = [0.2, 0.5, 0.9, 1.5, 2.2];
/// Bends of the curve over the silence, in seconds.
const SILENCE: [f32; 3] = [0.35, 0.6, 0.9];
/// One curve over the silence for each length of speech, and what else there is.
const CURVE: usize = 2 + SILENCE.len();
/// How many numbers [`expand`] makes of features.
pub const BASIS: usize = SPOKEN.len() * CURVE + 12;

/// The numbers that are weighted. How long a silence must be depends on how much was said: so for
/// each of five lengths of speech there is a curve over the silence (a constant, a slope, three
/// bends), and a length between two takes of both. The rest is weighted as it is, in seconds, with
/// a bend or a limit where more tells no more.
pub fn expand(features: &Features) -> [f32; BASIS] {
    let seconds = |millis: u32| millis as f32 / 1_000.0;
    let over = |value: f32, bend: f32| (value - bend).max(0.0);
    let spoken = seconds(features.spoken_ms);
    let silence = seconds(features.silence_ms).min(1.5);
    let pause = seconds(features.pause_ms).min(1.5);
    let span = seconds(features.span_ms).min(4.0);
    let curve: [f32; CURVE] = std::array::from_fn(|n| match n {
        0 => 1.0,
        1 => silence,
        n => over(silence, SILENCE[n - 2]),
    });
    let mut basis = [0.0; BASIS];
    for (part, share) in basis.chunks_exact_mut(CURVE).zip(blend(spoken)) {
        for (number, value) in part.iter_mut().zip(curve) {
            *number = share * value;
        }
    }
    basis[SPOKEN.len() * CURVE..].copy_from_slice(&[
        seconds(features.first_ms).min(2.5),
        seconds(features.longest_ms).min(2.5),
        pause,
        over(pause, 0.5),
        features.utterances.min(6) as f32,
        f32::from(features.utterances > 1) * silence,
        (features.words as f32 / spoken.max(0.2)).min(6.0),
        seconds(features.lead_ms).min(2.5),
        features.spread_db.min(12.0),
        span,
        over(span, 1.0),
        over(span, 2.0),
    ]);
    basis
}

/// How much each of [`SPOKEN`]'s lengths counts: the nearest two in all.
fn blend(spoken: f32) -> [f32; SPOKEN.len()] {
    let spoken = spoken.clamp(SPOKEN[0], SPOKEN[SPOKEN.len() - 1]);
    let mut shares = [0.0; SPOKEN.len()];
    let upper = (1..SPOKEN.len() - 1)
        .find(|n| spoken < SPOKEN[*n])
        .unwrap_or(SPOKEN.len() - 1);
    let share = (spoken - SPOKEN[upper - 1]) / (SPOKEN[upper] - SPOKEN[upper - 1]);
    (shares[upper - 1], shares[upper]) = (1.0 - share, share);
    shares
}

/// One regression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// What is added to the sum.
    pub bias: f32,
    /// The weight of each of [`expand`]'s numbers.
    pub weights: [f32; BASIS],
}

impl Weights {
    /// How likely a machine is, as log odds.
    pub fn machine(&self, features: &Features) -> f32 {
        expand(features)
            .iter()
            .zip(&self.weights)
            .fold(self.bias, |sum, (value, weight)| sum + value * weight)
    }
}

/// The two questions, and where their answers are sure enough. Log odds throughout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Asked in the silence after speech.
    pub ended: Weights,
    /// Asked while speech goes on.
    pub going: Weights,
    /// Below this the greeting was a person's and is over.
    pub human_below: f32,
    /// Above this it is a recording.
    pub machine_above: f32,
    /// Above this it is taken for one where no more may be awaited.
    pub at_limit_above: f32,
}

impl Model {
    /// The trained one.
    pub const fn trained() -> Self {
        crate::weights::MODEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_a_persons_and_a_sentence_a_machines() {
        let model = Model::trained();
        let hello = Features {
            lead_ms: 600,
            first_ms: 420,
            longest_ms: 420,
            spoken_ms: 380,
            span_ms: 420,
            silence_ms: 1_000,
            utterances: 1,
            words: 1,
            spread_db: 5.0,
            ..Features::default()
        };
        assert!(hello.is_plain() && model.ended.machine(&hello) < 0.0);
        let soon = Features {
            silence_ms: PLAIN_SILENCE_MS - 20,
            ..hello
        };
        let long = Features {
            spoken_ms: PLAIN_SPOKEN_MS + 20,
            ..hello
        };
        assert!(!soon.is_plain() && !long.is_plain());
        let sentence = Features {
            lead_ms: 600,
            first_ms: 2_600,
            longest_ms: 2_600,
            spoken_ms: 2_400,
            span_ms: 2_600,
            utterances: 1,
            words: 6,
            spread_db: 5.0,
            ..Features::default()
        };
        assert!(model.going.machine(&sentence) > model.at_limit_above);
    }

    #[test]
    fn lengths_are_blended() {
        for (spoken, shares) in [
            (0.1, [1.0, 0.0, 0.0, 0.0, 0.0]),
            (0.7, [0.0, 0.5, 0.5, 0.0, 0.0]),
            (1.5, [0.0, 0.0, 0.0, 1.0, 0.0]),
            (9.0, [0.0, 0.0, 0.0, 0.0, 1.0]),
        ] {
            let found = blend(spoken);
            assert!(
                found.iter().zip(shares).all(|(f, s)| (f - s).abs() < 1e-5),
                "{found:?}"
            );
        }
    }

    #[test]
    fn features_print_on_one_line_for_the_record() {
        let text = Features::default().to_string();
        assert!(text.starts_with("lead=0 first=0") && !text.contains('\n'));
    }
}
