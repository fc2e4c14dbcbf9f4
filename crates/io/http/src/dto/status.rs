//! The live state of the mesh.

use super::{Autopilot, ReplicaHealth, Timestamp};
use domain::{
    MemberId, RegionId, TrunkId,
    status::{NodeProblem, OverflowStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a city stands towards the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CityMode {
    /// Its region's group confirms its session.
    Central,
    /// It is cut off: it dials what it holds until its permission ends.
    Local,
    /// Nobody has heard of it for a while.
    Unreachable,
    /// It takes no new work on an operator's word.
    Cordoned,
}

/// How a trunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkState {
    /// The carrier answers.
    Up,
    /// The carrier does not answer or refuses us.
    Down,
    /// Switched off.
    Disabled,
    /// Not asked yet.
    Unknown,
}

/// A trunk's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrunkStatus {
    /// Which.
    #[schema(value_type = String)]
    pub id: TrunkId,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: TrunkState,
    /// Why it takes no new calls, as `GET /trunks/{id}` says it.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Since when it is up or down, by its node.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Calls on it now.
    pub in_use: u32,
    /// Calls at a time, at most.
    pub channels: u32,
}

/// What is wrong with how a city's node is set up: a setting that names what is not there. The node goes
/// on without it; a person must put it right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CityProblem {
    /// Which kind: `srtp_trunk_unknown`, SRTP is set for a trunk that the node does not have. There may be
    /// others.
    pub code: String,
    /// The section or key of the node's configuration.
    pub setting: String,
    /// The name that stands there.
    pub value: String,
    /// Names that would do, the first of them.
    pub known: Vec<String>,
    /// All of it in words.
    pub text: String,
}

impl From<&NodeProblem> for CityProblem {
    fn from(problem: &NodeProblem) -> Self {
        Self {
            code: problem.code.clone(),
            setting: problem.setting.clone(),
            value: problem.value.clone(),
            known: problem.known.clone(),
            text: problem.to_string(),
        }
    }
}

/// Calls of a city whose other side is in another city: an answered person who found no agent at home.
/// Totals count since the node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CityOverflow {
    /// The city's persons who speak with agents of other cities now.
    pub out_now: u32,
    /// The city's agents who speak with persons of other cities now, or are kept for them.
    pub in_now: u32,
    /// The city's persons who were joined with agents of other cities.
    pub out_total: u64,
    /// The city's agents who were joined with persons of other cities.
    pub in_total: u64,
    /// How often another city was asked and no agent came of it: nobody free there after all, or too late.
    pub missed: u64,
}

impl<'a> FromIterator<&'a OverflowStatus> for CityOverflow {
    fn from_iter<I: IntoIterator<Item = &'a OverflowStatus>>(all: I) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.out_now += one.out_now;
            sum.in_now += one.in_now;
            sum.out_total += one.out_total;
            sum.in_total += one.in_total;
            sum.missed += one.missed;
        }
        sum
    }
}

/// Attempts and calls in the air.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallCounts {
    /// INVITE sent.
    pub dialing: u32,
    /// Ringing.
    pub ringing: u32,
    /// Answered, waiting for an agent.
    pub waiting: u32,
    /// Joined with an agent.
    pub bridged: u32,
}

/// Agents by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentCounts {
    /// On shift, taking no calls.
    pub paused: u32,
    /// Waiting for a call.
    pub ready: u32,
    /// Kept for a line that is being dialed.
    pub reserved: u32,
    /// In a bridge.
    pub on_call: u32,
    /// After the call.
    pub wrap_up: u32,
}

/// Live answers that no agent took within the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Abandonment {
    /// Live answers in the window.
    pub answered: u64,
    /// Those that were abandoned.
    pub abandoned: u64,
    /// The share in percent.
    pub percent: f64,
    /// What the rule pack allows, in percent.
    pub budget_percent: f64,
}

impl Abandonment {
    /// From the counts of the window and the rule pack's budget in percent.
    pub fn new(answered: u64, abandoned: u64, budget_percent: f64) -> Self {
        let percent = if answered == 0 {
            0.0
        } else {
            abandoned as f64 * 100.0 / answered as f64
        };
        Self {
            answered,
            abandoned,
            percent,
            budget_percent,
        }
    }
}

/// A city's figures, as its node last told them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CityStatus {
    /// The node.
    #[schema(value_type = String)]
    pub node: MemberId,
    /// The city's name.
    pub name: String,
    /// Its region.
    #[schema(value_type = String)]
    pub region: RegionId,
    /// Its region's name.
    pub region_name: String,
    /// How it stands towards the others.
    pub mode: CityMode,
    /// Since when.
    pub mode_since: Timestamp,
    /// Results waiting to be sent on.
    pub queued: u64,
    /// Leads leased and not dialed yet.
    pub hopper: u64,
    /// Its trunks.
    pub trunks: Vec<TrunkStatus>,
    /// What is wrong with how its node is set up.
    #[serde(default)]
    pub problems: Vec<CityProblem>,
    /// Calls that it carries with other cities, of all campaigns.
    #[serde(default)]
    pub overflow: CityOverflow,
    /// Attempts and calls in the air.
    pub calls: CallCounts,
    /// Agents by state.
    pub agents: AgentCounts,
    /// Abandonment over the window.
    pub abandonment: Abandonment,
    /// New calls a second, over the last seconds.
    pub calls_per_second: f64,
    /// Attempts since the node started.
    pub attempts_total: u64,
    /// Bridged calls since the node started.
    pub bridged_total: u64,
    /// When the node told this.
    pub as_of: Timestamp,
    /// How old this is, in milliseconds.
    pub age_ms: u64,
}

/// A member as a group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    /// Which.
    #[schema(value_type = String)]
    pub member: MemberId,
    /// Whether it votes.
    pub voter: bool,
    /// The last index that the leader knows it to have.
    #[serde(default)]
    pub matched_index: Option<u64>,
    /// How it is, where the leader was heard.
    #[serde(default)]
    pub health: Option<ReplicaHealth>,
}

/// A Raft group as this member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupStatus {
    /// `directory`, or the region's name.
    pub name: String,
    /// Its leader, where one is known.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub leader: Option<MemberId>,
    /// The election term.
    pub term: u64,
    /// The last index applied here.
    pub applied_index: u64,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// What its leader does about its voters; none where the leader was not heard.
    #[serde(default)]
    pub autopilot: Option<Autopilot>,
}

/// The live state of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// When this was put together.
    pub as_of: Timestamp,
    /// The member that answers.
    #[schema(value_type = String)]
    pub member: MemberId,
    /// Its release.
    pub version: String,
    /// The version that every member understands: what they may write for each other.
    #[serde(default)]
    pub mesh_version: u16,
    /// The highest that any member understands. Above `mesh_version` an upgrade is under way.
    #[serde(default)]
    pub newest_version: u16,
    /// Names of the members that keep the mesh from the highest.
    #[serde(default)]
    pub holding_back: Vec<String>,
    /// Campaigns that are running.
    pub campaigns_running: u32,
    /// The cities, by name.
    pub cities: Vec<CityStatus>,
    /// The groups: the directory first, then regions by name.
    pub groups: Vec<GroupStatus>,
}
