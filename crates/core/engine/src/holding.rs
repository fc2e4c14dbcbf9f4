//! What a person on hold hears.

use crate::Engine;
use domain::LegId;
use media::MediaCommand;

impl Engine {
    /// Parts a person from the agent, without ending the bridge.
    pub(crate) fn hold(&mut self, leg: LegId) {
        let prompt = self.config.hold;
        self.media(MediaCommand::Hold { leg, prompt });
    }
}
