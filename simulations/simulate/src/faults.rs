//! What goes wrong: links, processes, machines, calendars; and what people change meanwhile.

use crate::{
    begin::change,
    defect::Defect,
    group::Wrongs,
    seen::Happening,
    violation::Checked,
    world::{CAMPAIGNS, Event, REGION, Which, World, number},
};
use domain::*;
use ledger::{
    Change, DirectoryCommand, DirectoryEvent, DncRemoval, Fact, NewDncBase, RegionCommand, Removal,
};
use permit::{
    PermitInput,
    base::{BaseAbout, BaseLookup, MemoryBase},
};
use std::{sync::Arc, time::Duration};

impl World {
    /// Something goes wrong, of the kinds that this run has.
    pub(crate) fn fault(&mut self) -> Checked {
        if self.calm() {
            self.network.heal_all();
            for voter in &mut self.voters {
                voter.calendar = 0;
            }
            return Ok(());
        }
        let i = self.random.below(self.nodes.len() as u32) as usize;
        let v = self.random.below(self.voters.len() as u32) as usize;
        match self.random.below(16) {
            0..=2 if self.options.pauses => {
                let most = if self.chance(500) {
                    3000
                } else {
                    3000 * self.options.ttl
                };
                let pause = self.millis(most);
                self.pause_node(i, pause);
            }
            3 if self.options.pauses => {
                self.saw(Happening::VoterPauses);
                let pause = self.millis(20_000);
                self.voters[v].paused_until = self.now + pause;
            }
            4 | 5 if self.options.crashes => self.crash(i, false)?,
            6 if self.options.crashes => self.stop_in_order(i)?,
            7 if self.options.crashes => self.restart_voter(v)?,
            8 | 9 if self.options.power_losses => self.crash(i, true)?,
            10 | 11 if self.options.partitions => self.partition(),
            12 if self.options.clogs => {
                self.saw(Happening::Clogs);
                let members = (self.voters.len() + self.nodes.len()) as u32;
                let (a, b) = (self.random.below(members), self.random.below(members));
                let until = self.now + self.millis(30_000);
                self.network.clog(a as usize, b as usize, until);
            }
            13 if self.options.calendar_jumps => {
                self.saw(Happening::CalendarJumps);
                let off = self.millis(3_600_000) as i64 - 1_800_000;
                self.voters[v].calendar = off;
                self.checkers.attempts.calendar(off);
                self.checkers.abandonment.calendar(off);
            }
            14 | 15 if self.options.stalls => {
                self.nodes[i].stalled_until = self.now + self.millis(40_000);
            }
            _ => {}
        }
        let next = 500 + self.millis(2000 * self.options.fault_every);
        self.after(next, Event::Fault);
        Ok(())
    }

    pub(crate) fn pause_node(&mut self, i: usize, pause: u64) {
        self.saw(Happening::Pauses);
        if pause > self.options.ttl * 1000 {
            self.saw(Happening::LongPauses);
        }
        let (now, stops) = (self.now, self.options.has(Defect::ClockStopsInPause));
        let node = &mut self.nodes[i];
        let (before, until) = (node.paused_until.max(now), now + pause);
        node.paused_until = before.max(until);
        if stops {
            node.napped += node.paused_until - before;
        }
    }

    /// Cuts one member from some or all others, one way or both, for a while.
    fn partition(&mut self) {
        let members = self.voters.len() + self.nodes.len();
        let one = self.random.below(members as u32) as usize;
        let one_way = self.chance(350);
        self.saw(if one_way {
            Happening::OneWayPartitions
        } else {
            Happening::Partitions
        });
        let from_here = self.chance(500);
        let share = if self.chance(500) { 1000 } else { 500 };
        // Now and then longer than any doubt.
        let most = [8000, 8000, 60_000, 60_000, 300_000][self.random.below(5) as usize];
        let lasts = 500 + self.millis(most);
        for other in (0..members).filter(|other| *other != one) {
            if !self.chance(share) {
                continue;
            }
            if !one_way || from_here {
                self.network.cut(one, other);
            }
            if !one_way || !from_here {
                self.network.cut(other, one);
            }
            self.after(lasts, Event::Heals(one, other));
        }
    }

