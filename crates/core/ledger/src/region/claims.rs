//! Claims: which due leads a session is given.

use super::choice::Choice;
use super::{
    Lease, RegionLedger, RegionRefusal, RegionReply, Shortage,
    book::{LeadSlot, LeadState, NONE},
    due::DueKey,
};
use crate::{
    origin::Seen,
    rules::{Gate, Rules},
};
use domain::{
    AttemptId, Campaign, CampaignId, CampaignState, Chances, Incarnation, LeasedLead, SessionId,
    WallTime, held_out, held_out_turn, limits,
};
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// How long a lead rests that has had all its attempts while the campaign's limit sank below.
const EXHAUSTED_REST: Duration = Duration::from_secs(24 * 3600);

/// What a claim asks for.
pub(super) struct Asked {
    pub(super) session: SessionId,
    pub(super) campaign: CampaignId,
    pub(super) n: u32,
    pub(super) sequence: u64,
}

/// What a look at a due lead says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Lease,
    Rest(WallTime),
    /// Others have a better chance: it goes behind those that wait.
    Pass,
}

impl RegionLedger {
    pub(super) fn claim(
        &mut self,
        asked: &Asked,
        chances: Option<&Chances>,
        heard: bool,
    ) -> Result<RegionReply, RegionRefusal> {
        let Asked {
            session,
            campaign,
            n,
            sequence,
        } = *asked;
        if let Some(wrong) = chances.and_then(|chances| chances.check().err()) {
            return Err(RegionRefusal::TooMany {
                what: format!("{} of a claim's chances", wrong.what),
                got: wrong.got as u64,
                limit: wrong.limit as u64,
            });
        }
        if n as usize > limits::CLAIM_BATCH {
            return Err(RegionRefusal::TooMany {
                what: "leads in a claim".into(),
                got: n.into(),
                limit: limits::CLAIM_BATCH as u64,
            });
        }
        let index = self.applied;
        let claims = &mut self.open_one(session)?.claims;
        match claims.look(Incarnation(0), sequence) {
            Seen::New => claims.keep(sequence, index),
            Seen::Again(first) => {
                let first = *first;
                return Ok(self.claimed_again(session, first));
            }
            Seen::TooOld => {
                return Err(RegionRefusal::StaleClaim {
                    sequence,
                    window: limits::RETRY_WINDOW as u32,
                });
            }
        }
        let (leads, shortage) = match self.claimable(session, campaign) {
            Ok((rules, room)) => {
                let asked = Asked {
                    n: n.min(room),
                    ..*asked
                };
                self.pick(&asked, rules, chances, heard)
            }
            Err(shortage) => (Vec::new(), Some(shortage)),
        };
        Ok(RegionReply::Claimed { leads, shortage })
    }

    /// The leads of an earlier claim that the session still holds.
    fn claimed_again(&self, session: SessionId, index: u64) -> RegionReply {
        let mut leads: Vec<_> = (self.leases_of(session))
            .filter(|(_, lease)| (lease.attempt.0 >> 32) as u64 == index)
            .map(|(lead, lease)| self.leased_lead(lead, lease))
            .collect();
        leads.sort_by_key(|lead| lead.attempt);
        RegionReply::Claimed {
            leads,
            shortage: None,
        }
    }

    /// Whether a campaign can be claimed from at all; its rules, and how many more leads the
    /// session may hold.
    fn claimable(&self, session: SessionId, id: CampaignId) -> Result<(Rules, u32), Shortage> {
        let rules = self.dialed_by(id)?;
        match limits::SESSION_LEASES.saturating_sub(self.leases.count(session)) {
            0 => Err(Shortage::SessionFull),
            room => Ok((rules, room as u32)),
        }
    }

    fn dialed_by(&self, id: CampaignId) -> Result<Rules, Shortage> {
        let campaign = (self.campaigns.get(&id)).ok_or(Shortage::UnknownCampaign)?;
        if campaign.state != CampaignState::Running {
            return Err(Shortage::NotRunning);
        }
        if !(campaign.regions.is_empty() || campaign.regions.contains(&self.region)) {
            return Err(Shortage::OtherRegions);
        }
        Rules::of(&campaign.rule_pack).ok_or(Shortage::UnknownRulePack)
    }

