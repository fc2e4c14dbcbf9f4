use super::*;

/// Ring limit, INVITE lifetime, talk limit, with drift: what a doubt lasts at least.
fn doubt() -> Duration {
    Duration::from_secs(30 + 32 + 600) * 102 / 100
}

#[test]
fn dispositions_rest_or_finish_a_lead() {
    use Disposition as D;
    let agent = |code| D::Agent(DispositionCode(code));
    let rest = |span: Duration| LeadStanding::Waiting(WallTime::from_millis(NOON) + span);
    for (disposition, callback, expected) in [
        (D::NoAnswer, None, rest(minutes(30))),
        (D::NoAnswer, Some(minutes(5)), rest(minutes(5))),
        (D::Busy, None, LeadStanding::Finished(D::Busy)),
        (D::Cancelled, None, rest(limits::DEFAULT_RETRY_DELAY)),
        (D::Cancelled, Some(minutes(5)), rest(minutes(5))),
        (
            D::Unallocated,
            Some(minutes(5)),
            LeadStanding::Finished(D::Unallocated),
        ),
        (agent(0), None, LeadStanding::Finished(agent(0))),
        (agent(0), Some(minutes(90)), rest(minutes(90))),
        (agent(1), None, rest(limits::DEFAULT_RETRY_DELAY)),
        (
            agent(2),
            Some(minutes(90)),
            LeadStanding::Finished(agent(2)),
        ),
        (agent(63), None, LeadStanding::Finished(agent(63))),
    ] {
        let mut world = World::new(1);
        let session = world.open(NODE, 1);
        let lead = world.claim(session, 1, 1).remove(0);
        let mut outcome = world.dialed(&lead, disposition);
        if let CallOutcome::Dialed { callback_at, .. } = &mut outcome {
            *callback_at = callback.map(|span| WallTime::from_millis(NOON) + span);
        }
        world.report(session, &[outcome]);
        assert_eq!(
            world.standing(&lead),
            expected,
            "{disposition:?} {callback:?}"
        );
        assert_eq!(world.ledger.stats(CAMPAIGN).total(), 1);
        // A repetition changes nothing.
        assert_eq!(world.report(session, &[outcome]).closed_before, 1);
        assert_eq!(world.ledger.attempts_at(number(0)).0.len(), 1);
    }
}

#[test]
fn attempts_run_out_by_rule_and_by_campaign() {
    for (rule, campaign_max, tries) in [(2, 9, 2), (9, 2, 2), (1, 9, 1)] {
        let mut world = World::new(1);
        let retry = RetryRule {
            after: Disposition::NoAnswer,
            delay: minutes(30),
            attempts_max: rule,
        };
        world.campaign(Campaign {
            attempts_max: campaign_max,
            retry: vec![retry],
            ..campaign()
        });
        let session = world.open(NODE, 1);
        let mut made = 0;
        for sequence in 1..9 {
            for lead in world.claim(session, 1, sequence) {
                made += 1;
                let outcome = world.dialed(&lead, Disposition::NoAnswer);
                world.report(session, &[outcome]);
            }
            world.pass(minutes(31));
        }
        assert_eq!(made, tries);
        let finished = vec![(Disposition::NoAnswer, 1)];
        assert_eq!(world.ledger.stats(CAMPAIGN).finished, finished);
    }
}

#[test]
fn gaps_count_from_the_last_invite_within_reason() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let claimed = WallTime::from_millis(NOON);
    world.pass(minutes(20));
    for (invited, counts_from) in [
        (claimed + minutes(5), claimed + minutes(5)),
        (claimed - minutes(5), claimed),
        (claimed + minutes(50), claimed + minutes(20)),
    ] {
        let mut copy = World {
            ledger: world.ledger.clone(),
            events: Vec::new(),
            ..world
        };
        let mut outcome = world.dialed(&lead, Disposition::NoAnswer);
        if let CallOutcome::Dialed { invited_at, .. } = &mut outcome {
            *invited_at = invited;
        }
        copy.report(session, &[outcome]);
        let due = counts_from + minutes(30);
        assert_eq!(copy.standing(&lead), LeadStanding::Waiting(due));
    }
}

