//! Which message campaigns leave on answering machines, kept beside the campaigns.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use crate::rules::Rules;
use domain::{CampaignId, PromptName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// Names of prompts by campaign, of those that leave any. Since version 13.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct VoiceDropBook {
    prompts: BTreeMap<CampaignId, PromptName>,
}

impl VoiceDropBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, PromptName)> {
        (self.prompts.iter()).map(|(id, prompt)| (*id, prompt.clone()))
    }
}

impl Directory {
    /// The prompt that a campaign leaves on answering machines.
    pub fn voice_drop(&self, id: CampaignId) -> Option<&PromptName> {
        self.voice_drops.prompts.get(&id)
    }

    /// Refused where the campaign's rule pack forbids it now. Nodes ask the pack again at each machine:
    /// another one may be chosen later.
    pub(super) fn set_voice_drop(
        &mut self,
        campaign: CampaignId,
        prompt: Option<PromptName>,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.get(&campaign);
        checks::known("campaign", campaign, known.is_some())?;
        let pack = known
            .map(|campaign| campaign.rule_pack.clone())
            .unwrap_or_default();
        let allowed = Rules::of(&pack).is_some_and(|rules| rules.may_leave_messages());
        if prompt.is_some() && !allowed {
            let why = format!("the rule pack {pack} allows no message on answering machines");
            return Err(Rejection::new("campaign.voice_drop", why));
        }
        let prompts = &mut self.voice_drops.prompts;
        let before = match prompt.clone() {
            Some(prompt) => prompts.insert(campaign, prompt),
            None => prompts.remove(&campaign),
        };
        if before != prompt {
            facts.push(Fact::VoiceDrop(campaign, prompt));
        }
        Ok(DirectoryReply::Done)
    }
}
