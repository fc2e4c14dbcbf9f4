//! What a compiler does not check: the table of arrows, the purity of core, the habits of the house.

use crate::run::{cargo, command, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Which crate of ours may know which others. A new arrow is a commit of its own, with why.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sansio", &["domain"]),
    ("autopilot", &["domain"]),
    ("numbering", &["domain", "sansio"]),
    ("compliance", &["domain", "sansio"]),
    ("permit", &["domain", "sansio"]),
    ("pacing", &["domain", "sansio"]),
    ("call", &["domain", "sansio"]),
    ("sip", &["domain", "sansio"]),
    ("media", &["domain", "sansio"]),
    ("answering", &["domain"]),
    ("scoring", &[]),
    (
        "engine",
        &[
            "domain",
            "sansio",
            "numbering",
            "compliance",
            "permit",
            "pacing",
            "scoring",
            "call",
            "sip",
            "media",
        ],
    ),
    ("ledger", &["domain", "sansio", "numbering", "compliance"]),
    ("storage", &["domain", "permit"]),
    ("mesh", &["domain", "sansio"]),
    ("consensus", &["domain", "sansio", "mesh", "storage"]),
    (
        "member",
        &[
            "domain",
            "sansio",
            "autopilot",
            "ledger",
            "consensus",
            "mesh",
            "storage",
            "service",
        ],
    ),
    ("sip-transport", &["domain", "sip"]),
    ("media-io", &["domain", "media", "answering"]),
    ("recordings", &["domain", "media", "media-io", "storage"]),
    ("web", &[]),
    ("service", &["domain", "sansio"]),
    (
        "dialmesh-http",
        &["domain", "scoring", "call", "web", "service"],
    ),
];

/// Binaries hold wiring: they may know anything below them, and the one binary knows the roles.
const WIRING: [&str; 10] = [
    "node",
    "coordinator",
    "simulations",
    "simulate",
    "pacing-sim",
    "fuzz",
    "raft-sim",
    "protocol-model",
    "dialmesh",
    "xtask",
];
const WIRING_ARROWS: [(&str, &[&str]); 7] = [
    ("dialmesh", &["node", "coordinator", "simulations"]),
    ("simulations", &[]),
    ("simulate", &["pacing-sim", "protocol-model"]),
    ("pacing-sim", &[]),
    ("fuzz", &[]),
    ("raft-sim", &["simulate"]),
    ("protocol-model", &[]),
];

/// Packages that touch the world. Core reaches none of them, not even through others.
const WORLD: [&str; 12] = [
    "tokio",
    "mio",
    "socket2",
    "quinn",
    "rustls",
    "axum",
    "hyper",
    "sled",
    "redb",
    "raft-engine",
    "openraft",
    "reqwest",
];

/// Core sources may not name these.
const CORE_FORBIDDEN: [&str; 10] = [
    "std::time::Instant",
    "SystemTime",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread",
    "std::fs",
    "std::env",
    "thread_rng",
    "getrandom::",
    "aws_lc_rs::rand",
];

/// Libraries that one place alone may name, and that place.
const FENCES: [(&str, &str, &str); 8] = [
    (
        "rsip::",
        "crates/core/sip/src/message",
        "rsip's reader has known defects",
    ),
    ("openraft::", "crates/io/consensus/", "an alpha, pinned"),
    ("sled::", "crates/io/storage/", "its flush is not durable"),
    (
        "redb::",
        "crates/io/storage/",
        "stores stand behind one trait",
    ),
    ("raft_engine::", "crates/io/storage/", "the journal is one"),
    (
        "str0m::",
        "crates/io/media-io/",
        "its interface changes every few weeks",
    ),
    (
        "hickory_resolver::",
        "crates/io/sip-transport/",
        "its interface changes between releases",
    ),
    (
        "stateright::",
        "simulations/model/",
        "it brings a web page along, for developers only",
    ),
];

const LINES_MAX: usize = 800;

/// Everything, with every finding listed.
pub(crate) fn check() -> Result<()> {
    let mut findings = Vec::new();
    arrows(&mut findings)?;
    sources(&mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} faults", findings.len());
    }
    eprintln!("tidy: clean");
    Ok(())
}

