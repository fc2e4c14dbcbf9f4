//! Joining a mesh, and renewing one's certificate.

use crate::{
    endpoint::{Inner, MeshError, transport},
    identity::{Identity, IdentityError, MemberKey, ca_key_hash},
    server::{ServiceError, peer_of},
    tls::{join_config, server_name},
    token::JoinToken,
    wire::{Priority, RpcError, ServiceId, call},
};
use bytes::Bytes;
use domain::{Member, MemberId, MemberRole, Secret};
use futures::future::BoxFuture;
use quinn::crypto::rustls::QuicClientConfig;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// What a joining process says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinInfo {
    /// Its name (`shenzhen`).
    pub name: String,
    /// What it is.
    pub role: MemberRole,
    /// The name of the region it dials for.
    pub region: Option<String>,
    /// `address:port` where others reach its mesh endpoint.
    pub mesh_address: String,
    /// `http://address:port` of its HTTP surface.
    pub http_address: String,
}

/// A request to join, as the coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// [`JoinToken::id`].
    pub token_id: String,
    /// [`JoinToken::secret`]; compare it with [`crate::secret_matches`].
    pub secret: Secret,
    /// Signing request for the node's key (DER).
    pub csr: Vec<u8>,
    /// Who it is.
    pub info: JoinInfo,
}

/// A request to join is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinGrant {
    /// The new member's id.
    pub member: MemberId,
    /// Its certificate chain (DER): leaf, CA.
    pub chain: Vec<Vec<u8>>,
    /// All members, itself included.
    pub members: Vec<Member>,
}

/// A request to join or to renew is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct JoinRefused {
    /// What is wrong and what to do: `token was used already; make a new one`. Do not tell a
    /// wrong secret from an unknown id.
    pub why: String,
}

/// The coordinator's side of joining. Only the endpoint of a member that has the CA has one.
pub trait JoinAuthority: Send + Sync + 'static {
    /// Checks the token (known, not expired, not used, right role and region), marks it used,
    /// enters the member into the directory and certifies its key.
    ///
    /// A node whose answer was lost asks again with the same token *and the same key*: grant that
    /// once more, with the same member id.
    fn join(
        &self,
        request: JoinRequest,
        from: SocketAddr,
    ) -> BoxFuture<'static, Result<JoinGrant, JoinRefused>>;

    /// Certifies a new key of a member whose present certificate was just checked. Returns the
    /// chain (DER): leaf, CA.
    fn renew(
        &self,
        member: MemberId,
        csr: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, JoinRefused>>;
}

/// What a new member has after joining.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Saved in the directory given.
    pub identity: Identity,
    /// All members, itself included.
    pub members: Vec<Member>,
    /// The member that let it in.
    pub coordinator: MemberId,
}

/// Joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No connection.
    #[error(
        "the coordinator at {address} cannot be reached ({why}); check the address, that UDP passes, and that it runs"
    )]
    Unreachable {
        /// Where it was dialed.
        address: SocketAddr,
        /// What the connection says.
        why: String,
    },
    /// Somebody else answers there. The secret was not sent.
    #[error(
        "{address} is not the coordinator of the token's mesh (its CA key has another hash); the secret was not sent. Check the address and the token"
    )]
    WrongMesh {
        /// Where it was dialed.
        address: SocketAddr,
    },
    /// The coordinator said no.
    #[error("the coordinator refused: {why}")]
    Refused {
        /// Its words.
        why: String,
    },
    /// The exchange broke off; try again with the same token.
    #[error("the exchange with the coordinator broke off; try again with the same token")]
    Broken(#[source] RpcError),
    /// What it sent is not usable.
    #[error("the coordinator's answer cannot be used: {0}")]
    Answer(String),
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

const JOIN_TIME: Duration = Duration::from_secs(20);
/// Codes of our own service errors.
const REFUSED: u16 = 1;
const UNREADABLE: u16 = 2;
const NO_AUTHORITY: u16 = 3;

/// Joins the mesh of `token` through its coordinator at `address` and saves the new identity in
/// `dir`. The key is made here, kept in `dir` before anything is sent (so that a lost answer can be
/// asked for again), and never leaves.
///
/// # Errors
/// [`JoinError`]; the same token may be tried again unless it was refused.
pub async fn join(
    token: &JoinToken,
    address: SocketAddr,
    info: JoinInfo,
    dir: &Path,
) -> Result<Joined, JoinError> {
    let unreachable = |why: String| JoinError::Unreachable { address, why };
    let tls = join_config(*token.ca_key_hash()).map_err(|e| JoinError::Answer(e.to_string()))?;
    let quic = QuicClientConfig::try_from(tls).map_err(|e| JoinError::Answer(e.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(transport());
    let local: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let endpoint = quinn::Endpoint::client(local).map_err(|e| unreachable(e.to_string()))?;
    // The verifier pins the CA and takes the name from the certificate; this one is not looked at.
    let connecting = endpoint
        .connect_with(config, address, &server_name(MemberId(0)))
        .map_err(|e| unreachable(e.to_string()))?;
    let connection = match tokio::time::timeout(JOIN_TIME, connecting).await {
        Err(_) => return Err(unreachable("no answer".into())),
        // TLS alerts travel as CRYPTO_ERROR codes 0x100..0x200 (RFC 9001, section 4.8).
        Ok(Err(quinn::ConnectionError::TransportError(e)))
            if (0x100..0x200).contains(&u64::from(e.code)) =>
        {
            return Err(JoinError::WrongMesh { address });
        }
        Ok(Err(e)) => return Err(unreachable(e.to_string())),
        Ok(Ok(connection)) => connection,
    };
    let coordinator =
        peer_of(&connection).ok_or_else(|| JoinError::Answer("it names no member".into()))?;
    let key = MemberKey::load_or_generate(dir)?;
    let request = JoinRequest {
        token_id: token.id().to_owned(),
        secret: token.secret().clone(),
        csr: key.csr()?,
        info,
    };
    let payload = Bytes::from(postcard::to_stdvec(&request).expect("plain data serialises"));
    let answer = call(
        &connection,
        coordinator,
        ServiceId::JOIN,
        payload,
        JOIN_TIME,
        Priority::Normal,
    )
    .await;
    connection.close(0u32.into(), b"done");
    endpoint.wait_idle().await;
    let grant: JoinGrant = match answer {
        Ok(bytes) => postcard::from_bytes(&bytes).map_err(|e| JoinError::Answer(e.to_string()))?,
        Err(RpcError::Service { message, .. }) => {
            return Err(JoinError::Refused { why: message });
        }
        Err(e) => return Err(JoinError::Broken(e)),
    };
    let hash = grant.chain.last().map(|ca| ca_key_hash(ca)).transpose()?;
    if hash.as_ref() != Some(token.ca_key_hash()) {
        return Err(JoinError::Answer(
            "its certificate is from another CA".into(),
        ));
    }
    let identity = key.certified(grant.chain)?;
    if identity.member != grant.member {
        return Err(JoinError::Answer(
            "its certificate names another member".into(),
        ));
    }
    identity.save(dir)?;
    MemberKey::forget(dir)?;
    Ok(Joined {
        identity,
        members: grant.members,
        coordinator,
    })
}

impl Inner {
    pub(crate) async fn handle_join(
        &self,
        request: Bytes,
        from: SocketAddr,
    ) -> Result<Bytes, ServiceError> {
        let Some(authority) = &self.authority else {
            let text = "this member cannot let others in; use the address of the coordinator";
            return Err(ServiceError::new(NO_AUTHORITY, text));
        };
        let request: JoinRequest = postcard::from_bytes(&request).map_err(|_| {
            ServiceError::new(
                UNREADABLE,
                "the request to join cannot be read; releases differ",
            )
        })?;
        let (name, token) = (request.info.name.clone(), request.token_id.clone());
        match authority.join(request, from).await {
            Ok(grant) => {
                tracing::info!(member = %grant.member, name, token, %from, "a member joined");
                Ok(postcard::to_stdvec(&grant)
                    .expect("plain data serialises")
                    .into())
            }
            Err(refused) => {
                tracing::warn!(name, token, %from, why = refused.why, "a request to join was refused");
                Err(ServiceError::new(REFUSED, refused.why))
            }
        }
    }

    pub(crate) async fn handle_renewal(
        &self,
        member: MemberId,
        csr: Bytes,
    ) -> Result<Bytes, ServiceError> {
        let Some(authority) = &self.authority else {
            return Err(ServiceError::new(NO_AUTHORITY, "this member has no CA"));
        };
        match authority.renew(member, csr.to_vec()).await {
            Ok(chain) => Ok(postcard::to_stdvec(&chain)
                .expect("plain data serialises")
                .into()),
            Err(refused) => Err(ServiceError::new(REFUSED, refused.why)),
        }
    }

    /// Gets a certificate for a new key from `authority`, saves both in `dir` and uses them for
    /// new connections.
    pub(crate) async fn renew(
        &self,
        authority: MemberId,
        dir: &Path,
        deadline: Duration,
    ) -> Result<Identity, MeshError> {
        let key = MemberKey::generate();
        let csr = key.csr()?;
        let answer = if authority == self.me {
            self.handle_renewal(self.me, csr.into())
                .await
                .map_err(|e| RpcError::Service {
                    peer: self.me,
                    code: e.code,
                    message: e.message,
                })?
        } else {
            self.rpc(
                authority,
                ServiceId::RENEW,
                csr.into(),
                deadline,
                Priority::Normal,
            )
            .await?
        };
        let chain: Vec<Vec<u8>> = postcard::from_bytes(&answer).map_err(|e| RpcError::Broken {
            peer: authority,
            why: e.to_string(),
        })?;
        let identity = key.certified(chain)?;
        if identity.member != self.me || identity.mesh_id != self.mesh_id {
            return Err(MeshError::WrongIdentity {
                found: identity.member,
            });
        }
        identity.save(dir)?;
        self.certified.rotate(&identity)?;
        Ok(identity)
    }
}
