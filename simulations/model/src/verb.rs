//! `cargo simulate model`.

use crate::{Defect, Explored, SHAPES, Shape};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Visits every state of the lease and freshness protocols' models.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ModelArgs {
    /// Only this mistake, and how it breaks a rule, step by step
    #[arg(long, value_name = "NAME")]
    defect: Option<Defect>,
    /// Only the protocol without mistakes
    #[arg(long, conflicts_with = "defect")]
    clean: bool,
}

const EXAMPLES: &str = "Examples:
  model                               every state without mistakes, then every mistake
  model --clean                       every state, and what happens in some of them
  model --defect new-leader-expires   the shortest way in which this mistake breaks a rule

In what is printed, a member or number is the place that it has in a state, and states are kept in
an order of their own: the same one may have another place a step later.";

/// Prints what was asked for. True when no rule was broken, or by each mistake one that it may.
pub fn run(args: &ModelArgs) -> bool {
    if let Some(defect) = args.defect {
        return tell(defect);
    }
    println!(
        "{:<54}{:>10}{:>12}{:>7}{:>9}",
        "model", "states", "steps", "depth", "seconds"
    );
    let clean = each(&SHAPES, |shape| {
        let explored = shape.explore(None);
        print_clean(*shape, &explored);
        is_clean(&explored)
    });
    if args.clean {
        return clean;
    }
    println!(
        "\n{:<26}{:<10}{:>5}  {:<4}{:>10}",
        "mistake", "rule", "steps", "by", "states"
    );
    let found = each(Defect::ALL, |defect| {
        let explored = Shape::of(*defect).explore(Some(*defect));
        let (steps, by) = match &explored.broken {
            Some(broken) => (
                broken.steps.len().to_string(),
                format!("{:?}", broken.invariant),
            ),
            None => ("-".into(), "-".into()),
        };
        println!(
            "{defect:<26}{:<10}{steps:>5}  {by:<4}{:>10}",
            defect.rule(),
            explored.states
        );
        is_found(*defect, &explored)
    });
    clean && found
}

/// No rule is broken, and everything that should happen sometimes does.
fn is_clean(explored: &Explored) -> bool {
    explored.broken.is_none() && explored.sometimes.iter().all(|(_, steps)| steps.is_some())
}

fn is_found(defect: Defect, explored: &Explored) -> bool {
    (explored.broken.as_ref()).is_some_and(|broken| defect.seen_by().contains(&broken.invariant))
}

/// Two at a time; true if all are.
fn each<T: Sync>(all: &[T], fine: impl Fn(&T) -> bool + Sync) -> bool {
    let next = AtomicUsize::new(0);
    let every = Mutex::new(true);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let is_fine = fine(one);
                    *(every.lock()).expect("no worker panics with it in hand") &= is_fine;
                }
            });
        }
    });
    every
        .into_inner()
        .expect("no worker panics with it in hand")
}

fn print_clean(shape: Shape, explored: &Explored) {
    let mut text = format!(
        "{shape:<54}{:>10}{:>12}{:>7}{:>9.1}\n",
        explored.states,
        explored.steps,
        explored.depth,
        explored.took.as_secs_f64()
    );
    for (what, steps) in &explored.sometimes {
        text += &match steps {
            Some(steps) => format!("  {steps:>3}  {what}\n"),
            None => format!("    -  {what}  <- never\n"),
        };
    }
    if let Some(broken) = &explored.broken {
        text += &format!(
            "  {:?} IS BROKEN: {}\n",
            broken.invariant,
            broken.steps.join(", ")
        );
    }
    print!("{text}");
}

fn tell(defect: Defect) -> bool {
    println!("{}\nin {}", defect.breaks().trim(), Shape::of(defect));
    let explored = Shape::of(defect).explore(Some(defect));
    match &explored.broken {
        Some(broken) => {
            for (place, step) in (1..).zip(&broken.steps) {
                println!("{place:>3}  {step}");
            }
            println!("{:?} is broken", broken.invariant);
        }
        None => println!("no rule is broken in {} states", explored.states),
    }
    is_found(defect, &explored)
}
