//! The one binary: coordinator, node, demo, and every admin verb.

mod client;
mod context;
mod demo;
mod failure;
mod names;
mod output;
mod roles;
mod secrets;
mod session;
mod transfer;
mod verbs;
mod when;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use session::Session;
use std::{io, process::ExitCode};
use verbs::{
    agent, audit, call, campaign, config, consent, dnc, explain, freeze, key, lead, number,
    recording, region, status, token, top, trunk,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AFTER: &str = "Examples:
  dialmesh demo
  dialmesh coordinator init --config coordinator.toml
  dialmesh campaign create autumn --rule-pack china
  dialmesh lead import leads.csv --campaign autumn --dry-run
  dialmesh status

Exit codes: 0 ok, 1 failure, 2 usage, 3 degraded, 4 unreachable.
Environment: DIALMESH_CONTEXT names the mesh, DIALMESH_CONTEXTS the file of contexts.";

/// Outbound calls from many cities: a mesh of nodes that dial and a coordinator that plans.
#[derive(Debug, Parser)]
#[command(name = "dialmesh", version, after_help = AFTER, max_term_width = 100)]
struct Line {
    #[command(flatten)]
    session: Session,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Run a whole mesh on this machine against a simulated carrier and simulated agents.
    #[command(after_help = "Examples:\n  dialmesh demo\n  dialmesh demo --exit-after 60s --report")]
    Demo(demo::DemoArgs),
    /// Show the mesh: cities, calls, agents, groups. Exit code 3 when a part of it is cut off or without a leader.
    #[command(after_help = "Examples:\n  dialmesh status\n  dialmesh status -o json")]
    Status,
    /// Show the mesh live; q ends. Plain lines when standard output is no terminal.
    #[command(
        after_help = "Examples:\n  dialmesh top\n  dialmesh top --every 5s --count 12 > minute.log"
    )]
    Top(top::Top),
    /// The control plane: make a mesh, run its coordinator.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh coordinator init --config coordinator.toml\n  dialmesh coordinator run --config coordinator.toml"
    )]
    Coordinator(roles::CoordinatorVerb),
    /// Cities' nodes: join a mesh, run, list members.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh node join --config shenzhen.toml --coordinator 192.0.2.1:7401 --region south --token-file shenzhen.token\n  dialmesh node run --config shenzhen.toml\n  dialmesh node ls"
    )]
    Node(roles::NodeVerb),
    /// Tokens: for a node to join with, or to use the admin API with.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh token create --region south --name shenzhen --token-file shenzhen.token\n  dialmesh token ls"
    )]
    Token(token::Verb),
    /// Regions, and which numbers are at home in which.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh region add south\n  dialmesh region rules set --default south --city Beijing=north"
    )]
    Region(region::Verb),
    /// Trunks: SIP routes to carriers.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh trunk add sz-ct --node shenzhen --address 203.0.113.7:5060\n  dialmesh trunk ls"
    )]
    Trunk(trunk::Verb),
    /// Caller IDs: the numbers shown to called persons.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh number import numbers.csv --trunk sz-ct\n  dialmesh number ls"
    )]
    Number(number::Verb),
    /// Campaigns: make, start, pause, stop, figures.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh campaign create autumn --rule-pack china\n  dialmesh campaign start autumn\n  dialmesh campaign why-idle autumn"
    )]
    Campaign(campaign::Verb),
    /// Leads: import, list, show.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh lead import leads.csv --campaign autumn --rejects rejects.csv\n  dialmesh lead ls --campaign autumn"
    )]
    Lead(lead::Verb),
    /// Do-not-call: add, check, import, remove.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh dnc add +8613800138000\n  dialmesh dnc check +8613800138000"
    )]
    Dnc(dnc::Verb),
    /// Consent: proof that persons agreed to be called.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh consent import form.csv --kind form --source \"form 3\" --place example.com/offer --given-at 1d\n  dialmesh consent check +8613800138000"
    )]
    Consent(consent::Verb),
    /// Freezes: numbers and patterns that rest until a time.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh freeze add +8613800138000 --until 30d --reason \"asked to wait\"\n  dialmesh freeze ls"
    )]
    Freeze(freeze::Verb),
    /// Agents: make, list, disable.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh agent create li.na --node shenzhen --secrets-file li.na.json\n  dialmesh agent ls"
    )]
    Agent(agent::Verb),
    /// Calls and attempts that have ended.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh call ls --campaign autumn\n  dialmesh call ls --since 1h --disposition busy"
    )]
    Call(call::Verb),
    /// Call records as files.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh cdr export --campaign autumn --file autumn.csv"
    )]
    Cdr(call::Records),
    /// Recordings of calls: search, get, verify, and the key that they are made with.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh recording key create\n  dialmesh recording search --campaign autumn --since 1d\n  dialmesh recording get att_0001000000000000000c00000000 --file call.wav"
    )]
    Recording(recording::Verb),
    /// Why calls were permitted, and that nobody changed it since.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh audit why att_0001000000000000000c00000000\n  dialmesh audit verify --online /var/lib/dialmesh/audit"
    )]
    Audit(audit::Verb),
    /// Which meshes this user speaks to.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh context ls\n  dialmesh context use hq"
    )]
    Context(verbs::context::Verb),
    /// Configuration files.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh config check --role node node.toml"
    )]
    Config(config::Verb),
    /// Data keys: what a member keeps on its disk is sealed with them.
    #[command(
        subcommand,
        after_help = "Examples:\n  dialmesh key show /var/lib/dialmesh/data.key\n  dialmesh key rotate /var/lib/dialmesh/data.key"
    )]
    Key(key::Verb),
    /// What an error code means and what to do.
    #[command(after_help = "Examples:\n  dialmesh explain DM2401\n  dialmesh explain")]
    Explain(explain::Explain),
    /// Print completions for a shell.
    #[command(
        after_help = "Examples:\n  dialmesh completion bash > /etc/bash_completion.d/dialmesh\n  dialmesh completion zsh > ~/.zfunc/_dialmesh"
    )]
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// What this binary was built from.
    #[command(after_help = "Examples:\n  dialmesh version\n  dialmesh version -o json")]
    Version,
}

