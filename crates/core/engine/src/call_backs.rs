//! Calls to the mesh's caller IDs, this node's own and those of cities whose carriers bring them here: from
//! which trunk, to which number, from whom; then the call center's.

use crate::{
    Engine, Entry, Observed, Output, Side,
    called::CalledPerson,
    legs::{Leg, Line, Owner, Progress},
    secured::NotTls,
};
use bytes::Bytes;
use call::{CallBackWish, DialFacts, Prompt};
use domain::{
    AgentId, AttemptId, CallBack, CallBackEnd, CallRecord, CallerId, CallerTold, Campaign,
    CampaignState, KnownPerson, LeadId, LeadProfile, LeasedLead, LegId, ListId, Now, OtherCity,
    PhoneNumber, SessionId, Trunk,
};
use media::{MediaCommand, PromptId};
use sip::{
    CallHandle, Flow,
    sdp::{Agreed, LocalMedia},
};
use std::{sync::Arc, time::Duration};

/// What a node does about persons who call its caller IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallBackConfig {
    /// Whether they are answered at all.
    pub enabled: bool,
    /// Whether calls to other cities' numbers are taken too, where a carrier brings them.
    pub other_cities: bool,
    /// How long a person waits for an agent.
    pub wait: Duration,
    /// What who waits hears; ringing as in the country of the number that was called where none.
    pub music: Option<PromptId>,
    /// Who called, and key 9 to opt out; the abandonment message where none, a tone without that.
    pub announcement: Option<PromptId>,
}

impl Default for CallBackConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            other_cities: true,
            wait: Duration::from_secs(60),
            music: None,
            announcement: None,
        }
    }
}

/// An INVITE from a trunk's address.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) call: CallHandle,
    pub(crate) flow: Flow,
    pub(crate) from: sip::Address,
    pub(crate) asserted: Option<Box<sip::Address>>,
    pub(crate) private: bool,
    pub(crate) to: sip::Address,
    pub(crate) request_uri: sip::Address,
    pub(crate) body: Bytes,
}

/// Who called which number.
pub(crate) struct Caller {
    trunk: Trunk,
    pub(crate) called: PhoneNumber,
    /// The city whose number that is, where it is another's.
    pub(crate) for_city: Option<OtherCity>,
    pub(crate) number: Option<PhoneNumber>,
    /// None for strangers.
    pub(crate) known: Option<KnownPerson>,
    /// The last attempt, and the agent who spoke with the person last, where this node knows.
    after: Option<AttemptId>,
    agent: Option<AgentId>,
    campaign: Arc<Campaign>,
}

/// A call that is not taken.
struct Refused {
    status: u16,
    /// For the carrier's eyes; empty where the status says all.
    why: String,
}

impl From<u16> for Refused {
    fn from(status: u16) -> Self {
        let why = String::new();
        Self { status, why }
    }
}

impl Engine {
    /// A carrier brings a call: answered and given to the call center, at once or when the mesh has said
    /// who calls; or refused with a status.
    pub(crate) fn call_came(&mut self, now: Now, came: Came) {
        match self.who_calls(&came, None) {
            Ok(caller) => {
                if let Some(came) = self.ask_who_calls(now, came, &caller) {
                    self.take_or_refuse(now, &came, Ok(caller));
                }
            }
            refused => self.take_or_refuse(now, &came, refused),
        }
        self.drain_ua(now, Side::Trunks);
    }

    /// Takes a call, or refuses it with a status.
    pub(crate) fn take_or_refuse(&mut self, now: Now, came: &Came, caller: Result<Caller, u16>) {
        let taken =
            (caller.map_err(Refused::from)).and_then(|caller| self.take_call(now, came, caller));
        if let Err(Refused { status, why }) = taken {
            let refused = self.trunk_ua.reject_for(now, came.call, status, &why);
            let _gone = refused.is_err();
            self.observe(Observed::CallBackRefused { status });
        }
    }

    fn take_call(&mut self, now: Now, came: &Came, caller: Caller) -> Result<(), Refused> {
        let offered = self.answer_offer(now, &caller.trunk, came)?;
        Ok(self.take_call_back(now, came, caller, offered)?)
    }

