//! The machine itself: its parts, and how one input runs through them.

use crate::{
    DirectoryChange, EngineConfig, Input, Observed, Output, PhoneAddress, Rejected, Side,
    TimerName,
    asking::Asking,
    bases::Bases,
    browsers::Browsers,
    called::Called,
    callers::Ways,
    facts::{DirectoryCopy, Facts},
    hopper::Hoppers,
    legs::Legs,
    lines::Pace,
    overflow::{Overflow, OverflowStep},
    problems::Problems,
    records::Ending,
    scores::Scores,
    standings::Standings,
    status::Tally,
    supervision::Supervisions,
};
use call::CallCenter;
use domain::{
    AttemptId, CallRecording, CampaignId, CarriedWord, Instant, LegId, LegStats, Now, PhoneNumber,
    RegionId, SipTransport, SrtpKeys, TrunkId, WallTime, answering::Verdict,
};
use media::PortPool;
use numbering::CallerIdFacts;
use permit::{Escrow, Grant, Permit, PermitInput, PermitOutput};
use sansio::{Seed, Stream, Timers};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// How long a media port rests before its next call.
const PORT_REST: Duration = Duration::from_secs(5);

/// One node's machine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) facts: Facts,
    pub(crate) permit: Permit,
    pub(crate) escrow: Escrow,
    /// What was said last of each campaign's share: what is left, what is wanted.
    pub(crate) shares_told: BTreeMap<CampaignId, (Option<u32>, u32)>,
    pub(crate) calls: CallCenter,
    pub(crate) trunk_ua: sip::Endpoint,
    pub(crate) agent_ua: sip::Endpoint,
    pub(crate) ports: PortPool,
    pub(crate) legs: Legs,
    pub(crate) browsers: Browsers,
    pub(crate) supervisions: Supervisions,
    pub(crate) overflow: Overflow,
    pub(crate) hoppers: Hoppers,
    pub(crate) scores: Scores,
    pub(crate) paces: BTreeMap<CampaignId, Pace>,
    pub(crate) ways: Ways,
    /// Caller IDs of this node's trunks, those of one trunk side by side.
    pub(crate) candidates: Vec<CallerIdFacts>,
    pub(crate) candidates_stale: bool,
    pub(crate) standings: Standings,
    /// Phones of an earlier run whose agents the directory did not name yet, by login.
    pub(crate) phones: BTreeMap<String, PhoneAddress>,
    pub(crate) caller_draws: Stream,
    pub(crate) target_draws: Stream,
    pub(crate) key_draws: Stream,
    /// The keys that the relay knows, of the legs that are secured.
    pub(crate) secured: BTreeMap<LegId, SrtpKeys>,
    /// Granted attempts whose INVITE is on its way to the kernel.
    pub(crate) grants: BTreeMap<AttemptId, Grant>,
    pub(crate) audit: permit::audit::Head,
    /// When the last INVITE datagram of each live attempt left.
    pub(crate) last_invite: BTreeMap<AttemptId, WallTime>,
    /// The agent's side of each bridge that ended.
    pub(crate) bridge_figures: BTreeMap<AttemptId, LegStats>,
    /// What early media of live attempts was, where somebody listens.
    pub(crate) early_media: BTreeMap<AttemptId, Verdict>,
    pub(crate) endings: BTreeMap<AttemptId, Ending>,
    /// Recordings of attempts that are not closed, with what became of them once that is told.
    pub(crate) recordings: BTreeMap<AttemptId, Option<CallRecording>>,
    pub(crate) bases: Bases,
    pub(crate) timers: Timers<TimerName>,
    /// When pacing last looked.
    pub(crate) paced: Option<Instant>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) tally: Tally,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) problems: Problems,
    pub(crate) backlog: usize,
    pub(crate) draining: bool,
    /// Regions of other cities that are gone.
    pub(crate) helped: Vec<RegionId>,
    pub(crate) sdp_sessions: u64,
    /// For when they call back.
    pub(crate) called: Called,
    /// Which campaign showed a caller ID last.
    pub(crate) shown_for: BTreeMap<PhoneNumber, CampaignId>,
    /// Calls that ring while the mesh is asked who calls.
    pub(crate) asking: Asking,
    /// Call-backs of this run.
    pub(crate) calls_back: u32,
    legs_begun: u64,
}

