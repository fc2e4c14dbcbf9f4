//! A node's configuration: parsed and validated whole before any port is bound.

use domain::{SrtpPolicy, limits};
use recordings::FolderLimits;
use serde::Deserialize;
use service::{
    config::{ConfigError, Layers, duration},
    sections::{
        MeshConfig, MonitoringConfig, OutOfBounds, PlaceConfig, ProtocolConfig, StorageConfig,
    },
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything a node is told by its operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The city's name; the one it joined with.
    pub name: String,
    /// Where its journal, logs, snapshots, views and identity lie.
    pub data_dir: PathBuf,
    /// The mesh endpoint.
    pub mesh: MeshConfig,
    /// The agents' API.
    pub http: HttpConfig,
    /// `/metrics`, `/livez`, `/readyz`.
    pub monitoring: MonitoringConfig,
    /// SIP.
    pub sip: SipConfig,
    /// RTP.
    pub media: MediaConfig,
    /// Sound files.
    #[serde(default)]
    pub prompts: PromptsConfig,
    /// Persons who call back.
    #[serde(default)]
    pub call_backs: CallBacksConfig,
    /// Recordings of calls.
    #[serde(default)]
    pub recordings: RecordingsConfig,
    /// Answered persons who find no agent here, and agents of this node for those of others.
    #[serde(default)]
    pub overflow: OverflowConfig,
    /// Times of the mesh protocol.
    #[serde(default)]
    pub protocol: ProtocolConfig,
    /// Its data keys.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Where it is.
    #[serde(default)]
    pub place: PlaceConfig,
    /// How long a drain may take at SIGTERM.
    #[serde(default = "default_drain", with = "duration")]
    pub drain: Duration,
    /// Logs.
    #[serde(default)]
    pub log: service::logs::LogSettings,
}

/// The agents' API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// The TCP address to bind.
    pub listen: SocketAddr,
    /// Where agents reach it (`https://shenzhen.example`); `http://` and the bound address where absent.
    #[serde(default)]
    pub advertise: Option<String>,
}

/// SIP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipConfig {
    /// Towards carriers, UDP and TCP; TLS where [`SipConfig::tls`] is given.
    pub trunk_listen: SocketAddr,
    /// Agents' phones register here, UDP and TCP.
    pub agent_listen: SocketAddr,
    /// The address carriers see; the bound one where absent.
    #[serde(default)]
    pub trunk_advertise: Option<SocketAddr>,
    /// The digest realm of agents' phones.
    #[serde(default = "default_realm")]
    pub realm: String,
    /// Phones are challenged with MD5 alone (SHA-256 first where false): for phones that give up where
    /// they also read SHA-256, as baresip 1.0 does.
    #[serde(default)]
    pub md5_only: bool,
    /// Name servers that carriers' names are looked up at; those of the system where none are given.
    #[serde(default)]
    pub dns: Vec<SocketAddr>,
    /// Where a copy of each SIP message goes, as HEP version 3 over UDP. Copies have numbers in full.
    #[serde(default)]
    pub hep: Option<SocketAddr>,
    /// TLS. Without it a trunk with the transport `tls` is unusable at this node.
    #[serde(default)]
    pub tls: Option<SipTlsConfig>,
    /// Whose media is secured (SRTP).
    #[serde(default)]
    pub srtp: SipSrtpConfig,
    /// What calls are signed with. Without it a trunk with an attestation is unusable at this node.
    #[serde(default)]
    pub stir: Option<SipStirConfig>,
}

/// Secured media: SRTP with keys in session descriptions (RFC 4568), which only go by TLS. `"off"`, as it
/// is; `"offered"`, and plain with who does not have it; `"required"`, and no call without it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipSrtpConfig {
    /// Agents' phones.
    #[serde(default)]
    pub phones: SrtpPolicy,
    /// Carriers, by the name of this node's trunk.
    #[serde(default)]
    pub trunks: BTreeMap<String, SrtpPolicy>,
}

impl SipSrtpConfig {
    /// As the engine takes it.
    pub fn to_engine(&self) -> engine::SrtpConfig {
        engine::SrtpConfig {
            phones: self.phones,
            trunks: self.trunks.clone(),
        }
    }
}

/// STIR/SHAKEN: certificate and key as PEM files, read when the node starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipStirConfig {
    /// The chain, the certificate that signs first.
    pub certificate: PathBuf,
    /// Its private key, ECDSA on P-256.
    pub key: PathBuf,
    /// Where verifiers fetch the same chain by HTTPS.
    pub x5u: String,
}

