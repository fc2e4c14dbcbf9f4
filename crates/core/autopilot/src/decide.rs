//! One step, or none and why.

use crate::{
    policy::Policy,
    score::Judge,
    view::{Candidate, GroupView, short},
};
use domain::{MemberId, MemberRole, limits};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeSet};

/// What the leader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Copies from now on, without a vote.
    AddLearner(MemberId),
    /// A learner that votes from now on.
    Promote(MemberId),
    /// One voter goes and a learner takes its place, in one joint change.
    Replace {
        /// Goes on as a learner.
        out: MemberId,
        /// Votes from now on.
        by: MemberId,
    },
    /// A voter that goes on as a learner.
    Demote(MemberId),
    /// A learner that leaves the group.
    Remove(MemberId),
    /// Another voter is asked to lead.
    TransferLeader(MemberId),
}

/// How a voter or learner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoterHealth {
    /// It is there, and has all or nearly all entries.
    Healthy,
    /// It is there, and behind.
    Behind,
    /// Nothing is heard of it.
    Silent,
}

/// How a group is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Voters that are there and have caught up.
    pub healthy_voters: usize,
    /// How many more voters may be lost before the group stops.
    pub failure_tolerance: usize,
    /// Each voter and learner.
    pub members: Vec<(MemberId, VoterHealth)>,
}

/// What is to be done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// At most one step.
    pub step: Option<Step>,
    /// For people: why this step, or why none.
    pub why: String,
    /// How the group is before the step.
    pub health: Health,
}

/// The next step of one group.
pub fn decide(view: &GroupView, policy: &Policy) -> Decision {
    let found = Pilot {
        view,
        policy,
        judge: Judge::new(view, policy),
    }
    .next();
    let (step, why) = match found {
        Found::Step(step, why) => (Some(step), why),
        Found::Rest(why) => (None, why),
    };
    Decision {
        step,
        why,
        health: health(view, policy),
    }
}

/// Who may lead when the leader goes: a voter that is there, has caught up and stays.
pub fn heir(view: &GroupView, policy: &Policy) -> Option<MemberId> {
    Pilot {
        view,
        policy,
        judge: Judge::new(view, policy),
    }
    .heir()
}

fn health(view: &GroupView, policy: &Policy) -> Health {
    let of = |id: MemberId| match view.members.get(&id) {
        _ if id == view.leader => VoterHealth::Healthy,
        Some(m) if !m.is_live() => VoterHealth::Silent,
        Some(m) if m.is_caught_up(policy, view.last_log) => VoterHealth::Healthy,
        Some(_) => VoterHealth::Behind,
        None => VoterHealth::Silent,
    };
    let members: Vec<_> = view
        .voters
        .iter()
        .chain(&view.learners)
        .map(|id| (*id, of(*id)))
        .collect();
    let healthy_voters = members
        .iter()
        .filter(|(id, health)| view.voters.contains(id) && *health == VoterHealth::Healthy)
        .count();
    let (live, quorum) = view.live_and_quorum(&view.voters);
    Health {
        healthy_voters,
        failure_tolerance: live.saturating_sub(quorum),
        members,
    }
}

enum Found {
    Step(Step, String),
    Rest(String),
}

struct Pilot<'a> {
    view: &'a GroupView,
    policy: &'a Policy,
    judge: Judge<'a>,
}

