//! What is known to be true, from what clients were told and what replicas showed.

use crate::{
    history::History,
    machine::Told,
    region::{Heard, Machine},
    seen::{Happening, Seen},
    violation::{Rule, Violation},
};
use consensus::GroupStatus;
use domain::MemberId;
use simulate::{Keep, Trace};
use std::collections::{BTreeMap, BTreeSet};

/// Knows everything, fails never.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) seen: Seen,
    pub(crate) trace: Trace,
    /// What the telephone network saw.
    pub(crate) history: History,
    /// The first broken rule.
    pub(crate) broken: Option<Violation>,
    /// Milliseconds of the run, as last heard.
    pub(crate) now: u64,
    /// The state's hash after each command's entry.
    hashes: BTreeMap<u64, u64>,
    /// Who ever led, and in which term.
    leaders: BTreeSet<(u64, MemberId)>,
    confirmed: (u64, MemberId),
    acknowledged: BTreeMap<u64, u64>,
    never: BTreeSet<u64>,
    /// The newest entry that somebody was told of: whoever begins now must see it.
    floor: u64,
}

impl Oracle {
    pub(crate) fn new(keep: Keep) -> Self {
        Self {
            trace: Trace::new(keep),
            ..Self::default()
        }
    }

    pub(crate) fn breaks(&mut self, rule: Rule, what: impl Into<String>) {
        if self.broken.is_none() {
            self.broken = Some(rule.broken(self.now, what));
        }
    }

    /// Something happened: `words` tell events apart.
    pub(crate) fn note(&mut self, words: &[u64], line: impl FnOnce() -> String) {
        self.trace.note(self.now, words, line);
    }

    /// What everybody who begins now must see.
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    /// A replica showed its state.
    pub(crate) fn shown(&mut self, member: MemberId, heard: &Heard) {
        self.history.heard(&heard.region, &mut self.seen);
        let told = heard.told;
        self.seen.saw(if told.reset {
            Happening::SnapshotsInstalled
        } else {
            Happening::Applied
        });
        let Told { index, hash, reset } = told;
        self.note(&[1, member.0, index, hash, u64::from(reset)], || {
            let how = if reset { "takes over" } else { "applies" };
            format!("{member} {how} {index}: {hash:016x}")
        });
        self.equal(member, index, hash);
    }

    fn equal(&mut self, member: MemberId, index: u64, hash: u64) {
        let first = *self.hashes.entry(index).or_insert(hash);
        if first != hash {
            let what = format!("at entry {index}, {member} has {hash:016x}, others {first:016x}");
            self.breaks(Rule::Equal, what);
        }
    }

    /// Somebody was told of an entry.
    pub(crate) fn known(&mut self, index: u64) {
        self.floor = self.floor.max(index);
    }

    /// A client was told that its command was applied.
    pub(crate) fn acknowledged(&mut self, number: u64, floor: u64, index: u64, times: u32) {
        self.seen.saw(Happening::Writes);
        self.note(&[2, number, index], || {
            format!("command {number} is entry {index}")
        });
        if index <= floor {
            let what = format!("command {number} is entry {index}, told after {floor} was known");
            self.breaks(Rule::Linear, what);
        }
        if times != 1 {
            self.breaks(Rule::Once, format!("command {number} counts {times} times"));
        }
        self.acknowledged.insert(number, index);
        self.floor = self.floor.max(index);
    }

    /// A client was told that its command never will be applied.
    pub(crate) fn undone(&mut self, number: u64) {
        self.seen.saw(Happening::Undone);
        self.note(&[3, number], || {
            format!("command {number} is surely not applied")
        });
        self.never.insert(number);
    }

    /// A client was told that nobody knows.
    pub(crate) fn unknown(&mut self, number: u64) {
        self.seen.saw(Happening::Unknown);
        self.note(&[4, number], || format!("command {number} may be applied"));
    }

    /// A client read a whole machine.
    pub(crate) fn read(&mut self, member: MemberId, floor: u64, machine: &Machine) {
        self.seen.saw(Happening::Reads);
        let (index, hash) = (machine.book.index, machine.hash());
        self.note(&[5, member.0, index, hash], || {
            format!("a client reads {index} at {member}")
        });
        if index < floor {
            let what =
                format!("a read at {member} shows entry {index}, and {floor} was known before");
            self.breaks(Rule::Linear, what);
        }
        if index > 0 {
            self.equal(member, index, hash);
        }
        self.floor = self.floor.max(index);
    }

    /// A member says what it is. A term may see more than one leader (openraft orders them by term
    /// and member), so leaderships are compared by both.
    pub(crate) fn status(&mut self, member: MemberId, status: &GroupStatus) {
        let leads = status.role == consensus::Role::Leader;
        if leads && self.leaders.insert((status.term, member)) {
            self.seen.saw(Happening::Elections);
            self.note(&[6, member.0, status.term], || {
                format!("{member} leads in term {}", status.term)
            });
        }
    }

    /// The newest leadership that a quorum has confirmed.
    pub(crate) const fn leadership(&self) -> (u64, MemberId) {
        self.confirmed
    }

    /// A quorum confirmed to `member` that it leads; `newest` was confirmed before it asked.
    pub(crate) fn confirmed(&mut self, member: MemberId, term: u64, newest: (u64, MemberId)) {
        self.seen.saw(Happening::Confirmed);
        self.note(&[7, member.0, term], || {
            format!("{member} is confirmed as leader of term {term}")
        });
        if (term, member) < newest {
            let (later, by) = newest;
            let what = format!(
                "{member} is confirmed as leader of term {term} after {by} was as that of {later}"
            );
            self.breaks(Rule::OneLeader, what);
        }
        self.confirmed = self.confirmed.max((term, member));
    }

    /// Everything that was promised, in a machine that is said to hold everything.
    pub(crate) fn last(&mut self, member: MemberId, machine: &Machine) {
        let book = &machine.book;
        let lost = (self.acknowledged.iter()).find(|(number, _)| !book.lines.contains_key(number));
        if let Some((number, index)) = lost {
            let what =
                format!("command {number}, acknowledged as entry {index}, is not on {member}");
            return self.breaks(Rule::Kept, what);
        }
        if let Some(number) = self.never.iter().find(|n| book.lines.contains_key(n)) {
            let what = format!("command {number} was surely not applied, and is on {member}");
            return self.breaks(Rule::Kept, what);
        }
        if let Some((number, line)) = book.lines.iter().find(|(_, line)| line.times != 1) {
            let what = format!("command {number} counts {} times on {member}", line.times);
            self.breaks(Rule::Once, what);
        }
        let uncounted = (machine.region.as_ref()).and_then(|region| self.history.uncounted(region));
        if let Some(what) = uncounted {
            self.breaks(Rule::Counted, format!("on {member} {what}"));
        }
    }
}
