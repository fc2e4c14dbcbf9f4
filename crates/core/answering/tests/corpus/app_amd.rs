//! Asterisk's `app_amd`, rewritten from its documentation (amd.conf.sample and the application's
//! reference): thresholds of silence, greeting and words, over frames of 20 ms.

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Human,
    Machine,
    /// `NOTSURE`: the total time was used up.
    NotSure,
}

/// Its settings; times in ms.
#[derive(Clone, Copy, Debug)]
pub struct AppAmd {
    pub initial_silence: u32,
    pub greeting: u32,
    pub after_greeting_silence: u32,
    pub total_analysis_time: u32,
    pub min_word_length: u32,
    pub maximum_word_length: u32,
    pub between_words_silence: u32,
    pub maximum_number_of_words: u32,
    pub silence_threshold: u32,
}

/// The published configuration.
pub const PUBLISHED: AppAmd = AppAmd {
    initial_silence: 2_500,
    greeting: 1_500,
    after_greeting_silence: 800,
    total_analysis_time: 5_000,
    min_word_length: 100,
    maximum_word_length: 5_000,
    between_words_silence: 50,
    maximum_number_of_words: 2,
    silence_threshold: 256,
};

impl AppAmd {
    /// The status of a call, and the ms after which it is known.
    pub fn judge(&self, samples: &[i16]) -> (Status, u32) {
        let (mut total, mut silence, mut voice, mut word, mut words) = (0, 0, 0, 0, 0);
        let (mut in_word, mut greeted) = (false, false);
        for frame in samples.as_chunks::<160>().0 {
            total += 20;
            let sum: u32 = frame.iter().map(|s| u32::from(s.unsigned_abs())).sum();
            if sum / 160 >= self.silence_threshold {
                silence = 0;
                voice += 20;
                word += 20;
                if word >= self.min_word_length && !in_word {
                    (in_word, greeted) = (true, true);
                    words += 1;
                }
                let long = greeted && voice >= self.greeting;
                if words > self.maximum_number_of_words || word >= self.maximum_word_length || long
                {
                    return (Status::Machine, total);
                }
            } else {
                silence += 20;
                if silence >= self.between_words_silence {
                    (in_word, word) = (false, 0);
                }
                if !greeted && silence >= self.initial_silence {
                    return (Status::Machine, total);
                }
                if greeted && silence >= self.after_greeting_silence {
                    return (Status::Human, total);
                }
            }
            if total >= self.total_analysis_time {
                return (Status::NotSure, total);
            }
        }
        (Status::NotSure, total)
    }
}
