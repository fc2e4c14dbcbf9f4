//! Where members are and who is to vote: what a group's leader keeps its voters by (mesh protocol,
//! section 1).

use super::{Directory, DirectoryReply, Rejection, checks};
use domain::{Member, MemberId, MemberRole, RegionId, limits};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

type Done = Result<DirectoryReply, Rejection>;

/// Where a member is, as its configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// What it may fail together with; its region, or itself without one, where none is given.
    pub failure_domain: Option<String>,
    /// Under whose law its data lies.
    pub legal_domain: Option<String>,
}

/// How voters are kept, in all groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterPolicy {
    /// Voters of a group: 3 or 5.
    pub voters: u8,
    /// How long a voter may be silent before another takes its place.
    pub grace: Duration,
    /// How long a member must be there without a break before it votes.
    pub stable: Duration,
}

impl Default for VoterPolicy {
    /// Three voters, replaced after 5 minutes, promoted after 10 seconds.
    fn default() -> Self {
        Self {
            voters: 3,
            grace: Duration::from_secs(300),
            stable: Duration::from_secs(10),
        }
    }
}

/// What an operator asks of one region's group.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegionPolicy {
    /// Only members of this legal domain hold its data; any, if none.
    pub legal_domain: Option<String>,
    /// Nodes of other regions that dial its leads while its own are gone; at most
    /// [`limits::FAILOVER_NODES`].
    pub failover: Vec<MemberId>,
}

/// All of it. Since version 4 of the directory.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Layout {
    places: BTreeMap<MemberId, Place>,
    draining: BTreeSet<MemberId>,
    voters: Option<VoterPolicy>,
    regions: BTreeMap<RegionId, RegionPolicy>,
}

impl Layout {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 4] = [0; 4];

    /// A member was taken out of the mesh.
    pub(super) fn forget(&mut self, id: MemberId) {
        self.places.remove(&id);
        self.draining.remove(&id);
        for policy in self.regions.values_mut() {
            policy.failover.retain(|node| *node != id);
        }
    }
}

fn optional_name(field: &str, text: Option<&String>) -> Result<(), Rejection> {
    text.map_or(Ok(()), |text| checks::name(field, text))
}

impl Directory {
    /// Where a member says that it is.
    pub fn place(&self, id: MemberId) -> Option<&Place> {
        self.layout.places.get(&id)
    }

    /// What a member may fail together with: as it says, else its region's name, else its own.
    pub fn failure_domain<'a>(&'a self, member: &'a Member) -> &'a str {
        let said = self
            .place(member.id)
            .and_then(|p| p.failure_domain.as_deref());
        let region = || Some(self.regions.get(&member.region?)?.name.as_str());
        said.or_else(region).unwrap_or(&member.name)
    }

    /// Members that are to be left alone: they lead nothing, and vote only where nobody else can.
    pub fn is_draining(&self, id: MemberId) -> bool {
        self.layout.draining.contains(&id)
    }

    /// How voters are kept, in all groups.
    pub fn voter_policy(&self) -> VoterPolicy {
        self.layout.voters.unwrap_or_default()
    }

