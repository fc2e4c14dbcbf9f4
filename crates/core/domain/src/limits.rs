//! Every bound of the product in one place. Each has a test at the bound beside its user.

use std::time::Duration;

/// Bytes of an agent's note.
pub const NOTE_BYTES: usize = 2_000;
/// Bytes of one telephone number as an importer writes it.
pub const NUMBER_TEXT_BYTES: usize = 64;
/// Attempt limits of one rule pack.
pub const ATTEMPT_LIMITS: usize = 8;
/// Calling windows of one rule pack or campaign.
pub const CALLING_WINDOWS: usize = 64;
/// Dates on which a rule pack closes.
pub const CLOSED_DATES: usize = 512;
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
/// Highest weight of a trunk among those of its rank.
pub const TRUNK_WEIGHT: u16 = 10_000;
/// Addresses of one trunk that is given by name; further ones are not used.
pub const TRUNK_TARGETS: usize = 32;
/// Addresses of one trunk that one attempt is tried at, each after the one before failed for certain.
pub const TARGET_TRIES: usize = 3;
/// Bytes of the address of a certificate that signs calls: the Identity header stays within a line.
pub const CERTIFICATE_URL: usize = 512;
/// Characters that a trunk writes in front of a number.
pub const NUMBER_PREFIX: usize = 16;
/// Shortest Session-Expires (RFC 4028, section 4).
pub const SESSION_EXPIRES_MIN: Duration = Duration::from_secs(90);
/// Longest Session-Expires.
pub const SESSION_EXPIRES_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest rest that a carrier's Retry-After can ask of a trunk.
pub const TRUNK_REST_MAX: Duration = Duration::from_secs(300);
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
/// How soon a keep-alive or freshness request that nobody answered is sent again: a city that is
/// whole again asks at once, not after a third of its session.
pub const RENEWAL_RETRY: Duration = Duration::from_millis(500);
/// Other members whose calendars a member compares its own with.
pub const MESH_CLOCKS: usize = 16;
/// Calendars that differ by no more than that agree.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// Two machines' clocks drift apart by at most one in so many: what NTP steers at the most (500 ppm),
/// on both.
pub const CLOCK_DRIFT_ONE_IN: u128 = 1000;
/// How long a calendar that was heard counts.
pub const CLOCK_MEMORY: Duration = Duration::from_secs(600);
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
/// `a=crypto` lines of one media line that are read; what is beyond is as if it were not there.
pub const SDP_CRYPTO_LINES: usize = 16;
/// RTP ports (each with its RTCP port) of one relay.
pub const MEDIA_PORTS: usize = 16_384;
/// Bytes of one RTP or RTCP datagram that are read; a longer one is refused.
pub const RTP_BYTES: usize = 1_472;
/// Commands waiting for a media relay.
pub const RELAY_COMMANDS: usize = 4_096;
/// Media events waiting for the engine; beyond it keys pressed are not told (all other events are
/// bounded by the commands that cause them).
pub const MEDIA_EVENTS: usize = 65_536;
/// Keys that an agent may press in one command.
pub const KEYS: usize = 32;
/// Keys of one call that wait to be sent, the one that is being sent among them; more are refused.
pub const KEYS_WAITING: usize = 32;
/// How long one key takes on the wire: 120 ms of tone, 80 ms of silence.
pub const KEY: Duration = Duration::from_millis(200);
/// Prompts of one node.
pub const PROMPTS: usize = 1_000;
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

