//! What can happen, and what comes of it.

use super::{
    LeaseModel, Step,
    state::{ATTEMPTS, Lease, MEMBERS, Mark, NUMBERS, Session, State},
};
use crate::{
    Defect, Invariant,
    time::{AGES, LONG_AGO, older},
};

impl LeaseModel {
    /// What the group, its leader and the network may do about a member.
    pub(super) fn group_steps(&self, state: &State, m: usize, steps: &mut Vec<Step>) {
        let member = &state.members[m];
        if self.has(Defect::ClockStopsInPause) && member.session != Session::None {
            steps.push(Step::TimePassesUnseenBy(m));
        }
        if member.decided {
            steps.push(Step::Expires(m));
        } else if member.is_open() && Self::ask(&self.expiry, state, member.noted) {
            steps.push(Step::ExpiryDecided(m));
        }
        for (n, line) in member.lines.iter().enumerate() {
            if line.call.is_some() {
                steps.push(Step::CallEnds(m, n));
            }
            if let Lease::Doubt(age) = line.lease
                && Self::ask(&self.doubt_over, state, age)
            {
                steps.push(Step::DoubtEnds(m, n));
            }
        }
    }

    /// What a node may do. Between a permit and its datagram it does nothing else.
    pub(super) fn node_steps(&self, state: &State, m: usize, steps: &mut Vec<Step>) {
        let member = &state.members[m];
        let runs = !member.is_paused();
        if member.session != Session::None || member.lines.iter().any(|l| l.mark != Mark::None) {
            steps.extend([Step::Crashes(m), Step::LosesPower(m)]);
        }
        if runs {
            match member.session {
                Session::None | Session::OfEarlierRun if member.dials => {
                    steps.push(Step::Opens(m));
                }
                Session::None | Session::OfEarlierRun => {}
                Session::Open => steps.push(Step::KeepAlive(m)),
                Session::Lost => steps.push(Step::LearnsEnd(m)),
            }
            if member.flying.is_some() {
                steps.push(Step::Answered(m));
            }
            if member.has_session() {
                if self.has(Defect::MixesAnswers) {
                    steps.push(Step::KeepAliveLost(m));
                }
                if state.old_leader.is_some() {
                    steps.push(Step::KeepAliveToOldLeader(m));
                }
            }
        }
        for n in 0..NUMBERS {
            self.line_steps(state, m, n, runs, steps);
        }
    }

    fn line_steps(&self, state: &State, m: usize, n: usize, runs: bool, steps: &mut Vec<Step>) {
        let member = &state.members[m];
        let line = &member.lines[n];
        if line.is_paused() {
            steps.push(Step::Wakes(m, n));
        }
        if !runs {
            return;
        }
        let due = state.is_free(n) && state.numbers[n].attempts < ATTEMPTS;
        if due && member.session == Session::Open {
            steps.push(Step::Claims(m, n));
        }
        match line.mark {
            Mark::Leased => {
                if member.has_session() && Self::ask(&self.may_send, state, member.valid) {
                    steps.extend([Step::Dials(m, n), Step::Pauses(m, n)]);
                }
                if line.lease != Lease::None {
                    steps.push(Step::GivesBack(m, n));
                }
            }
            Mark::Dialing if line.call.is_none() => {
                steps.push(Step::Reports(m, n));
                if self.has(Defect::RefundsDialed) {
                    steps.push(Step::ReportsUndialed(m, n));
                }
            }
            // While the earlier session is open the answer is "still open".
            Mark::Undialed | Mark::Ended if matches!(line.lease, Lease::Doubt(_)) => {
                steps.push(Step::Settles(m, n));
            }
            _ => {}
        }
    }

