//! Lines: dialed, rung out, cancelled, kept agents, limits.

use super::*;

#[test]
fn ringing_ends_at_the_limit_and_a_late_answer_is_never_joined() {
    for late_answer in [false, true] {
        let mut floor = Floor::new();
        let campaign = ratio();
        floor.ready(ANN);
        floor.dial(1, &campaign);
        floor.event(LegId(1), LegEvent::Ringing);
        floor.wait(Duration::from_secs(25));
        assert_eq!(floor.legs(), [LegCommand::Cancel { leg: LegId(1) }]);
        assert!(floor.view(&campaign).lines.is_empty());
        if late_answer {
            floor.event(LegId(1), LegEvent::Answered);
            assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(1) }]);
        } else {
            floor.event(LegId(1), failed(487));
        }
        let end = floor.closed()[0];
        assert_eq!(end.disposition, Disposition::NoAnswer);
        assert_eq!(end.answered_at.is_some(), late_answer);
        assert_eq!(floor.state(ANN), AgentState::Ready);
    }
}

#[test]
fn a_cancelled_leg_that_stays_silent_is_closed() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.dial(1, &campaign);
    floor
        .put(Input::CancelAttempt {
            attempt: attempt(1),
            reason: CancelReason::DoNotCall,
        })
        .unwrap();
    floor.wait(Duration::from_secs(60));
    assert_eq!(floor.closed()[0].disposition, Disposition::Cancelled);
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(1) }]);
}

#[test]
fn a_wish_to_cancel_before_the_invite_left_is_kept() {
    for dialed in [false, true] {
        let mut floor = Floor::new();
        let campaign = ratio();
        let dial = |n| Input::Dial {
            lease: lease(n, campaign.id),
            campaign: campaign.clone(),
            leg: LegId(n),
            screening: None,
        };
        floor.put(dial(1)).unwrap();
        assert_eq!(floor.put(dial(1)), Err(Rejected::KnownAttempt(attempt(1))));
        let cancel = Input::CancelAttempt {
            attempt: attempt(1),
            reason: CancelReason::ValidityEnded,
        };
        floor.put(cancel).unwrap();
        assert!(floor.out.is_empty());
        if dialed {
            floor
                .put(Input::Dialed {
                    attempt: attempt(1),
                    facts: facts(floor.now),
                })
                .unwrap();
            assert_eq!(floor.legs(), [LegCommand::Cancel { leg: LegId(1) }]);
            floor.event(LegId(1), failed(487));
            let outcome = floor.closed()[0].outcome();
            assert!(matches!(outcome, domain::CallOutcome::Dialed { .. }));
        } else {
            floor
                .put(Input::NotDialed {
                    attempt: attempt(1),
                })
                .unwrap();
            let outcome = floor.closed()[0].outcome();
            assert!(matches!(outcome, domain::CallOutcome::Undialed { .. }));
            assert_eq!(
                floor.closed()[0].record(domain::MemberId(1), None, None, None),
                None
            );
        }
    }
}

#[test]
fn an_engine_that_stays_silent_leaves_an_unknown_end() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor
        .put(Input::Dial {
            lease: lease(1, campaign.id),
            campaign,
            leg: LegId(1),
            screening: None,
        })
        .unwrap();
    floor.wait(Duration::from_secs(10));
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::Unknown);
    assert!(matches!(end.outcome(), domain::CallOutcome::Dialed { .. }));
}

#[test]
fn the_next_trunk_may_be_tried_before_ringing_only() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.dial(1, &campaign);
    let again = Input::Dialed {
        attempt: attempt(1),
        facts: facts(floor.now),
    };
    floor.put(again.clone()).unwrap();
    floor.event(LegId(1), LegEvent::EarlyMedia);
    assert!(matches!(floor.put(again), Err(Rejected::NotAllowed { .. })));
    floor.event(
        LegId(1),
        LegEvent::Failed(Failure {
            local: Some(LocalCause::TimedOut),
            ..Failure::default()
        }),
    );
    assert_eq!(floor.closed()[0].disposition, Disposition::NoAnswer);
}

#[test]
fn a_progressive_line_keeps_an_agent() {
    let mut floor = Floor::new();
    let campaign = progressive();
    let dial = |n| Input::Dial {
        lease: lease(n, campaign.id),
        campaign: campaign.clone(),
        leg: LegId(n),
        screening: None,
    };
    assert_eq!(floor.put(dial(1)), Err(Rejected::NoReadyAgent(campaign.id)));
    floor.ready(ANN);
    floor.put(dial(1)).unwrap();
    assert_eq!(floor.state(ANN), AgentState::Reserved);
    assert_eq!(floor.put(dial(2)), Err(Rejected::NoReadyAgent(campaign.id)));
    let view = floor.view(&campaign);
    assert_eq!((view.ready, view.reserved, view.lines.len()), (0, 1, 1));
    floor
        .put(Input::NotDialed {
            attempt: attempt(1),
        })
        .unwrap();
    assert_eq!(floor.state(ANN), AgentState::Ready);
}

