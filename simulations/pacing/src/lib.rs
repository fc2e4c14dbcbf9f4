//! A call center in virtual time, to measure pacing controllers against each other.
//!
//! The product's own controllers ([`pacing::Controller`]: progressive, ratio, predictive) see here
//! exactly the [`pacing::View`], observations and budget window that they see in a node. Around
//! them stands a discrete-event model of persons, lines and agents, not the node's call machines:
//! a day of 500 agents takes seconds, and nothing but pacing differs between two runs. All
//! controllers of a seed meet the same leads in the same order, the same breaks and the same
//! spells. What the model leaves out: trunk limits, leads running out, callbacks, campaigns that
//! share agents. [`Mesh`] ties cities together, each with a controller of its own.

#![forbid(unsafe_code)]

mod baselines;
mod callers;
mod center;
mod clairvoyant;
mod drifting;
mod escrow;
mod jobs;
mod measure;
mod pool;
mod population;
mod report;
mod scoring;

pub use self::scoring::{ScoringArgs, score};
pub use baselines::{Issabel, Method, Samuelson, Vicidial};
pub use callers::{CallersArgs, callers};
pub use center::{Pacer, Setting, simulate};
pub use clairvoyant::{Clairvoyant, Truth};
pub use drifting::{BestTimeArgs, best_time};
pub use measure::{Interval, Run};
pub use pool::{Mesh, Tie, simulate_mesh};
pub use population::{Population, Spell, Spread, Trouble, WalkOut};
pub use report::Cell;

use anyhow::Context as _;
use domain::{DialLevel, PacingMode, limits};
use jobs::Job;
use pacing::Levers;
use std::path::PathBuf;

/// Every controller, in the order of the tables.
pub const CONTROLLERS: [&str; 10] = [
    "progressive",
    "ratio",
    "vicidial-ratio",
    "vicidial-hard-limit",
    "vicidial-average",
    "vicidial-tapered",
    "issabel",
    "samuelson",
    "predictive",
    "clairvoyant",
];

/// Teams of the table.
const TEAMS: [usize; 6] = [5, 10, 20, 50, 100, 500];
/// Answer rates of the table.
const RATES: [f64; 3] = [0.1, 0.3, 0.5];

/// Measures pacing controllers in a simulated call center.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PacingArgs {
    /// Answer rates over the day, distributions, breaks, spells: a TOML file.
    #[arg(long, value_name = "FILE")]
    pub population: Option<PathBuf>,
    /// Agents.
    #[arg(long, default_value_t = 10)]
    pub agents: usize,
    /// The share of lines that a person answers, as a fraction; the population's when not given.
    #[arg(long, visible_alias = "answer-rate")]
    pub answer: Option<f64>,
    /// A controller's name, several with commas, or `all`.
    #[arg(long, default_value = "predictive", value_delimiter = ',')]
    pub controller: Vec<String>,
    /// Hours that count; after a warm-up of a third of them, at least eight.
    #[arg(long)]
    pub hours: Option<f64>,
    /// How many seeds.
    #[arg(long, default_value_t = 4)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
    /// Lines for each agent: what `ratio` keeps to and what `predictive` does not pass.
    #[arg(long, default_value_t = 10.0)]
    pub dial_level: f64,
    /// Thousandths of the answers to let down on the long mean, where that is less than the budget;
    /// `predictive` keeps to it.
    #[arg(long, value_name = "PERMILLE", conflicts_with = "pooled")]
    pub target: Option<u16>,
    /// Agents of the product's controllers who are left to inbound calls.
    #[arg(long, default_value_t = 0, conflicts_with = "pooled")]
    pub inbound: u32,
    /// One JSON line for each run instead of a summary.
    #[arg(long)]
    pub json: bool,
    /// The table of 5 to 500 agents and answer rates of 10, 30 and 50 %.
    #[arg(long)]
    pub table: bool,
    /// Utilisation by controller as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// So many random populations, one run each: whether any passes its budget by more than a call.
    #[arg(long, value_name = "N", conflicts_with_all = ["table", "population"])]
    pub random: Option<u64>,
    /// Cities that lend each other agents, beside the same cities alone; `--agents` is of each.
    #[arg(long, conflicts_with_all = ["table", "random", "controller"])]
    pub pooled: bool,
    /// How many cities, on a ring.
    #[arg(long, default_value_t = 20, requires = "pooled")]
    pub cities: usize,
    /// Cities whose agents a city's persons may be given to, itself among them, several with
    /// commas; the last is also run blind (no city hears how the others are) and cut off at times.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 20], requires = "pooled")]
    pub reach: Vec<usize>,
    /// How old what a city knows of another is at least, in seconds.
    #[arg(long, default_value_t = 1.0, requires = "pooled")]
    pub state_age: f64,
    /// Adds each run to a file as a JSON line; what is there already is not run again. For one
    /// population and one version of the code.
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  pacing --agents 10 --answer 0.3 --controller all    every controller beside each other
  pacing --table --controller predictive --json       the whole table, a JSON line a run
  pacing --random 1000 --keep runs.json               does any random population pass its budget?
  pacing --pooled --agents 10 --answer 0.3            20 cities alone, with their neighbours, all together";

