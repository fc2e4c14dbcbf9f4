//! What the freshness model knows at a moment.

use crate::{
    Invariant,
    time::{LONG_AGO, older},
};

/// Members; each has a copy of the directory and a node that dials.
pub(crate) const MEMBERS: usize = 3;
/// Numbers.
pub(crate) const NUMBERS: usize = 2;
/// Entries that are ever committed, at most.
pub(crate) const ENTRIES: usize = 3;

/// A do-not-call entry of the directory's log. Indices count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// Not yet.
    None,
    /// Do not call this number.
    Add(u8),
    /// Call this number again, if the entry of this index still is the last word about it.
    Remove(u8, u8),
}

/// What is watched in this run. One thing at a time is enough: no entry, opt-out or call changes
/// what becomes of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watch {
    /// Nothing so far.
    Nothing,
    /// An opt-out, heard at one of the members.
    OptOut,
    /// The entry of this index: the leader waits until it is effective.
    Waiting(u8),
    /// It was answered that the entry of this index is effective.
    Effective(u8),
    /// It was; the entry was removed since.
    Removed,
}

/// A call of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// None that is watched.
    None,
    /// The permit was granted for this number, and a pause holds the datagram back.
    Paused(u8),
    /// This number rings, unanswered.
    Rings(u8),
}

/// What is to become of an opt-out that a node heard, and the number.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptOut {
    /// There is none.
    None,
    /// Heard, and not committed.
    Heard(u8),
    /// Committed at this index, which the node has not applied.
    Committed(u8, u8),
}

/// A member: its copy, its freshness, and what the directory's leader holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// It is a node; a coordinator never dials.
    pub dials: bool,
    /// Its engine has applied the log up to here.
    pub applied: u8,
    /// When the request was sent that its freshness rests on.
    pub valid: u8,
    /// A request sent so long ago is answered with this index, and does not count yet.
    pub answer: Option<(u8, u8)>,
    /// When the leader last noted a request, or was elected: before the watched entry was committed,
    /// since later requests do not prolong the wait for it. `None` once the member has told that
    /// it applied the entry.
    pub noted: Option<u8>,
    /// An opt-out heard here.
    pub opt_out: OptOut,
    /// A call.
    pub call: Call,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// 1 after the short step, 0 after the long one.
    pub phase: u8,
    /// The rule that was broken on the way here.
    pub broken: Option<Invariant>,
    /// The directory's log.
    pub log: [Entry; ENTRIES],
    /// An earlier leader that knows the log up to here and still believes that it leads. Only a
    /// mistaken one makes anything of that.
    pub old_leader: Option<u8>,
    /// What is watched.
    pub watch: Watch,
    /// The members.
    pub members: [Member; MEMBERS],
}

impl Entry {
    fn swapped(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Add(n) => Self::Add(1 - n),
            Self::Remove(n, index) => Self::Remove(1 - n, index),
        }
    }
}

impl Member {
    const NEW: Self = Self {
        dials: true,
        applied: 0,
        valid: LONG_AGO,
        answer: None,
        noted: Some(LONG_AGO),
        opt_out: OptOut::None,
        call: Call::None,
    };

    /// The opt-out heard here, if it is about this number.
    pub(crate) fn is_bound(&self, number: usize) -> bool {
        match self.opt_out {
            OptOut::None => false,
            OptOut::Heard(n) | OptOut::Committed(n, _) => usize::from(n) == number,
        }
    }

    /// Tells the leader as soon as it has applied the awaited index: the sooner it is told, the
    /// sooner `effective` is answered.
    pub(crate) fn tells(&mut self, awaited: u8) {
        if self.applied >= awaited {
            self.noted = None;
        }
    }

    /// A step passes.
    pub(crate) fn ages(&mut self) {
        older(&mut self.valid);
        if let Some((age, _)) = &mut self.answer {
            older(age);
        }
        self.noted.iter_mut().for_each(older);
    }
}

impl State {
    /// Nothing has happened; so many of the members are nodes.
    pub(crate) fn first(dialers: usize) -> Self {
        Self {
            phase: 0,
            broken: None,
            log: [Entry::None; ENTRIES],
            old_leader: None,
            watch: Watch::Nothing,
            members: std::array::from_fn(|m| {
                let dials = m < dialers;
                Member {
                    dials,
                    // The leader waits for nodes only.
                    noted: dials.then_some(LONG_AGO),
                    ..Member::NEW
                }
            }),
        }
    }

    /// The last committed index.
    pub(crate) fn committed(&self) -> u8 {
        self.log.iter().filter(|e| **e != Entry::None).count() as u8
    }

    /// Whom an entry that is there forbids.
    pub(crate) fn added(&self, index: u8) -> Option<usize> {
        match self.log[usize::from(index) - 1] {
            Entry::Add(n) => Some(usize::from(n)),
            _ => None,
        }
    }

    /// Nothing that could still happen would break a rule: what was watched is over, or there are no
    /// entries left to be watched.
    pub(crate) fn is_settled(&self, entries: u8) -> bool {
        match self.watch {
            Watch::Nothing => self.committed() == entries,
            Watch::OptOut => self.members.iter().all(|m| m.opt_out == OptOut::None),
            Watch::Waiting(_) | Watch::Effective(_) => false,
            Watch::Removed => true,
        }
    }

    /// No call is watched yet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.members.iter().all(|m| m.call == Call::None)
    }

    /// The index of the entry that forbids a number, by the log up to `applied`; 0 if none does.
    /// Add wins over remove, unless `remove_wins`.
    pub(crate) fn forbids(&self, number: usize, applied: u8, remove_wins: bool) -> u8 {
        let mut last = 0;
        for (index, entry) in (1..).zip(&self.log[..usize::from(applied)]) {
            match *entry {
                Entry::Add(n) if usize::from(n) == number => last = index,
                Entry::Remove(n, named)
                    if usize::from(n) == number && (named == last || remove_wins) =>
                {
                    last = 0;
                }
                _ => {}
            }
        }
        last
    }

    /// One of the states that are the same but for the order of members and numbers.
    pub(crate) fn in_order(mut self) -> Self {
        self.members.sort_unstable();
        let mut other = self.clone();
        other.log = other.log.map(Entry::swapped);
        for member in &mut other.members {
            member.opt_out = match member.opt_out {
                OptOut::None => OptOut::None,
                OptOut::Heard(n) => OptOut::Heard(1 - n),
                OptOut::Committed(n, index) => OptOut::Committed(1 - n, index),
            };
            member.call = match member.call {
                Call::None => Call::None,
                Call::Paused(n) => Call::Paused(1 - n),
                Call::Rings(n) => Call::Rings(1 - n),
            };
        }
        other.members.sort_unstable();
        self.min(other)
    }
}
