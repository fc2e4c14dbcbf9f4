//! Scenarios, one subject each. The random driver beside this folder covers their mixtures.

mod call_backs;
mod calls;
mod hold;
mod keypad;
mod lines;
mod machines;
mod overflow;
mod shifts;

use super::*;
use crate::{
    Account, AgentCommand, AttemptEnd, CancelReason, DialFacts, EndedBy, Failure, LocalCause,
    Phone, Prompt,
};
use domain::{
    AgentDisposition, AgentState, Campaign, CampaignState, DialLevel, DispositionCode,
    DispositionFlags, LeadId, LeadProfile, LeasedLead, ListId, PacingMode, PauseCode, RegionId,
    SessionId, WhoAnswered,
    answering::{Greeting, Reason, Verdict},
};
use std::sync::Arc;

pub(super) fn campaign(id: u32, pacing: PacingMode) -> Campaign {
    let named = |name: &str, flags| AgentDisposition {
        name: name.into(),
        flags,
    };
    Campaign {
        id: CampaignId(id),
        name: format!("campaign {id}"),
        state: CampaignState::Running,
        regions: vec![],
        pacing,
        dial_level: DialLevel(150),
        ring_limit: Duration::from_secs(25),
        talk_limit: Duration::from_secs(600),
        answer_limit: Duration::from_secs(2),
        wrap_up_limit: Duration::from_secs(30),
        auto_ready: true,
        rule_pack: "us-federal".into(),
        retry: vec![],
        attempts_max: 3,
        dispositions: vec![
            named("no_sale", DispositionFlags::default()),
            named(
                "sale",
                DispositionFlags {
                    success: true,
                    ..DispositionFlags::default()
                },
            ),
            named(
                "never_again",
                DispositionFlags {
                    do_not_call: true,
                    ..DispositionFlags::default()
                },
            ),
        ],
        default_disposition: DispositionCode(0),
        any_city_caller_id: false,
        version: 1,
    }
}

pub(super) fn lease(n: u64, campaign: CampaignId) -> LeasedLead {
    LeasedLead {
        lead: LeadId::new(RegionId(1), n),
        attempt: attempt(n),
        session: SessionId(7),
        campaign,
        list: ListId(1),
        number: "+14155550134".parse().unwrap(),
        zones: vec![],
        attempt_count: 1,
        profile: LeadProfile {
            name: "Ada".into(),
            ..LeadProfile::default()
        },
    }
}

pub(super) fn attempt(n: u64) -> AttemptId {
    AttemptId::new(RegionId(1), n, 0)
}

pub(super) fn facts(now: Now) -> DialFacts {
    DialFacts {
        invited_at: now.wall,
        caller_id: None,
        trunk: None,
        sip_call_id: "call".into(),
        rule_pack: "us-federal".into(),
        dnc_index: 5,
        permission: None,
        dnc_base: None,
        consent: None,
        presence: None,
        for_city: None,
    }
}

pub(super) fn failed(status: u16) -> LegEvent {
    LegEvent::Failed(Failure {
        status,
        ..Failure::default()
    })
}

/// A call center with a clock and everything that came out of it.
struct Floor {
    center: CallCenter,
    now: Now,
    out: Vec<Output>,
    requests: u64,
}

const ANN: AgentId = AgentId(1);
const BEN: AgentId = AgentId(2);

impl Floor {
    fn new() -> Self {
        Self {
            center: CallCenter::new(),
            now: Now {
                monotonic: Instant::from_millis(1_000_000),
                wall: WallTime::from_millis(1_795_300_000_000),
            },
            out: vec![],
            requests: 0,
        }
    }

    fn put(&mut self, input: Input) -> Result<(), Rejected> {
        let result = self.center.handle(self.now, input);
        self.drain();
        self.center.check();
        result
    }

    fn drain(&mut self) {
        self.out.clear();
        while let Some(output) = self.center.poll_output() {
            self.out.push(output);
        }
    }

    fn wait(&mut self, by: Duration) {
        let end = self.now.plus(by);
        let mut all = vec![];
        while let Some((at, _)) = self.center.poll_timeout() {
            if at > end.monotonic {
                break;
            }
            self.now = self.now.plus(at.since(self.now.monotonic));
            self.center.handle_timeout(self.now);
            self.drain();
            self.center.check();
            all.append(&mut self.out);
        }
        self.now = self.now.plus(end.monotonic.since(self.now.monotonic));
        self.out = all;
    }

    fn press(&mut self, agent: AgentId, command: AgentCommand) -> Option<Result<(), String>> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.put(Input::Agent {
            agent,
            request,
            command,
        })
        .unwrap();
        self.replied(request)
    }

    fn replied(&self, to: RequestId) -> Option<Result<(), String>> {
        self.out.iter().find_map(|output| match output {
            Output::Reply { request, result } if *request == to => {
                Some(result.clone().map_err(|e| e.code))
            }
            _ => None,
        })
    }

    fn log_in(&mut self, agent: AgentId) {
        self.put(Input::Account(Account {
            agent,
            campaigns: vec![],
            enabled: true,
        }))
        .unwrap();
        assert_eq!(self.press(agent, AgentCommand::LogIn), Some(Ok(())));
        let leg = self.center.agent_leg_of(agent).unwrap();
        self.event(leg, LegEvent::Answered);
        assert_eq!(self.state(agent), AgentState::Paused(PauseCode::default()));
    }

    fn ready(&mut self, agent: AgentId) {
        self.log_in(agent);
        assert_eq!(self.press(agent, AgentCommand::Ready), Some(Ok(())));
        assert_eq!(self.state(agent), AgentState::Ready);
    }

    fn state(&self, agent: AgentId) -> AgentState {
        self.center.agent_status(agent).unwrap().state
    }

    fn event(&mut self, leg: LegId, event: LegEvent) {
        self.put(Input::Leg { leg, event }).unwrap();
    }

    fn dial(&mut self, n: u64, campaign: &Arc<Campaign>) {
        self.put(Input::Dial {
            lease: lease(n, campaign.id),
            campaign: campaign.clone(),
            leg: LegId(n),
            screening: None,
        })
        .unwrap();
        self.put(Input::Dialed {
            attempt: attempt(n),
            facts: facts(self.now),
        })
        .unwrap();
    }

    fn closed(&self) -> Vec<&AttemptEnd> {
        let closed = self.out.iter().filter_map(|output| match output {
            Output::Closed(end) => Some(&**end),
            _ => None,
        });
        closed.collect()
    }

    fn legs(&self) -> Vec<LegCommand> {
        let legs = self.out.iter().filter_map(|output| match output {
            Output::Leg(command) => Some(*command),
            _ => None,
        });
        legs.collect()
    }

    fn token(&self) -> PersistToken {
        let token = self.out.iter().find_map(|output| match output {
            Output::Persist { token, .. } => Some(*token),
            _ => None,
        });
        token.expect("a write was asked for")
    }

    fn view(&self, campaign: &Campaign) -> PacingView {
        self.center.pacing_view(campaign.id, self.now)
    }
}

fn dispose(name: &str) -> AgentCommand {
    AgentCommand::Dispose {
        disposition: name.into(),
        note: String::new(),
        callback_at: None,
    }
}

fn ratio() -> Arc<Campaign> {
    Arc::new(campaign(1, PacingMode::Ratio))
}

fn progressive() -> Arc<Campaign> {
    Arc::new(campaign(1, PacingMode::Progressive))
}
