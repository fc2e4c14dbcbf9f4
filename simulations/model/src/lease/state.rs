//! What the lease model knows at a moment.

use crate::{
    Invariant,
    time::{LONG_AGO, older},
};

/// Members; each is a voter and a node that dials.
pub(crate) const MEMBERS: usize = 3;
/// Numbers to be called.
pub(crate) const NUMBERS: usize = 2;
/// Attempts that a number may have.
pub(crate) const ATTEMPTS: u8 = 2;

/// A member's session, as its group and its node have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Session {
    /// None, and the node knows.
    None,
    /// Open, and the node's own.
    Open,
    /// Open, but of a run of the node that is over, or given up by it.
    OfEarlierRun,
    /// Ended, and the node does not know.
    Lost,
}

/// A number's lease, at the member that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    /// Not this member's.
    None,
    /// Leased to its session.
    Held,
    /// In doubt since so many steps: its session ended.
    Doubt(u8),
}

/// What a node's hopper and journal have of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Nothing.
    None,
    /// In the hopper.
    Leased,
    /// The permit was granted, and a pause holds the datagram back.
    Paused,
    /// The INVITE left; the outcome is not told yet.
    Dialing,
    /// Of an earlier run: never dialed.
    Undialed,
    /// Of an earlier run: its end is known.
    Ended,
    /// Of an earlier run: dialed, its end unknown. Nothing can be told of it.
    EndUnknown,
}

/// What one member has to do with one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The group's word.
    pub lease: Lease,
    /// The node's word.
    pub mark: Mark,
    /// The network's: a call that it still works on, so many steps after its lease was not held any
    /// more. Until then a call may go on: only what it may do afterwards could do harm.
    pub call: Option<u8>,
}

/// A member: its node, and what the group and its leader hold of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// It is a node; a coordinator votes and never dials.
    pub dials: bool,
    /// Its session.
    pub session: Session,
    /// When its leader last noted a request, or was elected.
    pub noted: u8,
    /// The leader has decided to expire it.
    pub decided: bool,
    /// When the request was sent that its validity rests on.
    pub valid: u8,
    /// The answer to the request sent so long ago is under way.
    pub flying: Option<u8>,
    /// When the last request was sent. Only a mistaken node looks at it.
    pub asked: u8,
    /// By number.
    pub lines: [Line; NUMBERS],
}

/// A number, as everybody counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// Attempts that the group has counted.
    pub attempts: u8,
    /// INVITEs that really left.
    pub invites: u8,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// 1 after the short step, 0 after the long one.
    pub phase: u8,
    /// An earlier leader, out of office for so many steps, still believes that it leads. Only
    /// a mistaken leader makes anything of that.
    pub old_leader: Option<u8>,
    /// The rule that was broken on the way here.
    pub broken: Option<Invariant>,
    /// The numbers.
    pub numbers: [Number; NUMBERS],
    /// The members.
    pub members: [Member; MEMBERS],
}

impl Line {
    pub(crate) const EMPTY: Self = Self {
        lease: Lease::None,
        mark: Mark::None,
        call: None,
    };

    /// Between the permit and the datagram.
    pub(crate) fn is_paused(&self) -> bool {
        self.mark == Mark::Paused
    }
}

impl Member {
    const NEW: Self = Self {
        dials: true,
        session: Session::None,
        noted: LONG_AGO,
        decided: false,
        valid: LONG_AGO,
        flying: None,
        asked: LONG_AGO,
        lines: [Line::EMPTY; NUMBERS],
    };

    /// The group has a session of it that is not ended.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.session, Session::Open | Session::OfEarlierRun)
    }

    /// The node thinks that it has a session.
    pub(crate) fn has_session(&self) -> bool {
        matches!(self.session, Session::Open | Session::Lost)
    }

    /// Its process stands still between a permit and its datagram: nothing else happens in it.
    pub(crate) fn is_paused(&self) -> bool {
        self.lines.iter().any(Line::is_paused)
    }

    /// The group has leads leased to it.
    pub(crate) fn holds_leads(&self) -> bool {
        self.lines.iter().any(|line| line.lease == Lease::Held)
    }

    /// The node has no session any more, and knows.
    pub(crate) fn forget_session(&mut self) {
        (self.session, self.valid, self.flying) = (Session::None, LONG_AGO, None);
        (self.noted, self.decided, self.asked) = (LONG_AGO, false, LONG_AGO);
        for line in &mut self.lines {
            if line.mark == Mark::Leased {
                line.mark = Mark::None;
            }
        }
    }

    /// The node has no use for its session any more; the group may still have it open.
    pub(crate) fn gives_session_up(&mut self) {
        let (open, noted, decided) = (self.is_open(), self.noted, self.decided);
        self.forget_session();
        if open {
            (self.session, self.noted) = (Session::OfEarlierRun, noted);
            self.decided = decided;
        }
    }

    /// A step passes for the leader, the group and the network.
    pub(crate) fn ages(&mut self) {
        older(&mut self.noted);
        for line in &mut self.lines {
            if let Lease::Doubt(age) = &mut line.lease {
                older(age);
            }
            if line.lease != Lease::Held {
                line.call.iter_mut().for_each(older);
            }
        }
    }

    /// A step passes on the node's clock.
    pub(crate) fn clock_runs(&mut self) {
        older(&mut self.valid);
        older(&mut self.asked);
        self.flying.iter_mut().for_each(older);
    }
}

impl State {
    /// Nothing has happened; so many of the members are nodes.
    pub(crate) fn first(dialers: usize) -> Self {
        let number = Number {
            attempts: 0,
            invites: 0,
        };
        Self {
            phase: 0,
            old_leader: None,
            broken: None,
            numbers: [number; NUMBERS],
            members: std::array::from_fn(|m| Member {
                dials: m < dialers,
                ..Member::NEW
            }),
        }
    }

    /// Nobody holds the number, and no doubt about it is open.
    pub(crate) fn is_free(&self, number: usize) -> bool {
        (self.members.iter()).all(|member| member.lines[number].lease == Lease::None)
    }

    /// The network works on a call to the number.
    pub(crate) fn is_live(&self, number: usize) -> bool {
        (self.members.iter()).any(|member| member.lines[number].call.is_some())
    }

    /// One of the states that are the same but for the order of members and numbers.
    pub(crate) fn in_order(mut self) -> Self {
        self.members.sort_unstable();
        let mut other = self.clone();
        other.numbers.swap(0, 1);
        for member in &mut other.members {
            member.lines.swap(0, 1);
        }
        other.members.sort_unstable();
        self.min(other)
    }
}