/// Time zones one number may lie in.
pub const LEAD_ZONES: usize = 64;
/// Different sets of time zones in one region.
pub const ZONE_SETS: usize = 65_000;
/// Leads in one region (mesh protocol, section 1: split it beyond).
pub const REGION_LEADS: usize = 50_000_000;
/// Attempts remembered of one number, across leads and campaigns; no rule pack may limit higher.
pub const ATTEMPT_HISTORY: usize = 1_024;
/// Sessions open or with leads in doubt in one region.
pub const SESSIONS: usize = 4_096;
/// Shortest session time to live.
pub const SESSION_TTL_MIN: Duration = Duration::from_secs(5);
/// Longest session time to live.
pub const SESSION_TTL_MAX: Duration = Duration::from_secs(300);
/// Answers remembered of one proposer, so that a retry gets the first one again.
pub const RETRY_WINDOW: usize = 64;
/// How long attempts at a number are remembered; no rule pack may look back further.
pub const ATTEMPT_MEMORY: Duration = Duration::from_secs(31 * 86_400);
/// How often a region's leader tells its group how much time has passed.
pub const TICK_INTERVAL: Duration = Duration::from_secs(2);
/// The most that one tick may claim to have passed.
pub const TICK_MAX: Duration = Duration::from_secs(5);
/// How long a lead rests when its number is busy with another lead's attempt.
pub const BUSY_NUMBER_REST: Duration = Duration::from_secs(60);
/// How long a lead rests when an agent asked for a retry and the campaign has no rule for it.
pub const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(24 * 3600);
/// Shortest ring limit of a campaign.
pub const RING_LIMIT_MIN: Duration = Duration::from_secs(15);
/// Longest ring limit of a campaign.
pub const RING_LIMIT_MAX: Duration = Duration::from_secs(120);
/// Longest talk limit of a campaign.
pub const TALK_LIMIT_MAX: Duration = Duration::from_secs(4 * 3600);
/// The least that a campaign may aim to abandon, in thousandths of its live answers: who wants none at
/// all dials progressively.
pub const TARGET_PERMILLE_MIN: u16 = 1;
/// Ready agents of a node that a campaign may leave to inbound calls: all there may be.
pub const INBOUND_AGENTS: u32 = NODE_AGENTS as u32;
/// The longest ramp of a campaign's dial level.
pub const RAMP_MAX: Duration = Duration::from_secs(4 * 3600);
/// The largest share of a campaign's dials that may show a number that is not local, in percent: what is
/// learned from more is bought with answers.
pub const HOLD_OUT_PERCENT: u8 = 20;
/// Campaigns that count their abandonments together.
pub const DROP_RATE_GROUP: usize = 64;
/// Lists whose chances a claim names; the leads of all others are of one kind.
pub const CHANCE_LISTS: usize = 64;
/// Attempts at a lead whose chances a claim tells apart.
pub const CHANCE_ATTEMPTS: usize = 10;
/// A claim for the best leads looks at so many for each that it is given.
pub const CLAIM_CHOICE: usize = 8;
/// Thousandths of the leads that are given out in no order, so that what an order wins is known.
pub const HELD_OUT_PERMILLE: u32 = 50;
/// Campaigns of which a node remembers what it learned; those that it learned of last.
pub const LEARNED_CAMPAIGNS: usize = 256;
/// Bytes of what a node learned of one campaign, as it is kept and told.
pub const LEARNED_BYTES: usize = 128 * 1024;
/// Caller IDs, and places of them, whose standing a node tells in one answer.
pub const STANDINGS_TOLD: usize = 1_000;
/// Campaigns of which a node says each second what holds them back; those with the lowest ids.
pub const PACING_TOLD: usize = 500;
/// Problems of its set-up that a node says at a time; the first by their setting.
pub const PROBLEMS_TOLD: usize = 32;
/// Names that are said beside one of them.
pub const PROBLEM_NAMES: usize = 16;
/// Trunks that a node's configuration says something of.
pub const TRUNK_SETTINGS: usize = 256;
/// Retry rules of one campaign.
pub const RETRY_RULES: usize = 64;
/// Do-not-call entries in the directory, beside the published base.
pub const DNC_ENTRIES: usize = 20_000_000;
/// Imported lists in the directory.
pub const LISTS: usize = 1_000_000;
/// Numbers in one batch that moves from one region to another.
pub const MOVE_BATCH: usize = 500;
/// Bytes of one such batch, as its mover reckons them; one number may come to more.
pub const MOVE_BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Rules of the map from numbers to home regions.
pub const HOME_RULES: usize = 10_000;
/// Join tokens that are neither used nor expired.
pub const JOIN_TOKENS: usize = 1_000;
/// How long a join token may live.
pub const JOIN_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// API tokens in the directory.
pub const API_TOKENS: usize = 10_000;
/// Caller IDs in one command.
pub const CALLER_ID_BATCH: usize = 1_000;
/// Highest cap of a caller ID, a day or an hour.
pub const CALLER_ID_CAP: u32 = 10_000;
/// Length of one prompt.
pub const PROMPT: Duration = Duration::from_secs(300);
/// Voters of one Raft group.
pub const VOTERS: usize = 5;
/// Numbers in one do-not-call base file.
pub const DNC_BASE_NUMBERS: u64 = 300_000_000;
/// Do-not-call bases that the directory knows: the one in use, and others on their way.
pub const DNC_BASES: usize = 8;
/// How old a registry's entry must be before it is dropped beside a base that has it: a registry's
/// later list has it by then, or is used for longer than a list may be.
pub const DNC_SETTLED_AFTER: Duration = Duration::from_secs(31 * 86_400);
/// Bytes of the directory of a do-not-call base file: reached only by numbers that lie further apart
/// than those of any country.
pub const DNC_BASE_DIRECTORY_BYTES: usize = 256 * 1024 * 1024;
/// Nodes that a region's policy names for when its own are gone.
pub const FAILOVER_NODES: usize = 8;
/// Shortest time for which a voter may be silent before another takes its place.
pub const VOTER_GRACE_MIN: Duration = Duration::from_secs(10);
/// Longest such time.
pub const VOTER_GRACE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Shortest time for which a member must be there before it is made a voter.
pub const VOTER_STABLE_MIN: Duration = Duration::from_secs(1);
/// Longest such time.
pub const VOTER_STABLE_MAX: Duration = Duration::from_secs(3600);
/// Do-not-call patterns for everywhere in the directory, and once more as many for single campaigns
/// and regions.
pub const DNC_PATTERNS: usize = 10_000;
/// Freezes in the directory.
pub const FREEZES: usize = 1_000_000;
/// How long a freeze may last; what must rest for longer belongs on do-not-call.
pub const FREEZE_MAX: Duration = Duration::from_secs(366 * 86_400);
/// How long the directory keeps a freeze after its end by its own calendar: nodes and regions judge by
/// theirs, and the directory's is not so far ahead of any.
pub const FREEZE_KEPT: Duration = Duration::from_secs(31 * 86_400);
/// Consents in the directory.
pub const CONSENTS: usize = 5_000_000;
/// Different proofs of consents: kinds, sources and places.
pub const CONSENT_PROOFS: usize = 10_000;
/// How long the directory keeps a consent and its proof after it ended or was withdrawn.
pub const CONSENT_KEPT: Duration = Duration::from_secs(366 * 86_400);
/// Withdrawals of consents that the directory remembers, so that an earlier consent that is imported
/// again is not taken.
pub const CONSENT_WITHDRAWALS: usize = 5_000_000;
/// How long a share of an abandonment budget may be used without another word of the directory.
pub const ESCROW_LIFE: Duration = Duration::from_secs(120);
/// Other nodes whose agents and lines a campaign's pacing at one node takes into account.
pub const POOL_NEIGHBOURS: usize = 64;
/// Campaigns in one ask for shares; a node with more asks several times.
pub const ESCROW_LINES: usize = 256;
/// Earlier runs in one ask for shares.
pub const ESCROW_PROOFS: usize = 16;
/// Earlier runs of a member whose shares of one campaign stay in doubt apart; of older ones only
/// the sum is kept.
pub const ESCROW_RUNS: usize = 8;
/// Longest window of an abandonment budget: the longest month, in which summer time ends.
pub const ABANDONMENT_WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400 + 3600);
/// Shortest window of an abandonment budget: counts are kept by the hour.
pub const ABANDONMENT_WINDOW_MIN: Duration = Duration::from_secs(6 * 3600);
/// Do-not-call lists that are pulled from their publishers.
pub const DNC_LISTS: usize = 64;
/// Bytes of the address of a do-not-call list.
pub const DNC_LIST_ADDRESS_BYTES: usize = 1_024;
/// Bytes of a do-not-call list as its publisher gives it: 300 million numbers with room to spare.
pub const DNC_LIST_BYTES: u64 = 8 << 30;
/// Bytes of the certificates that a do-not-call list's publisher is known by.
pub const DNC_LIST_CA_BYTES: usize = 64 * 1024;
/// Bytes of the header with which a do-not-call list is asked for.
pub const DNC_LIST_HEADER_BYTES: usize = 4 * 1024;
/// Shortest time between two pulls of a do-not-call list.
pub const DNC_LIST_EVERY_MIN: Duration = Duration::from_secs(60);
/// Longest such time.
pub const DNC_LIST_EVERY_MAX: Duration = Duration::from_secs(31 * 86_400);
/// Shortest age that a do-not-call list may be held to.
pub const DNC_LIST_AGE_MIN: Duration = Duration::from_secs(60);
/// Longest such age.
pub const DNC_LIST_AGE_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Pulls remembered of a do-not-call list.
pub const DNC_LIST_PULLS: usize = 100;
/// Numbers of a do-not-call base that may be dialed all the same.
pub const DNC_LIFTS: usize = 100_000;
/// How long an answered call waits at most for a listener's word on who answered: the listener's own
/// limit and a second of slack. What is not told by then counts as a person.
pub const ANSWERING: Duration = Duration::from_secs(9);
/// How long a machine's beep is waited for: greetings are shorter.
pub const MACHINE_BEEP: Duration = Duration::from_secs(30);
/// Bytes of the name of a prompt.
pub const PROMPT_NAME_BYTES: usize = 32;
/// Prompts that a node may have for campaigns' messages to machines.
pub const VOICE_DROPS: usize = 64;
/// Persons who called back and wait for an agent at one node; who calls beyond is told that it is busy.
pub const CALL_BACKS_WAITING: usize = 500;
/// Shortest time that a person who called back may be asked to wait for an agent.
pub const CALL_BACK_WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest such time.
pub const CALL_BACK_WAIT_MAX: Duration = Duration::from_secs(900);
/// How long the mesh is asked who calls, while it rings; who is not known by then is a stranger.
pub const WHO_CALLS: Duration = Duration::from_secs(1);
/// Calls at one node for which that is asked at a time; who calls beyond is a stranger at once.
pub const CALLERS_ASKED: usize = 256;
/// Other members that one question goes to.
pub const WHO_CALLS_MEMBERS: usize = 5;
/// Persons whom a node called and remembers, for when they call back; who was called longest ago goes.
pub const CALLED: usize = 100_000;
/// Bytes of names and attributes that it remembers of them.
pub const CALLED_BYTES: usize = 64 * 1024 * 1024;
/// Browsers whose audio one node carries at a time, connecting ones too.
pub const BROWSERS: usize = NODE_AGENTS;
/// Bytes of a browser's SDP.
pub const BROWSER_SDP_BYTES: usize = 12 * 1024;
/// Addresses that one browser may send from at a time; the oldest goes.
pub const BROWSER_ADDRESSES: usize = 8;
/// How long a browser may take from its offer until audio can flow.
pub const BROWSER_CONNECT: Duration = Duration::from_secs(20);
/// How long an agent's browser may be without audio during a shift, until another offer.
pub const BROWSER_BACK: Duration = Duration::from_secs(20);
/// Recordings that one node writes at a time; calls beyond are not recorded, which their records say.
pub const RECORDINGS_OPEN: usize = 4_096;
/// The longest recording; what is said after it is not in it. Longer than any call may be.
pub const RECORDING: Duration = Duration::from_secs(5 * 3600);
/// Pauses of one recording that are marked each for itself; later ones are marked as one with the last.
pub const RECORDING_PAUSES: usize = 256;
/// Batches of packets that may wait for the thread that writes recordings, 64 KiB each: some 8 s of 200
/// calls. What does not fit is not recorded, and counted.
pub const RECORDING_BATCHES: usize = 512;
/// Bytes of a recording's file that one answer brings over the mesh.
pub const RECORDING_PIECE_BYTES: usize = 1024 * 1024;
/// Keys that recordings were made with, as one coordinator keeps them.
pub const RECORDING_KEYS: usize = 64;
/// Days of recordings that a node keeps at most: one folder each.
pub const RECORDING_DAYS: u64 = 3_660;
/// Supervisors in one call.
pub const CALL_SUPERVISORS: usize = 4;
/// Parties of one mixer: an agent, a person, and the supervisors of their call.
pub const MIX_PARTIES: usize = 2 + CALL_SUPERVISORS;
/// Bytes of one unreliable datagram between two members: within what any path of QUIC takes.
pub const MESH_DATAGRAM_BYTES: usize = 1_100;
/// Bytes of datagrams that wait on one link to another member; the oldest goes.
pub const MESH_DATAGRAM_QUEUE: usize = 256 * 1024;
/// Calls whose audio goes between two nodes at a time.
pub const CARRIED_CALLS: usize = 500;
/// Packets of carried calls that wait for the relay's thread, and for the mesh's; the oldest goes, where
/// they wait for the relay.
pub const CARRIED_PACKETS: usize = 4_096;
/// A carried call of whose other node nothing was heard for so long is over.
pub const CARRIED_LOST: Duration = Duration::from_secs(5);
/// How young what another node said of its free agents must be.
pub const FREE_AGENTS_AGE: Duration = Duration::from_secs(3);
/// Campaigns of which a node tells its free agents.
pub const FREE_AGENTS_CAMPAIGNS: usize = 500;
/// The shortest round trip to which overflow may be limited.
pub const OVERFLOW_ROUND_TRIP_MIN: Duration = Duration::from_millis(1);
/// The longest such round trip: beyond it two persons fall into each other's words.
pub const OVERFLOW_ROUND_TRIP_MAX: Duration = Duration::from_millis(500);
