//! What goes into [`crate::Engine`] and what comes out.

use crate::{
    asking::CallerAnswer, call_backs::CallBackConfig, called::CalledPerson, facts::DirectoryCopy,
    overflow::OverflowStep, recordings::RecordingOrder, secured::SrtpConfig,
};
use bytes::Bytes;
use call::{AgentCommand, AgentNotice, CommandError, PersistToken, RequestId};
use domain::{
    AgentAccount, AgentId, AnsweringMachines, AttemptId, CallOutcome, CallRecord, CallRecording,
    CallerId, CallerTold, Campaign, CampaignId, CarriedCall, CarriedSaid, Chances, ClearanceFact,
    DncBaseId, DncEntry, DncListAge, DncScope, EscrowGrant, FreeAgents, Instant, LeadId, LeadOrder,
    LeasedLead, Levers, MemberId, OverflowAnswer, OverflowOffer, PhoneNumber, PromptName,
    Recording, RecordingKey, RegionId, SessionId, Supervision, SupervisionOrder,
    SupervisionRefusal, Trunk, TrunkId, TrunkManner, TrunkTarget, WallTime,
    status::{NodeProblem, TrunkTrouble},
};
use media::{BrowserCommand, BrowserEvent, BrowserId, CarryCommand, MediaCommand, MediaEvent};
use permit::{EscrowQuestion, base::BaseLookup};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// Which of a node's two SIP user agents: carriers never share a port with agents' phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Towards carriers.
    Trunks,
    /// Towards agents' phones.
    Agents,
}

/// What the engine must know of its node.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The node.
    pub member: MemberId,
    /// The regions whose leads it dials.
    pub regions: Vec<RegionId>,
    /// The bound address of the trunks' side.
    pub trunk_address: SocketAddr,
    /// The address carriers see in Contact and Via.
    pub trunk_advertised: SocketAddr,
    /// The bound address for carriers that speak TLS, and the one that they see; none where the node
    /// has no certificate.
    pub trunk_tls: Option<(SocketAddr, SocketAddr)>,
    /// What calls are signed with (STIR/SHAKEN); none where the node has no key for it: then trunks
    /// that want it are unusable.
    pub voucher: Option<Arc<sip::passport::Voucher>>,
    /// The bound address of the agents' side.
    pub agent_address: SocketAddr,
    /// The address written into SDP.
    pub media_address: std::net::IpAddr,
    /// RTP ports.
    pub media_ports: media::PortRange,
    /// The digest realm of agents' phones.
    pub realm: String,
    /// Agents' phones are challenged with MD5 alone.
    pub md5_only: bool,
    /// Whose media is secured.
    pub srtp: SrtpConfig,
    /// Do-not-call freshness.
    pub freshness: Duration,
    /// The abandonment message, if there is one.
    pub safe_harbour: Option<media::PromptId>,
    /// What a person on hold hears, around and around.
    pub hold: media::PromptId,
    /// Messages for answering machines, by the names that campaigns say.
    pub voice_drops: BTreeMap<PromptName, media::PromptId>,
    /// Persons who call back.
    pub call_backs: CallBackConfig,
    /// Where this node's audit chain ends.
    pub audit: permit::audit::Head,
    /// With which the chain hashes called numbers.
    pub audit_numbers: permit::audit::NumberKey,
}

