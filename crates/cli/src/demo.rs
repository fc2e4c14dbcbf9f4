//! `dialmesh demo`: a whole mesh on this machine, with a simulated carrier and simulated agents.

mod live;
mod report;
mod screen;
mod words;

use crate::failure::Failure;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use simulations::{
    population::{City, PopulationConfig},
    process,
    world::{World, WorldConfig},
};
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    pin::pin,
    time::Duration,
};
use words::Words;

/// How long a person who said hello waits in silence, in milliseconds.
const HUSH_MS: u32 = 1_000;
/// How long calls and records may take to end before the report.
const SETTLE: Duration = Duration::from_secs(60);

/// Starts a coordinator, three cities, a simulated carrier and simulated agents on this machine,
/// and dials leads until it is told to stop. Nothing is left behind.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End this long after the first call (60s, 2m).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    exit_after: Option<Duration>,
    /// Judge the run at its end: exit 0 only if everything promised held. In 90 s or more: 1000
    /// attempts, 250 bridged calls, 50 of them listened to on both sides; in less time in
    /// proportion.
    #[arg(long, requires = "exit_after")]
    report: bool,
    /// Agents in each city.
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=200))]
    agents: u16,
    /// Leads in all.
    #[arg(long, value_name = "NUMBER", default_value_t = 6_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    leads: u32,
    /// The same seed meets the same people.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Keep configuration, data and logs in this new or empty folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Language of the table; the terminal's where not given.
    #[arg(long, value_enum)]
    language: Option<Language>,
}

/// A language of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// English.
    En,
    /// 中文.
    Zh,
}

impl Language {
    fn of_the_terminal() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        if set.is_some_and(|value| value.starts_with("zh")) {
            Self::Zh
        } else {
            Self::En
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = service::config::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(86_400);
    if bounds.contains(&span) {
        Ok(span)
    } else {
        Err("expected 1s to 24h".to_owned())
    }
}

/// How the live part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its time was over.
    Time,
    /// Somebody pressed `q`.
    Quit,
    /// Ctrl-C or SIGTERM.
    Signal,
}

/// Runs the demonstration.
pub(crate) fn run(arguments: DemoArgs) -> Result<()> {
    let words = Words::of(arguments.language.unwrap_or_else(Language::of_the_terminal));
    let agents = usize::from(arguments.agents) * 3;
    say(&words.first_line(agents, arguments.leads));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(show(&arguments, words));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn show(arguments: &DemoArgs, words: &'static Words) -> Result<()> {
    let interrupted = || Failure::refused("interrupted; everything was stopped and removed");
    let mut stop = pin!(process::stop_signal()?);
    let mut world = tokio::select! {
        world = prepare(arguments, words) => world?,
        // What was started so far is killed as the future is dropped.
        () = &mut stop => return Err(interrupted().into()),
    };
    let ended = live::watch(&mut world, &mut stop, arguments.exit_after, words).await?;
    let result = match ended {
        End::Signal => Err(interrupted().into()),
        End::Time if arguments.report => {
            say(words.ending);
            let span = arguments.exit_after.unwrap_or_default();
            tokio::select! {
                evidence = world.finish(SETTLE) => report::print(&evidence?, span),
                () = &mut stop => Err(interrupted().into()),
            }
        }
        End::Time | End::Quit => Ok(()),
    };
    say(words.stopping);
    if let Some(folder) = &arguments.keep {
        say(&format!("{} {}", words.kept, folder.display()));
    }
    tokio::select! {
        () = world.shut_down() => {}
        // Dropped: killed at once.
        () = &mut stop => {}
    }
    result
}

/// Everything up to the first call.
async fn prepare(arguments: &DemoArgs, words: &'static Words) -> Result<World> {
    let binary = std::env::current_exe().context("finding this program's own file")?;
    let mut config = WorldConfig::new(binary, arguments.seed);
    config.agents_per_city = usize::from(arguments.agents);
    // Some of the people are machines: the mesh listens to who answers.
    config.campaign = serde_json::json!({"answering_machines": "hang_up"});
    config.habits.hush_ms = HUSH_MS;
    config.folder.clone_from(&arguments.keep);
    let mut world = World::build(config, |step| say(&words.step(step))).await?;

    say(words.agents_step);
    world.seat_agents().await?;
    let mut spare = Vec::new();
    for city in 0..world.nodes().len() {
        spare.push(world.spare_seat(city).await?);
    }
    let file = world.folder().join("leads.csv");
    let leads = arguments.leads as usize;
    let population =
        PopulationConfig::new(arguments.seed, leads, &City::CHINA).write_file(&file)?;
    say(&words.leads_step(population.rows));
    let operation = world.import(&file).await?;
    let accepted = operation["counts"]["accepted"].as_u64().unwrap_or_default();
    anyhow::ensure!(
        accepted as usize == population.good,
        "{} leads are good, {accepted} were accepted: {}",
        population.good,
        operation["counts"]
    );
    world.expect_leads(&population);
    world.start_campaign().await?;
    say(&format!("{}  {}/", words.console, world.api().base()));
    say(&format!("{}  {}", words.token, world.api().token()));
    for (node, account) in world.nodes().iter().zip(&spare) {
        say(&format!(
            "{:<10} {} http://{}/  {} {}  metrics http://{}/metrics",
            node.name(),
            words.agents_page,
            node.http(),
            words.spare_agent,
            account.token,
            node.monitoring()
        ));
    }
    say(words.spare_hint);
    say(&format!("{}  {}", words.files, world.folder().display()));
    Ok(world)
}

/// A line, at once. One that nobody reads any more is no reason to stop.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Whether somebody sits at a terminal.
fn is_interactive() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        demo: DemoArgs,
    }

    #[test]
    fn flags_are_read_and_judged() {
        let read = |line: &str| Command::try_parse_from(line.split(' ')).map(|c| c.demo);
        let demo = read("demo --exit-after 90s --report --agents 4 --language zh").unwrap();
        assert_eq!(demo.exit_after, Some(Duration::from_secs(90)));
        assert_eq!((demo.agents, demo.language), (4, Some(Language::Zh)));
        assert!(demo.report);
        assert!(read("demo --report").is_err(), "a report needs an end");
        for wrong in [
            "--exit-after 0s",
            "--exit-after soon",
            "--agents 0",
            "--leads 0",
        ] {
            assert!(read(&format!("demo {wrong}")).is_err(), "{wrong}");
        }
    }
}
