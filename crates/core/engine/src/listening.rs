//! What whoever listens to a leg tells.

use crate::{Engine, legs::Owner};
use domain::{
    AttemptId, LegId, Now, VoiceDrop, WhoAnswered,
    answering::{Heard, Verdict},
};

impl Engine {
    /// Whether the campaign's message is left on what answered; none where it has no message, or what
    /// answered records none. Which one it is stays with the leg: settings may change before the beep.
    fn message_for(
        &mut self,
        leg: LegId,
        attempt: AttemptId,
        who: WhoAnswered,
    ) -> Option<Result<(), VoiceDrop>> {
        let campaign = self.calls.lease(attempt)?.campaign;
        let name = (self.facts.voice_drop(campaign)).filter(|_| who.verdict == Verdict::Machine)?;
        let prompt = self.config.voice_drops.get(name).copied();
        if let Err(why) = self.may_leave(attempt) {
            return Some(Err(why));
        }
        let Some(prompt) = prompt else {
            return Some(Err(VoiceDrop::NoPrompt));
        };
        self.legs.get_mut(leg)?.message = Some(prompt);
        Some(Ok(()))
    }

    /// Whether the rule pack of an attempt's campaign allows messages on machines, as it is now.
    fn may_leave(&self, attempt: AttemptId) -> Result<(), VoiceDrop> {
        let lease = self.calls.lease(attempt);
        let campaign = lease.and_then(|lease| self.facts.campaigns.get(&lease.campaign));
        campaign
            .and_then(|campaign| compliance::RulePack::by_name(&campaign.rule_pack))
            .filter(|pack| pack.message.voice_drop)
            .map(|_| ())
            .ok_or(VoiceDrop::Forbidden)
    }

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
            Heard::Answered(who) => {
                let input = match self.message_for(leg, attempt, who) {
                    None => call::Input::Screened { attempt, who },
                    Some(message) => call::Input::MachineFound {
                        attempt,
                        who,
                        message,
                    },
                };
                self.tell_calls(now, input);
            }
            Heard::Beep => {
                // Asked again: another rule pack may have been chosen during the greeting.
                let message = self.may_leave(attempt);
                self.tell_calls(now, call::Input::MachineBeeped { attempt, message });
            }
        }
    }
}
