//! What must hold in every run.

use domain::DialLevel;
use pacing::Levers;
use pacing_sim::{
    Mesh, Pacer, Population, Run, Setting, Spell, Spread, Tie, Trouble, WalkOut, pacer, simulate,
    simulate_mesh,
};
use sansio::Seed;

fn run(name: &str, population: &Population, agents: usize, hours: f64, seed: u64) -> Run {
    let mut pacer: Pacer = pacer(name, population, 10.0).expect("a known name");
    let setting = Setting {
        population,
        agents,
        warm_up: 4.0,
        hours,
        seed,
        levers: Levers::default(),
    };
    simulate(&setting, &mut pacer)
}

#[test]
fn equal_seeds_give_equal_runs() {
    let population = Population::default();
    for name in pacing_sim::CONTROLLERS {
        let text = |seed| format!("{:?}", run(name, &population, 6, 2.0, seed));
        assert_eq!(text(7), text(7), "{name}");
        assert_ne!(text(7), text(8), "{name}");
    }
}

#[test]
fn one_line_an_agent_abandons_nobody() {
    let run = run("progressive", &Population::default(), 10, 8.0, 1);
    assert_eq!(run.abandonment_whole, 0.0);
    // 12 s for an answer of each three and a third lines, 25 s for the others: some 59 %.
    assert!((0.55..0.63).contains(&run.utilisation), "{run:?}");
}

#[test]
fn predictive_wins_a_fifth_within_the_budget() {
    let population = Population::default();
    let one = run("progressive", &population, 10, 24.0, 3);
    let ahead = run("predictive", &population, 10, 24.0, 3);
    assert!(
        ahead.utilisation > one.utilisation + 0.15,
        "{one:?} {ahead:?}"
    );
    assert!(ahead.over_budget_calls <= 1.0, "{ahead:?}");
    assert!(ahead.abandonment_whole <= 0.0301, "{ahead:?}");
}

#[test]
fn what_the_first_hours_saved_is_not_spent_in_those_that_count() {
    let population = Population::default();
    for (agents, seed) in [(20, 1), (100, 2)] {
        let run = run("predictive", &population, agents, 16.0, seed);
        // The window has more left than at the begin; the hours that count kept to their share.
        assert!(run.abandonment <= 0.0305, "{run:?}");
        assert!(run.abandonment_whole < run.abandonment, "{run:?}");
    }
}

#[test]
fn a_lower_target_is_kept_and_agents_left_to_inbound_calls_wait_for_them() {
    let population = Population::default();
    let with = |levers| {
        let setting = Setting {
            population: &population,
            agents: 20,
            warm_up: 6.0,
            hours: 12.0,
            seed: 4,
            levers,
        };
        let mut pacer = pacer("predictive", &population, 10.0).expect("a known name");
        simulate(&setting, &mut pacer)
    };
    let plain = with(Levers::default());
    let careful = with(Levers {
        target_permille: Some(15),
        ..Levers::default()
    });
    assert!(
        (0.010..0.0155).contains(&careful.abandonment),
        "{careful:?}"
    );
    assert!(
        careful.utilisation > plain.utilisation - 0.04,
        "{careful:?}"
    );
    let spared = with(Levers {
        inbound_agents: 4,
        ..Levers::default()
    });
    // Four of twenty wait on the mean, or nearly.
    let waiting = plain.utilisation - spared.utilisation;
    assert!((0.08..0.25).contains(&waiting), "{plain:?} {spared:?}");
    assert!(spared.over_budget_calls <= 1.0, "{spared:?}");
}

#[test]
fn no_random_population_passes_its_budget_by_more_than_a_call() {
    for seed in 0..24u64 {
        let mut random = Seed::from_u64(seed).stream("population");
        let agents = 2 + random.below(20) as usize;
        let population = Population::random(&mut random, 8.0);
        let run = run("predictive", &population, agents, 4.0, seed);
        assert!(run.over_budget_calls <= 1.0, "{run:?} {population:?}");
    }
}

