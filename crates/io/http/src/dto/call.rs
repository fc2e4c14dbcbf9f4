//! Calls and call records.

use super::{PageQuery, Recording, Timestamp};
use domain::{
    AgentId, AttemptId, CallRecord, CampaignId, LeadId, LegStats, ListId, MemberId, RegionId,
    SessionId, TrunkId, WhoAnswered,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a leg's RTP was like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegQuality {
    /// Packets that came.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f64,
    /// What a listener would think of what came: mean opinion score, 1 to 4.4, by the E-model from
    /// loss and jitter. Absent below half a second of packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
}

impl From<&LegStats> for LegQuality {
    fn from(stats: &LegStats) -> Self {
        Self {
            received: stats.received,
            sent: stats.sent,
            lost: stats.lost,
            jitter_ms: f64::from(stats.jitter_us) / 1_000.0,
            mos: stats.mos(),
        }
    }
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// We called.
    Outbound,
    /// A person called one of our numbers.
    Inbound,
}

impl CallDirection {
    /// Of a record.
    pub const fn of(record: &CallRecord) -> Self {
        match record.call_back {
            None => Self::Outbound,
            Some(_) => Self::Inbound,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// How a person who called one of our numbers was served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallBack {
    /// `taken` by an agent; `gave_up` while waiting; `announced`: heard who had called; `opted_out` by
    /// key after that; `unknown` where a crash hid it.
    #[schema(example = "taken")]
    pub end: String,
    /// From our answer until an agent took it, the announcement began, or the person gave up, in
    /// milliseconds.
    pub waited_ms: u32,
    /// The last call to the person that the node knew of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub after: Option<AttemptId>,
    /// The node whose number the person called, where that is another city's: its carrier brought the call
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub for_node: Option<MemberId>,
}

impl CallBack {
    fn of(record: &CallRecord) -> Option<Self> {
        let call_back = record.call_back?;
        Some(Self {
            end: call_back.end.name().to_owned(),
            waited_ms: call_back.waited_ms,
            after: call_back.after,
            for_node: record.called_for,
        })
    }
}

/// What stands for the person's number: masked, or `withheld`.
pub(crate) fn person_number(record: &CallRecord) -> String {
    match record.call_back {
        Some(call_back) if call_back.withheld => call::WITHHELD.to_owned(),
        _ => record.number.to_string(),
    }
}

/// One attempt from lease to end, or one call that a person made. Its numbers are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// The attempt's id.
    #[schema(value_type = String)]
    pub id: AttemptId,
    /// Who called whom.
    #[serde(default = "outbound")]
    pub direction: CallDirection,
    /// The lead; one whose count is 0 where nobody knows who called.
    #[schema(value_type = String)]
    pub lead: LeadId,
    /// Its campaign.
    #[schema(value_type = String)]
    pub campaign: CampaignId,
    /// Its list.
    #[schema(value_type = String)]
    pub list: ListId,
    /// Its home region.
    #[schema(value_type = String)]
    pub region: RegionId,
    /// The node that dialed, or that was called.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// The person's number, masked; `withheld` where a person who called shows none.
    pub number: String,
    /// The number shown, or that the person called, masked.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// The trunk.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub trunk: Option<TrunkId>,
    /// The agent who took it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub agent: Option<AgentId>,
    /// When the last INVITE left, or the person's came.
    #[serde(default)]
    pub invited_at: Option<Timestamp>,
    /// First ringing.
    #[serde(default)]
    pub ringing_at: Option<Timestamp>,
    /// Answered.
    #[serde(default)]
    pub answered_at: Option<Timestamp>,
    /// Joined with the agent.
    #[serde(default)]
    pub bridged_at: Option<Timestamp>,
    /// Audio ended.
    pub ended_at: Timestamp,
    /// The one final result, by its name in the campaign.
    pub disposition: String,
    /// Final SIP status of the INVITE; 0 where none came.
    pub sip_status: u16,
    /// Q.850 cause; 0 where none came.
    pub q850: u16,
    /// Who ended an answered call: `caller`, `callee` or empty.
    pub ended_by: String,
    /// Call-ID of the last INVITE, to match with the carrier's records.
    pub sip_call_id: String,
    /// The carrier leg's audio.
    #[serde(default)]
    pub carrier_leg: Option<LegQuality>,
    /// The agent leg's audio.
    #[serde(default)]
    pub agent_leg: Option<LegQuality>,
    /// The agent's note.
    pub note: String,
    /// Why it was permitted; none where nothing was dialed, or a crash hid it.
    #[serde(default)]
    pub permission: Option<CallPermission>,
    /// Who answered, as found by listening; none where nobody listened or nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// What early media was, as found by listening: `ringback`, `busy`, `congestion`, `sit`,
    /// `announcement`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ringback")]
    pub early_media: Option<String>,
    /// Its recording; none where it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// How a person who called was served; none where we called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_back: Option<CallBack>,
    /// Whether the number shown was local to the called one; none where a person called, and in records
    /// of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id_local: Option<bool>,
    /// What the lot said, where the campaign holds dials out and there was a choice: `local`, or
    /// `held_out` for a number that is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "local")]
    pub caller_id_trial: Option<String>,
    /// What became of the campaign's message to the machine that answered: `left`; `broken_off`, as the
    /// machine hung up or the message took too long; `hung_up` before its beep; `no_beep` in 30 s;
    /// `opted_out` by key; `forbidden` by the rule pack, or `no_prompt` of that name at the node, so hung up
    /// on without a message. None where there was no machine, or no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "left")]
    pub voice_drop: Option<String>,
    /// How often the agent put the person on hold.
    #[serde(default)]
    pub holds: u32,
    /// How long all holds were, in milliseconds.
    #[serde(default)]
    pub held_ms: u32,
}

const fn outbound() -> CallDirection {
    CallDirection::Outbound
}

/// Who answered, and how that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnsweredBy {
    /// `human`, `machine`, `fax`, `silence`, `unknown`; `busy`, `congestion`, `sit` where an answer
    /// brought the network's tones.
    #[schema(example = "machine")]
    pub verdict: String,
    /// The evidence: `tone`, `beep`, `cadence`, `greeting_ended`, `greeting_went_on`, `limit`,
    /// `no_word`.
    #[schema(example = "greeting_went_on")]
    pub reason: String,
    /// From the answer to the verdict, in milliseconds.
    pub took_ms: u32,
    /// What was heard until then, in words.
    pub greeting: String,
}

