//! Launching lines: pacing's wish, leads, and lines that are given up.

use crate::{
    Engine, Entry, Observed, Output, TimerName,
    escrow::at_risk,
    levers::{Held, ShiftClock},
};
use call::{AttemptState, CancelReason};
use domain::{
    AttemptId, Campaign, CampaignId, CampaignState, Instant, LeasedLead, Now, PacingMode, RegionId,
    limits,
};
use pacing::{Budget, Controller, Limits, Look, View, hopper, levers};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often pacing looks when nothing else happens.
const PACE: Duration = Duration::from_millis(50);
/// The least time between two looks: what is launched by one look shares its writes.
const PACE_GAP: Duration = Duration::from_millis(10);

/// One campaign's pacing.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) controller: Box<dyn Controller>,
    pub(crate) rate: hopper::DialRate,
    /// The campaign as it is dialed while nobody may be abandoned: each line with an agent of its
    /// own.
    pub(crate) one_to_one: Arc<Campaign>,
    /// When the lines that are out, and not yet answered by a person, were begun.
    pub(crate) begun: BTreeMap<AttemptId, Instant>,
    pub(crate) shift: ShiftClock,
    pub(crate) held: Held,
}

impl Pace {
    pub(crate) fn of(campaign: &Arc<Campaign>) -> Self {
        Self {
            controller: pacing::controller(campaign.pacing, campaign.dial_level),
            rate: hopper::DialRate::default(),
            one_to_one: reserving(campaign),
            begun: BTreeMap::new(),
            shift: ShiftClock::default(),
            held: Held::default(),
        }
    }
}

/// The campaign with an agent reserved for each line.
fn reserving(campaign: &Arc<Campaign>) -> Arc<Campaign> {
    match campaign.pacing {
        PacingMode::Progressive => Arc::clone(campaign),
        PacingMode::Ratio | PacingMode::Predictive => Arc::new(Campaign {
            pacing: PacingMode::Progressive,
            ..Campaign::clone(campaign)
        }),
    }
}

impl Engine {
    /// A campaign appeared or changed.
    pub(crate) fn campaign_changed(&mut self, now: Now, campaign: Arc<Campaign>) {
        let id = campaign.id;
        let asked = self.facts.consent_required(id);
        let known = self.facts.campaigns.insert(id, Arc::clone(&campaign));
        let same = known.is_some_and(|old| old.pacing == campaign.pacing);
        match self.paces.get_mut(&id) {
            Some(pace) if same => {
                pace.controller.set_level(campaign.dial_level);
                pace.one_to_one = reserving(&campaign);
            }
            _ => {
                let mut pace = Pace::of(&campaign);
                if let Some(old) = self.paces.remove(&id) {
                    pace.follow(old);
                }
                self.paces.insert(id, pace);
            }
        }
        if campaign.state != CampaignState::Running {
            if let Some(pace) = self.paces.get_mut(&id) {
                pace.shift = ShiftClock::default();
            }
            let leads = self.hoppers.take_if(|lead| lead.campaign == id);
            self.give_back(leads);
        }
        // Another rule pack, which asks for it.
        if self.facts.consent_required(id) && !asked {
            self.forbid_where(now, |lead| lead.campaign == id);
        }
        self.hoppers.wake();
        self.tell_calls(now, call::Input::Campaign(campaign));
        self.escrow_soon(now);
        self.pace_soon(now);
    }

    /// Puts a controller in the place of a running campaign's own, until its pacing mode
    /// changes: for rules that are tried out. False when there is no such campaign.
    pub fn pace_by(&mut self, campaign: CampaignId, controller: Box<dyn Controller>) -> bool {
        let pace = self.paces.get_mut(&campaign);
        let known = pace.is_some();
        if let Some(pace) = pace {
            pace.controller = controller;
        }
        known
    }

    /// Something changed that pacing should know of.
    pub(crate) fn pace_soon(&mut self, now: Now) {
        let next = self.paced.map_or(now.monotonic, |last| last + PACE_GAP);
        self.timers.arm(TimerName::Pace, next.max(now.monotonic));
    }

