//! What goes into an endpoint and what comes out.

use crate::{
    call::{CallHandle, CallState},
    digest::Credentials,
    flow::Flow,
    message::Uri,
    registrar::RegistrarConfig,
    registration::RegistrationState,
    slots::Id,
    transaction::Timer,
};
use bytes::Bytes;
use domain::{Instant, TrunkId, limits::NODE_ATTEMPTS};
use std::{fmt, net::SocketAddr, time::Duration};

/// How a user agent is set up.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// User-Agent and Server.
    pub user_agent: String,
    /// For each listening address, the one others reach it by; missing ones are reachable as they are.
    pub advertised: Vec<(SocketAddr, SocketAddr)>,
    /// Accept REGISTER, and challenge INVITEs of everybody but peers.
    pub registrar: Option<RegistrarConfig>,
    /// Calls at a time, both ways together.
    pub max_calls: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            user_agent: "dialmesh".into(),
            advertised: Vec::new(),
            registrar: None,
            max_calls: NODE_ATTEMPTS,
        }
    }
}

/// What the network did.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A datagram, or one message cut from a stream.
    Received {
        /// Where from.
        flow: Flow,
        /// One message.
        bytes: &'a [u8],
    },
    /// A TCP connection ended.
    FlowClosed {
        /// Which.
        flow: Flow,
    },
    /// Some of what was sent this way is lost, nobody knows what. Not for a full UDP socket buffer:
    /// that is a lost datagram, which is repeated.
    SendFailed {
        /// Where to.
        flow: Flow,
    },
    /// This very message reached nobody: it never left, or came back as undeliverable.
    Unsent {
        /// Where to.
        flow: Flow,
        /// The message, or its beginning up to its first Via at least.
        bytes: &'a [u8],
        /// There was no room for it, which says nothing of the far end.
        congested: bool,
    },
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received { flow, bytes } => write!(f, "Received({flow}, {} bytes)", bytes.len()),
            Self::FlowClosed { flow } => write!(f, "FlowClosed({flow})"),
            Self::SendFailed { flow } => write!(f, "SendFailed({flow})"),
            Self::Unsent { flow, bytes, .. } => write!(f, "Unsent({flow}, {} bytes)", bytes.len()),
        }
    }
}

/// A display name and a URI. Its digits are masked when printed: they are telephone numbers.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// Shown name; may be empty.
    pub display: String,
    /// `sip:`, `sips:` or `tel:` URI.
    pub uri: String,
}

impl Address {
    /// An address without a name.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            display: String::new(),
            uri: uri.into(),
        }
    }

    /// The URI's user part, escapes undone; a telephone number in most of them.
    pub fn user(&self) -> String {
        Uri::read(self.uri.as_bytes())
            .map(|uri| uri.user_text())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user();
        let shown: String = user.chars().take(5).collect();
        write!(f, "<{shown}***>")
    }
}

/// An INVITE to send.
#[derive(Clone)]
pub struct Invite {
    /// The way to go.
    pub flow: Flow,
    /// Request-URI.
    pub request_uri: String,
    /// Caller: From.
    pub from: Address,
    /// Called: To.
    pub to: Address,
    /// User part of our Contact.
    pub contact_user: String,
    /// URI of P-Asserted-Identity, where the trunk wants it.
    pub p_asserted_identity: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Offer. Always: many carriers refuse calls without one.
    pub body: Bytes,
    /// Digest credentials, where the trunk wants them.
    pub credentials: Option<Credentials>,
    /// Cancelled by itself when not answered by then (also told to the carrier); 180 s when `None`.
    pub expires: Option<Duration>,
    /// No INVITE datagram of this call leaves later, repeated or challenged.
    pub valid_until: Option<Instant>,
    /// Session-Expires to ask for (RFC 4028). What the far end asks for is done in any case.
    pub session_expires: Option<Duration>,
    /// Offer reliable provisional responses (RFC 3262). They are acknowledged in any case, and offered
    /// where the far end requires it (421).
    pub reliable: bool,
    /// Follow a redirection once, the same way, where it names the same user.
    pub follow_redirect: bool,
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite")
            .field("flow", &self.flow)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// What a datagram carries, for who must know when the last INVITE left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An INVITE of ours that starts a call.
    Invite {
        /// The call.
        call: CallHandle,
        /// Timer A sent it again.
        retransmission: bool,
    },
    /// Anything else.
    Other,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes that way.
    Transmit {
        /// Where to.
        flow: Flow,
        /// One message.
        bytes: Bytes,
        /// What it is.
        kind: Kind,
    },
    /// Something happened.
    Event(SipEvent),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit { flow, bytes, kind } => f
                .debug_struct("Transmit")
                .field("flow", flow)
                .field("bytes", &bytes.len())
                .field("kind", kind)
                .finish(),
            Self::Event(event) => event.fmt(f),
        }
    }
}

