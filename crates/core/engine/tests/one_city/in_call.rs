//! What an agent does in a call, as the relay, the supervisors and the record hear of it: keys and hold.

use super::*;
use domain::{Key, Keys, LegId};
use media::PromptId;

#[test]
fn keys_and_holds_reach_the_relay_and_holds_the_record() {
    let (mut world, attempt) = joined_and_recorded(None);
    let leg = LegId(1);
    let mut done = world.media.len();
    let mut new = |world: &World| {
        let new = world.media[done..].to_vec();
        done = world.media.len();
        new
    };
    let keys = |text: &str| AgentCommand::PressKeys {
        keys: Keys::new(text),
    };
    world.press(keys("7#"));
    let key = |key| MediaCommand::SendKey {
        leg,
        key: Key::of(key).unwrap(),
    };
    assert_eq!(new(&world), ['7', '#'].map(key));

    world.press(AgentCommand::Hold);
    let prompt = PromptId::HOLD;
    assert_eq!(new(&world), [MediaCommand::Hold { leg, prompt }]);
    assert_eq!(world.engine.live_floor().held, [(attempt, world.now.wall)]);
    world.run(Duration::from_secs(40));
    world.press(AgentCommand::Resume);
    assert!(new(&world).contains(&MediaCommand::Resume { leg }));
    assert_eq!(world.engine.live_floor().held, []);

    world.press(AgentCommand::Hold);
    let record = over(&mut world, attempt).unwrap();
    let holds = record.holds.unwrap();
    assert_eq!((holds.count, holds.total_ms), (2, 40_000));
}
