//! What goes wrong, and what people change meanwhile.

use crate::{
    disk::End,
    runtime::{self, WORLD, millis, sleep, spawn_on},
    seen::Happening,
    world::World,
};
use consensus::MembershipChange;
use domain::{MemberId, limits};
use std::{collections::BTreeSet, rc::Rc, time::Duration};

impl World {
    /// One fault after another, of the kinds that this run has.
    pub(crate) async fn faults(self: Rc<Self>) {
        while self.goes_on() {
            sleep(Duration::from_millis(
                50 + self.below(2 * self.options.fault_every),
            ))
            .await;
            if !self.goes_on() {
                return;
            }
            let options = &self.options;
            let one = self.any();
            match self.below(20) {
                0 | 1 if options.partitions => self.partition(one),
                3 if options.clogs => self.clog(one),
                4 | 5 if options.pauses => self.pause(one),
                6 | 7 if options.kills => self.kill(one),
                8 if options.kills => self.rolling_restart(),
                9 | 10 if options.power_losses => self.lose_power(one),
                11 | 12 if options.clocks => self.set_clocks(one),
                13 if options.disks => self.fill_disk(one),
                14 if options.disks => self.slow_disk(one),
                2 if options.disks => self.fail_syncs(one),
                15 | 16 if options.churn => self.churn(one),
                17 | 18 if options.changes => self.change(one),
                19 => self.snapshot(one),
                _ => {}
            }
        }
    }

    /// Later, in the storm or after it.
    pub(crate) fn after(self: &Rc<Self>, pause: Duration, then: impl FnOnce(&Rc<Self>) + 'static) {
        let world = Rc::clone(self);
        spawn_on(WORLD, async move {
            sleep(pause).await;
            then(&world);
        });
    }

    /// Cuts one member from some or all others, one way or both, for a while.
    fn partition(self: &Rc<Self>, one: MemberId) {
        let one_way = self.chance(350);
        self.saw(if one_way {
            Happening::OneWayPartitions
        } else {
            Happening::Partitions
        });
        let from_here = self.chance(500);
        let share = if self.chance(500) { 1000 } else { 500 };
        let lasts =
            Duration::from_millis(200 + self.below([3000, 9000, 20_000][self.below(3) as usize]));
        self.note(4, one, || format!("{one} is cut off for {lasts:?}"));
        for other in crate::network::others(&self.ids(), one) {
            if !self.chance(share) {
                continue;
            }
            let mut ways = Vec::new();
            if !one_way || from_here {
                ways.push((one, other));
            }
            if !one_way || !from_here {
                ways.push((other, one));
            }
            for (from, to) in &ways {
                self.network.cut(*from, *to);
            }
            self.after(lasts, move |world| {
                for (from, to) in ways {
                    world.network.heal(from, to);
                }
            });
        }
    }

    fn clog(&self, one: MemberId) {
        self.saw(Happening::Clogs);
        let until = millis() + 500 + self.below(10_000);
        let by = [50, 400, 3000][self.below(3) as usize];
        self.note(5, one, || format!("{one}'s links are slow by {by} ms"));
        for other in crate::network::others(&self.ids(), one) {
            if self.chance(700) {
                self.network.clog(one, other, until, by);
            }
            if self.chance(700) {
                self.network.clog(other, one, until, by);
            }
        }
    }

    fn pause(self: &Rc<Self>, one: MemberId) {
        let Some(process) = self.members.borrow()[&one].process else {
            return;
        };
        let lasts = 50 + self.below([400, 3000, 12_000][self.below(3) as usize]);
        self.saw(Happening::Pauses);
        if lasts > 2 * self.options.election {
            self.saw(Happening::LongPauses);
        }
        self.note(6, one, || format!("{one} stops for {lasts} ms"));
        runtime::pause(process, true);
        self.after(Duration::from_millis(lasts), move |world| {
            if !world.members.borrow()[&one].is_ended() {
                runtime::pause(process, false);
            }
        });
    }

    fn kill(self: &Rc<Self>, one: MemberId) {
        let running = self.members.borrow()[&one].process.is_some();
        if running && self.chance(300) {
            // In the middle of one of its next writes.
            let operations = self.below(40);
            (self.members.borrow()[&one].disk).fail_after(operations, End::Killed);
            return;
        }
        self.saw(Happening::Kills);
        self.crash(one, false);
        let down = Duration::from_millis(self.below(6000));
        self.boot_after(one, down);
    }

    /// Every process is restarted in its turn.
    fn rolling_restart(self: &Rc<Self>) {
        self.saw(Happening::RollingRestarts);
        let world = Rc::clone(self);
        spawn_on(WORLD, async move {
            for id in world.ids() {
                if !world.goes_on() {
                    return;
                }
                world.crash(id, false);
                sleep(world.a_while(800)).await;
                world.boot(id);
                sleep(world.a_while(3000)).await;
            }
        });
    }

    fn lose_power(self: &Rc<Self>, one: MemberId) {
        let running = self.members.borrow()[&one].process.is_some();
        if running && self.chance(600) {
            // In the middle of one of its next writes; whoever looks at the members sees it.
            let operations = self.below(40);
            (self.members.borrow()[&one].disk).fail_after(operations, End::Power);
            return;
        }
        self.saw(Happening::PowerLosses);
        // All at once now and then: nobody else remembers.
        let all = self.chance(250);
        for id in self.ids() {
            if id == one || all {
                self.crash(id, true);
                let down = Duration::from_millis(self.below(6000));
                self.boot_after(id, down);
            }
        }
    }

