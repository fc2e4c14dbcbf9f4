//! What goes into [`crate::CallCenter`] and what comes out.

use crate::{
    agent::Duty,
    attempt::{AttemptEvent, AttemptState, CancelReason, DialFacts, JournalEntry},
    command::AgentCommand,
    end::AttemptEnd,
    error::CommandError,
    leg::{LegCommand, LegEvent},
    notice::AgentNotice,
};
use domain::{
    AgentId, AttemptId, CallBackEnd, Campaign, CampaignId, DncSource, LeasedLead, LegId,
    PhoneNumber, VoiceDrop, WallTime, WhoAnswered,
};
use std::{sync::Arc, time::Duration};

/// Names an agent's command, so that its answer finds the way back. Chosen by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a durable write that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken(pub u64);

/// An agent's account as far as calls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub agent: AgentId,
    /// Campaigns the agent takes calls of; empty means every one.
    pub campaigns: Vec<CampaignId>,
    /// Whether the agent may sign in. Disabling ends the shift: at once when idle, after the call
    /// otherwise.
    pub enabled: bool,
}

/// How a person who calls back is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallBackWish {
    /// The last attempt at the person, where one is known.
    pub after: Option<AttemptId>,
    /// Whether the person's number is withheld: then the lead has the number that was called.
    pub withheld: bool,
    /// The agent who spoke with the person last.
    pub agent: Option<AgentId>,
    /// How long the person waits for an agent.
    pub wait: Duration,
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// Dial a lead. In mode `Progressive` an agent is reserved for the line.
    Dial {
        /// The lead.
        lease: LeasedLead,
        /// Its campaign, running.
        campaign: Arc<Campaign>,
        /// A leg id not in use, below [`crate::AGENT_LEGS`].
        leg: LegId,
        /// How long a listener (AMD) may take to tell who answered; none where none listens: every
        /// answer is a person.
        screening: Option<Duration>,
    },
    /// A person called one of our numbers and was answered.
    CalledBack {
        /// The person as far as is known, and the call's own id.
        lead: LeasedLead,
        /// Whose agents take the call; in any state.
        campaign: Arc<Campaign>,
        /// A leg id not in use, below [`crate::AGENT_LEGS`].
        leg: LegId,
        /// For the record: when the INVITE came, which number was called, by which trunk.
        facts: Box<DialFacts>,
        /// How the person is served.
        wish: CallBackWish,
    },
    /// The INVITE left; again when the next trunk is tried before anything rang.
    Dialed {
        /// Which.
        attempt: AttemptId,
        /// For the record.
        facts: DialFacts,
    },
    /// No INVITE left and none will: the permit said no, or no trunk or caller ID was to be had.
    NotDialed {
        /// Which.
        attempt: AttemptId,
    },
    /// Something happened to a leg.
    Leg {
        /// Which.
        leg: LegId,
        /// What.
        event: LegEvent,
    },
    /// The listener told who answered.
    Screened {
        /// Which.
        attempt: AttemptId,
        /// Who.
        who: WhoAnswered,
    },
    /// The listener told that a machine answered, instead of [`Input::Screened`] where the attempt's campaign
    /// has a message for machines.
    MachineFound {
        /// Which.
        attempt: AttemptId,
        /// Who.
        who: WhoAnswered,
        /// Leave it; or why not: hung up on then.
        message: Result<(), VoiceDrop>,
    },
    /// The machine that answered an attempt beeped. Nothing where no message waits for it.
    MachineBeeped {
        /// Which.
        attempt: AttemptId,
        /// Leave it; or why it may not be left any more: hung up on then.
        message: Result<(), VoiceDrop>,
    },
    /// What is said in an attempt's bridge is recorded from here on.
    RecordingBegan {
        /// Which.
        attempt: AttemptId,
    },
    /// Another node keeps an agent for a person who waits here: the two are joined.
    AgentLent {
        /// Whose person.
        attempt: AttemptId,
        /// The agent, for the record.
        agent: AgentId,
        /// The leg to there: an id not in use, below [`crate::AGENT_LEGS`].
        leg: LegId,
    },
    /// A lent agent set a disposition. [`Output::LentKept`] follows.
    LentDisposed {
        /// Which attempt's.
        attempt: AttemptId,
        /// Its name in the campaign.
        disposition: String,
        /// A note for the record.
        note: String,
        /// A promised callback.
        callback_at: Option<WallTime>,
    },
    /// A lent agent is gone, or the way there is.
    LentLeft {
        /// Which attempt's.
        attempt: AttemptId,
    },
    /// A lent agent wants the recording paused, or to go on.
    LentPauses {
        /// Which attempt's.
        attempt: AttemptId,
        /// For now.
        paused: bool,
    },
    /// A person of another node answered and wants an agent: one is kept, for so long, until
    /// [`Input::OfferTaken`]. What the agent sets comes out as [`Output::Report`], the end as
    /// [`Output::Returned`]; nothing is written here.
    Offered {
        /// The person, under the other node's lease.
        lead: Box<LeasedLead>,
        /// Whose agents are asked.
        campaign: Arc<Campaign>,
        /// The leg to there: an id not in use, below [`crate::AGENT_LEGS`].
        leg: LegId,
        /// For how long the agent is kept.
        within: Duration,
    },
    /// That person hears the agent.
    OfferTaken {
        /// Which.
        attempt: AttemptId,
    },
    /// An [`Output::Report`] did not arrive, or was refused.
    NotKept {
        /// Which.
        token: PersistToken,
    },
    /// Give an attempt up unless it was answered.
    CancelAttempt {
        /// Which.
        attempt: AttemptId,
        /// Why.
        reason: CancelReason,
    },
    /// A campaign changed. When it does not run any more its unanswered attempts are cancelled;
    /// everything else keeps to the campaign as it was when the attempt began.
    Campaign(Arc<Campaign>),
    /// An agent's account appeared or changed.
    Account(Account),
    /// An agent pressed a button. Always answered with one [`Output::Reply`].
    Agent {
        /// Who.
        agent: AgentId,
        /// Which reply to send.
        request: RequestId,
        /// What.
        command: AgentCommand,
    },
    /// A screen of the agent opened; answered with a snapshot.
    ScreenAttached {
        /// Who.
        agent: AgentId,
    },
    /// The agent's last screen closed.
    ScreenGone {
        /// Who.
        agent: AgentId,
    },
    /// A durable write finished.
    Persisted {
        /// Which.
        token: PersistToken,
    },
}

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// For the legs.
    Leg(LegCommand),
    /// For an agent's screens; dropped when there is none.
    Notice {
        /// Whose.
        agent: AgentId,
        /// What.
        notice: AgentNotice,
    },
    /// Write this durably, then say [`Input::Persisted`]. Nothing is acknowledged before.
    Persist {
        /// What to say it with.
        token: PersistToken,
        /// What to write.
        entry: JournalEntry,
    },
    /// Tell the node whose person it is what its agent set, then say [`Input::Persisted`] or
    /// [`Input::NotKept`]. Nothing is acknowledged before.
    Report {
        /// What to say it with.
        token: PersistToken,
        /// Which.
        attempt: AttemptId,
        /// The disposition's name.
        disposition: String,
        /// The note.
        note: String,
        /// A promised callback.
        callback_at: Option<WallTime>,
    },
    /// What a lent agent set is durable.
    LentKept {
        /// Which attempt's.
        attempt: AttemptId,
    },
    /// Nothing of another node's attempt is left here.
    Returned {
        /// Which.
        attempt: AttemptId,
        /// Its campaign.
        campaign: CampaignId,
        /// The agent spoke with the person.
        joined: bool,
        /// A disposition was reported, or could not be.
        kept: bool,
    },
    /// The answer to a command.
    Reply {
        /// Which.
        request: RequestId,
        /// Done, or why not.
        result: Result<(), CommandError>,
    },
    /// An attempt has its one disposition.
    Closed(Box<AttemptEnd>),
    /// A person must not be called again. Binds this node at once, before any commit.
    AddDoNotCall {
        /// The number.
        number: PhoneNumber,
        /// The campaign in which it was asked.
        campaign: CampaignId,
        /// Who asked.
        source: DncSource,
    },
    /// For metrics, event streams and wallboards.
    Observed(Observed),
}

