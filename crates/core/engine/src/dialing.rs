//! Dialing one line: the permit's last word, the caller ID with its trunk, the INVITE; and the same
//! once more where a carrier failed before anything rang.

use crate::{
    Engine, Entry, Observed, Output, Side, TimerName,
    callers::Called,
    health::{DOUBT, PATIENCE},
    legs::{Leg, Line, Owner, Progress},
    targets::{Blame, Tried},
};
use bytes::Bytes;
use call::{DialFacts, Failure, LocalCause};
use domain::{
    AttemptId, CallRecord, CallerId, Campaign, CampaignState, Disposition, LegId, Now, Permission,
    PhoneNumber, Presence, Trunk, TrunkId, status::TrunkTrouble,
};
use media::MediaCommand;
use permit::Grant;
use sip::{CallHandle, sdp::LocalMedia};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Where an attempt that failed for certain is not tried again.
#[derive(Clone, Copy, Debug)]
enum Spared {
    /// On the whole trunk: the next one is asked.
    Trunk(TrunkId),
    /// At these addresses: what else the trunk's name leads to is asked, or another trunk.
    Targets(Tried),
}

/// What an INVITE is made of.
struct Placed {
    to: SocketAddr,
    caller: CallerId,
    presence: Presence,
    trunk: Trunk,
    grant: Grant,
    call: CallHandle,
    local: LocalMedia,
    pack: &'static compliance::RulePack,
}

impl Engine {
    /// The call center wants a person's leg: the last check, and in the same step the INVITE.
    pub(crate) fn dial_person(
        &mut self,
        now: Now,
        leg: LegId,
        attempt: AttemptId,
        number: PhoneNumber,
    ) {
        match self.dial_first(now, leg, attempt, number) {
            Ok(facts) => self.tell_calls(now, call::Input::Dialed { attempt, facts }),
            Err(rule) => {
                *self.refused.entry(rule).or_default() += 1;
                self.observe(Observed::Refused { rule });
                self.tell_calls(now, call::Input::NotDialed { attempt });
            }
        }
    }

