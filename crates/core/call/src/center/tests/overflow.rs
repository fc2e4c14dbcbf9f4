//! Overflow: agents lent to persons here, and persons who are another node's.

use super::*;
use crate::RecordingState;

/// Another node's agent, and the leg to there.
const ZOE: AgentId = AgentId(70);
const AWAY: LegId = LegId(700);

fn lent(n: u64) -> Input {
    Input::AgentLent {
        attempt: attempt(n),
        agent: ZOE,
        leg: AWAY,
    }
}

fn disposed(n: u64, name: &str) -> Input {
    Input::LentDisposed {
        attempt: attempt(n),
        disposition: name.into(),
        note: "far".into(),
        callback_at: None,
    }
}

/// A person who waits, with nobody here.
fn waiting() -> Floor {
    let mut floor = Floor::new();
    floor.dial(1, &ratio());
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.center.waiting(), [attempt(1)]);
    floor
}

/// A person of another node, for whom Ann is kept.
fn offered() -> Floor {
    let mut floor = Floor::new();
    floor.ready(ANN);
    let campaign = ratio();
    let offer = || Input::Offered {
        lead: Box::new(lease(1, campaign.id)),
        campaign: campaign.clone(),
        leg: LegId(1),
        within: Duration::from_secs(3),
    };
    floor.put(offer()).unwrap();
    assert_eq!(floor.center.kept_agent(attempt(1)), Some(ANN));
    assert_eq!(floor.state(ANN), AgentState::Reserved);
    let again = floor.put(offer());
    assert_eq!(again, Err(Rejected::KnownAttempt(attempt(1))));
    floor
}

fn returned(floor: &Floor) -> Option<(bool, bool)> {
    floor.out.iter().find_map(|output| match output {
        Output::Returned { joined, kept, .. } => Some((*joined, *kept)),
        _ => None,
    })
}

fn report(floor: &Floor) -> PersistToken {
    let found = floor.out.iter().find_map(|output| match output {
        Output::Report { token, .. } => Some(*token),
        _ => None,
    });
    found.expect("a report")
}

#[test]
fn a_lent_agent_is_joined_disposes_and_no_agent_here_is_touched() {
    let mut floor = waiting();
    let (waited, left) = floor.center.patience(floor.now, attempt(1)).unwrap();
    assert_eq!((waited, left), (Duration::ZERO, Duration::from_secs(2)));
    floor.put(lent(1)).unwrap();
    assert_eq!(
        floor.legs(),
        [LegCommand::Bridge {
            a: LegId(1),
            b: AWAY
        }]
    );
    assert!(floor.center.is_lent(attempt(1)) && floor.center.joined().next().is_none());
    let again = floor.put(lent(1));
    assert!(
        matches!(again, Err(Rejected::NotAllowed { .. })),
        "{again:?}"
    );
    floor.wait(Duration::from_secs(9));
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(
        floor.legs(),
        [
            LegCommand::Unbridge {
                a: LegId(1),
                b: AWAY
            },
            LegCommand::HangUp { leg: AWAY }
        ]
    );
    let unknown = floor.put(disposed(1, "none"));
    assert_eq!(unknown, Err(Rejected::LentDisposition(attempt(1))));
    floor.put(disposed(1, "sale")).unwrap();
    let token = floor.token();
    let twice = floor.put(disposed(1, "sale"));
    assert_eq!(twice, Err(Rejected::LentDisposition(attempt(1))));
    floor.put(Input::Persisted { token }).unwrap();
    assert!(floor.out.contains(&Output::LentKept {
        attempt: attempt(1)
    }));
    let end = floor.closed()[0].clone();
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
    assert_eq!((end.agent, end.note.as_str()), (Some(ZOE), "far"));
    assert_eq!(end.ended_by, Some(EndedBy::Callee));
}

#[test]
fn who_was_let_down_or_joined_here_is_lent_nobody() {
    let mut floor = waiting();
    floor.wait(Duration::from_secs(2));
    assert!(floor.center.patience(floor.now, attempt(1)).is_none());
    let late = floor.put(lent(1));
    assert!(matches!(late, Err(Rejected::NotAllowed { .. })), "{late:?}");
    let mut floor = waiting();
    floor.log_in(ANN);
    assert_eq!(floor.press(ANN, AgentCommand::Ready), Some(Ok(())));
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    assert!(floor.put(lent(1)).is_err());
}