    /// Who calls, and for which campaign, by what this node knows itself and by what the mesh told;
    /// `Err` is the status that refuses the call.
    pub(crate) fn who_calls(&self, came: &Came, told: Option<&CallerTold>) -> Result<Caller, u16> {
        if !self.config.call_backs.enabled {
            return Err(480);
        }
        if self.draining {
            return Err(503);
        }
        let (trunk, caller_id) = self.called_number(came).ok_or(404_u16)?;
        if !trunk.enabled {
            return Err(480);
        }
        if self.legs.channels(trunk.id) >= trunk.channels {
            return Err(503);
        }
        let number = self.calling_number(came, trunk);
        let person = number.and_then(|number| self.called.get(number));
        let told_of = number.and(told).and_then(|told| told.person.clone());
        let known = person.map(CalledPerson::known).or(told_of);
        let of_person = known.as_ref().map(|person| person.campaign);
        let campaign = of_person
            .and_then(|campaign| self.facts.campaigns.get(&campaign))
            .or_else(|| self.campaign_showing(caller_id.number))
            .ok_or(480_u16)?;
        let city = told.map(|told| told.city.clone()).unwrap_or_default();
        let owner = self.facts.elsewhere(caller_id.trunk);
        Ok(Caller {
            trunk: trunk.clone(),
            called: caller_id.number,
            for_city: owner.map(|node| OtherCity { node, name: city }),
            number,
            after: person.map(|person| person.attempt),
            agent: person.and_then(|person| person.agent),
            campaign: Arc::clone(campaign),
            known,
        })
    }

    /// Which of the mesh's caller IDs is called, by a trunk of this node: one that is the trunk's own
    /// before others.
    fn called_number(&self, came: &Came) -> Option<(&Trunk, CallerId)> {
        let source = came.flow.remote.ip();
        let from_here = |trunk: &&Trunk| {
            let way = self.ways.get(&trunk.id);
            way.is_some_and(|way| way.targets.sources().any(|address| address == source))
        };
        let texts = [came.request_uri.user(), came.to.user()];
        let mut others = None;
        for trunk in self.facts.trunks.values().filter(from_here) {
            let manner = self.facts.manner(trunk.id);
            let numbers =
                (texts.iter()).flat_map(|text| manner.read_numbers(trunk.number_format, text));
            for caller_id in numbers.filter_map(|number| self.facts.caller_ids.get(&number)) {
                if caller_id.trunk == trunk.id {
                    return Some((trunk, *caller_id));
                }
                others = others.or(Some((trunk, *caller_id)));
            }
        }
        let taken = self.config.call_backs.other_cities;
        others.filter(|(_, id)| taken || self.facts.trunks.contains_key(&id.trunk))
    }

    /// The caller's number as the carrier asserts it, else as it is shown; none where it is withheld.
    /// Where it can be read in several ways, one that we called.
    fn calling_number(&self, came: &Came, trunk: &Trunk) -> Option<PhoneNumber> {
        if came.private {
            return None;
        }
        let shown = came.asserted.as_deref().unwrap_or(&came.from).user();
        let manner = self.facts.manner(trunk.id);
        let numbers = manner.read_numbers(trunk.number_format, &shown);
        let known = |number: &&PhoneNumber| self.called.get(**number).is_some();
        (numbers.iter().find(known))
            .or_else(|| numbers.first())
            .copied()
    }

    /// The campaign that showed the number last, else the first that runs and has somebody on shift here,
    /// else the first that runs.
    fn campaign_showing(&self, number: PhoneNumber) -> Option<&Arc<Campaign>> {
        let shown = self.shown_for.get(&number);
        let running = || {
            let all = self.facts.campaigns.values();
            all.filter(|campaign| campaign.state == CampaignState::Running)
        };
        (shown.and_then(|campaign| self.facts.campaigns.get(campaign)))
            .or_else(|| running().find(|campaign| self.calls.is_served(campaign.id)))
            .or_else(|| running().next())
    }

