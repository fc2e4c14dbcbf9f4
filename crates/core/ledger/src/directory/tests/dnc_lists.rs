use super::*;
use domain::DncListAge;

fn settings() -> DncListSettings {
    DncListSettings {
        from: "https://registry.example/list.txt".into(),
        every: Duration::from_secs(86_400),
        country: "US".parse().ok(),
        max_age: Duration::from_secs(31 * 86_400),
        shrink_permille: 100,
        invalid_permille: 1,
    }
}

fn change(name: &str, change: DncListChange) -> Change {
    let name = name.into();
    Change::ChangeDncList { name, change }
}

fn declare(name: &str, settings: DncListSettings, kept_by: u64) -> Change {
    let (settings, kept_by) = (Box::new(settings), MemberId(kept_by));
    change(name, DncListChange::Declare { settings, kept_by })
}

fn obtained(name: &str, part: u8, secs: u64) -> Change {
    let obtained = DncListObtained {
        part: DncBaseId([part; 32]),
        numbers: 500,
        at: WallTime::from_millis(NOW) - Duration::from_secs(secs),
    };
    change(name, DncListChange::Obtained(obtained))
}

fn made_of(n: u8, parts: &[(&str, u8)]) -> Change {
    let part = |(list, part): &(&str, u8)| NewDncPart {
        list: (*list).into(),
        part: DncBaseId([*part; 32]),
    };
    Change::StageDncBaseOfLists {
        base: base(n),
        parts: parts.iter().map(part).collect(),
    }
}

/// The ages of the lists in use, in seconds.
fn ages(world: &World) -> Vec<(String, u64)> {
    let age = |age: DncListAge| {
        let now = WallTime::from_millis(NOW);
        (age.list, now.since(age.as_of).as_secs())
    };
    world.directory.dnc_ages().into_iter().map(age).collect()
}

#[test]
fn a_list_is_declared_rests_and_goes() {
    let mut world = World::new();
    world.ok(declare("ftc", settings(), 1));
    let list = world.directory.dnc_list("ftc").unwrap();
    assert_eq!(
        (list.settings.clone(), list.kept_by, list.paused),
        (settings(), MemberId(1), false)
    );
    let again = world.no(declare("ftc", settings(), 1));
    assert!(again.why.contains("declared already"), "{again}");
    // A node pulls nothing.
    assert_eq!(world.no(declare("tps", settings(), 2)).field, "kept_by");
    world.ok(change("ftc", DncListChange::Pause(true)));
    assert!(world.directory.dnc_list("ftc").unwrap().paused);
    for unknown in [DncListChange::Pause(true), DncListChange::Remove] {
        assert_eq!(world.no(change("tps", unknown)).field, "name");
    }
    assert_eq!(world.no(obtained("tps", 1, 0)).field, "name");
    world.ok(change("ftc", DncListChange::Remove));
    assert_eq!(world.directory.dnc_lists().count(), 0);
}

#[test]
fn one_coordinator_pulls_all_lists() {
    let mut world = World::new();
    world.ok(token(7, MemberRole::Coordinator, None));
    let hash = [7; 32];
    let member = new_member("hub-2");
    let DirectoryReply::Joined { member, .. } = world.ok(Change::Join { hash, member }) else {
        panic!("another answer");
    };
    world.ok(declare("ftc", settings(), 1));
    let why = world.no(declare("tps", settings(), member.0));
    assert_eq!(why.field, "kept_by");
    assert!(why.why.contains("one coordinator"), "{why}");
    world.ok(declare("tps", settings(), 1));
}