/// Why a call failed without a word from the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalCause {
    /// Nobody answered for 64 T1.
    Timeout,
    /// The transport failed. The INVITE may have arrived all the same.
    Transport,
    /// The INVITE reached nobody: it never left, or came back as undeliverable, and was sent once only.
    Unsent,
    /// The INVITE never left: there was no room for it on the way to the far end.
    Congested,
    /// Its validity ended before it could be sent again with credentials.
    Expired,
    /// No room for another transaction.
    Overload,
}

/// Who wanted a call cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelCause {
    /// [`crate::Endpoint::cancel`].
    Asked,
    /// Its `expires` ran out.
    Expired,
    /// The caller, before we answered.
    Peer,
}

/// Why an answered call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// [`crate::Endpoint::bye`].
    Us,
    /// BYE came.
    Peer,
    /// The ACK for our answer never came.
    NoAck,
    /// The session was not refreshed (RFC 4028).
    Expired,
}

/// What happened. Every call ends with exactly one of `Failed`, `Cancelled`, `Ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// A provisional response, 100 included.
    Provisional {
        /// The call.
        call: CallHandle,
        /// 100 to 199.
        status: u16,
        /// Which early dialog; forks have several. Empty for 100.
        to_tag: String,
        /// Early media's description, or nothing.
        body: Bytes,
    },
    /// Our INVITE was answered; the ACK is sent.
    Answered {
        /// The call.
        call: CallHandle,
        /// The answer. Empty where the carrier gave it in a provisional response only.
        body: Bytes,
    },
    /// Final: our INVITE was refused or came to nothing; or our refusal of theirs is out.
    Failed {
        /// The call.
        call: CallHandle,
        /// 300 to 699; 408 or 503 for local causes.
        status: u16,
        /// From a Reason header.
        q850: Option<u16>,
        /// Reason phrase, at most 128 characters.
        reason: String,
        /// When the far end would like to be asked again.
        retry_after: Option<Duration>,
        /// Set when no response said so.
        local: Option<LocalCause>,
    },
    /// Final: cancelled before it was answered, or while.
    Cancelled {
        /// The call.
        call: CallHandle,
        /// Who wanted it.
        cause: CancelCause,
        /// The answer crossed the CANCEL: it was acknowledged and hung up at once.
        answered: bool,
    },
    /// Final: an answered call is over.
    Ended {
        /// The call.
        call: CallHandle,
        /// Why.
        cause: EndCause,
        /// From the peer's Reason header.
        q850: Option<u16>,
    },
    /// Somebody calls us. Ring, accept or reject.
    Incoming {
        /// The call.
        call: CallHandle,
        /// Where from.
        flow: Flow,
        /// Who calls.
        from: Address,
        /// Who calls as the peer asserts (P-Asserted-Identity, RFC 3325), where it does.
        asserted: Option<Box<Address>>,
        /// Whether who calls is to be withheld (Privacy, RFC 3323: `id`, `user` or `header`).
        private: bool,
        /// Whom they call.
        to: Address,
        /// Request-URI.
        request_uri: Address,
        /// The agent whose phone it is, where it proved that.
        user: Option<String>,
        /// Offer; empty when we are to make it.
        body: Bytes,
    },
    /// The ACK to our answer came.
    Acknowledged {
        /// The call.
        call: CallHandle,
        /// The answer, where our 200 carried the offer.
        body: Bytes,
    },
    /// The peer changed the session, and was answered.
    ReOffer {
        /// The call.
        call: CallHandle,
        /// Its offer.
        offer: Bytes,
        /// What we answered.
        answer: Bytes,
    },
    /// A key, sent as INFO.
    Digit {
        /// The call.
        call: CallHandle,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// An agent's phone registered or refreshed.
    Registered {
        /// Whose.
        user: String,
        /// Where it is.
        flow: Flow,
        /// For how long.
        expires: Duration,
    },
    /// An agent's phone is gone.
    Unregistered {
        /// Whose.
        user: String,
    },
    /// A registration of ours moved.
    CarrierRegistration {
        /// At which trunk.
        id: TrunkId,
        /// Where it stands.
        state: RegistrationState,
        /// The refusal's status; zero where there was none.
        status: u16,
    },
    /// A watched trunk went up or down.
    TrunkHealth {
        /// Which.
        id: TrunkId,
        /// Whether it answers.
        up: bool,
    },
}

