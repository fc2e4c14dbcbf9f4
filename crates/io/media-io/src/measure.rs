//! The relay's metrics: looked up once, added to once a second.

use media::{Refusal, Traffic};
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Measures {
    received: Counter,
    sent: Counter,
    unsent: Counter,
    overflowed: Counter,
    refused: [Counter; Refusal::ALL.len()],
    cpu: Gauge,
    legs: Gauge,
    told: Traffic,
    told_legs: usize,
    supervised: Gauge,
    supervisors: Gauge,
    told_supervised: (usize, usize),
}

impl Drop for Measures {
    fn drop(&mut self) {
        // The gauge is shared with any other relay of the process.
        self.legs.decrement(self.told_legs as f64);
        self.tell_supervised((0, 0));
    }
}

impl Measures {
    pub(crate) fn new() -> Self {
        describe_counter!(
            "dialmesh_rtp_packets_total",
            "RTP packets accepted from peers (direction in) and sent to them (out)."
        );
        describe_counter!(
            "dialmesh_rtp_refused_total",
            "RTP and RTCP packets refused, by reason."
        );
        describe_counter!(
            "dialmesh_rtp_unsent_total",
            "RTP and RTCP packets that the system would not take."
        );
        describe_counter!(
            "dialmesh_rtp_overflowed_total",
            "Packets that the system dropped before the relay read them; known when a leg ends."
        );
        describe_gauge!(
            "dialmesh_rtp_relay_cpu_seconds",
            "CPU time of the relay thread."
        );
        describe_gauge!("dialmesh_rtp_legs", "Open RTP legs.");
        describe_gauge!(
            "dialmesh_rtp_supervised_bridges",
            "Bridges that supervisors are in: those that are mixed."
        );
        describe_gauge!(
            "dialmesh_rtp_supervisors",
            "Legs of supervisors in bridges."
        );
        Self {
            received: counter!("dialmesh_rtp_packets_total", "direction" => "in"),
            sent: counter!("dialmesh_rtp_packets_total", "direction" => "out"),
            unsent: counter!("dialmesh_rtp_unsent_total"),
            overflowed: counter!("dialmesh_rtp_overflowed_total"),
            refused: Refusal::ALL
                .map(|r| counter!("dialmesh_rtp_refused_total", "reason" => r.name())),
            cpu: gauge!("dialmesh_rtp_relay_cpu_seconds"),
            legs: gauge!("dialmesh_rtp_legs"),
            told: Traffic::default(),
            told_legs: 0,
            supervised: gauge!("dialmesh_rtp_supervised_bridges"),
            supervisors: gauge!("dialmesh_rtp_supervisors"),
            told_supervised: (0, 0),
        }
    }

    /// Adds what happened since the last time.
    pub(crate) fn tell(&mut self, traffic: &Traffic, legs: usize, cpu: Duration) {
        let add = |counter: &Counter, now: u64, then: u64| {
            // A packet counted as sent may turn out unsent after it was told.
            if now > then {
                counter.increment(now - then);
            }
        };
        add(&self.received, traffic.received, self.told.received);
        add(&self.sent, traffic.sent, self.told.sent);
        add(&self.unsent, traffic.unsent, self.told.unsent);
        add(&self.overflowed, traffic.overflowed, self.told.overflowed);
        for (n, counter) in self.refused.iter().enumerate() {
            add(counter, traffic.refused[n], self.told.refused[n]);
        }
        self.cpu.set(cpu.as_secs_f64());
        self.legs.increment(legs as f64 - self.told_legs as f64);
        (self.told, self.told_legs) = (*traffic, legs);
    }

    /// How many bridges have supervisors, and how many those are.
    pub(crate) fn tell_supervised(&mut self, now: (usize, usize)) {
        let then = std::mem::replace(&mut self.told_supervised, now);
        (self.supervised).increment(now.0 as f64 - then.0 as f64);
        (self.supervisors).increment(now.1 as f64 - then.1 as f64);
    }
}