    /// A voter's process starts again; a leader that was it leads no more.
    fn restart_voter(&mut self, v: usize) -> Checked {
        self.saw(Happening::VoterRestarts);
        for which in [Which::Region, Which::Directory] {
            if self.leader(which) == Some(v) {
                match which {
                    Which::Region => self.region.leader = None,
                    Which::Directory => self.directory.leader = None,
                }
            }
        }
        self.voters[v].restarted(&self.options);
        let install = self.chance(300);
        let wrongs = Wrongs {
            gap: self.options.has(Defect::SnapshotGap),
            ..Wrongs::default()
        };
        let event = self.region.restart(v, install, wrongs)?;
        self.directory.restart(v, install, wrongs)?;
        self.saw(Happening::Snapshots);
        let down = self.millis(8000);
        self.voters[v].paused_until = self.now + down;
        // Its books begin when the process does.
        let begins = self.now;
        self.voters[v].heard(begins, &[event], &self.options);
        Ok(())
    }

    /// A node's process dies, or its whole machine.
    fn crash(&mut self, i: usize, power: bool) -> Checked {
        self.saw(if power {
            Happening::PowerLosses
        } else {
            Happening::Crashes
        });
        // The network goes on with what it was working on, as long as it ever may.
        let lifetime = limits::INVITE_LIFETIME.as_millis() as u64;
        let doubts = !self.nodes[i].live.is_empty();
        for live in std::mem::take(&mut self.nodes[i].live) {
            let attempt = live.lead.attempt;
            let Some(call) = self
                .checkers
                .live
                .call(attempt)
                .filter(|c| c.end > self.now)
            else {
                continue;
            };
            let most = live.most + lifetime;
            let end = match self.random.below(3) {
                0 => call.end,
                1 => call.start + most,
                _ => call.end.max(call.start + self.millis(most)),
            };
            self.checkers.live.ends(attempt, end, call.answered);
        }
        self.lines_cut_off(i)?;
        let clock = crate::world::Clock::drawn(&mut self.random);
        let lost = self.random.below(6) as usize;
        let node = &mut self.nodes[i];
        node.clean = false;
        if power {
            node.clock = clock;
            node.napped = 0;
            node.shares.power_lost(lost > 2);
            let (forgotten, count) = node.journal.power_lost(lost);
            for number in forgotten {
                self.checkers.callers.forgotten(number);
            }
            self.checkers
                .seen
                .saw_many(Happening::WritesLost, count as u64);
        } else {
            // The kernel has every write.
            node.journal.synced();
            node.shares.synced();
        }
        self.restarted(i, doubts);
        Ok(())
    }

    /// A node stops in order: calls are ended, the hopper is given back, the session is closed.
    fn stop_in_order(&mut self, i: usize) -> Checked {
        if !self.runs(i) {
            return Ok(());
        }
        self.saw(Happening::CleanStops);
        let now = self.now;
        self.cancel(i, |_| true);
        for live in &self.nodes[i].live {
            let call = self.checkers.live.call(live.lead.attempt);
            if let Some(call) = call.filter(|call| call.end > now) {
                let attempt = live.lead.attempt;
                self.checkers.live.ends(attempt, now, call.answered);
            }
        }
        self.end_calls(i);
        // Whoever is on the line at the deadline is cut off.
        self.lines_cut_off(i)?;
        let hopper = std::mem::take(&mut self.nodes[i].hopper);
        for lead in hopper {
            self.nodes[i].give_back(&lead);
        }
        if let Some(session) = self.nodes[i].session {
            self.propose(i, RegionCommand::CloseSession { session });
        }
        let node = &mut self.nodes[i];
        let unmarked = std::mem::take(&mut node.unmarked);
        for (lead, invited) in unmarked {
            if node.journal.mark(lead.attempt) == Some(crate::journal::Mark::Leased) {
                node.write(&lead, crate::journal::Mark::Dialing(invited));
            }
        }
        node.journal.synced();
        node.shares.synced();
        node.clean = true;
        self.restarted(i, false);
        Ok(())
    }

