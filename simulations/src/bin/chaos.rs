//! Trouble for a mesh of real processes, for as long as asked, judged on the carrier's log.

use anyhow::Context as _;
use clap::Parser;
use simulations::{
    chaos::{self, Outcome},
    population::{City, PopulationConfig},
    world::World,
};
use std::{path::PathBuf, process::ExitCode, time::Duration};

const EXAMPLES: &str = "Examples:
  dialmesh-chaos --minutes 30                 half an hour of every fault
  dialmesh-chaos --minutes 3 --seed 7         the same three minutes again
  dialmesh-chaos --kills 100                  each process killed 100 times under load";

/// Kills, holds and cuts off the members of a mesh of three cities, fills their disks, sets their clocks
/// wrong, and judges by the carrier's log.
#[derive(Debug, Parser)]
#[command(name = "dialmesh-chaos", after_help = EXAMPLES)]
struct Arguments {
    /// The program `dialmesh`; the one beside this program when not given.
    #[arg(long, value_name = "FILE")]
    dialmesh: Option<PathBuf>,
    /// How long faults come.
    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    minutes: u64,
    /// Instead: SIGKILL for each process so often, in turn.
    #[arg(long, value_name = "NUMBER")]
    kills: Option<u32>,
    /// What the faults and the people follow from.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Keep configuration, data and logs in this new folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dialmesh-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let binary = match arguments.dialmesh {
        Some(path) => path,
        None => std::env::current_exe()
            .context("finding this program")?
            .with_file_name("dialmesh"),
    };
    let (means, missing) = chaos::means();
    missing.iter().for_each(|line| println!("{line}"));
    let mut config = chaos::world(&binary, arguments.seed, means);
    config.folder = arguments.keep;
    let mut world = World::build(config, |step| println!("{step}")).await?;
    let csv = world.folder().join("leads.csv");
    let length = match arguments.kills {
        // A kill takes several seconds until every city dials again, and there are four members.
        Some(times) => Duration::from_secs(40) * times,
        None => Duration::from_secs(60) * u32::try_from(arguments.minutes)?,
    };
    let people = chaos::people(length);
    let people = PopulationConfig::new(arguments.seed, people, &City::CHINA).write_file(&csv)?;
    world.expect_leads(&people);
    world.import(&csv).await?;
    world.seat_agents().await?;
    world.start_campaign().await?;
    let members = world.members();
    let script = match arguments.kills {
        Some(times) => chaos::kills(&members, times),
        None => chaos::script(arguments.seed, &members, means, length),
    };
    println!("{} faults, seed {}", script.len(), arguments.seed);
    let outcome = chaos::run(&mut world, arguments.seed, script, |line| {
        println!("{line}")
    })
    .await?;
    let verdict = chaos::judge(&mut world, &outcome).await?;
    tell(&outcome);
    println!("{verdict}");
    world.shut_down().await;
    Ok(verdict.passed())
}

fn tell(outcome: &Outcome) {
    let figures = [
        ("restart to serving", &outcome.restarts),
        ("dialing after healing", &outcome.resumed),
        ("opt-out effective", &outcome.opt_outs),
    ];
    for (name, times) in figures {
        println!("{name:<24} {}", chaos::spread(times));
    }
    println!("opt-outs refused at first {}", outcome.refused);
}
