//! The metrics of browsers' audio: looked up once, added to once a second but for what is rare.

use media::BrowserEnd;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use std::time::Duration;

/// Why a datagram on the browsers' port came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// From an address of no session, and no check for one.
    Stranger,
    /// A check whose user name or integrity is of no session.
    Check,
    /// Not one of the protocols of WebRTC, or longer than we read.
    Malformed,
}

impl Stray {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Stranger, "stranger"),
        (Self::Check, "check"),
        (Self::Malformed, "malformed"),
    ];
}

#[derive(Debug)]
pub(super) struct Measures {
    sessions: Gauge,
    received: Counter,
    sent: Counter,
    refused: [Counter; Stray::ALL.len()],
    ended: [Counter; BrowserEnd::ALL.len()],
    setup: Histogram,
    told_sessions: usize,
    /// Since the last telling.
    pub(super) datagrams_in: u64,
    pub(super) datagrams_out: u64,
    strays: [u64; Stray::ALL.len()],
}

impl Drop for Measures {
    fn drop(&mut self) {
        // The gauge is shared with any other relay of the process.
        self.sessions.decrement(self.told_sessions as f64);
    }
}

impl Measures {
    pub(super) fn new() -> Self {
        describe_gauge!(
            "dialmesh_browser_sessions",
            "Browsers whose audio the node carries, connecting ones too."
        );
        describe_counter!(
            "dialmesh_browser_offers_total",
            "Browsers' offers of audio, by result."
        );
        describe_counter!(
            "dialmesh_browser_ended_total",
            "Browsers' audio that ended, by reason."
        );
        describe_counter!(
            "dialmesh_browser_datagrams_total",
            "Datagrams of browsers' sessions (direction in) and to them (out)."
        );
        describe_counter!(
            "dialmesh_browser_refused_total",
            "Datagrams on the browsers' port that came to nothing and got no answer, by reason."
        );
        describe_histogram!(
            "dialmesh_browser_setup_seconds",
            metrics::Unit::Seconds,
            "From a browser's offer until its audio could flow."
        );
        for result in ["answered", "refused"] {
            counter!("dialmesh_browser_offers_total", "result" => result).increment(0);
        }
        Self {
            sessions: gauge!("dialmesh_browser_sessions"),
            received: counter!("dialmesh_browser_datagrams_total", "direction" => "in"),
            sent: counter!("dialmesh_browser_datagrams_total", "direction" => "out"),
            refused: Stray::ALL
                .map(|(_, name)| counter!("dialmesh_browser_refused_total", "reason" => name)),
            ended: BrowserEnd::ALL
                .map(|end| counter!("dialmesh_browser_ended_total", "reason" => end.name())),
            setup: histogram!("dialmesh_browser_setup_seconds"),
            told_sessions: 0,
            datagrams_in: 0,
            datagrams_out: 0,
            strays: [0; Stray::ALL.len()],
        }
    }

    pub(super) fn stray(&mut self, stray: Stray) {
        self.strays[stray as usize] += 1;
    }

    pub(super) fn up(&self, after: Duration) {
        self.setup.record(after.as_secs_f64());
    }

    pub(super) fn ended(&self, why: BrowserEnd) {
        self.ended[why as usize].increment(1);
    }

    pub(super) fn tell(&mut self, sessions: usize) {
        self.received
            .increment(std::mem::take(&mut self.datagrams_in));
        self.sent.increment(std::mem::take(&mut self.datagrams_out));
        for (counter, count) in self.refused.iter().zip(&mut self.strays) {
            counter.increment(std::mem::take(count));
        }
        self.sessions
            .increment(sessions as f64 - self.told_sessions as f64);
        self.told_sessions = sessions;
    }
}