    fn restarted(&mut self, i: usize, doubts: bool) {
        let in_doubt = doubts
            || (self.nodes[i].journal.entries())
                .any(|entry| matches!(entry.mark, crate::journal::Mark::Dialing(_)));
        if in_doubt {
            self.saw(Happening::RestartsInDoubt);
        }
        let soon = if self.chance(500) { 2000 } else { 30_000 };
        let down = 300 + self.millis(soon);
        let node = &mut self.nodes[i];
        node.down_until = self.now + down;
        node.paused_until = 0;
        node.run.0 += 1;
        node.begin(&self.options);
        self.replicate(i);
    }

    /// An administrator changes do-not-call.
    pub(crate) fn change_dnc(&mut self) {
        if !self.calm() {
            let next = 500 + self.millis(2000 * self.options.dnc_every);
            self.after(next, Event::DncChange);
            if self.chance(200) {
                return self.change_base();
            }
            if self.chance(300) {
                return self.change_clearance();
            }
            let about = self.options.defect.is_some_and(Defect::is_about_consent);
            if self.options.consents && self.chance(if about { 700 } else { 200 }) {
                return self.change_consents();
            }
        }
        let scope = match self.random.below(4) {
            0 => DncScope::Campaign(CAMPAIGNS[0]),
            1 => DncScope::Region(REGION),
            _ => DncScope::Mesh,
        };
        // Some numbers come again and again, in several scopes.
        let among = if self.chance(400) {
            4
        } else {
            self.options.numbers
        };
        let entry = DncEntry {
            number: number(self.millis(among)),
            scope,
            source: DncSource::Admin,
            added_at: WallTime::from_millis(self.true_wall()),
        };
        let known: Vec<_> = self.directory.witness.dnc().collect();
        let (add, remove) = if self.chance(450) && !known.is_empty() {
            let fact = known[self.random.below(known.len() as u32) as usize];
            let removal = DncRemoval {
                number: fact.entry.number,
                scope: fact.entry.scope,
                index: fact.index,
            };
            // Now and then the same entry is renewed by the same change: adding wins.
            let again = self.chance(200).then_some(fact.entry);
            (again.into_iter().collect(), vec![removal])
        } else {
            (vec![entry], Vec::new())
        };
        self.administrator(Change::ChangeDnc {
            add,
            remove,
            reason: "asked again".into(),
        });
    }

    /// An administrator changes a campaign's limits or pauses it.
    pub(crate) fn change_campaign(&mut self) {
        let calm = self.calm();
        let next = if calm {
            2000
        } else {
            3000 + self.millis(60_000)
        };
        let id = CAMPAIGNS[self.random.below(2) as usize];
        let Some(mut campaign) = self.directory.witness.campaign(id).cloned() else {
            return;
        };
        let running = campaign.state == CampaignState::Running;
        let all_run = (self.directory.witness.campaigns())
            .all(|campaign| campaign.state == CampaignState::Running);
        if calm && all_run {
            return;
        }
        self.after(next, Event::CampaignChange);
        if !self.options.campaign_changes {
            return;
        }
        if calm || self.chance(400) {
            if calm && running {
                return;
            }
            let state = if running {
                CampaignState::Paused
            } else {
                CampaignState::Running
            };
            self.administrator(Change::SetCampaignState {
                id,
                state,
                if_match: None,
            });
        } else {
            let (ring, talk) = (self.options.ring, self.options.talk);
            campaign.ring_limit = Duration::from_secs(15 + self.millis(2 * ring - 15));
            campaign.talk_limit = Duration::from_secs(1 + self.millis(2 * talk - 1));
            campaign.attempts_max = 3 + self.random.below(8) as u16;
            let if_match = Some(campaign.version);
            let campaign = Box::new(campaign);
            self.administrator(Change::SetCampaign { campaign, if_match });
        }
        self.saw(Happening::CampaignChanges);
    }

