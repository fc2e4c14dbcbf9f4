//! Ids: one newtype each. In text they carry a prefix and sort as their numbers do
//! (`lead_0000000000000a1`); in binary they are plain integers.

use crate::WallTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id of the form {prefix}_ and hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:0", $width, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|hex| <$inner>::from_str_radix(hex, 16).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    <$inner>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id!(
    /// A member of the mesh (coordinator or node) as Raft and the links see it. Never reused.
    MemberId, u64, "mem", "8"
);
id!(
    /// A region: the unit of lead ownership; also names its Raft group.
    RegionId, u16, "reg", "4"
);
id!(
    /// A campaign; assigned by the directory, counting from 1.
    CampaignId, u32, "camp", "8"
);
id!(
    /// An imported list of leads; assigned by the directory.
    ListId, u32, "list", "8"
);
id!(
    /// A lead; assigned by its region's group: region in the top 16 bits, a count below.
    LeadId, u64, "lead", "16"
);
id!(
    /// A trunk; assigned by the directory.
    TrunkId, u32, "trunk", "8"
);
id!(
    /// An agent; assigned by the directory.
    AgentId, u32, "agent", "8"
);
id!(
    /// One try to reach a lead. Assigned at the claim by the region's group and unique in the
    /// whole mesh: region (16 bits), index of the claim's log entry (64), place in the claim (32).
    AttemptId, u128, "att", "28"
);
id!(
    /// A node's session in a region group: the index of the log entry that opened it.
    SessionId, u64, "sess", "16"
);
id!(
    /// One run of a member's process; grows with each start, kept on its disk.
    Incarnation, u64, "inc", "8"
);
id!(
    /// One side of a conversation inside one node process. Not kept, not replicated.
    LegId, u64, "leg", "8"
);
id!(
    /// A time zone: an index into `numbering`'s table of IANA names. That table only ever grows
    /// at its end, so that replicas of different releases agree.
    ZoneId, u16, "zone", "4"
);

impl LeadId {
    /// The `count`th lead of `region`.
    pub const fn new(region: RegionId, count: u64) -> Self {
        Self((region.0 as u64) << 48 | (count & 0xffff_ffff_ffff))
    }

    /// The home region that keeps the lead.
    pub const fn region(self) -> RegionId {
        RegionId((self.0 >> 48) as u16)
    }
}

impl AttemptId {
    /// The attempt reserved at `place` in the claim that `region`'s log holds at `index`.
    pub const fn new(region: RegionId, index: u64, place: u32) -> Self {
        Self((region.0 as u128) << 96 | (index as u128) << 32 | place as u128)
    }

    /// The region whose group reserved the attempt.
    pub const fn region(self) -> RegionId {
        RegionId((self.0 >> 96) as u16)
    }

    /// A call-back: the `count`th that came to `node` in this run of it, at `at`. Where the index of a
    /// log entry stands, its highest bit is set, which no log reaches.
    pub const fn call_back(region: RegionId, node: MemberId, at: WallTime, count: u32) -> Self {
        let at = at.as_millis() as u64 & 0x7ff_ffff_ffff;
        let index = 1 << 63 | (node.0 & 0xf_ffff) << 43 | at;
        Self::new(region, index, count)
    }

    /// Whether it is a call-back: nobody was dialed, no group reserved it.
    pub const fn is_call_back(self) -> bool {
        self.0 >> 95 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip_and_sort() {
        let (a, b) = (LeadId::new(RegionId(3), 9), LeadId::new(RegionId(3), 10));
        assert_eq!(a.to_string(), "lead_0003000000000009");
        assert_eq!(a.to_string().parse(), Ok(a));
        assert!(a.to_string() < b.to_string());
        assert_eq!(b.region(), RegionId(3));
        let attempt = AttemptId::new(RegionId(3), 77, 5);
        assert_eq!(attempt.region(), RegionId(3));
        assert_eq!(attempt.to_string().parse(), Ok(attempt));
    }

    #[test]
    fn call_backs_stand_beside_attempts_and_meet_none() {
        let at = WallTime::from_millis(1_795_300_000_000);
        let one = |node, at, count| AttemptId::call_back(RegionId(3), MemberId(node), at, count);
        let id = one(2, at, 1);
        assert!(id.is_call_back());
        assert_eq!(id.region(), RegionId(3));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), "att_".len() + 28);
        assert!(!AttemptId::new(RegionId(u16::MAX), u64::MAX >> 1, u32::MAX).is_call_back());
        let later = at + std::time::Duration::from_millis(1);
        let others = [one(2, at, 2), one(3, at, 1), one(2, later, 1)];
        assert!(!others.contains(&id));
    }

    #[test]
    fn wrong_kinds_are_refused_by_name() {
        let error = "camp_00000001".parse::<LeadId>().unwrap_err().to_string();
        assert_eq!(
            error,
            r#""camp_00000001" is not an id of the form lead_ and hexadecimal digits"#
        );
        assert!("lead_".parse::<LeadId>().is_err());
        assert!("lead_+1".parse::<LeadId>().is_err());
    }
}
