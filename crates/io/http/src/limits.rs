//! Bounds of the HTTP surface. Each has a test at the bound.

use std::time::Duration;

/// Bytes of a JSON body.
pub const BODY_BYTES: usize = 256 * 1024;
/// Bytes of an uploaded CSV file.
pub const IMPORT_BYTES: u64 = 1 << 30;
/// Bytes of an uploaded do-not-call base: 300 million numbers of many countries fit.
pub const DNC_BASE_BYTES: u64 = 2 << 30;
/// Objects in one page, at most.
pub const PAGE: usize = 1_000;
/// Objects in one page, when nothing is said.
pub const PAGE_DEFAULT: usize = 100;
/// Bytes of a cursor.
pub const CURSOR_BYTES: usize = 512;
/// Bytes of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES: usize = 128;
/// Remembered `Idempotency-Key`s. At the bound the oldest finished one goes.
pub const IDEMPOTENCY_KEYS: usize = 10_000;
/// How long a finished request is remembered.
pub const IDEMPOTENCY_SPAN: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of a response that is remembered.
pub const IDEMPOTENCY_BODY_BYTES: usize = 64 * 1024;
/// Events kept for clients that come back with `Last-Event-ID`.
pub const EVENTS: usize = 4_096;
/// Event streams at a time.
pub const EVENT_STREAMS: usize = 256;
/// Silence on an event stream, at most: then a comment line is sent.
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Caller IDs in one request.
pub const CALLER_IDS: usize = 1_000;
/// Bytes of one frame from an agent's screen.
pub const AGENT_FRAME_BYTES: usize = 16 * 1024;
/// Bytes read at once from an agent's screen.
pub const AGENT_READ_BYTES: usize = 2 * 1024;
/// Notices and replies waiting for one agent's screen; a screen that lets them pile up is closed.
pub const AGENT_QUEUE: usize = 64;
/// Screens attached at a time, over all agents.
pub const AGENT_SOCKETS: usize = 10_000;
/// How often an agent's screen is pinged.
pub const AGENT_PING: Duration = Duration::from_secs(5);
/// Silence after which an agent's screen is gone.
pub const AGENT_SILENCE: Duration = Duration::from_secs(15);
/// How long writing one frame to an agent's screen may take.
pub const AGENT_WRITE: Duration = Duration::from_secs(5);
/// Unused tickets at a time.
pub const TICKETS: usize = 10_000;
/// How long a ticket may be used.
pub const TICKET_SPAN: Duration = Duration::from_secs(30);
