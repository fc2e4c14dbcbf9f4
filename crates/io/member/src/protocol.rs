//! What members ask each other beside Raft: one service each, postcard bodies behind a version.

use bytes::Bytes;
use domain::{
    AttemptId, CallRecord, DncBaseId, PhoneNumber, RECORD_VERSION, RegionId, SessionId, WallTime,
};
use mesh::{ServiceError, ServiceId};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        DeserializeOwned, DeserializeSeed, IntoDeserializer, SeqAccess, Visitor,
        value::SeqAccessDeserializer,
    },
};
use std::fmt;

/// A node asks a region's leader to confirm its session.
pub(crate) const KEEP_ALIVE: ServiceId = ServiceId::new(32, "keep_alive");
/// A node asks the directory's leader for freshness.
pub(crate) const FRESHNESS: ServiceId = ServiceId::new(33, "freshness");
/// A node tells the directory's leader what it has applied.
pub(crate) const APPLIED: ServiceId = ServiceId::new(34, "applied");
/// A coordinator asks the directory's leader when an index is effective.
pub(crate) const EFFECTIVE: ServiceId = ServiceId::new(35, "effective");
/// A node ships call records to the coordinator: [`encode_records`] to [`RecordsReply`].
pub const RECORDS: ServiceId = ServiceId::new(36, "records");
/// A node tells the coordinator how it is: [`domain::status::NodeStatus`] to nothing.
pub const STATUS: ServiceId = ServiceId::new(37, "status");

/// A node asks a coordinator for the end of a do-not-call base: its [`DncBaseId`] to
/// [`DncBaseTail`].
pub const DNC_BASE_TAIL: ServiceId = ServiceId::new(38, "dnc_base_tail");
/// A node asks for a piece of one: [`DncBaseChunk`] to its bytes as they are.
pub const DNC_BASE_CHUNK: ServiceId = ServiceId::new(39, "dnc_base_chunk");
/// A member asks what time another machine has: nothing to milliseconds since 1970.
pub(crate) const CLOCK: ServiceId = ServiceId::new(47, "clock");
/// A leader asks a member how far it is from the others: nothing to
/// `Vec<(MemberId, microseconds there and back)>`.
pub(crate) const ROUND_TRIPS: ServiceId = ServiceId::new(48, "round_trips");
/// Anybody asks a group's leader about its voters: a group's id to [`crate::VotersReport`].
pub(crate) const VOTERS: ServiceId = ServiceId::new(49, "voters");
/// A coordinator asks a node for the length of a recording's file: [`RecordingOf`] to bytes (`u64`).
pub const RECORDING_SIZE: ServiceId = ServiceId::new(50, "recording_size");
/// A coordinator asks for a piece of one: [`RecordingPiece`] to its bytes as they are.
pub const RECORDING_PIECE: ServiceId = ServiceId::new(51, "recording_piece");
/// A coordinator asks a node for its live calls: nothing to [`domain::LiveFloor`].
pub const LIVE_CALLS: ServiceId = ServiceId::new(52, "live_calls");
/// A coordinator lets a supervisor into a call at the node that has it: [`domain::SupervisionOrder`] to
/// `Result<(), domain::SupervisionRefusal>`.
pub const SUPERVISE: ServiceId = ServiceId::new(53, "supervise");
/// A node asks another for an agent: [`domain::OverflowOffer`] to [`domain::OverflowAnswer`].
pub const OVERFLOW_OFFER: ServiceId = ServiceId::new(54, "overflow_offer");
/// A node says something of a call that it carries with another: [`domain::CarriedSaid`] to whether it
/// was taken.
pub const CARRIED_WORD: ServiceId = ServiceId::new(55, "carried_word");
/// A node tells another who is free and which calls they carry: [`domain::FreeAgents`] to nothing.
pub const FREE_AGENTS: ServiceId = ServiceId::new(56, "free_agents");
/// A coordinator asks a node what it learned of who answers a campaign's calls: [`domain::CampaignId`] to
/// bytes of its own version, at most [`domain::limits::LEARNED_BYTES`].
pub const LEARNED: ServiceId = ServiceId::new(57, "learned");
/// A node asks who the person is who calls: [`WhoCalls`] to `Option<`[`domain::KnownPerson`]`>`.
pub const WHO_CALLS: ServiceId = ServiceId::new(58, "who_calls");
/// A coordinator asks a node what persons think of its caller IDs: nothing to
/// [`domain::CallerIdStandings`].
pub const STANDINGS: ServiceId = ServiceId::new(59, "standings");
/// Error code of a do-not-call base, recording or copy of a region's group that is not here.
pub const NOT_HERE: u16 = 3;
/// Error code of what only a coordinator may ask.
pub const NOT_FOR_YOU: u16 = 4;

