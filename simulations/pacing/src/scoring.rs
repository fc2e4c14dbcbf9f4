//! The lead score against a table of leads whose results are known: how well it ranks, and whether
//! its chances are what happened.

use crate::population::unit;
use ::scoring::{FEATURES, Features, Learning, Model, Reliability, ranking};
use anyhow::Context as _;
use sansio::Seed;
use std::path::PathBuf;

/// Measures the lead score on a file of leads with known results.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ScoringArgs {
    /// Leads with a header line, fields parted by commas, without quotes.
    pub file: PathBuf,
    /// The field that says what became of the lead.
    #[arg(long, default_value = "y")]
    pub result: String,
    /// Its value for a lead that came to something.
    #[arg(long, default_value = "yes")]
    pub positive: String,
    /// Fields that the score may not see, with commas: those known only afterwards, and a person's
    /// protected attributes.
    #[arg(long, value_delimiter = ',')]
    pub leave_out: Vec<String>,
    /// Fields that are also looked at together, as `month:contact`, with commas.
    #[arg(long, value_delimiter = ',')]
    pub pairs: Vec<String>,
    /// How often all leads are shuffled and parted anew.
    #[arg(long, default_value_t = 20)]
    pub rounds: u64,
    /// Parts: each is scored by a model that learned from the others.
    #[arg(long, default_value_t = 5)]
    pub parts: usize,
    /// How often a model learns from each lead; one pass is what a node does.
    #[arg(long, default_value_t = 1)]
    pub passes: u32,
}

const EXAMPLES: &str = "Examples:
  scoring bank.csv --leave-out id,duration
  scoring bank.csv --leave-out id,duration,age,marital --pairs month:contact,poutcome:pdays";

/// Steps that a field of numbers is cut into, at most.
const STEPS: usize = 20;

/// A field of the file.
enum Field {
    Words,
    /// Edges of its steps.
    Numbers(Vec<f64>),
}

/// A file's leads, as a model sees them.
struct Leads {
    features: Vec<(Features, bool)>,
}

/// Measures and prints.
pub fn score(args: &ScoringArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.parts >= 2, "--parts must be at least 2");
    anyhow::ensure!(args.rounds > 0, "--rounds must be above zero");
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("{} cannot be read", args.file.display()))?;
    let leads = Leads::of(&text, args)?;
    anyhow::ensure!(leads.features.len() >= 2 * args.parts, "too few leads");
    let mut measured = Measured::default();
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..leads.features.len()).collect();
        let mut random = Seed::from_u64(round).stream("leads");
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at as u32 + 1) as usize);
        }
        let (mut reliability, mut perfect) = (Reliability::default(), Reliability::default());
        for part in 0..args.parts {
            let mut model = Model::new(Learning::default());
            let inside = |at: &usize| *at % args.parts == part;
            for _ in 0..args.passes {
                for at in (0..order.len()).filter(|at| !inside(at)) {
                    let (features, outcome) = &leads.features[order[at]];
                    model.learn(features, *outcome);
                }
            }
            let scored: Vec<(f32, bool)> = (0..order.len())
                .filter(inside)
                .map(|at| {
                    let (features, outcome) = &leads.features[order[at]];
                    (model.chance(features), *outcome)
                })
                .collect();
            for (chance, outcome) in &scored {
                reliability.note(*chance, *outcome);
                measured.all.note(*chance, *outcome);
                perfect.note(*chance, unit(random.next_u64()) < f64::from(*chance));
            }
            measured.areas.push(ranking(&scored));
        }
        measured.errors.push(reliability.error());
        measured.perfect.push(perfect.error());
    }
    print(&leads, &measured);
    Ok(())
}

/// What came out.
#[derive(Default)]
struct Measured {
    /// The area under the ROC curve of each part.
    areas: Vec<f64>,
    /// The calibration error of each round, in which each lead is scored once.
    errors: Vec<f64>,
    /// What it would be if each chance were exactly right: chance alone.
    perfect: Vec<f64>,
    all: Reliability,
}

fn print(leads: &Leads, measured: &Measured) {
    let positive = (leads.features.iter()).filter(|(_, outcome)| *outcome);
    let interval = |values: &[f64]| {
        let of = crate::Interval::of(values);
        format!("{:.4} ±{:.4}", of.mean, of.half.unwrap_or(0.0))
    };
    println!(
        "{} leads, {} came to something; AUC {} over {} parts",
        leads.features.len(),
        positive.count(),
        interval(&measured.areas),
        measured.areas.len(),
    );
    println!(
        "calibration error {:.4} over all rounds together; {} a round, the worst {:.4}; {} if every chance were right",
        measured.all.error(),
        interval(&measured.errors),
        measured.errors.iter().copied().fold(0.0, f64::max),
        interval(&measured.perfect),
    );
    println!("   leads  promised  happened");
    for (count, promised, happened) in measured.all.steps() {
        println!("{count:8} {promised:9.3} {happened:9.3}");
    }
}

