//! Every bound of the product in one place. Each has a test at the bound beside its user.

use std::time::Duration;

/// Bytes of an agent's note.
pub const NOTE_BYTES: usize = 2_000;
/// Bytes of a name (lead, campaign, trunk, agent, region, member).
pub const NAME_BYTES: usize = 128;
/// Attributes of a lead beside its name.
pub const ATTRIBUTES: usize = 64;
/// Bytes of one attribute's value.
pub const ATTRIBUTE_BYTES: usize = 1_024;
/// Leads in one import command.
pub const IMPORT_BATCH: usize = 1_000;
/// Leads in one claim.
pub const CLAIM_BATCH: usize = 500;
/// Outcomes in one report.
pub const OUTCOME_BATCH: usize = 500;
/// Do-not-call entries in one command.
pub const DNC_BATCH: usize = 1_000;
/// Leads leased to one session at a time.
pub const SESSION_LEASES: usize = 20_000;
/// Campaigns in the directory.
pub const CAMPAIGNS: usize = 10_000;
/// Trunks in the directory.
pub const TRUNKS: usize = 10_000;
/// Caller IDs in the directory.
pub const CALLER_IDS: usize = 1_000_000;
/// Agents in the directory.
pub const AGENTS: usize = 100_000;
/// Members in the directory.
pub const MEMBERS: usize = 1_000;
/// Regions in the directory.
pub const REGIONS: usize = 1_000;
/// Dispositions of one campaign.
pub const DISPOSITIONS: usize = 64;
/// Attempts in the air at one node.
pub const NODE_ATTEMPTS: usize = 20_000;
/// Agents signed in at one node.
pub const NODE_AGENTS: usize = 5_000;
/// Call records and outcomes waiting to be shipped from one node. At the bound, dialing stops.
pub const OUTBOX: usize = 200_000;
/// Bytes of one SIP message.
pub const SIP_MESSAGE_BYTES: usize = 64 * 1024;
/// Headers of one SIP message.
pub const SIP_HEADERS: usize = 128;
/// Bytes of one SIP header line.
pub const SIP_LINE_BYTES: usize = 8 * 1024;
/// Via headers of one SIP message.
pub const SIP_VIAS: usize = 32;
/// Media lines of one SDP body.
pub const SDP_MEDIA_LINES: usize = 16;
/// Bytes of one mesh RPC message.
pub const RPC_BYTES: usize = 8 * 1024 * 1024;

/// Session time to live T (mesh protocol, section 3).
pub const SESSION_TTL: Duration = Duration::from_secs(30);
/// Do-not-call freshness (mesh protocol, section 4).
pub const FRESHNESS: Duration = Duration::from_secs(30);
/// Bound on the drift between two members' clocks, in thousandths: 2 %.
pub const DRIFT_PERMILLE: u32 = 20;
/// Validity that must be left when an INVITE is sent.
pub const SEND_GUARD: Duration = Duration::from_secs(2);
/// How long an INVITE may still be retransmitted by us or the network: 64 T1 (RFC 3261, timer B).
pub const INVITE_LIFETIME: Duration = Duration::from_secs(32);