#[test]
fn a_line_whose_agent_left_takes_another_or_rings_the_minimum() {
    let mut floor = Floor::new();
    let campaign = progressive();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Ringing);
    floor.wait(Duration::from_secs(3));
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.state(ANN), AgentState::LoggedOut);
    assert!(floor.legs().is_empty());
    floor.wait(Duration::from_secs(11));
    assert!(floor.legs().is_empty());
    // Another agent becomes ready and takes the line; then leaves too.
    floor.log_in(BEN);
    assert_eq!(floor.press(BEN, AgentCommand::Ready), Some(Ok(())));
    assert_eq!(floor.state(BEN), AgentState::Reserved);
    let leg = floor.center.agent_leg_of(BEN).unwrap();
    floor.event(leg, LegEvent::HungUp { by_peer: true });
    floor.wait(Duration::from_secs(1));
    assert_eq!(floor.legs(), [LegCommand::Cancel { leg: LegId(1) }]);
    floor.event(LegId(1), failed(487));
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::Cancelled);
    assert_eq!(end.cancelled, Some(CancelReason::AgentGone));
}

#[test]
fn a_campaign_that_stops_cancels_what_was_not_answered() {
    let mut floor = Floor::new();
    let running = ratio();
    floor.ready(ANN);
    for n in [1, 2] {
        floor.dial(n, &running);
    }
    floor.event(LegId(1), LegEvent::Answered);
    let mut paused = (*running).clone();
    paused.state = CampaignState::Paused;
    let paused = Arc::new(paused);
    floor.put(Input::Campaign(paused.clone())).unwrap();
    assert_eq!(floor.legs(), [LegCommand::Cancel { leg: LegId(2) }]);
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    assert_eq!(
        floor.put(Input::CancelAttempt {
            attempt: attempt(1),
            reason: CancelReason::CampaignPaused
        }),
        Err(Rejected::TooLate {
            attempt: attempt(1),
            state: AttemptState::Bridged
        })
    );
    assert_eq!(
        floor.put(Input::Dial {
            lease: lease(3, paused.id),
            campaign: paused.clone(),
            leg: LegId(3),
            screening: None
        }),
        Err(Rejected::NotRunning(paused.id))
    );
}

#[test]
fn the_node_takes_so_many_attempts_and_agents() {
    let mut floor = Floor::new();
    let campaign = ratio();
    let most = domain::limits::NODE_ATTEMPTS;
    let dial = |n: usize| Input::Dial {
        lease: lease(n as u64, campaign.id),
        campaign: campaign.clone(),
        leg: LegId(n as u64),
        screening: None,
    };
    for n in 0..most {
        floor.center.handle(floor.now, dial(n)).unwrap();
        floor.drain();
    }
    assert_eq!(
        floor.center.handle(floor.now, dial(most)),
        Err(Rejected::TooManyAttempts {
            attempt: attempt(most as u64),
            limit: most
        })
    );
    let most = domain::limits::NODE_AGENTS as u32;
    for n in 0..=most {
        let account = Account {
            agent: AgentId(n),
            campaigns: vec![],
            enabled: true,
        };
        floor
            .center
            .handle(floor.now, Input::Account(account))
            .unwrap();
        let log_in = Input::Agent {
            agent: AgentId(n),
            request: RequestId(u64::from(n)),
            command: AgentCommand::LogIn,
        };
        floor.center.handle(floor.now, log_in).unwrap();
        floor.drain();
        let reply = floor.replied(RequestId(u64::from(n)));
        let expected = if n < most {
            Ok(())
        } else {
            Err("DM3005".to_owned())
        };
        assert_eq!(reply, Some(expected));
    }
}

#[test]
fn leg_ids_are_checked() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.dial(1, &campaign);
    for (leg, n) in [(LegId(1), 2), (LegId(crate::AGENT_LEGS), 3)] {
        assert_eq!(
            floor.put(Input::Dial {
                lease: lease(n, campaign.id),
                campaign: campaign.clone(),
                leg,
                screening: None
            }),
            Err(Rejected::LegTaken(leg))
        );
    }
    floor
        .put(Input::Dial {
            lease: lease(4, CampaignId(9)),
            campaign: campaign.clone(),
            leg: LegId(4),
            screening: None,
        })
        .unwrap_err();
}