#[test]
fn outcomes_of_others_are_refused() {
    let mut world = World::new(2);
    let session = world.open(NODE, 1);
    let other = world.open(MemberId(6), 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let unknown = CallOutcome::Undialed {
        lead: LeadId::new(REGION, 99),
        attempt: lead.attempt,
    };
    let counts = world.report(other, &[undialed(&lead), unknown]);
    let refused = [
        (0, OutcomeRefusal::OtherSession),
        (1, OutcomeRefusal::UnknownLead),
    ];
    assert_eq!(counts.refused, refused);
    assert_eq!(world.standing(&lead), LeadStanding::Leased);
    let settled = world.settle(1, &[undialed(&lead)], Proof::SameBoot);
    assert_eq!(settled.refused, [(0, OutcomeRefusal::StillOpen)]);
    let many = vec![undialed(&lead); limits::OUTCOME_BATCH];
    assert_eq!(
        world.report(session, &many).closed_before,
        limits::OUTCOME_BATCH as u32 - 1
    );
    let over = RegionCommand::Report {
        session,
        sequence: 1,
        outcomes: vec![undialed(&lead); limits::OUTCOME_BATCH + 1],
    };
    assert!(matches!(
        world.apply(over),
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
}

#[test]
fn one_run_has_one_session_and_a_new_run_ends_the_old() {
    let mut world = World::new(1);
    let first = world.open(NODE, 3);
    assert_eq!(world.open(NODE, 3), first, "a repeated command");
    let stale = world.open_reply(NODE, 2);
    assert!(matches!(
        stale,
        RegionReply::Refused(RegionRefusal::StaleIncarnation { .. })
    ));
    let lead = world.claim(first, 1, 1).remove(0);
    let second = world.open(NODE, 4);
    assert_ne!(first, second);
    assert_eq!(world.standing(&lead), LeadStanding::InDoubt);
    assert!(world.events.contains(&RegionEvent::SessionEnded {
        session: first,
        node: NODE,
        end: SessionEnd::Superseded
    }));
    let refused = RegionReply::Refused(RegionRefusal::SessionEnded { session: first });
    assert_eq!(world.claim_reply(first, 1, 2), refused);
    assert!(world.claim(second, 1, 1).is_empty());
    for ttl in [limits::SESSION_TTL_MIN, limits::SESSION_TTL_MAX] {
        for (ttl, good) in [
            (ttl, true),
            (limits::SESSION_TTL_MIN - Duration::from_nanos(1), false),
            (limits::SESSION_TTL_MAX + Duration::from_nanos(1), false),
        ] {
            let reply = world.apply(RegionCommand::OpenSession {
                node: MemberId(7),
                incarnation: Incarnation(1),
                ttl,
            });
            assert_eq!(matches!(reply, RegionReply::SessionOpened { .. }), good);
        }
    }
}

#[test]
fn doubt_lasts_as_long_as_the_network_may_work() {
    for superseded in [false, true] {
        let mut world = World::new(1);
        let session = world.open(NODE, 1);
        let lead = world.claim(session, 1, 1).remove(0);
        world.pass(minutes(1));
        let mut span = doubt() + limits::TICK_MAX;
        if superseded {
            // It might live beside its successor until its validity ends.
            span += T * 102 / 100;
            world.open(NODE, 2);
        } else {
            assert_eq!(
                world.expire(session),
                RegionReply::SessionEnded { in_doubt: 1 }
            );
        }
        assert_eq!(world.ledger.stats(CAMPAIGN).in_doubt, 1);
        // A calendar that runs away ends no doubt.
        world.pass(minutes(60 * 24 * 69));
        assert_eq!(world.tick(span - Duration::from_secs(1)), 0, "{superseded}");
        assert_eq!(world.standing(&lead), LeadStanding::InDoubt);
        assert_eq!(world.tick(Duration::from_secs(2)), 1);
        let Some(RegionEvent::AttemptsLost(lost)) = world.events.last() else {
            panic!("{:?}", world.events.last());
        };
        assert_eq!((lost[0].attempt, lost[0].node), (lead.attempt, NODE));
        let stats = world.ledger.stats(CAMPAIGN);
        assert_eq!((stats.in_doubt, stats.due), (0, 1));
        assert!(
            world.ledger.session(session).is_none(),
            "nothing is left of it"
        );
        // It counted as an attempt, and its late truth changes nothing any more.
        assert_eq!(world.ledger.attempts_at(number(0)).0.len(), 1);
        let late = world.dialed(&lead, Disposition::Busy);
        assert_eq!(world.report(session, &[late]).closed_before, 1);
        let node = world.open(MemberId(9), 1);
        assert_eq!(world.claim(node, 1, 1)[0].attempt_count, 2);
    }
}

#[test]
fn raised_limits_prolong_doubts() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    world.claim(session, 1, 1);
    world.expire(session);
    world.campaign(Campaign {
        talk_limit: minutes(20),
        version: 2,
        ..campaign()
    });
    world.campaign(Campaign {
        talk_limit: minutes(1),
        version: 3,
        ..campaign()
    });
    assert_eq!(world.tick(doubt() + minutes(9)), 0);
    assert_eq!(world.tick(minutes(3)), 1);
}

#[test]
fn late_facts_of_an_ended_session_resolve_doubt() {
    let mut world = World::new(3);
    let session = world.open(NODE, 1);
    let leads = world.claim(session, 3, 1);
    world.expire(session);
    let outcome = world.dialed(&leads[0], Disposition::NoAnswer);
    let counts = world.report(session, &[outcome, undialed(&leads[1])]);
    assert_eq!((counts.accepted, counts.refunded), (1, 1));
    let due = WallTime::from_millis(NOON) + minutes(30);
    assert_eq!(world.standing(&leads[0]), LeadStanding::Waiting(due));
    assert_eq!(world.standing(&leads[1]), LeadStanding::Due);
    assert_eq!(world.standing(&leads[2]), LeadStanding::InDoubt);
    assert_eq!(world.ledger.session(session).unwrap().leads, 1);
    assert_eq!(
        world.tick(doubt() + limits::TICK_MAX * 2),
        1,
        "only the third"
    );
}

#[test]
fn a_journal_refunds_what_it_can_prove() {
    for (proof, refunds) in [
        (Proof::SameBoot, true),
        (Proof::CleanStop, true),
        (Proof::PowerLoss, false),
    ] {
        let mut world = World::new(2);
        let session = world.open(NODE, 1);
        let leads = world.claim(session, 2, 1);
        world.open(NODE, 2);
        let outcome = world.dialed(&leads[0], Disposition::Busy);
        let counts = world.settle(1, &[outcome, undialed(&leads[1])], proof);
        assert_eq!(counts.accepted, 1, "the truth is taken whatever the proof");
        assert_eq!(counts.refunded, u32::from(refunds));
        let expected = if refunds {
            LeadStanding::Due
        } else {
            LeadStanding::InDoubt
        };
        assert_eq!(world.standing(&leads[1]), expected);
        let again = world.settle(1, &[outcome], proof);
        assert_eq!(again.closed_before, 1);
        assert_eq!(world.settle(2, &[undialed(&leads[1])], proof).accepted, 0);
    }
}

/// Found by the fault simulator: a process that died with a call in the air came back, told
/// `Unknown`, and the number was dialed again while the network still worked on the first call.
#[test]
fn an_unknown_end_ends_no_doubt() {
    for proof in [Proof::SameBoot, Proof::CleanStop, Proof::PowerLoss] {
        let mut world = World::new(1);
        let session = world.open(NODE, 1);
        let lead = world.claim(session, 1, 1).remove(0);
        world.open(NODE, 2);
        let outcome = world.dialed(&lead, Disposition::Unknown);
        let counts = world.settle(1, &[outcome], proof);
        assert_eq!(counts.refused, [(0, OutcomeRefusal::UnknownEnd)]);
        assert_eq!(world.standing(&lead), LeadStanding::InDoubt);
        world.tick(doubt() + with_room());
        let LeadStanding::Waiting(due) = world.standing(&lead) else {
            panic!("{:?}", world.standing(&lead));
        };
        assert!(due >= WallTime::from_millis(NOON) + minutes(30));
    }
}

/// A city cut off for longer than any doubt tells of an abandoned call when the region has long
/// called it lost: the gap holds all the same.
#[test]
fn an_abandonment_told_after_the_doubt_still_keeps_its_gap() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let lead = world.claim(session, 1, 1).remove(0);
    let outcome = world.dialed(&lead, Disposition::Abandoned);
    world.expire(session);
    assert_eq!(world.tick(doubt() + with_room()), 1);
    for _ in 0..2 {
        assert_eq!(world.report(session, &[outcome]).closed_before, 1);
    }
    let next = world.open(NODE, 2);
    for (sequence, hours, expected) in [(1, 2, 0), (2, 60, 0), (3, 10, 1)] {
        world.pass(minutes(60 * hours));
        let leads = world.claim(next, 1, sequence);
        assert_eq!(leads.len(), expected, "after {hours} more hours");
    }
}

/// Longer than what an end by supersession adds to a doubt.
fn with_room() -> Duration {
    T * 2 + limits::TICK_MAX * 2
}

#[test]
fn a_second_restart_forgets_no_doubt() {
    let mut world = World::new(2);
    let first = world.open(NODE, 1);
    let early = world.claim(first, 1, 1).remove(0);
    let second = world.open(NODE, 2);
    let late = world.claim(second, 1, 1).remove(0);
    let third = world.open(NODE, 3);
    for lead in [&early, &late] {
        assert_eq!(world.standing(lead), LeadStanding::InDoubt);
    }
    assert!(world.claim(third, 2, 1).is_empty());
    let counts = world.settle(1, &[undialed(&early), undialed(&late)], Proof::SameBoot);
    assert_eq!(counts.refunded, 1);
    assert_eq!(counts.refused, [(1, OutcomeRefusal::OtherSession)]);
}

#[test]
fn closing_in_order_leaves_nothing_behind() {
    let mut world = World::new(2);
    let session = world.open(NODE, 1);
    let leads = world.claim(session, 2, 1);
    world.report(session, &[undialed(&leads[0]), undialed(&leads[1])]);
    let closed = world.apply(RegionCommand::CloseSession { session });
    assert_eq!(closed, RegionReply::SessionEnded { in_doubt: 0 });
    assert_eq!(world.ledger.sessions().count(), 0);
    let again = world.apply(RegionCommand::CloseSession { session });
    assert_eq!(
        again,
        RegionReply::Refused(RegionRefusal::SessionEnded { session })
    );
}

#[test]
fn only_the_leader_of_the_last_tick_expires() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    let next = Leadership {
        term: 2,
        member: MemberId(2),
    };
    let tick = |leadership, after| RegionCommand::Tick {
        leadership,
        after,
        elapsed: Duration::ZERO,
    };
    let last = world.ledger.last_tick();
    world.apply(tick(next, last));
    let stale = |current| {
        RegionReply::Refused(RegionRefusal::StaleLeader {
            got: LEADER,
            current,
        })
    };
    let expire = |leadership| RegionCommand::ExpireSession {
        session,
        leadership,
    };
    assert_eq!(world.apply(expire(LEADER)), stale(next));
    let last = world.ledger.last_tick();
    assert_eq!(world.apply(tick(LEADER, last)), stale(next));
    // The same tick, proposed twice, counts once.
    assert!(matches!(
        world.apply(tick(next, last)),
        RegionReply::Ticked { .. }
    ));
    let repeated = world.apply(tick(next, last));
    assert!(matches!(
        repeated,
        RegionReply::Refused(RegionRefusal::StaleTick { .. })
    ));
    assert!(matches!(
        world.apply(expire(next)),
        RegionReply::SessionEnded { .. }
    ));
}

#[test]
fn a_tick_counts_at_most_its_limit() {
    let mut world = World::new(1);
    let session = world.open(NODE, 1);
    world.claim(session, 1, 1);
    world.expire(session);
    for _ in 0..100 {
        let command = RegionCommand::Tick {
            leadership: LEADER,
            after: world.ledger.last_tick(),
            elapsed: Duration::from_secs(100_000),
        };
        let reply = world.apply(command);
        assert_eq!(reply, RegionReply::Ticked { doubts_ended: 0 });
    }
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::new(0);
    for node in 0..limits::SESSIONS as u64 {
        world.ledger.sessions.insert(
            SessionId(1_000_000 + node),
            Session {
                node: MemberId(100 + node),
                incarnation: Incarnation(1),
                ttl: T,
                opened_at: WallTime::EPOCH,
                ended: None,
                claims: crate::origin::Answers::default(),
            },
        );
    }
    let over = world.open_reply(NODE, 1);
    assert!(matches!(
        over,
        RegionReply::Refused(RegionRefusal::TooMany { .. })
    ));
    world.ledger.sessions.pop_last();
    world.open(NODE, 1);
}
