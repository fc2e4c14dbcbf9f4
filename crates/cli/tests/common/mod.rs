//! The program itself, run as an operator would.

use anyhow::{Context as _, Result, ensure};
use simulations::world::World;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Output},
};

/// Runs the program against a world's API, as its owner.
pub(crate) fn dialmesh(world: &World, words: &[&str]) -> Result<Output> {
    let contexts = world.folder().join("contexts.toml");
    if !contexts.exists() {
        let text = format!(
            "current = \"here\"\n[context.here]\nurl = {:?}\ntoken = {:?}\n",
            world.api().base(),
            world.api().token()
        );
        let mut file = (fs::OpenOptions::new().write(true).create_new(true))
            .mode(0o600)
            .open(&contexts)?;
        file.write_all(text.as_bytes())?;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_dialmesh"))
        .args(words)
        .env("DIALMESH_CONTEXTS", contexts)
        .output();
    output.context("running dialmesh")
}

/// What it printed; an error where it failed.
pub(crate) fn said(world: &World, words: &[&str]) -> Result<String> {
    let output = dialmesh(world, words)?;
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{words:?}: {why}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
