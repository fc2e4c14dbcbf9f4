//! TLS for SIP (RFC 3261 section 26.3, RFC 5922): certificates, whom to trust, and by which name a
//! carrier is known.

use parking_lot::RwLock;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Certificates and whom to trust, as files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our own chain, the leaf first: shown to who connects here, and to a server that asks for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificate authorities of servers; those of the system where absent.
    pub trust: Option<PathBuf>,
    /// Certificate authorities of who connects here. Where given, nobody connects without a certificate
    /// of theirs (mutual TLS).
    pub client_trust: Option<PathBuf>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no such thing, or a broken one.
    #[error("{} is not PEM with {expected}: {why}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The files do not go together, or their algorithms are not known.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
    /// The system has no certificate authorities.
    #[error(
        "this system has no certificate authorities; install ca-certificates, or name a file of the carrier's"
    )]
    NoRoots,
}

/// What TLS connections of one [`crate::SipSockets`] are made with.
pub struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    /// By which name a server's certificate is judged; its address where none is said.
    names: RwLock<BTreeMap<SocketAddr, ServerName<'static>>>,
}

impl fmt::Debug for Tls {
    /// No key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or used; the error names it.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let key = || {
            let bytes = read(&files.key)?;
            PrivateKeyDer::from_pem_slice(&bytes)
                .map_err(|error| malformed(&files.key, "a private key", &error))
        };
        let roots = match &files.trust {
            Some(path) => roots(path)?,
            None => system_roots()?,
        };
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let provider = || Arc::new(aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.clone(), key()?)
            .map_err(unusable)?;
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let server = match &files.client_trust {
            None => server.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(self::roots(path)?),
                    provider(),
                )
                .build()
                .map_err(|error| TlsError::Unusable(error.to_string()))?;
                server.with_client_cert_verifier(verifier)
            }
        };
        let server = server.with_single_cert(chain, key()?).map_err(unusable)?;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            names: RwLock::default(),
        })
    }

    /// From now on, by which names servers are known: their address and the domain of their trunk. A
    /// domain that is an address is judged as one (RFC 5922 section 7.1).
    pub fn set_names(&self, names: impl IntoIterator<Item = (SocketAddr, String)>) {
        let names = names.into_iter().filter_map(|(address, domain)| {
            let name = ServerName::try_from(domain).ok()?;
            Some((address, name))
        });
        *self.names.write() = names.collect();
    }

    pub(crate) fn to_server(
        &self,
        remote: SocketAddr,
    ) -> Result<rustls::Connection, rustls::Error> {
        let name = self.names.read().get(&remote).cloned();
        let name = name.unwrap_or_else(|| ServerName::IpAddress(remote.ip().into()));
        ClientConnection::new(self.client.clone(), name).map(Into::into)
    }

    pub(crate) fn to_client(&self) -> Result<rustls::Connection, rustls::Error> {
        ServerConnection::new(self.server.clone()).map(Into::into)
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn malformed(path: &Path, expected: &'static str, why: &dyn fmt::Display) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        expected,
        why: why.to_string(),
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(path, "certificates", &error))?;
    match chain.is_empty() {
        true => Err(malformed(path, "certificates", &"there is none in it")),
        false => Ok(chain),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| malformed(path, "certificate authorities", &error))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Single ones that cannot be read are the system's business; none at all is ours.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err(TlsError::NoRoots),
        false => Ok(roots),
    }
}