/// Names a recording at its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingOf {
    /// The call.
    pub attempt: AttemptId,
    /// When it was joined with its agent.
    pub began_at: WallTime,
}

/// A piece of a recording's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingPiece {
    /// Of which.
    pub of: RecordingOf,
    /// From there.
    pub offset: u64,
    /// At most so many bytes, and at most [`domain::limits::RECORDING_PIECE_BYTES`].
    pub bytes: u32,
}

/// A person who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoCalls {
    /// The home region of the number.
    pub region: RegionId,
    /// The person's number.
    pub number: PhoneNumber,
}

/// What the receiver of a do-not-call base needs first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncBaseTail {
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// The hashes of all chunks, and the footer.
    pub tail: Vec<u8>,
}

/// One chunk of a do-not-call base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DncBaseChunk {
    /// Which base.
    pub id: DncBaseId,
    /// Counted from 0.
    pub chunk: u32,
}

/// What every member answers.
pub(crate) const SERVICES: [ServiceId; 8] = [
    KEEP_ALIVE,
    FRESHNESS,
    APPLIED,
    EFFECTIVE,
    CLOCK,
    ROUND_TRIPS,
    VOTERS,
    WHO_CALLS,
];

/// The answer of a member that has stopped.
pub(crate) fn stopped() -> ServiceError {
    ServiceError::new(NOT_LEADING, "this member has stopped")
}

/// The answer to shipped records: they are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsReply {
    /// How many were new.
    pub kept: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FreshnessRequest {
    /// The entry that the node's engine has applied.
    pub(crate) applied: u64,
    /// For how long the node trusts a confirmed copy.
    pub(crate) delta: std::time::Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeepAliveRequest {
    pub(crate) region: RegionId,
    pub(crate) session: SessionId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeepAliveReply {
    Confirmed,
    /// The session has ended or is about to: open a new one.
    Ended,
    /// Ask again, or another member.
    NotLeading,
}

/// Version of these bodies.
const VERSION: u8 = 1;
/// Version of a shipment of call records. Each record has its own version in front; in version 1
/// they followed one another and were all of the release's own.
const RECORDS_VERSION: u8 = 2;
/// Of which version the records in a shipment of version 1 are, and how many fields they have.
const PLAIN_RECORDS: u8 = 4;
const PLAIN_FIELDS: usize = 31;
/// Fields that were added since.
const LATER_FIELDS: usize = 7;
/// Error code of a body that cannot be read.
const UNREADABLE: u16 = 1;
/// Error code for a node that trusts its copy of do-not-call for another time than the leader waits.
pub(crate) const OTHER_FRESHNESS: u16 = 3;
/// Error code of a question to a member that does not lead.
pub(crate) const NOT_LEADING: u16 = 2;

/// A body as bytes.
pub fn encode(body: &impl Serialize) -> Bytes {
    let out = vec![VERSION];
    Bytes::from(postcard::to_extend(body, out).expect("bodies are plain data"))
}

/// Bytes as a body.
///
/// # Errors
/// Another version, or other bytes than that type's.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ServiceError> {
    let refused = |why: String| ServiceError::new(UNREADABLE, why);
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body)
            .map_err(|e| refused(format!("the request cannot be read: {e}"))),
        Some((version, _)) => Err(refused(format!(
            "version {version} of the request is not {VERSION}; upgrade the older member"
        ))),
        None => Err(refused("the request is empty".to_owned())),
    }
}

