//! SIPp at both ends: the carrier, and the agents' phones.

use crate::city::{City, Plan};
use anyhow::{Context as _, ensure};
use std::{
    fs::{self, File},
    io::Write as _,
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
    pub(crate) fn start(plan: &Plan, city: &City) -> anyhow::Result<Self> {
        let mut users = tempfile::NamedTempFile::new().context("the phones' file")?;
        writeln!(users, "SEQUENTIAL").context("the phones' file")?;
        for agent in 1..=plan.agents {
            let (login, password) = City::login(agent);
            writeln!(
                users,
                "{login};[authentication username={login} password={password}]"
            )
            .context("the phones' file")?;
        }
        let arguments = [
            "-inf".to_owned(),
            users.path().display().to_string(),
            "-m".to_owned(),
            plan.agents.to_string(),
            "-r".to_owned(),
            "40".to_owned(),
            city.agent_address().to_string(),
        ];
        let mut register = Sipp::start(
            "agent-register",
            plan.phones(),
            plan.phones_media(),
            &arguments,
        )?;
        let status = register.child.wait().context("SIPp registers the phones")?;
        let why = || fs::read_to_string(register.file("errors")).unwrap_or_default();
        ensure!(
            status.success(),
            "the phones were not registered: {status}\n{}",
            why()
        );
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
