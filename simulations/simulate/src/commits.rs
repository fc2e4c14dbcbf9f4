//! Proposals on their way into the logs, and what the checkers say to each entry.

use crate::{
    checkers::Checkers,
    defect::Defect,
    leaders::Answer,
    seen::Happening,
    violation::{Checked, Invariant},
    world::{CAMPAIGNS, Event, REGIONS, Which, World},
};
use domain::{
    CallOutcome, ClearanceFact, Disposition, DncBaseId, Incarnation, PhoneNumber, RegionId,
};
use ledger::{
    Change, DirectoryCommand, DirectoryEvent, DirectoryReply, Fact, LeadStanding, OutcomeRefusal,
    RegionCommand, RegionEvent, RegionLedger, RegionRefusal, RegionReply, SessionEnd, Shortage,
};
use std::time::Duration;

type Asker = Option<(usize, Incarnation)>;

impl World {
    /// Where a proposal that came to `voter` goes: true when it can be committed here.
    fn commits_here(&mut self, which: Which, voter: usize) -> bool {
        self.leader(which) == Some(voter) && self.has_quorum(voter)
    }

    /// A stale leader's or follower's proposals are forwarded, or lost.
    fn forwards_to(&mut self, which: Which, hops: u8) -> Option<usize> {
        self.saw(Happening::ForwardedProposals);
        let forwards = self.chance(500);
        self.leader(which).filter(|_| forwards && hops < 2)
    }

    pub(crate) fn proposed(
        &mut self,
        region: usize,
        (voter, hops): (usize, u8),
        command: Box<RegionCommand>,
        asker: Asker,
    ) -> Checked {
        let paused_until = self.voters[voter].paused_until;
        let event = |voter, hops| Event::Propose {
            region,
            voter,
            command: command.clone(),
            asker,
            hops,
        };
        if paused_until > self.now {
            let wakes = event(voter, hops);
            self.after(paused_until - self.now, wakes);
            return Ok(());
        }
        if self.commits_here(Which::Region(region), voter) {
            let reply = self.commit_by(region, voter, &command)?;
            self.moves_answered(region, voter, &command, &reply)?;
            if let Some((node, run)) = asker {
                self.tell(voter, node, run, Answer::Applied(*command, reply));
            }
        } else if let Some(leader) = self.forwards_to(Which::Region(region), hops) {
            let forwarded = event(leader, hops + 1);
            self.send(voter, leader, forwarded);
        }
        Ok(())
    }

    pub(crate) fn proposed_to_directory(
        &mut self,
        voter: usize,
        command: Box<DirectoryCommand>,
        asker: Asker,
        hops: u8,
    ) -> Checked {
        let paused_until = self.voters[voter].paused_until;
        let event = |voter, hops| Event::ProposeDirectory {
            voter,
            command: command.clone(),
            asker,
            hops,
        };
        if paused_until > self.now {
            let wakes = event(voter, hops);
            self.after(paused_until - self.now, wakes);
            return Ok(());
        }
        if self.commits_here(Which::Directory, voter) {
            let reply = self.commit_directory_by(Some(voter), &command)?;
            if let Some((node, run)) = asker {
                let answer = match (&command.change, command.origin) {
                    (Change::ChangeDnc { .. }, Some(origin)) => {
                        Answer::OptOut(origin.sequence, reply)
                    }
                    (Change::Escrow { ask }, _) => Answer::Share(ask.sequence, reply),
                    _ => return Ok(()),
                };
                self.tell(voter, node, run, answer);
            }
        } else if let Some(leader) = self.forwards_to(Which::Directory, hops) {
            let forwarded = event(leader, hops + 1);
            self.send(voter, leader, forwarded);
        }
        Ok(())
    }

    /// Commits an entry of a region at the run's beginning, when nobody leads yet.
    pub(crate) fn commit(&mut self, region: usize, command: &RegionCommand) -> Checked {
        self.commit_by(region, 0, command).map(drop)
    }

    fn commit_by(
        &mut self,
        region: usize,
        leader: usize,
        command: &RegionCommand,
    ) -> Result<RegionReply, crate::violation::Violation> {
        let wall = self.voter_wall(leader);
        let done = self.regions[region].commit(wall, command);
        let (now, index) = (self.now, self.regions[region].last());
        self.trace.note(now, &[index, done.hash], || {
            let id = REGIONS[region];
            format!("  {id} {index}: {command:?} -> {:?}", done.reply)
        });
        self.follow(Which::Region(region), leader, u64::MAX)?;
        self.saw(Happening::LogEntries);
        let (regions, checkers) = (&self.regions, &mut self.checkers);
        let ledger = &regions[region].witness;
        checkers.region_entry(now, ledger, command, &done.reply)?;
        checkers.region_events(now, REGIONS[region], &done.events)?;
        checkers.disposition.balance(regions, &CAMPAIGNS)?;
        if index.is_multiple_of(8) {
            checkers.bounds.sessions(ledger, &CAMPAIGNS)?;
        }
        Ok(done.reply)
    }