    /// Why a campaign's leads are not dialed at `wall`; `None` when a claim would look at some.
    pub fn why_idle(&self, campaign: CampaignId, wall: WallTime) -> Option<Shortage> {
        match self.dialed_by(campaign) {
            Ok(rules) => self.open_groups(campaign, rules, wall).err(),
            Err(shortage) => Some(shortage),
        }
    }

    /// The sets of zones whose windows are open, of those with due leads.
    fn open_groups(
        &self,
        campaign: CampaignId,
        rules: Rules,
        wall: WallTime,
    ) -> Result<Vec<u16>, Shortage> {
        let mut open = Vec::new();
        let mut opens: Option<WallTime> = None;
        let mut closed = false;
        let due = self.book.campaign(campaign).into_iter();
        for zones in due.flat_map(|book| book.due.keys().copied()) {
            match rules.window(&self.book.zone_sets[usize::from(zones)], wall) {
                Gate::Open => open.push(zones),
                Gate::Until(at) => {
                    closed = true;
                    opens = Some(opens.map_or(at, |first| first.min(at)));
                }
                Gate::Shut => closed = true,
            }
        }
        match (open.is_empty(), closed) {
            (true, true) => Err(Shortage::WindowClosed { opens }),
            (true, false) => Err(Shortage::NothingDue),
            _ => Ok(open),
        }
    }

    /// Gives up to `n` due leads to a session, and tells them where somebody hears it. Looks at no more
    /// than 4n + 1000 of them (8n + 1000 where it chooses); those that may not be dialed yet are put off, so the next claim does not
    /// meet them again.
    fn pick(
        &mut self,
        asked: &Asked,
        rules: Rules,
        chances: Option<&Chances>,
        heard: bool,
    ) -> (Vec<LeasedLead>, Option<Shortage>) {
        let Asked {
            session,
            campaign,
            n,
            ..
        } = *asked;
        let groups = match self.open_groups(campaign, rules, self.clock()) {
            Ok(groups) => groups,
            Err(shortage) => return (Vec::new(), Some(shortage)),
        };
        let verdicts = self.look_through(campaign, &groups, n as usize, rules, chances);
        let mut leads = Vec::with_capacity(if heard { n as usize } else { 0 });
        let (mut leased, mut set_aside) = (0, 0);
        for (lead, verdict) in verdicts {
            match verdict {
                Verdict::Lease => {
                    let lease = self.lease(lead, session, leased);
                    leased += 1;
                    if heard {
                        leads.push(self.leased_lead(lead, &lease));
                    }
                }
                Verdict::Rest(until) => {
                    set_aside += 1;
                    self.book.change(lead, |row| row.due = until);
                }
                Verdict::Pass => {
                    let now = self.clock();
                    self.book.change(lead, |row| row.due = now);
                }
            }
        }
        let shortage = (leased < n).then_some(match set_aside {
            0 => Shortage::NothingDue,
            leads => Shortage::SetAside { leads },
        });
        (leads, shortage)
    }

    /// Due leads of the open groups in their order, with what to do about each.
    fn look_through(
        &self,
        id: CampaignId,
        groups: &[u16],
        n: usize,
        rules: Rules,
        chances: Option<&Chances>,
    ) -> Vec<(LeadSlot, Verdict)> {
        let (Some(book), Some(campaign)) = (self.book.campaign(id), self.campaigns.get(&id)) else {
            return Vec::new();
        };
        let mut choice = Choice::new(n, chances.is_some());
        let looks = choice.width() + 1000;
        let mut queues: Vec<_> = groups.iter().map(|zones| book.due[zones].iter()).collect();
        let mut heads: BinaryHeap<Reverse<(DueKey, usize)>> = (queues.iter_mut().enumerate())
            .filter_map(|(place, queue)| Some(Reverse((*queue.next()?, place))))
            .collect();
        let mut verdicts = Vec::with_capacity(n);
        while let Some(Reverse((key, place))) = heads.pop() {
            if verdicts.len() + choice.len() >= looks {
                break;
            }
            let lead = key.lead();
            let class = self.book.class(lead);
            if choice.is_full(class) {
                break;
            }
            if let Some(next) = queues[place].next() {
                heads.push(Reverse((*next, place)));
            }
            match self.verdict(lead, campaign, rules) {
                Verdict::Lease => choice.meet(lead, class),
                rest => verdicts.push((lead, rest)),
            }
        }
        verdicts.extend(self.chosen(choice, chances));
        verdicts
    }

