//! Who answered: a person, a machine, a fax, the network.
//!
//! A [`Listener`] hears one line, from early media on, in frames of 20 ms of linear samples at
//! 8 kHz (G.711 decoded). It has no clock: its time is the frames it was given. It allocates
//! nothing, and what it says depends on the samples alone, however packets cut them
//! ([`Listener::hear`] takes any number).
//!
//! Evidence, in this order:
//!
//! 1. **tones** by Goertzel's recurrence on a grid of 50 Hz: special information tones, fax
//!    (CNG, CED), a machine's beep; and by their cadence ringback, busy and congestion of several
//!    countries;
//! 2. **energy** against a noise floor that follows the line: how long the first utterance is,
//!    how many there are, how long the silences between them;
//! 3. a **logistic regression** on those lengths, asked while the line is silent after speech
//!    ("was that all?") and while it speaks on ("is that still a greeting?"). Its weights come
//!    from `cargo run --release -p answering --example train`.
//!
//! A plain "hello" is a person after [`PLAIN_SILENCE_MS`] of silence. A verdict takes no more than
//! [`SPEECH_LIMIT_MS`] of speech; what cannot be told by then is [`Verdict::Unknown`], which
//! counts as a person: nobody who may be one is hung up on.

mod activity;
mod bank;
mod cadence;
mod classifier;
mod listener;
mod speech;
mod tones;
mod verdict;
mod weights;

pub use classifier::{BASIS, Features, Model, PLAIN_SILENCE_MS, PLAIN_SPOKEN_MS, Weights, expand};
pub use listener::{Listener, Phase, Question, Settings};
pub use verdict::{Event, Reason, Ringing, Sit, Verdict};

/// Samples in a second.
pub const SAMPLE_RATE: u32 = 8_000;
/// Samples in one frame.
pub const FRAME: usize = 160;
/// Milliseconds in one frame.
pub const FRAME_MS: u32 = 20;
/// Milliseconds of speech, pauses not counted, after which a verdict is given whatever it is.
pub const SPEECH_LIMIT_MS: u32 = 2_500;
