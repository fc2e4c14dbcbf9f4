//! Session timers (RFC 4028): a session that nobody refreshes ends, so that a call whose BYE was lost
//! does not last for ever.

use crate::{
    lexer::{Message, Name, read_number, trim},
    message::{param, split_list},
};
use domain::{Instant, limits::SESSION_EXPIRES_MIN};
use std::time::Duration;

/// Between two tries of a refresh that failed for a passing reason (491, 500, 503).
pub(crate) const RETRY: Duration = Duration::from_secs(4);

/// Which side of a request refreshes, by its role in that request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    /// Who sent it.
    Uac,
    /// Who answers it.
    Uas,
}

impl Refresher {
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A Session-Expires header: after how long, and who refreshes, where it says so.
pub(crate) fn session_expires(message: &Message<'_>) -> Option<(Duration, Option<Refresher>)> {
    let value = message.value(Name::SessionExpires)?;
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    let seconds = read_number(trim(&value[..end]))?;
    let refresher = match param(&value[end..], b"refresher") {
        Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
        Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
        _ => None,
    };
    Some((Duration::from_secs(u64::from(seconds)), refresher))
}

/// A Min-SE header.
pub(crate) fn min_se(message: &Message<'_>) -> Option<Duration> {
    let value = message.value(Name::MinSe)?;
    let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
    read_number(trim(&value[..end])).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

/// Whether a list header (Supported, Require, Allow) names this.
pub(crate) fn lists(message: &Message<'_>, name: Name, tag: &[u8]) -> bool {
    (message.values(name).flat_map(split_list)).any(|item| item.eq_ignore_ascii_case(tag))
}

/// A running session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimer {
    /// After how long the session ends.
    pub(crate) interval: Duration,
    /// When it was agreed or refreshed last.
    pub(crate) since: Instant,
    /// Whether we refresh.
    pub(crate) ours: bool,
}

impl SessionTimer {
    pub(crate) fn new(interval: Duration, since: Instant, ours: bool) -> Self {
        Self {
            interval: interval.max(SESSION_EXPIRES_MIN),
            since,
            ours,
        }
    }

    /// When we refresh: half-way (section 7.2).
    pub(crate) fn refresh_at(&self) -> Instant {
        self.since + self.interval / 2
    }

    /// When who was not refreshed hangs up: the lesser of 32 s and a third before the end (section 10).
    pub(crate) fn end_at(&self) -> Instant {
        let early = (self.interval / 3).min(Duration::from_secs(32));
        self.since + (self.interval - early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> (Option<(Duration, Option<Refresher>)>, Option<Duration>) {
        let text = format!("SIP/2.0 200 OK\r\n{lines}\r\n");
        let message = Message::read(text.as_bytes()).expect("framed");
        (session_expires(&message), min_se(&message))
    }

    #[test]
    fn headers_are_read_as_they_come() {
        let seconds = Duration::from_secs;
        for (lines, expires) in [
            (
                "Session-Expires: 1800;refresher=uac\r\n",
                Some((1800, Some(Refresher::Uac))),
            ),
            (
                "x: 90 ; refresher=UAS\r\n",
                Some((90, Some(Refresher::Uas))),
            ),
            ("Session-Expires: 600\r\n", Some((600, None))),
            ("Session-Expires: 600;refresher=both\r\n", Some((600, None))),
            ("Session-Expires: soon\r\n", None),
            ("", None),
        ] {
            let expires = expires.map(|(s, who)| (seconds(s), who));
            assert_eq!(read(lines).0, expires, "{lines}");
        }
        assert_eq!(read("Min-SE: 3600;x=y\r\n").1, Some(seconds(3600)));
        assert_eq!(read("min-se: x\r\n").1, None);
    }

    #[test]
    fn the_end_comes_a_little_before_the_end() {
        let at = Instant::from_millis(1_000);
        for (interval, refresh, end) in [(1800, 900, 1768), (90, 45, 60), (10, 45, 60)] {
            let timer = SessionTimer::new(Duration::from_secs(interval), at, true);
            assert_eq!(timer.refresh_at(), at + Duration::from_secs(refresh));
            assert_eq!(timer.end_at(), at + Duration::from_secs(end));
        }
    }
}
