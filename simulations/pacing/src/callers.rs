//! Which caller ID to show, in worlds where numbers that are shown too often are labelled: the
//! product's choice beside others.

use crate::{
    Interval,
    population::{normals, unit},
};
use anyhow::Context as _;
use domain::{CallerIdCaps, PhoneNumber, TrunkId};
use numbering::{
    CallerIdFacts, Locality, Review, Route, Standing, choose_caller_id, locality, review,
};
use sansio::{Seed, Stream};
use serde::Serialize;
use std::{fmt::Write as _, path::PathBuf};

/// Measures the choice of caller IDs in synthetic worlds.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CallersArgs {
    /// How many seeds; each is a city of its own, in which every choice is tried.
    #[arg(long, default_value_t = 100)]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
    /// Days.
    #[arg(long, default_value_t = 60)]
    pub days: u32,
    /// Lines of a city each day.
    #[arg(long, default_value_t = 600)]
    pub lines: u32,
    /// Lines a day that our choice takes for what a number bears.
    #[arg(long, default_value_t = 75)]
    pub quota: u32,
    /// One JSON line for each run instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Answers by choice as an SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  callers                       every choice in the mild, the harsh and the slack world
  callers --lines 300           half as many lines for the same numbers
  callers --quota 60 --json     a lower quota, a JSON line a run";

/// A world: how many numbers a city has, and how fast a number that is shown 100 times a day is
/// labelled, as a share a day; it goes with the square of the lines.
struct World {
    name: &'static str,
    numbers: usize,
    hazard: f64,
}

const WORLDS: [World; 3] = [
    World {
        name: "mild",
        numbers: 6,
        hazard: 0.02,
    },
    World {
        name: "harsh",
        numbers: 6,
        hazard: 0.04,
    },
    World {
        name: "slack",
        numbers: 12,
        hazard: 0.04,
    },
];

/// A label multiplies the chance of an answer by so much.
const LABEL: f64 = 0.55;
/// So does a number of another place.
const FAR: f64 = 0.78;
/// Labels end at that share a day: of numbers that are hardly shown, and of others.
const ENDS: (f64, f64) = (1.0 / 7.0, 1.0 / 21.0);
const HARDLY: u32 = 10;
/// Who answers a number that nobody labelled: logarithm of the odds, how persons differ in it, and how
/// numbers differ (of the logarithm of the chance).
const PERSONS: (f64, f64) = (-1.35, 0.5);
const NUMBERS: f64 = 0.2;
/// How far what is expected of a person is off (of its logarithm).
const GUESS: f64 = 0.2;

/// How a number is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Any of the mesh's, by chance.
    Far,
    /// Any of the city's, by chance.
    Random,
    /// What a node does: the least used.
    Least,
    /// What a node does with its usual cap on a number's day: beyond it nobody is called.
    Capped,
    /// A plain bandit: the highest draw from each number's answers (Thompson sampling).
    Bandit,
    /// The same, of which half is forgotten after four days.
    Forgetting,
    /// The least used by worth, with rests.
    Ours,
    /// The least used of those without a label, by one who knows them.
    Knowing,
}

const CHOICES: [(Choice, &str); 8] = [
    (Choice::Far, "random, any city's"),
    (Choice::Random, "random local"),
    (Choice::Least, "least used local"),
    (Choice::Capped, "least used, 75 a day"),
    (Choice::Bandit, "bandit"),
    (Choice::Forgetting, "bandit that forgets"),
    (Choice::Ours, "ours"),
    (Choice::Knowing, "knows the labels"),
];

/// What one choice came to in one city.
#[derive(Clone, Debug, Serialize)]
struct Run {
    world: &'static str,
    choice: &'static str,
    seed: u64,
    lines: u64,
    answers: u64,
    /// Days of numbers, and those with a label.
    number_days: u64,
    labelled: u64,
    /// Days on which our choice asked for more numbers.
    buy_days: u64,
    days: u32,
}

struct Number {
    quality: f64,
    labelled: bool,
    today: u32,
    /// The bandit's: answers and lines, forgetting.
    seen: (f64, f64),
    standing: Standing,
}

struct City<'a> {
    args: &'a CallersArgs,
    world: &'a World,
    choice: Choice,
    numbers: Vec<Number>,
    facts: Vec<CallerIdFacts>,
    called: Locality,
    /// Answers and those expected: how far the expectation is off, whatever the number.
    level: (f64, f64),
    random: Stream,
}

