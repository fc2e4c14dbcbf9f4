//! What was learned as bytes: to keep it, and to tell it to others.

use crate::{
    Answers, Count, HOURS, SEGMENTS,
    answers::Counts,
    hours::Cell,
    model::Seen,
    reliability::{STEPS, Step},
};
use serde::{Deserialize, Serialize};

/// Version of the bytes, in front of them.
const VERSION: u8 = 2;

/// The version before, in which the model saw the list.
const BEFORE: u8 = 1;

/// Bytes that are not what was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Of another release, or of none.
    #[error("its version is {got:?}; this release reads {BEFORE} and {VERSION}")]
    Version {
        /// The first byte; none where there is none.
        got: Option<u8>,
    },
    /// Not whole.
    #[error("it is not whole")]
    Torn,
    /// A place, a list or a figure beyond its bound.
    #[error("it has {0} beyond its bound")]
    Beyond(&'static str),
}

/// Only what something was seen of.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    beginning: f32,
    weights: Vec<(u16, Seen)>,
    lists: Vec<u32>,
    cells: Vec<(u16, Cell)>,
    seen: Vec<(u16, Count)>,
    counts: Counts,
    kept: [Step; STEPS],
}

pub(crate) fn write(answers: &Answers) -> Vec<u8> {
    let rows = answers.seen.iter().flatten().enumerate();
    let saved = Saved {
        beginning: answers.model.beginning(),
        weights: answers.model.seen().collect(),
        lists: answers.lists.clone(),
        cells: answers.hours.cells().collect(),
        seen: rows
            .filter(|(_, count)| count.lines > 0)
            .map(|(at, count)| (at as u16, *count))
            .collect(),
        counts: answers.counts,
        kept: answers.kept.kept(),
    };
    postcard::to_extend(&saved, vec![VERSION]).expect("what was learned is plain data")
}

pub(crate) fn read(bytes: &[u8], answers: &mut Answers) -> Result<(), Unreadable> {
    let (version, body) = match bytes.split_first() {
        Some((version @ &(BEFORE | VERSION), body)) => (*version, body),
        other => {
            let got = other.map(|(version, _)| *version);
            return Err(Unreadable::Version { got });
        }
    };
    let saved: Saved = postcard::from_bytes(body).map_err(|_| Unreadable::Torn)?;
    if saved.lists.len() >= SEGMENTS {
        return Err(Unreadable::Beyond("a list"));
    }
    answers.lists = saved.lists;
    answers
        .model
        .restore(saved.beginning, &saved.weights)
        .ok_or(Unreadable::Beyond("a weight"))?;
    answers
        .hours
        .restore(&saved.cells)
        .ok_or(Unreadable::Beyond("an hour"))?;
    if version == BEFORE {
        answers.without_lists();
    }
    for (at, count) in saved.seen {
        let (segment, hour) = (usize::from(at) / HOURS, usize::from(at) % HOURS);
        let row = answers.seen.get_mut(segment);
        row.ok_or(Unreadable::Beyond("a count"))?[hour] = count;
    }
    answers.counts = saved.counts;
    answers
        .kept
        .restore(saved.kept)
        .ok_or(Unreadable::Beyond("a chance"))
}
