//! What whoever listens to a leg tells.

use crate::{Engine, legs::Owner};
use domain::{LegId, Now, answering::Heard};

impl Engine {
    /// Who listens to a leg told something.
    pub(crate) fn heard(&mut self, now: Now, leg: LegId, heard: Heard) {
        let Some(Owner::Person { attempt, .. }) = self.legs.get(leg).map(|l| l.owner) else {
            return;
        };
        match heard {
            Heard::Early(verdict) => {
                let live = self.calls.lease(attempt).is_some();
                if live || self.endings.contains_key(&attempt) {
                    self.early_media.insert(attempt, verdict);
                }
            }
            // Refused where the call ended, or its time was over, meanwhile.
            Heard::Answered(who) => self.tell_calls(now, call::Input::Screened { attempt, who }),
        }
    }
}
