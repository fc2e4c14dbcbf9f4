//! A process of the product: started, killed, stopped, held, and never left behind.

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(20);

/// One program with its arguments; what it prints goes to a file. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Not started yet. `log` takes what it prints, all its runs after each other.
    pub fn new(name: &str, program: &Path, arguments: &[&str], log: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment: Vec::new(),
            log,
            child: None,
        }
    }

    /// With an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without an environment variable from its next start on.
    pub fn take_away(&mut self, name: &str) {
        self.environment.retain(|(n, _)| n != name);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it; one that runs is left alone.
    ///
    /// # Errors
    /// The log cannot be opened, the program cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        // The caller's own settings are none of its business.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DIALMESH_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for us; we tell the others.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it runs (or is held).
    pub fn is_alive(&mut self) -> bool {
        match &mut self.child {
            None => false,
            Some(child) => matches!(child.try_wait(), Ok(None)),
        }
    }

    /// The system's id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// SIGTERM, and SIGKILL when patience ends.
    pub async fn stop(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let status = self.ended(patience).await;
        self.kill();
        status
    }

    /// Its end, if it comes in time.
    pub async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.as_mut()?.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
                _ => return None,
            }
        }
    }

    /// SIGSTOP: it stands still, as in a long pause of its machine.
    pub fn hold(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn let_go(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // One that has just ended is no failure.
            kill_process(pid, signal).ok();
        }
    }

    /// The last lines it printed.
    pub fn tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It failed or took too long; with its last words.
    pub async fn run(mut self, patience: Duration) -> anyhow::Result<()> {
        self.start()?;
        match self.ended(patience).await {
            Some(status) if status.success() => Ok(()),
            Some(status) => anyhow::bail!("{}: {status}; it said:\n{}", self.name, self.tail(20)),
            None => anyhow::bail!(
                "{}: not done after {patience:?}; it said:\n{}",
                self.name,
                self.tail(20)
            ),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Process {
        Process::new(
            "sh",
            Path::new("/bin/sh"),
            &["-c", script],
            folder.join("log"),
        )
    }

    #[tokio::test]
    async fn runs_stops_and_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_secs(20);
        shell(folder.path(), "exit 0").run(patience).await.unwrap();
        let error = shell(folder.path(), "echo why not; exit 3")
            .run(patience)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("why not"), "{error}");

        let mut process = shell(folder.path(), "exec sleep 1000");
        process.start().unwrap();
        assert!(process.is_alive());
        process.hold();
        process.let_go();
        let status = process.stop(patience).await.unwrap();
        assert!(!status.success());
        assert!(!process.is_alive());

        process.start().unwrap();
        let id = process.id().unwrap();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
