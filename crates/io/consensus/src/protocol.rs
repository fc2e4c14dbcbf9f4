//! What groups say to each other: one mesh service, told apart by group and kind.
//!
//! Layout: version (1 byte), group (8, big-endian), kind (1), postcard body.

use crate::config::{GroupId, SnapshotMeta, Vote};
use bytes::{Bytes, BytesMut};
use mesh::{ServiceError, ServiceId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const SERVICE: ServiceId = ServiceId::new(16, "raft");
const VERSION: u8 = 1;
const HEAD: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Append = 1,
    Vote = 2,
    PreVote = 3,
    TransferLeader = 4,
    SnapshotPart = 5,
    SnapshotInstall = 6,
    Propose = 7,
    ReadIndex = 8,
    Change = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Vote,
        Self::PreVote,
        Self::TransferLeader,
        Self::SnapshotPart,
        Self::SnapshotInstall,
        Self::Propose,
        Self::ReadIndex,
        Self::Change,
    ];
}

/// A piece of a snapshot, unsealed: the link encrypts it, each member seals it with its own key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotPart {
    /// Of the whole snapshot: what it is known by while it is sent.
    pub(crate) checksum: [u8; 32],
    /// Bytes of the whole file.
    pub(crate) length: u64,
    pub(crate) offset: u64,
    /// 1 MiB in all pieces but the last. Empty in the first message, which asks how much is there
    /// already.
    pub(crate) bytes: Bytes,
}

/// All pieces were sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotInstall {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) checksum: [u8; 32],
}

/// Codes of service errors.
pub(crate) mod code {
    /// This member does not hold the group.
    pub(crate) const UNKNOWN_GROUP: u16 = 1;
    /// The message cannot be read.
    pub(crate) const UNREADABLE: u16 = 2;
    /// The group has stopped on this member.
    pub(crate) const STOPPED: u16 = 3;
    /// Not the leader, or not able to lead now; nothing was done.
    pub(crate) const NOT_LEADER: u16 = 4;
    /// It may or may not have been done.
    pub(crate) const UNKNOWN_OUTCOME: u16 = 5;
    /// Refused for good.
    pub(crate) const REFUSED: u16 = 6;
    /// A snapshot that does not match its checksum.
    pub(crate) const TORN: u16 = 7;
}

pub(crate) fn encode<T: Serialize>(group: GroupId, kind: Kind, body: &T) -> Bytes {
    let mut head = Vec::with_capacity(HEAD + 64);
    head.push(VERSION);
    head.extend_from_slice(&group.to_u64().to_be_bytes());
    head.push(kind as u8);
    postcard::to_extend(body, head)
        .expect("plain data serialises")
        .into()
}

/// A message whose body is bytes already.
pub(crate) fn encode_bytes(group: GroupId, kind: Kind, body: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(HEAD + body.len());
    message.extend_from_slice(&[VERSION]);
    message.extend_from_slice(&group.to_u64().to_be_bytes());
    message.extend_from_slice(&[kind as u8]);
    message.extend_from_slice(body);
    message.freeze()
}

pub(crate) fn decode_head(mut message: Bytes) -> Result<(GroupId, Kind, Bytes), ServiceError> {
    let unreadable = |what: &str| ServiceError::new(code::UNREADABLE, what);
    if message.len() < HEAD {
        return Err(unreadable("a group's message is too short"));
    }
    let head = message.split_to(HEAD);
    if head[0] != VERSION {
        return Err(unreadable(
            "a group's message has a version that this release cannot read",
        ));
    }
    let number = u64::from_be_bytes(head[1..9].try_into().expect("eight bytes"));
    let group = GroupId::from_u64(number)
        .ok_or_else(|| ServiceError::new(code::UNKNOWN_GROUP, "there is no such group"))?;
    let kind = Kind::ALL.into_iter().find(|k| *k as u8 == head[9]);
    let kind = kind.ok_or_else(|| unreadable("a group's message is of an unknown kind"))?;
    Ok((group, kind, message))
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServiceError> {
    postcard::from_bytes(body).map_err(|e| ServiceError::new(code::UNREADABLE, e.to_string()))
}

pub(crate) fn answer<T: Serialize>(body: &T) -> Bytes {
    postcard::to_stdvec(body)
        .expect("plain data serialises")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RegionId;

    #[test]
    fn messages_have_the_bytes_they_always_had() {
        let message = encode(GroupId::Region(RegionId(3)), Kind::Propose, &7u8);
        assert_eq!(&message[..], [1, 0, 0, 0, 0, 0, 1, 0, 3, 7, 7]);
        let (group, kind, body) = decode_head(message).unwrap();
        assert_eq!(
            (group, kind, &body[..]),
            (GroupId::Region(RegionId(3)), Kind::Propose, &[7][..])
        );
        assert!(decode_head(Bytes::from_static(&[1, 2])).is_err());
        assert!(decode_head(Bytes::from_static(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 1])).is_err());
        assert!(decode_head(Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 99])).is_err());
    }
}
