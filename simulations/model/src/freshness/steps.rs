//! What can happen, and what comes of it.

use super::{
    Call, Entry, FreshnessModel, Member, OptOut, Step, Watch,
    state::{MEMBERS, NUMBERS, State},
};
use crate::{
    Defect, Invariant,
    time::{AGES, LONG_AGO},
};

impl FreshnessModel {
    /// What the directory and its leader may do.
    pub(super) fn directory_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let committed = state.committed();
        if committed < self.shape.entries {
            steps.extend((0..NUMBERS).map(Step::Adds));
            if state.watch == Watch::Nothing {
                steps.extend((0..NUMBERS).map(Step::AddsWatched));
            }
            for index in 1..=committed {
                steps.extend(state.added(index).map(|n| Step::Removes(n, index)));
            }
        }
        if let Watch::Waiting(_) = state.watch {
            let noted: [_; MEMBERS] = std::array::from_fn(|m| state.members[m].noted);
            if self.grid.is_effective(state.phase, noted) {
                steps.push(Step::Effective);
            }
            if self.has(Defect::AppliedTooSoon) {
                let open = |m: &usize| state.members[*m].noted.is_some();
                steps.extend((0..MEMBERS).filter(open).map(Step::Tells));
            }
        }
    }

    /// What a node may do. Between a permit and its datagram it does nothing else.
    pub(super) fn node_steps(&self, state: &State, m: usize, steps: &mut Vec<Step>) {
        let member = &state.members[m];
        let committed = state.committed();
        match member.call {
            Call::None => {}
            Call::Paused(_) => {
                steps.push(Step::Wakes(m));
                return;
            }
            Call::Rings(_) => steps.push(Step::RingEnds(m)),
        }
        steps.push(Step::Asks(m));
        if state.old_leader.is_some() {
            steps.push(Step::AsksOldLeader(m));
        }
        if member.applied < committed {
            steps.push(Step::Applies(m));
        }
        if member.answer.is_some() && self.has(Defect::FreshFromAnswer) {
            steps.push(Step::Counts(m));
        }
        if committed < self.shape.entries {
            if state.watch == Watch::Nothing {
                steps.extend((0..NUMBERS).map(|n| Step::Hears(m, n)));
            }
            if matches!(member.opt_out, OptOut::Heard(_)) {
                steps.push(Step::Commits(m));
            }
        }
        if !Self::ask(&self.may_send, state, member.valid) {
            return;
        }
        for n in 0..NUMBERS {
            let bound = member.is_bound(n) && !self.has(Defect::OptOutWaits);
            let remove_wins = self.has(Defect::RemoveWins);
            if !bound && state.forbids(n, member.applied, remove_wins) == 0 {
                steps.push(Step::Dials(m, n));
                if state.is_quiet() {
                    steps.push(Step::Pauses(m, n));
                }
            }
        }
    }

    pub(super) fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::TimePasses => {
                state.phase ^= 1;
                state.members.iter_mut().for_each(Member::ages);
            }
            Step::Elected => self.elected(state),
            Step::Adds(n) => {
                self.commits(state, Entry::Add(n as u8));
            }
            Step::AddsWatched(n) => {
                let index = self.commits(state, Entry::Add(n as u8));
                state.watch = Watch::Waiting(index);
                if self.has(Defect::EffectiveAtCommit) {
                    self.effective(state, index);
                }
            }
            Step::Removes(n, index) => self.removes(state, n, index),
            Step::Effective => {
                if let Watch::Waiting(index) = state.watch {
                    self.effective(state, index);
                }
            }
            Step::Tells(m) => state.members[m].noted = None,
            Step::Applies(m) => self.applies(state, m),
            Step::Asks(m) => {
                if state.watch == Watch::Nothing {
                    state.members[m].noted = Some(0);
                }
                self.answered(state, m, state.committed());
            }
            Step::AsksOldLeader(m) => {
                if let Some(index) = state.old_leader {
                    self.answered(state, m, index);
                }
            }
            Step::Counts(m) => {
                let member = &mut state.members[m];
                if member
                    .answer
                    .is_some_and(|(_, index)| index <= member.applied)
                {
                    (member.valid, member.answer) = (0, None);
                }
            }
            Step::Hears(m, n) => {
                let member = &mut state.members[m];
                member.opt_out = OptOut::Heard(n as u8);
                if member.call == Call::Rings(n as u8) {
                    member.call = Call::None;
                }
                state.watch = Watch::OptOut;
            }
            Step::Commits(m) => {
                if let OptOut::Heard(n) = state.members[m].opt_out {
                    let index = self.commits(state, Entry::Add(n));
                    state.members[m].opt_out = OptOut::Committed(n, index);
                }
            }
            Step::Dials(m, n) => self.dials(state, m, n),
            Step::Pauses(m, n) => state.members[m].call = Call::Paused(n as u8),
            Step::Wakes(m) => self.wakes(state, m),
            Step::RingEnds(m) => state.members[m].call = Call::None,
        }
    }

    /// The new leader waits out the freshness of every node, from its election.
    fn elected(&self, state: &mut State) {
        if self.has(Defect::FreshWithoutRound) {
            state.old_leader = Some(state.committed());
        }
        let early = self.has(Defect::EffectiveAtElection);
        let awaited = match state.watch {
            Watch::Waiting(index) => index,
            _ => u8::MAX,
        };
        for member in state.members.iter_mut().filter(|m| m.dials) {
            member.noted = Some(if early { LONG_AGO } else { 0 });
            member.tells(awaited);
        }
    }

    fn commits(&self, state: &mut State, entry: Entry) -> u8 {
        let place = usize::from(state.committed());
        state.log[place] = entry;
        place as u8 + 1
    }

    /// A removal names an entry. It takes away what is effective only if that is the last word.
    fn removes(&self, state: &mut State, n: usize, index: u8) {
        let last = state.forbids(n, state.committed(), false) == index;
        self.commits(state, Entry::Remove(n as u8, index));
        let watched = match state.watch {
            Watch::Waiting(watched) | Watch::Effective(watched) => state.added(watched),
            _ => None,
        };
        if last && watched == Some(n) {
            state.watch = Watch::Removed;
        }
    }

    /// Somebody is told that the entry binds everywhere. What still rings at a node that may dial
    /// is a broken promise; one that may not cancels what rings as soon as it runs.
    fn effective(&self, state: &mut State, index: u8) {
        state.watch = Watch::Effective(index);
        let Some(n) = state.added(index) else {
            return;
        };
        let rings = |m: &Member| {
            m.call == Call::Rings(n as u8) && Self::ask(&self.is_valid, state, m.valid)
        };
        if state.members.iter().any(rings) {
            state.broken = Some(Invariant::I3);
        }
    }

    /// The engine cancels what an entry forbids, and only then has applied it.
    fn applies(&self, state: &mut State, m: usize) {
        let applied = state.members[m].applied + 1;
        let forbidden: [u8; NUMBERS] =
            std::array::from_fn(|n| state.forbids(n, applied, self.has(Defect::RemoveWins)));
        let member = &mut state.members[m];
        member.applied = applied;
        if let Watch::Waiting(index) = state.watch {
            member.tells(index);
        }
        if let Call::Rings(n) = member.call
            && forbidden[usize::from(n)] > 0
            && !self.has(Defect::RingsOnForbidden)
        {
            member.call = Call::None;
        }
        if matches!(member.opt_out, OptOut::Committed(_, index) if index <= applied) {
            member.opt_out = OptOut::None;
        }
        if let Some((sent, index)) = member.answer
            && index <= applied
            && !self.has(Defect::FreshFromAnswer)
        {
            (member.valid, member.answer) = (member.valid.min(sent), None);
        }
    }

    /// An answer counts once its index is applied. One that comes at once allows most, since it
    /// counts from its request however late it comes.
    fn answered(&self, state: &mut State, m: usize, index: u8) {
        let member = &mut state.members[m];
        let counts = index <= member.applied || self.has(Defect::FreshTooSoon);
        if counts && !self.has(Defect::FreshFromAnswer) {
            (member.valid, member.answer) = (0, None);
        } else {
            member.answer = Some((0, index));
        }
    }

    /// Permit and datagram in one step, which may take as long as the guard leaves room for.
    fn dials(&self, state: &mut State, m: usize, n: usize) {
        let age = usize::from(state.members[m].valid);
        let in_time = state.phase == 1 || self.is_valid[1][(age + 1).min(AGES - 1)];
        self.invite_leaves(state, m, n);
        if !in_time && !self.has(Defect::NoFreshnessCheck) {
            state.broken = Some(Invariant::I3);
        }
    }

    /// Too late, and it is cancelled at once: no phone rings by it.
    fn wakes(&self, state: &mut State, m: usize) {
        let call = std::mem::replace(&mut state.members[m].call, Call::None);
        if let Call::Paused(n) = call
            && Self::ask(&self.is_valid, state, state.members[m].valid)
        {
            self.invite_leaves(state, m, usize::from(n));
        }
    }

    /// An INVITE leaves. Its ringing is watched if no other call is.
    fn invite_leaves(&self, state: &mut State, m: usize, n: usize) {
        let effective = match state.watch {
            Watch::Effective(index) => state.added(index) == Some(n),
            _ => false,
        };
        if effective || state.members[m].is_bound(n) {
            state.broken = Some(Invariant::I3);
        }
        if state.is_quiet() {
            state.members[m].call = Call::Rings(n as u8);
        }
    }
}
