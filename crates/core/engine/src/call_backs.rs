//! Calls to this node's own caller IDs: from which trunk, to which number, from whom; then the call
//! center's.

use crate::{
    Engine, Entry, Observed, Output, Side,
    called::CalledPerson,
    legs::{Leg, Line, Owner, Progress},
    secured::NotTls,
};
use bytes::Bytes;
use call::{CallBackWish, DialFacts, Prompt};
use domain::{
    AttemptId, CallBack, CallBackEnd, CallRecord, CallerId, Campaign, CampaignState, LeadId,
    LeadProfile, LeasedLead, LegId, ListId, Now, PhoneNumber, SessionId, Trunk,
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
            wait: Duration::from_secs(60),
            music: None,
            announcement: None,
        }
    }
}

/// An INVITE from a trunk's address.
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
struct Caller {
    trunk: Trunk,
    called: PhoneNumber,
    number: Option<PhoneNumber>,
    person: Option<CalledPerson>,
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
    /// A carrier brings a call: answered and given to the call center, or refused with a status.
    pub(crate) fn call_came(&mut self, now: Now, came: &Came) {
        if let Err(Refused { status, why }) = self.take_call(now, came) {
            let refused = self.trunk_ua.reject_for(now, came.call, status, &why);
            let _gone = refused.is_err();
            self.observe(Observed::CallBackRefused { status });
        }
        self.drain_ua(now, Side::Trunks);
    }

    fn take_call(&mut self, now: Now, came: &Came) -> Result<(), Refused> {
        let caller = self.who_calls(came)?;
        let offered = self.answer_offer(now, &caller.trunk, came)?;
        Ok(self.take_call_back(now, came, caller, offered)?)
    }

    /// Who calls, and for which campaign; `Err` is the status that refuses the call.
    fn who_calls(&self, came: &Came) -> Result<Caller, u16> {
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
        let person = number.and_then(|number| self.called.get(number)).cloned();
        let of_person = person.as_ref().map(|person| person.campaign);
        let campaign = of_person
            .and_then(|campaign| self.facts.campaigns.get(&campaign))
            .or_else(|| self.campaign_showing(caller_id.number))
            .ok_or(480_u16)?;
        Ok(Caller {
            trunk: trunk.clone(),
            called: caller_id.number,
            number,
            campaign: Arc::clone(campaign),
            person,
        })
    }

    /// Which of our caller IDs is called, by its own trunk.
    fn called_number(&self, came: &Came) -> Option<(&Trunk, CallerId)> {
        let source = came.flow.remote.ip();
        let from_here = |trunk: &&Trunk| {
            let way = self.ways.get(&trunk.id);
            way.is_some_and(|way| way.targets.sources().any(|address| address == source))
        };
        let texts = [came.request_uri.user(), came.to.user()];
        for trunk in self.facts.trunks.values().filter(from_here) {
            let manner = self.facts.manner(trunk.id);
            let numbers =
                (texts.iter()).flat_map(|text| manner.read_numbers(trunk.number_format, text));
            let own = numbers
                .filter_map(|number| self.facts.caller_ids.get(&number))
                .find(|caller_id| caller_id.trunk == trunk.id);
            if let Some(caller_id) = own {
                return Some((trunk, *caller_id));
            }
        }
        None
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

    /// The campaign that showed the number last, else the first that runs.
    fn campaign_showing(&self, number: PhoneNumber) -> Option<&Arc<Campaign>> {
        let shown = self.shown_for.get(&number);
        let running = |campaign: &&Arc<Campaign>| campaign.state == CampaignState::Running;
        (shown.and_then(|campaign| self.facts.campaigns.get(campaign)))
            .or_else(|| self.facts.campaigns.values().find(running))
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
        };
        let wish = CallBackWish {
            after: caller.person.as_ref().map(|person| person.attempt),
            withheld: caller.number.is_none(),
            agent: caller.person.as_ref().and_then(|person| person.agent),
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
        let region = match &caller.person {
            Some(person) => person.lead.region(),
            None => self.config.regions.first().copied().unwrap_or_default(),
        };
        self.calls_back += 1;
        let id = AttemptId::call_back(region, self.config.member, now.wall, self.calls_back);
        if let Some(person) = &caller.person {
            return person.calling(id, caller.campaign.id);
        }
        LeasedLead {
            lead: LeadId::new(region, 0),
            attempt: id,
            session: SessionId(0),
            campaign: caller.campaign.id,
            list: ListId(0),
            number: caller.number.unwrap_or(caller.called),
            zones: Vec::new(),
            attempt_count: 0,
            profile: LeadProfile::default(),
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
            // Known already: only who spoke with the person changes.
            Some(_) if end.agent.is_some() => {
                let known = self.called.get(end.lease.number).cloned();
                known.map(|person| CalledPerson {
                    agent: end.agent,
                    ..person
                })
            }
            Some(_) => None,
        };
        if let Some(person) = person {
            let (person, gone) = self.called.remember(person);
            self.output(Output::Called {
                person: Box::new(person),
                gone,
            });
        }
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