    /// A port, and what is said to the carrier's offer; without an offer we make ours.
    fn answer_offer(
        &mut self,
        now: Now,
        trunk: &Trunk,
        came: &Came,
    ) -> Result<(media::Port, LocalMedia, Bytes, Option<Agreed>), Refused> {
        let keys = self.session_keys(self.config.srtp.of(trunk), came.flow.transport);
        let crypto = keys.map_err(|_| Refused {
            status: 488,
            why: NotTls::WHY.to_owned(),
        })?;
        let port = self.ports.take(now.monotonic).ok_or(503_u16)?;
        let mut local = LocalMedia {
            crypto,
            ..self.local_media(port.number(), trunk.codecs.clone())
        };
        let offer = &came.body;
        if offer.is_empty() {
            let body = Bytes::from(local.offer());
            return Ok((port, local, body, None));
        }
        match local.answer(offer) {
            Ok((body, agreed)) => {
                if let Some(payload) = agreed.local_dtmf_payload {
                    local.dtmf_payload = payload;
                }
                Ok((port, local, Bytes::from(body), Some(agreed)))
            }
            Err(error) => {
                self.ports.give_back(now.monotonic, port);
                Err(Refused {
                    status: 488,
                    why: error.to_string(),
                })
            }
        }
    }

    fn take_call_back(
        &mut self,
        now: Now,
        came: &Came,
        caller: Caller,
        (port, local, body, agreed): (media::Port, LocalMedia, Bytes, Option<Agreed>),
    ) -> Result<(), u16> {
        let (leg, lead) = (self.next_leg(), self.calling_lead(now, &caller));
        let attempt = lead.attempt;
        let facts = DialFacts {
            invited_at: now.wall,
            caller_id: Some(caller.called),
            trunk: Some(caller.trunk.id),
            sip_call_id: (self.trunk_ua.call_id(came.call))
                .unwrap_or_default()
                .to_owned(),
            rule_pack: String::new(),
            dnc_index: 0,
            permission: None,
            dnc_base: None,
            consent: None,
            presence: None,
            for_city: caller.for_city,
        };
        let wish = CallBackWish {
            after: caller.after,
            withheld: caller.number.is_none(),
            agent: caller.agent,
            wait: self.config.call_backs.wait,
        };
        let input = call::Input::CalledBack {
            lead,
            campaign: caller.campaign,
            leg,
            facts: Box::new(facts.clone()),
            wish,
        };
        if self.calls.handle(now, input).is_err() {
            // As many wait as may, or the node is full.
            self.ports.give_back(now.monotonic, port);
            return Err(486);
        }
        if facts.for_city.is_some() {
            self.observe(Observed::CalledForOther);
        }
        let record = CallRecord {
            call_back: Some(CallBack {
                after: wish.after,
                withheld: wish.withheld,
                waited_ms: 0,
                end: CallBackEnd::Unknown,
            }),
            ..self.unknown_end(now, attempt, &facts)
        };
        self.output(Output::Note(Entry::Dialing(Box::new(record))));
        self.open_leg(leg, port, &local);
        let owner = Owner::Person {
            attempt,
            trunk: caller.trunk.id,
        };
        self.legs
            .insert(leg, called_leg(now, owner, came.call, local));
        if let Some(agreed) = &agreed {
            self.set_remote(leg, agreed, false);
        }
        // Refused only where the call ended meanwhile, which is told by itself.
        let _gone = self.trunk_ua.accept(now, came.call, body).is_err();
        self.drain_calls(now);
        Ok(())
    }

    /// The person as far as is known, and the call's own id.
    fn calling_lead(&mut self, now: Now, caller: &Caller) -> LeasedLead {
        let own = self.config.regions.first().copied().unwrap_or_default();
        let known = caller.known.clone().unwrap_or_else(|| KnownPerson {
            lead: LeadId::new(own, 0),
            list: ListId(0),
            campaign: caller.campaign.id,
            zones: Vec::new(),
            profile: LeadProfile::default(),
        });
        let region = known.lead.region();
        self.calls_back += 1;
        let id = AttemptId::call_back(region, self.config.member, now.wall, self.calls_back);
        LeasedLead {
            lead: known.lead,
            attempt: id,
            session: SessionId(0),
            campaign: caller.campaign.id,
            list: known.list,
            number: caller.number.unwrap_or(caller.called),
            zones: known.zones,
            attempt_count: 0,
            profile: known.profile,
        }
    }