    /// Who of those that may be leased is: where there is a choice, the best of the lowest priority.
    fn chosen(&self, choice: Choice, chances: Option<&Chances>) -> Vec<(LeadSlot, Verdict)> {
        let left = choice.left();
        let Some(chances) = chances.filter(|_| choice.last.len() > left) else {
            let all = choice.sure.into_iter().chain(choice.last);
            return all.map(|lead| (lead, Verdict::Lease)).collect();
        };
        let looked = choice.last.len();
        let mut places: Vec<(Reverse<i64>, usize, LeadSlot)> = (choice.last.iter().enumerate())
            .map(|(met, lead)| {
                (
                    Reverse(self.place(*lead, chances, left, looked)),
                    met,
                    *lead,
                )
            })
            .collect();
        places.sort_unstable();
        let best = places.into_iter().enumerate().map(|(place, (.., lead))| {
            let verdict = if place < left {
                Verdict::Lease
            } else {
                Verdict::Pass
            };
            (lead, verdict)
        });
        let sure = choice.sure.into_iter().map(|lead| (lead, Verdict::Lease));
        sure.chain(best).collect()
    }

    /// A lead's place among `looked`, of which `given` are leased. One that is held out has its turn
    /// whatever its chance.
    fn place(&self, lead: LeadSlot, chances: &Chances, given: usize, looked: usize) -> i64 {
        let (row, id) = (&self.book.rows[lead as usize], self.lead_id(lead));
        if held_out(id, limits::HELD_OUT_PERMILLE) {
            return match held_out_turn(id, self.applied, given, looked) {
                true => i64::MAX,
                false => i64::MIN,
            };
        }
        let zones = &self.book.zone_sets[usize::from(row.zones)];
        let local = (zones.first()).and_then(|zone| compliance::local_time(*zone, self.clock()));
        chances.place(row.list, row.attempts, local.map(|local| local.hour))
    }

    /// Whether the attempt limits of the lead and, above all, of its number allow one more.
    fn verdict(&self, lead: LeadSlot, campaign: &Campaign, rules: Rules) -> Verdict {
        let row = &self.book.rows[lead as usize];
        let number = &self.book.numbers[row.number as usize];
        if number.live != NONE {
            return Verdict::Rest(self.clock() + limits::BUSY_NUMBER_REST);
        }
        if row.attempts >= campaign.attempts_max {
            return Verdict::Rest(self.clock() + EXHAUSTED_REST);
        }
        let abandoned = self.book.abandoned.get(&row.number).copied().unwrap_or(0);
        match rules.attempts(&number.history, abandoned, self.clock()) {
            Gate::Open => Verdict::Lease,
            // Never before now, or the next claim would meet it again.
            Gate::Until(at) => Verdict::Rest(at.max(self.clock() + Duration::from_secs(1))),
            Gate::Shut => Verdict::Rest(self.clock() + EXHAUSTED_REST),
        }
    }

    /// Leases a lead and reserves one attempt.
    fn lease(&mut self, lead: LeadSlot, session: SessionId, place: u32) -> Lease {
        self.book.number_of(lead).live = lead;
        self.book.change(lead, |row| {
            row.attempts = row.attempts.saturating_add(1);
            row.state = LeadState::Leased;
        });
        let lease = Lease {
            attempt: AttemptId::new(self.region, self.applied, place),
            session,
            claimed_at: self.clock(),
            doubt: None,
        };
        self.leases.insert(lead, lease.clone());
        lease
    }

    /// What a session holds, by lead.
    pub(super) fn leases_of(&self, session: SessionId) -> impl Iterator<Item = (LeadSlot, &Lease)> {
        let leads = self.leases.of(session).into_iter();
        leads.filter_map(|lead| Some((lead, self.leases.get(lead)?)))
    }

    /// A leased lead as its holder is told.
    pub(super) fn leased_lead(&self, lead: LeadSlot, lease: &Lease) -> LeasedLead {
        let row = &self.book.rows[lead as usize];
        LeasedLead {
            lead: self.lead_id(lead),
            attempt: lease.attempt,
            session: lease.session,
            campaign: row.campaign,
            list: row.list,
            number: self.book.numbers[row.number as usize].number,
            zones: self.book.zone_sets[usize::from(row.zones)].clone(),
            attempt_count: row.attempts,
            profile: self.book.profile(lead),
        }
    }
}
