//! What a listener says.

pub use domain::answering::{Reason, Ringing, Sit, Verdict};

/// One thing a listener has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What the line is; at most one before the answer and one after it.
    Verdict(Verdict, Reason),
    /// A machine's beep is over: a message may be left now. After [`Verdict::Human`] or
    /// [`Verdict::Unknown`] it says that the verdict was wrong.
    Beep,
}
