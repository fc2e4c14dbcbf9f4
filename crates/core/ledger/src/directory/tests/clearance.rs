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

fn scoped(scope: DncScope, add: &[&str], remove: Vec<(&str, u64)>) -> Change {
    let removal = |(text, index)| Removal {
        key: prefix(text),
        index,
    };
    Change::ChangeScopedPatterns {
        scope,
        add: add.iter().map(|text| pattern(text)).collect(),
        remove: remove.into_iter().map(removal).collect(),
        reason: "a test".into(),
    }
}

#[test]
fn a_pattern_of_a_campaign_or_region_holds_there_alone() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    let (own, region) = (
        DncScope::Campaign(CampaignId(1)),
        DncScope::Region(RegionId(1)),
    );
    let unknown = [
        DncScope::Campaign(CampaignId(9)),
        DncScope::Region(RegionId(9)),
    ];
    for scope in unknown {
        assert_eq!(world.no(scoped(scope, &["+1415"], vec![])).field, "scope");
    }
    let added = world.ok(scoped(own, &["+1415"], vec![]));
    assert_eq!(counts(added), (1, 0, 0));
    let first = world.index;
    let fact = ClearanceFact::ScopedPattern(prefix("+1415"), own, true);
    assert_eq!(told(&world), [fact]);
    assert_eq!(world.directory.dnc_index(), first);
    let covers = |world: &World, campaign, region| {
        (world.directory).dnc_covers(number(1), CampaignId(campaign), RegionId(region))
    };
    assert!(covers(&world, 1, 1) && !covers(&world, 2, 1));
    world.ok(scoped(region, &["+14155"], vec![]));
    assert!(covers(&world, 2, 1) && !covers(&world, 2, 2));
    let shortest = (world.directory).dnc_pattern_for(number(1), CampaignId(1), RegionId(1));
    assert_eq!(shortest, Some(prefix("+1415")));
    assert_eq!(world.directory.facts().clearance.len(), 2);
    // For everywhere it is a pattern as any other.
    world.ok(scoped(DncScope::Mesh, &["+1900"], vec![]));
    assert!(world.directory.dnc_pattern(prefix("+1900")).is_some());
    // Add wins, and a removal names its scope and index.
    world.ok(scoped(own, &["+1415"], vec![]));
    assert_eq!(
        counts(world.ok(scoped(own, &[], vec![("+1415", first)]))),
        (0, 0, 1)
    );
    let now = world.directory.pattern_in(prefix("+1415"), own).unwrap().1;
    assert_eq!(
        counts(world.ok(scoped(region, &[], vec![("+1415", now)]))),
        (0, 0, 1)
    );
    assert_eq!(
        counts(world.ok(scoped(own, &[], vec![("+1415", now)]))),
        (0, 1, 0)
    );
    assert!(!covers(&world, 1, 2) && covers(&world, 1, 1));
    let mut left = (100_000..).map(|n| n.to_string());
    for _ in 0..limits::DNC_PATTERNS / limits::DNC_BATCH - 1 {
        let batch: Vec<String> = left.by_ref().take(limits::DNC_BATCH).collect();
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        world.ok(scoped(own, &batch, vec![]));
    }
    let batch: Vec<String> = left.by_ref().take(limits::DNC_BATCH).collect();
    let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
    let over = world.no(scoped(own, &batch, vec![]));
    assert_eq!(
        over.limit,
        Some(limits::DNC_PATTERNS as u64),
        "one is of a region"
    );
    world.ok(scoped(own, &batch[1..], vec![]));
}

fn lift(n: u64, reason: &str) -> DncLift {
    DncLift {
        number: number(n),
        reason: reason.into(),
        lifted_at: wall(0),
    }
}

fn lifts(add: Vec<DncLift>, remove: Vec<(u64, u64)>) -> Change {
    let removal = |(n, index)| Removal {
        key: number(n),
        index,
    };
    let remove = remove.into_iter().map(removal).collect();
    Change::ChangeLifts { add, remove }
}

#[test]
fn a_number_of_a_base_is_lifted_with_a_reason_and_within_bounds() {
    let mut world = World::new();
    assert_eq!(
        world.no(lifts(vec![lift(1, " ")], vec![])).field,
        "add.reason"
    );
    assert_eq!(
        counts(world.ok(lifts(vec![lift(1, "a customer")], vec![]))),
        (1, 0, 0)
    );
    let first = world.index;
    assert_eq!(told(&world), [ClearanceFact::Lift(number(1), true)]);
    assert_eq!(
        world.directory.dnc_lift(number(1)).unwrap().0.reason,
        "a customer"
    );
    assert_eq!(world.directory.facts().clearance.len(), 1);
    // Said again: the removal decided before leaves it.
    world.ok(lifts(vec![lift(1, "still one")], vec![]));
    assert_eq!(counts(world.ok(lifts(vec![], vec![(1, first)]))), (0, 0, 1));
    let now = world.directory.dnc_lift(number(1)).unwrap().1;
    assert_eq!(counts(world.ok(lifts(vec![], vec![(1, now)]))), (0, 1, 0));
    assert_eq!(told(&world), [ClearanceFact::Lift(number(1), false)]);
    let most = limits::DNC_BATCH as u64;
    let batch = |from: u64, n: u64| (from..from + n).map(|n| lift(n, "a test")).collect();
    assert_eq!(
        world.no(lifts(batch(0, most + 1), vec![])).limit,
        Some(most)
    );
    for place in 0..limits::DNC_LIFTS as u64 / most {
        world.ok(lifts(batch(place * most, most), vec![]));
    }
    let over = world.no(lifts(batch(limits::DNC_LIFTS as u64, 1), vec![]));
    assert_eq!(
        (over.field.as_str(), over.limit),
        ("lifts", Some(limits::DNC_LIFTS as u64))
    );
}
