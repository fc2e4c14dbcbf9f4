//! Supervisors in calls: who may, with whose audio leg, until when.
//!
//! A supervisor's audio leg is that of an agent account of this node, on shift and paused: a seat. It is
//! let into a bridge by the relay's mixer; the call center knows nothing of it, and no SIP message of the
//! call's own legs is ever sent for it.

use crate::{Engine, Observed, Output};
use domain::{
    AgentId, AttemptId, LegId, LiveCall, LiveFloor, Supervision, SupervisionOrder,
    SupervisionRefusal, limits,
};
use media::MediaCommand;
use std::collections::BTreeMap;

/// One supervisor in a call.
#[derive(Clone, Copy, Debug)]
struct Within {
    call: AttemptId,
    /// The supervisor's own leg.
    leg: LegId,
    /// The call's agent.
    agent: AgentId,
    manner: Supervision,
}

/// All supervisors who are in calls, by their seats.
#[derive(Debug, Default)]
pub(crate) struct Supervisions(BTreeMap<AgentId, Within>);

impl Engine {
    /// Lets a supervisor into a call, changes how, or lets the supervisor go.
    pub(crate) fn supervise(&mut self, order: SupervisionOrder) -> Result<(), SupervisionRefusal> {
        let SupervisionOrder { call, seat, manner } = order;
        let known = self.supervisions.0.get(&seat).copied();
        let Some(manner) = manner else {
            return match known.filter(|known| known.call == call) {
                Some(_) => {
                    self.end_supervision(seat);
                    Ok(())
                }
                None => Err(SupervisionRefusal::NotThere),
            };
        };
        let agent = self
            .calls
            .agent_in(call)
            .ok_or(SupervisionRefusal::NotLive)?;
        let agent_leg = self.calls.agent_leg_of(agent);
        let agent_leg = agent_leg.ok_or(SupervisionRefusal::NotLive)?;
        let campaign = self.calls.lease(call).map(|lease| lease.campaign);
        let campaign = campaign.ok_or(SupervisionRefusal::NotLive)?;
        let (leg, serves) = self.calls.seat(seat, campaign)?;
        if !serves {
            return Err(SupervisionRefusal::OtherCampaign);
        }
        let others = self.supervisions.0.iter();
        let others = others.filter(|(id, within)| **id != seat && within.call == call);
        if others.count() >= limits::CALL_SUPERVISORS {
            return Err(SupervisionRefusal::Full);
        }
        if known.is_some_and(|known| known.call != call) {
            self.end_supervision(seat);
        }
        let within = Within {
            call,
            leg,
            agent,
            manner,
        };
        self.supervisions.0.insert(seat, within);
        self.media(MediaCommand::Supervise {
            leg,
            agent: agent_leg,
            manner,
        });
        self.observe_supervision(seat, call, Some(manner));
        Ok(())
    }

    /// A supervisor is in no call any more; fine when there was none.
    pub(crate) fn end_supervision(&mut self, seat: AgentId) {
        let Some(within) = self.supervisions.0.remove(&seat) else {
            return;
        };
        // A leg that closes leaves by itself.
        if self.legs.get(within.leg).is_some_and(|leg| !leg.closing) {
            self.media(MediaCommand::Unsupervise { leg: within.leg });
        }
        self.observe_supervision(seat, within.call, None);
    }

    /// An agent moved. A seat that moves takes calls, or is gone. The end of an agent's call is the end of
    /// its bridge: the relay lets go whoever supervises it.
    pub(crate) fn supervision_follows(&mut self, agent: AgentId, from: call::Duty) {
        self.end_supervision(agent);
        if from != call::Duty::OnCall {
            return;
        }
        let over = self.supervisions.0.extract_if(.., |_, w| w.agent == agent);
        let over: Vec<_> = over.map(|(seat, within)| (seat, within.call)).collect();
        for (seat, call) in over {
            self.observe_supervision(seat, call, None);
        }
    }

    /// An account changed: who does not serve a call's campaign any more is not in that call.
    pub(crate) fn recheck_supervision(&mut self, seat: AgentId) {
        let Some(within) = self.supervisions.0.get(&seat) else {
            return;
        };
        let campaign = self.calls.lease(within.call).map(|lease| lease.campaign);
        let serves = campaign.map(|campaign| self.calls.seat(seat, campaign));
        if matches!(serves, Some(Ok((_, false)))) {
            self.end_supervision(seat);
        }
    }

    fn observe_supervision(&mut self, seat: AgentId, call: AttemptId, manner: Option<Supervision>) {
        self.output(Output::Observed(Observed::Supervision {
            seat,
            call,
            manner,
        }));
    }

    /// The calls in which somebody speaks now, and the seats that supervisors could take.
    pub fn live_floor(&self) -> LiveFloor {
        let supervisors = |call: AttemptId| {
            let within = self.supervisions.0.iter().filter(|(_, w)| w.call == call);
            within.map(|(seat, w)| (*seat, w.manner)).collect()
        };
        let calls = self.calls.joined().map(|joined| LiveCall {
            attempt: joined.attempt,
            campaign: joined.lease.campaign,
            region: joined.lease.lead.region(),
            agent: joined.agent,
            number: joined.number,
            call_back: joined.attempt.is_call_back(),
            joined_at: joined.joined_at,
            supervisors: supervisors(joined.attempt),
        });
        let held = |joined: call::JoinedCall<'_>| Some((joined.attempt, joined.held_since?));
        LiveFloor {
            held: self.calls.joined().filter_map(held).collect(),
            calls: calls.collect(),
            seats: self.calls.seats().collect(),
        }
    }
}
