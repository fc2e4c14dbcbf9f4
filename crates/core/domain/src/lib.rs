//! The words of the trade as types. Every other crate speaks in these; this one knows nobody.
//!
//! Nothing here reads a clock, a socket or entropy: time arrives as [`Now`], ids are assigned by
//! the replicated state machines, randomness comes from `sansio`.

pub mod agent;
pub mod answering;
pub mod call_back;
pub mod campaign;
pub mod chances;
pub mod clearance;
pub mod consent;
pub mod dnc_list;
pub mod do_not_call;
pub mod escrow;
pub mod id;
pub mod keys;
pub mod lead;
pub mod levers;
pub mod limits;
pub mod manner;
pub mod mesh_clock;
pub mod mesh_version;
pub mod overflow;
pub mod phone;
pub mod prefix;
pub mod presence;
pub mod profile;
pub mod record;
pub mod recording;
pub mod region;
pub mod secret;
pub mod security;
pub mod shared_map;
pub mod srtp;
pub mod standing;
pub mod status;
pub mod supervision;
pub mod time;
pub mod trunk;
pub mod voice_drop;
pub mod zones;

pub use agent::{AgentAccount, AgentState, PauseCode};
pub use answering::{AnsweringMachines, Listened, WhoAnswered};
pub use call_back::{CallBack, CallBackEnd, CallerTold, KnownPerson, OtherCity};
pub use campaign::{
    AgentDisposition, Campaign, CampaignState, DialLevel, Disposition, DispositionCode,
    DispositionFlags, PacingMode, RetryRule,
};
pub use chances::{Chances, ChancesError, LeadOrder, SegmentChances, held_out, held_out_turn};
pub use clearance::{Barred, Clearance, ClearanceFact, DncPattern, Freeze, Target};
pub use consent::{Consent, ConsentGrant, ConsentId, ConsentKind, ConsentProof, ConsentUsed};
pub use dnc_list::{CountryCode, CountryCodeError, DncListAge, registry_is_too_old};
pub use do_not_call::{DncBaseId, DncBaseIdError, DncEntry, DncScope, DncSource};
pub use escrow::{EscrowAsk, EscrowGrant, EscrowLine, EscrowProof};
pub use id::{
    AgentId, AttemptId, CampaignId, Incarnation, LeadId, LegId, ListId, MemberId, RegionId,
    SessionId, TrunkId, ZoneId,
};
pub use keys::{Key, Keys, KeysError};
pub use lead::{CallOutcome, LeadProfile, LeasedLead, NewLead};
pub use levers::{LeverError, Levers};
pub use manner::{IdentityHeader, NumberShape, NumberShapeError, Privacy, Redirects, TrunkManner};
pub use mesh_clock::{ClockVerdict, MeshClock};
pub use mesh_version::MeshVersion;
pub use overflow::{
    CarriedCall, CarriedSaid, CarriedWord, FreeAgents, OverflowAnswer, OverflowOffer,
};
pub use phone::{Masked, PhoneNumber, PhoneNumberError, Revealed};
pub use prefix::{Prefix, PrefixError, PrefixMap};
pub use presence::{Arm, Presence};
pub use profile::{PROFILES, TrunkProfile};
pub use record::{CallRecord, Holds, LegStats, Permission, RECORD_VERSION};
pub use recording::{CallRecording, Recording, RecordingEnd, RecordingKey, RecordingKeyId};
pub use region::{HomeMatch, HomeRule, Member, MemberRole, Region};
pub use secret::Secret;
pub use security::{Attestation, TrunkSecurity};
pub use shared_map::{SharedMap, SharedSet};
pub use srtp::{SrtpKey, SrtpKeys, SrtpPolicy, SrtpSuite};
pub use standing::{CallerIdPool, CallerIdStanding, CallerIdStandings};
pub use supervision::{LiveCall, LiveFloor, Supervision, SupervisionOrder, SupervisionRefusal};
pub use time::{Instant, Now, WallTime};
pub use trunk::{
    CallerId, CallerIdCaps, Codec, NumberFormat, SipTransport, Trunk, TrunkAddress,
    TrunkAddressError, TrunkAuth, TrunkTarget,
};
pub use voice_drop::{PromptName, PromptNameError, VoiceDrop};
