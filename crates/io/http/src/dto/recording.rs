//! Recordings of calls.

use super::{CallFilter, PageQuery, Timestamp};
use domain::{AgentId, AttemptId, CallRecord, CampaignId, MemberId, RegionId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which calls of a campaign are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordedCalls {
    /// None.
    #[default]
    Off,
    /// Each, from the moment it is joined with an agent until they part.
    All,
}

impl From<domain::Recording> for RecordedCalls {
    fn from(recording: domain::Recording) -> Self {
        match recording {
            domain::Recording::Off => Self::Off,
            domain::Recording::All => Self::All,
        }
    }
}

impl From<RecordedCalls> for domain::Recording {
    fn from(recording: RecordedCalls) -> Self {
        match recording {
            RecordedCalls::Off => Self::Off,
            RecordedCalls::All => Self::All,
        }
    }
}

/// A call's recording, as the call's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recording {
    /// The attempt's id.
    #[schema(value_type = String)]
    pub call: AttemptId,
    /// Its campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// The region of its lead.
    #[schema(value_type = String)]
    pub region: RegionId,
    /// The node where its file lies.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// The agent.
    #[schema(value_type = Option<String>)]
    pub agent: Option<AgentId>,
    /// When the two were joined.
    pub began_at: Option<Timestamp>,
    /// How it ended: `whole`; `disk` where the disk refused; `folder_full` and `refused` where nothing
    /// was written; `untold` where it was not known when the record was closed.
    #[schema(example = "whole")]
    pub end: String,
    /// How long it is, in milliseconds.
    pub length_ms: u32,
    /// Of that, for how long it was paused.
    pub paused_ms: u32,
    /// Packets that came and are not in it.
    pub missed_packets: u32,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// BLAKE3 of its file up to the file's last part, in hexadecimal; absent where the file has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

impl Recording {
    /// Of a call's record; none where the call was not recorded.
    pub fn of(record: &CallRecord) -> Option<Self> {
        let recording = record.recording.as_ref()?;
        Some(Self {
            call: record.attempt,
            campaign: record.campaign,
            region: record.region,
            node: record.node,
            agent: record.agent,
            began_at: record.bridged_at.map(Timestamp),
            end: recording.end.name().to_owned(),
            length_ms: recording.length_ms,
            paused_ms: recording.paused_ms,
            missed_packets: recording.missed,
            file_bytes: recording.file_bytes,
            hash: recording.hash.as_ref().map(|hash| hex(hash)),
        })
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An interval of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingPause {
    /// Milliseconds from its beginning.
    pub from_ms: u32,
    /// Milliseconds from its beginning.
    pub until_ms: u32,
}

/// A recording with what its file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingDetail {
    /// As the call's record has it.
    #[serde(flatten)]
    pub recording: Recording,
    /// Whether the file has its end; without, it is what a crash left, up to the last whole second.
    pub complete: bool,
    /// How long the sound in the file is, in milliseconds.
    pub sound_ms: u32,
    /// `pcmu` or `pcma`.
    pub codec: String,
    /// The key that it was made with.
    pub key: String,
    /// When it was paused.
    pub pauses: Vec<RecordingPause>,
    /// The loudest sample of the agent's side in each tenth of a second, 0 to 255; empty where the file
    /// has no end.
    pub agent_peaks: Vec<u8>,
    /// The same of the person's side.
    pub person_peaks: Vec<u8>,
}

/// What a check of a recording found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingCheck {
    /// Whether all is as it was written.
    pub sound: bool,
    /// Whether the file has its end.
    pub complete: bool,
    /// Seconds that were opened.
    pub seconds: u64,
    /// What is wrong; empty where nothing is.
    pub trouble: String,
}

/// The public half of the key that recordings are made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecordingKey {
    /// Its name.
    #[schema(example = "rkey_0123456789abcdef")]
    pub id: String,
    /// X25519, in hexadecimal.
    pub public: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether this coordinator has its private half: only then can it play what was made with it.
    pub held_here: bool,
}

/// Which recordings; newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordingFilter {
    /// Objects in the page, 1 to 1000; 100 when not given.
    #[serde(default)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before; opaque.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Only of this campaign.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// Only at this node.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub node: Option<MemberId>,
    /// Only of this agent.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub agent: Option<AgentId>,
    /// Only of calls that ended at or after this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Only of calls that ended before this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl RecordingFilter {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        self.calls().page()
    }

    /// The same as a filter of calls.
    pub fn calls(&self) -> CallFilter {
        CallFilter {
            limit: self.limit,
            cursor: self.cursor.clone(),
            campaign: self.campaign,
            node: self.node,
            agent: self.agent,
            since: self.since,
            until: self.until,
            ..CallFilter::default()
        }
    }
}