    /// Commits an entry of the directory at the run's beginning.
    pub(crate) fn commit_directory(
        &mut self,
        leader: Option<usize>,
        command: &DirectoryCommand,
    ) -> Checked {
        self.commit_directory_by(leader, command).map(drop)
    }

    fn commit_directory_by(
        &mut self,
        leader: Option<usize>,
        command: &DirectoryCommand,
    ) -> Result<DirectoryReply, crate::violation::Violation> {
        let mut wall = self.voter_wall(leader.unwrap_or(0));
        if self.options.has(Defect::CalendarMonthAhead) && leader == Some(0) {
            wall = wall + Duration::from_secs(31 * 86_400);
        }
        let done = self.directory.commit(wall, command);
        let (now, index) = (self.now, self.directory.last());
        self.trace.note(now, &[index, done.hash], || {
            format!("  directory {index}: {command:?} -> {:?}", done.reply)
        });
        self.saw(Happening::LogEntries);
        if let Some(leader) = leader {
            self.follow(Which::Directory, leader, u64::MAX)?;
        }
        if let DirectoryReply::Dnc {
            added,
            renewed,
            removed,
            kept,
            ..
        } = done.reply
        {
            let seen = &mut self.checkers.seen;
            seen.saw_many(Happening::DncAdded, u64::from(added + renewed));
            seen.saw_many(Happening::DncRemoved, u64::from(removed));
            seen.saw_many(Happening::DncKept, u64::from(kept));
        }
        if let DirectoryReply::DncBase { .. } = done.reply {
            let used = done.events.iter().find_map(|event| match event {
                DirectoryEvent::Changed { facts, .. } => facts.iter().find_map(|fact| match fact {
                    Fact::DncBase(base) => Some(*base),
                    _ => None,
                }),
                _ => None,
            });
            if let Some(base) = used {
                self.base_used(base, index, &command.change)?;
                if let Some(leader) = leader {
                    self.wait_base_effective(leader, index);
                }
            }
        }
        for event in &done.events {
            if let DirectoryEvent::Changed { facts, .. } = event {
                for fact in facts {
                    if let Fact::Clearance(facts) = fact {
                        self.clearance_changed(leader, facts, index);
                    }
                }
            }
            if let DirectoryEvent::Dnc { added, removed, .. } = event {
                let settles = matches!(command.change, Change::SettleDnc { .. });
                for gone in removed {
                    let key = (gone.number, gone.scope);
                    if settles {
                        self.saw(Happening::Settled);
                        self.checkers.dnc.settled(gone.number);
                    }
                    self.checkers.dnc.removed(key, index);
                }
                for fact in added {
                    self.checkers.dnc.said(&fact.entry);
                }
                if let Some(leader) = leader {
                    self.wait_effective(leader, added);
                }
            }
        }
        if let (Change::ChangeConsents { withdraw, .. }, DirectoryReply::Clearance { .. }) =
            (&command.change, &done.reply)
            && let Some(leader) = leader
        {
            self.wait_withdrawn_effective(leader, withdraw, index);
        }
        self.told.push(done.events);
        if let Change::Escrow { ask } = &command.change {
            self.shares_committed(ask, &done.reply)?;
        }
        // Entries about shares come every second: if each hurried the nodes' copies, none would
        // ever lag behind as they do in a quiet directory.
        let quiet = matches!(command.change, Change::Escrow { .. }) && !self.chance(300);
        if leader.is_some() && !quiet {
            for i in 0..self.nodes.len() {
                self.replicate(i);
            }
        }
        Ok(done.reply)
    }
}

impl World {
    /// The directory's entry `index` put a base into use, or none.
    fn base_used(&mut self, base: Option<DncBaseId>, index: u64, change: &Change) -> Checked {
        self.saw(Happening::BasesUsed);
        let directory = &self.directory.witness;
        let described = base.and_then(|id| directory.dnc_base(id));
        let built_at = described.map(|staged| staged.base.built_at);
        if base.is_some_and(|id| !directory.dnc_parts(id).is_empty()) {
            self.saw(Happening::ListBasesUsed);
        } else if described.is_some_and(|staged| staged.base.source.contains("since")) {
            self.saw(Happening::CompactedUsed);
        }
        self.keeper.effective = None;
        let numbers = base.and_then(|id| self.keeper.contents.get(&id)).cloned();
        // Whoever takes a base out of use says so, and whoever forces one knows what he does.
        let forced = !matches!(
            change,
            Change::UseDncBase {
                id: Some(_),
                force: false,
                ..
            }
        );
        let checker = &mut self.checkers.dnc;
        checker.base_in_use(numbers, index, built_at.filter(|_| !forced))
    }

