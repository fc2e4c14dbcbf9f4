//! Sets up what is missing: Debian packages for the tests, the built pages.

use crate::run::{command, have, output, root, run};
use anyhow::{Context, Result, bail};
use std::{fs, path::Path, time::SystemTime};

/// A program the tests use, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 13] = [
    ("sipp", "sip-tester"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("chromium", "chromium"),
    ("ip", "iproute2"),
    ("faketime", "faketime"),
    ("espeak-ng", "espeak-ng"),
    ("openssl", "openssl"),
    ("dnsmasq", "dnsmasq-base"),
    ("kamailio", "kamailio"),
    ("kamailio", "kamailio-tls-modules"),
    ("sngrep", "sngrep"),
    ("baresip", "baresip-core"),
];

/// Installs missing programs with apt-get where we are root; else says what to install.
pub(crate) fn packages() -> Result<()> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !have(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let root = output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root || !have("apt-get") {
        bail!(
            "the tests need these Debian packages: apt-get install {}",
            missing.join(" ")
        );
    }
    run(command("apt-get").args(["update", "-qq"]))?;
    run(command("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing))
}

/// Builds the pages if their sources are newer than the last build.
pub(crate) fn web() -> Result<()> {
    let web = root().join("crates/io/web");
    let built = web.join("dist/index.html");
    if let Ok(built_at) = fs::metadata(&built).and_then(|m| m.modified())
        && newest(&web.join("pages"))?.max(newest(&web.join("package-lock.json"))?) <= built_at
    {
        return Ok(());
    }
    build_web()
}

/// Builds the pages with npm.
pub(crate) fn build_web() -> Result<()> {
    if !have("npm") {
        bail!("the pages need Node.js 20 or later with npm: apt-get install nodejs npm");
    }
    let web = root().join("crates/io/web");
    run(command("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&web))?;
    run(command("npm").args(["run", "build"]).current_dir(&web))?;
    // What is newest decides whether to build again; a bundler may keep a source's old time.
    let index = web.join("dist/index.html");
    let text = fs::read(&index).with_context(|| format!("npm built no {}", index.display()))?;
    fs::write(&index, text).with_context(|| format!("cannot touch {}", index.display()))
}

fn newest(path: &Path) -> Result<SystemTime> {
    let meta = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let mut newest = meta.modified()?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}