    fn dial_first(
        &mut self,
        now: Now,
        leg: LegId,
        attempt: AttemptId,
        number: PhoneNumber,
    ) -> Result<DialFacts, &'static str> {
        let campaign = self.campaign_of(attempt)?;
        let port = self.ports.take(now.monotonic).ok_or("no_media_port")?;
        let placed = match self.place(now, attempt, number, &campaign, port.number(), None) {
            Ok(placed) => placed,
            Err(rule) => {
                self.ports.give_back(now.monotonic, port);
                return Err(rule);
            }
        };
        if let Some(pace) = self.paces.get_mut(&campaign.id) {
            pace.rate.note(now.monotonic);
            pace.begun.insert(attempt, now.monotonic);
        }
        self.count_attempt(campaign.id);
        let facts = self.write_down(now, attempt, &placed);
        self.open_leg(leg, port, &placed.local);
        let listened = self.facts.screening(campaign.id).is_some();
        if listened {
            let answered = false;
            self.media(MediaCommand::Listen { leg, answered });
        }
        let leg_of = Leg {
            owner: Owner::Person {
                attempt,
                trunk: placed.trunk.id,
            },
            line: Line::Sip {
                call: placed.call,
                local: placed.local,
            },
            listened,
            heard: true,
            answered: false,
            ended: false,
            closing: false,
            message: None,
            progress: Progress {
                sent_at: now.monotonic,
                to: Some(placed.to),
                ..Progress::default()
            },
        };
        self.legs.insert(leg, leg_of);
        self.await_word(now, attempt, DOUBT);
        self.drain_ua(now, Side::Trunks);
        Ok(facts)
    }

    /// Tries a person's leg at another address of its trunk, or on another trunk: within the same
    /// attempt and after the same last check. At most so many addresses, and only one other trunk. Its
    /// INVITE must be over for certain. False when it stays as it is.
    fn dial_again(&mut self, now: Now, leg: LegId) -> bool {
        let Some(found) = self.legs.get(leg).filter(|l| !l.ended && !l.answered) else {
            return false;
        };
        let Owner::Person { attempt, trunk } = found.owner else {
            return false;
        };
        let progress = found.progress;
        if progress.rang || !self.calls.may_dial_again(attempt) {
            return false;
        }
        let Some(spared) = self.spared(now, trunk, &progress) else {
            return false;
        };
        let Some(port) = found.local().map(|local| local.address.port()) else {
            return false;
        };
        let failed = trunk;
        let Some(number) = self.calls.lease(attempt).map(|lease| lease.number) else {
            return false;
        };
        let placed = self.campaign_of(attempt).and_then(|campaign| {
            if campaign.state != CampaignState::Running {
                return Err("campaign_not_running");
            }
            self.place(now, attempt, number, &campaign, port, Some(spared))
        });
        // Refused now: the first failure is the attempt's end.
        let Ok(placed) = placed else {
            return false;
        };
        let facts = self.write_down(now, attempt, &placed);
        let moved = placed.trunk.id != failed;
        let progress = Progress {
            sent_at: now.monotonic,
            before: moved.then_some(failed).or(progress.before),
            to: Some(placed.to),
            tried: progress
                .to
                .map_or(progress.tried, |to| progress.tried.and(to)),
            ..Progress::default()
        };
        (self.legs).move_to(leg, placed.trunk.id, placed.call, placed.local, progress);
        if let Some(way) = self.ways.get_mut(&failed) {
            way.health.failed_over += 1;
        }
        self.observe(Observed::FailedOver { trunk: failed });
        self.await_word(now, attempt, DOUBT);
        self.drain_ua(now, Side::Trunks);
        self.tell_calls(now, call::Input::Dialed { attempt, facts });
        true
    }

    /// What is not asked again after a failure; none where the attempt is at its end.
    fn spared(&self, now: Now, trunk: TrunkId, progress: &Progress) -> Option<Spared> {
        let tried = progress
            .to
            .map_or(progress.tried, |to| progress.tried.and(to));
        let way = self.ways.get(&trunk);
        let another = way.is_some_and(|way| way.targets.another(now.monotonic, tried));
        match progress.before {
            _ if another && !tried.is_full() => Some(Spared::Targets(tried)),
            None => Some(Spared::Trunk(trunk)),
            Some(_) => None,
        }
    }

    fn campaign_of(&self, attempt: AttemptId) -> Result<Arc<Campaign>, &'static str> {
        let lease = self
            .calls
            .lease(attempt)
            .expect("the call center asks for live attempts only");
        let campaign = self.facts.campaigns.get(&lease.campaign);
        campaign.map(Arc::clone).ok_or("unknown_campaign")
    }

    /// The last check and, in the same step, the INVITE. `Err` is the rule that said no; nothing left.
    fn place(
        &mut self,
        now: Now,
        attempt: AttemptId,
        number: PhoneNumber,
        campaign: &Campaign,
        port: u16,
        spared: Option<Spared>,
    ) -> Result<Placed, &'static str> {
        let pack = compliance::RulePack::by_name(&campaign.rule_pack).ok_or("unknown_rule_pack")?;
        let lease = self
            .calls
            .lease(attempt)
            .expect("the call center asks for live attempts only");
        let (session, region, zones) = (lease.session, lease.lead.region(), lease.zones.clone());
        let (except, not_to) = match spared {
            Some(Spared::Trunk(trunk)) => (Some(trunk), Tried::default()),
            Some(Spared::Targets(tried)) => (None, tried),
            None => (None, Tried::default()),
        };
        let called = Called {
            attempt,
            number,
            campaign,
        };
        let (caller, presence) = self
            .choose_caller(now, &called, except, spared.is_some())
            .ok_or("no_caller_id")?;
        let trunk = self
            .facts
            .trunks
            .get(&caller.trunk)
            .cloned()
            .ok_or("no_trunk")?;
        let draws = &mut self.target_draws;
        let to = (self.ways.get(&trunk.id))
            .and_then(|way| way.targets.pick(now.monotonic, not_to, draws));
        let found = to.and_then(|to| Some((to, self.trunk_flow(&trunk, to)?)));
        let (to, flow) = found.ok_or("no_trunk")?;
        let asked = permit::Attempt {
            attempt,
            session,
            region,
            campaign: campaign.id,
            number,
            trunk: trunk.id,
            caller_id: &caller,
            consent_required: pack.consent.required,
            registry_age_max: pack.registry_age_max,
            registry_country: pack.registry_country,
            rule_pack_version: 0,
        };
        let open = || compliance::may_dial_at(pack, &zones, now.wall).is_ok();
        let grant = (self.permit.check(now, &asked, open)).map_err(|denial| denial.rule())?;
        let Ok(identity) = self.vouch(now, trunk.id, &caller, number) else {
            self.permit.unsent(&grant);
            return Err("unsigned");
        };
        let Ok(crypto) = self.session_keys(self.config.srtp.of(&trunk), flow.transport) else {
            self.permit.unsent(&grant);
            return Err("unsecured");
        };
        let local = LocalMedia {
            crypto,
            ..self.local_media(port, trunk.codecs.clone())
        };
        let way_there = (&trunk, flow);
        let mut invite = self.person_invite(way_there, &caller, number, &local, campaign, &grant);
        invite.headers.extend(identity);
        let Ok(call) = self.trunk_ua.invite(now, invite) else {
            self.permit.unsent(&grant);
            return Err("sip_full");
        };
        if let Some(way) = self.ways.get_mut(&trunk.id) {
            way.rate.take(now.monotonic);
            way.health.dialed(attempt);
            way.attempts += 1;
        }
        Ok(Placed {
            to,
            caller,
            presence,
            trunk,
            grant,
            call,
            local,
            pack,
        })
    }

    /// Why the INVITE may leave goes into the audit chain and the journal before it does.
    fn write_down(&mut self, now: Now, attempt: AttemptId, placed: &Placed) -> DialFacts {
        let zones = (self.calls.lease(attempt)).map_or_else(Vec::new, |lease| lease.zones.clone());
        let grant = &placed.grant;
        let sip_call_id = self.trunk_ua.call_id(placed.call).unwrap_or_default();
        let facts = DialFacts {
            invited_at: now.wall,
            caller_id: Some(placed.caller.number),
            trunk: Some(placed.trunk.id),
            sip_call_id: sip_call_id.to_owned(),
            rule_pack: placed.pack.to_string(),
            dnc_index: grant.dnc_index,
            dnc_base: grant.dnc_base,
            consent: grant.consent,
            presence: Some(placed.presence),
            for_city: None,
            permission: Some(Permission {
                sequence: self.audit.sequence + 1,
                zones,
                valid_for_ms: u32::try_from(grant.valid_until.since(now.monotonic).as_millis())
                    .unwrap_or(u32::MAX),
            }),
        };
        let record = self.unknown_end(now, attempt, &facts);
        let line = Bytes::from(self.audit.seal(&record, &self.config.audit_numbers));
        self.output(Output::Audit(line));
        self.output(Output::Note(Entry::Dialing(Box::new(record))));
        self.grants.insert(attempt, *grant);
        facts
    }

    /// The record of an attempt whose end a crash would hide.
    pub(crate) fn unknown_end(
        &self,
        now: Now,
        attempt: AttemptId,
        facts: &DialFacts,
    ) -> CallRecord {
        let lease = self
            .calls
            .lease(attempt)
            .expect("the call center asks for live attempts only");
        CallRecord {
            attempt,
            lead: lease.lead,
            campaign: lease.campaign,
            list: lease.list,
            region: lease.lead.region(),
            node: self.config.member,
            session: lease.session,
            number: lease.number,
            caller_id: facts.caller_id,
            trunk: facts.trunk,
            sip_call_id: facts.sip_call_id.clone(),
            agent: None,
            invited_at: Some(now.wall),
            ringing_at: None,
            answered_at: None,
            bridged_at: None,
            ended_at: now.wall,
            closed_at: now.wall,
            disposition: Disposition::Unknown,
            disposition_name: Disposition::Unknown.name().to_owned(),
            sip_status: 0,
            q850: 0,
            ended_by: String::new(),
            carrier_leg: None,
            agent_leg: None,
            rule_pack: facts.rule_pack.clone(),
            dnc_index: facts.dnc_index,
            permission: facts.permission.clone(),
            dnc_base: facts.dnc_base,
            consent: facts.consent,
            note: String::new(),
            listened: None,
            recording: None,
            call_back: None,
            presence: facts.presence,
            voice_drop: None,
            called_for: facts.for_city.as_ref().map(|city| city.node),
            holds: None,
        }
    }

    // ---- How it goes.

    fn await_word(&mut self, now: Now, attempt: AttemptId, span: Duration) {
        let name = TimerName::Unheard(attempt);
        self.timers.arm(name, now.monotonic + span);
    }

    /// An INVITE has had no word for too long. That tells of its trunk; the attempt itself stays with it:
    /// silence does not prove that nobody's phone rings.
    pub(crate) fn unheard(&mut self, now: Now, attempt: AttemptId) {
        let Some(leg) = self.legs.of_attempt(attempt) else {
            return;
        };
        let Some(found) = self.legs.get_mut(leg).filter(|l| !l.progress.heard) else {
            return;
        };
        let Owner::Person { trunk, .. } = found.owner else {
            return;
        };
        let (sent, to) = (found.progress.sent_at, found.progress.to);
        let first = !std::mem::replace(&mut found.progress.doubted, true);
        let Some(way) = self.ways.get_mut(&trunk) else {
            return;
        };
        let doubted = |to| way.targets.doubted(now.monotonic, to, sent);
        let blame = to.map_or(Blame::Trunk, doubted);
        match blame {
            Blame::Target => way.health.undecided(attempt),
            Blame::Trunk if first => way.health.doubted(now.monotonic, attempt, sent),
            Blame::Trunk => way.health.given_up(now.monotonic, sent),
        }
        if first {
            self.await_word(now, attempt, PATIENCE - DOUBT);
        }
        self.watch_first(now, trunk);
        self.tell_health(now, trunk);
    }

    /// Something came from a carrier's address: a trunk that was left for want of any word is there again,
    /// whatever call it was about.
    pub(crate) fn word_from(&mut self, now: Now, flow: sip::Flow) {
        for way in self.ways.values_mut() {
            if way.targets.are_several() {
                way.targets.heard(now.monotonic, flow.remote);
            }
        }
        let mute = self.ways.iter().filter(|(_, way)| way.health.is_mute());
        let of_flow = mute.filter(|(_, way)| way.targets.contain(flow.remote));
        let back: Vec<TrunkId> = of_flow.map(|(id, _)| *id).collect();
        for id in back {
            if let Some(way) = self.ways.get_mut(&id) {
                way.health.heard(now.monotonic);
            }
            self.tell_health(now, id);
        }
    }

    /// A trunk said something of a person's leg; `rang` tells that it was more than 100.
    pub(crate) fn word_of_trunk(&mut self, now: Now, leg: LegId, rang: bool) {
        let Some(found) = self.legs.get_mut(leg) else {
            return;
        };
        let Owner::Person { attempt, trunk } = found.owner else {
            return;
        };
        let before = found.progress;
        found.progress.heard = true;
        found.progress.rang |= rang;
        if !before.heard {
            self.timers.disarm(&TimerName::Unheard(attempt));
        }
        if let Some(way) = self.ways.get_mut(&trunk) {
            way.health.heard(now.monotonic);
            if rang && !before.rang {
                way.health.worked(attempt);
                if let Some(to) = before.to {
                    way.targets.worked(to);
                }
            }
            self.tell_health(now, trunk);
        }
    }

    /// A person's leg was answered.
    pub(crate) fn trunk_answered(&mut self, now: Now, leg: LegId) {
        self.word_of_trunk(now, leg, true);
        let owner = self.legs.get(leg).map(|l| l.owner);
        if let Some(Owner::Person { trunk, .. }) = owner
            && let Some(way) = self.ways.get_mut(&trunk)
        {
            way.answered += 1;
            way.health.seized(true);
        }
    }

    /// A person's leg failed: what that says of its trunk; and whether it is tried on another one.
    pub(crate) fn trunk_failed(
        &mut self,
        now: Now,
        leg: LegId,
        failure: Failure,
        local: Option<sip::LocalCause>,
        retry_after: Option<Duration>,
    ) -> bool {
        let Some(found) = self.legs.get(leg).filter(|l| !l.ended) else {
            return false;
        };
        let Owner::Person { attempt, trunk } = found.owner else {
            return false;
        };
        let (rang, answered, to) = (found.progress.rang, found.answered, found.progress.to);
        self.timers.disarm(&TimerName::Unheard(attempt));
        let on_carrier = !answered && call::failure::is_carriers(failure, rang);
        let judged = match local {
            // Neither says anything of the carrier.
            Some(
                sip::LocalCause::Expired | sip::LocalCause::Overload | sip::LocalCause::Congested,
            ) => Judged::Nothing,
            _ if on_carrier => Judged::Failed,
            _ => Judged::of(call::failure::disposition(failure, rang)),
        };
        if let Some(way) = self.ways.get_mut(&trunk) {
            let health = &mut way.health;
            if local.is_none() {
                health.heard(now.monotonic);
            }
            match judged {
                Judged::Nothing => health.undecided(attempt),
                Judged::Failed => {
                    let asked = retry_after.filter(|_| failure.status == 503);
                    let trouble = trouble(failure);
                    let certain = asked.is_some() || trouble == TrunkTrouble::Unreachable;
                    let failed = |to| way.targets.failed(now.monotonic, to, certain);
                    match to.map_or(Blame::Trunk, failed) {
                        // Its name leads elsewhere too.
                        Blame::Target => health.undecided(attempt),
                        Blame::Trunk => health.failed(now.monotonic, attempt, trouble, asked),
                    }
                }
                Judged::Worked => {
                    health.worked(attempt);
                    health.seized(false);
                    if let Some(to) = to {
                        way.targets.worked(to);
                    }
                }
            }
            self.judge_answers(now, trunk);
            self.watch_first(now, trunk);
            self.tell_health(now, trunk);
        }
        on_carrier && is_dead(local) && self.dial_again(now, leg)
    }

    /// A person's leg ended by our own wish.
    pub(crate) fn trunk_undecided(&mut self, now: Now, leg: LegId) {
        let Some(Owner::Person { attempt, trunk }) = self.legs.get(leg).map(|l| l.owner) else {
            return;
        };
        self.timers.disarm(&TimerName::Unheard(attempt));
        if let Some(way) = self.ways.get_mut(&trunk) {
            way.health.undecided(attempt);
            self.tell_health(now, trunk);
        }
    }

    /// A trunk whose calls are answered no more rests, while another one's still are.
    fn judge_answers(&mut self, now: Now, trunk: TrunkId) {
        let fell = (self.ways.get(&trunk)).is_some_and(|way| way.health.fell());
        let other =
            |(id, way): (&TrunkId, &crate::callers::Way)| *id != trunk && way.health.holds();
        if fell
            && self.ways.iter().any(other)
            && let Some(way) = self.ways.get_mut(&trunk)
        {
            way.health.rest_unanswered(now.monotonic);
        }
    }
}