    /// Somebody at a console proposes to the directory's leader, if he finds it.
    pub(crate) fn administrator(&mut self, asked: Change) {
        let Some(voter) = self.directory.leader else {
            return;
        };
        let delay = 2 + self.millis(800);
        let command: Box<DirectoryCommand> = Box::new(change(asked));
        let event = Event::ProposeDirectory {
            voter,
            command,
            asker: None,
            hops: 0,
        };
        self.after(delay, event);
    }

    /// Sends the directory's log on its way to a node.
    pub(crate) fn replicate(&mut self, i: usize) {
        let late = match self.random.below(6) {
            0 if !self.calm() => self.millis(20_000),
            _ => self.millis(500),
        };
        let (run, index) = (self.nodes[i].run, self.directory.last());
        self.after(late, Event::DirectoryReaches(i, run, index));
    }

    /// Entries of the directory reach a node, unless nobody who has them is heard.
    pub(crate) fn directory_reaches(&mut self, i: usize, run: Incarnation, index: u64) -> Checked {
        if self.nodes[i].run != run {
            return Ok(());
        }
        let place = self.place_of(i);
        let heard = (0..self.voters.len()).any(|v| self.network.joined(v, place));
        if !self.runs(i) || !heard {
            let busy = self.nodes[i].paused_until.max(self.nodes[i].down_until);
            let wait = busy.saturating_sub(self.now) + 300;
            self.after(wait, Event::DirectoryReaches(i, run, index));
            return Ok(());
        }
        let behind = index.saturating_sub(self.nodes[i].reached);
        if behind > 4 && self.chance(300) {
            self.copy_replaced(i);
        }
        while self.nodes[i].reached < index {
            let events = self.told[self.nodes[i].reached as usize].clone();
            self.nodes[i].reached += 1;
            for event in events {
                self.node_hears(i, event);
            }
            let applied = PermitInput::DirectoryApplied {
                index: self.nodes[i].reached,
            };
            let now = self.local(i);
            self.nodes[i].permit.handle(now, applied).ok();
        }
        self.take_over(i);
        self.outputs(i);
        let index = self.nodes[i].reached;
        let request = crate::leaders::Request::Applied { node: i, index };
        let voter = self.asks(i, Which::Directory);
        self.send(place, voter, Event::ToVoter(voter, request));
        Ok(())
    }

    /// A node far behind is given the whole directory.
    fn copy_replaced(&mut self, i: usize) {
        self.saw(Happening::CopyReset);
        let now = self.local(i);
        let facts = self.directory.witness.facts();
        let entries =
            (facts.dnc.iter()).map(|fact| (fact.entry.number, fact.entry.scope, fact.index));
        let node = &mut self.nodes[i];
        node.reached = facts.index;
        let clearance = facts.clearance.iter().copied().collect();
        node.permit
            .directory_reset(now, facts.index, entries, clearance);
        for campaign in facts.campaigns {
            node.campaigns.insert(campaign.id, campaign);
        }
        self.require_base(i, facts.dnc_base, facts.index);
        self.forbid_where(i, |_| true);
    }

