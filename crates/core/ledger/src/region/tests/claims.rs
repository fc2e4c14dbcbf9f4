use super::*;

fn numbers(leads: &[LeasedLead]) -> Vec<PhoneNumber> {
    leads.iter().map(|lead| lead.number).collect()
}

#[test]
fn the_best_leads_come_first() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let mut urgent = new_lead(9, "America/New_York");
    urgent.priority = 5;
    let mut least = new_lead(8, "America/Chicago");
    least.priority = -5;
    world.import(2, vec![least, urgent, new_lead(7, "America/Chicago")]);
    let session = world.open(NODE, 1);
    let leads = world.claim(session, 10, 1);
    assert_eq!(numbers(&leads), [9, 0, 1, 7, 8].map(number));
    assert_eq!(leads[0].attempt, AttemptId::new(REGION, world.index, 0));
    assert_eq!(leads[1].profile.name, "lead 0");
    assert_eq!((leads[0].attempt_count, leads[0].session), (1, session));
    assert_eq!(world.ledger.leased_to(session).len(), 5);
    assert_eq!(world.ledger.session(session).unwrap().leads, 5);
}

#[test]
fn a_retried_claim_is_answered_as_the_first_time() {
    let mut world = World::new(10);
    let session = world.open(NODE, 1);
    let first = world.claim(session, 3, 1);
    assert_eq!(world.claim(session, 3, 1), first);
    let second = world.claim(session, 3, 2);
    assert_ne!(first, second);
    assert_eq!(world.claim(session, 3, 1), first, "also after a later one");
    world.report(session, &[undialed(&first[0])]);
    assert_eq!(world.claim(session, 3, 1), first[1..], "what is left of it");
    let window = limits::RETRY_WINDOW as u64;
    for sequence in 3..=window + 1 {
        world.claim(session, 0, sequence);
    }
    let stale = world.claim_reply(session, 3, 1);
    assert!(matches!(
        stale,
        RegionReply::Refused(RegionRefusal::StaleClaim { .. })
    ));
    assert_eq!(world.ledger.stats(CAMPAIGN).leased, 5);
}

#[test]
fn claims_need_a_running_campaign_of_this_region_with_known_rules() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let other = world.apply(RegionCommand::Claim {
        session,
        campaign: CampaignId(9),
        n: 1,
        sequence: 1,
    });
    let empty = |shortage| RegionReply::Claimed {
        leads: Vec::new(),
        shortage: Some(shortage),
    };
    assert_eq!(other, empty(Shortage::UnknownCampaign));
    let variants = [
        (
            Campaign {
                state: CampaignState::Paused,
                ..campaign()
            },
            Shortage::NotRunning,
        ),
        (
            Campaign {
                regions: vec![RegionId(9)],
                ..campaign()
            },
            Shortage::OtherRegions,
        ),
        (
            Campaign {
                rule_pack: "atlantis".into(),
                ..campaign()
            },
            Shortage::UnknownRulePack,
        ),
    ];
    for (sequence, (campaign, shortage)) in (2..).zip(variants) {
        world.campaign(campaign);
        assert_eq!(world.claim_reply(session, 1, sequence), empty(shortage));
        assert_eq!(
            world.ledger.why_idle(CAMPAIGN, world.ledger.clock()),
            Some(shortage)
        );
    }
    world.campaign(Campaign {
        regions: vec![REGION],
        ..campaign()
    });
    assert_eq!(world.claim(session, 1, 9).len(), 1);
    assert_eq!(
        world.claim_why(session, 1, 10).1,
        Some(Shortage::NothingDue)
    );
    // Older versions of a campaign change nothing.
    world.campaign(Campaign {
        version: 0,
        state: CampaignState::Stopped,
        ..campaign()
    });
    assert_eq!(
        world.ledger.campaign(CAMPAIGN).unwrap().state,
        CampaignState::Running
    );
}

#[test]
fn windows_open_for_every_zone_or_not_at_all() {
    let mut world = World::new(1);
    // Honolulu: 7 in the morning at noon in New York.
    let mut both = new_lead(5, "America/New_York");
    both.zones.extend(zones::find("Pacific/Honolulu"));
    world.import(2, vec![both, new_lead(6, "Nowhere/Nothing")]);
    let session = world.open(NODE, 1);
    assert_eq!(numbers(&world.claim(session, 9, 1)), [number(0)]);
    let opens = Some(WallTime::from_millis(NOON + 3_600_000));
    let closed = Some(Shortage::WindowClosed { opens });
    assert_eq!(world.claim_why(session, 9, 2), (Vec::new(), closed));
    let stats = world.ledger.stats(CAMPAIGN);
    assert_eq!(
        (stats.due, stats.no_zone),
        (1, 1),
        "a closed window moves no lead"
    );
    world.pass(minutes(60));
    assert_eq!(numbers(&world.claim(session, 9, 3)), [number(5)]);
}