/// A change of the directory, as the node's copy of it applied it.
#[derive(Clone, Debug)]
pub enum DirectoryChange {
    /// A campaign as it is now.
    Campaign(Arc<Campaign>),
    /// How a trunk is used; said before the trunk.
    TrunkManner(TrunkId, Box<TrunkManner>),
    /// A trunk as it is now.
    Trunk(Box<Trunk>),
    /// A trunk that is gone.
    TrunkRemoved(TrunkId),
    /// Caller IDs as they are now.
    CallerIds(Vec<CallerId>),
    /// Caller IDs that are gone.
    CallerIdsRemoved(Vec<PhoneNumber>),
    /// An agent as the account is now.
    Agent(Box<AgentAccount>),
    /// An agent who is gone.
    AgentRemoved(AgentId),
    /// Do-not-call entries, each with the directory index that added it, and removals of exactly
    /// such entries.
    Dnc {
        /// Added or renewed.
        added: Vec<(DncEntry, u64)>,
        /// Gone.
        removed: Vec<(PhoneNumber, DncScope, u64)>,
    },
    /// Another do-not-call base is in use, or none.
    DncBase(Option<DncBaseId>),
    /// How old the lists are that the do-not-call base in use was made of.
    DncAges(Vec<DncListAge>),
    /// Patterns, freezes and consents, there or gone.
    Clearance(Vec<ClearanceFact>),
    /// What a campaign does about answering machines, from its next attempts on.
    Answering(CampaignId, AnsweringMachines),
    /// Which calls of a campaign are recorded, from its next joined ones on.
    Recording(CampaignId, Recording),
    /// The key that recordings are made with from here on.
    RecordingKey(RecordingKey),
    /// What an operator sets of a campaign's pacing, from the next decision on.
    Levers(CampaignId, Levers),
    /// With which other a campaign counts its abandonments; said while it is a draft.
    DropRateGroup(CampaignId, Option<CampaignId>),
    /// Of how many dials in a hundred a campaign shows a number that is not local, from its next
    /// attempts on.
    HoldOut(CampaignId, u8),
    /// In which order a campaign's leads are given out, from the next claim on.
    LeadOrder(CampaignId, LeadOrder),
    /// Which message a campaign leaves on answering machines, from the next ones that answer on.
    VoiceDrop(CampaignId, Option<PromptName>),
    /// Everything, after a start or a snapshot.
    Reset(Box<DirectoryCopy>),
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes from a SIP socket.
    Sip {
        /// Which user agent's.
        side: Side,
        /// Where they came from.
        flow: sip::Flow,
        /// One datagram, or one framed message of a stream.
        bytes: &'a [u8],
    },
    /// A SIP stream closed, or bytes could not be sent that way.
    SipFlowLost {
        /// Which user agent's.
        side: Side,
        /// Which.
        flow: sip::Flow,
        /// The stream is gone; otherwise only what was sent last is.
        closed: bool,
    },
    /// A SIP message of ours reached nobody: it never left, or came back as undeliverable.
    SipUnsent {
        /// Which user agent's.
        side: Side,
        /// Where it was to go.
        flow: sip::Flow,
        /// The message, or as much of its beginning as is known.
        bytes: &'a [u8],
        /// There was no room for it, which says nothing of the far end.
        congested: bool,
    },
    /// The relay said something.
    Media(MediaEvent),
    /// The directory changed.
    Directory {
        /// By the entry of this index: everything up to it is known once this is handled.
        index: u64,
        /// What.
        changes: Vec<DirectoryChange>,
    },
    /// The directory group confirmed that `index` was committed when asked at `sent_at`.
    Fresh {
        /// When the question left.
        sent_at: Instant,
        /// The index to have applied.
        index: u64,
    },
    /// Regions of other cities whose leads this node dials too from now on, and no others.
    Helped(Vec<RegionId>),
    /// A region group opened a session for this run.
    SessionOpened {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
        /// Time to live T, as the group answered.
        ttl: Duration,
    },
    /// The region's leader confirmed the session.
    SessionConfirmed {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
        /// When the question left.
        sent_at: Instant,
    },
    /// The region group ended the session.
    SessionEnded {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
    },
    /// The answer to [`Output::Claim`].
    Claimed {
        /// The region.
        region: RegionId,
        /// The campaign.
        campaign: CampaignId,
        /// The leads.
        leads: Vec<LeasedLead>,
        /// Do not ask again before so long; none when leads may be there at once.
        rest: Option<Duration>,
    },
    /// An agent pressed a button.
    Agent {
        /// Who.
        agent: AgentId,
        /// Which reply to send.
        request: RequestId,
        /// What.
        command: AgentCommand,
    },
    /// A supervisor wants to be in a call, in another manner, or out of it. Refused with
    /// [`Rejected::Supervision`].
    Supervise(SupervisionOrder),
    /// An agent's page offered audio, and the relay took it. It takes the place of the agent's other one.
    BrowserOffered {
        /// Who.
        agent: AgentId,
        /// Its name, chosen by the shell.
        browser: BrowserId,
    },
    /// An agent's page closed its audio; fine when it had none.
    BrowserClosed(AgentId),
    /// The relay said something of a browser.
    Browser(BrowserEvent),
    /// A screen of the agent opened.
    ScreenAttached(AgentId),
    /// The agent's last screen closed.
    ScreenGone(AgentId),
    /// A durable write finished.
    Persisted(PersistToken),
    /// An INVITE was handed to the kernel just now: the last check, once more.
    Sent(AttemptId),
    /// An opt-out of an earlier run that the directory may not have yet: binds this node.
    OptOut(DncEntry),
    /// The directory took opt-outs of this node as its entry `index`.
    OptOutsTaken {
        /// Which.
        entries: Vec<DncEntry>,
        /// The directory's index.
        index: u64,
    },
    /// Where agents' phones were when an earlier run told of them last. Said once, at the start.
    Phones(Vec<PhoneAddress>),
    /// When earlier runs of this node showed its caller IDs, within the last day at least. Said
    /// once, at the start, before any lead comes.
    Shown(BTreeMap<PhoneNumber, Vec<WallTime>>),
    /// A do-not-call base is at this node, whole: it answers from the moment that the directory puts
    /// it into use. Said again, it takes the place of the same one.
    DncBaseHere(Arc<dyn BaseLookup>),
    /// A do-not-call base that is not in use is about to be deleted.
    DncBaseGone(DncBaseId),
    /// Whether the calendar cannot be trusted (the members' clocks disagree without a majority, or no
    /// other was heard yet): then no INVITE may leave.
    ClockDisputed(bool),
    /// The directory answered [`Output::AskEscrow`].
    EscrowAnswered {
        /// Which ask.
        sequence: u64,
        /// What it grants.
        grants: Vec<EscrowGrant>,
    },
    /// What earlier runs of this node learned, from [`Output::Learned`], what was learned last first.
    /// Said once, at the start.
    Learned(Vec<(LearnedOf, Vec<u8>)>),
    /// Whom earlier runs of this node called, from [`Output::Called`]. Said once, at the start.
    Called(Vec<CalledPerson>),
    /// The answer to [`Output::WhoCalls`], also where nobody knows.
    CallerTold {
        /// Which question.
        ask: u64,
        /// What.
        told: Box<CallerTold>,
    },
    /// What became of an attempt's recording.
    Recorded(AttemptId, CallRecording),
    /// So many outcomes and records wait to be shipped.
    Backlog(usize),
    /// Where the name of a trunk leads, in any order; none at all changes nothing.
    TrunkLocated {
        /// Which.
        trunk: TrunkId,
        /// Its [`Trunk::address`] as it was when that was looked up.
        name: String,
        /// Where to.
        targets: Vec<TrunkTarget>,
    },
    /// What another node told of its free agents and of the calls that it carries with this one.
    Neighbour {
        /// Who.
        member: MemberId,
        /// How far away it is, there and back.
        round_trip: Duration,
        /// What.
        free: FreeAgents,
    },
    /// The answer to [`Output::Offer`]; none where none came in time.
    OfferAnswered {
        /// Whose.
        from: MemberId,
        /// Whose person.
        attempt: AttemptId,
        /// Which offer.
        call: CarriedCall,
        /// What.
        answer: Option<OverflowAnswer>,
    },
    /// Another node said something of a carried call. Answered by [`Output::WordTaken`].
    CarriedSaid {
        /// Who.
        from: MemberId,
        /// What.
        said: CarriedSaid,
        /// Comes back with the answer.
        request: u64,
    },
    /// Whether an [`Output::Say`] was taken.
    WordTold {
        /// By whom.
        to: MemberId,
        /// What was said.
        said: CarriedSaid,
        /// Came with it.
        token: Option<PersistToken>,
        /// False too where the other node did not answer.
        taken: bool,
    },
    /// No new attempts from here on; leads not dialed are given back.
    Drain,
}