/// SIP inside TLS: certificates as PEM files, read when the node starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SipTlsConfig {
    /// Towards carriers.
    pub trunk_listen: SocketAddr,
    /// The address carriers see; the bound one where absent.
    #[serde(default)]
    pub trunk_advertise: Option<SocketAddr>,
    /// Agents' phones register here; by UDP and TCP only where absent.
    #[serde(default)]
    pub agent_listen: Option<SocketAddr>,
    /// This node's chain, its own certificate first: shown to who connects, and to carriers that ask.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities that carriers' certificates are judged by; the system's where absent.
    #[serde(default)]
    pub trust: Option<PathBuf>,
    /// Authorities of carriers that connect here: they must show a certificate. None asks for none.
    #[serde(default)]
    pub client_trust: Option<PathBuf>,
}

/// RTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaConfig {
    /// The address to bind and, unless `advertise` says otherwise, to write into SDP.
    pub address: IpAddr,
    /// The address written into SDP.
    #[serde(default)]
    pub advertise: Option<IpAddr>,
    /// First and last UDP port, `"20000-23999"`: even ones carry RTP, odd ones RTCP.
    pub ports: String,
    /// The UDP address for agents' audio in browsers (WebRTC); without it agents need SIP phones.
    #[serde(default)]
    pub webrtc_listen: Option<SocketAddr>,
    /// The address that browsers are told; the bound one where absent. Where a router translates, the
    /// one outside.
    #[serde(default)]
    pub webrtc_advertise: Option<SocketAddr>,
}

impl MediaConfig {
    /// Browsers' audio, where it is asked for.
    pub fn browsers(&self) -> Option<media_io::BrowserConfig> {
        Some(media_io::BrowserConfig {
            listen: self.webrtc_listen?,
            advertise: self.webrtc_advertise,
        })
    }
}

/// Sound files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsConfig {
    /// G.711 WAV played to a person whom no agent took. Without one such calls are ended at once,
    /// which the node says in a warning when it starts.
    #[serde(default)]
    pub safe_harbour: Option<PathBuf>,
    /// G.711 WAV played to a person who called back and whom no agent takes: who called, and that key 9
    /// opts out. `safe_harbour` where absent.
    #[serde(default)]
    pub call_back: Option<PathBuf>,
    /// G.711 WAV played around and around to a person who called back and waits for an agent; ringing as
    /// in the country of the number that was called where absent.
    #[serde(default)]
    pub waiting: Option<PathBuf>,
    /// G.711 WAV played around and around to a person whom an agent puts on hold; two soft notes every
    /// five seconds where absent.
    #[serde(default)]
    pub hold: Option<PathBuf>,
    /// G.711 WAVs left on answering machines, by the names that campaigns say; at most
    /// [`domain::limits::VOICE_DROPS`].
    #[serde(default)]
    pub voice_drops: BTreeMap<String, PathBuf>,
}

/// Persons who call this node's caller IDs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBacksConfig {
    /// Whether they are answered; refused with 480 where not.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// Whether calls to other cities' numbers are answered too, where a carrier brings them; refused with
    /// 404 where not.
    #[serde(default = "default_true")]
    pub other_cities: bool,
    /// How long a person waits for an agent before the announcement.
    #[serde(default = "default_call_back_wait", with = "duration")]
    pub wait: Duration,
}

impl Default for CallBacksConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            other_cities: true,
            wait: default_call_back_wait(),
        }
    }
}

fn default_true() -> bool {
    true
}

fn default_call_back_wait() -> Duration {
    engine::CallBackConfig::default().wait
}

/// Recordings of calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingsConfig {
    /// Where they lie; `recordings` in the data folder where absent. Another disk than the journal's
    /// is a good place.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// For how long they are kept: whole files are deleted when their day is so long over.
    #[serde(default = "default_keep", with = "duration")]
    pub keep: Duration,
    /// No recording begins while the folder holds so many GiB; only the disk is a bound where absent.
    #[serde(default)]
    pub limit_gib: Option<u32>,
    /// Recordings end while the disk has fewer GiB left: the node's journal needs them.
    #[serde(default = "default_leave_free")]
    pub leave_free_gib: u32,
}

impl Default for RecordingsConfig {
    fn default() -> Self {
        Self {
            folder: None,
            keep: default_keep(),
            limit_gib: None,
            leave_free_gib: default_leave_free(),
        }
    }
}