fn main() -> ExitCode {
    let Line { session, noun } = Line::parse();
    failure::end(run(noun, &session))
}

fn run(noun: Noun, session: &Session) -> Result<()> {
    match noun {
        Noun::Demo(args) => demo::run(args),
        Noun::Context(verb) => verbs::context::run(verb, session),
        Noun::Config(verb) => config::run(&verb, session),
        Noun::Key(verb) => key::run(&verb, session),
        Noun::Explain(args) => explain::run(&args, session),
        Noun::Completion { shell } => completion(shell),
        Noun::Version => version(session),
        Noun::Coordinator(verb) => processes()?.block_on(roles::coordinator(verb, session)),
        Noun::Node(verb) => processes()?.block_on(roles::node(verb, session)),
        other => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?
            .block_on(ask(other, session)),
    }
}

/// The runtime of a long-lived process.
fn processes() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// The verbs that speak to the admin API.
async fn ask(noun: Noun, session: &Session) -> Result<()> {
    match noun {
        Noun::Status => status::run(session).await,
        Noun::Top(args) => top::run(&args, session).await,
        Noun::Token(verb) => token::run(verb, session).await,
        Noun::Region(verb) => region::run(verb, session).await,
        Noun::Trunk(verb) => trunk::run(verb, session).await,
        Noun::Number(verb) => number::run(verb, session).await,
        Noun::Campaign(verb) => campaign::run(verb, session).await,
        Noun::Lead(verb) => lead::run(verb, session).await,
        Noun::Dnc(verb) => dnc::run(verb, session).await,
        Noun::Consent(verb) => consent::run(verb, session).await,
        Noun::Freeze(verb) => freeze::run(verb, session).await,
        Noun::Agent(verb) => agent::run(verb, session).await,
        Noun::Call(verb) => call::run(verb, session).await,
        Noun::Cdr(verb) => call::records(verb, session).await,
        Noun::Recording(verb) => recording::run(verb, session).await,
        Noun::Audit(verb) => audit::run(verb, session).await,
        other => anyhow::bail!("{other:?} does not speak to the admin API"),
    }
}

fn completion(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Line::command(), "dialmesh", &mut text);
    io::Write::write_all(&mut io::stdout().lock(), &text)?;
    Ok(())
}

fn version(session: &Session) -> Result<()> {
    let built = service::build::info();
    match session.output {
        Some(form) if form != output::Form::Table => {
            output::one(form, &serde_json::to_value(built)?)
        }
        _ => output::lines(&[format!(
            "dialmesh {} ({}, {}), understands mesh version {}",
            built.version, built.commit, built.profile, built.understands
        )]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere_and_secrets_nowhere() {
        let line =
            Line::try_parse_from(["dialmesh", "node", "ls", "-o", "yaml", "--context", "hq"])
                .unwrap();
        assert_eq!(line.session.output, Some(output::Form::Yaml));
        assert_eq!(line.session.context.as_deref(), Some("hq"));
        for argument in ["--token", "--password", "--secret"] {
            for verb in [
                ["node", "join"],
                ["token", "create"],
                ["trunk", "add"],
                ["context", "add"],
            ] {
                let line = [&["dialmesh"], &verb[..], &[argument, "x"]].concat();
                let refused = Line::try_parse_from(line).unwrap_err();
                assert_eq!(
                    refused.kind(),
                    clap::error::ErrorKind::UnknownArgument,
                    "{verb:?} {argument}"
                );
                assert_eq!(refused.exit_code(), 2);
            }
        }
    }

    #[test]
    fn a_token_has_one_purpose() {
        let parse =
            |more: &[&str]| Line::try_parse_from([&["dialmesh", "token", "create"], more].concat());
        assert!(parse(&["--region", "south"]).is_ok());
        assert!(parse(&["--role", "monitor", "--name", "prometheus", "--ttl", "7d"]).is_ok());
        assert!(parse(&["--region", "south", "--role", "admin"]).is_err());
        assert!(
            parse(&["--role", "admin"]).is_err()
                && parse(&["--role", "king", "--name", "x"]).is_err()
        );
    }
}
