//! Shifts: phones, screens, pauses, refusals.

use super::*;

#[test]
fn a_lost_phone_ends_the_call_and_the_shift() {
    for disposed in [false, true] {
        let mut floor = Floor::new();
        let campaign = ratio();
        floor.ready(ANN);
        floor.dial(1, &campaign);
        floor.event(LegId(1), LegEvent::Answered);
        if disposed {
            floor.press(ANN, dispose("sale"));
            let token = floor.token();
            floor.put(Input::Persisted { token }).unwrap();
            // Somebody waits: the leaving agent must not be given to them.
            floor.dial(2, &campaign);
            floor.event(LegId(2), LegEvent::Answered);
        }
        let leg = floor.center.agent_leg_of(ANN).unwrap();
        floor.event(leg, LegEvent::HungUp { by_peer: true });
        assert!(floor.legs().contains(&LegCommand::HangUp { leg: LegId(1) }));
        let end = floor.closed()[0];
        let code = DispositionCode(u16::from(disposed));
        assert_eq!(end.disposition, Disposition::Agent(code));
        assert_eq!(floor.state(ANN), AgentState::LoggedOut);
        assert_eq!(floor.press(ANN, AgentCommand::LogIn), Some(Ok(())));
    }
}

#[test]
fn a_phone_that_is_not_answered_ends_the_log_in() {
    let mut floor = Floor::new();
    floor
        .put(Input::Account(Account {
            agent: ANN,
            campaigns: vec![],
            enabled: true,
        }))
        .unwrap();
    floor.press(ANN, AgentCommand::LogIn);
    assert_eq!(
        floor.press(ANN, AgentCommand::LogIn),
        Some(Err("DM3003".into()))
    );
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.wait(limits::AGENT_RING);
    assert_eq!(floor.legs(), [LegCommand::Cancel { leg }]);
    assert_eq!(floor.center.agent_status(ANN).unwrap().phone, Phone::Down);
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::Notice { notice: AgentNotice::Error { code, .. }, .. } if code == "DM3006"
    )));
    floor.event(leg, LegEvent::Answered);
    assert_eq!(floor.legs(), [LegCommand::HangUp { leg }]);
}

#[test]
fn a_closed_screen_stops_pacing_at_once_and_pauses_after_the_grace_time() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    assert_eq!(floor.view(&campaign).ready, 1);
    floor.put(Input::ScreenGone { agent: ANN }).unwrap();
    assert_eq!(floor.view(&campaign).ready, 0);
    // A reload inside the grace time changes nothing.
    floor.wait(Duration::from_secs(9));
    floor.put(Input::ScreenAttached { agent: ANN }).unwrap();
    assert!(matches!(
        &floor.out[..],
        [Output::Notice { notice: AgentNotice::Snapshot { status, call: None }, .. }]
            if status.state == AgentState::Ready
    ));
    floor.wait(Duration::from_secs(60));
    assert_eq!(floor.state(ANN), AgentState::Ready);
    floor.put(Input::ScreenGone { agent: ANN }).unwrap();
    floor.wait(limits::SCREEN_GRACE);
    let gone = AgentState::Paused(PauseCode("screen_gone".into()));
    assert_eq!(floor.state(ANN), gone);
    // Who comes back presses Ready.
    floor.put(Input::ScreenAttached { agent: ANN }).unwrap();
    assert_eq!(floor.press(ANN, AgentCommand::Ready), Some(Ok(())));
    assert_eq!(floor.view(&campaign).ready, 1);
}

#[test]
fn a_reload_during_a_call_shows_the_call_again() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    floor.put(Input::ScreenGone { agent: ANN }).unwrap();
    floor.wait(limits::SCREEN_GRACE);
    floor.put(Input::ScreenAttached { agent: ANN }).unwrap();
    let snapshot = floor.out.iter().find_map(|o| match o {
        Output::Notice { notice, .. } => Some(notice.clone()),
        _ => None,
    });
    let text = serde_json::to_string_pretty(&snapshot.unwrap()).unwrap();
    insta::assert_snapshot!("snapshot_notice", text);
    let read: AgentNotice = serde_json::from_str(&text).unwrap();
    assert!(matches!(read, AgentNotice::Snapshot { .. }));
    // The pause the closed page had brought is taken back.
    assert_eq!(floor.center.agent_status(ANN).unwrap().next, None);
}

