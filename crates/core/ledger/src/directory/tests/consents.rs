use super::*;
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
    let known = world.directory.consents_of(number(1));
    assert_eq!(
        known,
        [
            (ConsentId(1), consent(1, None, "form 3")),
            (ConsentId(2), own.clone())
        ]
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
    assert_eq!(world.directory.consents_of(number(1))[0].0, ConsentId(3));
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
        (None, 1)
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

#[test]
fn proofs_have_a_bound() {
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
        world.index += 1;
        let context = ApplyContext {
            index: world.index,
            wall: wall(0),
        };
        (world.directory).apply(context, batch(from).into(), &mut world.events);
    }
    let over = world.no(change(vec![consent(1, None, "one more")], vec![]));
    assert_eq!(
        (over.field.as_str(), over.limit),
        ("proofs", Some(limits::CONSENT_PROOFS as u64))
    );
    world.ok(change(vec![consent(1, None, "form 7")], vec![]));
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
