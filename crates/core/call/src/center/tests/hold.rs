//! Persons on hold.

use super::*;
use domain::{Holds, Keys};

const HOLD: LegCommand = LegCommand::Hold { leg: LegId(1) };
const RESUME: LegCommand = LegCommand::Resume { leg: LegId(1) };

/// Ann speaks with a person.
fn joined() -> Floor {
    let mut floor = Floor::new();
    floor.ready(ANN);
    floor.dial(1, &ratio());
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    floor
}

/// What the screen was told of holds: since when, none where it is over.
fn told(floor: &Floor) -> Vec<Option<WallTime>> {
    let told = floor.out.iter().filter_map(|output| match output {
        Output::Notice {
            notice: AgentNotice::Held { since, .. },
            ..
        } => Some(*since),
        _ => None,
    });
    told.collect()
}

/// Hangs up and disposes: the holds of the record.
fn over(floor: &mut Floor, by_peer: bool) -> Holds {
    match by_peer {
        true => floor.event(LegId(1), LegEvent::HungUp { by_peer }),
        false => assert_eq!(floor.press(ANN, AgentCommand::HangUp), Some(Ok(()))),
    }
    assert_eq!(floor.state(ANN), AgentState::WrapUp);
    assert_eq!(floor.press(ANN, dispose("sale")), None);
    let token = floor.token();
    floor.put(Input::Persisted { token }).unwrap();
    let [end] = floor.closed()[..] else {
        panic!("one end")
    };
    assert_eq!(end.disposition, Disposition::Agent(DispositionCode(1)));
    end.holds
}

#[test]
fn a_person_is_held_and_spoken_with_again_and_it_is_counted() {
    let mut floor = joined();
    let began = floor.now.wall;
    assert_eq!(floor.press(ANN, AgentCommand::Hold), Some(Ok(())));
    assert_eq!(
        (floor.legs(), told(&floor)),
        (vec![HOLD], vec![Some(began)])
    );
    assert_eq!(
        floor.center.card(attempt(1)).unwrap().held_since,
        Some(began)
    );
    let held: Vec<_> = floor.center.joined().map(|call| call.held_since).collect();
    assert_eq!(held, [Some(began)]);
    // Pressed again it is the same hold.
    floor.wait(Duration::from_secs(20));
    assert_eq!(floor.press(ANN, AgentCommand::Hold), Some(Ok(())));
    assert_eq!((floor.legs(), told(&floor)), (vec![], vec![]));
    let keys = Keys::new("1");
    let press = AgentCommand::PressKeys { keys };
    assert_eq!(floor.press(ANN, press), Some(Err("DM3032".into())));
    floor.wait(Duration::from_secs(10));
    assert_eq!(floor.press(ANN, AgentCommand::Resume), Some(Ok(())));
    assert_eq!((floor.legs(), told(&floor)), (vec![RESUME], vec![None]));
    assert_eq!(floor.press(ANN, AgentCommand::Resume), Some(Ok(())));
    assert_eq!((floor.legs(), told(&floor)), (vec![], vec![]));
    assert_eq!(floor.press(ANN, AgentCommand::Hold), Some(Ok(())));
    floor.wait(Duration::from_secs(5));
    assert_eq!(floor.press(ANN, AgentCommand::Resume), Some(Ok(())));
    let holds = Holds {
        count: 2,
        total_ms: 35_000,
    };
    assert_eq!(over(&mut floor, false), holds);
}

#[test]
fn a_hold_ends_with_the_call_whoever_ends_it() {
    for by_peer in [false, true] {
        let mut floor = joined();
        floor.press(ANN, AgentCommand::Hold);
        floor.wait(Duration::from_secs(7));
        let holds = Holds {
            count: 1,
            total_ms: 7_000,
        };
        assert_eq!(over(&mut floor, by_peer), holds);
        for late in [AgentCommand::Hold, AgentCommand::Resume] {
            assert_eq!(floor.press(ANN, late), Some(Err("DM3030".into())));
        }
    }
    // An agent who is gone leaves nobody waiting.
    let mut floor = joined();
    floor.press(ANN, AgentCommand::Hold);
    let phone = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(phone, LegEvent::HungUp { by_peer: true });
    assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
    assert_eq!(floor.closed().len(), 1);
}

#[test]
fn nobody_is_held_for_longer_than_the_limit() {
    let mut floor = joined();
    floor.press(ANN, AgentCommand::Hold);
    floor.wait(limits::HOLD - Duration::from_millis(1));
    assert_eq!(floor.legs(), []);
    floor.wait(Duration::from_millis(1));
    assert_eq!((floor.legs(), told(&floor)), (vec![RESUME], vec![None]));
    let said = floor.out.iter().any(|output| {
        matches!(output, Output::Notice { agent: ANN, notice: AgentNotice::Error { code, .. } }
            if code == "DM3033")
    });
    assert!(said, "{:?}", floor.out);
    assert_eq!(floor.state(ANN), AgentState::OnCall, "the call goes on");
}

#[test]
fn another_citys_person_is_not_held_and_hears_keys() {
    let mut floor = Floor::new();
    floor.ready(ANN);
    let campaign = ratio();
    floor
        .put(Input::Offered {
            lead: Box::new(lease(1, campaign.id)),
            campaign,
            leg: LegId(1),
            within: Duration::from_secs(1),
        })
        .unwrap();
    let attempt = attempt(1);
    floor.put(Input::OfferTaken { attempt }).unwrap();
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    for command in [AgentCommand::Hold, AgentCommand::Resume] {
        assert_eq!(floor.press(ANN, command), Some(Err("DM3031".into())));
        assert_eq!(floor.legs(), []);
    }
    let keys = Keys::new("1");
    let press = AgentCommand::PressKeys { keys };
    assert_eq!(floor.press(ANN, press), Some(Ok(())));
    assert_eq!(floor.legs().len(), 1);
}
