//! What goes wrong: links, processes, machines, calendars.

use crate::{
    defect::Defect,
    group::Wrongs,
    seen::Happening,
    violation::Checked,
    world::{Event, Which, World},
};
use domain::*;
use ledger::RegionCommand;

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
        match self.random.below(17) {
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
            16 if self.options.power_losses && self.chance(300) => self.lose_region(i)?,
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

    /// Every node of one region loses its power at once, for a while; a voter too, now and then.
    fn lose_region(&mut self, one: usize) -> Checked {
        self.saw(Happening::RegionsLost);
        let region = self.nodes[one].region;
        let dark = self.now + 5_000 + self.millis(120_000);
        for i in 0..self.nodes.len() {
            if self.nodes[i].region == region {
                self.crash(i, true)?;
                let node = &mut self.nodes[i];
                node.down_until = node.down_until.max(dark);
            }
        }
        if self.chance(300) {
            let v = self.random.below(self.voters.len() as u32) as usize;
            self.restart_voter(v)?;
            self.voters[v].paused_until = dark;
        }
        Ok(())
    }

    /// A voter's process starts again; a leader that was it leads no more.
    pub(crate) fn restart_voter(&mut self, v: usize) -> Checked {
        self.saw(Happening::VoterRestarts);
        for which in self.groups() {
            if self.leader(which) == Some(v) {
                match which {
                    Which::Region(region) => self.regions[region].leader = None,
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
        let mut events = Vec::new();
        for group in &mut self.regions {
            events.push(group.restart(v, install, wrongs)?);
        }
        self.directory.restart(v, install, wrongs)?;
        self.saw(Happening::Snapshots);
        let down = self.millis(8000);
        self.voters[v].paused_until = self.now + down;
        // Its books begin when the process does.
        let begins = self.now;
        for (region, event) in events.into_iter().enumerate() {
            self.voters[v].heard(begins, region, &[event], &self.options);
        }
        Ok(())
    }

    /// A node's process dies, or its whole machine.
    pub(crate) fn crash(&mut self, i: usize, power: bool) -> Checked {
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
    pub(crate) fn stop_in_order(&mut self, i: usize) -> Checked {
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
}
