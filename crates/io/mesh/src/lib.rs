//! Links between the members of a mesh.
//!
//! - [`MeshCa`], [`Identity`], [`MemberKey`]: the mesh's own certificate authority, and who a
//!   member is. Keys never leave the machine that made them.
//! - [`JoinToken`], [`join`], [`JoinAuthority`]: how a new member gets its certificate.
//! - [`Endpoint`]: one UDP socket, one QUIC connection for each pair of members (mutual TLS 1.3, no
//!   0-RTT, no resumption), requests and answers over it, and datagrams that may be lost.
//!
//! A cut link is noticed within 4 s: a keep-alive goes out each second, and a connection that
//! hears nothing for 4 s is given up and dialed anew with back-off. A member that was restarted ends
//! the links of its last process at once ([`ResetKey`]).

mod datagrams;
mod endpoint;
mod files;
mod identity;
mod join;
mod peers;
mod reset;
mod server;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod wire;

pub use datagrams::Unsent;
pub use endpoint::{Endpoint, EndpointConfig, MeshError};
pub use identity::{Identity, IdentityError, MemberKey, MeshCa};
pub use join::{
    JoinAuthority, JoinError, JoinGrant, JoinInfo, JoinRefused, JoinRequest, Joined, join,
};
pub use reset::ResetKey;
pub use server::{Service, ServiceError};
pub use token::{JoinToken, TokenError, secret_matches};
pub use wire::{Priority, RpcError, ServiceId};
