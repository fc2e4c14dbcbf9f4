use super::{super::consents::LOOKED_AT, *};
use domain::{ClearanceFact, Consent, ConsentId, ConsentKind, ConsentProof};

fn consent(n: u64, campaign: Option<u32>, source: &str) -> Consent {
    Consent {
        number: number(n),
        campaign: campaign.map(CampaignId),
        proof: ConsentProof {
            kind: ConsentKind::Form,
            source: source.into(),
            place: "example.com".into(),
        },
        given_at: wall(0),
        until: None,
    }
}

fn change(add: Vec<Consent>, withdraw: Vec<(u64, Option<u32>)>) -> Change {
    let key = |(n, campaign): (u64, Option<u32>)| (number(n), campaign.map(CampaignId));
    Change::ChangeConsents {
        add,
        withdraw: withdraw.into_iter().map(key).collect(),
        reason: "a test".into(),
    }
}

#[test]
fn a_consent_is_kept_with_its_proof_until_it_is_withdrawn() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    let own = consent(1, Some(1), "form 3");
    world.ok(change(
        vec![consent(1, None, "form 3"), own.clone()],
        vec![],
    ));
    assert_eq!(world.directory.dnc_index(), world.index);
    let known = |id, consent| KnownConsent {
        id: ConsentId(id),
        consent,
        withdrawn: None,
    };
    assert_eq!(
        world.directory.consents_of(number(1)),
        [known(1, consent(1, None, "form 3")), known(2, own.clone())]
    );
    let grant = |world: &World, campaign| {
        (world.directory)
            .consent_for(number(1), CampaignId(campaign), wall(10))
            .map(|grant| grant.id.0)
    };
    assert_eq!((grant(&world, 1), grant(&world, 2)), (Some(2), Some(1)));
    assert_eq!(world.directory.facts().clearance.len(), 2);
    // Given again it has another id; over at its end.
    let until = Consent {
        until: Some(wall(10)),
        ..consent(1, None, "form 4")
    };
    world.ok(change(vec![until], vec![]));
    assert_eq!(grant(&world, 2), None);
    assert_eq!(world.directory.consents_of(number(1))[0].id, ConsentId(3));
    // In one batch the withdrawal wins.
    let both = change(vec![own], vec![(1, Some(1)), (9, None)]);
    let reply = world.ok(both);
    assert!(
        matches!(
            reply,
            DirectoryReply::Clearance {
                removed: 1,
                kept: 1,
                ..
            }
        ),
        "{reply:?}"
    );
    assert_eq!(
        (grant(&world, 1), world.directory.consents_len()),
        (None, 2),
        "its proof stays"
    );
    assert_eq!(
        world.directory.consents_of(number(1))[1].withdrawn,
        Some(wall(0))
    );
}