impl Leads {
    fn of(text: &str, args: &ScoringArgs) -> anyhow::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let head: Vec<&str> = lines
            .next()
            .context("the file is empty")?
            .split(',')
            .collect();
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        if let Some(row) = rows.iter().position(|row| row.len() != head.len()) {
            let (at, fields) = (row + 2, head.len());
            anyhow::bail!(
                "line {at} has not {fields} fields; fields with commas are not understood"
            );
        }
        let place = |name: &str| {
            (head.iter().position(|field| *field == name)).with_context(|| {
                format!("there is no field {name:?}; there are {}", head.join(", "))
            })
        };
        let result = place(&args.result)?;
        for name in &args.leave_out {
            place(name)?;
        }
        let seen: Vec<usize> = (0..head.len())
            .filter(|at| *at != result && !args.leave_out.iter().any(|name| name == head[*at]))
            .collect();
        let mut pairs = vec![];
        for pair in &args.pairs {
            let (a, b) = (pair.split_once(':')).context("a pair is two fields: month:contact")?;
            let at = |name: &str| -> anyhow::Result<usize> {
                let field = place(name)?;
                let at = seen.iter().position(|seen| *seen == field);
                // The first feature is what all leads have in common.
                Ok(at.with_context(|| format!("{name:?} is left out"))? + 1)
            };
            pairs.push((at(a)?, at(b)?));
        }
        anyhow::ensure!(
            seen.len() + pairs.len() < FEATURES,
            "at most {} fields and pairs",
            FEATURES - 1
        );
        let fields: Vec<Field> = seen.iter().map(|at| Field::of(&rows, *at)).collect();
        let features = rows.iter().map(|row| {
            let mut lead = Features::new();
            for (at, field) in seen.iter().zip(&fields) {
                match field {
                    Field::Words => lead.word(head[*at], row[*at]),
                    Field::Numbers(edges) => {
                        lead.number(head[*at], row[*at].parse().unwrap_or(f64::NAN), edges);
                    }
                }
            }
            for (a, b) in &pairs {
                lead.together(*a, *b);
            }
            (lead, row[result] == args.positive)
        });
        Ok(Self {
            features: features.collect(),
        })
    }
}

impl Field {
    /// Numbers are cut into steps of about as many leads each; a value that many leads share has a
    /// step of its own. No result is looked at.
    fn of(rows: &[Vec<&str>], at: usize) -> Self {
        let parsed: Result<Vec<f64>, _> = rows.iter().map(|row| row[at].parse()).collect();
        let Ok(mut values) = parsed else {
            return Self::Words;
        };
        values.sort_by(f64::total_cmp);
        let mut edges = vec![];
        let mut rest = &values[..];
        while edges.len() < STEPS && rest.len() > 1 {
            let many = rest.len().div_ceil(STEPS - edges.len());
            let edge = rest[many - 1];
            edges.push(edge);
            rest = &rest[rest.partition_point(|value| *value <= edge)..];
        }
        edges.pop();
        Self::Numbers(edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ScoringArgs {
        ScoringArgs {
            file: PathBuf::new(),
            result: "y".to_owned(),
            positive: "yes".to_owned(),
            leave_out: vec!["id".to_owned()],
            pairs: vec!["a:b".to_owned()],
            rounds: 1,
            parts: 2,
            passes: 1,
        }
    }

    #[test]
    fn files_are_read() {
        let leads = Leads::of("id,a,b,y\n1,x,3,yes\n2,x,4,no\n3,z,-1,no\n", &args()).unwrap();
        assert_eq!(leads.features.len(), 3);
        assert_eq!(leads.features[0].0.places().len(), 4);
        assert!(leads.features[0].1 && !leads.features[1].1);
        for (text, why) in [
            ("", "empty"),
            ("id,a,b\n1,2,3\n", "no field \"y\""),
            ("id,a,b,y\n1,2,3\n", "line 2"),
            ("a,b,y\n1,2,no\n", "no field \"id\""),
        ] {
            let error = Leads::of(text, &args()).err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_value_of_many_has_a_step_of_its_own() {
        let rows: Vec<Vec<&str>> = (0..100)
            .map(|n| vec![["-1", "5", "6", "7"][if n < 90 { 0 } else { n % 3 + 1 }]])
            .collect();
        let Field::Numbers(edges) = Field::of(&rows, 0) else {
            panic!("numbers are numbers");
        };
        assert_eq!(edges, [-1.0, 5.0, 6.0]);
    }
}