impl Engine {
    /// A node that may do nothing yet: sessions, freshness and the directory come in.
    pub fn new(config: EngineConfig, seed: Seed) -> Self {
        let ua = |registrar, advertised| sip::EndpointConfig {
            user_agent: concat!("dialmesh/", env!("CARGO_PKG_VERSION")).to_owned(),
            advertised,
            registrar,
            ..sip::EndpointConfig::default()
        };
        let registrar = sip::RegistrarConfig {
            realm: config.realm.clone(),
            md5_only: config.md5_only,
            ..sip::RegistrarConfig::default()
        };
        let mut advertised = vec![(config.trunk_address, config.trunk_advertised)];
        advertised.extend(config.trunk_tls);
        let sub = |name: &str| {
            let mut bytes = [0; 32];
            seed.stream(name).fill(&mut bytes);
            Seed::new(bytes)
        };
        Self {
            trunk_ua: sip::Endpoint::new(ua(None, advertised), sub("trunk-ua")),
            agent_ua: sip::Endpoint::new(ua(Some(registrar), Vec::new()), sub("agent-ua")),
            ports: PortPool::new(
                config.media_ports,
                PORT_REST,
                &mut seed.stream("media-ports"),
            ),
            permit: Permit::new(config.freshness),
            escrow: Escrow::default(),
            shares_told: BTreeMap::new(),
            calls: CallCenter::new(),
            facts: Facts::default(),
            legs: Legs::default(),
            browsers: Browsers::default(),
            supervisions: Supervisions::default(),
            overflow: Overflow::new(seed.stream("overflow")),
            hoppers: Hoppers::default(),
            scores: Scores::default(),
            paces: BTreeMap::new(),
            ways: Ways::new(),
            candidates: Vec::new(),
            candidates_stale: false,
            standings: Standings::default(),
            phones: BTreeMap::new(),
            caller_draws: seed.stream("caller-id"),
            target_draws: seed.stream("trunk-targets"),
            key_draws: seed.stream("srtp-keys"),
            secured: BTreeMap::new(),
            grants: BTreeMap::new(),
            audit: config.audit,
            last_invite: BTreeMap::new(),
            bridge_figures: BTreeMap::new(),
            early_media: BTreeMap::new(),
            endings: BTreeMap::new(),
            recordings: BTreeMap::new(),
            bases: Bases::default(),
            timers: Timers::default(),
            paced: None,
            outputs: VecDeque::new(),
            tally: Tally::default(),
            refused: BTreeMap::new(),
            problems: Problems::default(),
            backlog: 0,
            draining: false,
            helped: Vec::new(),
            sdp_sessions: 0,
            called: Called::default(),
            shown_for: BTreeMap::new(),
            asking: Asking::default(),
            calls_back: 0,
            legs_begun: 0,
            config,
        }
    }

