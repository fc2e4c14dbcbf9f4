//! Who may join: the holder of the CA checks the token, lets the directory give the id, and
//! certifies the key.

use crate::notes::{Notes, hex};
use domain::{MemberId, WallTime};
use futures::future::BoxFuture;
use ledger::{Change, DirectoryCommand, DirectoryReply, JoinToken, NewMember, TokenHash};
use member::Member;
use mesh::{JoinAuthority, JoinGrant, JoinInfo, JoinRefused, JoinRequest, MeshCa};
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

/// How long a member's certificate lives; it renews itself after two thirds.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// How long the directory may take to enter a member.
const ENTER: Duration = Duration::from_secs(10);

struct Inner {
    ca: MeshCa,
    notes: Arc<Notes>,
    member: Mutex<Option<Member>>,
    /// One join at a time, so that a token is never judged twice at once.
    turn: tokio::sync::Mutex<()>,
}

/// The coordinator's side of joining. Clones share it.
#[derive(Clone)]
pub(crate) struct Authority(Arc<Inner>);

fn refused(why: impl Into<String>) -> JoinRefused {
    JoinRefused { why: why.into() }
}

fn unknown() -> JoinRefused {
    refused("the token is not known or has ended; make a new one with `dialmesh token create`")
}

fn used() -> JoinRefused {
    refused("the token was used already; make a new one with `dialmesh token create`")
}

/// BLAKE3 of the public key that a request is signed by.
fn key_of(csr: &[u8]) -> Result<String, JoinRefused> {
    let (_, request) = X509CertificationRequest::from_der(csr)
        .map_err(|_| refused("the certificate signing request cannot be read"))?;
    let key = request.certification_request_info.subject_pki.raw;
    Ok(hex(blake3::hash(key).as_bytes()))
}

impl Authority {
    pub(crate) fn new(ca: MeshCa, notes: Arc<Notes>) -> Self {
        let turn = tokio::sync::Mutex::new(());
        Self(Arc::new(Inner {
            ca,
            notes,
            member: Mutex::new(None),
            turn,
        }))
    }

    /// From now on there is a directory to ask.
    pub(crate) fn attach(&self, member: Member) {
        *self.0.member.lock() = Some(member);
    }

    /// The member stops. Its endpoint holds this, so that nothing would end otherwise.
    pub(crate) fn detach(&self) {
        *self.0.member.lock() = None;
    }

    pub(crate) fn key_hash(&self) -> [u8; 32] {
        self.0.ca.key_hash()
    }
}

impl Inner {
    fn member(&self) -> Result<Member, JoinRefused> {
        self.member
            .lock()
            .clone()
            .ok_or_else(|| refused("the coordinator is starting; try again"))
    }

