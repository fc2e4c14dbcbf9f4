//! Peers from Debian's packages.

use anyhow::{Context as _, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// PostgreSQL's programs lie in a folder of their version.
fn found_postgres(program: &str) -> Option<PathBuf> {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin").join(program))
        .filter(|file| file.is_file())
        .collect();
    versions.sort();
    versions.pop()
}

/// A program of a Debian package, which is installed when missing and we are root.
pub(crate) fn program(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let look = || found(name).or_else(|| found_postgres(name));
    if let Some(program) = look() {
        return Ok(program);
    }
    let wanted = || format!("{name} is not here: apt-get install {package}");
    ensure!(rustix::process::geteuid().is_root(), wanted());
    eprintln!("installing {package}");
    let ended = Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends", package])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::process::Stdio::null())
        .status()
        .with_context(wanted)?;
    ensure!(ended.success(), wanted());
    look().with_context(wanted)
}

/// A command that runs as the user `postgres` where we are root, since PostgreSQL refuses root.
pub(crate) fn as_postgres(program: &Path) -> (PathBuf, Vec<String>) {
    if !rustix::process::geteuid().is_root() {
        return (program.to_owned(), Vec::new());
    }
    let words = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let mut words: Vec<_> = words.map(str::to_owned).into();
    words.push(program.to_string_lossy().into_owned());
    ("/usr/bin/setpriv".into(), words)
}
