use super::*;
use crate::Removal;
use domain::{ClearanceFact, DncPattern, Freeze, Prefix, Target};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn pattern(text: &str) -> DncPattern {
    DncPattern {
        prefix: prefix(text),
        source: DncSource::Admin,
        reason: "premium rate".into(),
        added_at: wall(0),
    }
}

fn patterns(add: Vec<DncPattern>, remove: Vec<(&str, u64)>) -> Change {
    let removal = |(text, index)| Removal {
        key: prefix(text),
        index,
    };
    Change::ChangePatterns {
        add,
        remove: remove.into_iter().map(removal).collect(),
        reason: "a test".into(),
    }
}

fn freeze(target: Target, secs: u64) -> Freeze {
    Freeze {
        target,
        until: wall(secs),
        reason: "asked to wait".into(),
        source: "complaints".into(),
        frozen_at: wall(0),
    }
}

fn freezes(add: Vec<Freeze>, lift: Vec<(Target, u64)>) -> Change {
    let removal = |(key, index)| Removal { key, index };
    Change::ChangeFreezes {
        add,
        lift: lift.into_iter().map(removal).collect(),
        reason: "a test".into(),
    }
}

fn told(world: &World) -> Vec<ClearanceFact> {
    match world.events.last() {
        Some(DirectoryEvent::Changed { facts, .. }) => match facts.as_slice() {
            [Fact::Clearance(told)] => told.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn counts(reply: DirectoryReply) -> (u32, u32, u32) {
    match reply {
        DirectoryReply::Clearance {
            added,
            removed,
            kept,
            ..
        } => (added, removed, kept),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pattern_comes_goes_and_wins_over_an_older_removal() {
    let mut world = World::new();
    assert_eq!(
        counts(world.ok(patterns(vec![pattern("+1900"), pattern("+1976")], vec![]))),
        (2, 0, 0)
    );
    let first = world.index;
    assert_eq!(world.directory.dnc_index(), first);
    assert_eq!(
        told(&world),
        [
            ClearanceFact::Pattern(prefix("+1900"), true),
            ClearanceFact::Pattern(prefix("+1976"), true)
        ]
    );
    // Said again since: the removal decided before leaves it.
    world.ok(patterns(vec![pattern("+1900")], vec![]));
    let again = world.index;
    assert_eq!(
        counts(world.ok(patterns(vec![], vec![("+1900", first)]))),
        (0, 0, 1)
    );
    // In one batch adding wins.
    let both = patterns(vec![pattern("+1900")], vec![("+1900", again)]);
    assert_eq!(counts(world.ok(both)), (0, 0, 1));
    let now = world.index;
    assert_eq!(
        counts(world.ok(patterns(vec![], vec![("+1900", now)]))),
        (0, 1, 0)
    );
    assert_eq!(
        told(&world),
        [ClearanceFact::Pattern(prefix("+1900"), false)]
    );
    assert_eq!(world.directory.facts().clearance.len(), 1);
    assert!(world.directory.dnc_pattern(prefix("+1976")).is_some());
    // What is refused.
    let silent = Change::ChangePatterns {
        add: Vec::new(),
        remove: vec![Removal {
            key: prefix("+1976"),
            index: first,
        }],
        reason: " ".into(),
    };
    assert_eq!(world.no(silent).field, "reason");
    let nameless = DncPattern {
        reason: String::new(),
        ..pattern("+7")
    };
    assert_eq!(
        world.no(patterns(vec![nameless], vec![])).field,
        "add.reason"
    );
}

#[test]
fn patterns_have_a_bound() {
    let mut world = World::new();
    let mut left = (100_000..).map(|n| pattern(&n.to_string()));
    let mut batch = |n: usize| patterns(left.by_ref().take(n).collect(), vec![]);
    let over = world.no(batch(limits::DNC_BATCH + 1));
    assert_eq!(over.limit, Some(limits::DNC_BATCH as u64));
    for _ in 0..limits::DNC_PATTERNS / limits::DNC_BATCH {
        world.ok(batch(limits::DNC_BATCH));
    }
    let over = world.no(batch(1));
    assert_eq!(
        (over.field.as_str(), over.limit),
        ("patterns", Some(limits::DNC_PATTERNS as u64))
    );
    // What is there may still be renewed.
    let known = world.directory.dnc_patterns().next().unwrap().0.clone();
    world.ok(patterns(vec![known], vec![]));
}

#[test]
fn a_freeze_has_an_end_and_is_forgotten_after_it() {
    let mut world = World::new();
    let one = Target::Number(number(1));
    let area = Target::Prefix(prefix("+1415"));
    world.ok(freezes(vec![freeze(one, 60), freeze(area, 120)], vec![]));
    let first = world.index;
    assert_eq!(
        told(&world),
        [
            ClearanceFact::Freeze(one, Some(wall(60))),
            ClearanceFact::Freeze(area, Some(wall(120)))
        ]
    );
    // Moved: only the later word counts, also for when it is forgotten.
    world.ok(freezes(vec![freeze(one, 600)], vec![]));
    assert_eq!(
        counts(world.ok(freezes(vec![], vec![(one, first)]))),
        (0, 0, 1)
    );
    let mut later = |secs: u64| {
        world.index += 1;
        let context = ApplyContext {
            index: world.index,
            wall: wall(secs) + limits::FREEZE_KEPT,
        };
        let change = patterns(vec![], vec![]);
        (world.directory).apply(context, change.into(), &mut world.events);
        let copy = Directory::restore(&world.directory.snapshot()).unwrap();
        assert!(copy == world.directory, "a restored copy differs");
        world
            .directory
            .freezes()
            .map(|(f, _)| f.target)
            .collect::<Vec<_>>()
    };
    assert_eq!(later(60), [one, area]);
    assert_eq!(later(119), [one, area]);
    assert_eq!(later(120), [one]);
    assert_eq!(later(600), []);
    assert_eq!(told(&world), [ClearanceFact::Freeze(one, None)]);
}

#[test]
fn a_freeze_is_lifted_with_a_reason_and_within_bounds() {
    let mut world = World::new();
    let one = Target::Number(number(1));
    world.ok(freezes(vec![freeze(one, 60)], vec![]));
    let index = world.index;
    assert_eq!(world.directory.freeze_of(one).unwrap().1, index);
    assert_eq!(
        counts(world.ok(freezes(vec![], vec![(one, index)]))),
        (0, 1, 0)
    );
    assert_eq!(told(&world), [ClearanceFact::Freeze(one, None)]);
    assert_eq!(world.directory.freeze_of(one), None);
    let most = limits::FREEZE_MAX.as_secs();
    world.ok(freezes(vec![freeze(one, most)], vec![]));
    let over = world.no(freezes(vec![freeze(one, most + 1)], vec![]));
    assert_eq!((over.field.as_str(), over.limit), ("add.until", Some(most)));
    assert_eq!(
        world.no(freezes(vec![freeze(one, 0)], vec![])).field,
        "add.until"
    );
    let nobody = Freeze {
        source: String::new(),
        ..freeze(one, 60)
    };
    assert_eq!(world.no(freezes(vec![nobody], vec![])).field, "add.source");
    let many = (0..=limits::DNC_BATCH as u64).map(|n| freeze(Target::Number(number(n)), 60));
    assert_eq!(
        world.no(freezes(many.collect(), vec![])).limit,
        Some(limits::DNC_BATCH as u64)
    );
}