    pub(super) fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::TimePasses => self.time_passes(state, None),
            Step::TimePassesUnseenBy(m) => self.time_passes(state, Some(m)),
            Step::Elected => self.elected(state),
            Step::Opens(m) => self.opens(state, m),
            Step::KeepAlive(m) => self.keep_alive(state, m),
            Step::KeepAliveLost(m) => state.members[m].asked = 0,
            Step::KeepAliveToOldLeader(m) => state.members[m].valid = 0,
            Step::Answered(m) => self.answered(state, m),
            Step::LearnsEnd(m) => state.members[m].forget_session(),
            Step::ExpiryDecided(m) => state.members[m].decided = true,
            Step::Expires(m) => self.expires(state, m),
            Step::Claims(m, n) => {
                let counts = u8::from(!self.has(Defect::CountsAtOutcome));
                state.numbers[n].attempts += counts;
                let line = &mut state.members[m].lines[n];
                (line.lease, line.mark) = (Lease::Held, Mark::Leased);
            }
            Step::Dials(m, n) => self.dials(state, m, n),
            Step::Pauses(m, n) => state.members[m].lines[n].mark = Mark::Paused,
            Step::Wakes(m, n) => {
                let valid = Self::ask(&self.is_valid, state, state.members[m].valid);
                let stands =
                    valid || self.has(Defect::NoCheckAfterSend) || self.has(Defect::NoSessionCheck);
                self.invite_leaves(state, m, n, stands);
            }
            Step::CallEnds(m, n) => state.members[m].lines[n].call = None,
            Step::Reports(m, n) => self.reports(state, m, n),
            Step::ReportsUndialed(m, n) => self.tells_undialed(state, m, n),
            Step::GivesBack(m, n) => {
                self.tells_undialed(state, m, n);
                if self.has(Defect::DialsGivenBack) {
                    state.members[m].lines[n].mark = Mark::Leased;
                }
            }
            Step::Crashes(m) => self.crashes(state, m),
            Step::LosesPower(m) => self.loses_power(state, m),
            Step::Settles(m, n) => match state.members[m].lines[n].mark {
                Mark::Undialed => self.tells_undialed(state, m, n),
                _ => self.reports(state, m, n),
            },
            Step::DoubtEnds(m, n) => self.closes(state, m, n),
        }
    }

    fn time_passes(&self, state: &mut State, unseen_by: Option<usize>) {
        state.phase ^= 1;
        for (m, member) in state.members.iter_mut().enumerate() {
            member.ages();
            if unseen_by != Some(m) {
                member.clock_runs();
            }
            for line in &mut member.lines {
                let done =
                    |age: &u8| !self.network_done[usize::from(state.phase)][usize::from(*age)];
                line.call = line.call.filter(done);
            }
        }
        if let Some(age) = &mut state.old_leader {
            older(age);
            // One that answers by an old quorum round does so for T after it.
            let learns =
                self.has(Defect::RoundBeforeRequest) && u32::from(*age) > 2 * self.shape.strides;
            if learns {
                state.old_leader = None;
            }
        }
    }

    /// The new leader counts every session from now; what the old one decided is void.
    fn elected(&self, state: &mut State) {
        for member in state.members.iter_mut().filter(|m| m.is_open()) {
            member.noted = if self.has(Defect::NewLeaderExpires) {
                LONG_AGO
            } else {
                0
            };
            member.decided &= self.has(Defect::OldLeaderExpires);
        }
        if self.has(Defect::NoQuorumRound) || self.has(Defect::RoundBeforeRequest) {
            state.old_leader = Some(0);
        }
    }

    /// A new run's session ends the earlier one's.
    fn opens(&self, state: &mut State, m: usize) {
        if state.members[m].session == Session::OfEarlierRun {
            self.in_doubt(state, m);
        }
        let member = &mut state.members[m];
        (member.session, member.noted, member.decided) = (Session::Open, 0, false);
    }

    /// The request is noted the moment it is sent: the worst case, since a later note only lets
    /// the session live longer. A decided expiry is final.
    fn keep_alive(&self, state: &mut State, m: usize) {
        let member = &mut state.members[m];
        let answers = !member.decided
            || self.has(Defect::AnswersDecided)
            || self.has(Defect::OldLeaderExpires);
        if !answers {
            member.gives_session_up();
            return;
        }
        member.noted = 0;
        if !self.shape.late_answers {
            member.valid = 0;
            return;
        }
        // Of two answers under way the later one says more; a mistaken node makes most of the older.
        let keeps = self.has(Defect::MixesAnswers) && member.flying.is_some();
        if !keeps {
            member.flying = Some(0);
        }
        if self.has(Defect::MixesAnswers) {
            member.asked = 0;
        }
    }

    fn answered(&self, state: &mut State, m: usize) {
        let member = &mut state.members[m];
        let Some(sent) = member.flying.take() else {
            return;
        };
        let from = match self.defect {
            Some(Defect::CountsFromAnswer) => 0,
            Some(Defect::MixesAnswers) => member.asked,
            _ => sent,
        };
        member.valid = member.valid.min(from);
    }

    fn expires(&self, state: &mut State, m: usize) {
        self.in_doubt(state, m);
        let member = &mut state.members[m];
        // A node that may act no more, and will hear of no more validity, might as well know.
        let acts = |age: u8| self.may_send[usize::from(state.phase)][usize::from(age)];
        let may_act =
            acts(member.valid) || member.flying.is_some() || self.has(Defect::ClockStopsInPause);
        if member.session == Session::Open && may_act {
            member.session = Session::Lost;
            member.decided = false;
        } else {
            member.forget_session();
        }
    }

    /// A session has ended: its leads are in doubt.
    fn in_doubt(&self, state: &mut State, m: usize) {
        for line in &mut state.members[m].lines {
            if line.lease == Lease::Held {
                line.lease = Lease::Doubt(0);
            }
        }
    }

    /// Permit and datagram in one step, which may take as long as the guard leaves room for.
    fn dials(&self, state: &mut State, m: usize, n: usize) {
        let age = usize::from(state.members[m].valid);
        let in_time = state.phase == 1 || self.is_valid[1][(age + 1).min(AGES - 1)];
        self.invite_leaves(state, m, n, true);
        if !in_time && state.broken.is_none() {
            state.broken = Some(Invariant::I2);
        }
    }

    /// An INVITE leaves. One that was cancelled at once does not stand: no phone rings by it.
    fn invite_leaves(&self, state: &mut State, m: usize, n: usize, stands: bool) {
        let member = &state.members[m];
        let mine = member.lines[n].lease == Lease::Held && member.session == Session::Open;
        state.numbers[n].invites += 1;
        state.broken = if stands && state.is_live(n) {
            Some(Invariant::I1)
        } else if stands && !mine {
            Some(Invariant::I2)
        } else if state.numbers[n].invites > ATTEMPTS {
            Some(Invariant::I5)
        } else {
            None
        };
        let line = &mut state.members[m].lines[n];
        line.mark = Mark::Dialing;
        if stands {
            line.call = Some(0);
        }
    }

    /// A call is over and its outcome is told; the lead may be dialed again at once.
    fn reports(&self, state: &mut State, m: usize, n: usize) {
        state.members[m].lines[n].mark = Mark::None;
        self.counts_late(state, n);
        if self.has(Defect::EndsAnyAttempt)
            && let Some(other) =
                (0..MEMBERS).find(|o| state.members[*o].lines[n].lease != Lease::None)
        {
            self.closes(state, other, n);
        } else if state.members[m].lines[n].lease != Lease::None {
            self.closes(state, m, n);
        }
    }

    fn counts_late(&self, state: &mut State, n: usize) {
        state.numbers[n].attempts += u8::from(self.has(Defect::CountsAtOutcome));
    }

    /// The attempt is over and counts.
    fn closes(&self, state: &mut State, m: usize, n: usize) {
        let line = &mut state.members[m].lines[n];
        line.lease = Lease::None;
        if matches!(line.mark, Mark::Undialed | Mark::Ended) {
            line.mark = Mark::None;
        }
    }

    /// The attempt never was: what was reserved is refunded.
    fn tells_undialed(&self, state: &mut State, m: usize, n: usize) {
        let line = &mut state.members[m].lines[n];
        (line.lease, line.mark) = (Lease::None, Mark::None);
        let counted = u8::from(!self.has(Defect::CountsAtOutcome));
        state.numbers[n].attempts -= counted;
    }

    fn crashes(&self, state: &mut State, m: usize) {
        for line in &mut state.members[m].lines {
            let ends_unknown = line.call.is_some();
            line.mark = match line.mark {
                Mark::Leased if self.has(Defect::HopperSurvivesCrash) => Mark::Leased,
                Mark::Leased => Mark::Undialed,
                // The journal said "dialing" before the datagram was handed over.
                Mark::Paused => Mark::EndUnknown,
                Mark::Dialing if self.has(Defect::MarksAfterSend) => Mark::Undialed,
                Mark::Dialing if ends_unknown && !self.has(Defect::UnknownIsAnEnd) => {
                    Mark::EndUnknown
                }
                Mark::Dialing => Mark::Ended,
                Mark::EndUnknown if self.has(Defect::SecondRestartForgets) => Mark::Undialed,
                other => other,
            };
        }
        self.restarts(state, m);
    }

    /// Nothing of the journal's tail is believed: nothing is refunded.
    fn loses_power(&self, state: &mut State, m: usize) {
        let lost_tail = if self.has(Defect::FalseProof) {
            Mark::Undialed
        } else {
            Mark::None
        };
        for line in &mut state.members[m].lines {
            line.mark = match line.mark {
                Mark::Ended => Mark::Ended,
                Mark::None => Mark::None,
                _ => lost_tail,
            };
        }
        self.restarts(state, m);
    }

    fn restarts(&self, state: &mut State, m: usize) {
        let member = &mut state.members[m];
        let lines = member.lines;
        member.gives_session_up();
        member.lines = lines;
    }
}