#[test]
fn what_a_lent_agent_never_set_is_the_default_once() {
    // The agent hangs up and is silent.
    let mut floor = waiting();
    floor.put(lent(1)).unwrap();
    floor.event(AWAY, LegEvent::HungUp { by_peer: true });
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
    floor.wait(Duration::from_secs(34));
    assert!(
        floor.out.is_empty(),
        "the agent's node has its own limit first"
    );
    floor.wait(Duration::from_secs(1));
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    assert_eq!(floor.closed().len(), 1);
    // The way is lost in the middle of the call.
    let mut floor = waiting();
    floor.put(lent(1)).unwrap();
    floor
        .put(Input::LentLeft {
            attempt: attempt(1),
        })
        .unwrap();
    let end = floor.closed()[0].clone();
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(0)));
    assert_eq!(end.ended_by, Some(EndedBy::Caller));
    // It is lost while the journal writes what was set.
    let mut floor = waiting();
    floor.put(lent(1)).unwrap();
    floor.put(disposed(1, "sale")).unwrap();
    let token = floor.token();
    floor
        .put(Input::LentLeft {
            attempt: attempt(1),
        })
        .unwrap();
    assert!(floor.closed().is_empty());
    floor.put(Input::Persisted { token }).unwrap();
    let end = floor.closed()[0].clone();
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
}

#[test]
fn a_lent_agent_pauses_the_recording() {
    let mut floor = waiting();
    floor.put(lent(1)).unwrap();
    let pauses = |paused| Input::LentPauses {
        attempt: attempt(1),
        paused,
    };
    floor.put(pauses(true)).unwrap();
    assert!(floor.legs().is_empty(), "nothing is recorded");
    floor
        .put(Input::RecordingBegan {
            attempt: attempt(1),
        })
        .unwrap();
    floor.put(pauses(true)).unwrap();
    let paused = LegCommand::PauseRecording {
        leg: LegId(1),
        paused: true,
    };
    assert_eq!(floor.legs(), [paused]);
    let card = floor.center.card(attempt(1)).unwrap();
    assert_eq!(card.recording, Some(RecordingState::Paused));
}

#[test]
fn a_borrowed_person_is_joined_and_what_is_set_is_reported() {
    let mut floor = offered();
    assert!(floor.view(&ratio()).lines.is_empty());
    floor
        .put(Input::RecordingBegan {
            attempt: attempt(1),
        })
        .unwrap();
    floor
        .put(Input::OfferTaken {
            attempt: attempt(1),
        })
        .unwrap();
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::Notice {
            notice: AgentNotice::Call(_),
            ..
        }
    )));
    let counted = |o: &Output| matches!(o, Output::Observed(Observed::Joined { .. }));
    assert!(
        !floor.out.iter().any(counted),
        "counted where the person is"
    );
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = report(&floor);
    floor.put(Input::Persisted { token }).unwrap();
    assert_eq!(floor.replied(RequestId(floor.requests)), Some(Ok(())));
    assert_eq!(returned(&floor), Some((true, true)));
    assert!(floor.closed().is_empty());
    assert_eq!(floor.state(ANN), AgentState::Ready);
}

#[test]
fn a_report_that_is_not_kept_is_said_and_in_the_call_it_may_be_set_again() {
    let mut floor = offered();
    floor
        .put(Input::OfferTaken {
            attempt: attempt(1),
        })
        .unwrap();
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = report(&floor);
    floor.put(Input::NotKept { token }).unwrap();
    let refused = Some(Err("DM3026".to_owned()));
    assert_eq!(floor.replied(RequestId(floor.requests)), refused);
    floor.event(LegId(1), LegEvent::HungUp { by_peer: false });
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = report(&floor);
    floor.put(Input::NotKept { token }).unwrap();
    assert_eq!(floor.replied(RequestId(floor.requests)), refused);
    assert_eq!(returned(&floor), Some((true, true)));
    assert_eq!(floor.state(ANN), AgentState::Ready);
}

#[test]
fn an_agent_who_was_kept_for_nobody_goes_on() {
    let mut floor = offered();
    floor.wait(Duration::from_secs(3));
    assert_eq!(returned(&floor), Some((false, false)));
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
    assert_eq!(floor.state(ANN), AgentState::Ready);
    // The person hung up meanwhile, elsewhere: nobody was let down here.
    let mut floor = offered();
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    let abandoned = |o: &Output| matches!(o, Output::Observed(Observed::Abandoned { .. }));
    assert!(!floor.out.iter().any(abandoned));
    assert_eq!(floor.state(ANN), AgentState::Ready);
    // The agent is gone before the join: another is not what was promised.
    let mut floor = offered();
    floor.ready(BEN);
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, LegEvent::HungUp { by_peer: true });
    assert_eq!(returned(&floor), Some((false, false)));
    assert_eq!(floor.state(BEN), AgentState::Ready);
    let gone = floor.put(Input::OfferTaken {
        attempt: attempt(1),
    });
    assert_eq!(gone, Err(Rejected::UnknownAttempt(attempt(1))));
}

#[test]
fn an_agent_who_leaves_a_borrowed_call_sets_nothing() {
    let mut floor = offered();
    floor
        .put(Input::OfferTaken {
            attempt: attempt(1),
        })
        .unwrap();
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, LegEvent::HungUp { by_peer: true });
    assert_eq!(returned(&floor), Some((true, false)));
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
}
