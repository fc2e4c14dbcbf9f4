//! Up to which version members understand each other, so that they are upgraded one by one.

use super::{Change, Directory, DirectoryReply, Fact, Rejection};
use domain::{
    CallOutcome, Campaign, Disposition, DncEntry, DncSource, Member, MemberId, MeshVersion,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// What members said that they understand, and what follows for all. Since version 9.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ReleaseBook {
    /// What may be written. Only rises.
    version: MeshVersion,
    understood: BTreeMap<MemberId, MeshVersion>,
}

impl ReleaseBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 2] = [1, 0];
}

impl Change {
    /// The version of the mesh that all must understand before this is written. A change of a later
    /// release than the base's, or one that carries a value which only such a release knows, names
    /// that release's version here.
    pub fn since(&self) -> MeshVersion {
        match self {
            Self::ChangeDnc { add, .. } => {
                let entries = add.iter().map(since_entry);
                entries.max().unwrap_or_default()
            }
            Self::SetTrunkWhole { .. } => MeshVersion::SIGNED_CALLS,
            Self::SetLevers { .. } | Self::SetDropRateGroup { .. } => MeshVersion::LEVERS,
            Self::SetHoldOut { .. } => MeshVersion::HOLD_OUT,
            Self::SetLeadOrder { .. } => MeshVersion::LEAD_ORDER,
            Self::SetVoiceDrop { .. } => MeshVersion::VOICE_DROP,
            Self::CreateCampaign { campaign } | Self::SetCampaign { campaign, .. } => {
                since_campaign(campaign)
            }
            _ => MeshVersion::BASE,
        }
    }
}

/// What one must understand to read a campaign.
fn since_campaign(campaign: &Campaign) -> MeshVersion {
    match campaign.retry_after(Disposition::MessageLeft) {
        Some(_) => MeshVersion::VOICE_DROP,
        None => MeshVersion::BASE,
    }
}

/// What one must understand to read an attempt's end.
pub(crate) const fn since_outcome(outcome: &CallOutcome) -> MeshVersion {
    match outcome {
        CallOutcome::Dialed {
            disposition: Disposition::MessageLeft,
            ..
        } => MeshVersion::VOICE_DROP,
        _ => MeshVersion::BASE,
    }
}

/// What one must understand to read a do-not-call entry.
pub(crate) const fn since_entry(entry: &DncEntry) -> MeshVersion {
    match entry.source {
        DncSource::CallBack => MeshVersion::CALL_BACKS,
        DncSource::Admin | DncSource::Agent | DncSource::Person | DncSource::Registry => {
            MeshVersion::BASE
        }
    }
}

/// An entry as a mesh at `version` can be told: who asked is told less exactly where not every member
/// could read it. That nobody is called counts from the first moment.
#[must_use]
pub fn entry_for(version: MeshVersion, entry: DncEntry) -> DncEntry {
    match since_entry(&entry) <= version {
        true => entry,
        false => DncEntry {
            source: DncSource::Person,
            ..entry
        },
    }
}

impl Directory {
    /// What may be written: the highest version that every member understands, or understood once.
    pub const fn mesh_version(&self) -> MeshVersion {
        self.releases.version
    }

    /// Up to which version a member understands, by its own word; the base where it never said.
    pub fn understands(&self, id: MemberId) -> MeshVersion {
        let said = self.releases.understood.get(&id).copied();
        said.unwrap_or_default()
    }

    /// The highest version that any member understands: where the mesh will be once all do.
    pub fn newest_version(&self) -> MeshVersion {
        let living = self.members().filter(|m| !m.removed);
        let most = living.map(|m| self.understands(m.id)).max();
        most.unwrap_or_default().max(self.mesh_version())
    }

    /// Members that keep the mesh from [`Directory::newest_version`].
    pub fn holding_back(&self) -> impl Iterator<Item = &Member> {
        let newest = self.newest_version();
        (self.members()).filter(move |m| !m.removed && self.understands(m.id) < newest)
    }

