//! Who calls, where this node cannot say: the mesh is asked while it rings.
//!
//! A node knows whom it called itself. Others have a lead in the region of their number, which other cities
//! may have called; and a number of another city has that city's name. Each question has an end: who is
//! not known by then is a stranger.

use crate::{
    Engine, Observed, Output, Side, TimerName,
    call_backs::{Caller, Came},
};
use domain::{CallerTold, Now, PhoneNumber, limits};
use sip::CallHandle;
use std::collections::BTreeMap;

/// What the mesh knew of who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerAnswer {
    /// The lead.
    Known,
    /// Nobody who was called at that number.
    Stranger,
    /// Nobody who could know answered in time.
    Unanswered,
    /// It was not asked: too many calls rang.
    Full,
}

impl CallerAnswer {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Stranger => "stranger",
            Self::Unanswered => "unanswered",
            Self::Full => "full",
        }
    }
}

/// A call that rings.
#[derive(Debug)]
struct Ringing {
    came: Came,
    /// Who calls, as the number is read; none where it is withheld.
    number: Option<PhoneNumber>,
    /// Whether the person is asked for, and not only the city.
    person: bool,
}

/// Calls that ring while the mesh is asked who calls; at most [`limits::CALLERS_ASKED`].
#[derive(Debug, Default)]
pub(crate) struct Asking {
    calls: BTreeMap<u64, Ringing>,
    asked: u64,
}

impl Asking {
    /// Whether a person of this number calls and waits for an answer.
    pub(crate) fn rings(&self, number: PhoneNumber) -> bool {
        (self.calls.values()).any(|ringing| ringing.number == Some(number))
    }
}

impl Engine {
    /// A call came that this node would take. Lets it ring and asks the mesh, where that knows more than
    /// this node; else gives it back, to be taken now.
    pub(crate) fn ask_who_calls(&mut self, now: Now, came: Came, caller: &Caller) -> Option<Came> {
        let number = caller.number.filter(|_| caller.known.is_none());
        if number.is_none() && caller.for_city.is_none() {
            return Some(came);
        }
        if self.asking.calls.len() >= limits::CALLERS_ASKED {
            let answer = CallerAnswer::Full;
            self.observe(Observed::CallerAsked { answer });
            return Some(came);
        }
        // Refused only where the caller left meanwhile, which is told by itself.
        let _gone = self.trunk_ua.ringing(now, came.call).is_err();
        self.asking.asked += 1;
        let ask = self.asking.asked;
        let ringing = Ringing {
            came,
            number: caller.number,
            person: number.is_some(),
        };
        self.asking.calls.insert(ask, ringing);
        (self.timers).arm(TimerName::Caller(ask), now.monotonic + limits::WHO_CALLS);
        let called: PhoneNumber = caller.called;
        self.output(Output::WhoCalls {
            ask,
            number,
            called,
        });
        None
    }

    /// The mesh said who calls.
    pub(crate) fn caller_told(&mut self, now: Now, ask: u64, told: &CallerTold) {
        self.timers.disarm(&TimerName::Caller(ask));
        let answer = match told.person {
            Some(_) => CallerAnswer::Known,
            None if told.unanswered => CallerAnswer::Unanswered,
            None => CallerAnswer::Stranger,
        };
        self.caller_settled(now, ask, told, answer);
    }

    /// The mesh did not say it in time: a stranger.
    pub(crate) fn caller_untold(&mut self, now: Now, ask: u64) {
        self.caller_settled(now, ask, &CallerTold::default(), CallerAnswer::Unanswered);
    }

    fn caller_settled(&mut self, now: Now, ask: u64, told: &CallerTold, answer: CallerAnswer) {
        let Some(Ringing { came, person, .. }) = self.asking.calls.remove(&ask) else {
            return;
        };
        if person {
            self.observe(Observed::CallerAsked { answer });
        }
        // Looked at anew: trunk, numbers and campaigns may be others by now.
        let caller = self.who_calls(&came, Some(told));
        self.take_or_refuse(now, &came, caller);
        self.drain_ua(now, Side::Trunks);
    }

    /// The call ended before it was taken.
    pub(crate) fn caller_left(&mut self, side: Side, call: CallHandle) {
        let calls = &self.asking.calls;
        let left = (calls.iter()).find(|(_, ringing)| ringing.came.call == call);
        if let Some(ask) = left.map(|(ask, _)| *ask).filter(|_| side == Side::Trunks) {
            self.asking.calls.remove(&ask);
            self.timers.disarm(&TimerName::Caller(ask));
        }
    }

    /// Nothing new is taken any more.
    pub(crate) fn refuse_asked(&mut self, now: Now) {
        for (ask, Ringing { came, .. }) in std::mem::take(&mut self.asking.calls) {
            self.timers.disarm(&TimerName::Caller(ask));
            self.take_or_refuse(now, &came, Err(503));
        }
        self.drain_ua(now, Side::Trunks);
    }
}
