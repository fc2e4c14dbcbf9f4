//! The mesh's certificate authority, and the identities of its members.

use crate::files::write_private;
use aws_lc_rs::{digest, rand};
use domain::{MemberId, WallTime};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// How long a CA lives.
const CA_LIFETIME: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Certificates begin a little before now: members' clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// An identity cannot be made, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("identity file {path} cannot be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a CA already.
    #[error("{path} exists already; remove it only if no member of that mesh is left")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A certificate, key or request is malformed.
    #[error("{what} is not valid: {why}")]
    Malformed {
        /// Which one.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A certificate that belongs to another mesh or to no member.
    #[error("certificate name {found:?} is not of the form dialmesh://<mesh>/member/<id>")]
    Name {
        /// The name found.
        found: String,
    },
}

fn malformed(what: &'static str, why: impl fmt::Display) -> IdentityError {
    IdentityError::Malformed {
        what,
        why: why.to_string(),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { path, source }
}

/// The certificate authority of one mesh, held by its coordinator.
pub struct MeshCa {
    mesh_id: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for MeshCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshCa")
            .field("mesh_id", &self.mesh_id)
            .finish_non_exhaustive()
    }
}

impl MeshCa {
    /// Makes the CA of a new mesh in `dir`: `ca.pem` and `ca.key`, mode 0600. `now` is what the
    /// certificate's validity begins with (20 years).
    ///
    /// # Errors
    /// [`IdentityError::Exists`] when there is one already; files that cannot be written.
    pub fn create(dir: &Path, now: WallTime) -> Result<Self, IdentityError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        for path in [&certificate_path, &key_path] {
            if path.exists() {
                return Err(IdentityError::Exists { path: path.clone() });
            }
        }
        let mesh_id = hex(&random::<8>());
        let key = KeyPair::generate().map_err(|e| malformed("CA key", e))?;
        let mut params = params(&format!("dialmesh {mesh_id}"), now, CA_LIFETIME)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("dialmesh://{mesh_id}"))?];
        let certificate = params
            .self_signed(&key)
            .map_err(|e| malformed("CA certificate", e))?;
        // The key first: a certificate without its key would block the next try.
        write_private(&key_path, key.serialize_pem().as_bytes()).map_err(io_error(&key_path))?;
        write_private(&certificate_path, certificate.pem().as_bytes())
            .map_err(io_error(&certificate_path))?;
        Self::open(dir)
    }

    /// Reads the CA that [`MeshCa::create`] made in `dir`.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let pem = fs::read(&certificate_path).map_err(io_error(&certificate_path))?;
        let certificate =
            CertificateDer::from_pem_slice(&pem).map_err(|e| malformed("CA certificate", e))?;
        let key_pem = fs::read_to_string(&key_path).map_err(io_error(&key_path))?;
        let key = KeyPair::from_pem(&key_pem).map_err(|e| malformed("CA key", e))?;
        let mesh_id = mesh_of_ca(&certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|e| malformed("CA certificate", e))?;
        Ok(Self {
            mesh_id,
            certificate,
            issuer,
        })
    }

    /// The mesh's id: 16 hexadecimal digits.
    pub fn mesh_id(&self) -> &str {
        &self.mesh_id
    }

    /// SHA-256 of its public key, as join tokens carry it.
    pub fn key_hash(&self) -> [u8; 32] {
        ca_key_hash(&self.certificate).expect("it was parsed when opened")
    }

    /// Certifies the key in `csr` as `member`'s for `lifetime` from `now` on. Nothing else that
    /// the request asks for is granted. Returns the chain (DER): leaf, CA.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] when the request is damaged or not signed by its key.
    pub fn issue(
        &self,
        member: MemberId,
        csr: &[u8],
        now: WallTime,
        lifetime: Duration,
    ) -> Result<Vec<Vec<u8>>, IdentityError> {
        let mut request = CertificateSigningRequestParams::from_der(&csr.into())
            .map_err(|e| malformed("certificate signing request", e))?;
        let mut params = params(&member.to_string(), now, lifetime)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = vec![uri(&member_uri(&self.mesh_id, member))?];
        params.use_authority_key_identifier_extension = true;
        request.params = params;
        let leaf = request
            .signed_by(&self.issuer)
            .map_err(|e| malformed("member certificate", e))?;
        Ok(vec![leaf.der().to_vec(), self.certificate.to_vec()])
    }
}