impl<'a> City<'a> {
    fn new(
        args: &'a CallersArgs,
        world: &'a World,
        choice: Choice,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let seed = Seed::from_u64(seed);
        let mut random = seed.stream("numbers");
        let route = Route {
            trunk: TrunkId(1),
            rank: 0,
            weight: 1,
        };
        let caps = CallerIdCaps {
            per_day: if choice == Choice::Capped { 75 } else { 200 },
            per_hour: u32::MAX,
        };
        let (mut numbers, mut facts) = (vec![], vec![]);
        for n in 0..world.numbers {
            let number = PhoneNumber::from_digits(14_155_550_100 + n as u64).context("a number")?;
            facts.push(CallerIdFacts::new(number, caps, route));
            let (a, b) = (random.next_u64(), random.next_u64());
            numbers.push(Number {
                quality: (NUMBERS * normals(a, b).0).exp(),
                labelled: false,
                today: 0,
                seen: (1.0, 5.0),
                standing: Standing::default(),
            });
        }
        Ok(Self {
            args,
            world,
            choice,
            numbers,
            facts,
            called: locality(PhoneNumber::from_digits(14_155_550_199).context("a number")?),
            level: (50.0, 50.0),
            random: seed.stream("calls"),
        })
    }

    fn unit(&mut self) -> f64 {
        unit(self.random.next_u64())
    }

    fn normal(&mut self) -> f64 {
        let (a, b) = (self.random.next_u64(), self.random.next_u64());
        normals(a, b).0
    }

    fn pick(&mut self) -> Option<usize> {
        match self.choice {
            Choice::Far | Choice::Random => {
                Some(self.random.below(self.numbers.len() as u32) as usize)
            }
            Choice::Bandit | Choice::Forgetting => {
                let mut best = (f64::MIN, 0);
                for at in 0..self.numbers.len() {
                    let (answers, lines) = self.numbers[at].seen;
                    let share = answers / lines;
                    let sd = (share * (1.0 - share) / (lines + 1.0)).sqrt();
                    let draw = share + sd * self.normal();
                    if draw > best.0 {
                        best = (draw, at);
                    }
                }
                Some(best.1)
            }
            Choice::Least | Choice::Capped | Choice::Ours | Choice::Knowing => {
                let free = self.numbers.iter().any(|number| !number.labelled);
                for (facts, number) in self.facts.iter_mut().zip(&self.numbers) {
                    facts.used_today = number.today;
                    facts.resting = match self.choice {
                        Choice::Ours => number.standing.resting(),
                        Choice::Knowing => number.labelled && free,
                        _ => false,
                    };
                    facts.worth = match self.choice {
                        Choice::Ours => number.standing.worth(),
                        _ => 1000,
                    };
                }
                choose_caller_id(&self.facts, &self.called, false, &mut self.random)
                    .map(|choice| choice.index)
            }
        }
    }

    /// One line; whether it went out, and whether it was answered.
    fn line(&mut self) -> Option<bool> {
        let odds = PERSONS.0 + PERSONS.1 * self.normal();
        let usual = 1.0 / (1.0 + (-odds).exp());
        let guess = usual * (GUESS * self.normal() - GUESS * GUESS / 2.0).exp();
        let at = self.pick()?;
        let number = &self.numbers[at];
        let far = if self.choice == Choice::Far { FAR } else { 1.0 };
        let label = if number.labelled { LABEL } else { 1.0 };
        let chance = (usual * number.quality * label * far).min(0.98);
        let answered = self.unit() < chance;
        let expected = guess * self.level.0 / self.level.1;
        let happened = f64::from(u8::from(answered));
        self.level.0 += happened;
        self.level.1 += guess;
        let number = &mut self.numbers[at];
        number.today += 1;
        number.seen.0 += happened;
        number.seen.1 += 1.0;
        number.standing.note(expected as f32, answered);
        Some(answered)
    }

    /// Labels come and go, and our choice looks at its numbers.
    fn night(&mut self) -> Review {
        for at in 0..self.numbers.len() {
            let draw = self.unit();
            let number = &mut self.numbers[at];
            let load = f64::from(number.today) / 100.0;
            let ends = if number.today <= HARDLY {
                ENDS.0
            } else {
                ENDS.1
            };
            number.labelled = match number.labelled {
                true => draw >= ends,
                false => draw < self.world.hazard * load * load,
            };
            number.today = 0;
            if self.choice == Choice::Forgetting {
                number.seen = (number.seen.0 * 0.84, number.seen.1 * 0.84);
            }
        }
        self.level = (self.level.0 * 0.84, self.level.1 * 0.84);
        let mut pool: Vec<&mut Standing> =
            (self.numbers.iter_mut().map(|number| &mut number.standing)).collect();
        review(&mut pool, self.args.quota)
    }
}