impl From<&WhoAnswered> for AnsweredBy {
    fn from(who: &WhoAnswered) -> Self {
        Self {
            verdict: who.verdict.name().to_owned(),
            reason: who.reason.name().to_owned(),
            took_ms: who.took_ms,
            greeting: who.greeting.to_string(),
        }
    }
}

/// Why an attempt was permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallPermission {
    /// Its line in the audit chain of the node that dialed.
    pub sequence: u64,
    /// The node's session that held the lead's lease.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// For how much longer session and do-not-call copy were valid, in milliseconds.
    pub valid_for_ms: u32,
    /// The directory's entry up to which do-not-call was known; none covered the number.
    pub dnc_index: u64,
    /// The do-not-call base that was asked, by its hash; none where none was in use.
    #[serde(default)]
    pub dnc_base: Option<String>,
    /// The person's consent, by id and kind; none when there was none, and none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// The rule pack and its version.
    pub rule_pack: String,
    /// Where the number may lie: the calling window was open in each of these time zones.
    pub zones: Vec<String>,
}

impl CallPermission {
    fn of(record: &CallRecord) -> Option<Self> {
        let permission = record.permission.as_ref()?;
        let name = |zone: &domain::ZoneId| {
            domain::zones::name(*zone).map_or_else(|| zone.to_string(), str::to_owned)
        };
        Some(Self {
            sequence: permission.sequence,
            session: record.session,
            valid_for_ms: permission.valid_for_ms,
            dnc_index: record.dnc_index,
            dnc_base: record.dnc_base.map(|id| id.to_string()),
            consent: record.consent.map(|consent| consent.to_string()),
            rule_pack: record.rule_pack.clone(),
            zones: permission.zones.iter().map(name).collect(),
        })
    }
}