/// What a node's journal keeps of its attempts, in this order: everything known of an attempt
/// after a crash is the last of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// Leads came into the hopper. In the page cache before the first of them is dialed.
    Leased(Vec<(AttemptId, LeadId)>),
    /// An INVITE is about to leave. In the page cache before it does. The record is what will be
    /// kept of the attempt if a crash hides its end: disposition `Unknown`.
    Dialing(Box<CallRecord>),
    /// An agent's disposition. Durable before it is acknowledged.
    Disposed(call::JournalEntry),
    /// An attempt's end. Durable before it is reported.
    Closed {
        /// The session whose lease it was.
        session: SessionId,
        /// For the region's group.
        outcome: CallOutcome,
        /// For the coordinator; none for a lead that was never dialed.
        record: Option<Box<CallRecord>>,
    },
    /// A person's or an agent's opt-out. Durable before the agent hears that it is kept; kept
    /// until the directory has it.
    OptOut(DncEntry),
    /// A person whom no agent took in time. In the page cache before the person hears of it: what a
    /// run spent of its share is not forgotten by a crash.
    Abandoned {
        /// The campaign.
        campaign: CampaignId,
        /// Its abandonments of this run, with this one.
        total: u64,
    },
    /// A call-back's end, for the coordinator. Durable before it is shipped. Its beginning is an
    /// [`Entry::Dialing`], too.
    CalledBack(Box<CallRecord>),
}