    /// Looks at every running campaign: asks for leads, launches lines.
    pub(crate) fn pace(&mut self, now: Now) {
        if self.draining {
            return;
        }
        self.paced = Some(now.monotonic);
        self.timers.arm(TimerName::Pace, now.monotonic + PACE);
        let running: Vec<Arc<Campaign>> = (self.facts.campaigns.values())
            .filter(|campaign| campaign.state == CampaignState::Running)
            .cloned()
            .collect();
        for campaign in running {
            self.pace_campaign(now, &campaign);
        }
    }

    fn pace_campaign(&mut self, now: Now, campaign: &Arc<Campaign>) {
        // What rings is looked at in any case.
        let view = self.give_up_risky(now, campaign);
        // Nobody may be dialed: leads wait in their hoppers.
        if !self.permit.dnc().is_whole() || self.base_is_too_old(now, campaign) {
            self.note_undialable(campaign, &view);
            return;
        }
        let (shift, level) = self.ramp(now, campaign, &view);
        let own_levers = self.facts.levers(campaign.id);
        let (channels, calls) = self.room(now);
        let limits = Limits {
            channels,
            calls,
            leads: u32::try_from(self.hoppers.of(campaign.id)).unwrap_or(u32::MAX),
        };
        let Some(pace) = self.paces.get_mut(&campaign.id) else {
            return;
        };
        let mut wish = pace.controller.lines(now.monotonic, &view);
        let look = Look {
            view: &view,
            levers: &own_levers,
            shift,
            level: (campaign.dial_level, level),
            binding: pace.controller.binding(),
            wish,
            limits,
        };
        pace.note_held(campaign.id, &look);
        let dials = pace.rate.dials(now.monotonic);
        // Without a share, or with none of it left, each line has an agent of its own, whatever the
        // controller would like.
        let dialed = if view.may_abandon() == 0 {
            wish = wish.min(view.one_to_one());
            Arc::clone(&pace.one_to_one)
        } else if pace.controller.keeps_agents() {
            Arc::clone(&pace.one_to_one)
        } else {
            Arc::clone(campaign)
        };
        let wish = levers::hold(campaign.dial_level, level, &view, wish);
        self.refill(now, campaign, &view, wish, dials);
        for _ in 0..limits.hold(wish) {
            if !self.launch(now, &dialed) {
                break;
            }
        }
    }

    /// Cancels lines that the campaign's pacing would rather not have answered any more; what is left.
    fn give_up_risky(&mut self, now: Now, campaign: &Arc<Campaign>) -> View {
        let pack = compliance::RulePack::by_name(&campaign.rule_pack);
        let least = pack.map_or(call::limits::MINIMUM_RING, |pack| {
            pack.ring_min.max(call::limits::MINIMUM_RING)
        });
        loop {
            let mut seen = self.calls.pacing_view(campaign.id, now);
            let mut view = view_of(&mut seen, least);
            let beside = self.risked_beside(now, campaign.id);
            let Some(pace) = self.paces.get_mut(&campaign.id) else {
                return view;
            };
            // Whose lines take the agents first is not known: what is launched here puts the lines
            // of others at risk, so the least share of them all bounds it.
            let share = |campaign| {
                let account = self.facts.account(campaign);
                self.escrow.left(now.monotonic, account)
            };
            let others = seen
                .elsewhere
                .iter()
                .map(|other| share(*other).unwrap_or(0));
            let left = share(campaign.id).map(|own| others.fold(own, u32::min));
            // Lines of campaigns that spend the same share could spend it first.
            let left = left.map(|left| left.saturating_sub(beside));
            view.budget = budget(pack, left);
            // Nobody tells beforehand who will go on a break.
            levers::tell(&self.facts.levers(campaign.id), &mut view, 0);
            let Some(place) = pace.controller.give_up(now.monotonic, &view) else {
                return view;
            };
            let attempt = seen.lines[place].attempt;
            self.cancel(now, attempt, CancelReason::TooRisky);
            let still = self.calls.pacing_view(campaign.id, now).lines;
            if still.iter().any(|line| line.attempt == attempt) {
                // The call center would not: it is asked again at the next look.
                return view;
            }
        }
    }