/// Why a command was refused; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The bound of calls.
    #[error("{limit} calls are up, which is the limit; wait for one to end")]
    TooManyCalls {
        /// The limit.
        limit: usize,
    },
    /// The bound of transactions.
    #[error("no room for another transaction; wait up to 32 s for old ones to end")]
    TooManyTransactions,
    /// The bound of registrar users, registrations or watches.
    #[error("{limit} {what} are kept, which is the limit; remove one first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The handle names no call that is up.
    #[error("no such call, or its final event is out")]
    NoSuchCall,
    /// The call is not in a state for that.
    #[error("the call is {state:?}; that needs {needs}")]
    WrongState {
        /// Where it stands.
        state: CallState,
        /// What is needed.
        needs: &'static str,
    },
    /// An INVITE without an offer, or an answer without a description.
    #[error("body is empty; a session description is needed")]
    NoBody,
    /// A URI that is none.
    #[error("{field} is not a sip:, sips: or tel: URI")]
    BadUri {
        /// Which one.
        field: &'static str,
    },
    /// A status that does not fit.
    #[error("status {status} is not {needs}")]
    BadStatus {
        /// The status.
        status: u16,
        /// What is needed.
        needs: &'static str,
    },
    /// The endpoint was set up without a registrar.
    #[error("this endpoint has no registrar; set EndpointConfig::registrar")]
    NoRegistrar,
}

/// Names a transaction in timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    slot: u32,
    generation: u32,
}

impl From<Id> for TransactionId {
    fn from(id: Id) -> Self {
        Self {
            slot: id.slot,
            generation: id.generation,
        }
    }
}

impl From<TransactionId> for Id {
    fn from(id: TransactionId) -> Self {
        Self {
            slot: id.slot,
            generation: id.generation,
        }
    }
}

/// Why an endpoint wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimerName {
    /// Timer of a client transaction.
    Client(Timer, TransactionId),
    /// Timer of a server transaction.
    Server(Timer, TransactionId),
    /// A call of ours rang long enough, or its CANCEL was not followed by an end.
    Deadline(CallHandle),
    /// A 200 is sent again until its ACK comes.
    Answer(CallHandle),
    /// The ACK never came.
    Acknowledge(CallHandle),
    /// A session is refreshed, or was not.
    Session(CallHandle),
    /// A phone's registration runs out.
    Bindings,
    /// A registration of ours is refreshed or tried again.
    Register(TrunkId),
    /// A trunk is asked whether it lives.
    Probe(TrunkId),
    /// It did not answer.
    ProbeLost(TrunkId),
}

/// A call at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSummary<'a> {
    /// SIP Call-ID.
    pub call_id: &'a str,
    /// Where it stands.
    pub state: CallState,
    /// The way it goes.
    pub flow: Flow,
}

/// What an endpoint has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages handed in.
    pub received: u64,
    /// Dropped: no SIP message, or no sense in its mandatory headers.
    pub malformed: u64,
    /// Dropped: from nobody we know.
    pub strangers: u64,
    /// Dropped: over the rate of strangers, or of an address with a phone here.
    pub throttled: u64,
    /// Phones asked for credentials: they had none, or old ones.
    pub challenged: u64,
    /// Refused: wrong credentials.
    pub forbidden: u64,
    /// Recognised as repeated, answered from memory.
    pub repeated: u64,
    /// Responses and ACKs that belong to nothing of ours.
    pub stray: u64,
    /// Incoming calls refused with 503 at a bound.
    pub shed: u64,
    /// Requests we sent again.
    pub retransmitted: u64,
    /// Requests not sent for want of a transaction.
    pub no_room: u64,
}