/// What an end says of the trunk.
#[derive(Clone, Copy, Debug)]
enum Judged {
    Nothing,
    Failed,
    Worked,
}

impl Judged {
    fn of(disposition: Disposition) -> Self {
        match disposition {
            Disposition::CarrierFailure | Disposition::TrunkFailure => Self::Nothing,
            _ => Self::Worked,
        }
    }
}

/// Whether an INVITE that ended so is certainly over: a final answer came, or it reached nobody. After
/// silence, or a stream that broke, a phone may still ring: another INVITE would be a second live
/// attempt to the same person.
const fn is_dead(local: Option<sip::LocalCause>) -> bool {
    match local {
        None | Some(sip::LocalCause::Unsent | sip::LocalCause::Congested) => true,
        Some(
            sip::LocalCause::Timeout
            | sip::LocalCause::Transport
            | sip::LocalCause::Expired
            | sip::LocalCause::Overload,
        ) => false,
    }
}

/// What a failure on the carrier's side says of the trunk.
fn trouble(failure: Failure) -> TrunkTrouble {
    match failure.local {
        Some(LocalCause::Unreachable) => TrunkTrouble::Unreachable,
        Some(LocalCause::TimedOut) => TrunkTrouble::Silent,
        _ => TrunkTrouble::Errors,
    }
}
