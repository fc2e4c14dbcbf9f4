//! The carrier's log as calls.

use crate::{
    audio::rtp::AudioReport,
    carrier::witness::{Entry, Event},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a call ended, as the carrier saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// 200, and the caller did not want out meanwhile.
    Answered,
    /// 200 that crossed a CANCEL.
    AnsweredAtCancel,
    /// 486, 600.
    Busy,
    /// 404, 410, 484, 604.
    Unallocated,
    /// 480, 408.
    Unavailable,
    /// 403, 603, 607, 608.
    Rejected,
    /// 5xx and whatever else.
    Failure,
    /// 487 after CANCEL.
    Cancelled,
    /// No final answer was ever sent.
    Silent,
}

impl Class {
    /// For reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::AnsweredAtCancel => "answered at cancel",
            Self::Busy => "busy",
            Self::Unallocated => "unallocated",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Silent => "silent",
        }
    }
}

/// One call, from the INVITE that opened it to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// Call-ID.
    pub call_id: String,
    /// `X-Dialmesh-Attempt`, where the product sends it.
    pub attempt: String,
    /// The called number's digits.
    pub number: String,
    /// The shown number's digits.
    pub caller_id: String,
    /// The trunk's name.
    pub trunk: String,
    /// When the first INVITE came: nanoseconds since the Unix epoch, steady within one run.
    pub began_ns: u64,
    /// When it was over, or last heard of.
    pub ended_ns: u64,
    /// Wall time of the first INVITE.
    pub began_ms: i64,
    /// Whether its end is in the log.
    pub ended: bool,
    /// Final status, 0 if none.
    pub status: u16,
    /// What the number does.
    pub behaviour: String,
    /// Answered after the caller had cancelled, or while it did.
    pub cancel_crossed: bool,
    /// How it ended.
    pub how: String,
    /// From the answer to the end.
    pub talk_ms: u64,
    /// What the called side heard.
    pub audio: Option<AudioReport>,
}

impl Dial {
    /// How it ended.
    pub fn class(&self) -> Class {
        match self.status {
            0 => Class::Silent,
            200 if self.cancel_crossed => Class::AnsweredAtCancel,
            200 => Class::Answered,
            486 | 600 => Class::Busy,
            404 | 410 | 484 | 604 => Class::Unallocated,
            480 | 408 => Class::Unavailable,
            403 | 603 | 607 | 608 => Class::Rejected,
            487 => Class::Cancelled,
            _ => Class::Failure,
        }
    }

    /// The attempt it belongs to: its id where the product names it, else the call itself.
    pub fn identity(&self) -> &str {
        if self.attempt.is_empty() {
            &self.call_id
        } else {
            &self.attempt
        }
    }
}

/// The calls of a log, in the order of their first INVITEs. Challenged INVITEs open none.
pub fn dials(log: &[Entry]) -> Vec<Dial> {
    let mut all: Vec<Dial> = Vec::new();
    let mut open = BTreeMap::<&str, usize>::new();
    let mut run_began_ns = 0u64;
    for entry in log {
        if matches!(entry.event, Event::Started { .. }) {
            run_began_ns = (entry.wall_ms.max(0) as u64 * 1_000_000).saturating_sub(entry.mono_ns);
            // A stopped carrier remembers no calls.
            open.clear();
            continue;
        }
        let at_ns = run_began_ns + entry.mono_ns;
        if let Event::Invite {
            retransmission: false,
            challenged: false,
            ..
        } = entry.event
        {
            open.insert(&entry.call_id, all.len());
            all.push(Dial {
                call_id: entry.call_id.clone(),
                attempt: entry.attempt.clone(),
                number: entry.number.clone(),
                caller_id: entry.caller_id.clone(),
                trunk: entry.trunk.clone(),
                began_ns: at_ns,
                ended_ns: at_ns,
                began_ms: entry.wall_ms,
                ended: false,
                status: 0,
                behaviour: String::new(),
                cancel_crossed: false,
                how: String::new(),
                talk_ms: 0,
                audio: None,
            });
            continue;
        }
        let Some(at) = open.get(entry.call_id.as_str()) else {
            continue;
        };
        let dial = &mut all[*at];
        match &entry.event {
            Event::Invite {
                challenged: false, ..
            } => dial.ended_ns = dial.ended_ns.max(at_ns),
            Event::Cancel {
                late,
                unknown: false,
            } => {
                dial.cancel_crossed |= *late && matches!(dial.status, 0 | 200);
                dial.ended_ns = dial.ended_ns.max(at_ns);
            }
            Event::Final { status, behaviour } => {
                dial.status = *status;
                dial.behaviour.clone_from(behaviour);
                dial.ended_ns = at_ns;
            }
            Event::Closed {
                how,
                talk_ms,
                audio,
                ..
            } => {
                dial.ended = true;
                dial.ended_ns = at_ns;
                dial.how.clone_from(how);
                dial.talk_ms = *talk_ms;
                dial.audio.clone_from(audio);
            }
            _ => {}
        }
    }
    // A line about audio may be written a tick late; its time is right all the same.
    all.sort_by_key(|d| d.began_ns);
    all
}