fn given(secs: u64, consent: Consent) -> Consent {
    let given_at = WallTime::from_millis(NOW - 1_000_000) + Duration::from_secs(secs);
    Consent {
        given_at,
        ..consent
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
fn a_withdrawn_consent_does_not_come_back_with_its_file() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    let good = |world: &World, n| {
        let consent = (world.directory).consent_for(number(n), CampaignId(1), wall(1));
        assert_eq!(
            consent.is_some(),
            (world.directory.facts().clearance.iter())
                .any(|fact| fact.target() == Some(domain::Target::Number(number(n)))),
            "nodes know the same"
        );
        consent.is_some()
    };
    let file = vec![
        given(1, consent(1, None, "form 3")),
        given(1, consent(2, Some(1), "form 3")),
    ];
    assert_eq!(counts(world.ok(change(file.clone(), vec![]))), (2, 0, 0));
    // Everything of 2 goes, though only one campaign's is known; of 3 nothing is known yet.
    let gone = change(vec![], vec![(1, None), (2, None), (3, None)]);
    assert_eq!(counts(world.ok(gone)), (0, 2, 1));
    assert!(!good(&world, 1) && !good(&world, 2));
    let late = given(1, consent(3, Some(1), "form 3"));
    let again = [&file[..], std::slice::from_ref(&late)].concat();
    assert_eq!(counts(world.ok(change(again, vec![]))), (0, 0, 3));
    assert!(!good(&world, 1) && !good(&world, 2) && !good(&world, 3));
    assert_eq!(
        world.directory.consent_refusal(&late),
        Some(ConsentRefusal::Withdrawn(wall(0)))
    );
    // Who agrees again is dialed again, and the old file does not undo that either.
    let anew = Consent {
        given_at: wall(1),
        ..consent(1, None, "form 4")
    };
    assert_eq!(counts(world.ok(change(vec![anew], vec![]))), (0, 0, 0));
    assert_eq!(counts(world.ok(change(file, vec![]))), (0, 0, 2));
    assert!(good(&world, 1) && !good(&world, 2));
    // Withdrawn at a calendar that is behind the importer's clock.
    assert_eq!(counts(world.ok(change(vec![], vec![(1, None)]))), (0, 1, 0));
    assert!(!good(&world, 1));
}

#[test]
fn a_consent_that_comes_again_keeps_its_id_and_tells_nobody() {
    let mut world = World::new();
    world.ok(change(vec![consent(1, None, "form 3")], vec![]));
    let (told, index) = (world.events.len(), world.directory.dnc_index());
    let again = world.ok(change(vec![consent(1, None, "form 3")], vec![]));
    assert_eq!(counts(again), (0, 0, 0));
    assert_eq!(
        (world.events.len(), world.directory.dnc_index()),
        (told, index)
    );
    assert_eq!(world.directory.consents_of(number(1))[0].id, ConsentId(1));
    // Another proof, end or time is another consent.
    let other = Consent {
        until: Some(wall(9)),
        ..consent(1, None, "form 3")
    };
    for (id, one) in (2..).zip([consent(1, None, "form 4"), other]) {
        world.ok(change(vec![one], vec![]));
        assert_eq!(world.directory.consents_of(number(1))[0].id, ConsentId(id));
    }
}

#[test]
fn a_withdrawal_for_a_campaign_leaves_the_others() {
    let mut world = World::new();
    world.ok(create(campaign("autumn")));
    world.ok(create(campaign("winter")));
    let of = |campaign| given(1, consent(1, campaign, "form 3"));
    world.ok(change(vec![of(Some(1)), of(Some(2))], vec![]));
    assert_eq!(
        counts(world.ok(change(vec![], vec![(1, Some(1))]))),
        (0, 1, 0)
    );
    let good = |world: &World, campaign| {
        (world
            .directory
            .consent_for(number(1), CampaignId(campaign), wall(1)))
        .is_some()
    };
    assert!(!good(&world, 1) && good(&world, 2));
    assert_eq!(counts(world.ok(change(vec![of(None)], vec![]))), (1, 0, 0));
    assert!(good(&world, 1), "by the one for all");
}

#[test]
fn an_earlier_consent_does_not_take_the_place_of_a_later_one() {
    let mut world = World::new();
    let later = Consent {
        until: Some(wall(100)),
        ..given(9, consent(1, None, "form 4"))
    };
    world.ok(change(vec![later.clone()], vec![]));
    let earlier = given(8, consent(1, None, "form 3"));
    assert_eq!(
        world.directory.consent_refusal(&earlier),
        Some(ConsentRefusal::Older(later.given_at))
    );
    assert_eq!(counts(world.ok(change(vec![earlier], vec![]))), (0, 0, 1));
    assert_eq!(world.directory.consents_of(number(1))[0].consent, later);
}

#[test]
fn withdrawals_have_a_bound() {
    let mut world = World::new();
    world.ok(change(vec![consent(1, None, "form")], vec![]));
    let full = (0..limits::CONSENT_WITHDRAWALS as u64).map(|n| ((number(n + 2), None), wall(0)));
    world.directory.withdrawals = full.collect();
    let mut say = |n| {
        world.index += 1;
        let context = ApplyContext {
            index: world.index,
            wall: wall(0),
        };
        let command = change(vec![], vec![(n, None)]).into();
        (world.directory).apply(context, command, &mut world.events)
    };
    match say(1) {
        DirectoryReply::Rejected(over) => {
            let limit = Some(limits::CONSENT_WITHDRAWALS as u64);
            assert_eq!((over.field.as_str(), over.limit), ("withdrawals", limit));
            assert!(over.why.contains("do-not-call"), "{}", over.why);
        }
        reply => panic!("{reply:?}"),
    }
    let again = say(2);
    assert!(
        matches!(again, DirectoryReply::Clearance { .. }),
        "{again:?}"
    );
}

#[test]
fn what_is_no_proof_is_refused() {
    let mut world = World::new();
    let mut no = |consent| world.no(change(vec![consent], vec![])).field;
    assert_eq!(no(consent(1, Some(9), "form")), "add.campaign");
    assert_eq!(no(consent(1, None, "")), "add.source");
    let nowhere = |mut consent: Consent| {
        consent.proof.place = "x".repeat(limits::NAME_BYTES + 1);
        consent
    };
    assert_eq!(no(nowhere(consent(1, None, "form"))), "add.place");
    let never = Consent {
        until: Some(wall(0)),
        ..consent(1, None, "form")
    };
    assert_eq!(no(never), "add.until");
    let many = (0..=limits::DNC_BATCH as u64).map(|n| consent(n, None, "form"));
    let over = world.no(change(many.collect(), vec![]));
    assert_eq!(over.limit, Some(limits::DNC_BATCH as u64));
    let silent = Change::ChangeConsents {
        add: Vec::new(),
        withdraw: vec![(number(1), None)],
        reason: String::new(),
    };
    assert_eq!(world.no(silent).field, "reason");
}

/// Applies without the copies that [`World`] takes: for many consents.
fn apply(world: &mut World, at: WallTime, change: Change) -> DirectoryReply {
    world.index += 1;
    let context = ApplyContext {
        index: world.index,
        wall: at,
    };
    (world.directory).apply(context, change.into(), &mut world.events)
}

#[test]
fn proofs_have_a_bound_and_unused_ones_make_room() {
    let mut world = World::new();
    let batch = |from: u64| {
        let all = from..from + limits::DNC_BATCH as u64;
        change(
            all.map(|n| consent(n, None, &format!("form {n}")))
                .collect(),
            vec![],
        )
    };
    for from in (0..limits::CONSENT_PROOFS as u64).step_by(limits::DNC_BATCH) {
        apply(&mut world, wall(0), batch(from));
    }
    assert!(!world.directory.has_room_for_proofs(1));
    let one_more = change(vec![consent(1, None, "one more")], vec![]);
    match apply(&mut world, wall(0), one_more.clone()) {
        DirectoryReply::Rejected(over) => {
            let limit = Some(limits::CONSENT_PROOFS as u64);
            assert_eq!((over.field.as_str(), over.limit), ("proofs", limit));
            assert!(over.why.contains("one source for one form"), "{}", over.why);
        }
        reply => panic!("{reply:?}"),
    }
    // Of a known form it is taken; the form that nobody has any more makes room.
    apply(
        &mut world,
        wall(0),
        change(vec![consent(1, None, "form 7")], vec![]),
    );
    assert!(world.directory.has_room_for_proofs(1) && !world.directory.has_room_for_proofs(2));
    assert_eq!(counts(apply(&mut world, wall(0), one_more)), (0, 0, 0));
    let of = |world: &World, n| {
        let known = world.directory.consents_of(number(n)).remove(0);
        known.consent.proof.source
    };
    assert_eq!(of(&world, 1), "one more");
    assert_eq!(
        (of(&world, 2), of(&world, 7)),
        ("form 2".into(), "form 7".into())
    );
    assert!(!world.directory.has_room_for_proofs(1));
}

#[test]
fn consents_that_are_over_for_a_year_are_forgotten_and_withdrawals_are_not() {
    let mut world = World::new();
    let (few, many) = (3, 3 * LOOKED_AT as u64);
    let until = Some(wall(10));
    let over = (few..many).map(|n| Consent {
        until,
        ..consent(n, None, "form 3")
    });
    apply(&mut world, wall(0), change(over.collect(), vec![]));
    let lasting = (0..few).map(|n| consent(n, None, "form 4")).collect();
    apply(&mut world, wall(0), change(lasting, vec![(1, None)]));
    let nothing = || change(vec![], vec![]);
    let look = |world: &mut World, at: WallTime| {
        // Enough for all of them.
        for _ in 0..8 {
            apply(world, at, nothing());
        }
        let copy = Directory::restore(&world.directory.snapshot()).unwrap();
        assert!(copy == world.directory);
        world.directory.consents_len() as u64
    };
    let kept = limits::CONSENT_KEPT;
    let before = wall(10) + kept - Duration::from_millis(1);
    assert_eq!(
        look(&mut world, before),
        many - 1,
        "the withdrawn one is older"
    );
    world.events.clear();
    assert_eq!(look(&mut world, wall(10) + kept), 2);
    let told: usize = (world.events.iter())
        .map(|event| match event {
            DirectoryEvent::Changed { facts, .. } => match facts.as_slice() {
                [Fact::Clearance(told)] => told.len(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(told as u64, many - few);
    let again = change(vec![consent(1, None, "form 4")], vec![]);
    assert_eq!(counts(apply(&mut world, wall(11) + kept, again)), (0, 0, 1));
}

#[test]
fn a_campaign_may_ask_for_consent() {
    let mut world = World::new();
    let ask = |campaign, required| Change::RequireConsent {
        campaign: CampaignId(campaign),
        required,
    };
    assert_eq!(world.no(ask(1, true)).field, "campaign");
    world.ok(create(campaign("autumn")));
    world.ok(ask(1, true));
    assert!(world.directory.requires_consent(CampaignId(1)));
    let fact = ClearanceFact::RequiresConsent(CampaignId(1), true);
    assert_eq!(world.directory.facts().clearance, [fact]);
    world.ok(ask(1, false));
    assert!(world.directory.facts().clearance.is_empty());
}