    fn node_hears(&mut self, i: usize, event: DirectoryEvent) {
        match event {
            DirectoryEvent::Changed { index, facts } => {
                for fact in facts {
                    match fact {
                        Fact::Campaign(campaign) => {
                            self.nodes[i].campaigns.insert(campaign.id, *campaign);
                        }
                        Fact::DncBase(base) => self.require_base(i, base, index),
                        Fact::Clearance(facts) => self.hears_clearance(i, index, &facts),
                        _ => {}
                    }
                }
            }
            DirectoryEvent::Dnc {
                index,
                added,
                removed,
            } => {
                for gone in removed {
                    let dnc = self.nodes[i].permit.dnc_mut();
                    dnc.remove(gone.number, gone.scope, gone.index, index);
                }
                for fact in added {
                    let (number, scope) = (fact.entry.number, fact.entry.scope);
                    self.nodes[i].permit.dnc_mut().add(number, scope, index);
                    self.forbid(i, number);
                }
            }
            DirectoryEvent::Reset(_) => {}
        }
    }

    /// Cancels what rings at a number that may not be called any more.
    fn forbid(&mut self, i: usize, number: PhoneNumber) {
        self.forbid_where(i, |lead| lead.number == number);
    }

    fn forbid_where(&mut self, i: usize, concerned: impl Fn(&LeasedLead) -> bool) {
        if self.options.has(Defect::RingsOnForbidden) {
            return;
        }
        let (wall, dnc) = (self.local(i).wall, self.nodes[i].permit.dnc());
        let covered: Vec<_> = (self.nodes[i].live.iter())
            .filter(|live| concerned(&live.lead) && dnc.bars(&live.lead, false, wall))
            .map(|live| live.lead.attempt)
            .collect();
        if !covered.is_empty() {
            self.cancel(i, |lead| covered.contains(&lead.attempt));
        }
    }

    /// An administrator adds or removes a pattern, freezes a number or pattern, or lifts a freeze.
    fn change_clearance(&mut self) {
        let now = WallTime::from_millis(self.true_wall());
        let digits = number(self.millis(self.options.numbers)).digits();
        let prefix = Prefix::from_digits(digits / 10).expect("ten digits");
        let patterns: Vec<_> = (self.directory.witness.dnc_patterns())
            .map(|(pattern, index)| (pattern.prefix, index))
            .collect();
        let freezes: Vec<_> = (self.directory.witness.freezes())
            .map(|(freeze, index)| (freeze.target, index))
            .collect();
        // More go than come, or soon nobody could be dialed.
        let change = match self.random.below(5) {
            0 => Change::ChangePatterns {
                add: vec![DncPattern {
                    prefix,
                    source: DncSource::Admin,
                    reason: "a test".into(),
                    added_at: now,
                }],
                remove: Vec::new(),
                reason: String::new(),
            },
            1 | 2 if !patterns.is_empty() => {
                let (key, index) = patterns[self.random.below(patterns.len() as u32) as usize];
                Change::ChangePatterns {
                    add: Vec::new(),
                    remove: vec![Removal { key, index }],
                    reason: "a test".into(),
                }
            }
            3 if !freezes.is_empty() => {
                let (key, index) = freezes[self.random.below(freezes.len() as u32) as usize];
                Change::ChangeFreezes {
                    add: Vec::new(),
                    lift: vec![Removal { key, index }],
                    reason: "a test".into(),
                }
            }
            _ => {
                let whole = number(self.millis(self.options.numbers));
                let target = match self.chance(300) {
                    true => Target::Prefix(prefix),
                    false => Target::Number(whole),
                };
                let span = 5_000 + self.millis(120_000);
                Change::ChangeFreezes {
                    add: vec![Freeze {
                        target,
                        until: now + Duration::from_millis(span),
                        reason: "a test".into(),
                        source: "a test".into(),
                        frozen_at: now,
                    }],
                    lift: Vec::new(),
                    reason: String::new(),
                }
            }
        };
        self.administrator(change);
    }

