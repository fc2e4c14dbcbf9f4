//! What a person hears that is no agent: the abandonment message, a message for their machine, music on hold.

use crate::Engine;
use call::{LegEvent, Prompt};
use domain::{LegId, Now};
use media::MediaCommand;

impl Engine {
    /// Plays to the end; what waits and announces in a call-back has its own rules.
    pub(crate) fn play(&mut self, now: Now, leg: LegId, prompt: Prompt) {
        let prompt = match prompt {
            Prompt::SafeHarbour => self.config.safe_harbour,
            Prompt::VoiceDrop => {
                let message = self.legs.get(leg).and_then(|leg| leg.message);
                Some(message.expect("a message is awaited only where the leg has one"))
            }
            other => return self.play_to_caller(leg, other),
        };
        match prompt {
            Some(prompt) => self.media(MediaCommand::Play {
                leg,
                prompt,
                repeat: false,
            }),
            None => self.tell_leg(now, leg, LegEvent::Played),
        }
    }

    /// Parts a person from the agent, without ending the bridge.
    pub(crate) fn hold(&mut self, leg: LegId) {
        let prompt = self.config.hold;
        self.media(MediaCommand::Hold { leg, prompt });
    }
}