/// A node's word of itself. Nodes of earlier releases say less: not what is wrong with their set-up and
/// what they carry with others; before that, not what holds their campaigns; before that, not why
/// their trunks are up or not.
///
/// # Errors
/// As [`decode`].
pub fn decode_status(bytes: &[u8]) -> Result<domain::status::NodeStatus, ServiceError> {
    // Empty lists at its end; what is whole without them is not read so far.
    decode(&[bytes, &[0; 4]].concat())
}

/// A node's live calls. Nodes of earlier releases do not say who is on hold.
///
/// # Errors
/// As [`decode`].
pub fn decode_live(bytes: &[u8]) -> Result<domain::LiveFloor, ServiceError> {
    // An empty list at its end; what is whole without it is not read so far.
    decode(&[bytes, &[0]].concat())
}

/// Call records as a shipment.
pub fn encode_records(records: &[CallRecord]) -> Bytes {
    let one = |record: &CallRecord| {
        postcard::to_extend(record, vec![RECORD_VERSION]).expect("records are plain data")
    };
    let all: Vec<Vec<u8>> = records.iter().map(one).collect();
    let shipment = postcard::to_extend(&all, vec![RECORDS_VERSION]);
    Bytes::from(shipment.expect("bodies are plain data"))
}

/// The records of a shipment: each with its version in front.
///
/// # Errors
/// Another version, or other bytes.
pub fn decode_records(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ServiceError> {
    let refused = |e: postcard::Error| {
        ServiceError::new(UNREADABLE, format!("the records cannot be read: {e}"))
    };
    match bytes.split_first() {
        Some((&RECORDS_VERSION, body)) => postcard::from_bytes(body).map_err(refused),
        // A node of an earlier release; of one with other records it cannot be told where one ends.
        Some((&VERSION, body)) => {
            let records: Vec<Plain> = postcard::from_bytes(body).map_err(refused)?;
            let one = |Plain(record): &Plain| {
                postcard::to_extend(record, vec![RECORD_VERSION]).map_err(refused)
            };
            records.iter().map(one).collect()
        }
        version => {
            let version = version.map_or(0, |(version, _)| *version);
            let why = format!(
                "version {version} of call records is not {RECORDS_VERSION}; upgrade the older \
                 member: they wait until then"
            );
            Err(ServiceError::new(UNREADABLE, why))
        }
    }
}

/// A record as version 4 has it: without the last seven fields.
struct Plain(CallRecord);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = CallRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a call record of version {PLAIN_RECORDS}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, fields: A) -> Result<CallRecord, A::Error> {
                CallRecord::deserialize(SeqAccessDeserializer::new(Longer { fields, read: 0 }))
            }
        }

        let record = deserializer.deserialize_tuple(PLAIN_FIELDS, Fields)?;
        Ok(Self(record))
    }
}