    /// What an operator asks of one region's group.
    pub fn region_policy(&self, id: RegionId) -> RegionPolicy {
        self.layout.regions.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn place_member(&mut self, id: MemberId, place: Place) -> Done {
        self.living_member(id)?;
        optional_name("failure_domain", place.failure_domain.as_ref())?;
        optional_name("legal_domain", place.legal_domain.as_ref())?;
        self.check_domain_stays(id, &place, "legal_domain")?;
        if place == Place::default() {
            self.layout.places.remove(&id);
        } else {
            self.layout.places.insert(id, place);
        }
        Ok(DirectoryReply::Done)
    }

    /// Refuses to leave a region's legal domain without a member by `id` going to `place`.
    pub(super) fn check_domain_stays(
        &self,
        id: MemberId,
        place: &Place,
        field: &'static str,
    ) -> Result<(), Rejection> {
        let asked = (self.layout.regions.iter()).find(|(_, policy)| {
            policy.legal_domain.is_some() && self.is_last_of(policy, id, place)
        });
        let Some((region, policy)) = asked else {
            return Ok(());
        };
        let domain = policy.legal_domain.as_deref().unwrap_or_default();
        let why = format!(
            "{id} is the last member in {domain:?}, where the data of {region} must stay; change that region's policy first"
        );
        Err(Rejection::new(field, why))
    }

    /// Whether nobody would be left in a region's legal domain if `id` were at `place`.
    fn is_last_of(&self, policy: &RegionPolicy, id: MemberId, place: &Place) -> bool {
        let wanted = policy.legal_domain.as_ref();
        let mut there = self
            .layout
            .places
            .iter()
            .filter(|(_, p)| p.legal_domain.as_ref() == wanted);
        let was = self
            .place(id)
            .is_some_and(|p| p.legal_domain.as_ref() == wanted);
        was && place.legal_domain.as_ref() != wanted && there.all(|(other, _)| *other == id)
    }

    pub(super) fn drain_member(&mut self, id: MemberId, on: bool) -> Done {
        self.living_member(id)?;
        if on {
            self.layout.draining.insert(id);
        } else {
            self.layout.draining.remove(&id);
        }
        Ok(DirectoryReply::Done)
    }

    pub(super) fn set_voter_policy(&mut self, policy: VoterPolicy) -> Done {
        if policy.voters != 3 && policy.voters != 5 {
            let why = format!("is {}; give 3 or 5", policy.voters);
            return Err(Rejection::over("voters", why, limits::VOTERS as u64));
        }
        checks::span(
            "grace",
            policy.grace,
            limits::VOTER_GRACE_MIN,
            limits::VOTER_GRACE_MAX,
        )?;
        checks::span(
            "stable",
            policy.stable,
            limits::VOTER_STABLE_MIN,
            limits::VOTER_STABLE_MAX,
        )?;
        self.layout.voters = (policy != VoterPolicy::default()).then_some(policy);
        Ok(DirectoryReply::Done)
    }

    fn check_failover(&self, id: RegionId, policy: &RegionPolicy) -> Result<(), Rejection> {
        let named = policy.failover.len();
        if named > limits::FAILOVER_NODES {
            let why = format!("names {named} nodes");
            return Err(Rejection::over(
                "failover",
                why,
                limits::FAILOVER_NODES as u64,
            ));
        }
        for (at, node) in policy.failover.iter().enumerate() {
            let member = self.members.get(node).filter(|m| !m.removed);
            let lawful = policy.legal_domain.is_none()
                || self
                    .place(*node)
                    .is_some_and(|p| p.legal_domain == policy.legal_domain);
            let wrong = match member {
                _ if policy.failover[..at].contains(node) => "is named twice",
                Some(m) if m.role == MemberRole::Node && m.region != Some(id) && lawful => continue,
                Some(m) if m.region == Some(id) => "is a node of the region itself",
                Some(m) if m.role == MemberRole::Node => "is not in the region's legal domain",
                _ => "is not a node of the mesh",
            };
            return Err(Rejection::new("failover", format!("{node} {wrong}")));
        }
        Ok(())
    }

    pub(super) fn set_region_policy(&mut self, id: RegionId, policy: RegionPolicy) -> Done {
        checks::known("region", id, self.regions.contains_key(&id))?;
        optional_name("legal_domain", policy.legal_domain.as_ref())?;
        let wanted = policy.legal_domain.as_ref();
        let there = |p: &Place| p.legal_domain.as_ref() == wanted;
        if wanted.is_some() && !self.layout.places.values().any(there) {
            let why = "no member says that it is there; set `legal_domain` in their configuration and restart them first";
            return Err(Rejection::new("legal_domain", why));
        }
        self.check_failover(id, &policy)?;
        if policy == RegionPolicy::default() {
            self.layout.regions.remove(&id);
        } else {
            self.layout.regions.insert(id, policy);
        }
        Ok(DirectoryReply::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Change, DirectoryCommand, MeshId, NewMember};
    use domain::{MemberRole, WallTime};
    use sansio::{ApplyContext, Replicated};

    const ONE: MemberId = MemberId(1);
    const TWO: MemberId = MemberId(2);
    const SOUTH: RegionId = RegionId(1);

    fn apply(directory: &mut Directory, change: Change) -> DirectoryReply {
        let context = ApplyContext {
            index: directory.applied() + 1,
            wall: WallTime::from_millis(1_800_000_000_000),
        };
        directory.apply(
            context,
            crate::envelope::by_wire(&DirectoryCommand::from(change)),
            &mut Vec::new(),
        )
    }

    fn refused(directory: &mut Directory, change: Change) -> String {
        match apply(directory, change) {
            DirectoryReply::Rejected(rejection) => rejection.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn new(name: &str) -> NewMember {
        NewMember {
            name: name.into(),
            mesh_address: "192.0.2.1:1".into(),
            http_address: "http://192.0.2.1:2".into(),
        }
    }

    /// A coordinator and a node of region south.
    fn two() -> Directory {
        let mut directory = Directory::default();
        let mesh = MeshId(7);
        let changes = [
            Change::Found {
                mesh,
                member: new("hub"),
            },
            Change::SetRegion {
                id: None,
                name: "south".into(),
            },
            Change::AddJoinToken {
                hash: [1; 32],
                role: MemberRole::Node,
                region: Some(SOUTH),
                expires_at: WallTime::from_millis(1_800_000_001_000),
            },
            Change::Join {
                hash: [1; 32],
                member: new("shenzhen"),
            },
        ];
        for change in changes {
            let reply = apply(&mut directory, change);
            assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
        }
        directory
    }

    fn at(failure: Option<&str>, legal: Option<&str>) -> Place {
        Place {
            failure_domain: failure.map(str::to_owned),
            legal_domain: legal.map(str::to_owned),
        }
    }

    #[test]
    fn an_empty_layout_is_what_earlier_versions_lack() {
        let bytes = postcard::to_stdvec(&Layout::default()).unwrap();
        assert_eq!(bytes, Layout::EMPTY);
    }

    #[test]
    fn places_have_defaults_and_bounds() {
        let mut directory = two();
        let domain = |d: &Directory, id| d.failure_domain(d.member(id).unwrap()).to_owned();
        assert_eq!(
            [domain(&directory, ONE), domain(&directory, TWO)],
            ["hub", "south"]
        );
        let long = "x".repeat(limits::NAME_BYTES);
        let place = |place| Change::PlaceMember { id: TWO, place };
        let done = apply(&mut directory, place(at(Some(&long), Some("cn"))));
        assert_eq!(done, DirectoryReply::Done);
        assert_eq!(domain(&directory, TWO), long);
        let why = refused(&mut directory, place(at(Some(&format!("{long}x")), None)));
        assert!(why.starts_with("failure_domain: has 129 bytes"), "{why}");
        let why = refused(&mut directory, place(at(None, Some(" "))));
        assert!(why.starts_with("legal_domain: is empty"), "{why}");
        let nobody = Change::PlaceMember {
            id: MemberId(9),
            place: Place::default(),
        };
        assert!(refused(&mut directory, nobody).contains("is not a member"));
        let restored = Directory::restore(&directory.snapshot()).unwrap();
        assert!(restored == directory);
    }

    #[test]
    fn a_drain_ends_and_who_is_removed_is_forgotten() {
        let mut directory = two();
        let drain = |on| Change::DrainMember { id: TWO, on };
        apply(&mut directory, drain(true));
        assert!(directory.is_draining(TWO));
        apply(&mut directory, drain(false));
        assert!(!directory.is_draining(TWO));
        apply(&mut directory, drain(true));
        apply(
            &mut directory,
            Change::PlaceMember {
                id: TWO,
                place: at(None, Some("cn")),
            },
        );
        apply(&mut directory, Change::RemoveMember { id: TWO });
        assert!(!directory.is_draining(TWO) && directory.place(TWO).is_none());
        assert!(refused(&mut directory, drain(true)).contains("is not a member"));
    }

    #[test]
    fn the_voter_policy_has_bounds() {
        let mut directory = two();
        let policy = |voters, grace, stable| Change::SetVoterPolicy {
            policy: VoterPolicy {
                voters,
                grace: Duration::from_millis(grace),
                stable: Duration::from_millis(stable),
            },
        };
        for good in [policy(3, 10_000, 1_000), policy(5, 86_400_000, 3_600_000)] {
            assert_eq!(apply(&mut directory, good), DirectoryReply::Done);
        }
        assert_eq!(directory.voter_policy().voters, 5);
        for (bad, field) in [
            (policy(4, 10_000, 1_000), "voters: is 4"),
            (policy(3, 9_999, 1_000), "grace"),
            (policy(3, 86_400_001, 1_000), "grace"),
            (policy(3, 10_000, 999), "stable"),
            (policy(3, 10_000, 3_600_001), "stable"),
        ] {
            let why = refused(&mut directory, bad);
            assert!(why.starts_with(field), "{why}");
        }
    }

    #[test]
    fn a_region_names_nodes_of_others_for_when_its_own_are_gone() {
        let mut directory = two();
        let name = "north".to_owned();
        apply(&mut directory, Change::SetRegion { id: None, name });
        let named = |nodes: &[u64], legal: Option<&str>| Change::SetRegionPolicy {
            id: RegionId(2),
            policy: RegionPolicy {
                legal_domain: legal.map(str::to_owned),
                failover: nodes.iter().copied().map(MemberId).collect(),
            },
        };
        let reply = apply(&mut directory, named(&[2], None));
        assert_eq!(reply, DirectoryReply::Done);
        assert_eq!(directory.region_policy(RegionId(2)).failover, [TWO]);
        for (nodes, why) in [
            (&[1][..], "mem_00000001 is not a node of the mesh"),
            (&[9], "is not a node"),
            (&[2, 2], "is named twice"),
            (&[2; limits::FAILOVER_NODES], "is named twice"),
            (&[2; limits::FAILOVER_NODES + 1], "names 9 nodes"),
        ] {
            let refused = refused(&mut directory, named(nodes, None));
            assert!(refused.contains(why), "{refused}");
        }
        let place = at(None, Some("cn"));
        apply(&mut directory, Change::PlaceMember { id: ONE, place });
        let why = refused(&mut directory, named(&[2], Some("cn")));
        assert!(why.contains("is not in the region's legal domain"), "{why}");
        let own = Change::SetRegionPolicy {
            id: SOUTH,
            policy: RegionPolicy {
                failover: vec![TWO],
                ..RegionPolicy::default()
            },
        };
        let why = refused(&mut directory, own);
        assert!(why.contains("is a node of the region itself"), "{why}");
        apply(&mut directory, Change::RemoveMember { id: TWO });
        assert!(directory.region_policy(RegionId(2)).failover.is_empty());
    }

    #[test]
    fn a_region_stays_only_where_somebody_is() {
        let mut directory = two();
        let stay = |domain: Option<&str>| Change::SetRegionPolicy {
            id: SOUTH,
            policy: RegionPolicy {
                legal_domain: domain.map(str::to_owned),
                ..RegionPolicy::default()
            },
        };
        let why = refused(&mut directory, stay(Some("cn")));
        assert!(why.contains("no member says that it is there"), "{why}");
        apply(
            &mut directory,
            Change::PlaceMember {
                id: TWO,
                place: at(None, Some("cn")),
            },
        );
        assert_eq!(
            apply(&mut directory, stay(Some("cn"))),
            DirectoryReply::Done
        );
        assert_eq!(
            directory.region_policy(SOUTH).legal_domain.as_deref(),
            Some("cn")
        );
        let away = Change::PlaceMember {
            id: TWO,
            place: at(None, Some("hk")),
        };
        let why = refused(&mut directory, away.clone());
        assert!(why.contains("is the last member in \"cn\""), "{why}");
        // Another one there: then it may go.
        apply(
            &mut directory,
            Change::PlaceMember {
                id: ONE,
                place: at(None, Some("cn")),
            },
        );
        assert_eq!(apply(&mut directory, away), DirectoryReply::Done);
        assert_eq!(apply(&mut directory, stay(None)), DirectoryReply::Done);
        let unknown = Change::SetRegionPolicy {
            id: RegionId(9),
            policy: RegionPolicy::default(),
        };
        assert!(refused(&mut directory, unknown).contains("is not known"));
    }
}