    async fn join(&self, request: JoinRequest, from: SocketAddr) -> Result<JoinGrant, JoinRefused> {
        let member = self.member()?;
        let key = key_of(&request.csr)?;
        let now = service::clock::wall();
        // A damaged request must not use up the token: a certificate for nobody is thrown away.
        self.certify(MemberId(0), &request.csr, now)?;
        let hash: TokenHash = *blake3::hash(request.secret.expose().as_bytes()).as_bytes();
        let _turn = self.turn.lock().await;
        let token = member
            .directory()
            .read(|directory| directory.join_tokens().find(|t| t.hash == hash).cloned())
            .filter(|token| token.expires_at > now)
            .ok_or_else(unknown)?;
        let claimed = self.notes.claimed_by(&hash);
        let same_key = claimed.as_ref() == Some(&key);
        if !same_key && (claimed.is_some() || token.used_by.is_some()) {
            return Err(used());
        }
        self.check(&member, &token, &request.info)?;
        let new = new_member(request.info, from)?;
        // Before the directory knows: whoever asks again after a crash must have the same key.
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a request to join cannot be kept");
            refused("the coordinator cannot keep the request; see its log and try again")
        };
        self.notes
            .claim(now, &hash, key, token.expires_at)
            .map_err(|e| failed(&e))?;
        let command = DirectoryCommand::from(Change::Join { hash, member: new });
        let committed = match member.directory().propose_again(&command, ENTER).await {
            Ok(committed) => committed,
            Err(error) => return Err(refused(format!("{error}; try again with the same token"))),
        };
        match committed.reply {
            DirectoryReply::Joined { member: id, .. } => {
                // The new member is among those it is told of once this is applied here.
                let seen = member
                    .directory()
                    .wait_applied(committed.index, ENTER)
                    .await;
                seen.map_err(|e| refused(format!("{e}; try again with the same token")))?;
                let members = member.directory().read(|d| d.members().cloned().collect());
                let chain = self.certify(id, &request.csr, service::clock::wall())?;
                Ok(JoinGrant {
                    member: id,
                    chain,
                    members,
                })
            }
            DirectoryReply::Rejected(rejection) => {
                if token.used_by.is_none() {
                    self.notes.unclaim(now, &hash).map_err(|e| failed(&e))?;
                }
                Err(refused(rejection.to_string()))
            }
            other => Err(refused(format!("the directory answered {other:?}"))),
        }
    }

    fn check(
        &self,
        member: &Member,
        token: &JoinToken,
        info: &JoinInfo,
    ) -> Result<(), JoinRefused> {
        if token.role != info.role {
            let (want, got) = (token.role, info.role);
            return Err(refused(format!(
                "the token is for a {want:?}, not for a {got:?}"
            )));
        }
        let region = token.region.and_then(|id| {
            member
                .directory()
                .read(|d| d.regions().find(|r| r.id == id).map(|r| r.name.clone()))
        });
        if let Some(asked) = info
            .region
            .as_ref()
            .filter(|asked| Some(*asked) != region.as_ref())
        {
            let region = region.unwrap_or_else(|| "none".to_owned());
            return Err(refused(format!(
                "the token is for region {region:?}, not {asked:?}"
            )));
        }
        match self.notes.join_token(token.id) {
            Some(note) if note.name != info.name => Err(refused(format!(
                "the token is for the name {:?}, not {:?}; change `name` in the configuration",
                note.name, info.name
            ))),
            _ => Ok(()),
        }
    }

    async fn renew(&self, id: MemberId, csr: Vec<u8>) -> Result<Vec<Vec<u8>>, JoinRefused> {
        let known = self
            .member()?
            .directory()
            .read(|d| d.member(id).is_some_and(|m| !m.removed));
        if !known {
            return Err(refused(format!(
                "{id} is not a member of this mesh any more"
            )));
        }
        self.certify(id, &csr, service::clock::wall())
    }

    fn certify(
        &self,
        id: MemberId,
        csr: &[u8],
        now: WallTime,
    ) -> Result<Vec<Vec<u8>>, JoinRefused> {
        let issued = self.ca.issue(id, csr, now, CERTIFICATE_LIFE);
        issued.map_err(|error| refused(error.to_string()))
    }
}

/// Addresses as others can dial them: a member that listens everywhere is found where it came from.
fn new_member(info: JoinInfo, from: SocketAddr) -> Result<NewMember, JoinRefused> {
    let mut address: SocketAddr = info.mesh_address.parse().map_err(|_| {
        refused(format!(
            "mesh address {:?} is not an IP address and port",
            info.mesh_address
        ))
    })?;
    if address.ip().is_unspecified() {
        address.set_ip(from.ip());
    }
    let http = info
        .http_address
        .replace("://0.0.0.0:", &format!("://{}:", from.ip()));
    Ok(NewMember {
        name: info.name,
        mesh_address: address.to_string(),
        http_address: http,
    })
}

impl JoinAuthority for Authority {
    fn join(
        &self,
        request: JoinRequest,
        from: SocketAddr,
    ) -> BoxFuture<'static, Result<JoinGrant, JoinRefused>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.join(request, from).await })
    }

    fn renew(
        &self,
        member: MemberId,
        csr: Vec<u8>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, JoinRefused>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.renew(member, csr).await })
    }
}