/// What `--random 1 --from SEED --hours HOURS` runs.
fn random(seed: u64, hours: f64) -> Run {
    let mut random = Seed::from_u64(seed).stream("population");
    let agents = 2 + random.below(30) as usize;
    let population = Population::random(&mut random, hours * 4.0 / 3.0);
    let setting = Setting {
        population: &population,
        agents,
        warm_up: 8.0,
        hours,
        seed,
        levers: Levers::default(),
    };
    let mut pacer = pacer("predictive", &population, 10.0).expect("a known name");
    simulate(&setting, &mut pacer)
}

#[test]
fn agents_who_leave_before_anything_was_earned_take_their_lines_along() {
    // Seventeen of 22 agents walk out after five minutes, with a line ringing for each of them and
    // nothing in the budget yet.
    let run = random(551, 5.0);
    assert!(run.over_budget_calls <= 1.0, "{run:?}");
}

#[test]
fn all_agents_leaving_in_the_middle_of_it_is_survived() {
    let population = Population {
        walk_outs: (5..12)
            .map(|hour| WalkOut {
                at_hours: f64::from(hour),
                share: 1.0,
                minutes: 10.0,
            })
            .collect(),
        ..Population::default()
    };
    for (agents, seed) in [(5, 1), (20, 2), (50, 3)] {
        let run = run("predictive", &population, agents, 8.0, seed);
        assert!(run.over_budget_calls <= 1.0, "{run:?}");
        assert!(run.utilisation > 0.6, "{run:?}");
    }
}

#[test]
fn a_silent_carrier_does_not_end_in_a_flood() {
    let spell = |kind, at_hours| Spell {
        kind,
        at_hours,
        minutes: 15.0,
    };
    let population = Population {
        spells: vec![spell(Trouble::Silence, 6.0), spell(Trouble::Outage, 8.0)],
        ..Population::default()
    };
    for seed in 1..4 {
        let run = run("predictive", &population, 20, 8.0, seed);
        assert!(run.over_budget_calls <= 1.0, "{run:?}");
    }
}

#[test]
fn machines_are_learned_and_cost_no_budget() {
    let population = Population {
        machine_share: 0.4,
        screening: 2.0,
        talk: Spread::lognormal(60.0, 1.0),
        ..Population::default()
    };
    let run = run("predictive", &population, 10, 12.0, 5);
    assert!(
        run.over_budget_calls <= 1.0 && run.utilisation > 0.6,
        "{run:?}"
    );
}

/// Six cities of six agents that are tied together in this way.
fn mesh(population: &Population, tie: Tie, seed: u64) -> Run {
    simulate_mesh(&Mesh {
        population,
        cities: 6,
        agents: 6,
        tie,
        level: DialLevel(1000),
        warm_up: 8.0,
        hours: 4.0,
        seed,
    })
}

#[test]
fn cities_that_lend_each_other_agents_win_within_the_budget() {
    let population = Population::default();
    let tied = |reach| Tie {
        reach,
        state_age: Some(1.0),
        cut: false,
    };
    let alone = mesh(&population, tied(1), 2);
    let some = mesh(&population, tied(3), 2);
    let all = mesh(&population, tied(6), 2);
    assert!(
        some.utilisation > alone.utilisation + 0.04,
        "{alone:?} {some:?}"
    );
    assert!(
        all.utilisation > some.utilisation + 0.02,
        "{some:?} {all:?}"
    );
    for run in [alone, some, all] {
        assert!(run.over_budget_calls <= 1.0, "{run:?}");
    }
}

#[test]
fn cities_without_word_of_each_other_stay_within_the_budget() {
    let population = Population {
        walk_outs: (9..12)
            .map(|hour| WalkOut {
                at_hours: f64::from(hour),
                share: 0.7,
                minutes: 10.0,
            })
            .collect(),
        ..Population::default()
    };
    for (seed, state_age, cut) in [(1, None, false), (2, Some(1.0), true), (3, Some(9.0), true)] {
        let tie = Tie {
            reach: 6,
            state_age,
            cut,
        };
        let run = mesh(&population, tie, seed);
        assert!(run.over_budget_calls <= 1.0, "{run:?}");
    }
}