#[test]
fn commands_that_make_no_sense_are_refused_by_code() {
    let mut floor = Floor::new();
    let pause = |code: String| AgentCommand::Pause {
        code: PauseCode(code),
    };
    assert_eq!(
        floor.press(ANN, AgentCommand::LogIn),
        Some(Err("DM3001".into()))
    );
    floor.log_in(ANN);
    for (command, code) in [
        (AgentCommand::LogIn, "DM3003"),
        (AgentCommand::HangUp, "DM3008"),
        (dispose("sale"), "DM3009"),
        (pause("x".repeat(limits::PAUSE_CODE_BYTES + 1)), "DM3015"),
        (pause("a\nb".into()), "DM3015"),
    ] {
        assert_eq!(floor.press(ANN, command), Some(Err(code.into())), "{code}");
    }
    let longest = pause("x".repeat(limits::PAUSE_CODE_BYTES));
    assert_eq!(floor.press(ANN, longest), Some(Ok(())));
    assert_eq!(floor.press(ANN, AgentCommand::LogOut), Some(Ok(())));
    for command in [AgentCommand::LogOut, AgentCommand::Ready, pause("a".into())] {
        assert_eq!(floor.press(ANN, command), Some(Err("DM3004".into())));
    }
    floor
        .put(Input::Account(Account {
            agent: ANN,
            campaigns: vec![],
            enabled: false,
        }))
        .unwrap();
    assert_eq!(
        floor.press(ANN, AgentCommand::LogIn),
        Some(Err("DM3002".into()))
    );
}

#[test]
fn agents_take_calls_of_their_campaigns_only() {
    let mut floor = Floor::new();
    let (one, two) = (ratio(), Arc::new(campaign(2, PacingMode::Ratio)));
    floor.ready(ANN);
    let account = |campaigns| {
        Input::Account(Account {
            agent: ANN,
            campaigns,
            enabled: true,
        })
    };
    floor.put(account(vec![one.id])).unwrap();
    floor.dial(1, &two);
    assert_eq!(floor.view(&one).lines_elsewhere, 0);
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.state(ANN), AgentState::Ready);
    assert_eq!((floor.view(&one).ready, floor.view(&two).ready), (1, 0));
    // The right to the campaign comes while the person waits.
    floor.put(account(vec![one.id, two.id])).unwrap();
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    floor.ready(BEN);
    floor.dial(2, &two);
    let view = floor.view(&one);
    assert_eq!((view.lines_elsewhere, view.elsewhere), (1, vec![two.id]));
}

#[test]
fn audio_that_comes_back_keeps_the_call() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.state(ANN), AgentState::OnCall);
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, LegEvent::Interrupted);
    assert!(floor.legs().is_empty(), "the bridge stays");
    assert_eq!(floor.center.agent_status(ANN).unwrap().phone, Phone::Down);
    assert!(floor.out.iter().any(|o| matches!(
        o,
        Output::Notice { notice: AgentNotice::Error { code, .. }, .. } if code == "DM3022"
    )));
    floor.event(leg, LegEvent::Restored);
    assert_eq!(floor.center.agent_status(ANN).unwrap().phone, Phone::Up);
    assert_eq!(floor.state(ANN), AgentState::OnCall);
}

#[test]
fn who_cannot_be_heard_gets_no_call() {
    let mut floor = Floor::new();
    let campaign = ratio();
    floor.ready(ANN);
    let leg = floor.center.agent_leg_of(ANN).unwrap();
    floor.event(leg, LegEvent::Interrupted);
    assert_eq!(floor.view(&campaign).ready, 0);
    // Not even by pressing Ready.
    assert_eq!(floor.press(ANN, AgentCommand::Ready), Some(Ok(())));
    floor.put(Input::ScreenAttached { agent: ANN }).unwrap();
    assert_eq!(floor.view(&campaign).ready, 0);
    floor.event(leg, LegEvent::Restored);
    assert_eq!(floor.view(&campaign).ready, 1);
    assert_eq!(floor.state(ANN), AgentState::Ready);
    // Gone for good, it is a phone that hung up.
    floor.event(leg, LegEvent::Interrupted);
    floor.event(leg, LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.state(ANN), AgentState::LoggedOut);
    assert_eq!(floor.press(ANN, AgentCommand::LogIn), Some(Ok(())));
}