    /// Persons whom the lines could let down at worst of those campaigns that count their abandonments
    /// with this one.
    fn risked_beside(&self, now: Now, campaign: CampaignId) -> u32 {
        let others = self.facts.counted_with(campaign);
        let each = others.map(|other| at_risk(&self.calls.pacing_view(other, now)));
        each.fold(0, u32::saturating_add)
    }

    /// Asks the regions for leads before the hopper runs dry.
    fn refill(&mut self, now: Now, campaign: &Arc<Campaign>, view: &View, wish: u32, dials: u32) {
        if self.backlog >= limits::OUTBOX {
            return;
        }
        let served = self.config.regions.iter().chain(&self.helped);
        let regions: Vec<RegionId> = (served.copied())
            .filter(|region| campaign.regions.is_empty() || campaign.regions.contains(region))
            .filter(|region| self.permit.may_dial(now.monotonic, *region))
            .collect();
        let held = self.hoppers.len() + self.calls.attempts_len();
        let wanted = hopper::wanted(&hopper::View {
            leads: u32::try_from(self.hoppers.of(campaign.id)).unwrap_or(u32::MAX),
            claiming: 0,
            leased: u32::try_from(held).unwrap_or(u32::MAX),
            lines: campaign.dial_level.lines(view.agents()).max(wish),
            dials,
            agents: view.agents(),
        });
        if wanted == 0 || regions.is_empty() {
            return;
        }
        let share = wanted.div_ceil(u32::try_from(regions.len()).unwrap_or(1));
        for region in regions {
            let Some(session) = self
                .permit
                .session(region)
                .map(permit::SessionLease::session)
            else {
                continue;
            };
            if self.hoppers.ask(now.monotonic, region, campaign.id) {
                let chances = self.chances(campaign.id, region);
                self.output(Output::Claim {
                    region,
                    session,
                    campaign: campaign.id,
                    n: share,
                    chances,
                });
            }
        }
    }

    /// Leads came.
    pub(crate) fn claimed(
        &mut self,
        now: Now,
        region: RegionId,
        campaign: CampaignId,
        leads: Vec<LeasedLead>,
        rest: Option<Duration>,
    ) {
        self.hoppers.answered(now.monotonic, region, campaign, rest);
        if leads.is_empty() {
            return;
        }
        let noted = leads.iter().map(|lead| (lead.attempt, lead.lead)).collect();
        self.output(Output::Note(Entry::Leased(noted)));
        let running = self
            .facts
            .campaigns
            .get(&campaign)
            .is_some_and(|c| c.state == CampaignState::Running);
        let required = self.facts.consent_required(campaign);
        let barred = self.permit.dnc().bars_each(&leads, required, now.wall);
        let (mut good, mut bad) = (Vec::with_capacity(leads.len()), Vec::new());
        for (lead, barred) in leads.into_iter().zip(barred) {
            let dialed = running
                && !self.draining
                && !barred
                && !self.permit.expired(now.monotonic, region, lead.session);
            if dialed { &mut good } else { &mut bad }.push(lead);
        }
        self.give_back(bad);
        self.hoppers.put(campaign, good);
        self.pace_soon(now);
    }

    /// Dials the next lead of a campaign. False when it is of no use to try another now.
    fn launch(&mut self, now: Now, campaign: &Arc<Campaign>) -> bool {
        let Some(lease) = self.hoppers.take(campaign.id) else {
            return false;
        };
        if self.calls.is_calling_back(lease.number) || self.asking.rings(lease.number) {
            // The person is on the line: tried after all others.
            self.hoppers.put(campaign.id, vec![lease]);
            return false;
        }
        let leg = self.next_leg();
        let attempt = lease.attempt;
        let screening = self.facts.screening(campaign.id);
        let spare = lease.clone();
        let input = call::Input::Dial {
            lease,
            campaign: Arc::clone(campaign),
            leg,
            screening,
        };
        if self.calls.handle(now, input).is_err() {
            // No agent is ready for it any more, or the node is full: the lead keeps its place.
            self.hoppers.put_back(spare);
            return false;
        }
        self.drain_calls(now);
        // `Dialed` or `NotDialed` was said while draining; a line not dialed ends the round.
        self.calls.attempt_state(attempt) == Some(AttemptState::Dialing)
    }