    /// The carrier's answer to our own offer, in its ACK.
    pub(crate) fn offer_acknowledged(&mut self, now: Now, call: CallHandle, answer: &[u8]) {
        let Some(leg) = self.legs.of_call(Side::Trunks, call) else {
            return;
        };
        let read = (self.legs.get(leg))
            .and_then(Leg::local)
            .map(|local| local.read_answer(answer));
        match read {
            Some(Ok(agreed)) => self.set_remote(leg, &agreed, false),
            Some(Err(_)) => {
                let _gone = self.trunk_ua.bye(now, call, Some(65)).is_err();
            }
            None => {}
        }
    }

    /// Plays a call-back's prompt.
    pub(crate) fn play_to_caller(&mut self, leg: LegId, prompt: Prompt) {
        let config = self.config.call_backs;
        let (prompt, repeat) = match prompt {
            Prompt::Waiting => (config.music.unwrap_or_else(|| self.ringing_for(leg)), true),
            Prompt::Confirmed => (PromptId::BEEP, false),
            Prompt::WhoCalled | Prompt::SafeHarbour | Prompt::VoiceDrop => {
                let said = config.announcement.or(self.config.safe_harbour);
                (said.unwrap_or(PromptId::TONE), false)
            }
        };
        self.media(MediaCommand::Play {
            leg,
            prompt,
            repeat,
        });
    }

    /// Ringing as in the country of the number that was called.
    fn ringing_for(&self, leg: LegId) -> PromptId {
        let called = self.legs.get(leg).and_then(|leg| match leg.owner {
            Owner::Person { attempt, .. } => self.calls.shown_number(attempt),
            Owner::Agent(_) | Owner::Visitor(_) => None,
        });
        PromptId::ringing(called)
    }

    /// An attempt ended, or a call-back did: who is remembered, with whom they spoke.
    pub(crate) fn remember_called(&mut self, end: &call::AttemptEnd) {
        let of_attempt = CalledPerson::of(end);
        if let Some(number) = of_attempt.as_ref().and_then(|person| person.shown) {
            self.shown_for.insert(number, end.lease.campaign);
        }
        let person = match end.call_back {
            None => of_attempt,
            // Known already: only who spoke with the person changes. Else the mesh told who it is.
            Some(_) if end.agent.is_some() => {
                let known = self.called.get(end.lease.number).cloned();
                let known = known.or_else(|| CalledPerson::of_call_back(end));
                known.map(|person| CalledPerson {
                    agent: end.agent,
                    ..person
                })
            }
            Some(_) => None,
        };
        if let Some(person) = person {
            self.remember(person);
        }
    }

    /// An agent of this node speaks with a person whom another city called: they may call back here.
    pub(crate) fn remember_lent(&mut self, now: Now, attempt: AttemptId, agent: AgentId) {
        if let Some(lease) = self.calls.lease(attempt) {
            let person = CalledPerson::of_lent(lease, now.wall, agent);
            self.remember(person);
        }
    }

    fn remember(&mut self, person: CalledPerson) {
        let (person, gone) = self.called.remember(person);
        self.output(Output::Called {
            person: Box::new(person),
            gone,
        });
    }

    /// Whom earlier runs called.
    pub(crate) fn called_before(&mut self, persons: Vec<CalledPerson>) {
        for person in persons {
            if let Some(number) = person.shown {
                self.shown_for.insert(number, person.campaign);
            }
            if self.called.get(person.number).is_none() {
                self.called.remember(person);
            }
        }
    }
}

fn called_leg(now: Now, owner: Owner, call: CallHandle, local: LocalMedia) -> Leg {
    Leg {
        owner,
        line: Line::Sip { call, local },
        listened: false,
        heard: true,
        answered: true,
        ended: false,
        closing: false,
        message: None,
        progress: Progress {
            sent_at: now.monotonic,
            heard: true,
            rang: true,
            ..Progress::default()
        },
    }
}
