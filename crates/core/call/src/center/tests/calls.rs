//! Calls: matched, waiting, joined, wrapped up, disposed.

use super::*;

#[test]
fn a_call_goes_from_lease_to_disposition() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Ringing);
    floor.wait(Duration::from_secs(5));
    floor.event(LegId(1), LegEvent::Answered);
    let agent_leg = floor.center.agent_leg_of(ANN).unwrap();
    assert_eq!(
        floor.legs(),
        [LegCommand::Bridge {
            a: LegId(1),
            b: agent_leg
        }]
    );
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    floor.wait(Duration::from_secs(60));
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(
        floor.legs(),
        [LegCommand::Unbridge {
            a: LegId(1),
            b: agent_leg
        }]
    );
    assert_eq!(floor.state(ANN), AgentState::WrapUp);
    // Nothing is acknowledged, closed or changed before the journal has it.
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = floor.token();
    assert!(floor.closed().is_empty());
    assert_eq!(floor.state(ANN), AgentState::WrapUp);
    floor.put(Input::Persisted { token }).unwrap();
    assert_eq!(floor.replied(RequestId(floor.requests)), Some(Ok(())));
    let end = floor.closed()[0].clone();
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
    assert_eq!(end.ended_by, Some(EndedBy::Callee));
    let record = end.record(domain::MemberId(3), None, None, None).unwrap();
    assert_eq!(record.disposition_name, "sale");
    assert_eq!(record.agent, Some(ANN));
    assert_eq!(
        record.closed_at.since(record.answered_at.unwrap()),
        Duration::from_secs(60)
    );
    assert_eq!(floor.state(ANN), AgentState::Ready);
    assert_eq!(
        floor.put(Input::Persisted { token }),
        Err(Rejected::UnknownToken(token))
    );
}

#[test]
fn the_longest_idle_agent_is_joined_first() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(BEN);
    floor.wait(Duration::from_secs(1));
    floor.ready(ANN);
    for n in [1, 2] {
        floor.dial(n, &campaign);
        floor.event(LegId(n), LegEvent::Answered);
    }
    assert_eq!(
        floor.center.card(attempt(1)).unwrap().number,
        "+1415*****34"
    );
    let bound: Vec<_> = floor
        .center
        .agents()
        .map(|(id, _, call)| (id, call))
        .collect();
    assert_eq!(bound, [(ANN, Some(attempt(2))), (BEN, Some(attempt(1)))]);
}

#[test]
fn a_person_without_an_agent_waits_then_hears_the_message() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    for n in [1, 2, 3] {
        floor.dial(n, &campaign);
        floor.event(LegId(n), LegEvent::Answered);
    }
    assert_eq!(floor.view(&campaign).waiting, 2);
    floor.wait(Duration::from_millis(1999));
    assert!(floor.out.is_empty());
    floor.wait(Duration::from_millis(1));
    let play = |n| LegCommand::Play {
        leg: LegId(n),
        prompt: Prompt::SafeHarbour,
    };
    assert_eq!(floor.legs(), [play(2), play(3)]);
    // An agent who comes now is not joined any more.
    floor.ready(BEN);
    assert_eq!(floor.state(BEN), AgentState::Ready);
    // One hears it out, one opts out.
    floor.event(LegId(2), LegEvent::Played);
    assert_eq!(floor.closed()[0].disposition, Disposition::Abandoned);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg: LegId(2) }]);
    floor.event(LegId(3), LegEvent::Digit('1'));
    assert!(floor.out.is_empty());
    floor.event(LegId(3), LegEvent::Digit('9'));
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::AddDoNotCall {
            source: domain::DncSource::Person,
            ..
        }
    )));
    assert_eq!(floor.closed()[0].disposition, Disposition::Abandoned);
}

#[test]
fn an_agent_who_becomes_ready_takes_the_waiting_person() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.log_in(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    floor.wait(Duration::from_millis(1500));
    assert_eq!(floor.press(ANN, AgentCommand::Ready), Some(Ok(())));
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    assert!(floor.out.contains(&Output::Observed(Observed::Joined {
        campaign: campaign.id,
        waited: Duration::from_millis(1500)
    })));
}

