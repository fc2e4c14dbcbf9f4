//! What the two SIP user agents refused, as metrics.

use metrics::{counter, describe_counter};
use sip::Counters;

const REFUSED: &str = "dialmesh_sip_refused_total";
const CHALLENGED: &str = "dialmesh_sip_challenged_total";

pub(super) fn describe() {
    describe_counter!(
        REFUSED,
        "SIP messages that were dropped or refused after they were let in, by side and reason."
    );
    describe_counter!(
        CHALLENGED,
        "SIP requests that were asked for credentials: without any, or with old ones."
    );
}

/// What was told last, of the trunks' side and the agents'.
#[derive(Debug, Default)]
pub(crate) struct SipMeter([Counters; 2]);

impl SipMeter {
    /// Counts what came since.
    pub(crate) fn tell(&mut self, (trunks, agents): (Counters, Counters)) {
        let now = [trunks, agents];
        let before = std::mem::replace(&mut self.0, now);
        for (side, (now, before)) in ["trunks", "agents"]
            .into_iter()
            .zip(now.iter().zip(&before))
        {
            for (reason, count) in REASONS {
                let more = count(now) - count(before);
                counter!(REFUSED, "side" => side, "reason" => reason).increment(more);
            }
            let more = now.challenged - before.challenged;
            counter!(CHALLENGED, "side" => side).increment(more);
        }
    }
}

type Reason = (&'static str, fn(&Counters) -> u64);

const REASONS: [Reason; 5] = [
    ("malformed", |c| c.malformed),
    ("stranger", |c| c.strangers),
    ("rate", |c| c.throttled),
    ("credentials", |c| c.forbidden),
    ("full", |c| c.shed),
];
