//! The HTTP surface.
//!
//! - [`admin`]: `/api/v1`, served by the coordinator over an [`admin::AdminBackend`].
//! - [`agent`]: `/agent/v1`, served by each node over an [`agent::AgentBackend`].
//! - [`pages`]: the console's pages at `/`.
//! - [`dto`]: what crosses the wire, for servers and clients alike.
//! - [`problem`]: errors (RFC 9457) with stable codes.

#![expect(
    clippy::result_large_err,
    reason = "a problem is made once for a refused request, then written out"
)]

pub mod admin;
pub mod agent;
pub mod auth;
pub mod dto;
pub mod events;
pub mod extract;
pub mod idempotency;
pub mod limits;
pub mod pages;
pub mod problem;