/// What metrics and wallboards want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// An attempt moved.
    Attempt {
        /// Which.
        attempt: AttemptId,
        /// Its campaign.
        campaign: CampaignId,
        /// Where to.
        to: AttemptState,
    },
    /// An agent moved.
    Agent {
        /// Who.
        agent: AgentId,
        /// From where,
        from: Duty,
        /// where to,
        to: Duty,
        /// after how long.
        after: Duration,
    },
    /// It was told who answered, or not within the limit.
    Screened {
        /// The campaign.
        campaign: CampaignId,
        /// Who.
        who: WhoAnswered,
    },
    /// A person got an agent.
    Joined {
        /// The campaign.
        campaign: CampaignId,
        /// After how long a wait.
        waited: Duration,
    },
    /// A person got none: the message is played, or the person gave up before.
    Abandoned {
        /// The campaign.
        campaign: CampaignId,
        /// After how long a wait.
        waited: Duration,
    },
    /// A message to a machine came to its end, or was not left.
    VoiceDrop {
        /// The campaign.
        campaign: CampaignId,
        /// How it went.
        drop: VoiceDrop,
    },
    /// A person opted out by key during the message.
    OptedOut {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A person who called back was joined with an agent, or has hung up or been hung up without one.
    CallBack {
        /// The campaign.
        campaign: CampaignId,
        /// How it went.
        end: CallBackEnd,
        /// After how long a wait.
        waited: Duration,
    },
    /// So many persons who called back wait for an agent from now on.
    CallBacksWaiting {
        /// How many.
        waiting: u32,
    },
    /// A leg this machine had let go was answered after all, and hung up.
    StrayAnswer {
        /// Which.
        leg: LegId,
    },
}