#[test]
fn bounds_of_a_claim_and_of_a_session() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let over = world.claim_reply(session, limits::CLAIM_BATCH as u32 + 1, 1);
    assert!(matches!(
        over,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
    for batch in 0..21 {
        let leads = (0..1000).map(|n| new_lead(100 + batch * 1000 + n, "America/New_York"));
        world.import(batch + 2, leads.collect());
    }
    let mut got = 0;
    for sequence in 2..42 {
        got += world
            .claim(session, limits::CLAIM_BATCH as u32, sequence)
            .len();
    }
    assert_eq!(got, limits::SESSION_LEASES);
    assert_eq!(
        world.claim_why(session, 1, 42).1,
        Some(Shortage::SessionFull)
    );
}

#[test]
fn a_number_is_tried_by_one_lead_at_a_time() {
    let mut world = World::new(1);
    let twin = Campaign {
        id: CampaignId(2),
        name: "twin".into(),
        ..campaign()
    };
    world.campaign(twin);
    world.apply(RegionCommand::Import {
        list: ListId(2),
        campaign: CampaignId(2),
        batch: 1,
        rows: vec![new_lead(0, "America/New_York")],
    });
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let twin = |world: &mut World, sequence| {
        let claim = RegionCommand::Claim {
            session,
            campaign: CampaignId(2),
            n: 5,
            sequence,
        };
        match world.apply(claim) {
            RegionReply::Claimed { leads, shortage } => (leads.len(), shortage),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        twin(&mut world, 2),
        (0, Some(Shortage::SetAside { leads: 1 }))
    );
    assert_eq!(
        twin(&mut world, 3),
        (0, Some(Shortage::NothingDue)),
        "not met again"
    );
    let outcome = world.dialed(&lead, Disposition::NoAnswer);
    world.report(session, &[outcome]);
    world.pass(limits::BUSY_NUMBER_REST);
    assert_eq!(twin(&mut world, 4).0, 1);
}

#[test]
fn limits_count_over_all_leads_of_a_number_and_put_leads_off() {
    let mut world = World::new(1);
    world.campaign(Campaign {
        attempts_max: 9,
        retry: vec![RetryRule {
            after: Disposition::Busy,
            delay: minutes(1),
            attempts_max: 9,
        }],
        ..campaign()
    });
    let session = world.open(NODE, 1);
    let first = world.ledger.clock();
    for sequence in 1..=3 {
        let lead = world.claim(session, 1, sequence).remove(0);
        let outcome = world.dialed(&lead, Disposition::Busy);
        assert_eq!(world.report(session, &[outcome]).accepted, 1);
        world.pass(minutes(2));
    }
    // Three attempts in 24 hours is what us-federal allows.
    let put_off = world.claim_why(session, 1, 4);
    assert_eq!(put_off, (Vec::new(), Some(Shortage::SetAside { leads: 1 })));
    let id = LeadId::new(REGION, 1);
    let until = first + Duration::from_secs(24 * 3600);
    assert_eq!(
        world.ledger.lead(id).unwrap().standing,
        LeadStanding::Waiting(until)
    );
    // Another campaign's lead of the number finds the same history.
    world.campaign(Campaign {
        id: CampaignId(2),
        name: "twin".into(),
        ..campaign()
    });
    world.apply(RegionCommand::Import {
        list: ListId(2),
        campaign: CampaignId(2),
        batch: 1,
        rows: vec![new_lead(0, "America/New_York")],
    });
    let twin = world.apply(RegionCommand::Claim {
        session,
        campaign: CampaignId(2),
        n: 1,
        sequence: 5,
    });
    assert!(matches!(twin, RegionReply::Claimed { leads, .. } if leads.is_empty()));
    world.pass(Duration::from_secs(24 * 3600 - 360 - 1));
    assert!(world.claim(session, 1, 6).is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.claim(session, 1, 7).len(), 1);
}

#[test]
fn a_refund_leaves_no_trace_in_the_limits() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    for sequence in 1..=9 {
        let lead = world.claim(session, 1, sequence).remove(0);
        assert_eq!(lead.attempt_count, 1);
        assert_eq!(world.report(session, &[undialed(&lead)]).refunded, 1);
    }
    assert_eq!(world.ledger.attempts_at(number(0)), (Vec::new(), false));
}

#[test]
fn an_abandoned_call_rests_its_number() {
    let mut world = World::new(1);
    world.campaign(Campaign {
        retry: vec![RetryRule {
            after: Disposition::Abandoned,
            delay: minutes(1),
            attempts_max: 9,
        }],
        ..campaign()
    });
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let outcome = world.dialed(&lead, Disposition::Abandoned);
    world.report(session, &[outcome]);
    world.pass(minutes(2));
    assert_eq!(
        world.claim_why(session, 1, 2).1,
        Some(Shortage::SetAside { leads: 1 })
    );
}

#[test]
fn a_lowered_limit_of_attempts_holds_at_once() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let outcome = world.dialed(&lead, Disposition::NoAnswer);
    world.report(session, &[outcome]);
    world.campaign(Campaign {
        attempts_max: 1,
        ..campaign()
    });
    world.pass(minutes(31));
    assert_eq!(
        world.claim_why(session, 1, 2).1,
        Some(Shortage::SetAside { leads: 1 })
    );
}