/// Runs what was asked and prints it.
pub fn run(args: PacingArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.agents > 0, "--agents must be above zero");
    anyhow::ensure!(args.seeds > 0, "--seeds must be above zero");
    anyhow::ensure!(
        (1.0..=10.0).contains(&args.dial_level),
        "--dial-level is 1 to 10 lines an agent"
    );
    let names = names(&args.controller)?;
    if let Some(n) = args.random {
        return random(&args, &names, n);
    }
    let mut population = match &args.population {
        Some(path) => Population::read(path)?,
        None => Population::default(),
    };
    if let Some(answer) = args.answer {
        anyhow::ensure!(
            (0.0..=1.0).contains(&answer),
            "--answer is a fraction: 0.3 is 30 %"
        );
        population.answer_rate = answer;
    }
    let jobs = if args.pooled {
        meshes(&args, &population)?
    } else {
        centers(&args, &names, &population)
    };
    let runs = jobs::all(&jobs, args.json, args.keep.as_deref())?;
    let cells = Cell::of(&runs);
    if !args.json {
        print!("{}", report::text(&cells));
        if args.pooled {
            print!("{}", report::gains(&cells));
        }
    }
    if let Some(path) = &args.plot {
        std::fs::write(path, report::svg(&cells))
            .with_context(|| format!("plot {} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The runs of one center, or of the table.
fn centers<'a>(args: &PacingArgs, names: &[String], population: &Population) -> Vec<Job<'a>> {
    let cells: Vec<(usize, f64)> = if args.table {
        TEAMS
            .iter()
            .flat_map(|team| RATES.iter().map(|rate| (*team, *rate)))
            .collect()
    } else {
        vec![(args.agents, population.answer_rate)]
    };
    let mut jobs = vec![];
    for (agents, answer_rate) in cells {
        for name in names {
            for seed in args.from..args.from + args.seeds {
                let population = Population {
                    answer_rate,
                    ..population.clone()
                };
                let hours = args.hours.unwrap_or_else(|| usual_hours(agents));
                let name = name.clone();
                jobs.push(center(name, population, agents, hours, seed, args));
            }
        }
    }
    jobs
}

/// The runs of cities that are tied together in one way or another.
fn meshes<'a>(args: &PacingArgs, population: &Population) -> anyhow::Result<Vec<Job<'a>>> {
    anyhow::ensure!(
        (1..=limits::POOL_NEIGHBOURS + 1).contains(&args.cities),
        "--cities is 1 to {}",
        limits::POOL_NEIGHBOURS + 1
    );
    anyhow::ensure!(args.state_age >= 0.0, "--state-age is in seconds");
    let hours = args.hours.unwrap_or(12.0);
    let mut ties = vec![];
    for reach in &args.reach {
        anyhow::ensure!(*reach > 0, "--reach counts the city itself: at least 1");
        ties.push(Tie {
            reach: (*reach).min(args.cities),
            state_age: Some(args.state_age),
            cut: false,
        });
    }
    if let Some(widest) = ties.last().copied() {
        ties.push(Tie {
            state_age: None,
            ..widest
        });
        ties.push(Tie {
            cut: true,
            ..widest
        });
    }
    let level = level(args.dial_level);
    let mut jobs = vec![];
    for tie in ties {
        for seed in args.from..args.from + args.seeds {
            let (population, cities, agents) = (population.clone(), args.cities, args.agents);
            jobs.push(Job {
                controller: tie.name(cities),
                agents: cities * agents,
                answer_rate: population.answer_rate,
                hours,
                seed,
                make: Box::new(move || {
                    simulate_mesh(&Mesh {
                        population: &population,
                        cities,
                        agents,
                        tie,
                        level,
                        warm_up: warm_up(hours).max(16.0),
                        hours,
                        seed,
                    })
                }),
            });
        }
    }
    Ok(jobs)
}

fn level(lines: f64) -> DialLevel {
    DialLevel((lines * 100.0).round() as u16)
}

fn warm_up(hours: f64) -> f64 {
    (hours / 3.0).max(8.0)
}

/// A controller by its name.
pub fn pacer(name: &str, population: &Population, level: f64) -> Option<Pacer> {
    let level = self::level(level);
    let product = |mode| Pacer::Product(pacing::controller(mode, level));
    let vicidial = |method, level| Pacer::Baseline(Box::new(Vicidial::new(method, level)));
    Some(match name {
        "progressive" => product(PacingMode::Progressive),
        "ratio" => product(PacingMode::Ratio),
        "predictive" => product(PacingMode::Predictive),
        "vicidial-ratio" => vicidial(Method::Ratio, 2.0),
        "vicidial-hard-limit" => vicidial(Method::HardLimit, 1.0),
        "vicidial-average" => vicidial(Method::Average, 1.0),
        "vicidial-tapered" => vicidial(Method::Tapered, 1.0),
        "issabel" => Pacer::Baseline(Box::new(Issabel::default())),
        "samuelson" => Pacer::Baseline(Box::new(Samuelson::default())),
        "clairvoyant" => Pacer::Clairvoyant(Clairvoyant::new(population)),
        _ => return None,
    })
}

fn names(asked: &[String]) -> anyhow::Result<Vec<String>> {
    if asked.iter().any(|name| name == "all") {
        return Ok(CONTROLLERS.map(str::to_owned).to_vec());
    }
    for name in asked {
        anyhow::ensure!(
            CONTROLLERS.contains(&name.as_str()),
            "there is no controller {name:?}; there are {}",
            CONTROLLERS.join(", ")
        );
    }
    Ok(asked.to_vec())
}

/// Long enough for intervals that say something: small teams need more hours.
fn usual_hours(agents: usize) -> f64 {
    match agents {
        0..=7 => 160.0,
        8..=15 => 120.0,
        16..=30 => 80.0,
        31..=70 => 40.0,
        71..=200 => 24.0,
        _ => 8.0,
    }
}

fn center<'a>(
    name: String,
    population: Population,
    agents: usize,
    hours: f64,
    seed: u64,
    args: &PacingArgs,
) -> Job<'a> {
    // Fixed ratios above one line an agent only abandon; two is what is commonly set.
    let level = match name.as_str() {
        "ratio" => args.dial_level.min(2.0),
        _ => args.dial_level,
    };
    let levers = Levers {
        target_permille: args.target,
        inbound_agents: args.inbound,
        ..Levers::default()
    };
    Job {
        controller: name.clone(),
        agents,
        answer_rate: population.answer_rate,
        hours,
        seed,
        make: Box::new(move || {
            let mut pacer = pacer(&name, &population, level).expect("names were checked");
            let setting = Setting {
                population: &population,
                agents,
                warm_up: warm_up(hours),
                hours,
                seed,
                levers,
            };
            Run {
                controller: name.clone(),
                ..simulate(&setting, &mut pacer)
            }
        }),
    }
}

/// One run in each of so many random populations.
fn random(args: &PacingArgs, names: &[String], n: u64) -> anyhow::Result<()> {
    let hours = args.hours.unwrap_or(30.0);
    let mut jobs = vec![];
    for name in names {
        for seed in args.from..args.from + n {
            let mut random = sansio::Seed::from_u64(seed).stream("population");
            let agents = 2 + random.below(30) as usize;
            let population = Population::random(&mut random, hours * 4.0 / 3.0);
            jobs.push(center(name.clone(), population, agents, hours, seed, args));
        }
    }
    let runs = jobs::all(&jobs, args.json, args.keep.as_deref())?;
    for name in names {
        let of = || runs.iter().filter(|run| run.controller == *name);
        let worst = of().max_by(|a, b| a.over_budget_calls.total_cmp(&b.over_budget_calls));
        let over = of().filter(|run| run.over_budget_calls > 1.0).count();
        if let Some(worst) = worst {
            println!(
                "{name}: {over} of {n} populations over budget by more than a call; worst {:.2} calls (seed {})",
                worst.over_budget_calls, worst.seed
            );
        }
    }
    Ok(())
}