/// One output.
#[derive(Clone, Debug)]
pub enum Output {
    /// Append to the journal, without waiting for the disk. Written before anything later leaves.
    Note(Entry),
    /// Append to the audit chain, without waiting for the disk. Written before anything later
    /// leaves.
    Audit(Bytes),
    /// Append to the journal; durable before anyone is told. With a token: say
    /// [`Input::Persisted`] then.
    Persist {
        /// What to say it with.
        token: Option<PersistToken>,
        /// What to write.
        entry: Entry,
    },
    /// Send.
    Transmit {
        /// From which user agent.
        side: Side,
        /// Where to.
        flow: sip::Flow,
        /// What.
        bytes: Bytes,
        /// The attempt whose first INVITE this is: answered by [`Input::Sent`].
        invite: Option<AttemptId>,
    },
    /// For the relay.
    Media(MediaCommand),
    /// For the relay's browsers, in one order with [`Output::Media`].
    Browser(BrowserCommand),
    /// For the relay's carried legs, in one order with [`Output::Media`].
    Carry(CarryCommand),
    /// Ask another node for an agent; answered by [`Input::OfferAnswered`].
    Offer {
        /// Whom.
        to: MemberId,
        /// Whose person.
        attempt: AttemptId,
        /// What.
        offer: Box<OverflowOffer>,
        /// For how long the answer is waited for.
        deadline: Duration,
    },
    /// Say something of a carried call; answered by [`Input::WordTold`].
    Say {
        /// To whom.
        to: MemberId,
        /// What.
        said: CarriedSaid,
        /// Comes back with the answer.
        token: Option<PersistToken>,
    },
    /// The answer to [`Input::CarriedSaid`].
    WordTaken {
        /// Came with it.
        request: u64,
        /// Whether it was.
        taken: bool,
    },
    /// Whoever writes recordings is told of one before the relay is; answered by
    /// [`Input::Recorded`].
    Record(Box<RecordingOrder>),
    /// Ask the region group's leader to confirm the session, now.
    KeepAlive {
        /// The region.
        region: RegionId,
        /// The session.
        session: SessionId,
        /// Comes back with [`Input::SessionConfirmed`].
        sent_at: Instant,
    },
    /// Ask the directory's leader for its commit index, now.
    AskFresh {
        /// Comes back with [`Input::Fresh`].
        sent_at: Instant,
        /// What this engine has applied; goes along.
        applied: u64,
    },
    /// Tell the directory answers and abandonments, and ask for shares of abandonment budgets; until
    /// it answers. The same one may come again.
    AskEscrow(EscrowQuestion),
    /// Ask the region's group for leads.
    Claim {
        /// The region.
        region: RegionId,
        /// The session that will hold them.
        session: SessionId,
        /// The campaign.
        campaign: CampaignId,
        /// At most so many.
        n: u32,
        /// What leads' chances are, where the best go first.
        chances: Option<Box<Chances>>,
    },
    /// What was learned, in the place of what was told of the same before; none to forget it. Need not be
    /// durable: what is lost is learned again.
    Learned {
        /// Of what.
        of: LearnedOf,
        /// In a form of its own: of a campaign as [`scoring::Answers::save`] writes it.
        bytes: Option<Vec<u8>>,
    },
    /// For an agent's screens.
    Notice {
        /// Whose.
        agent: AgentId,
        /// What.
        notice: AgentNotice,
    },
    /// The answer to a command.
    Reply {
        /// Which.
        request: RequestId,
        /// Done, or why not.
        result: Result<(), CommandError>,
    },
    /// An agent's phone is somewhere else, or nowhere any more. Need not be durable: a phone
    /// registers anew in minutes.
    Phone {
        /// Whose.
        login: String,
        /// Where; none when it is gone.
        phone: Option<PhoneAddress>,
    },
    /// A person to remember, for when a call-back comes; others are forgotten for it. Need not be
    /// durable: who is not remembered is served as a stranger.
    Called {
        /// Who, with the last attempt; in the place of what was said of the number before.
        person: Box<CalledPerson>,
        /// Numbers to forget.
        gone: Vec<PhoneNumber>,
    },
    /// Ask the mesh who calls, and whose number that is; answered by [`Input::CallerTold`]. It rings until
    /// then, or until [`domain::limits::WHO_CALLS`] is over.
    WhoCalls {
        /// Comes back with the answer.
        ask: u64,
        /// The person's number; none where it is withheld, or the node knows the person itself.
        number: Option<PhoneNumber>,
        /// The number that was called.
        called: PhoneNumber,
    },
    /// Do-not-call up to this index binds this engine: ringing attempts cancelled, hoppers emptied.
    Applied(u64),
    /// For metrics.
    Observed(Observed),
}

