//! Keys that an agent presses in a call.

use super::*;
use domain::{Key, Keys, limits};

fn press(text: &str) -> AgentCommand {
    AgentCommand::PressKeys {
        keys: Keys::new(text),
    }
}

#[test]
fn keys_go_to_the_person_in_their_order_and_only_in_a_call() {
    let mut floor = Floor::new();
    floor.ready(ANN);
    assert_eq!(floor.press(ANN, press("1")), Some(Err("DM3027".into())));
    let campaign = ratio();
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    assert_eq!(floor.press(ANN, press("10#")), Some(Ok(())));
    let key = |key| LegCommand::SendKey {
        leg: LegId(1),
        key: Key::of(key).unwrap(),
    };
    assert_eq!(floor.legs(), ['1', '0', '#'].map(key));
    for bad in ["", "1a", &"1".repeat(limits::KEYS + 1)] {
        assert_eq!(floor.press(ANN, press(bad)), Some(Err("DM3028".into())));
        assert_eq!(floor.legs(), [], "all of them or none");
    }
    floor.event(LegId(1), LegEvent::HungUp { by_peer: true });
    assert_eq!(floor.press(ANN, press("1")), Some(Err("DM3027".into())));
}

#[test]
fn so_many_keys_may_wait_and_no_more() {
    let mut floor = Floor::new();
    floor.ready(ANN);
    let campaign = ratio();
    floor.dial(1, &campaign);
    floor.event(LegId(1), LegEvent::Answered);
    let most = limits::KEYS_WAITING;
    assert_eq!(floor.press(ANN, press(&"5".repeat(most))), Some(Ok(())));
    assert_eq!(floor.legs().len(), most);
    let full = Some(Err("DM3029".to_owned()));
    assert_eq!(floor.press(ANN, press("5")), full);
    assert_eq!(floor.legs(), []);
    floor.wait(limits::KEY);
    assert_eq!(floor.press(ANN, press("55")), full);
    assert_eq!(floor.press(ANN, press("5")), Some(Ok(())));
    floor.wait(limits::KEY * most as u32);
    assert_eq!(floor.press(ANN, press(&"5".repeat(most))), Some(Ok(())));
}
