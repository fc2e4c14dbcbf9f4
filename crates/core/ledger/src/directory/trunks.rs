//! How trunks are used, beside what a trunk says itself.

use super::{Directory, DirectoryReply, Fact, Rejection, checks};
use domain::{Trunk, TrunkId, TrunkManner, TrunkSecurity, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Done = Result<DirectoryReply, Rejection>;

/// What is not the default, by trunk. Since version 7.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct MannerBook {
    manners: BTreeMap<TrunkId, TrunkManner>,
}

impl MannerBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn forget(&mut self, id: TrunkId) {
        self.manners.remove(&id);
    }
}

/// How trunks' calls are vouched for, by trunk, where they are. Since version 9.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct SecurityBook {
    securities: BTreeMap<TrunkId, TrunkSecurity>,
}

impl SecurityBook {
    /// An empty one as it is encoded: what earlier versions lack at their end.
    pub(super) const EMPTY: [u8; 1] = [0];

    pub(super) fn of(&self, id: TrunkId) -> TrunkSecurity {
        self.securities.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn forget(&mut self, id: TrunkId) {
        self.securities.remove(&id);
    }

    fn set(&mut self, id: TrunkId, security: TrunkSecurity) {
        if security == TrunkSecurity::default() {
            self.forget(id);
        } else {
            self.securities.insert(id, security);
        }
    }
}

fn check(manner: &TrunkManner) -> Result<(), Rejection> {
    if !manner.profile.is_empty() {
        checks::name("trunk.profile", &manner.profile)?;
    }
    if manner.weight == 0 || manner.weight > limits::TRUNK_WEIGHT {
        let why = format!(
            "is {}; give 1 or more, and disable a trunk that is to get no call",
            manner.weight
        );
        let limit = u64::from(limits::TRUNK_WEIGHT);
        return Err(Rejection::over("trunk.weight", why, limit));
    }
    if let Some(asked) = manner.session_expires {
        let (min, max) = (limits::SESSION_EXPIRES_MIN, limits::SESSION_EXPIRES_MAX);
        checks::span("trunk.session_expires", asked, min, max)?;
    }
    Ok(())
}

impl Directory {
    /// How a trunk is used; the default where nothing else was said.
    pub fn trunk_manner(&self, id: TrunkId) -> TrunkManner {
        TrunkManner {
            security: self.securities.of(id),
            ..self.manners.manners.get(&id).cloned().unwrap_or_default()
        }
    }

    /// How trunks are used, of those that are not used by the default.
    pub(super) fn trunk_manners(&self) -> Vec<(TrunkId, TrunkManner)> {
        let all = self.trunks.keys().map(|id| (*id, self.trunk_manner(*id)));
        all.filter(|(_, manner)| *manner != TrunkManner::default())
            .collect()
    }

    /// Makes or replaces a trunk together with how it is used: no call leaves by it in another way.
    pub(super) fn set_trunk_and_manner(
        &mut self,
        trunk: Trunk,
        manner: TrunkManner,
        security: TrunkSecurity,
        facts: &mut Vec<Fact>,
    ) -> Done {
        check(&manner)?;
        let mut made = Vec::new();
        let reply = self.set_trunk(trunk, &mut made)?;
        if let DirectoryReply::Trunk(id) = reply {
            self.securities.set(id, security);
            let kept = TrunkManner {
                security: TrunkSecurity::default(),
                ..manner
            };
            if kept == TrunkManner::default() {
                self.manners.forget(id);
            } else {
                self.manners.manners.insert(id, kept);
            }
            facts.push(Fact::TrunkManner(id, Box::new(self.trunk_manner(id))));
        }
        facts.append(&mut made);
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Change, DirectoryCommand, DirectoryEvent, MeshId, NewMember};
    use domain::{
        Attestation, Codec, MemberId, MemberRole, MeshVersion, NumberFormat, RegionId,
        SipTransport, WallTime,
    };
    use sansio::{ApplyContext, Replicated};
    use std::time::Duration;