impl RecordingsConfig {
    /// The folder and its bounds.
    pub fn limits(&self, data_dir: &Path) -> (PathBuf, FolderLimits) {
        let folder = self.folder.clone();
        let gib = |n: u32| u64::from(n) << 30;
        let limits = FolderLimits {
            keep: self.keep,
            bytes: self.limit_gib.map(gib),
            leave_free: gib(self.leave_free_gib),
        };
        (
            folder.unwrap_or_else(|| data_dir.join("recordings")),
            limits,
        )
    }
}

/// Overflow of answered calls between nodes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverflowConfig {
    /// Whether a person who answered and finds no agent here is offered to other nodes, and this node's
    /// agents to theirs.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// How far away another node may be, there and back, as the mesh measures it.
    #[serde(default = "default_round_trip", with = "duration")]
    pub round_trip: Duration,
}

impl Default for OverflowConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            round_trip: default_round_trip(),
        }
    }
}

fn default_round_trip() -> Duration {
    Duration::from_millis(150)
}

fn default_keep() -> Duration {
    FolderLimits::default().keep
}

fn default_leave_free() -> u32 {
    2
}

fn default_drain() -> Duration {
    Duration::from_secs(600)
}

fn default_realm() -> String {
    "dialmesh".to_owned()
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// A layer cannot be read.
    #[error(transparent)]
    Layers(#[from] ConfigError),
    /// A value out of its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
}

impl NodeConfig {
    /// Reads file and environment; relative paths are taken from the file's folder.
    ///
    /// # Errors
    /// The first problem, with place and remedy.
    pub fn load(path: &Path) -> Result<Self, NodeConfigError> {
        let layers = Layers::new()
            .with_file(path)?
            .with_environment(std::env::vars(), &service::config::NOT_SETTINGS);
        let mut config: Self = layers.read()?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.data_dir = folder.join(&config.data_dir);
        config.storage.relative_to(folder);
        if let Some(tls) = &mut config.sip.tls {
            let files = [Some(&mut tls.certificate), Some(&mut tls.key)];
            let trust = [tls.trust.as_mut(), tls.client_trust.as_mut()];
            for file in files.into_iter().chain(trust).flatten() {
                *file = folder.join(&*file);
            }
        }
        if let Some(stir) = &mut config.sip.stir {
            for file in [&mut stir.certificate, &mut stir.key] {
                *file = folder.join(&*file);
            }
        }
        let prompts = &mut config.prompts;
        let files = [
            &mut prompts.safe_harbour,
            &mut prompts.call_back,
            &mut prompts.waiting,
            &mut prompts.hold,
        ];
        let messages = prompts.voice_drops.values_mut();
        for prompt in files.into_iter().flatten().chain(messages) {
            *prompt = folder.join(&*prompt);
        }
        if let Some(recordings) = &mut config.recordings.folder {
            *recordings = folder.join(&*recordings);
        }
        config.validate(path)?;
        Ok(config)
    }

    /// The RTP port range.
    ///
    /// # Panics
    /// Never after [`NodeConfig::load`], which checked it.
    pub fn rtp_ports(&self) -> (u16, u16) {
        parse_ports(&self.media.ports).expect("checked when the configuration was loaded")
    }

    fn validate(&self, path: &Path) -> Result<(), NodeConfigError> {
        let refuse = |key, value: String, remedy| {
            NodeConfigError::Bounds(OutOfBounds {
                file: path.display().to_string(),
                key,
                value,
                remedy,
            })
        };
        if self.name.is_empty() || self.name.len() > limits::NAME_BYTES {
            return Err(refuse(
                "name",
                format!("{:?}", self.name),
                "give 1 to 128 bytes, as when joining",
            ));
        }
        if parse_ports(&self.media.ports).is_none() {
            let remedy =
                "give \"first-last\", first even, last larger by at least 1, as \"20000-23999\"";
            return Err(refuse(
                "media.ports",
                format!("{:?}", self.media.ports),
                remedy,
            ));
        }
        let told = self.media.webrtc_advertise.or(self.media.webrtc_listen);
        if let Some(told) = told
            && (told.ip().is_unspecified()
                || self.media.webrtc_advertise.is_some_and(|a| a.port() == 0))
        {
            return Err(refuse(
                "media.webrtc_advertise",
                told.to_string(),
                "give the address and port that browsers reach this node by, as \"203.0.113.7:3478\"",
            ));
        }
        if self.media.webrtc_advertise.is_some() && self.media.webrtc_listen.is_none() {
            return Err(refuse(
                "media.webrtc_listen",
                "nothing".to_owned(),
                "give the UDP address to bind for browsers' audio, or leave webrtc_advertise out",
            ));
        }
        let wait = limits::CALL_BACK_WAIT_MIN..=limits::CALL_BACK_WAIT_MAX;
        if !wait.contains(&self.call_backs.wait) {
            return Err(refuse(
                "call_backs.wait",
                format!("{:?}", self.call_backs.wait),
                "give 1s to 15m, as \"60s\"",
            ));
        }
        let round_trips = limits::OVERFLOW_ROUND_TRIP_MIN..=limits::OVERFLOW_ROUND_TRIP_MAX;
        if !round_trips.contains(&self.overflow.round_trip) {
            return Err(refuse(
                "overflow.round_trip",
                format!("{:?}", self.overflow.round_trip),
                "give 1ms to 500ms, as \"150ms\"; to switch it off, set overflow.enabled = false",
            ));
        }
        let keep =
            Duration::from_secs(86_400)..=Duration::from_secs(86_400 * limits::RECORDING_DAYS);
        if !keep.contains(&self.recordings.keep) {
            return Err(refuse(
                "recordings.keep",
                format!("{:?}", self.recordings.keep),
                "give 1d to 3660d, as \"180d\"",
            ));
        }
        self.protocol.check(path)?;
        self.place.check(path)?;
        self.mesh.check(path)?;
        if let Some(tls) = &self.sip.tls {
            let mut taken = vec![self.sip.trunk_listen, self.sip.agent_listen];
            for (key, listen) in [
                ("sip.tls.trunk_listen", Some(tls.trunk_listen)),
                ("sip.tls.agent_listen", tls.agent_listen),
            ] {
                let Some(listen) = listen else { continue };
                if taken.contains(&listen) {
                    let remedy =
                        "give TLS a port of its own, 5061 by custom: UDP and TCP have the other";
                    return Err(refuse(key, listen.to_string(), remedy));
                }
                taken.push(listen);
            }
        }
        let by_tls = self.sip.tls.as_ref();
        if self.sip.srtp.phones != SrtpPolicy::Off
            && by_tls.and_then(|tls| tls.agent_listen).is_none()
        {
            let remedy = "give [sip.tls] agent_listen: keys of media go by TLS only";
            let value = format!("{:?}", self.sip.srtp.phones).to_lowercase();
            return Err(refuse("sip.srtp.phones", value, remedy));
        }
        let secured = self.sip.srtp.trunks.iter();
        let named = |name: &String| (1..=limits::NAME_BYTES).contains(&name.len());
        if let Some((name, _)) = secured.clone().find(|(name, _)| !named(name)) {
            let remedy = "give the trunk's name, 1 to 128 bytes";
            return Err(refuse(
                "sip.srtp.trunks",
                format!("{} bytes", name.len()),
                remedy,
            ));
        }
        if secured.len() > limits::TRUNK_SETTINGS {
            let value = format!("{} trunks", secured.len());
            return Err(refuse("sip.srtp.trunks", value, "name at most 256 trunks"));
        }
        if by_tls.is_none()
            && let Some((trunk, _)) = secured.clone().find(|(_, p)| **p != SrtpPolicy::Off)
        {
            let remedy =
                "give [sip.tls], and the trunk the transport tls: keys of media go by TLS only";
            return Err(refuse("sip.srtp.trunks", trunk.clone(), remedy));
        }
        if let Some(stir) = &self.sip.stir
            && (stir.x5u.parse::<sip::passport::CertificateUrl>()).is_err()
        {
            let remedy = "give the https:// address of the PEM file, in at most 512 bytes, what has no place in a URI percent-encoded";
            return Err(refuse("sip.stir.x5u", format!("{:?}", stir.x5u), remedy));
        }
        if self.sip.trunk_listen == self.sip.agent_listen {
            let remedy = "give agents' phones a port of their own: strangers on the trunk's port get no answer";
            return Err(refuse(
                "sip.agent_listen",
                self.sip.agent_listen.to_string(),
                remedy,
            ));
        }
        Ok(())
    }
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first % 2 == 0 && first >= 1024 && last > first).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../deploy/three-cities/shenzhen.toml");

    fn read(text: &str) -> Result<NodeConfig, NodeConfigError> {
        let config: NodeConfig = Layers::new().with_text("node.toml", text).read()?;
        config.validate(Path::new("node.toml"))?;
        Ok(config)
    }

    #[test]
    fn the_sample_is_valid() {
        let config = read(SAMPLE).unwrap();
        assert_eq!(config.name, "shenzhen");
        assert_eq!(config.rtp_ports(), (28000, 29999));
        assert_eq!(config.protocol.session_ttl, Duration::from_secs(30));
    }

    #[test]
    fn so_many_trunks_are_named_and_no_more() {
        let named = |trunks: usize| {
            let lines = (0..trunks).map(|n| format!("t{n} = \"off\"\n"));
            let section = format!("[sip.srtp.trunks]\n{}[mesh]", lines.collect::<String>());
            read(&SAMPLE.replacen("[mesh]", &section, 1))
        };
        let config = named(limits::TRUNK_SETTINGS).unwrap();
        assert_eq!(config.sip.srtp.trunks.len(), limits::TRUNK_SETTINGS);
        let error = named(limits::TRUNK_SETTINGS + 1).unwrap_err().to_string();
        assert!(error.contains("257 trunks"), "{error}");
        let long = "x".repeat(limits::NAME_BYTES + 1);
        let section = format!("[sip.srtp.trunks]\n{long} = \"off\"\n[mesh]");
        let error = read(&SAMPLE.replacen("[mesh]", &section, 1)).unwrap_err();
        assert!(error.to_string().contains("129 bytes"), "{error}");
    }

    #[test]
    fn errors_name_the_place_and_the_remedy() {
        for (from, to, words) in [
            (
                "ports = \"28000-29999\"",
                "ports = \"28001-29999\"",
                ["media.ports", "first even"],
            ),
            (
                "trunk_listen",
                "trunk_lissen",
                ["node.toml:", "trunk_listen"],
            ),
            (
                "127.0.0.1:7762",
                "127.0.0.1:7760",
                ["sip.agent_listen", "port of their own"],
            ),
            (
                "127.0.0.1:7760",
                "localhost",
                ["sip.trunk_listen", "node.toml:"],
            ),
            (
                "[mesh]",
                "[sip.tls]\ntrunk_listen = \"127.0.0.1:7760\"\ncertificate = \"a\"\nkey = \"b\"\n[mesh]",
                ["sip.tls.trunk_listen", "port of its own"],
            ),
            (
                "[mesh]",
                "[sip.srtp]\nphones = \"required\"\n[mesh]",
                ["sip.srtp.phones", "[sip.tls] agent_listen"],
            ),
            (
                "[mesh]",
                "[sip.srtp.trunks]\nny-tx = \"offered\"\n[mesh]",
                ["sip.srtp.trunks", "the transport tls"],
            ),
            (
                "[mesh]",
                "[sip.srtp.trunks]\n\"\" = \"off\"\n[mesh]",
                ["sip.srtp.trunks", "1 to 128 bytes"],
            ),
            (
                "[mesh]",
                "[sip.srtp]\nphones = \"maybe\"\n[mesh]",
                ["node.toml:", "phones"],
            ),
            (
                "[mesh]",
                "[sip.stir]\ncertificate = \"a\"\nkey = \"b\"\nx5u = \"http://a/b\"\n[mesh]",
                ["sip.stir.x5u", "https:// address"],
            ),
            (
                "[mesh]",
                "[protocol]\nsession_ttl = \"1s\"\n[mesh]",
                ["protocol.session_ttl", "5s"],
            ),
            (
                "webrtc_listen = \"127.0.0.1:7764\"",
                "webrtc_listen = \"0.0.0.0:3478\"",
                ["media.webrtc_advertise", "reach this node by"],
            ),
            (
                "webrtc_listen = \"127.0.0.1:7764\"",
                "webrtc_advertise = \"203.0.113.7:3478\"",
                ["media.webrtc_listen", "bind for browsers"],
            ),
            (
                "[mesh]",
                "[recordings]\nkeep = \"23h\"\n[mesh]",
                ["recordings.keep", "1d to 3660d"],
            ),
            (
                "[mesh]",
                "[overflow]\nround_trip = \"2s\"\n[mesh]",
                ["overflow.round_trip", "enabled = false"],
            ),
            (
                "[mesh]",
                "[place]\nlegal_domain = \"\"\n[mesh]",
                ["place.legal_domain", "128 bytes"],
            ),
        ] {
            let text = SAMPLE.replacen(from, to, 1);
            assert_ne!(text, SAMPLE, "{from}");
            let error = read(&text).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{error:?} lacks {word:?}");
            }
        }
    }
}
