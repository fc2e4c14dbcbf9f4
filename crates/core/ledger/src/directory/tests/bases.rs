use super::*;

fn day(n: u64) -> WallTime {
    wall(n * 86_400)
}

fn id(n: u8) -> DncBaseId {
    DncBaseId([n; 32])
}

/// A base built on a day.
fn built(n: u8, on: u64) -> NewDncBase {
    NewDncBase {
        built_at: day(on),
        ..base(n)
    }
}

fn registry(n: u64, on: u64) -> DncEntry {
    DncEntry {
        number: number(n),
        scope: DncScope::Mesh,
        source: DncSource::Registry,
        added_at: day(on),
    }
}

fn dnc(add: Vec<DncEntry>, remove: Vec<DncRemoval>) -> Change {
    Change::ChangeDnc {
        add,
        remove,
        reason: "a test".into(),
    }
}

fn settle(world: &World, base: u8, numbers: &[u64]) -> Change {
    let all = numbers.iter().map(|n| number(*n));
    let named = all.filter_map(|n| world.directory.dnc_entry(n, DncScope::Mesh));
    Change::SettleDnc {
        base: id(base),
        remove: named
            .map(|fact| DncRemoval {
                number: fact.entry.number,
                scope: fact.entry.scope,
                index: fact.index,
            })
            .collect(),
    }
}

fn compacted(world: &World, base: NewDncBase, from: u8) -> Change {
    Change::StageCompactedDncBase {
        base,
        from: id(from),
        index: world.directory.applied(),
    }
}

fn removed(reply: DirectoryReply) -> (u32, u32) {
    match reply {
        DirectoryReply::Dnc { removed, kept, .. } => (removed, kept),
        other => panic!("{other:?}"),
    }
}

impl World {
    /// Stages a base that its node holds.
    fn held(&mut self, stage: Change) {
        let id = match &stage {
            Change::StageDncBase { base } | Change::StageCompactedDncBase { base, .. } => base.id,
            other => panic!("{other:?}"),
        };
        self.ok(stage);
        self.ok(Change::HoldDncBase {
            member: MemberId(2),
            id,
        });
    }

    /// Moves the calendar to a day.
    fn until(&mut self, on: u64) {
        self.index += 1;
        let context = ApplyContext {
            index: self.index,
            wall: day(on),
        };
        (self.directory).apply(
            context,
            Change::RemoveMember { id: MemberId(99) }.into(),
            &mut self.events,
        );
        assert_eq!(self.directory.clock(), day(on));
    }

    /// Entries 1 (of day 3) and 2 (of day 20) beside base 1 (of day 0); base 2, in use, has both.
    fn compacted() -> Self {
        let mut world = Self::new();
        world.held(Change::StageDncBase { base: built(1, 0) });
        world.ok(use_base(Some(1), false, ""));
        world.until(20);
        world.ok(dnc(vec![registry(1, 3), registry(2, 20)], vec![]));
        let stage = compacted(&world, built(2, 0), 1);
        world.held(stage);
        world.ok(use_base(Some(2), false, ""));
        world
    }
}

#[test]
fn entries_stay_beside_the_base_until_every_later_list_has_them() {
    let mut world = World::compacted();
    let all = settle(&world, 2, &[1, 2]);
    assert_eq!(removed(world.ok(all.clone())), (0, 2), "both are too young");
    // Nothing is lost on the way back.
    world.ok(use_base(Some(1), false, ""));
    assert!(
        world
            .directory
            .dnc_covers(number(1), CampaignId(1), RegionId(1))
    );
    assert_eq!(world.no(all.clone()).field, "base", "another is in use");
    world.ok(use_base(Some(2), false, ""));
    // A day before, and on the day.
    world.until(33);
    assert_eq!(removed(world.ok(all.clone())), (0, 2));
    world.until(34);
    assert_eq!(removed(world.ok(all.clone())), (1, 1));
    assert_eq!(world.directory.dnc_index(), world.index);
    assert!(
        world
            .directory
            .dnc_entry(number(2), DncScope::Mesh)
            .is_some()
    );
    assert_eq!(removed(world.ok(all)), (0, 2), "once");
}