#[test]
fn lists_have_bounds() {
    let mut world = World::new();
    let second = Duration::from_secs(1);
    let of = |field: &str, change: &dyn Fn(&mut DncListSettings)| {
        let mut settings = settings();
        change(&mut settings);
        (field.to_owned(), settings)
    };
    let address = |bytes: usize| format!("https://{}", "x".repeat(bytes - 8));
    let most = limits::DNC_LIST_ADDRESS_BYTES;
    for (field, bad) in [
        of("from", &|s| s.from = String::new()),
        of("from", &|s| s.from = "https://a b".into()),
        of("from", &|s| s.from = address(most + 1)),
        of("every", &|s| s.every = limits::DNC_LIST_EVERY_MIN - second),
        of("every", &|s| s.every = limits::DNC_LIST_EVERY_MAX + second),
        of("max_age", &|s| {
            s.max_age = limits::DNC_LIST_AGE_MIN - second
        }),
        of("max_age", &|s| {
            s.max_age = limits::DNC_LIST_AGE_MAX + second
        }),
        of("shrink_permille", &|s| s.shrink_permille = 1001),
        of("invalid_permille", &|s| s.invalid_permille = 1001),
    ] {
        assert_eq!(world.no(declare("ftc", bad, 1)).field, field);
    }
    for name in ["", "FTC", "a b", "../x", &"x".repeat(33)] {
        assert_eq!(world.no(declare(name, settings(), 1)).field, "name");
    }
    let widest = DncListSettings {
        from: address(most),
        every: limits::DNC_LIST_EVERY_MAX,
        max_age: limits::DNC_LIST_AGE_MIN,
        shrink_permille: 1000,
        invalid_permille: 1000,
        country: None,
    };
    world.ok(declare(&"x".repeat(32), widest, 1));
    for n in 1..limits::DNC_LISTS {
        world.ok(declare(&format!("list-{n}"), settings(), 1));
    }
    let over = world.no(declare("one-more", settings(), 1));
    assert_eq!(
        (over.field.as_str(), over.limit),
        ("dnc_lists", Some(limits::DNC_LISTS as u64))
    );
    let none = DncListObtained {
        part: DncBaseId([1; 32]),
        numbers: 0,
        at: wall(0),
    };
    let none = change("list-1", DncListChange::Obtained(none));
    assert_eq!(world.no(none).field, "numbers");
}

#[test]
fn ages_follow_what_publishers_confirm_and_what_is_in_use() {
    let mut world = World::new();
    for name in ["ftc", "tps"] {
        world.ok(declare(name, settings(), 1));
    }
    world.ok(obtained("ftc", 10, 100));
    world.ok(obtained("tps", 20, 50));
    // Only what was obtained last, each once, and of lists that are known.
    for bad in [
        &[][..],
        &[("ftc", 11)],
        &[("nobody", 10)],
        &[("ftc", 10), ("ftc", 10)],
    ] {
        world.no(made_of(1, bad));
    }
    let both = made_of(1, &[("ftc", 10), ("tps", 20)]);
    world.ok(both.clone());
    world.ok(both.clone());
    assert_eq!(world.no(made_of(1, &[("ftc", 10)])).field, "base");
    assert_eq!(ages(&world), [], "not in use");
    world.ok(use_base(Some(1), true, ""));
    let old = [("ftc".to_owned(), 100), ("tps".to_owned(), 50)];
    assert_eq!(ages(&world), old);
    let facts = match world.events.last() {
        Some(DirectoryEvent::Changed { facts, .. }) => facts.clone(),
        other => panic!("{other:?}"),
    };
    let expected = [
        Fact::DncBase(Some(DncBaseId([1; 32]))),
        Fact::DncAges(world.directory.dnc_ages()),
    ];
    assert_eq!(facts, expected);
    assert_eq!(world.directory.facts().dnc_ages, world.directory.dnc_ages());
    // Confirmed: nodes are told. An older word changes nothing, one of the future is of now.
    world.ok(obtained("ftc", 10, 30));
    assert_eq!(ages(&world)[0].1, 30);
    let events = world.events.len();
    world.ok(obtained("ftc", 10, 80));
    assert_eq!((ages(&world)[0].1, world.events.len()), (30, events));
    let future = DncListObtained {
        part: DncBaseId([10; 32]),
        numbers: 500,
        at: wall(3600),
    };
    world.ok(change("ftc", DncListChange::Obtained(future)));
    assert_eq!(ages(&world)[0].1, 0);
    // Other numbers are not in use before a base of them is.
    world.ok(obtained("tps", 21, 5));
    assert_eq!(ages(&world)[1].1, 50);
    // Said again, although the list has moved on.
    world.ok(both);
    world.ok(made_of(2, &[("ftc", 10), ("tps", 21)]));
    world.ok(use_base(Some(2), true, ""));
    assert_eq!(ages(&world)[1].1, 5);
    // A list that is removed is in the base until another one is in use.
    world.ok(change("ftc", DncListChange::Remove));
    assert_eq!(ages(&world).len(), 2);
    let id = DncBaseId([1; 32]);
    world.ok(Change::DropDncBase { id });
    assert_eq!(world.directory.dnc_parts(id), []);
    world.ok(Change::StageDncBase { base: base(3) });
    world.ok(use_base(Some(3), true, ""));
    assert_eq!(ages(&world), []);
}
