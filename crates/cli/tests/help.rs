//! The binary as people meet it: help, exit codes, and errors that say what to do.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialmesh"));
    command
        .args(words)
        .env_clear()
        .env("HOME", home)
        .stdin(Stdio::null());
    command
}

fn dialmesh(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

/// The names under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Wrapped descriptions stand further to the right.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn check(home: &Path, words: &[&str], leaves: &mut usize) {
    let output = dialmesh(home, &[words, &["--help"]].concat());
    assert!(output.status.success(), "{words:?}");
    let help = text(&output.stdout);
    assert!(
        help.contains("Examples:\n  "),
        "{words:?} has no examples:\n{help}"
    );
    let verbs = commands(&help);
    *leaves += usize::from(verbs.is_empty());
    for verb in verbs {
        check(home, &[words, &[verb.as_str()]].concat(), leaves);
    }
}

#[test]
fn every_verb_has_examples() {
    let home = tempfile::tempdir().unwrap();
    let mut leaves = 0;
    check(home.path(), &[], &mut leaves);
    assert!(leaves >= 60, "only {leaves} verbs were found");
}

/// What is typed, the exit code, and words of the message.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[test]
fn errors_have_their_exit_codes_and_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let token = home.join("token");
    std::fs::write(&token, "dm_secret_of_nobody\n").unwrap();
    let token = token.to_str().unwrap();
    let wrong = home.join("wrong.toml");
    std::fs::write(&wrong, "name = \"x\"\nlisten = 7\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    let cases: &[Case<'_>] = &[
        (&["dance"], 2, &["dance"]),
        (&["status"], 2, &["error: no context", "context add"]),
        (&["context", "use", "hq"], 2, &["\"hq\"", "none are known"]),
        (
            &[
                "context",
                "add",
                "hq",
                "--url",
                "hq:1",
                "--token-file",
                token,
            ],
            2,
            &["http://HOST:PORT"],
        ),
        (
            &[
                "context",
                "add",
                "hq",
                "--url",
                "http://127.0.0.1:1",
                "--token-file",
                "/none",
            ],
            1,
            &["/none"],
        ),
        (
            &[
                "context",
                "add",
                "hq",
                "--url",
                "http://127.0.0.1:1",
                "--token-file",
                token,
            ],
            0,
            &[],
        ),
        (
            &["status"],
            4,
            &["http://127.0.0.1:1", "check that it runs"],
        ),
        (
            &["campaign", "ls", "--context", "away"],
            2,
            &["\"away\"", "known: hq"],
        ),
        (&["context", "rm", "hq"], 2, &["--yes"]),
        (
            &["config", "check", "--role", "coordinator", wrong],
            2,
            &["wrong.toml", "listen"],
        ),
        (
            &["config", "check", "--role", "node", "/none.toml"],
            2,
            &["/none.toml"],
        ),
        (&["explain", "DM9999"], 2, &["DM9999"]),
        (&["explain", "dm2401"], 0, &[]),
        (&["completion", "bash"], 0, &[]),
        (&["version"], 0, &[]),
        (&["context", "rm", "hq", "--yes"], 0, &[]),
    ];
    for (words, code, expected) in cases {
        let output = dialmesh(home, words);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{words:?}: {message}");
        for word in *expected {
            assert!(
                message.contains(word),
                "{words:?}: {message:?} lacks {word:?}"
            );
        }
        assert!(
            !message.contains("secret_of_nobody")
                && !text(&output.stdout).contains("secret_of_nobody")
        );
    }
}

#[test]
fn data_keys_are_made_shown_and_rotated_and_never_printed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("data.key");
    let file = file.to_str().unwrap();
    let run = |words: &[&str]| dialmesh(home.path(), words);
    let missing = run(&["key", "show", file]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("data.key"));
    assert!(run(&["key", "create", file]).status.success());
    assert_eq!(run(&["key", "create", file]).status.code(), Some(1));
    let secret = std::fs::read_to_string(file).unwrap();
    let secret = secret.split_whitespace().last().unwrap().to_owned();
    assert!(run(&["key", "rotate", file]).status.success());
    let shown: serde_json::Value =
        serde_json::from_slice(&run(&["key", "show", file, "-o", "json"]).stdout).unwrap();
    assert_eq!(shown["keys"].as_array().unwrap().len(), 2);
    assert_eq!(shown["keys"][1], shown["seals"]);
    let hash = [
        "audit",
        "hash",
        "+8613800138000",
        "--key-file",
        file,
        "-o",
        "json",
    ];
    let hashes: serde_json::Value = serde_json::from_slice(&run(&hash).stdout).unwrap();
    for (hash, id) in (0..2).map(|n| (&hashes["hashes"][n], &shown["keys"][n])) {
        let (name, hash) = hash.as_str().unwrap().split_once(':').unwrap();
        assert_eq!((Some(name), hash.len()), (id.as_str(), 32));
    }
    // As in the examples: a bare name, in the folder one stands in.
    let here = |words: &[&str]| {
        let mut command = command(home.path(), words);
        command.current_dir(home.path()).output().unwrap()
    };
    for (words, keys) in [
        (["key", "create", "node.key"], 1),
        (["key", "rotate", "node.key"], 2),
    ] {
        let output = here(&words);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let file = std::fs::read_to_string(home.path().join("node.key")).unwrap();
        assert_eq!(file.lines().filter(|l| l.starts_with("key ")).count(), keys);
    }
    for words in [&["key", "show", file][..], &hash, &["key", "rotate", file]] {
        let output = run(words);
        assert!(!(text(&output.stdout) + &text(&output.stderr)).contains(&secret[..16]));
    }
}
