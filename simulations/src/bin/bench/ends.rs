//! SIPp at both ends: the carrier, and the agents' phones.

use crate::plan::Plan;
use anyhow::{Context as _, ensure};
use md5::{Digest as _, Md5};
use std::{
    fs::{self, File},
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// One SIPp; killed when dropped.
#[derive(Debug)]
struct Sipp {
    child: Child,
    folder: TempDir,
}

impl Sipp {
    fn start(scenario: &str, port: u16, media: u16, more: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for SIPp")?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("sipp")
            .join(format!("{scenario}.xml"));
        let output = File::create(folder.path().join("output")).context("SIPp's output")?;
        let child = Command::new("sipp")
            .arg("-sf")
            .arg(file)
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
            .args(["-p", &port.to_string(), "-mp", &media.to_string()])
            .args(["-l", "20000", "-buff_size", "4194304"])
            .args(["-trace_stat", "-fd", "1", "-stf"])
            .arg(folder.path().join("statistics"))
            .args(["-trace_err", "-error_file"])
            .arg(folder.path().join("errors"))
            .args(more)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("SIPp's output")?)
            .stderr(output)
            .spawn()
            .context("starting sipp; `cargo xtask setup` installs it (Debian: sip-tester)")?;
        Ok(Self { child, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last value of a column of its statistics.
    fn statistic(&self, column: &str) -> Option<u64> {
        let text = fs::read_to_string(self.file("statistics")).ok()?;
        let mut lines = text.lines();
        let place = lines.next()?.split(';').position(|name| name == column)?;
        lines.next_back()?.split(';').nth(place)?.parse().ok()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The agents' phones: registered, then waiting for the shift's call on the same port.
#[derive(Debug)]
pub(crate) struct Phones(Sipp);

impl Phones {
    /// Registers them from the port that SIPp then takes over: SIPp 3.6 takes a challenge's first
    /// offer and knows MD5 only, where the registrar offers SHA-256 first (RFC 8760).
    pub(crate) fn start(
        plan: &Plan,
        registrar: SocketAddr,
        logins: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        register(plan, registrar, logins)?;
        Ok(Self(Sipp::start(
            "agent-phone",
            plan.phones(),
            plan.phones_media(),
            &[],
        )?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.child.id()
    }
}

fn register(
    plan: &Plan,
    registrar: SocketAddr,
    logins: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<()> {
    let here = SocketAddr::new(registrar.ip(), plan.phones());
    let socket =
        UdpSocket::bind(here).with_context(|| format!("binding the phones' port {here}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for (agent, (login, password)) in logins.into_iter().enumerate() {
        let request = |cseq: u32, authorization: &str| {
            format!(
                "REGISTER sip:{registrar} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{agent}r{cseq}\r\n\
                 From: <sip:{login}@{registrar}>;tag={agent}\r\nTo: <sip:{login}@{registrar}>\r\n\
                 Call-ID: register-{agent}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n\
                 Contact: <sip:{login}@{here}>\r\nExpires: 600\r\n{authorization}Content-Length: 0\r\n\r\n"
            )
        };
        let challenged = ask(&socket, registrar, &request(1, ""), 401)?;
        let challenge = |l: &&str| l.starts_with("WWW-Authenticate:") && l.contains("=MD5");
        let line = challenged.lines().find(challenge);
        let get = |name: &str| {
            let (_, rest) = line?.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let realm = get("realm").context("a challenge has a realm")?;
        let nonce = get("nonce").context("a challenge has a nonce")?;
        let secret = md5(format!("{login}:{realm}:{password}"));
        let what = md5(format!("REGISTER:sip:{registrar}"));
        let response = md5(format!("{secret}:{nonce}:00000001:bench:auth:{what}"));
        let authorization = format!(
            "Authorization: Digest username=\"{login}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"sip:{registrar}\", response=\"{response}\", algorithm=MD5, qop=auth, \
             nc=00000001, cnonce=\"bench\"\r\n"
        );
        ask(&socket, registrar, &request(2, &authorization), 200)?;
    }
    Ok(())
}

fn md5(text: String) -> String {
    let digest = Md5::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request until it is answered, with that status.
fn ask(socket: &UdpSocket, to: SocketAddr, request: &str, status: u16) -> anyhow::Result<String> {
    let mut bytes = [0; 4_096];
    for _ in 0..5 {
        socket.send_to(request.as_bytes(), to)?;
        if let Ok(length) = socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let good = text.starts_with(&format!("SIP/2.0 {status} "));
            ensure!(good, "a phone is not registered: {text}");
            return Ok(text);
        }
    }
    anyhow::bail!("the registrar at {to} does not answer")
}

/// The carrier.
#[derive(Debug)]
pub(crate) struct Carrier(Sipp);

impl Carrier {
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        let arguments = ["-d".to_owned(), plan.talk_ms.to_string()];
        let sipp = Sipp::start(
            "carrier-bench",
            plan.carrier(),
            plan.carrier_media(),
            &arguments,
        )?;
        // Its socket is bound at once; an INVITE before that would be sent again.
        std::thread::sleep(Duration::from_millis(500));
        Ok(Self(sipp))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.child.id()
    }

    /// What SIPp itself counted, up to its last second.
    pub(crate) fn verdict(&self) -> String {
        let count = |column| {
            self.0
                .statistic(column)
                .map_or("?".to_owned(), |n| n.to_string())
        };
        format!(
            "{} calls well, {} failed, {} retransmissions",
            count("SuccessfulCall(C)"),
            count("FailedCall(C)"),
            count("Retransmissions(C)")
        )
    }
}