fn arrows(findings: &mut Vec<String>) -> Result<()> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let graph = Graph::read(&metadata).context("cargo metadata has an unknown shape")?;
    for (name, (folder, dependencies)) in &graph.ours {
        let ours: BTreeSet<&str> = dependencies
            .iter()
            .map(String::as_str)
            .filter(|d| graph.ours.contains_key(*d))
            .collect();
        if WIRING.contains(&name.as_str()) {
            for up in ours.iter().filter(|d| WIRING.contains(d)) {
                if !WIRING_ARROWS
                    .iter()
                    .any(|(n, allowed)| n == name && allowed.contains(up))
                {
                    findings.push(format!("{name} knows {up}, which stands in its own row"));
                }
            }
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| n == name) else {
            findings.push(format!("{name} ({folder}) is not in the table of arrows"));
            continue;
        };
        for arrow in ours.iter().filter(|d| !allowed.contains(d)) {
            findings.push(format!("{name} -> {arrow} is not in the table of arrows"));
        }
        if folder.contains("crates/core/") {
            for reached in graph
                .reach(name)
                .iter()
                .filter(|d| WORLD.contains(&d.as_str()))
            {
                findings.push(format!("{name} is core and reaches {reached}"));
            }
        }
    }
    Ok(())
}

/// Names to names; development dependencies left out.
struct Graph {
    ours: BTreeMap<String, (String, Vec<String>)>,
    all: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Option<Self> {
        let members: BTreeSet<&str> = metadata["workspace_members"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut ours = BTreeMap::new();
        let mut names = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            let (id, name) = (package["id"].as_str()?, package["name"].as_str()?);
            names.insert(id, name);
            if members.contains(id) {
                let dependencies = package["dependencies"]
                    .as_array()?
                    .iter()
                    .filter(|d| d["kind"].as_str() != Some("dev"))
                    .filter_map(|d| d["name"].as_str().map(str::to_owned))
                    .collect();
                let folder = package["manifest_path"].as_str()?.to_owned();
                ours.insert(name.to_owned(), (folder, dependencies));
            }
        }
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array()? {
            let from = all
                .entry((*names.get(node["id"].as_str()?)?).to_owned())
                .or_default();
            for dependency in node["deps"].as_array()? {
                let normal = dependency["dep_kinds"]
                    .as_array()?
                    .iter()
                    .any(|kind| kind["kind"].is_null());
                if normal {
                    from.insert((*names.get(dependency["pkg"].as_str()?)?).to_owned());
                }
            }
        }
        Some(Self { ours, all })
    }

    fn reach(&self, from: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(name) = open.pop() {
            for next in self.all.get(&name).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        reached
    }
}

fn sources(findings: &mut Vec<String>) -> Result<()> {
    let list = output(command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "*.rs",
        "*.toml",
        "*.md",
        "*.ts",
        "*.tsx",
    ]))?;
    for path in list.lines() {
        let full = root().join(path);
        let Ok(text) = fs::read_to_string(&full) else {
            continue;
        };
        // Tests, their drivers and benches may read clocks; what is shipped may not.
        let code = !["/tests", "/generated", "/benches/", "/driver.rs"]
            .iter()
            .any(|p| path.contains(p));
        let lines = text.lines().count();
        if path.ends_with(".rs") && code && lines > LINES_MAX {
            findings.push(format!(
                "{path} has {lines} lines; split it by subject ({LINES_MAX})"
            ));
        }
        if path.ends_with("Cargo.toml")
            && path != "Cargo.toml"
            && !text.contains("[lints]\nworkspace = true")
        {
            findings.push(format!("{path} does not take the workspace's lints"));
        }
        if !path.ends_with(".rs") || path.starts_with("crates/xtask/") {
            continue;
        }
        if path.starts_with("crates/core/") && code {
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in CORE_FORBIDDEN.iter().filter(|w| shipped.contains(**w)) {
                findings.push(format!("{path} is core and names {word}"));
            }
        }
        for (word, place, why) in FENCES {
            if text.contains(word) && !path.starts_with(place) {
                findings.push(format!(
                    "{path} names {word}, which only {place} may ({why})"
                ));
            }
        }
        // A bench may count allocations, which takes an allocator of its own.
        if text.contains("allow(unsafe_code)")
            && !path.ends_with("/syscalls.rs")
            && !path.contains("/benches/")
        {
            findings.push(format!(
                "{path} allows unsafe code; only a file of syscalls may"
            ));
        }
    }
    Ok(())
}