    const NOW: WallTime = WallTime::from_millis(1_800_000_000_000);

    fn apply(directory: &mut Directory, change: Change) -> (DirectoryReply, Vec<Fact>) {
        let context = ApplyContext {
            index: directory.applied() + 1,
            wall: NOW,
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

    fn city() -> Directory {
        let mut directory = Directory::default();
        let member = |name: &str| NewMember {
            name: name.into(),
            mesh_address: "192.0.2.1:1".into(),
            http_address: "http://192.0.2.1:2".into(),
        };
        let changes = [
            Change::Found {
                mesh: MeshId(7),
                member: member("hub"),
            },
            Change::SetRegion {
                id: None,
                name: "south".into(),
            },
            Change::AddJoinToken {
                hash: [1; 32],
                role: MemberRole::Node,
                region: Some(RegionId(1)),
                expires_at: NOW + Duration::from_secs(1),
            },
            Change::Join {
                hash: [1; 32],
                member: member("shenzhen"),
            },
        ];
        for change in changes {
            let (reply, _) = apply(&mut directory, change);
            assert!(!matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
        }
        directory
    }

    fn trunk(id: u32) -> Trunk {
        Trunk {
            id: TrunkId(id),
            name: "ct".into(),
            node: MemberId(2),
            transport: SipTransport::Udp,
            address: "192.0.2.7:5060".into(),
            domain: String::new(),
            auth: None,
            register: false,
            channels: 30,
            calls_per_second: 5,
            number_format: NumberFormat::PlusE164,
            codecs: vec![Codec::Pcma],
            options_interval: Duration::from_secs(30),
            enabled: true,
            rank: 0,
        }
    }

    fn set(id: u32, manner: TrunkManner) -> Change {
        Change::SetTrunkAndManner {
            trunk: trunk(id),
            manner: Box::new(manner),
        }
    }

    fn heavy() -> TrunkManner {
        TrunkManner {
            weight: 300,
            called: Some("{dialed:86}".parse().expect("a shape")),
            ..TrunkManner::default()
        }
    }

    #[test]
    fn an_empty_book_is_what_earlier_versions_lack() {
        let bytes = postcard::to_stdvec(&MannerBook::default()).unwrap();
        assert_eq!(bytes, MannerBook::EMPTY);
        let bytes = postcard::to_stdvec(&SecurityBook::default()).unwrap();
        assert_eq!(bytes, SecurityBook::EMPTY);
    }

    #[test]
    fn a_trunk_is_vouched_for_until_it_is_said_otherwise() {
        let mut directory = city();
        let signed = TrunkSecurity {
            attestation: Some(Attestation::B),
        };
        let whole = |id, manner, security| Change::SetTrunkWhole {
            trunk: trunk(id),
            manner: Box::new(manner),
            security,
        };
        // Not before every member can read it; until then snapshots are the earlier release's.
        let (reply, _) = apply(&mut directory, whole(0, heavy(), signed));
        assert!(matches!(reply, DirectoryReply::Rejected(_)), "{reply:?}");
        assert_eq!(directory.snapshot()[1], 9);
        for id in [MemberId(1), MemberId(2)] {
            let version = MeshVersion::SIGNED_CALLS;
            apply(&mut directory, Change::Understand { id, version });
        }
        assert_eq!(directory.snapshot()[1], 10);
        let id = TrunkId(1);
        for manner in [heavy(), TrunkManner::default()] {
            let of = u32::from(directory.trunk(id).is_some());
            let (reply, facts) = apply(&mut directory, whole(of, manner.clone(), signed));
            assert_eq!(reply, DirectoryReply::Trunk(id));
            let security = signed;
            let said = TrunkManner { security, ..manner };
            assert!(
                matches!(&facts[..], [Fact::TrunkManner(_, told), Fact::Trunk(_)] if **told == said),
                "{facts:?}"
            );
            assert_eq!(directory.trunk_manner(id), said);
            assert_eq!(directory.facts().manners, [(id, said)]);
            let restored = Directory::restore(&directory.snapshot()).unwrap();
            assert!(restored == directory);
        }
        // A word of the release before leaves it as it is.
        apply(&mut directory, set(1, heavy()));
        assert_eq!(directory.trunk_manner(id).security, signed);
        apply(&mut directory, whole(1, heavy(), TrunkSecurity::default()));
        assert_eq!(directory.trunk_manner(id), heavy());
        apply(&mut directory, whole(1, heavy(), signed));
        apply(&mut directory, Change::RemoveTrunk { id });
        assert_eq!(directory.trunk_manner(id), TrunkManner::default());
    }

    #[test]
    fn a_trunk_and_its_manner_come_together_and_stay() {
        let mut directory = city();
        let (reply, facts) = apply(&mut directory, set(0, heavy()));
        let id = TrunkId(1);
        assert_eq!(reply, DirectoryReply::Trunk(id));
        assert!(
            matches!(&facts[..], [Fact::TrunkManner(of, manner), Fact::Trunk(_)] if *of == id && **manner == heavy()),
            "how it is used is said first: {facts:?}"
        );
        // A word of an earlier release leaves it as it is.
        let old = Change::SetTrunk { trunk: trunk(1) };
        assert_eq!(apply(&mut directory, old).0, DirectoryReply::Trunk(id));
        assert_eq!(directory.trunk_manner(id), heavy());
        assert_eq!(directory.facts().manners, [(id, heavy())]);
        let restored = Directory::restore(&directory.snapshot()).unwrap();
        assert!(restored == directory);
        apply(&mut directory, set(1, TrunkManner::default()));
        assert!(directory.facts().manners.is_empty());
        apply(&mut directory, set(1, heavy()));
        apply(&mut directory, Change::RemoveTrunk { id });
        assert_eq!(directory.trunk_manner(id), TrunkManner::default());
    }

    #[test]
    fn manners_have_bounds_and_what_is_refused_changes_nothing() {
        let mut directory = city();
        let weight = |weight| TrunkManner {
            weight,
            ..TrunkManner::default()
        };
        let session = |span| TrunkManner {
            session_expires: Some(span),
            ..TrunkManner::default()
        };
        for good in [
            weight(1),
            weight(limits::TRUNK_WEIGHT),
            session(limits::SESSION_EXPIRES_MIN),
            session(limits::SESSION_EXPIRES_MAX),
        ] {
            let (reply, _) = apply(&mut directory, set(0, good));
            let DirectoryReply::Trunk(id) = reply else {
                panic!("{reply:?}");
            };
            apply(&mut directory, Change::RemoveTrunk { id });
        }
        let second = Duration::from_secs(1);
        for (bad, field) in [
            (weight(0), "trunk.weight"),
            (weight(limits::TRUNK_WEIGHT + 1), "trunk.weight"),
            (
                session(limits::SESSION_EXPIRES_MIN - second),
                "trunk.session_expires",
            ),
            (
                session(limits::SESSION_EXPIRES_MAX + second),
                "trunk.session_expires",
            ),
        ] {
            let before = directory.trunks().count();
            let (reply, facts) = apply(&mut directory, set(0, bad));
            assert!(
                matches!(&reply, DirectoryReply::Rejected(why) if why.field == field),
                "{reply:?}"
            );
            assert!(facts.is_empty() && directory.trunks().count() == before);
        }
        let nobody = Change::SetTrunkAndManner {
            trunk: Trunk {
                node: MemberId(9),
                ..trunk(0)
            },
            manner: Box::new(heavy()),
        };
        let (reply, facts) = apply(&mut directory, nobody);
        assert!(matches!(reply, DirectoryReply::Rejected(_)) && facts.is_empty());
        assert!(directory.facts().manners.is_empty());
    }
}
