//! An agent's audio in a browser, as the engine speaks of it. What WebRTC is made of (ICE, DTLS, SRTP,
//! SDP) is the relay's; here it has a name, is up or gone, and speaks for a leg.

use domain::LegId;
use std::fmt;

/// The payload type of telephone-event (RFC 4733) between a browser's leg and the relay's sessions:
/// what a browser negotiated for itself stays with its session.
pub const BROWSER_EVENT: u8 = 101;

/// Names one browser's audio. Chosen by the shell, never again in the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrowserId(pub u64);

impl fmt::Display for BrowserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "browser_{:x}", self.0)
    }
}

/// Said by the engine to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserCommand {
    /// An open leg's peer is this browser from now on, in place of any before. When the browser goes,
    /// the leg stays and nothing is sent to it until another is attached.
    Attach {
        /// The leg, opened with [`BROWSER_EVENT`].
        leg: LegId,
        /// The browser.
        browser: BrowserId,
    },
    /// The browser's audio ends; nothing more is said of it. Fine when it ended already.
    End {
        /// The browser.
        browser: BrowserId,
    },
}

/// Heard by the engine from the relay: of each browser at most one of each, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserEvent {
    /// ICE and DTLS are through: audio flows as soon as a leg is attached.
    Up {
        /// The browser.
        browser: BrowserId,
    },
    /// The browser is gone.
    Down {
        /// The browser.
        browser: BrowserId,
        /// Why.
        why: BrowserEnd,
    },
}

/// Why a browser's audio ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserEnd {
    /// Its packets never came, or DTLS did not come about, within [`domain::limits::BROWSER_CONNECT`].
    Unreached,
    /// It came through, and then sent no word for too long (consent, RFC 7675).
    Lost,
    /// It closed by itself.
    Closed,
    /// The engine ended it.
    Ended,
    /// The connection broke in a way that cannot be mended.
    Failed,
}

impl BrowserEnd {
    /// All of them, as they are counted.
    pub const ALL: [Self; 5] = [
        Self::Unreached,
        Self::Lost,
        Self::Closed,
        Self::Ended,
        Self::Failed,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreached => "unreached",
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}
