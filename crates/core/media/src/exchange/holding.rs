//! A bridge on hold: one side hears a prompt, around and around, and nothing goes from one to the other.

use domain::LegId;

use super::{Exchange, leg::OnHold};
use crate::{command::Rejected, prompt::PromptId};

impl Exchange {
    pub(super) fn hold(&mut self, leg: LegId, prompt: PromptId) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        let with = self.leg(place)?.bridged.ok_or(Rejected::NotBridged)?.with;
        self.play(leg, prompt, true)?;
        self.set_on_hold(place, Some(OnHold::Waits));
        self.set_on_hold(with, Some(OnHold::Holds));
        Ok(())
    }

    pub(super) fn resume(&mut self, leg: LegId) -> Result<(), Rejected> {
        let place = self.place(leg)?;
        let bridged = self.leg(place)?.bridged.ok_or(Rejected::NotBridged)?;
        if bridged.on_hold == Some(OnHold::Waits) {
            self.stop_play(place, false);
            self.set_on_hold(place, None);
            self.set_on_hold(bridged.with, None);
        }
        Ok(())
    }

    fn set_on_hold(&mut self, place: usize, on_hold: Option<OnHold>) {
        let leg = self.leg_mut(place);
        // What is kept back is no loss: the stream goes on where the clock is.
        leg.outgoing.break_off();
        if let Some(bridged) = &mut leg.bridged {
            bridged.on_hold = on_hold;
        }
    }
}