    /// The clock was read after the INVITE left.
    pub(crate) fn sent(&mut self, now: Now, attempt: AttemptId) {
        let Some(grant) = self.grants.remove(&attempt) else {
            return;
        };
        let (lease, campaigns) = (self.calls.lease(attempt), &self.facts.campaigns);
        let open = || {
            // An attempt that has ended meanwhile rings nowhere.
            let Some(lease) = lease else { return true };
            (campaigns.get(&lease.campaign))
                .and_then(|campaign| compliance::RulePack::by_name(&campaign.rule_pack))
                .is_some_and(|pack| compliance::may_dial_at(pack, &lease.zones, now.wall).is_ok())
        };
        if self.permit.after_send(now, &grant, open) == permit::AfterSend::Cancel {
            self.observe(Observed::SentLate);
            self.cancel(now, attempt, CancelReason::SentLate);
        }
    }

    /// Gives an unanswered attempt up; an answered one goes on.
    pub(crate) fn cancel(&mut self, now: Now, attempt: AttemptId, reason: CancelReason) {
        // Refused means answered already, or ended: both are fine.
        if self
            .calls
            .handle(now, call::Input::CancelAttempt { attempt, reason })
            .is_ok()
        {
            self.drain_calls(now);
        }
    }

    /// Validity ended: nothing unanswered may go on, and held leads are given back.
    pub(crate) fn stop_dialing(&mut self, now: Now, region: Option<RegionId>) {
        let within = |lead: &LeasedLead| region.is_none_or(|r| lead.lead.region() == r);
        // When only freshness ended, the leases stand: the leads wait in their hopper.
        if region.is_some() {
            let leads = self.hoppers.take_if(within);
            self.give_back(leads);
        }
        let attempts: Vec<AttemptId> = (self.calls.attempts())
            .map(|(attempt, ..)| attempt)
            .filter(|attempt| self.calls.lease(*attempt).is_some_and(within))
            .collect();
        for attempt in attempts {
            self.stop_retransmissions(attempt);
            self.cancel(now, attempt, CancelReason::ValidityEnded);
        }
    }

    /// No new attempts from here on.
    pub(crate) fn begin_drain(&mut self, now: Now) {
        self.draining = true;
        self.escrow.close();
        self.escrow_soon(now);
        self.timers.disarm(&TimerName::Pace);
        self.tell_learned();
        self.refuse_asked(now);
        let leads = self.hoppers.take_if(|_| true);
        self.give_back(leads);
        let attempts: Vec<AttemptId> = self.calls.attempts().map(|(attempt, ..)| attempt).collect();
        for attempt in attempts {
            self.cancel(now, attempt, CancelReason::Shutdown);
        }
    }
}

/// What the node may abandon, as its share allows; none where the share or the rules are not known.
fn budget(pack: Option<&compliance::RulePack>, share: Option<u32>) -> Option<Budget> {
    Some(Budget {
        permille: pack?.abandonment.budget_permille,
        left: i64::from(share?) * 1000,
    })
}

/// What a controller may know; lines that have rung for `least` may be given up.
fn view_of(view: &mut call::PacingView, least: Duration) -> View {
    let phase = |phase| match phase {
        call::LinePhase::Dialing => pacing::Phase::Dialing,
        call::LinePhase::Ringing => pacing::Phase::Ringing,
        call::LinePhase::Screening => pacing::Phase::Screening,
    };
    View {
        ready: view.ready,
        reserved: view.reserved,
        on_call: std::mem::take(&mut view.on_call),
        wrap_up: std::mem::take(&mut view.wrap_up),
        lines: (view.lines.iter())
            .map(|line| pacing::Line {
                phase: phase(line.phase),
                age: line.age,
                cancellable: line.phase == call::LinePhase::Ringing
                    && line.rung.is_some_and(|rung| rung >= least),
                kept: line.kept,
            })
            .collect(),
        // Who called back takes the next agent, too.
        waiting: view.waiting + view.callers,
        lines_elsewhere: view.lines_elsewhere,
        spared: 0,
        budget: None,
        // Calls do not go to another city's agents yet.
        neighbours: Vec::new(),
    }
}