/// What something was learned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnedOf {
    /// Who answers a campaign's calls.
    Campaign(CampaignId),
    /// What persons think of one of our numbers.
    CallerId(PhoneNumber),
}

/// Where an agent's phone registered, kept so that a restarted node can call it at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneAddress {
    /// Its agent's login.
    pub login: String,
    /// The way there.
    pub flow: sip::Flow,
    /// Its Contact URI.
    pub contact: Vec<u8>,
    /// Until when.
    pub expires: WallTime,
}

/// What metrics want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Something of attempts and agents.
    Call(call::Observed),
    /// An attempt closed.
    Closed {
        /// Its campaign.
        campaign: CampaignId,
        /// Its disposition.
        disposition: domain::Disposition,
        /// From INVITE to first ringing.
        post_dial_delay: Option<Duration>,
    },
    /// The last check said no.
    Refused {
        /// The rule.
        rule: &'static str,
    },
    /// An agent's phone was not called: its media must be secured, and it registered without TLS.
    PhoneUnsecured {
        /// Whose.
        agent: AgentId,
    },
    /// The node's set-up does not fit the directory, or does again.
    Problem {
        /// What.
        problem: Box<NodeProblem>,
        /// It is no more.
        over: bool,
    },
    /// An INVITE left although its permission had run out meanwhile; it was cancelled at once.
    SentLate,
    /// What this node may abandon of a campaign; told when it changed.
    Share {
        /// The campaign.
        campaign: CampaignId,
        /// Whole abandonments left; none while the share is not known.
        left: Option<u32>,
        /// What it would like to hold; 0 where it dials one line for each agent anyway.
        want: u32,
    },
    /// A supervisor is in a call, in another manner, or not any more.
    Supervision {
        /// The agent account whose leg it is.
        seat: AgentId,
        /// The call.
        call: AttemptId,
        /// How; none when it is over.
        manner: Option<Supervision>,
    },
    /// An answered person and another node's agent, or the other way round.
    Overflow {
        /// The campaign.
        campaign: CampaignId,
        /// How far it is.
        step: OverflowStep,
    },
    /// A trunk is used again, or not any more.
    TrunkHealth {
        /// Which.
        trunk: TrunkId,
        /// Why not; none while it is.
        trouble: Option<TrunkTrouble>,
    },
    /// What is known of this node's caller IDs; told when it may have changed.
    CallerIds {
        /// How many there are.
        numbers: u32,
        /// Those that seem labelled, resting or not.
        doubted: u32,
        /// Those that rest by themselves.
        resting: u32,
        /// Places whose numbers are too few for their lines.
        short_of: u32,
    },
    /// A call to one of our numbers was not taken.
    CallBackRefused {
        /// The SIP status that said so: 404 unknown number, 480 switched off or no campaign, 486 too
        /// many wait, 488 no codec in common, 503 no channel or port, or draining.
        status: u16,
    },
    /// The mesh was asked who calls.
    CallerAsked {
        /// What it knew.
        answer: CallerAnswer,
    },
    /// A call to a number of another city was taken.
    CalledForOther,
    /// A call failed on the carrier's side and was tried at another address or on another trunk.
    FailedOver {
        /// The trunk that it left.
        trunk: TrunkId,
    },
}

/// The engine's own timers; those of its parts are folded in by deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerName {
    /// Launch lines, ask for leads.
    Pace,
    /// Permissions to renew, or that ended.
    Permit,
    /// Shares of abandonment budgets.
    Escrow,
    /// What was learned is told.
    Learned,
    /// The mesh has not said who calls.
    Caller(u64),
    /// A closed attempt whose media figures did not come.
    Record(AttemptId),
    /// An INVITE that no word came for.
    Unheard(AttemptId),
    /// An agent's browser that must come back.
    AudioBack(AgentId),
    /// Other nodes that carry calls with this one must be heard.
    Overflow,
    /// An address of a trunk has rested.
    TargetRested(TrunkId),
    /// Of the trunks' user agent.
    Trunks,
    /// Of the agents' user agent.
    Agents,
    /// Of the call center.
    Calls,
}

/// An input that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The call center refused it.
    #[error(transparent)]
    Call(#[from] call::Rejected),
    /// The supervisor may not, or cannot.
    #[error(transparent)]
    Supervision(#[from] SupervisionRefusal),
}
