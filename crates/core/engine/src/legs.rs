//! The legs of a node: which SIP call or browser and which media port belong to which leg.

use crate::targets::Tried;
use domain::{AgentId, AttemptId, CarriedCall, Codec, Instant, LegId, LegStats, MemberId, TrunkId};
use std::{collections::BTreeMap, net::SocketAddr};

/// Whose a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A called person's, by a trunk.
    Person { attempt: AttemptId, trunk: TrunkId },
    /// An agent's phone; of another node's agent, the way there.
    Agent(AgentId),
    /// The way to another node's person, who speaks with an agent of this one.
    Visitor(AttemptId),
}

/// By what a leg is held.
#[derive(Debug)]
pub(crate) enum Line {
    /// A SIP call, and our side of its session.
    Sip {
        call: sip::CallHandle,
        local: sip::sdp::LocalMedia,
    },
    /// The browser of the leg's agent.
    Browser,
    /// A call that the mesh carries, to that node.
    Carried(MemberId, CarriedCall),
}

/// How far a person's leg came, as its trunk tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// When its INVITE was made.
    pub(crate) sent_at: Instant,
    /// Any response came.
    pub(crate) heard: bool,
    /// More than 100 came.
    pub(crate) rang: bool,
    /// It was without a word for too long already.
    pub(crate) doubted: bool,
    /// The trunk that it was tried on before.
    pub(crate) before: Option<TrunkId>,
    /// Where its INVITE went.
    pub(crate) to: Option<SocketAddr>,
    /// Where it was tried before.
    pub(crate) tried: Tried,
}

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) owner: Owner,
    pub(crate) line: Line,
    /// The relay was told to listen to who answers.
    pub(crate) listened: bool,
    /// The call center may still hear of it.
    pub(crate) heard: bool,
    pub(crate) answered: bool,
    /// SIP is over.
    pub(crate) ended: bool,
    /// The relay was told to close it.
    pub(crate) closing: bool,
    pub(crate) progress: Progress,
    /// What is left on the machine that answered it.
    pub(crate) message: Option<media::PromptId>,
}

impl Leg {
    /// Its SIP call, when that is what it is held by.
    pub(crate) fn call(&self) -> Option<sip::CallHandle> {
        match &self.line {
            Line::Sip { call, .. } => Some(*call),
            Line::Browser | Line::Carried(..) => None,
        }
    }

    /// Our side of its SIP session.
    pub(crate) fn local(&self) -> Option<&sip::sdp::LocalMedia> {
        match &self.line {
            Line::Sip { local, .. } => Some(local),
            Line::Browser | Line::Carried(..) => None,
        }
    }
}

/// All legs.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    legs: BTreeMap<LegId, Leg>,
    trunk_calls: BTreeMap<sip::CallHandle, LegId>,
    agent_calls: BTreeMap<sip::CallHandle, LegId>,
    /// Figures of legs that closed before their attempt did.
    figures: BTreeMap<LegId, LegStats>,
    channels: BTreeMap<TrunkId, u32>,
    persons: BTreeMap<AttemptId, LegId>,
    /// What is sent to each.
    codecs: BTreeMap<LegId, Codec>,
}

impl Legs {
    pub(crate) fn insert(&mut self, id: LegId, leg: Leg) {
        let calls = match leg.owner {
            Owner::Person { trunk, attempt } => {
                self.persons.insert(attempt, id);
                *self.channels.entry(trunk).or_default() += 1;
                &mut self.trunk_calls
            }
            Owner::Agent(_) | Owner::Visitor(_) => &mut self.agent_calls,
        };
        if let Some(call) = leg.call() {
            calls.insert(call, id);
        }
        self.legs.insert(id, leg);
    }

    pub(crate) fn get(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(&id)
    }

    pub(crate) fn of_call(&self, side: crate::Side, call: sip::CallHandle) -> Option<LegId> {
        match side {
            crate::Side::Trunks => self.trunk_calls.get(&call).copied(),
            crate::Side::Agents => self.agent_calls.get(&call).copied(),
        }
    }

    /// The leg of an attempt whose SIP is not over.
    pub(crate) fn of_attempt(&self, attempt: AttemptId) -> Option<LegId> {
        self.persons.get(&attempt).copied()
    }

    /// A person's leg goes on by another trunk, with another call: what it was before is let go.
    pub(crate) fn move_to(
        &mut self,
        id: LegId,
        trunk: TrunkId,
        call: sip::CallHandle,
        local: sip::sdp::LocalMedia,
        progress: Progress,
    ) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| !leg.ended) else {
            return;
        };
        let Owner::Person {
            attempt,
            trunk: before,
        } = leg.owner
        else {
            return;
        };
        if let Some(before) = leg.call() {
            self.trunk_calls.remove(&before);
        }
        self.trunk_calls.insert(call, id);
        (leg.line, leg.progress) = (Line::Sip { call, local }, progress);
        leg.owner = Owner::Person { attempt, trunk };
        if let Some(channels) = self.channels.get_mut(&before) {
            *channels = channels.saturating_sub(1);
        }
        *self.channels.entry(trunk).or_default() += 1;
    }

    /// SIP is over: the trunk's channel is free again.
    pub(crate) fn end(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id).filter(|leg| !leg.ended) else {
            return;
        };
        leg.ended = true;
        let calls = match leg.owner {
            Owner::Person { trunk, attempt } => {
                self.persons.remove(&attempt);
                if let Some(channels) = self.channels.get_mut(&trunk) {
                    *channels = channels.saturating_sub(1);
                }
                &mut self.trunk_calls
            }
            Owner::Agent(_) | Owner::Visitor(_) => &mut self.agent_calls,
        };
        if let Some(call) = leg.call() {
            calls.remove(&call);
        }
    }

    /// The relay closed it.
    pub(crate) fn remove(&mut self, id: LegId, stats: LegStats, keep: bool) -> Option<Leg> {
        if keep {
            self.figures.insert(id, stats);
        }
        self.codecs.remove(&id);
        self.legs.remove(&id)
    }

    /// Remembers what is sent to a leg.
    pub(crate) fn set_codec(&mut self, id: LegId, codec: Codec) {
        if self.legs.contains_key(&id) {
            self.codecs.insert(id, codec);
        }
    }

    /// What is sent to a leg.
    pub(crate) fn codec(&self, id: LegId) -> Option<Codec> {
        self.codecs.get(&id).copied()
    }

    /// Whether the relay still has it.
    pub(crate) fn is_open(&self, id: LegId) -> bool {
        self.legs.contains_key(&id)
    }

    /// Takes the figures of a leg that closed already.
    pub(crate) fn figures(&mut self, id: LegId) -> Option<LegStats> {
        self.figures.remove(&id)
    }

    /// Calls on a trunk now.
    pub(crate) fn channels(&self, trunk: TrunkId) -> u32 {
        self.channels.get(&trunk).copied().unwrap_or(0)
    }
}
