//! Errors an agent's screen may show: one table of codes, each with what, why and what next.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The page of one code, for `dialmesh explain` and the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// `DM3001`.
    pub code: &'static str,
    /// What happened, in a line.
    pub what: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $what:literal, $remedy:literal;)+) => {
        /// What can go wrong with an agent's command or shift.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AgentError {
            $($(#[$doc])* $name,)+
        }

        impl AgentError {
            /// Every error, in the order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its page.
            pub const fn page(self) -> ErrorPage {
                match self {
                    $(Self::$name => ErrorPage { code: $code, what: $what, remedy: $remedy },)+
                }
            }
        }
    };
}

codes! {
    /// This node does not know the agent.
    UnknownAgent = "DM3001", "This node does not know the agent.",
        "Sign in at the agent's own node, or ask an administrator which node that is.";
    /// The account is disabled.
    Disabled = "DM3002", "The agent's account is disabled.",
        "Ask an administrator to enable it.";
    /// The agent is signed in or the phone is ringing already.
    AlreadyLoggedIn = "DM3003", "The agent is signed in already.",
        "Reload the page to see the current state; log out first to start again.";
    /// The command needs a shift.
    LoggedOut = "DM3004", "The agent is not signed in.",
        "Log in and answer the phone first.";
    /// The node holds as many agents as it may.
    NodeFull = "DM3005", "The node has as many agents as it may hold.",
        "Log out agents who are gone, or add a node to the city.";
    /// The agent's phone was called and did not answer.
    PhoneUnreachable = "DM3006", "The agent's phone could not be reached.",
        "See that the phone is registered and answer its ringing, then log in again.";
    /// The agent's phone hung up during the shift.
    PhoneLost = "DM3007", "The agent's phone hung up: the shift ended.",
        "Log in again and keep the phone's call open between calls.";
    /// There is no call to end.
    NoCall = "DM3008", "There is no call to hang up.",
        "A call can be hung up only while it is joined.";
    /// There is no call to dispose of.
    NothingToDispose = "DM3009", "There is no call to give a disposition to.",
        "A disposition can be set during a call and in wrap-up; after the wrap-up limit the default is set.";
    /// The campaign has no such disposition.
    UnknownDisposition = "DM3010", "The campaign has no such disposition.",
        "Use one of the names that came with the call.";
    /// The call has its disposition.
    AlreadyDisposed = "DM3011", "The call has its disposition already.",
        "An attempt has exactly one disposition; correct it in the lead's history instead.";
    /// The note is too long.
    NoteTooLong = "DM3012", "The field note is too long.",
        "Shorten it.";
    /// The callback's time cannot be.
    CallbackTime = "DM3013", "The field callback_at is not a usable time.",
        "Give a time after now and within a year.";
    /// A callback was promised to a person who must not be called.
    CallbackForbidden = "DM3014", "The disposition forbids a callback.",
        "Leave out callback_at, or choose another disposition.";
    /// The pause code is too long or unprintable.
    PauseCode = "DM3015", "The field code of pause is not usable.",
        "Give a short word such as break, lunch or training.";
    /// The message is not an agent command.
    Unreadable = "DM3016", "The message is not an agent command.",
        "Send JSON with the field type: log_in, log_out, ready, pause, hang_up, dispose, recording_pause, recording_resume, hold, resume, press_keys, audio_offer or audio_close, and only the fields it knows.";
    /// No screen was open for longer than the grace time.
    ScreenGone = "DM3017", "The agent's page was closed: no more calls are given.",
        "Press Ready to go on.";
    /// The engine's thread did not answer.
    Slow = "DM3018", "The node did not answer in time.",
        "Look at the state on the screen before pressing again: the button may have been taken. Should it last, tell an administrator.";
    /// The node takes no audio from browsers.
    NoBrowserAudio = "DM3019", "This node takes no audio from browsers.",
        "Use a SIP phone, or ask an administrator to set webrtc_listen in the node's [media].";
    /// A browser's offer cannot be taken.
    AudioOffer = "DM3020", "The offer of audio cannot be taken.",
        "Offer one audio track that sends and receives, with PCMU or PCMA, by DTLS-SRTP, and nothing beside it.";
    /// The node carries as many browsers' audio as it may.
    AudioFull = "DM3021", "The node carries as many browsers' audio as it may.",
        "Close the pages of agents who are gone, or add a node to the city.";
    /// The browser's audio went away during the shift.
    AudioLost = "DM3022", "The browser's audio was lost: nobody hears the agent now.",
        "Offer audio again (reload the page) within 20 seconds, or the shift ends.";
    /// The call is not being recorded.
    NotRecorded = "DM3023", "The call is not recorded.",
        "A recording can be paused while a recorded call is joined; whether it is, the call's card says.";
    /// A callback was promised in a call that the person made.
    CallbackNotKept = "DM3024", "A callback cannot be promised in a call that the person made.",
        "Leave out callback_at and write it into the note.";
    /// An opt-out of a person whose number is not known.
    NumberWithheld = "DM3025", "The person's number is withheld: it cannot be put on do-not-call.",
        "Ask for the number and have it added (dialmesh dnc add), and choose another disposition.";
    /// The node whose call it was did not keep the disposition.
    NotReported = "DM3026", "The city whose call it was has not confirmed the disposition: it may not be kept.",
        "Write the result down and tell a supervisor, who finds it in the lead's history or corrects it there.";
    /// There is nobody to press keys for.
    NoKeypad = "DM3027", "There is no call to press keys in.",
        "Keys can be pressed only while a call is joined.";
    /// The keys cannot be pressed.
    KeysUnusable = "DM3028", "The field keys is not usable.",
        "Give 1 to 32 of the keys 0 to 9, * and #.";
    /// Too many keys wait to be sent.
    KeysWaiting = "DM3029", "Too many keys wait to be sent.",
        "Each takes a fifth of a second, and 32 may wait: press again in a moment.";
    /// There is nobody to put on hold.
    NoHold = "DM3030", "There is no call to hold.",
        "A person can be put on hold only while the call is joined.";
    /// The person is at another node.
    HoldElsewhere = "DM3031", "The person is another city's and cannot be put on hold from here.",
        "Ask the person to wait, and mute your microphone meanwhile.";
    /// The person is on hold.
    OnHold = "DM3032", "The person is on hold and hears no keys.",
        "Resume the call first.";
    /// A hold ended by itself.
    HoldOver = "DM3033", "The person was on hold for as long as may be: you hear each other again.",
        "Speak with the person, and hold the call again if that is needed.";
}

impl AgentError {
    /// The error with nothing to add to its page.
    pub fn plain(self) -> CommandError {
        let page = self.page();
        CommandError {
            code: page.code.to_owned(),
            message: format!("{} {}", page.what, page.remedy),
        }
    }

    /// The error with what was given and what was expected.
    pub fn with(self, detail: impl fmt::Display) -> CommandError {
        let page = self.page();
        CommandError {
            code: page.code.to_owned(),
            message: format!("{} {detail}. {}", page.what, page.remedy),
        }
    }
}

/// An error as the agent's screen gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CommandError {
    /// `DM3001`; its page has more.
    pub code: String,
    /// What, why and what next, in English.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_sorted() {
        let codes: Vec<_> = AgentError::ALL.iter().map(|e| e.page().code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(codes.iter().all(|code| code.starts_with("DM3")));
    }

    #[test]
    fn errors_say_what_and_what_next() {
        let error = AgentError::NoteTooLong.with("2001 bytes, at most 2000");
        assert_eq!(
            error.to_string(),
            "DM3012: The field note is too long. 2001 bytes, at most 2000. Shorten it."
        );
    }
}
