//! `dialmesh demo` as a script runs it: real processes, real SIP and RTP, judged by its own report,
//! which is made from the carrier's log.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::{
    process::Command,
    time::{Duration, Instant},
};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialmesh"));
    command.arg("demo").args(arguments);
    command
}

#[test]
fn a_short_run_holds_what_the_report_promises() {
    let began = Instant::now();
    let arguments = [
        "--exit-after",
        "25s",
        "--report",
        "--leads",
        "1500",
        "--language",
        "en",
    ];
    let output = demo(&arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{text}\n{complaints}\nin {:.0?}", began.elapsed());
    assert!(output.status.success(), "{}", output.status);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("dialmesh ") && lines[0].contains("three cities"),
        "{}",
        lines[0]
    );
    assert!(lines.contains(&"passed"));
    for words in [
        "attempts at the carrier: at least 278",
        "calls bridged with an agent: at least 70",
        "bridged calls listened to on both sides: at least 14",
        "no number has two attempts in the air",
        "every attempt has exactly one record",
        "every call at the carrier has exactly one record",
        "the record's disposition is true of the call",
        "the called person heard the agent",
        "the agent heard the called person",
        "no acknowledged disposition is lost or changed",
        "abandonment stays within the budget",
        "persons are not taken for machines",
        "machines and fax are hung up on",
        "persons of whom it was told who answered: at least 56",
        "machines of which it was told: at least 6",
    ] {
        let line = lines.iter().find(|line| line.contains(words));
        assert!(
            line.is_some_and(|line| line.starts_with("ok")),
            "{words}: {line:?}"
        );
    }
}

/// Processes whose command line names the folder.
fn processes_of(folder: &std::path::Path) -> Vec<String> {
    let wanted = folder.to_string_lossy();
    let entries = std::fs::read_dir("/proc").unwrap();
    let lines = entries.flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines
        .filter(|line| line.contains(&*wanted) && !line.contains("--keep"))
        .collect()
}

#[test]
fn a_signal_leaves_no_process_behind() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("world");
    let kept = folder.to_string_lossy().into_owned();
    let arguments = [
        "--keep",
        &kept,
        "--agents",
        "1",
        "--leads",
        "100",
        "--language",
        "en",
    ];
    let mut child = demo(&arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while processes_of(&folder).is_empty() {
        assert!(Instant::now() < deadline, "no member was started");
        assert!(
            child.try_wait().unwrap().is_none(),
            "the demonstration ended by itself"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let terminated = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status();
    assert!(terminated.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "interrupted: {status}");
    assert_eq!(processes_of(&folder), Vec::<String>::new());
}