fn params(
    name: &str,
    now: WallTime,
    lifetime: Duration,
) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    let at = |time: WallTime| {
        ASN1Time::from_timestamp(time.as_secs())
            .map(|t| t.to_datetime())
            .map_err(|e| malformed("certificate validity", e))
    };
    params.not_before = at(now - BACKDATED)?;
    params.not_after = at(now + lifetime)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&random::<16>()));
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, IdentityError> {
    text.try_into()
        .map(SanType::URI)
        .map_err(|e| malformed("certificate name", e))
}

fn member_uri(mesh_id: &str, member: MemberId) -> String {
    format!("dialmesh://{mesh_id}/member/{member}")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system always has entropy once booted");
    // A serial number must be positive (RFC 5280, section 4.1.2.2).
    bytes[0] &= 0x7f;
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|e| malformed("certificate", e))
}

fn uri_of(certificate: &[u8]) -> Result<String, IdentityError> {
    let parsed = parse(certificate)?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|e| malformed("certificate", e))?;
    names
        .iter()
        .flat_map(|n| &n.value.general_names)
        .find_map(|n| match n {
            GeneralName::URI(text) => Some((*text).to_owned()),
            _ => None,
        })
        .ok_or(IdentityError::Name {
            found: String::new(),
        })
}

fn mesh_of_ca(certificate: &[u8]) -> Result<String, IdentityError> {
    let found = uri_of(certificate)?;
    match found.strip_prefix("dialmesh://") {
        Some(mesh) if !mesh.is_empty() && !mesh.contains('/') => Ok(mesh.to_owned()),
        _ => Err(IdentityError::Name { found }),
    }
}

/// SHA-256 of a certificate's public key (SubjectPublicKeyInfo).
pub(crate) fn ca_key_hash(certificate: &[u8]) -> Result<[u8; 32], IdentityError> {
    let spki = parse(certificate)?.tbs_certificate.subject_pki.raw;
    Ok(digest::digest(&digest::SHA256, spki)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes"))
}

/// The mesh and member that a leaf names.
pub(crate) fn name_of(certificate: &[u8]) -> Result<(String, MemberId), IdentityError> {
    let found = uri_of(certificate)?;
    let parts = found.strip_prefix("dialmesh://").and_then(|rest| {
        let (mesh, member) = rest.split_once("/member/")?;
        Some((mesh.to_owned(), member.parse().ok()?))
    });
    parts.ok_or(IdentityError::Name { found })
}

/// A member's new key, before it is certified.
pub struct MemberKey(KeyPair);

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberKey([redacted])")
    }
}

impl MemberKey {
    /// A new key (ECDSA P-256).
    pub fn generate() -> Self {
        Self(KeyPair::generate().expect("key generation needs only entropy"))
    }

    /// The key kept in `dir` by a join that broke off, or a new one, kept there.
    pub(crate) fn load_or_generate(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join("joining.key");
        match fs::read_to_string(&path) {
            Ok(text) => KeyPair::from_pem(&text)
                .map(Self)
                .map_err(|e| malformed("joining key", e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate();
                write_private(&path, key.0.serialize_pem().as_bytes()).map_err(io_error(&path))?;
                Ok(key)
            }
            Err(e) => Err(io_error(&path)(e)),
        }
    }

    /// Removes the key kept by [`MemberKey::load_or_generate`].
    pub(crate) fn forget(dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join("joining.key");
        fs::remove_file(&path).map_err(io_error(&path))
    }

    /// The request to certify it (DER). The CA decides on the name.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] when the key cannot sign.
    pub fn csr(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&self.0)
            .map_err(|e| malformed("certificate signing request", e))?;
        Ok(request.der().to_vec())
    }

    /// The identity that `chain` (DER, leaf first, CA last) gives to this key.
    ///
    /// # Errors
    /// [`IdentityError`] when the chain is for another key, or names no member.
    pub fn certified(self, chain: Vec<Vec<u8>>) -> Result<Identity, IdentityError> {
        Identity::new(chain, self.0.serialize_der())
    }
}

/// Who a member is: certificate chain and private key.
#[derive(Clone)]
pub struct Identity {
    /// The mesh it belongs to.
    pub mesh_id: String,
    /// Its id.
    pub member: MemberId,
    /// When its certificate begins and ends.
    pub valid: (WallTime, WallTime),
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("mesh_id", &self.mesh_id)
            .field("member", &self.member)
            .field("valid", &self.valid)
            .finish_non_exhaustive()
    }
}

