//! Long work.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Where long work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up; `error` says why.
    Failed,
    /// Done, but not put into use before somebody approves it; `error` says why.
    NeedsApproval,
}

/// Long work with its progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// What is done: `lead_import`, `do_not_call_import`, `consent_import`,
    /// `do_not_call_compaction`, `do_not_call_pull`, `do_not_call_list_base`, `home_move`.
    pub kind: String,
    /// Where it stands.
    pub state: OperationState,
    /// Whether it only counts and changes nothing.
    pub dry_run: bool,
    /// Bytes worked off.
    pub bytes_done: u64,
    /// Bytes in all, once known.
    #[serde(default)]
    pub bytes_total: Option<u64>,
    /// Rows read so far.
    pub rows: u64,
    /// Rows by result: `accepted`, `duplicate`, `do_not_call`, `invalid`, `unknown_zone`, …
    pub counts: BTreeMap<String, u64>,
    /// Whether `GET /operations/{id}/rejects` has rows.
    pub has_rejects: bool,
    /// The name of what it made, where it made one thing: a do-not-call base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// Why it failed, or needs an approval.
    #[serde(default)]
    pub error: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
}