    fn set_clocks(&self, one: MemberId) {
        let mut members = self.members.borrow_mut();
        let member = members.get_mut(&one).expect("members stay");
        let Some(process) = member.process else {
            return;
        };
        match self.below(3) {
            0 => {
                self.saw(Happening::Drifts);
                // Up to a fifth too slow or too fast; where sessions are counted, as far as they allow.
                let most = if self.has_region() {
                    1000 * u64::from(limits::DRIFT_PERMILLE) - 1000
                } else {
                    200_000
                };
                member.rate = 1_000_000 - most + self.below(2 * most);
                runtime::set_clock(process, member.rate, Duration::ZERO);
            }
            1 if !self.has_region() => {
                self.saw(Happening::Leaps);
                let leap = Duration::from_millis(self.below(10_000));
                runtime::set_clock(process, member.rate, leap);
            }
            _ => {
                self.saw(Happening::CalendarJumps);
                member.calendar = self.below(7_200_000) as i64 - 3_600_000;
                runtime::set_calendar(process, member.calendar);
            }
        }
    }

    fn fill_disk(self: &Rc<Self>, one: MemberId) {
        self.saw(Happening::FullDisks);
        {
            let mut members = self.members.borrow_mut();
            let member = members.get_mut(&one).expect("members stay");
            member.disk.set_full(true);
            member.was_full = true;
        }
        self.note(7, one, || format!("{one}'s disk is full"));
        let lasts = Duration::from_millis(500 + self.below(8000));
        self.after(lasts, move |world| {
            world.members.borrow()[&one].disk.set_full(false);
        });
    }

    /// One of its next syncs fails, or all from then on for a while.
    fn fail_syncs(self: &Rc<Self>, one: MemberId) {
        let for_ever = self.chance(300);
        let after = self.below(30);
        let random = self.drop_stream();
        let members = self.members.borrow();
        members[&one].disk.fail_syncs(after, for_ever, random);
        self.note(10, one, || format!("{one}'s syncs are to fail"));
        let lasts = Duration::from_millis(500 + self.below(8000));
        self.after(lasts, move |world| {
            world.members.borrow()[&one].disk.mend_syncs();
        });
    }

    fn slow_disk(self: &Rc<Self>, one: MemberId) {
        self.saw(Happening::SlowDisks);
        let slow = 100 + self.below(1500);
        self.members.borrow()[&one].sync.set(slow);
        let lasts = Duration::from_millis(500 + self.below(8000));
        self.after(lasts, move |world| {
            let usual = world.options.sync;
            world.members.borrow()[&one].sync.set(usual);
        });
    }

    /// The leader hands over, or is killed.
    fn churn(self: &Rc<Self>, to: MemberId) {
        let Some(leader) = self.leader() else {
            return;
        };
        if self.chance(300) {
            self.saw(Happening::LeadersKilled);
            return self.kill(leader);
        }
        let Some((process, group)) = self.running(leader) else {
            return;
        };
        if to == leader || !group.status().voters.contains(&to) {
            return;
        }
        self.saw(Happening::HandOvers);
        self.note(8, leader, || format!("{leader} is to hand over to {to}"));
        // Whether it worked is seen by who leads.
        spawn_on(process, async move { drop(group.hand_over(to).await) });
    }

    /// Members come, vote, and go, three or five voters at a time.
    fn change(self: &Rc<Self>, asked: MemberId) {
        let Some((process, group)) = self.running(asked) else {
            return;
        };
        let all: Vec<MemberId> = self.ids().into_iter().collect();
        let count = if all.len() >= 5 && self.chance(400) {
            5
        } else {
            3
        };
        let mut voters = BTreeSet::new();
        while voters.len() < count {
            voters.insert(all[self.below(all.len() as u64) as usize]);
        }
        let leave: BTreeSet<MemberId> = if self.chance(500) {
            all.iter()
                .copied()
                .filter(|id| !voters.contains(id))
                .collect()
        } else {
            BTreeSet::new()
        };
        self.note(9, asked, || {
            format!("{asked} is asked to make {voters:?} voters")
        });
        let world = Rc::clone(self);
        spawn_on(WORLD, async move {
            let deadline = Duration::from_secs(8);
            let changed = world.on(process, async move {
                let steps = [
                    MembershipChange::AddLearners(voters.clone()),
                    MembershipChange::SetVoters(voters),
                    MembershipChange::Remove(leave.clone()),
                ];
                let steps = &steps[..if leave.is_empty() { 2 } else { 3 }];
                for step in steps {
                    group.change(step, deadline).await?;
                }
                Ok::<_, consensus::ChangeError>(())
            });
            world.saw(match changed.await {
                Some(Ok(())) => Happening::Changes,
                _ => Happening::ChangesFailed,
            });
        });
    }

    fn snapshot(&self, one: MemberId) {
        let Some((process, group)) = self.running(one) else {
            return;
        };
        self.saw(Happening::SnapshotsAsked);
        // A group that has stopped is seen by who looks at the members.
        spawn_on(process, async move { drop(group.snapshot_now().await) });
    }
}
