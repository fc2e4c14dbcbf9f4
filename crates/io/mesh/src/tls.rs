//! TLS 1.3 among members: who is believed.

use crate::identity::{Identity, IdentityError, ca_key_hash, name_of};
use arc_swap::ArcSwap;
use domain::MemberId;
use parking_lot::RwLock;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs::default_provider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What both ends must say first.
const ALPN: &[u8] = b"dialmesh/1";

pub(crate) fn provider() -> CryptoProvider {
    default_provider()
}

/// Why a member is not spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Taken out of the mesh.
    Removed,
    /// Cut off by the operator, to see what happens.
    Cut,
}

/// Members that are not spoken with; shared by the verifiers and the endpoint.
#[derive(Debug, Default)]
pub(crate) struct Refusals(RwLock<BTreeMap<MemberId, Refusal>>);

impl Refusals {
    pub(crate) fn of(&self, member: MemberId) -> Option<Refusal> {
        self.0.read().get(&member).copied()
    }

    /// Replaces all refusals of one kind.
    pub(crate) fn replace(&self, kind: Refusal, members: impl IntoIterator<Item = MemberId>) {
        let mut held = self.0.write();
        held.retain(|_, k| *k != kind);
        for member in members {
            // Removal outweighs a cut.
            held.entry(member).or_insert(kind);
        }
    }
}

/// The certificate in use; replaced when it is renewed.
#[derive(Debug)]
pub(crate) struct Certified(ArcSwap<CertifiedKey>);

impl Certified {
    pub(crate) fn new(identity: &Identity) -> Result<Self, IdentityError> {
        Ok(Self(ArcSwap::from_pointee(identity.certified_key()?)))
    }

    pub(crate) fn rotate(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.0.store(Arc::new(identity.certified_key()?));
        Ok(())
    }
}

impl ResolvesServerCert for Certified {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Certified {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes certificates of the mesh's CA that name a member of it who is not refused.
struct MemberVerifier {
    mesh_id: String,
    roots: RootCertStore,
    provider: CryptoProvider,
    refusals: Arc<Refusals>,
}

impl fmt::Debug for MemberVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberVerifier")
            .field("mesh_id", &self.mesh_id)
            .finish_non_exhaustive()
    }
}

fn check_chain(
    provider: &CryptoProvider,
    roots: &RootCertStore,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(leaf)?;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        roots,
        intermediates,
        now,
        provider.signature_verification_algorithms.all,
    )
}

impl MemberVerifier {
    fn member(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<MemberId, Error> {
        check_chain(&self.provider, &self.roots, leaf, intermediates, now)?;
        let (mesh, member) =
            name_of(leaf).map_err(|_| Error::from(CertificateError::NotValidForName))?;
        if mesh != self.mesh_id {
            return Err(CertificateError::NotValidForName.into());
        }
        match self.refusals.of(member) {
            None => Ok(member),
            Some(_) => Err(CertificateError::Revoked.into()),
        }
    }
}

/// The server name under which a member is dialed. It never meets a resolver: it only carries the
/// expected id to the verifier.
pub(crate) fn server_name(member: MemberId) -> String {
    format!("m{:x}.dialmesh", member.0)
}

fn expected_member(name: &ServerName<'_>) -> Option<MemberId> {
    let hex = name
        .to_str()
        .strip_prefix('m')?
        .strip_suffix(".dialmesh")?
        .to_owned();
    u64::from_str_radix(&hex, 16).ok().map(MemberId)
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let member = self.member(leaf, intermediates, now)?;
        if Some(member) != expected_member(server_name) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC knows TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn client_auth_mandatory(&self) -> bool {
        // Who has no certificate yet may ask to join, and nothing else.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.member(leaf, intermediates, now)
            .map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC knows TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Believes the chain whose CA has the hash that the join token carries.
struct PinnedCa {
    ca_key_hash: [u8; 32],
    provider: CryptoProvider,
}

impl fmt::Debug for PinnedCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinnedCa")
    }
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates
            .last()
            .ok_or(CertificateError::UnknownIssuer)?;
        let found = ca_key_hash(ca).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        if found != self.ca_key_hash {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        check_chain(&self.provider, &roots, leaf, &[], now)?;
        name_of(leaf).map_err(|_| Error::from(CertificateError::NotValidForName))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC knows TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn member_verifier(
    identity: &Identity,
    refusals: &Arc<Refusals>,
) -> Result<Arc<MemberVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.ca().clone())?;
    Ok(Arc::new(MemberVerifier {
        mesh_id: identity.mesh_id.clone(),
        roots,
        provider: provider(),
        refusals: Arc::clone(refusals),
    }))
}

pub(crate) fn server_config(
    identity: &Identity,
    certified: &Arc<Certified>,
    refusals: &Arc<Refusals>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(member_verifier(identity, refusals)?)
        .with_cert_resolver(Arc::clone(certified) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the check of the certificate, and so a removal.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

pub(crate) fn client_config(
    identity: &Identity,
    certified: &Arc<Certified>,
    refusals: &Arc<Refusals>,
) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(member_verifier(identity, refusals)?)
        .with_client_cert_resolver(Arc::clone(certified) as Arc<dyn ResolvesClientCert>);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

pub(crate) fn join_config(ca_key_hash: [u8; 32]) -> Result<ClientConfig, Error> {
    let verifier = PinnedCa {
        ca_key_hash,
        provider: provider(),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}
