//! What every member of the mesh does, coordinator and node alike.
//!
//! [`Member`] runs the directory group and every region group over one journal and one endpoint,
//! does a leader's duties where it leads (confirm sessions, expire them, tick, forward directory
//! facts to the regions, hand leads over to their new regions, tell when do-not-call is effective, keep voters by the autopilot), and asks the leaders
//! where it does not. What a node or a coordinator does beside that is theirs.

mod ask;
mod callers;
mod clocks;
mod directory;
mod homes;
mod member;
mod place;
mod protocol;
mod region;
mod releases;
mod voters;

pub use ask::{AskError, KeepAlive};
pub use callers::Unanswered;
pub use member::{Member, MemberConfig, MemberError, peers_of, save_peers};
pub use protocol::{
    CARRIED_WORD, DNC_BASE_CHUNK, DNC_BASE_TAIL, DncBaseChunk, DncBaseTail, FREE_AGENTS, LEARNED,
    LIVE_CALLS, NOT_FOR_YOU, NOT_HERE, OVERFLOW_OFFER, RECORDING_PIECE, RECORDING_SIZE, RECORDS,
    RecordingOf, RecordingPiece, RecordsReply, STANDINGS, STATUS, SUPERVISE, WHO_CALLS, WhoCalls,
    decode, decode_live, decode_records, decode_status, encode, encode_records,
};
pub use voters::{VoterHealth, VotersReport};