fn run(
    args: &CallersArgs,
    world: &World,
    (choice, name): (Choice, &'static str),
    seed: u64,
) -> anyhow::Result<Run> {
    let mut city = City::new(args, world, choice, seed)?;
    let mut run = Run {
        world: world.name,
        choice: name,
        seed,
        lines: 0,
        answers: 0,
        number_days: 0,
        labelled: 0,
        buy_days: 0,
        days: args.days,
    };
    for _ in 0..args.days {
        for _ in 0..args.lines {
            if let Some(answered) = city.line() {
                run.lines += 1;
                run.answers += u64::from(answered);
            }
        }
        run.number_days += city.numbers.len() as u64;
        run.labelled += city.numbers.iter().filter(|n| n.labelled).count() as u64;
        run.buy_days += u64::from(city.night().buy());
    }
    Ok(run)
}

/// Runs what was asked and prints it.
pub fn callers(args: &CallersArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.seeds > 0, "--seeds must be above zero");
    anyhow::ensure!(
        (1..=3_650).contains(&args.days) && (1..=100_000).contains(&args.lines),
        "--days is from 1 to 3,650, --lines from 1 to 100,000"
    );
    anyhow::ensure!(args.quota > 0, "--quota must be above zero");
    let runs = runs(args)?;
    if args.json {
        for run in &runs {
            println!("{}", serde_json::json!(run));
        }
    } else {
        print!("{}", table(&runs));
    }
    if let Some(path) = &args.plot {
        let gains: Vec<_> = (rows(&runs).into_iter())
            .map(|row| (format!("{}: {}", row.world, row.choice), row.gain))
            .collect();
        std::fs::write(
            path,
            crate::report::bars("answers a line beside random local", &gains),
        )
        .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn runs(args: &CallersArgs) -> anyhow::Result<Vec<Run>> {
    let mut all = vec![];
    for world in &WORLDS {
        for choice in CHOICES {
            for seed in args.from..args.from + args.seeds {
                all.push(run(args, world, choice, seed)?);
            }
        }
    }
    Ok(all)
}

struct Row {
    world: &'static str,
    choice: &'static str,
    share: Interval,
    /// Beside random local numbers in the same cities, as a fraction.
    gain: Interval,
    labelled: f64,
    lines_a_day: f64,
    answers_a_day: f64,
    buy: f64,
}

fn rows(runs: &[Run]) -> Vec<Row> {
    let mut rows = vec![];
    for world in &WORLDS {
        let of = |name: &str| -> Vec<&Run> {
            (runs.iter())
                .filter(|run| run.world == world.name && run.choice == name)
                .collect()
        };
        let share = |run: &Run| run.answers as f64 / run.lines.max(1) as f64;
        let random = of("random local");
        for (_, name) in CHOICES {
            let mine = of(name);
            let gains: Vec<f64> = (mine.iter().zip(&random))
                .map(|(run, other)| share(run) / share(other) - 1.0)
                .collect();
            let values = |of: &dyn Fn(&Run) -> f64| -> Interval {
                Interval::of(&mine.iter().map(|run| of(run)).collect::<Vec<f64>>())
            };
            let a_day = |count: u64, run: &Run| count as f64 / f64::from(run.days);
            rows.push(Row {
                world: world.name,
                choice: name,
                share: values(&share),
                gain: Interval::of(&gains),
                labelled: values(&|run| run.labelled as f64 / run.number_days as f64).mean,
                lines_a_day: values(&|run| a_day(run.lines, run)).mean,
                answers_a_day: values(&|run| a_day(run.answers, run)).mean,
                buy: values(&|run| a_day(run.buy_days, run)).mean,
            });
        }
    }
    rows
}

fn table(runs: &[Run]) -> String {
    let mut text = String::from(
        "world choice                answers a line  beside random local  labelled  lines/day answers/day  buy\n",
    );
    for row in rows(runs) {
        let half = |of: Interval| of.half.unwrap_or(0.0) * 100.0;
        let buy = match row.choice {
            "ours" => format!("{:3.0} %", row.buy * 100.0),
            _ => String::new(),
        };
        let line = format!(
            "{:5} {:20} {:>15} {:>20} {:7.1} % {:10.0} {:11.1} {buy:>5}",
            row.world,
            row.choice,
            format!("{:.2} ±{:.2} %", row.share.mean * 100.0, half(row.share)),
            format!("{:+.1} ±{:.1} %", row.gain.mean * 100.0, half(row.gain)),
            row.labelled * 100.0,
            row.lines_a_day,
            row.answers_a_day,
        );
        writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four cities of 20 days: too few to judge a choice by, enough to see that one changed.
    #[test]
    fn a_small_table() {
        let args = CallersArgs {
            seeds: 4,
            from: 1,
            days: 20,
            lines: 600,
            quota: 75,
            json: false,
            plot: None,
        };
        insta::assert_snapshot!(table(&runs(&args).unwrap()));
    }
}
