//! Which calls are recorded, and with which key.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{CampaignId, Recording, RecordingKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// The key, and the campaigns that have calls recorded. Since version 8.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct RecordingBook {
    key: Option<RecordingKey>,
    campaigns: BTreeMap<CampaignId, Recording>,
}

impl RecordingBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 2] = [0; 2];

    pub(super) fn all(&self) -> impl Iterator<Item = (CampaignId, Recording)> {
        self.campaigns
            .iter()
            .map(|(id, recording)| (*id, *recording))
    }
}

impl Directory {
    /// Which calls of a campaign are recorded.
    pub fn recording(&self, id: CampaignId) -> Recording {
        self.recordings
            .campaigns
            .get(&id)
            .copied()
            .unwrap_or_default()
    }

    /// The public half of the key that recordings are made with.
    pub const fn recording_key(&self) -> Option<RecordingKey> {
        self.recordings.key
    }

    /// Holds from the campaign's next joined calls on.
    pub(super) fn set_recording(
        &mut self,
        campaign: CampaignId,
        recording: Recording,
        facts: &mut Vec<Fact>,
    ) -> Done {
        let known = self.campaigns.contains_key(&campaign);
        checks::known("campaign", campaign, known)?;
        if recording != Recording::Off && self.recordings.key.is_none() {
            let why = "needs a recording key, and the mesh has none; make it with `dialmesh \
                       recording key create`";
            return Err(Rejection::new("campaign.recording", why));
        }
        let campaigns = &mut self.recordings.campaigns;
        let before = match recording {
            Recording::Off => campaigns.remove(&campaign),
            Recording::All => campaigns.insert(campaign, recording),
        };
        if before.unwrap_or_default() != recording {
            facts.push(Fact::Recording(campaign, recording));
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn set_recording_key(&mut self, key: RecordingKey, facts: &mut Vec<Fact>) -> Done {
        if key.public == [0; 32] {
            return Err(Rejection::new("key", "is no public key"));
        }
        self.recordings.key = Some(key);
        facts.push(Fact::RecordingKey(key));
        Ok(DirectoryReply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Change, DirectoryCommand, DirectoryEvent, MeshId, NewMember};
    use domain::{RecordingKeyId, WallTime};
    use sansio::{ApplyContext, Replicated};

    fn apply(directory: &mut Directory, change: Change) -> (DirectoryReply, Vec<Fact>) {
        let context = ApplyContext {
            index: directory.applied() + 1,
            wall: WallTime::from_millis(1_800_000_000_000),
        };
        let command = crate::envelope::by_wire(&DirectoryCommand::from(change));
        let mut events = Vec::new();
        let reply = directory.apply(context, command, &mut events);
        let facts = events.into_iter().flat_map(|event| match event {
            DirectoryEvent::Changed { facts, .. } => facts,
            _ => Vec::new(),
        });
        (reply, facts.collect())
    }

    fn key(n: u8) -> RecordingKey {
        RecordingKey {
            id: RecordingKeyId(n.into()),
            public: [n; 32],
            created_at: WallTime::from_millis(5),
        }
    }

    #[test]
    fn an_empty_book_is_what_earlier_versions_lack() {
        let bytes = postcard::to_stdvec(&RecordingBook::default()).unwrap();
        assert_eq!(bytes, RecordingBook::EMPTY);
    }

    #[test]
    fn nothing_is_recorded_without_a_key_and_the_newest_is_used() {
        let mut directory = Directory::default();
        let member = NewMember {
            name: "hub".into(),
            mesh_address: "192.0.2.1:1".into(),
            http_address: "http://192.0.2.1:2".into(),
        };
        let mesh = MeshId(7);
        apply(&mut directory, Change::Found { mesh, member });
        let campaign = CampaignId(1);
        let set = |recording| Change::SetRecording {
            campaign,
            recording,
        };
        let (unknown, _) = apply(&mut directory, set(Recording::All));
        assert!(
            format!("{unknown:?}").contains("is not known"),
            "{unknown:?}"
        );
        let name = "south".into();
        apply(&mut directory, Change::SetRegion { id: None, name });
        let made = Box::new(crate::directory::tests::campaign("autumn"));
        apply(&mut directory, Change::CreateCampaign { campaign: made });
        let (refused, facts) = apply(&mut directory, set(Recording::All));
        assert!(
            format!("{refused:?}").contains("recording key create"),
            "{refused:?}"
        );
        assert!(facts.is_empty());
        assert_eq!(
            apply(&mut directory, set(Recording::Off)).0,
            DirectoryReply::Done
        );
        let (none, _) = apply(&mut directory, Change::SetRecordingKey { key: key(0) });
        assert!(matches!(none, DirectoryReply::Rejected(_)));
        for n in [1, 2] {
            let (_, facts) = apply(&mut directory, Change::SetRecordingKey { key: key(n) });
            assert_eq!(facts, [Fact::RecordingKey(key(n))]);
        }
        assert_eq!(directory.recording_key(), Some(key(2)));
        let (_, facts) = apply(&mut directory, set(Recording::All));
        assert_eq!(facts, [Fact::Recording(campaign, Recording::All)]);
        let (_, facts) = apply(&mut directory, set(Recording::All));
        assert!(facts.is_empty(), "it was so before");
        let known = directory.facts();
        assert_eq!(known.recordings, [(campaign, Recording::All)]);
        assert_eq!(known.recording_key, Some(key(2)));
        let restored = Directory::restore(&directory.snapshot()).unwrap();
        assert!(restored == directory);
        apply(&mut directory, set(Recording::Off));
        assert_eq!(directory.recording(campaign), Recording::Off);
    }
}