/// An attempt's timers; at most one runs at a time beside those for the minimum ring and for a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttemptTimer {
    /// The engine must say whether an INVITE left.
    Leased,
    /// The ring limit.
    Ring,
    /// After which a line without its agent may be cancelled.
    MinimumRing,
    /// The end of a cancelled leg must come.
    Cancelled,
    /// The listener must tell who answered.
    Screening,
    /// A person waits for an agent.
    Answer,
    /// The abandonment message, a call-back's announcement or a message to a machine is played, or the
    /// machine is waited for.
    Message,
    /// The talk limit.
    Talk,
    /// For how long a person may be on hold.
    Hold,
    /// The wrap-up limit.
    WrapUp,
}

/// An agent's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentTimer {
    /// The phone rings.
    Phone,
    /// No screen is open.
    Screen,
}

/// This machine's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerName {
    /// Of an attempt.
    Attempt(AttemptId, AttemptTimer),
    /// Of an agent.
    Agent(AgentId, AgentTimer),
}

/// An input that cannot be taken. The state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The node is full.
    #[error("attempt {attempt} not taken: {limit} attempts in the air is this node's limit")]
    TooManyAttempts {
        /// Which.
        attempt: AttemptId,
        /// [`domain::limits::NODE_ATTEMPTS`].
        limit: usize,
    },
    /// As many persons who called back wait as may.
    #[error("{limit} persons who called back wait, which is this node's limit")]
    TooManyCallBacks {
        /// [`domain::limits::CALL_BACKS_WAITING`].
        limit: usize,
    },
    /// The attempt runs already.
    #[error("attempt {0} is already under way")]
    KnownAttempt(AttemptId),
    /// The leg id is in use or not one for persons' legs.
    #[error("{0} cannot name a new leg: in use, or in the range of agents' legs")]
    LegTaken(LegId),
    /// The lead was leased for another campaign.
    #[error("attempt {attempt} was leased for {leased}, not for {given}")]
    OtherCampaign {
        /// Which.
        attempt: AttemptId,
        /// By the lease.
        leased: CampaignId,
        /// By the input.
        given: CampaignId,
    },
    /// The campaign does not run.
    #[error("{0} is not running: nothing is dialed for it")]
    NotRunning(CampaignId),
    /// A progressive line needs an agent.
    #[error("no agent is ready for {0}: a progressive line needs one of its own")]
    NoReadyAgent(CampaignId),
    /// No such attempt is under way.
    #[error("attempt {0} is not under way")]
    UnknownAttempt(AttemptId),
    /// The table has no such move.
    #[error("attempt {attempt} is {state:?} and does not take {event:?}")]
    NotAllowed {
        /// Which.
        attempt: AttemptId,
        /// Where it stands.
        state: AttemptState,
        /// What came.
        event: AttemptEvent,
    },
    /// The attempt was answered: it cannot be cancelled any more.
    #[error("attempt {attempt} is {state:?}: too late to cancel it")]
    TooLate {
        /// Which.
        attempt: AttemptId,
        /// Where it stands.
        state: AttemptState,
    },
    /// No such agent is known here.
    #[error("{0} is not an agent of this node")]
    UnknownAgent(AgentId),
    /// The attempt has no lent agent, has its disposition, or knows none of that name.
    #[error("attempt {0} takes no such disposition of another node's agent")]
    LentDisposition(AttemptId),
    /// No such write was asked for.
    #[error("no write was asked for with token {}", .0.0)]
    UnknownToken(PersistToken),
}