/// A record's fields, and the last ones that are absent.
struct Longer<A> {
    fields: A,
    read: usize,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Longer<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.read += 1;
        match self.read {
            n if n <= PLAIN_FIELDS => self.fields.next_element_seed(seed),
            n if n <= PLAIN_FIELDS + LATER_FIELDS => {
                seed.deserialize(().into_deserializer()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_an_earlier_release_is_read() {
        use domain::status::{NodeProblem, NodeStatus};
        let status = NodeStatus {
            queued: 3,
            ..NodeStatus::default()
        };
        let whole = encode(&status);
        // Each of the last four fields is an empty list here: one byte.
        for missing in 0..=4 {
            let read = decode_status(&whole[..whole.len() - missing]).unwrap();
            assert_eq!(read, status, "{missing} fields fewer");
        }
        assert!(decode_status(&whole[..whole.len() - 5]).is_err());
        let problem = NodeProblem {
            code: "of_a_later_release".into(),
            setting: "sip.srtp.trunks".into(),
            value: "ny-tx".into(),
            known: vec!["east".into()],
        };
        let status = NodeStatus {
            problems: vec![problem],
            ..status
        };
        assert_eq!(decode_status(&encode(&status)).unwrap(), status);
    }

    #[test]
    fn words_of_overflow_keep_their_bytes() {
        use domain::{
            AgentId, CampaignId, CarriedCall, CarriedSaid, CarriedWord, FreeAgents, OverflowAnswer,
        };
        let free = FreeAgents {
            ready: vec![(CampaignId(5), 2)],
            calls: vec![CarriedCall(3)],
        };
        assert_eq!(encode(&free).as_ref(), [1, 1, 5, 2, 1, 3]);
        let kept = OverflowAnswer::Kept(AgentId(9));
        assert_eq!(encode(&kept).as_ref(), [1, 0, 9]);
        assert_eq!(encode(&OverflowAnswer::NotServed).as_ref(), [1, 3]);
        let call = CarriedCall(7);
        let said = |word| encode(&CarriedSaid { call, word });
        assert_eq!(said(CarriedWord::Joined).as_ref(), [1, 7, 0]);
        let over = CarriedWord::Over { by_person: true };
        assert_eq!(said(over).as_ref(), [1, 7, 3, 1]);
        let disposed = CarriedWord::Disposed {
            disposition: "ok".into(),
            note: String::new(),
            callback_at: None,
        };
        assert_eq!(said(disposed).as_ref(), [1, 7, 4, 2, b'o', b'k', 0, 0]);
        assert_eq!(said(CarriedWord::Left).as_ref(), [1, 7, 5]);
    }

    #[test]
    fn words_of_callers_keep_their_bytes() {
        use domain::{CampaignId, KnownPerson, LeadId, LeadProfile, ListId, ZoneId};
        let asked = WhoCalls {
            region: RegionId(2),
            number: "+12125550100".parse().unwrap(),
        };
        let bytes = encode(&asked);
        assert_eq!(bytes.as_ref(), [1, 2, 148, 236, 244, 149, 45]);
        assert_eq!(decode::<WhoCalls>(&bytes), Ok(asked));
        let known = KnownPerson {
            lead: LeadId(7),
            list: ListId(3),
            campaign: CampaignId(5),
            zones: vec![ZoneId(4)],
            profile: LeadProfile {
                name: "Ada".into(),
                ..LeadProfile::default()
            },
        };
        let told = [1, 1, 7, 3, 5, 1, 4, 3, b'A', b'd', b'a', 0];
        assert_eq!(encode(&Some(known)).as_ref(), told);
    }

    #[test]
    fn a_node_of_the_release_before_says_nothing_of_holds() {
        let at = WallTime::from_millis(5);
        let floor = domain::LiveFloor {
            seats: vec![domain::AgentId(7)],
            held: vec![(AttemptId(3), at)],
            ..domain::LiveFloor::default()
        };
        let bytes = encode(&floor);
        assert_eq!(bytes.as_ref(), [1, 0, 1, 7, 1, 3, 10]);
        assert_eq!(decode_live(&bytes), Ok(floor.clone()));
        let before = decode_live(&bytes[..4]).unwrap();
        assert_eq!((before.seats, before.held), (floor.seats, vec![]));
        assert!(decode_live(&bytes[..3]).is_err());
    }

    #[test]
    fn bodies_round_trip_and_other_versions_are_refused() {
        let request = KeepAliveRequest {
            region: RegionId(2),
            session: SessionId(7),
        };
        let bytes = encode(&request);
        assert_eq!(bytes.as_ref(), [1, 2, 7], "golden bytes of version 1");
        assert_eq!(decode::<KeepAliveRequest>(&bytes), Ok(request));
        let error = decode::<KeepAliveRequest>(&[9, 2, 7]).unwrap_err();
        assert!(error.message.contains("version 9"), "{error}");
        assert!(decode::<KeepAliveRequest>(&[]).is_err());
        assert!(decode::<KeepAliveRequest>(&[1]).is_err());
    }
}