    /// The directory's entry `index` changed patterns and freezes.
    fn clearance_changed(&mut self, leader: Option<usize>, facts: &[ClearanceFact], index: u64) {
        for fact in facts {
            self.checkers.clearance.changed(fact, index);
            self.checkers.consents.changed(fact, index);
            let seen = match fact {
                ClearanceFact::Consent(_, _, Some(_)) => Happening::Consents,
                ClearanceFact::Consent(_, _, None) => Happening::ConsentsGone,
                ClearanceFact::RequiresConsent(..) => continue,
                ClearanceFact::Pattern(_, true) => Happening::Patterns,
                ClearanceFact::ScopedPattern(_, _, true) => Happening::ScopedPatterns,
                ClearanceFact::Lift(number, there) => {
                    self.checkers.dnc.lifted(*number, *there, index);
                    match there {
                        true => Happening::Lifts,
                        false => Happening::LiftsGone,
                    }
                }
                ClearanceFact::Freeze(_, Some(_)) => Happening::Freezes,
                _ => Happening::ClearanceGone,
            };
            self.saw(seen);
        }
        if let Some(leader) = leader {
            self.wait_clearance_effective(leader, facts, index);
        }
    }
}

impl Checkers {
    /// One entry of the region's log and its answer.
    fn region_entry(
        &mut self,
        now: u64,
        region: &RegionLedger,
        command: &RegionCommand,
        reply: &RegionReply,
    ) -> Checked {
        match (command, reply) {
            (
                RegionCommand::Report { outcomes, .. } | RegionCommand::Settle { outcomes, .. },
                RegionReply::Reported(counts),
            ) => {
                for outcome in outcomes {
                    self.disposition.outcome(outcome, counts, &mut self.seen)?;
                    if counts.refused.is_empty() {
                        self.abandonment(now, region, outcome);
                    }
                }
                for (_, refusal) in &counts.refused {
                    match refusal {
                        OutcomeRefusal::NoProof => self.seen.saw(Happening::NoProof),
                        OutcomeRefusal::StillOpen | OutcomeRefusal::UnknownEnd => {
                            self.seen.saw(Happening::StillInDoubt);
                        }
                        OutcomeRefusal::UnknownLead | OutcomeRefusal::OtherSession => {}
                    }
                }
                Ok(())
            }
            (RegionCommand::Report { .. } | RegionCommand::Settle { .. }, other) => {
                Err(Invariant::I7.broken(format!("an outcome was answered {other:?}")))
            }
            (RegionCommand::Claim { n, .. }, RegionReply::Claimed { leads, shortage }) => {
                if matches!(shortage, Some(Shortage::WindowClosed { .. })) {
                    self.seen.saw(Happening::WindowShut);
                }
                for lead in leads {
                    self.disposition.claimed(lead.attempt, lead.number);
                    self.attempts.claimed(now, lead.attempt);
                }
                self.seen
                    .saw_many(Happening::Claims, u64::from(!leads.is_empty()));
                self.bounds.claimed(*n, leads.len())
            }
            (
                RegionCommand::ExpireSession { .. },
                RegionReply::Refused(RegionRefusal::StaleLeader { .. }),
            ) => {
                self.seen.saw(Happening::StaleExpiries);
                Ok(())
            }
            (RegionCommand::Facts(_), RegionReply::FactsTaken { .. }) => {
                self.seen.saw(Happening::FactsForwarded);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The region was told how an attempt ended that really was abandoned. A node that lost its power
    /// before the person answered can say no more than that it dialed: that tells nobody how it ended.
    fn abandonment(&mut self, now: u64, region: &RegionLedger, outcome: &CallOutcome) {
        let attempt = outcome.attempt();
        if matches!(outcome, CallOutcome::Dialed { disposition, .. } if *disposition != Disposition::Unknown)
            && let Some((number, invited)) = self.attempts.was_abandoned(attempt)
            // One that has left is told of where it is, a moment later.
            && has(region, number)
        {
            self.attempts.abandoned(now, number, invited);
        }
    }

    fn region_events(&mut self, now: u64, region: RegionId, events: &[RegionEvent]) -> Checked {
        for event in events {
            match event {
                RegionEvent::AttemptsLost(lost) => {
                    self.seen
                        .saw_many(Happening::DoubtsEnded, lost.len() as u64);
                    for lost in lost {
                        self.disposition.lost(lost.attempt)?;
                    }
                }
                RegionEvent::SessionOpened { .. } => self.seen.saw(Happening::Opened),
                RegionEvent::SessionEnded { session, end, .. } => {
                    self.session.ended(now, (region, *session));
                    self.seen.saw(match end {
                        SessionEnd::Expired => Happening::Expired,
                        SessionEnd::Superseded => Happening::Superseded,
                        SessionEnd::Closed => Happening::Closed,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a region has a number, and it is not about to leave.
fn has(region: &RegionLedger, number: PhoneNumber) -> bool {
    let leads = region.leads_of(number);
    let mut leads = leads.iter().filter_map(|lead| region.lead(*lead));
    leads.any(|lead| lead.standing != LeadStanding::Moving)
}

/// What a node says of an attempt that was abandoned.
pub(crate) fn told_disposition(disposition: Disposition, defect: Option<Defect>) -> Disposition {
    if disposition == Disposition::Abandoned && defect == Some(Defect::AbandonmentHidden) {
        return Disposition::NoAnswer;
    }
    disposition
}