    /// Takes one input. `Err` leaves the state unchanged.
    ///
    /// # Errors
    /// The call center does not take it.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Sip { side, flow, bytes } => {
                if side == Side::Trunks {
                    self.word_from(now, flow);
                }
                self.sip_input(now, side, sip::Input::Received { flow, bytes });
            }
            Input::SipFlowLost {
                side,
                flow,
                closed: true,
            } => {
                self.sip_input(now, side, sip::Input::FlowClosed { flow });
            }
            Input::SipFlowLost {
                side,
                flow,
                closed: false,
            } => {
                self.sip_input(now, side, sip::Input::SendFailed { flow });
            }
            // A phone that is just starting: its INVITE is sent again until it listens. Only a trunk has
            // another beside it.
            Input::SipUnsent {
                side: Side::Agents,
                flow,
                congested: false,
                ..
            } if flow.transport == SipTransport::Udp => {}
            Input::SipUnsent {
                side,
                flow,
                bytes,
                congested,
            } => {
                let unsent = sip::Input::Unsent {
                    flow,
                    bytes,
                    congested,
                };
                self.sip_input(now, side, unsent);
            }
            Input::Media(event) => self.media_event(now, event),
            Input::Directory { index, changes } => self.directory(now, index, changes),
            Input::Fresh { sent_at, index } => {
                self.tell_permit(
                    now,
                    PermitInput::FreshnessAnswered {
                        sent: sent_at,
                        index,
                    },
                );
                self.look_for_problems();
            }
            Input::SessionOpened {
                region,
                session,
                ttl,
            } => {
                self.tell_permit(
                    now,
                    PermitInput::SessionOpened {
                        region,
                        session,
                        ttl,
                    },
                );
                self.hoppers.wake();
            }
            Input::SessionConfirmed {
                region,
                session,
                sent_at,
            } => {
                let sent = sent_at;
                self.tell_permit(
                    now,
                    PermitInput::KeepAliveAnswered {
                        region,
                        session,
                        sent,
                    },
                );
            }
            Input::SessionEnded { region, session } => {
                self.tell_permit(now, PermitInput::SessionEnded { region, session });
            }
            Input::Claimed {
                region,
                campaign,
                leads,
                rest,
            } => {
                self.claimed(now, region, campaign, leads, rest);
            }
            Input::Agent {
                agent,
                request,
                command,
            } => {
                self.ask_calls(
                    now,
                    call::Input::Agent {
                        agent,
                        request,
                        command,
                    },
                )?;
            }
            Input::Supervise(order) => self.supervise(order)?,
            Input::BrowserOffered { agent, browser } => {
                self.browser_offered(now, agent, browser)?;
            }
            Input::BrowserClosed(agent) => self.browser_closed(now, agent),
            Input::Browser(event) => self.browser_event(now, event),
            Input::ScreenAttached(agent) => {
                self.ask_calls(now, call::Input::ScreenAttached { agent })?;
            }
            Input::ScreenGone(agent) => self.ask_calls(now, call::Input::ScreenGone { agent })?,
            Input::Persisted(token) => self.ask_calls(now, call::Input::Persisted { token })?,
            Input::Sent(attempt) => self.sent(now, attempt),
            Input::OptOut(entry) => {
                self.permit.opt_out(entry.number, entry.scope);
                self.forbid(now, entry.number);
            }
            Input::OptOutsTaken { entries, index } => {
                for entry in entries {
                    (self.permit).opt_out_confirmed(entry.number, entry.scope, index);
                }
            }
            Input::Phones(phones) => self.remember_phones(now, phones),
            Input::Shown(times) => {
                for (number, times) in times {
                    self.permit.caps_mut().restore(number, times);
                }
            }
            Input::DncBaseHere(base) => self.base_here(now, base),
            Input::DncBaseGone(id) => self.base_gone(id),
            Input::ClockDisputed(disputed) => self.permit.set_clock_disputed(disputed),
            Input::EscrowAnswered { sequence, grants } => {
                self.escrow_answered(now, sequence, &grants);
            }
            Input::Recorded(attempt, recording) => self.recorded(attempt, recording),
            Input::Called(persons) => self.called_before(persons),
            Input::CallerTold { ask, told } => self.caller_told(now, ask, &told),
            Input::Learned(learned) => self.learned_before(now, &learned),
            Input::Backlog(waiting) => self.backlog = waiting,
            Input::TrunkLocated {
                trunk,
                name,
                targets,
            } => self.trunk_located(now, trunk, &name, targets),
            Input::Neighbour {
                member,
                round_trip,
                free,
            } => self.neighbour_told(now, member, round_trip, free),
            Input::OfferAnswered {
                from,
                attempt,
                call,
                answer,
            } => self.offer_answered(now, from, attempt, call, answer),
            Input::CarriedSaid {
                from,
                said,
                request,
            } => self.carried_said(now, from, said, request),
            Input::WordTold {
                to,
                said,
                token,
                taken,
            } => self.word_told(now, to, &said, token, taken),
            Input::Drain => self.begin_drain(now),
            Input::Helped(regions) => self.helped = regions,
        }
        Ok(())
    }

    /// Fires every timer whose time has come, its parts' too.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                TimerName::Pace => self.pace(now),
                TimerName::Escrow => self.look_at_escrow(now),
                TimerName::Learned => self.tell_learned(),
                TimerName::Caller(ask) => self.caller_untold(now, ask),
                TimerName::Record(attempt) => self.give_up_figures(attempt),
                TimerName::Unheard(attempt) => self.unheard(now, attempt),
                TimerName::AudioBack(agent) => self.audio_stayed_away(now, agent),
                TimerName::Overflow => self.look_at_carried(now),
                TimerName::TargetRested(trunk) => self.watch_first(now, trunk),
                TimerName::Permit | TimerName::Trunks | TimerName::Agents | TimerName::Calls => {}
            }
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.monotonic);
        if due(self.permit.poll_timeout().map(|(at, _)| at)) {
            self.permit.handle_timeout(now);
            self.drain_permit(now);
        }
        if due(self.calls.poll_timeout().map(|(at, _)| at)) {
            self.calls.handle_timeout(now);
            self.drain_calls(now);
        }
        for side in [Side::Trunks, Side::Agents] {
            let ua = match side {
                Side::Trunks => &mut self.trunk_ua,
                Side::Agents => &mut self.agent_ua,
            };
            if due(ua.poll_timeout().map(|(at, _)| at)) {
                ua.handle_timeout(now);
                self.drain_ua(now, side);
            }
        }
    }

    /// What is to be done, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due next, and why.
    pub fn poll_timeout(&mut self) -> Option<(Instant, TimerName)> {
        let parts = [
            self.timers.next(),
            self.permit
                .poll_timeout()
                .map(|(at, _)| (at, TimerName::Permit)),
            self.calls
                .poll_timeout()
                .map(|(at, _)| (at, TimerName::Calls)),
            self.trunk_ua
                .poll_timeout()
                .map(|(at, _)| (at, TimerName::Trunks)),
            self.agent_ua
                .poll_timeout()
                .map(|(at, _)| (at, TimerName::Agents)),
        ];
        parts.into_iter().flatten().min()
    }

    /// Attempts under way and calls: nothing is left to wait for when it is zero.
    pub fn live(&self) -> usize {
        self.calls.attempts_len() + self.endings.len()
    }

    /// Abandonments of this run that the directory has not said that it knows.
    pub fn abandonments_untold(&self) -> u64 {
        self.escrow.untold()
    }

    /// Whether the directory knows of every abandonment, and has back what it granted.
    pub fn shares_settled(&self) -> bool {
        self.escrow.is_settled()
    }

    /// The agent whose sign-in name this is.
    pub fn agent_of(&self, login: &str) -> Option<domain::AgentId> {
        self.facts.logins.get(login).copied()
    }

    /// What the user agents have seen: the trunks' side, the agents' side.
    pub fn sip_counters(&self) -> (sip::Counters, sip::Counters) {
        (self.trunk_ua.counters(), self.agent_ua.counters())
    }

    // ---- The directory.

    fn directory(&mut self, now: Now, index: u64, changes: Vec<DirectoryChange>) {
        for change in changes {
            self.directory_change(now, index, change);
        }
        self.problems_again();
        self.tell_permit(now, PermitInput::DirectoryApplied { index });
        self.output(Output::Applied(index));
    }

    fn directory_change(&mut self, now: Now, index: u64, change: DirectoryChange) {
        match change {
            DirectoryChange::Campaign(campaign) => self.campaign_changed(now, campaign),
            DirectoryChange::TrunkManner(id, manner) => self.manner_changed(id, *manner),
            DirectoryChange::Trunk(trunk) => self.trunk_changed(now, *trunk),
            DirectoryChange::TrunkRemoved(id) => self.trunk_removed(now, id),
            DirectoryChange::CallerIds(ids) => self.caller_ids_changed(ids),
            DirectoryChange::CallerIdsRemoved(numbers) => self.caller_ids_removed(&numbers),
            DirectoryChange::Agent(agent) => self.agent_changed(now, *agent),
            DirectoryChange::AgentRemoved(agent) => self.agent_removed(now, agent),
            DirectoryChange::Dnc { added, removed } => {
                for (entry, added_by) in &added {
                    self.permit
                        .dnc_mut()
                        .add(entry.number, entry.scope, *added_by);
                }
                for (number, scope, added_by) in removed {
                    self.permit.dnc_mut().remove(number, scope, added_by, index);
                }
                let numbers: BTreeSet<PhoneNumber> =
                    added.iter().map(|(entry, _)| entry.number).collect();
                self.forbid_where(now, |lead| numbers.contains(&lead.number));
            }
            DirectoryChange::DncBase(base) => self.base_required(now, base, index),
            DirectoryChange::DncAges(ages) => self.base_ages(now, ages, index),
            DirectoryChange::Clearance(facts) => self.clearance_changed(now, index, &facts),
            DirectoryChange::Answering(campaign, machines) => {
                self.facts.set_answering(campaign, machines);
            }
            DirectoryChange::Recording(campaign, recording) => {
                self.facts.set_recording(campaign, recording);
            }
            DirectoryChange::RecordingKey(key) => self.facts.recording_key = Some(key),
            DirectoryChange::DropRateGroup(campaign, with) => self.facts.set_group(campaign, with),
            DirectoryChange::VoiceDrop(campaign, prompt) => {
                self.facts.set_voice_drop(campaign, prompt);
            }
            DirectoryChange::HoldOut(campaign, percent) => {
                self.facts.set_hold_out(campaign, percent);
            }
            DirectoryChange::LeadOrder(campaign, order) => {
                self.facts.set_lead_order(campaign, order);
            }
            DirectoryChange::Levers(campaign, levers) => self.levers_changed(now, campaign, levers),
            DirectoryChange::Reset(copy) => self.reset(now, index, *copy),
        }
    }

    fn reset(&mut self, now: Now, index: u64, copy: DirectoryCopy) {
        let DirectoryCopy {
            campaigns,
            trunks,
            caller_ids,
            agents,
            dnc,
            dnc_base,
            dnc_ages,
            clearance,
            answering,
            manners,
            recordings,
            recording_key,
            levers,
            drop_rate_groups,
            hold_outs,
            lead_orders,
            voice_drops,
        } = copy;
        self.facts.reset_recordings(recordings, recording_key);
        self.facts.reset_levers(levers);
        self.facts.reset_groups(drop_rate_groups);
        self.facts.reset_hold_outs(hold_outs);
        self.facts.reset_lead_orders(lead_orders);
        self.facts.reset_voice_drops(voice_drops);
        self.facts.reset_answering(answering);
        self.facts.set_manners(manners);
        let gone: Vec<TrunkId> = (self.facts.trunks.keys().copied())
            .filter(|id| !trunks.iter().any(|trunk| trunk.id == *id))
            .collect();
        for id in gone {
            self.trunk_removed(now, id);
        }
        let gone: Vec<_> = (self.facts.agents.keys().copied())
            .filter(|id| !agents.iter().any(|agent| agent.id == *id))
            .collect();
        for id in gone {
            self.agent_removed(now, id);
        }
        let gone: Vec<_> = (self.facts.caller_ids.keys().copied())
            .filter(|number| !caller_ids.iter().any(|id| id.number == *number))
            .collect();
        self.caller_ids_removed(&gone);
        let entries = dnc
            .iter()
            .map(|(entry, added_by)| (entry.number, entry.scope, *added_by));
        (self.permit).directory_reset(now, index, entries, clearance.into_iter().collect());
        self.permit.dnc_mut().set_ages(dnc_ages, index);
        self.base_required(now, dnc_base, index);
        self.drain_permit(now);
        self.facts.forget_elsewhere();
        for trunk in trunks {
            self.trunk_changed(now, trunk);
        }
        self.caller_ids_changed(caller_ids);
        for agent in agents {
            self.agent_changed(now, agent);
        }
        for campaign in campaigns {
            self.campaign_changed(now, campaign);
        }
        self.forbid_where(now, |_| true);
    }

    fn agent_changed(&mut self, now: Now, agent: domain::AgentAccount) {
        let (id, login, password) = (agent.id, agent.login.clone(), agent.sip_password.clone());
        let enabled = agent.enabled && agent.node == self.config.member;
        if let Some(old) = self.facts.agents.get(&id).filter(|old| old.login != login) {
            let old = old.login.clone();
            self.agent_ua.remove_user(&old);
        }
        let Some(account) = self.facts.set_agent(self.config.member, agent) else {
            return;
        };
        if !enabled || self.agent_ua.set_user(&login, password).is_err() {
            self.agent_ua.remove_user(&login);
        }
        self.restore_phone(now, &login);
        self.tell_calls(now, call::Input::Account(account));
        self.recheck_supervision(id);
        self.forget_browser(id);
        self.drain_ua(now, Side::Agents);
    }

    fn agent_removed(&mut self, now: Now, agent: domain::AgentId) {
        let Some(account) = self.facts.agents.get(&agent).cloned() else {
            return;
        };
        self.facts.forget_agent(agent);
        self.agent_ua.remove_user(&account.login);
        let account = call::Account {
            agent,
            campaigns: account.campaigns,
            enabled: false,
        };
        self.tell_calls(now, call::Input::Account(account));
        self.forget_browser(agent);
        self.drain_ua(now, Side::Agents);
    }

    // ---- The parts.

    fn sip_input(&mut self, now: Now, side: Side, input: sip::Input<'_>) {
        let ua = match side {
            Side::Trunks => &mut self.trunk_ua,
            Side::Agents => &mut self.agent_ua,
        };
        if ua.handle(now, input).is_ok() {
            self.drain_ua(now, side);
        }
    }

    fn tell_permit(&mut self, now: Now, input: PermitInput) {
        // Refused means that the word was about a session that is not the current one any more.
        if self.permit.handle(now, input).is_ok() {
            self.drain_permit(now);
        }
    }

    pub(crate) fn drain_permit(&mut self, now: Now) {
        while let Some(output) = self.permit.poll_output() {
            match output {
                PermitOutput::SendKeepAlive {
                    region,
                    session,
                    sent,
                } => {
                    self.output(Output::KeepAlive {
                        region,
                        session,
                        sent_at: sent,
                    });
                }
                PermitOutput::AskFreshness { sent, applied } => {
                    self.output(Output::AskFresh {
                        sent_at: sent,
                        applied,
                    });
                }
                PermitOutput::Drain { region, .. } => self.stop_dialing(now, region),
                PermitOutput::Resumed { .. } => self.pace_soon(now),
            }
        }
    }

    /// An input of another's making: its refusal is the asker's to hear.
    fn ask_calls(&mut self, now: Now, input: call::Input) -> Result<(), Rejected> {
        self.calls.handle(now, input)?;
        self.drain_calls(now);
        Ok(())
    }

    /// An input of the engine's own making. A refusal means that the leg, attempt or agent ended
    /// meanwhile, which the call center has told already.
    pub(crate) fn tell_calls(&mut self, now: Now, input: call::Input) {
        let _ended = self.calls.handle(now, input).is_err();
        self.drain_calls(now);
    }

    pub(crate) fn drain_calls(&mut self, now: Now) {
        while let Some(output) = self.calls.poll_output() {
            match output {
                call::Output::Leg(command) => self.leg_command(now, command),
                call::Output::Notice { agent, notice } => {
                    self.output(Output::Notice { agent, notice })
                }
                call::Output::Persist { token, entry } => {
                    let entry = crate::Entry::Disposed(entry);
                    self.output(Output::Persist {
                        token: Some(token),
                        entry,
                    });
                }
                call::Output::Reply { request, result } => {
                    self.output(Output::Reply { request, result })
                }
                call::Output::Report {
                    token,
                    attempt,
                    disposition,
                    note,
                    callback_at,
                } => {
                    let word = CarriedWord::Disposed {
                        disposition,
                        note,
                        callback_at,
                    };
                    self.report_disposition(token, attempt, word);
                }
                call::Output::LentKept { attempt } => self.lent_kept(attempt),
                call::Output::Returned {
                    attempt,
                    campaign,
                    joined,
                    kept,
                } => {
                    if !joined {
                        self.observe_overflow(campaign, OverflowStep::Withdrawn);
                    }
                    self.returned(attempt, joined && !kept);
                }
                call::Output::Closed(end) => self.closed(now, end),
                call::Output::AddDoNotCall { number, source, .. } => {
                    self.opt_out(now, number, source)
                }
                call::Output::Observed(observed) => {
                    if let call::Observed::Agent { agent, from, .. } = &observed {
                        self.supervision_follows(*agent, *from);
                        if !self.draining {
                            self.pace_soon(now);
                        }
                    }
                    if let call::Observed::Attempt {
                        attempt,
                        to: call::AttemptState::WaitingForAgent,
                        ..
                    } = &observed
                    {
                        self.ask_neighbours(now, *attempt, BTreeSet::new());
                    }
                    self.learn(now, &observed);
                    self.observe(Observed::Call(observed));
                }
            }
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn observe(&mut self, observed: Observed) {
        self.outputs.push_back(Output::Observed(observed));
    }

    /// A leg id not in use, below the agents' range.
    pub(crate) fn next_leg(&mut self) -> LegId {
        self.legs_begun += 1;
        LegId(self.legs_begun)
    }
}
