//! One agent: the shift, the phone, the screen.

use crate::notice::{AgentStatus, Phone};
use domain::{AgentState, AttemptId, CampaignId, Instant, LegId, PauseCode, WallTime};
use sansio::transitions::Table;

/// The states of [`AgentState`] without their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// No shift.
    LoggedOut,
    /// On shift, takes no calls.
    Paused,
    /// Waits for a call.
    Ready,
    /// Kept for a line that is being dialed.
    Reserved,
    /// In a bridge.
    OnCall,
    /// After the call.
    WrapUp,
}

/// What moves an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DutyEvent {
    /// The phone was answered: the shift begins.
    PhoneUp,
    /// Wants calls, or is given back to those who wait for one.
    BecameReady,
    /// Wants none.
    Paused,
    /// Kept for a line.
    Reserved,
    /// Joined with a person.
    Joined,
    /// The call's audio ended.
    CallEnded,
    /// Logged out, or the phone is gone.
    Left,
}

/// Every move of an agent.
pub const AGENT: Table<Duty, DutyEvent> = sansio::table!(
    "agent", Duty, DutyEvent;
    LoggedOut: PhoneUp => Paused,
    Paused: BecameReady => Ready,
    Paused: Paused => Paused,
    Paused: Left => LoggedOut,
    Ready: Paused => Paused,
    Ready: Reserved => Reserved,
    Ready: Joined => OnCall,
    Ready: Left => LoggedOut,
    Reserved: BecameReady => Ready,
    Reserved: Paused => Paused,
    Reserved: Joined => OnCall,
    Reserved: Left => LoggedOut,
    OnCall: CallEnded => WrapUp,
    OnCall: Left => LoggedOut,
    WrapUp: BecameReady => Ready,
    WrapUp: Paused => Paused,
    WrapUp: Left => LoggedOut,
);

/// What moves an agent's phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneEvent {
    /// We call it.
    Called,
    /// It was answered.
    Answered,
    /// It failed, hung up, or was hung up.
    Ended,
}

/// Every move of an agent's phone: one leg a shift.
pub const PHONE: Table<Phone, PhoneEvent> = sansio::table!(
    "agent's phone", Phone, PhoneEvent;
    Down: Called => Ringing,
    Ringing: Answered => Up,
    Ringing: Ended => Down,
    Up: Ended => Down,
);

/// The code of a pause that a lost screen brought.
pub(crate) const SCREEN_GONE: &str = "screen_gone";

/// What an agent asked to come after the call and its wrap-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Ready,
    Paused(PauseCode),
    LogOut,
}

impl After {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Paused(_) => "pause",
            Self::LogOut => "log_out",
        }
    }
}

/// An agent of this node.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// Empty: every campaign.
    pub(crate) campaigns: Vec<CampaignId>,
    pub(crate) enabled: bool,
    pub(crate) duty: Duty,
    pub(crate) pause: PauseCode,
    pub(crate) since: WallTime,
    /// The same on the steady clock.
    pub(crate) began: Instant,
    pub(crate) deadline: Option<WallTime>,
    /// Waiting for a call since; kept over a reservation that came to nothing.
    pub(crate) idle_since: Instant,
    pub(crate) phone: Phone,
    /// While the phone is not down.
    pub(crate) leg: Option<LegId>,
    /// Whether the phone that is up can be heard: false while a browser's audio is gone. No call comes
    /// meanwhile.
    pub(crate) audio: bool,
    /// Whether a screen is open.
    pub(crate) screen: bool,
    /// The line, call or wrap-up the agent is bound to.
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) after: Option<After>,
}

impl Agent {
    pub(crate) fn new(now: domain::Now) -> Self {
        Self {
            campaigns: Vec::new(),
            enabled: true,
            duty: Duty::LoggedOut,
            pause: PauseCode::default(),
            since: now.wall,
            began: now.monotonic,
            deadline: None,
            idle_since: now.monotonic,
            phone: Phone::Down,
            leg: None,
            audio: true,
            screen: false,
            attempt: None,
            after: None,
        }
    }

    pub(crate) fn serves(&self, campaign: CampaignId) -> bool {
        self.campaigns.is_empty() || self.campaigns.contains(&campaign)
    }

    /// Bound to a line, a call or its wrap-up.
    pub(crate) fn busy(&self) -> bool {
        matches!(self.duty, Duty::Reserved | Duty::OnCall | Duty::WrapUp)
    }

    /// Nothing but the wrap-up stands between the agent and the next call, as far as is known.
    pub(crate) fn will_be_ready(&self) -> bool {
        self.enabled && !matches!(self.after, Some(After::Paused(_) | After::LogOut))
    }

    pub(crate) fn state(&self) -> AgentState {
        match self.duty {
            Duty::LoggedOut => AgentState::LoggedOut,
            Duty::Paused => AgentState::Paused(self.pause.clone()),
            Duty::Ready => AgentState::Ready,
            Duty::Reserved => AgentState::Reserved,
            Duty::OnCall => AgentState::OnCall,
            Duty::WrapUp => AgentState::WrapUp,
        }
    }

    pub(crate) fn status(&self) -> AgentStatus {
        AgentStatus {
            state: self.state(),
            since: self.since,
            deadline: self.deadline,
            phone: if self.audio { self.phone } else { Phone::Down },
            next: self.after.as_ref().map(|after| after.name().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings() {
        insta::assert_snapshot!("agent", AGENT.drawing());
        insta::assert_snapshot!("phone", PHONE.drawing());
    }

    #[test]
    fn an_agent_can_leave_from_everywhere_on_shift() {
        for duty in [
            Duty::Paused,
            Duty::Ready,
            Duty::Reserved,
            Duty::OnCall,
            Duty::WrapUp,
        ] {
            assert_eq!(AGENT.next(duty, DutyEvent::Left), Some(Duty::LoggedOut));
        }
    }
}