#[test]
fn nobody_elses_entry_is_settled() {
    let mut world = World::compacted();
    world.until(90);
    let admin = |entry: DncEntry| DncEntry {
        source: DncSource::Admin,
        ..entry
    };
    let everywhere = registry(5, 1);
    let scoped = DncEntry {
        scope: DncScope::Region(RegionId(1)),
        ..everywhere
    };
    world.ok(dnc(vec![admin(registry(4, 1)), scoped, everywhere], vec![]));
    let index = world.index;
    let named = |n, scope, index| DncRemoval {
        number: number(n),
        scope,
        index,
    };
    let change = Change::SettleDnc {
        base: id(2),
        remove: vec![
            named(4, DncScope::Mesh, index),
            named(5, DncScope::Region(RegionId(1)), index),
            named(5, DncScope::Mesh, index - 1),
            named(6, DncScope::Mesh, index),
        ],
    };
    assert_eq!(removed(world.ok(change)), (0, 4));
    let many = vec![named(4, DncScope::Mesh, index); limits::DNC_BATCH + 1];
    let over = world.no(Change::SettleDnc {
        base: id(2),
        remove: many,
    });
    assert_eq!(over.limit, Some(limits::DNC_BATCH as u64));
}

#[test]
fn a_base_without_what_was_settled_is_refused() {
    let mut world = World::compacted();
    world.until(60);
    let all = settle(&world, 2, &[1, 2]);
    assert_eq!(removed(world.ok(all)), (2, 0));
    // The one before has neither number, nor has a list of before the last of them.
    let why = world.no(use_base(Some(1), false, "")).why;
    assert!(why.contains("force") && why.contains("registries"), "{why}");
    world.held(Change::StageDncBase { base: built(3, 20) });
    assert_eq!(world.no(use_base(Some(3), false, "")).field, "id");
    // A later list is good, and so is what was made from the one that has them, also once that is
    // forgotten.
    let stage = compacted(&world, built(4, 0), 2);
    world.held(stage);
    let stage = compacted(&world, built(5, 0), 4);
    world.held(stage);
    world.held(Change::StageDncBase { base: built(6, 21) });
    world.ok(use_base(Some(6), false, ""));
    world.ok(use_base(Some(5), false, ""));
    world.ok(Change::DropDncBase { id: id(4) });
    world.ok(use_base(Some(6), false, ""));
    world.ok(use_base(Some(5), false, ""));
    world.ok(use_base(Some(2), false, ""));
    // By force all the same; out of use and back it is asked again.
    world.ok(use_base(Some(1), true, ""));
    world.ok(use_base(None, false, "a test"));
    assert_eq!(world.no(use_base(Some(3), false, "")).field, "id");
}

#[test]
fn what_was_taken_back_since_is_not_brought_back() {
    let mut world = World::new();
    world.held(Change::StageDncBase { base: built(1, 0) });
    world.ok(use_base(Some(1), false, ""));
    world.ok(dnc(vec![registry(1, 0)], vec![]));
    let entry = world
        .directory
        .dnc_entry(number(1), DncScope::Mesh)
        .unwrap();
    let index = world.directory.applied();
    // While it is built.
    let removal = DncRemoval {
        number: number(1),
        scope: DncScope::Mesh,
        index: entry.index,
    };
    world.ok(dnc(vec![], vec![removal]));
    let stage = |base, index| Change::StageCompactedDncBase {
        base,
        from: id(1),
        index,
    };
    world.held(stage(built(2, 0), index));
    let why = world.no(use_base(Some(2), false, "")).why;
    assert!(why.contains("compact again"), "{why}");
    // The same bytes, made again from what is there now.
    let now = world.directory.applied();
    assert_eq!(world.no(stage(built(2, 0), now + 9)).field, "index");
    assert_eq!(world.no(stage(built(1, 0), now)).field, "from");
    world.ok(stage(built(2, 0), now));
    world.ok(use_base(Some(2), false, ""));
}
