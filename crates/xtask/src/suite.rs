//! The steps of `cargo xtask test`, in the order in which they tell most for least time.

use crate::{
    run::{cargo, command, root, run},
    setup, tidy,
};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 6] = [
    Step {
        name: "setup",
        run: setup::packages,
    },
    Step {
        name: "fmt",
        run: || run(cargo().args(["fmt", "--all", "--check"])),
    },
    Step {
        name: "tidy",
        run: tidy::check,
    },
    Step {
        name: "web",
        run: web,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "test",
        run: tests,
    },
];

/// Runs every step, or those named.
pub(crate) fn test(only: &[String], list: bool) -> Result<()> {
    if list {
        for step in &STEPS {
            println!("{}", step.name);
        }
        return Ok(());
    }
    if let Some(unknown) = only
        .iter()
        .find(|name| !STEPS.iter().any(|s| s.name == **name))
    {
        bail!("there is no step {unknown:?}; `cargo xtask test --list` names them");
    }
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for step in STEPS
        .iter()
        .filter(|s| only.is_empty() || only.iter().any(|o| o == s.name))
    {
        eprintln!("== {}", step.name);
        let started = Instant::now();
        (step.run)()?;
        times.push((step.name, started.elapsed()));
    }
    for (name, time) in &times {
        eprintln!("{name:>8} {:>6.1} s", time.as_secs_f64());
    }
    println!("{} passed, 0 failed", times.len());
    Ok(())
}

fn web() -> Result<()> {
    setup::web()?;
    let web = root().join("crates/io/web");
    if !web.join("node_modules").is_dir() {
        run(command("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&web))?;
    }
    run(command("npm").arg("test").current_dir(&web))
}

fn clippy() -> Result<()> {
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Every test of the workspace. Cargo runs one test binary at a time, so those that start whole
/// meshes have the machine to themselves. One selection of packages for everything: another one
/// would unify features differently and build every library again. All of them run, whatever fails:
/// one run tells everything that is broken.
fn tests() -> Result<()> {
    run(cargo().args(["test", "--workspace", "--no-fail-fast"]))
}

/// Builds and starts the demo. The whole workspace is built, since another selection of packages
/// would unify features differently and build every library again.
pub(crate) fn demo(args: &[String]) -> Result<()> {
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let binary = root().join("target/debug/dialmesh");
    run(command(&binary.to_string_lossy()).arg("demo").args(args))
}

/// Builds everything and breaks a mesh of real processes.
pub(crate) fn chaos(args: &[String]) -> Result<()> {
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let binary = root().join("target/debug/dialmesh-chaos");
    run(command(&binary.to_string_lossy()).args(args))
}

/// Builds in release and measures.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    setup::packages()?;
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "simulations",
        "--package",
        "dialmesh",
        "--bin",
        "bench",
        "--bin",
        "dialmesh",
    ]))?;
    let binary = root().join("target/release/bench");
    run(command(&binary.to_string_lossy()).args(args))
}