impl Pilot<'_> {
    fn next(&self) -> Found {
        let view = self.view;
        if view.changing {
            return Found::Rest("a change of members is under way".into());
        }
        let (live, quorum) = view.live_and_quorum(&view.voters);
        if live < quorum {
            return Found::Rest(format!(
                "{live} of {} voters are there, a majority is {quorum}: nothing can be changed",
                view.voters.len()
            ));
        }
        // It would lead on for as long as it lives: Raft does not depose a learner.
        if !view.voters.contains(&view.leader) {
            let name = view.name(view.leader);
            return self.hand_over("does not vote any more").unwrap_or_else(|| {
                Found::Rest(format!(
                    "{name} leads and does not vote any more; no voter can take over yet"
                ))
            });
        }
        let steps = [
            Self::leave_office,
            Self::let_go,
            Self::take_in,
            Self::replace_the_lost,
            Self::grow,
            Self::shrink,
            Self::improve,
            Self::lead_at_the_source,
        ];
        let found = steps.iter().find_map(|step| step(self));
        found.unwrap_or_else(|| Found::Rest(self.at_rest()))
    }

    fn member(&self, id: MemberId) -> Option<&Candidate> {
        self.view.members.get(&id)
    }

    fn is_lawful(&self, id: MemberId) -> bool {
        self.member(id).is_none_or(|m| m.may_hold(self.policy))
    }

    /// Live and a majority before and after.
    fn is_safe(&self, after: &BTreeSet<MemberId>) -> bool {
        self.view.has_quorum(&self.view.voters) && self.view.has_quorum(after)
    }

    fn ready(&self) -> impl Iterator<Item = &Candidate> {
        let learners = self.view.learners.iter();
        learners
            .filter(|id| self.view.is_ready(**id, self.policy))
            .filter_map(|id| self.member(*id))
    }

    fn with(&self, out: Option<MemberId>, by: Option<MemberId>) -> BTreeSet<MemberId> {
        let mut voters = self.view.voters.clone();
        if let Some(out) = out {
            voters.remove(&out);
        }
        voters.extend(by);
        voters
    }

    /// The best learner in the place of `out`, or beside all.
    fn best_for(&self, out: Option<MemberId>) -> Option<&Candidate> {
        self.ready()
            .filter(|m| self.is_safe(&self.with(out, Some(m.id))))
            .max_by_key(|m| {
                let score = self.judge.score(&self.with(out, Some(m.id)));
                (score, Reverse(m.losses), Reverse(m.id))
            })
    }

    /// Who leads instead: a voter that is there, has caught up and may stay.
    fn heir(&self) -> Option<MemberId> {
        let fit = |m: &&Candidate| {
            m.id != self.view.leader
                && m.is_live()
                && !m.draining
                && m.may_hold(self.policy)
                && m.is_caught_up(self.policy, self.view.last_log)
        };
        let voters = self.view.voters.iter().filter_map(|id| self.member(*id));
        let own = |m: &Candidate| m.region.is_some() && m.region == self.view.region;
        voters
            .filter(fit)
            .min_by_key(|m| (m.losses, !own(m), Reverse(m.matched), m.id))
            .map(|m| m.id)
    }

    fn hand_over(&self, why: &str) -> Option<Found> {
        let to = self.heir()?;
        let (from, to_name) = (self.view.name(self.view.leader), self.view.name(to));
        let why = format!("{to_name} is to lead: {from} {why}");
        Some(Found::Step(Step::TransferLeader(to), why))
    }

    /// A leader that drains, was removed or may not hold the data hands over.
    fn leave_office(&self) -> Option<Found> {
        let me = self.member(self.view.leader)?;
        if !me.may_hold(self.policy) {
            return self.hand_over("may not hold this group's data");
        }
        if me.draining {
            return self.hand_over("drains");
        }
        None
    }

    /// Who was removed, or may not hold the data, goes; who drains, if there is another.
    fn let_go(&self) -> Option<Found> {
        let view = self.view;
        let known = |ids: &BTreeSet<MemberId>| -> Vec<MemberId> {
            let all = ids.iter().filter(|id| **id != view.leader).copied();
            all.filter(|id| view.members.contains_key(id)).collect()
        };
        let unfit = |id: &MemberId| self.member(*id).is_some_and(|m| !m.may_hold(self.policy));
        let because = |id: MemberId| match self.member(id) {
            Some(m) if m.removed => "was taken out of the mesh",
            _ => "may not hold this group's data",
        };
        if let Some(id) = known(&view.learners).into_iter().find(unfit) {
            let why = format!("{} {}", view.name(id), because(id));
            return Some(Found::Step(Step::Remove(id), why));
        }
        if let Some(id) = known(&view.voters).into_iter().find(unfit) {
            if let Some(found) = self.replace(id, because(id)) {
                return Some(found);
            }
            if self.is_safe(&self.with(Some(id), None)) {
                let why = format!("{} {}", view.name(id), because(id));
                return Some(Found::Step(Step::Demote(id), why));
            }
        }
        let drains = |id: &MemberId| self.member(*id).is_some_and(|m| m.draining);
        let id = known(&view.voters).into_iter().find(drains)?;
        self.replace(id, "drains")
    }

    fn replace(&self, out: MemberId, because: &str) -> Option<Found> {
        let by = self.best_for(Some(out))?;
        let why = format!(
            "{} takes the place of {}, which {because}",
            by.name,
            self.view.name(out)
        );
        Some(Found::Step(Step::Replace { out, by: by.id }, why))
    }

    /// Members that are there and may copy the group do.
    fn take_in(&self) -> Option<Found> {
        let view = self.view;
        let outside =
            |m: &&Candidate| !view.voters.contains(&m.id) && !view.learners.contains(&m.id);
        let m = view
            .members
            .values()
            .filter(outside)
            .find(|m| m.is_live() && m.may_hold(self.policy))?;
        let why = format!("{} is new to the group", m.name);
        Some(Found::Step(Step::AddLearner(m.id), why))
    }

    fn lost(&self) -> Vec<&Candidate> {
        let others = self
            .view
            .voters
            .iter()
            .filter(|id| **id != self.view.leader);
        let mut lost: Vec<_> = others
            .filter_map(|id| self.member(*id))
            .filter(|m| !m.is_live())
            .collect();
        lost.sort_by_key(|m| (Reverse(m.silent), m.id));
        lost
    }

    /// A voter silent for longer than the grace time makes room. Where nobody can take its place,
    /// it goes only from a group of more than three: what is left then is no weaker without it.
    fn replace_the_lost(&self) -> Option<Found> {
        let lost = self.lost();
        let dead = *lost.first().filter(|m| m.is_dead(self.policy))?;
        let because = format!("has been silent for {}", short(dead.silent));
        if let Some(found) = self.replace(dead.id, &because) {
            return Some(found);
        }
        let without = self.with(Some(dead.id), None);
        if self.view.voters.len() > 3 && self.is_safe(&without) {
            let why = format!("{} {because}, and nobody can take its place", dead.name);
            return Some(Found::Step(Step::Demote(dead.id), why));
        }
        None
    }

    /// The largest odd number of voters that may be: an even one adds a voter that may be lost and
    /// no loss that can be borne.
    fn target(&self) -> usize {
        let gone = |id: &MemberId| {
            self.member(*id)
                .is_some_and(|m| m.id != self.view.leader && m.is_dead(self.policy))
        };
        let standing = (self.view.voters.iter()).filter(|id| !gone(id) && self.is_lawful(**id));
        let standing = standing.count();
        let most = (standing + self.ready().count()).min(self.policy.voters);
        most - usize::from(most.is_multiple_of(2) && most > 0)
    }

    fn grow(&self) -> Option<Found> {
        let lawful = (self.view.voters.iter()).filter(|id| self.is_lawful(**id));
        let (now, target) = (lawful.count(), self.target());
        if now >= target || self.view.voters.len() >= limits::VOTERS {
            return None;
        }
        let m = self.best_for(None)?;
        let why = format!("{} is the best for voter {} of {target}", m.name, now + 1);
        Some(Found::Step(Step::Promote(m.id), why))
    }

    /// Too many voters, or an even number with nobody to make it odd: the least needed goes on as
    /// a learner. Two stay two.
    fn shrink(&self) -> Option<Found> {
        let now = self.view.voters.len();
        if now <= self.target().max(3) {
            return None;
        }
        let others = self
            .view
            .voters
            .iter()
            .filter(|id| **id != self.view.leader);
        let out = others
            .copied()
            .filter(|id| self.is_safe(&self.with(Some(*id), None)))
            .max_by_key(|id| {
                let lost = self.member(*id).is_some_and(|m| !m.is_live());
                let drains = self.member(*id).is_some_and(|m| m.draining);
                (
                    lost,
                    drains,
                    self.judge.score(&self.with(Some(*id), None)),
                    *id,
                )
            })?;
        let why = format!(
            "{now} voters are more than needed; {} goes on without a vote",
            self.view.name(out)
        );
        Some(Found::Step(Step::Demote(out), why))
    }

    /// Among live voters: one exchange that makes the group better.
    fn improve(&self) -> Option<Found> {
        let view = self.view;
        let here = self.judge.score(&view.voters);
        let outs = || view.voters.iter().copied().filter(|id| view.is_live(*id));
        let pairs = outs().flat_map(|out| self.ready().map(move |m| (out, m)));
        let (score, out, by) = pairs
            .filter_map(|(out, m)| {
                let after = self.with(Some(out), Some(m.id));
                let score = self.judge.score(&after);
                (score > here && self.is_safe(&after)).then_some((score, out, m))
            })
            // Whatever else is better, the leader goes last: it moves everybody.
            .max_by_key(|(score, out, m)| (*out != view.leader, *score, *out, Reverse(m.id)))?;
        debug_assert!(score > here, "only a better group is worth a step");
        if out == view.leader {
            return self.hand_over(&format!("makes room for {}", by.name));
        }
        let why = format!(
            "{} takes the place of {}: so the voters are better spread",
            by.name,
            view.name(out)
        );
        Some(Found::Step(Step::Replace { out, by: by.id }, why))
    }

    /// Whether a group's commands come from a member: a directory's through the coordinator, a
    /// region's from its own nodes.
    fn is_source(&self, m: &Candidate) -> bool {
        match self.view.region {
            None => m.role == MemberRole::Coordinator,
            own => m.region == own,
        }
    }

    /// A group is led where its commands come from: elsewhere each costs a round trip more. Whoever
    /// was lost of late must have been back for longer each time, or the lead would go to and fro.
    fn lead_at_the_source(&self) -> Option<Found> {
        // Who has just been handed the lead was chosen by whoever gave it up, which may be about to
        // stop and be the source itself: nobody else knows that it stops.
        if self.view.led < self.policy.stable {
            return None;
        }
        let to = self.leader_at_the_source()?;
        let why = format!(
            "{} is to lead: this group's commands come from it, and {} is further away",
            to.name,
            self.view.name(self.view.leader)
        );
        Some(Found::Step(Step::TransferLeader(to.id), why))
    }

    /// Who would lead better than who does, since commands come from it.
    fn leader_at_the_source(&self) -> Option<&Candidate> {
        let view = self.view;
        if self.is_source(self.member(view.leader)?) {
            return None;
        }
        let fit = |m: &&Candidate| {
            self.is_source(m)
                && m.is_live()
                && !m.draining
                && m.may_hold(self.policy)
                && m.is_caught_up(self.policy, view.last_log)
                && m.steady >= m.stable_after(self.policy, view.voters.len())
        };
        let voters = view.voters.iter().filter_map(|id| self.member(*id));
        voters.filter(fit).min_by_key(|m| (m.losses, m.id))
    }

    /// Why nothing is done: what is waited for, if anything.
    fn at_rest(&self) -> String {
        let mut waits: Vec<String> = self.lost().iter().map(|m| self.of_lost(m)).collect();
        let drains = |m: &&Candidate| m.draining && self.view.voters.contains(&m.id);
        waits.extend(
            self.view
                .members
                .values()
                .filter(drains)
                .map(|m| format!("{} drains and keeps its vote: nobody can take it", m.name)),
        );
        if let Some(to) = self.leader_at_the_source() {
            let left = short(self.policy.stable.saturating_sub(self.view.led));
            waits.push(format!(
                "{} is to lead in {left}: this group's commands come from it",
                to.name
            ));
        }
        let few = self.view.voters.len() < self.policy.voters;
        if few || !waits.is_empty() {
            let learners = self.view.learners.iter().filter_map(|id| self.member(*id));
            waits.extend(learners.filter_map(|m| self.view.waits_for(m, self.policy)));
        }
        if waits.is_empty() {
            let (voters, wanted) = (self.view.voters.len(), self.policy.voters);
            return match few {
                true => format!(
                    "{voters} of {wanted} voters: no other member could make it a better number"
                ),
                false => "as it should be".into(),
            };
        }
        // A list of a thousand members helps nobody.
        let more = waits.len().saturating_sub(4);
        waits.truncate(4);
        if more > 0 {
            waits.push(format!("{more} more"));
        }
        waits.join("; ")
    }

    fn of_lost(&self, m: &Candidate) -> String {
        let silent = short(m.silent);
        if m.is_dead(self.policy) {
            return format!(
                "{} has been silent for {silent}, and nobody can take its place",
                m.name
            );
        }
        let left = short(self.policy.grace - m.silent);
        let by = match self.best_for(Some(m.id)) {
            Some(by) => by.name.clone(),
            None => "whoever is there then".into(),
        };
        format!(
            "{} has been silent for {silent}; it is to be replaced by {by} in {left}",
            m.name
        )
    }
}
