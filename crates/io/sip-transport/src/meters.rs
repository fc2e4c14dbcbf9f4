//! What is counted. Handles are made once: the hot path only adds.

use crate::door::Admission;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

pub(crate) struct Meters {
    pub(crate) datagrams_in: Counter,
    pub(crate) datagrams_out: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) messages_out: Counter,
    /// Datagrams that a full sink refused.
    pub(crate) sink_full: Counter,
    /// Datagrams that a full socket buffer refused.
    pub(crate) buffer_full: Counter,
    /// Datagrams that came back as undeliverable.
    pub(crate) undeliverable: Counter,
    /// Datagrams and connections of strangers.
    pub(crate) strangers: Counter,
    /// Datagrams of guests over their rate.
    pub(crate) guests: Counter,
    /// Messages of streams that had to wait for their turn.
    pub(crate) held: Counter,
    /// Connections refused at a bound.
    pub(crate) refused: Counter,
    /// Connections closed for what they sent.
    pub(crate) bad_framing: Counter,
    pub(crate) connections: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe_counter!("dialmesh_sip_datagrams_total", "UDP datagrams");
        describe_counter!("dialmesh_sip_bytes_total", "Bytes of SIP, all transports");
        describe_counter!(
            "dialmesh_sip_stream_messages_total",
            "SIP messages over TCP"
        );
        describe_counter!(
            "dialmesh_sip_stream_messages_held_total",
            "SIP messages over TCP that waited because their address sent too many"
        );
        describe_counter!("dialmesh_sip_dropped_total", "What was dropped, by reason");
        describe_gauge!("dialmesh_sip_connections", "TCP connections open");
        let dropped = |reason| counter!("dialmesh_sip_dropped_total", "reason" => reason);
        Self {
            datagrams_in: counter!("dialmesh_sip_datagrams_total", "direction" => "in"),
            datagrams_out: counter!("dialmesh_sip_datagrams_total", "direction" => "out"),
            bytes_in: counter!("dialmesh_sip_bytes_total", "direction" => "in"),
            bytes_out: counter!("dialmesh_sip_bytes_total", "direction" => "out"),
            messages_in: counter!("dialmesh_sip_stream_messages_total", "direction" => "in"),
            messages_out: counter!("dialmesh_sip_stream_messages_total", "direction" => "out"),
            sink_full: dropped("engine_full"),
            buffer_full: dropped("send_buffer_full"),
            undeliverable: dropped("undeliverable"),
            strangers: dropped("stranger"),
            guests: dropped("phone_rate"),
            held: counter!("dialmesh_sip_stream_messages_held_total"),
            refused: dropped("connection_refused"),
            bad_framing: dropped("bad_framing"),
            connections: gauge!("dialmesh_sip_connections"),
        }
    }

    /// Counts what was not let in.
    pub(crate) fn refused_at_the_door(&self, admission: Admission) {
        match admission {
            Admission::Passes => {}
            Admission::Stranger => self.strangers.increment(1),
            Admission::Guest => self.guests.increment(1),
        }
    }
}