    /// Whether every member can read a change.
    ///
    /// # Errors
    /// Why it may not be written yet.
    pub fn not_yet(&self, change: &Change) -> Result<(), Rejection> {
        let (now, wanted) = (self.mesh_version(), change.since());
        if wanted <= now {
            return Ok(());
        }
        let waits = (self.members().filter(|m| !m.removed))
            .filter(|m| self.understands(m.id) < wanted)
            .map(|m| m.name.as_str())
            .take(3)
            .collect::<Vec<_>>();
        let whom = match waits[..] {
            [] => "members that have not yet said what they understand".to_owned(),
            _ => waits.join(", "),
        };
        let what = match change {
            Change::SetLevers { levers, .. } => {
                let names = levers.names().collect::<Vec<_>>().join(", ");
                format!("a campaign's levers ({names}) need")
            }
            Change::SetDropRateGroup { .. } => "a drop-rate group needs".to_owned(),
            Change::SetVoiceDrop { .. } => "a message to machines (voice_drop) needs".to_owned(),
            Change::CreateCampaign { .. } | Change::SetCampaign { .. } => {
                "a retry rule after message_left needs".to_owned()
            }
            Change::SetHoldOut { .. } => "a hold-out share (hold_out_percent) needs".to_owned(),
            Change::SetLeadOrder { .. } => "an order of leads needs".to_owned(),
            _ => "this needs".to_owned(),
        };
        let why =
            format!("is {now}, and {what} {wanted}; upgrade {whom} first (`dialmesh node ls`)");
        Err(Rejection::new("mesh.version", why))
    }

    pub(super) fn understand(
        &mut self,
        id: MemberId,
        version: MeshVersion,
        facts: &mut Vec<Fact>,
    ) -> Done {
        self.living_member(id)?;
        let now = self.mesh_version();
        if version < now {
            let why = format!("of the mesh is {now}, and {id} understands {version} at most");
            return Err(Rejection::new("mesh.version", why));
        }
        self.releases.understood.insert(id, version);
        self.raise_version(facts);
        Ok(DirectoryReply::Done)
    }

    /// A member that is gone holds nobody back.
    pub(super) fn forget_release(&mut self, id: MemberId, facts: &mut Vec<Fact>) {
        self.releases.understood.remove(&id);
        self.raise_version(facts);
    }