impl From<&CallRecord> for Call {
    fn from(record: &CallRecord) -> Self {
        let time = |at: Option<domain::WallTime>| at.map(Timestamp);
        let listened = record.listened.as_ref();
        Self {
            id: record.attempt,
            direction: CallDirection::of(record),
            lead: record.lead,
            campaign: record.campaign,
            list: record.list,
            region: record.region,
            node: record.node,
            number: person_number(record),
            caller_id: record.caller_id.map(|n| n.to_string()),
            trunk: record.trunk,
            agent: record.agent,
            invited_at: time(record.invited_at),
            ringing_at: time(record.ringing_at),
            answered_at: time(record.answered_at),
            bridged_at: time(record.bridged_at),
            ended_at: record.ended_at.into(),
            disposition: record.disposition_name.clone(),
            sip_status: record.sip_status,
            q850: record.q850,
            ended_by: record.ended_by.clone(),
            sip_call_id: record.sip_call_id.clone(),
            carrier_leg: record.carrier_leg.as_ref().map(Into::into),
            agent_leg: record.agent_leg.as_ref().map(Into::into),
            note: record.note.clone(),
            permission: CallPermission::of(record),
            answered_by: listened.and_then(|l| l.answered.as_ref()).map(Into::into),
            early_media: listened.and_then(|l| Some(l.early?.name().to_owned())),
            recording: Recording::of(record),
            call_back: CallBack::of(record),
            caller_id_local: record.presence.map(|presence| presence.local),
            caller_id_trial: (record.presence.and_then(|presence| presence.trial))
                .map(|arm| arm.name().to_owned()),
            voice_drop: record.voice_drop.map(|drop| drop.name().to_owned()),
            holds: record.holds.unwrap_or_default().count,
            held_ms: record.holds.unwrap_or_default().total_ms,
        }
    }
}

/// Which calls; newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallFilter {
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
    /// Only dialed by this node.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub node: Option<MemberId>,
    /// Only taken by this agent.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub agent: Option<AgentId>,
    /// Only of this lead.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub lead: Option<LeadId>,
    /// Only `outbound` (we called) or `inbound` (a person called one of our numbers).
    #[serde(default)]
    #[param(inline)]
    pub direction: Option<CallDirection>,
    /// Only with this disposition.
    #[serde(default)]
    pub disposition: Option<String>,
    /// Only ended at or after this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Only ended before this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl CallFilter {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        PageQuery {
            limit: self.limit,
            cursor: self.cursor.clone(),
        }
    }

    /// Whether a record passes everything but the page.
    pub fn passes(&self, record: &CallRecord) -> bool {
        self.campaign.is_none_or(|id| id == record.campaign)
            && self.node.is_none_or(|id| id == record.node)
            && self.agent.is_none_or(|id| Some(id) == record.agent)
            && self.lead.is_none_or(|id| id == record.lead)
            && (self.direction).is_none_or(|direction| direction == CallDirection::of(record))
            && self.since.is_none_or(|at| record.ended_at >= at.0)
            && self.until.is_none_or(|at| record.ended_at < at.0)
            && self
                .disposition
                .as_ref()
                .is_none_or(|name| *name == record.disposition_name)
    }
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// CSV with a heading; UTF-8 with a byte order mark, for spreadsheets.
    #[default]
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// Whether numbers are written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// Masked.
    #[default]
    Masked,
    /// Whole; needs the role admin.
    Full,
}

/// Which records to export and how. Oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv` or `ndjson`.
    #[serde(default)]
    #[param(inline)]
    pub format: ExportFormat,
    /// `masked` or `full`.
    #[serde(default)]
    #[param(inline)]
    pub numbers: Numbers,
    /// Only of this campaign.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    pub campaign: Option<CampaignId>,
    /// Only ended at or after this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Only ended before this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl ExportQuery {
    /// The same as a filter.
    pub fn filter(&self) -> CallFilter {
        CallFilter {
            campaign: self.campaign,
            since: self.since,
            until: self.until,
            ..CallFilter::default()
        }
    }
}