    /// A node hears of patterns and freezes: it asks them from now on, and cancels what rings.
    fn hears_clearance(&mut self, i: usize, index: u64, facts: &[ClearanceFact]) {
        if self.options.has(Defect::ClearanceUnheard) {
            return;
        }
        let now = self.local(i).wall;
        for fact in facts {
            let fact = match *fact {
                ClearanceFact::Freeze(target, Some(until))
                    if self.options.has(Defect::ThawsEarly) =>
                {
                    ClearanceFact::Freeze(target, Some(now + until.since(now) / 2))
                }
                ClearanceFact::Consent(_, _, None)
                    if self.options.has(Defect::WithdrawalUnheard) =>
                {
                    continue;
                }
                fact => fact,
            };
            self.nodes[i].permit.dnc_mut().take(&fact, index);
        }
        self.forbid_where(i, |lead| {
            (facts.iter()).any(|fact| fact.concerns(lead.number, lead.campaign))
        });
    }

    /// An administrator stages a do-not-call base, puts one into use, or drops one.
    fn change_base(&mut self) {
        let known: Vec<DncBaseId> = (self.directory.witness.dnc_bases())
            .map(|staged| staged.base.id)
            .collect();
        let in_use = self.directory.witness.dnc_base_in_use();
        if known.is_empty() || (self.chance(400) && known.len() < limits::DNC_BASES) {
            let numbers = (0..self.options.numbers).filter(|_| self.random.permille(250));
            // A base has numbers; one that nobody has as a lead does no harm.
            let numbers = numbers.chain([8_000 + known.len() as u64]).map(number);
            let about = BaseAbout {
                source: "a registry".into(),
                built_at: WallTime::EPOCH,
            };
            let base = MemoryBase::of(&numbers.collect(), about).expect("few numbers");
            let id = base.id();
            self.bases.insert(id, Arc::new(base));
            return self.administrator(Change::StageDncBase {
                base: NewDncBase {
                    id,
                    file_bytes: 4096,
                    count: 1,
                    source: "a registry".into(),
                    built_at: WallTime::EPOCH,
                },
            });
        }
        let id = known[self.random.below(known.len() as u32) as usize];
        let change = if known.len() == limits::DNC_BASES && in_use != Some(id) {
            Change::DropDncBase { id }
        } else {
            Change::UseDncBase {
                id: (!self.chance(150)).then_some(id),
                force: true,
                reason: "a new month".into(),
            }
        };
        self.administrator(change);
    }

    /// A node may have fetched a base meanwhile.
    pub(crate) fn fetch_base(&mut self, i: usize) {
        if !self.chance(50) {
            return;
        }
        let missing = (self.directory.witness.dnc_bases())
            .map(|staged| staged.base.id)
            .find(|id| !self.nodes[i].bases.contains(id));
        if let Some(id) = missing {
            self.saw(Happening::BasesFetched);
            self.nodes[i].bases.insert(id);
            let reached = self.nodes[i].reached;
            if let Some(base) = self.nodes[i].wants_base {
                self.require_base(i, base, reached);
            }
        }
    }

    /// A node hears which base is in use: it asks that one, or dials nobody.
    fn require_base(&mut self, i: usize, base: Option<DncBaseId>, index: u64) {
        let here = base.is_none_or(|id| self.nodes[i].bases.contains(&id));
        self.nodes[i].wants_base = Some(base);
        if !here && self.options.has(Defect::OldBaseStays) {
            return;
        }
        let asked = base
            .filter(|_| here)
            .and_then(|id| self.bases.get(&id))
            .cloned();
        let (now, asked) = (self.local(i), asked.map(|base| base as Arc<dyn BaseLookup>));
        let permit = &mut self.nodes[i].permit;
        permit.base_in_use(now, base, asked, index);
        self.outputs(i);
        let listed: Vec<PhoneNumber> = (self.nodes[i].live.iter())
            .map(|live| live.lead.number)
            .filter(|number| self.nodes[i].permit.dnc().is_listed(*number))
            .collect();
        for number in listed {
            self.forbid(i, number);
        }
    }
}
