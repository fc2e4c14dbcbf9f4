//! REGISTER towards carriers (RFC 3261 section 10.2): refreshed at about half its life, with jitter so
//! that a thousand trunks do not refresh at once, and with patience after a refusal, since carriers
//! block who hammers.

use crate::{digest::Credentials, flow::Flow};
use sansio::{Stream, table, transitions::Table};
use std::time::Duration;

/// Shortest pause after a failure.
const BACK_OFF_MIN: Duration = Duration::from_secs(15);
/// Longest pause after failures in a row.
const BACK_OFF_MAX: Duration = Duration::from_secs(900);

/// What to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The way to the carrier.
    pub flow: Flow,
    /// The carrier's domain: Request-URI `sip:domain`.
    pub domain: String,
    /// User of the address of record and of our Contact.
    pub user: String,
    /// Digest credentials.
    pub credentials: Option<Credentials>,
    /// How long to ask for.
    pub expires: Duration,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// REGISTER sent, never yet accepted or lost since.
    Registering,
    /// Accepted.
    Registered,
    /// Accepted, and a refresh is under way.
    Refreshing,
    /// Refused or unanswered; tried again after a pause.
    Failed,
    /// REGISTER with Expires 0 sent.
    Unregistering,
    /// Over.
    Unregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Accepted,
    Refused,
    Refresh,
    Retry,
    Unregister,
}

use RegistrationState as State;

pub(crate) const TABLE: Table<State, Event> = table!("carrier registration", State, Event;
    Registering: Accepted => Registered,
    Registering: Refused => Failed,
    Registering: Unregister => Unregistering,
    Registered: Refresh => Refreshing,
    Registered: Unregister => Unregistering,
    Refreshing: Accepted => Registered,
    Refreshing: Refused => Failed,
    Refreshing: Unregister => Unregistering,
    Failed: Retry => Registering,
    Failed: Unregister => Unregistering,
    Unregistering: Accepted => Unregistered,
    Unregistering: Refused => Unregistered,
);

/// One registration.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) registration: Registration,
    pub(crate) state: State,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    /// Answers to challenges in the REGISTER under way.
    pub(crate) challenges: u8,
    failures: u32,
}

impl Carrier {
    pub(crate) fn new(registration: Registration, stream: &mut Stream) -> Self {
        Self {
            registration,
            state: State::Registering,
            call_id: stream.token(24),
            tag: stream.token(12),
            cseq: 0,
            challenges: 0,
            failures: 0,
        }
    }

    /// Moves on; false where the table does not allow it.
    pub(crate) fn step(&mut self, event: Event) -> bool {
        match TABLE.next(self.state, event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// After acceptance for `granted`: when to refresh.
    pub(crate) fn refresh_after(&mut self, granted: Duration, stream: &mut Stream) -> Duration {
        self.failures = 0;
        // 45 to 60 % of its life.
        granted * (450 + stream.below(150)) / 1000
    }

    /// After a refusal: when to try again.
    pub(crate) fn back_off(
        &mut self,
        retry_after: Option<Duration>,
        stream: &mut Stream,
    ) -> Duration {
        let doubled = BACK_OFF_MIN * 2u32.pow(self.failures.min(6));
        self.failures += 1;
        let pause = doubled
            .min(BACK_OFF_MAX)
            .max(retry_after.unwrap_or_default());
        pause.min(Duration::from_secs(3600)) * (1000 + stream.below(250)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::SipTransport;
    use sansio::Seed;

    fn carrier(stream: &mut Stream) -> Carrier {
        let address = "192.0.2.1:5060".parse().expect("address");
        let registration = Registration {
            flow: Flow {
                transport: SipTransport::Udp,
                local: address,
                remote: address,
            },
            domain: "carrier.example".into(),
            user: "u".into(),
            credentials: None,
            expires: Duration::from_secs(600),
        };
        Carrier::new(registration, stream)
    }

    #[test]
    fn the_drawing_is_the_table() {
        insta::assert_snapshot!("registration", TABLE.drawing());
    }

    #[test]
    fn pauses_grow_and_refreshes_are_spread() {
        let mut stream = Seed::from_u64(1).stream("registration");
        let mut carrier = carrier(&mut stream);
        let pauses: Vec<_> = (0..9)
            .map(|_| carrier.back_off(None, &mut stream))
            .collect();
        assert!(pauses[0] >= BACK_OFF_MIN && pauses[0] < BACK_OFF_MIN * 5 / 4);
        assert!(pauses[8] >= BACK_OFF_MAX && pauses[8] <= BACK_OFF_MAX * 5 / 4);
        let asked = Duration::from_secs(2_000);
        assert!(carrier.back_off(Some(asked), &mut stream) >= asked);
        for _ in 0..100 {
            let after = carrier.refresh_after(Duration::from_secs(600), &mut stream);
            assert!((270..=360).contains(&after.as_secs()));
        }
        assert!(carrier.back_off(None, &mut stream) < BACK_OFF_MIN * 5 / 4);
    }
}