/// The first line, answered, with somebody listening for three seconds at most.
pub(super) fn answered_and_listened_to(floor: &mut Floor, campaign: &Arc<Campaign>) {
    floor
        .put(Input::Dial {
            lease: lease(1, campaign.id),
            campaign: Arc::clone(campaign),
            leg: LegId(1),
            screening: Some(Duration::from_secs(3)),
        })
        .unwrap();
    let facts = facts(floor.now);
    let attempt = attempt(1);
    floor.put(Input::Dialed { attempt, facts }).unwrap();
    floor.event(LegId(1), LegEvent::Answered);
}

pub(super) fn heard(verdict: Verdict, silence_ms: u32) -> WhoAnswered {
    WhoAnswered {
        verdict,
        reason: Reason::GreetingEnded,
        took_ms: 1_200,
        greeting: Greeting {
            silence_ms,
            utterances: 1,
            ..Greeting::default()
        },
    }
}

#[test]
fn machines_do_not_reach_agents() {
    for (verdict, expected) in [
        (Verdict::Machine, Some(Disposition::Machine)),
        (Verdict::Busy, Some(Disposition::Machine)),
        (Verdict::Fax, Some(Disposition::Fax)),
        (Verdict::Human, None),
        (Verdict::Silence, None),
        (Verdict::Unknown, None),
    ] {
        let mut floor = Floor::new();
        let campaign = progressive();
        floor.ready(ANN);
        answered_and_listened_to(&mut floor, &campaign);
        assert_eq!(floor.view(&campaign).lines[0].phase, LinePhase::Screening);
        let who = heard(verdict, 0);
        let attempt = attempt(1);
        floor.put(Input::Screened { attempt, who }).unwrap();
        assert!(
            floor.view(&campaign).lines.is_empty(),
            "pacing's line is free"
        );
        match expected {
            Some(disposition) => {
                let end = floor.closed()[0];
                assert_eq!((end.disposition, end.who), (disposition, Some(who)));
                assert_eq!(floor.state(ANN), AgentState::Ready);
                let abandoned = |output: &Output| {
                    matches!(output, Output::Observed(Observed::Abandoned { .. }))
                };
                assert!(!floor.out.iter().any(abandoned));
            }
            None => assert_eq!(floor.state(ANN), AgentState::OnCall),
        }
    }
}

#[test]
fn a_listener_that_cannot_tell_in_time_lets_the_person_through() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    answered_and_listened_to(&mut floor, &campaign);
    floor.wait(Duration::from_secs(3));
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    let who = WhoAnswered::untold(3_000);
    let campaign = campaign.id;
    assert!(
        floor
            .out
            .contains(&Output::Observed(Observed::Screened { campaign, who }))
    );
    let late = heard(Verdict::Machine, 0);
    let attempt = attempt(1);
    let input = Input::Screened { attempt, who: late };
    assert!(floor.put(input).is_err(), "nobody is hung up on afterwards");
}

#[test]
fn the_wait_for_an_agent_counts_from_the_end_of_the_greeting() {
    for (silence_ms, utterances, left) in [(700, 1, 1_300), (0, 1, 2_000), (4_000, 0, 2_000)] {
        let mut floor = Floor::new();
        let campaign = ratio();
        assert_eq!(campaign.answer_limit, Duration::from_secs(2));
        floor.log_in(ANN);
        answered_and_listened_to(&mut floor, &campaign);
        floor.wait(Duration::from_millis(900));
        let mut who = heard(Verdict::Human, silence_ms);
        who.greeting.utterances = utterances;
        let attempt = attempt(1);
        floor.put(Input::Screened { attempt, who }).unwrap();
        let waited = campaign.answer_limit;
        let campaign = campaign.id;
        let abandoned = Output::Observed(Observed::Abandoned { campaign, waited });
        floor.wait(Duration::from_millis(left - 1));
        assert!(!floor.out.contains(&abandoned));
        floor.wait(Duration::from_millis(1));
        assert!(floor.out.contains(&abandoned), "{silence_ms} {utterances}");
    }
}

#[test]
fn who_hangs_up_while_somebody_listens_is_counted_as_any_other() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    answered_and_listened_to(&mut floor, &campaign);
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.closed()[0].disposition, Disposition::Abandoned);
    let to = AttemptState::WaitingForAgent;
    let counted = Observed::Attempt {
        attempt: attempt(1),
        campaign: campaign.id,
        to,
    };
    assert!(
        floor.out.contains(&Output::Observed(counted)),
        "as an answer, too"
    );
    assert_eq!(floor.state(ANN), AgentState::Ready);
}