impl Identity {
    fn new(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, IdentityError> {
        let [leaf, ca] = &chain[..] else {
            return Err(malformed(
                "certificate chain",
                format!("{} certificates, not 2", chain.len()),
            ));
        };
        let (mesh_id, member) = name_of(leaf)?;
        if mesh_of_ca(ca)? != mesh_id {
            return Err(malformed("certificate chain", "the CA is another mesh's"));
        }
        let parsed = parse(leaf)?;
        let pair = KeyPair::try_from(key.as_slice()).map_err(|e| malformed("member key", e))?;
        if *parsed.tbs_certificate.subject_pki.subject_public_key.data != *pair.public_key_raw() {
            return Err(malformed("certificate chain", "it certifies another key"));
        }
        let at = |time: ASN1Time| WallTime::from_millis(time.timestamp() * 1000);
        let valid = (
            at(parsed.validity.not_before),
            at(parsed.validity.not_after),
        );
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Self {
            mesh_id,
            member,
            valid,
            chain,
            key,
        })
    }

    /// When to renew it: after two thirds of its life.
    pub fn renew_at(&self) -> WallTime {
        self.valid.0 + self.valid.1.since(self.valid.0) * 2 / 3
    }

    /// Writes it into `dir` as `member.pem`, both certificate and key in one file, so that they
    /// always belong together. Mode 0600.
    ///
    /// # Errors
    /// [`IdentityError::Io`].
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join("member.pem");
        let mut text = String::new();
        for certificate in &self.chain {
            text += &pem("CERTIFICATE", certificate);
        }
        text += &pem("PRIVATE KEY", &self.key);
        write_private(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Reads what [`Identity::save`] wrote into `dir`; `None` when there is nothing.
    ///
    /// # Errors
    /// [`IdentityError`] when the file cannot be read or is damaged.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join("member.pem");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error(&path)(e)),
        };
        let chain = CertificateDer::pem_slice_iter(&text)
            .map(|c| c.map(|c| c.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|e| malformed("member certificate", e))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text)
            .map_err(|e| malformed("member key", e))?
            .secret_pkcs8_der()
            .to_vec();
        Self::new(chain, key).map(Some)
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.chain[1]
    }

    pub(crate) fn certified_key(&self) -> Result<rustls::sign::CertifiedKey, IdentityError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        rustls::sign::CertifiedKey::from_der(self.chain.clone(), key, &crate::tls::provider())
            .map_err(|e| malformed("member identity", e))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: WallTime = WallTime::from_millis(1_795_300_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_ca_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = MeshCa::create(dir.path(), NOW).unwrap();
        let read = MeshCa::open(dir.path()).unwrap();
        assert_eq!(made.mesh_id(), read.mesh_id());
        assert_eq!(made.mesh_id().len(), 16);
        assert_eq!(made.key_hash(), read.key_hash());
        assert!(matches!(
            MeshCa::create(dir.path(), NOW),
            Err(IdentityError::Exists { .. })
        ));
        for file in ["ca.pem", "ca.key"] {
            let mode = fs::metadata(dir.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn identities_name_their_member_and_survive_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let ca = MeshCa::create(dir.path(), NOW).unwrap();
        let key = MemberKey::generate();
        let chain = ca
            .issue(MemberId(0x2a), &key.csr().unwrap(), NOW, DAY * 3)
            .unwrap();
        let identity = key.certified(chain.clone()).unwrap();
        assert_eq!(
            (identity.mesh_id.as_str(), identity.member),
            (ca.mesh_id(), MemberId(0x2a))
        );
        assert!(identity.renew_at() > NOW + DAY && identity.renew_at() < NOW + DAY * 3);
        assert!(Identity::load(dir.path()).unwrap().is_none());
        identity.save(dir.path()).unwrap();
        let read = Identity::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            (read.member, read.valid, &read.chain),
            (identity.member, identity.valid, &identity.chain)
        );
        read.certified_key().unwrap();
        let mode = fs::metadata(dir.path().join("member.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        // Another key's certificate is no identity.
        assert!(MemberKey::generate().certified(chain).is_err());
    }

    #[test]
    fn damaged_requests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ca = MeshCa::create(dir.path(), NOW).unwrap();
        let mut csr = MemberKey::generate().csr().unwrap();
        let last = csr.len() - 1;
        csr[last] ^= 1;
        assert!(ca.issue(MemberId(1), &csr, NOW, DAY).is_err());
        assert!(ca.issue(MemberId(1), b"no request", NOW, DAY).is_err());
    }
}