    fn raise_version(&mut self, facts: &mut Vec<Fact>) {
        let all = (self.members().filter(|m| !m.removed))
            .map(|m| self.understands(m.id))
            .min();
        if let Some(version) = all.filter(|all| *all > self.mesh_version()) {
            self.releases.version = version;
            facts.push(Fact::MeshVersion(version));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{DirectoryCommand, DirectoryEvent, MeshId, NewMember};
    use domain::{MemberRole, WallTime};
    use sansio::{ApplyContext, Replicated};

    const HUB: MemberId = MemberId(1);
    const SPARE: MemberId = MemberId(2);

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

    fn new(name: &str) -> NewMember {
        NewMember {
            name: name.into(),
            mesh_address: "192.0.2.1:1".into(),
            http_address: "http://192.0.2.1:2".into(),
        }
    }

    fn two() -> Directory {
        let mut directory = Directory::default();
        let changes = [
            Change::Found {
                mesh: MeshId(7),
                member: new("hub"),
            },
            Change::AddJoinToken {
                hash: [1; 32],
                role: MemberRole::Coordinator,
                region: None,
                expires_at: WallTime::from_millis(1_800_000_001_000),
            },
            Change::Join {
                hash: [1; 32],
                member: new("spare"),
            },
        ];
        for change in changes {
            let (reply, _) = apply(&mut directory, change);
            assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
        }
        directory
    }

    fn understand(id: MemberId, version: u16) -> Change {
        Change::Understand {
            id,
            version: MeshVersion(version),
        }
    }

    #[test]
    fn an_empty_book_is_what_earlier_versions_lack() {
        let bytes = postcard::to_stdvec(&ReleaseBook::default()).unwrap();
        assert_eq!(bytes, ReleaseBook::EMPTY);
    }

    #[test]
    fn the_mesh_rises_with_the_last_member_and_never_falls() {
        let mut directory = two();
        assert_eq!(directory.mesh_version(), MeshVersion(1));
        let (reply, facts) = apply(&mut directory, understand(HUB, 3));
        assert_eq!((reply, facts), (DirectoryReply::Done, Vec::new()));
        assert_eq!(directory.newest_version(), MeshVersion(3));
        let behind: Vec<_> = directory.holding_back().map(|m| m.id).collect();
        assert_eq!(behind, [SPARE]);
        // Taken back as long as nothing was written that it could not read.
        apply(&mut directory, understand(HUB, 1));
        apply(&mut directory, understand(HUB, 3));
        let (_, facts) = apply(&mut directory, understand(SPARE, 2));
        assert_eq!(facts, [Fact::MeshVersion(MeshVersion(2))]);
        let DirectoryReply::Rejected(why) = apply(&mut directory, understand(HUB, 1)).0 else {
            panic!("it was taken");
        };
        let want = "mesh.version: of the mesh is 2, and mem_00000001 understands 1 at most";
        assert_eq!(why.to_string(), want);
        assert_eq!(directory.mesh_version(), MeshVersion(2));
        let restored = Directory::restore(&directory.snapshot()).unwrap();
        assert!(restored == directory);
    }

    #[test]
    fn what_a_member_could_not_read_is_not_taken_before_it_can() {
        use domain::DncScope;
        let entry = DncEntry {
            number: "+14155550134".parse().unwrap(),
            scope: DncScope::Mesh,
            source: DncSource::CallBack,
            added_at: WallTime::from_millis(5),
        };
        let add = |entry| Change::ChangeDnc {
            add: vec![entry],
            remove: Vec::new(),
            reason: String::new(),
        };
        let mut directory = two();
        apply(&mut directory, understand(HUB, 2));
        let command = DirectoryCommand::from(add(entry));
        let asked = directory.too_new(&command);
        assert_eq!(asked, Some(apply(&mut directory, add(entry)).0));
        let Some(DirectoryReply::Rejected(why)) = asked else {
            panic!("{asked:?}");
        };
        let want = "mesh.version: is 1, and this needs 2; upgrade spare first (`dialmesh node ls`)";
        assert_eq!(why.to_string(), want);
        // What it says otherwise is taken, and says less.
        let plainer = entry_for(directory.mesh_version(), entry);
        assert_eq!(plainer.source, DncSource::Person);
        let taken = apply(&mut directory, add(plainer)).0;
        assert!(matches!(taken, DirectoryReply::Dnc { added: 1, .. }));
        apply(&mut directory, understand(SPARE, 2));
        assert_eq!(entry_for(directory.mesh_version(), entry), entry);
        assert_eq!(directory.too_new(&command), None);
        let taken = apply(&mut directory, add(entry)).0;
        assert!(matches!(taken, DirectoryReply::Dnc { renewed: 1, .. }));
    }

    #[test]
    fn levers_wait_until_all_can_read_them_and_snapshots_do_too() {
        use domain::{CampaignId, Levers};
        let mut directory = two();
        apply(&mut directory, understand(HUB, 3));
        apply(&mut directory, understand(SPARE, 2));
        assert_eq!(directory.snapshot()[1], 10);
        let set = Change::SetLevers {
            campaign: CampaignId(1),
            levers: Levers {
                inbound_agents: 2,
                ramp_up: std::time::Duration::from_secs(600),
                ..Levers::default()
            },
        };
        let DirectoryReply::Rejected(why) = apply(&mut directory, set.clone()).0 else {
            panic!("it was taken");
        };
        let want = "mesh.version: is 2, and a campaign's levers (inbound_agents, ramp_up) need 3; \
                    upgrade spare first (`dialmesh node ls`)";
        assert_eq!(why.to_string(), want);
        apply(&mut directory, understand(SPARE, 3));
        assert_eq!(directory.snapshot()[1], 11);
        // Now it is read; there is no such campaign.
        let DirectoryReply::Rejected(why) = apply(&mut directory, set).0 else {
            panic!("it was taken");
        };
        assert_eq!(why.field, "campaign");
        let restored = Directory::restore(&directory.snapshot()).unwrap();
        assert!(restored == directory);
    }

    #[test]
    fn who_is_removed_holds_nobody_back() {
        let mut directory = two();
        apply(&mut directory, understand(HUB, 2));
        let (_, facts) = apply(&mut directory, Change::RemoveMember { id: SPARE });
        assert!(facts.contains(&Fact::MeshVersion(MeshVersion(2))));
        let (reply, _) = apply(&mut directory, understand(SPARE, 2));
        assert!(matches!(reply, DirectoryReply::Rejected(_)));
    }
}