#[test]
fn wrap_up_ends_with_the_default_which_is_kept_first() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.press(ANN, AgentCommand::HangUp), Some(Ok(())));
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
    let deadline = floor.center.agent_status(ANN).unwrap().deadline;
    assert_eq!(deadline, Some(floor.now.wall + campaign.wrap_up_limit));
    floor.wait(campaign.wrap_up_limit);
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(0)));
    assert_eq!(end.ended_by, Some(EndedBy::Caller));
}

#[test]
fn what_an_agent_asks_during_a_call_comes_after_it() {
    for (command, expected) in [
        (
            AgentCommand::Pause {
                code: PauseCode("lunch".into()),
            },
            AgentState::Paused(PauseCode("lunch".into())),
        ),
        (AgentCommand::LogOut, AgentState::LoggedOut),
        (AgentCommand::Ready, AgentState::Ready),
    ] {
        let mut floor = Floor::new();
        let mut manual = campaign(1, PacingMode::Ratio);
        manual.auto_ready = false;
        floor.ready(ANN);
        floor.dial(1, &Arc::new(manual));
        floor.event(LegId(1), LegEvent::Answered);
        assert_eq!(floor.press(ANN, command), Some(Ok(())));
        assert_eq!(floor.state(ANN), AgentState::OnCall);
        // Disposed during the call: no wrap-up is left.
        assert_eq!(floor.press(ANN, dispose("sale")), None);
        let token = floor.token();
        floor.put(Input::Persisted { token }).unwrap();
        assert_eq!(floor.state(ANN), AgentState::OnCall);
        assert_eq!(
            floor.press(ANN, dispose("no_sale")),
            Some(Err("DM3011".into()))
        );
        floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
        assert_eq!(floor.closed().len(), 1);
        assert_eq!(floor.state(ANN), expected);
    }
}

#[test]
fn without_auto_ready_wrap_up_ends_in_a_pause() {
    let mut floor = Floor::new();
    let mut manual = campaign(1, PacingMode::Ratio);
    manual.auto_ready = false;
    floor.ready(ANN);
    floor.dial(1, &Arc::new(manual));
    floor.event(LegId(1), LegEvent::Answered);
    floor.wait(Duration::from_secs(600));
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
    assert_eq!(floor.press(ANN, dispose("never_again")), None);
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::AddDoNotCall {
            source: domain::DncSource::Agent,
            ..
        }
    )));
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    assert_eq!(floor.state(ANN), AgentState::Paused(PauseCode::default()));
}

#[test]
fn a_disposition_being_written_outlives_its_agent() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    floor.press(ANN, dispose("sale"));
    let (token, request) = (floor.token(), RequestId(floor.requests));
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, failed(0));
    assert!(floor.closed().is_empty());
    floor.ready(ANN);
    floor.put(Input::Persisted { token }).unwrap();
    assert_eq!(floor.replied(request), Some(Ok(())));
    let end = floor.closed()[0];
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
    assert_eq!(floor.state(ANN), AgentState::Ready);
}

#[test]
fn dispositions_are_checked_field_by_field() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    let with = |disposition: &str, note: usize, callback_at| AgentCommand::Dispose {
        disposition: disposition.into(),
        note: "n".repeat(note),
        callback_at,
    };
    let at_most = domain::limits::NOTE_BYTES;
    let later = floor.now.wall + Duration::from_secs(60);
    let far = floor.now.wall + limits::CALLBACK_AHEAD;
    for (command, code) in [
        (with("maybe", 0, None), "DM3010"),
        (with("sale", at_most + 1, None), "DM3012"),
        (with("sale", 0, Some(floor.now.wall)), "DM3013"),
        (
            with("sale", 0, Some(far + Duration::from_millis(1))),
            "DM3013",
        ),
        (with("never_again", 0, Some(later)), "DM3014"),
    ] {
        assert_eq!(floor.press(ANN, command), Some(Err(code.into())), "{code}");
        assert_eq!(floor.out.len(), 1);
    }
    assert_eq!(floor.press(ANN, with("sale", at_most, Some(far))), None);
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    let end = floor.closed()[0];
    assert_eq!(end.callback_at, Some(far));
    assert_eq!(end.note.len(), at_most);
}
