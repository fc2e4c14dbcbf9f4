//! What groups say to each other: one mesh service, told apart by group and kind.
//!
//! Layout: version (1 byte), group (8, big-endian), kind (1), postcard body.

use crate::config::{GroupId, SnapshotMeta, Vote};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mesh::{ServiceError, ServiceId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) const SERVICE: ServiceId = ServiceId::new(16, "raft");
const VERSION: u8 = 1;
const HEAD: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    // 1 was entries without their place, which read as another message with one.
    Vote = 2,
    PreVote = 3,
    TransferLeader = 4,
    SnapshotPart = 5,
    SnapshotInstall = 6,
    // 7 was a single proposal.
    ReadIndex = 8,
    Change = 9,
    ProposeMany = 10,
    Append = 11,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Vote,
        Self::PreVote,
        Self::TransferLeader,
        Self::SnapshotPart,
        Self::SnapshotInstall,
        Self::ReadIndex,
        Self::Change,
        Self::ProposeMany,
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
    /// Entries that others should have come before.
    pub(crate) const GAP: u16 = 8;
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

/// A message of several parts: after the head each with its length (4 bytes, big-endian).
pub(crate) fn encode_many<'a>(
    group: GroupId,
    kind: Kind,
    parts: impl Iterator<Item = &'a [u8]> + Clone,
) -> Bytes {
    let bytes: usize = parts.clone().map(|part| 4 + part.len()).sum();
    let mut message = BytesMut::with_capacity(HEAD + bytes);
    message.put_u8(VERSION);
    message.put_u64(group.to_u64());
    message.put_u8(kind as u8);
    for part in parts {
        put_part(&mut message, part);
    }
    message.freeze()
}

fn put_part(to: &mut BytesMut, part: &[u8]) {
    to.put_u32(u32::try_from(part.len()).expect("a message is shorter"));
    to.put_slice(part);
}

fn take_part(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

/// The parts of such a message, `most` at most.
pub(crate) fn decode_many(mut body: Bytes, most: usize) -> Result<Vec<Bytes>, ServiceError> {
    let unreadable = |what: &str| ServiceError::new(code::UNREADABLE, what);
    let mut parts = Vec::new();
    while !body.is_empty() {
        if parts.len() == most {
            return Err(unreadable("a group's message has too many parts"));
        }
        let part = take_part(&mut body);
        parts.push(part.ok_or_else(|| unreadable("a group's message is cut off"))?);
    }
    Ok(parts)
}

/// What became of one proposal: its entry's index and the machine's encoded reply.
pub(crate) type Outcome = Result<(u64, Bytes), ServiceError>;

/// Bytes of a result before its text: code, index, length.
const RESULT_HEAD: usize = 14;

/// What became of each proposal: a code (2 bytes, 0 for applied), the entry's index (8), and the
/// reply or why not as a part. An answer has `most` bytes: a reply beyond is left out, and who
/// proposed learns that.
pub(crate) fn encode_results(results: Vec<Outcome>, most: usize) -> Bytes {
    let mut left = most.saturating_sub(results.len() * (RESULT_HEAD + WHY_BYTES));
    let mut answer = BytesMut::new();
    for result in results {
        let (number, index, text) = match result {
            Ok((index, reply)) if reply.len() <= left => {
                left -= reply.len();
                (0, index, reply)
            }
            Ok((index, _)) => {
                let why =
                    format!("applied as entry {index}, but its reply does not fit the answer");
                (code::UNKNOWN_OUTCOME, index, why.into())
            }
            Err(e) => {
                let mut why = e.message.into_bytes();
                why.truncate(WHY_BYTES);
                (e.code, 0, why.into())
            }
        };
        answer.put_u16(number);
        answer.put_u64(index);
        put_part(&mut answer, &text);
    }
    answer.freeze()
}

/// Bytes of why a proposal failed.
const WHY_BYTES: usize = 256;

/// What [`encode_results`] wrote of `count` proposals. An error of the whole where it cannot be read:
/// any of them may have been applied.
pub(crate) fn decode_results(
    mut answer: Bytes,
    count: usize,
) -> Result<Vec<Outcome>, ServiceError> {
    let mut results = Vec::with_capacity(count);
    let unreadable = || {
        let why = "the leader's answer cannot be read";
        ServiceError::new(code::UNKNOWN_OUTCOME, why)
    };
    for _ in 0..count {
        let number = answer.try_get_u16().map_err(|_| unreadable())?;
        let index = answer.try_get_u64().map_err(|_| unreadable())?;
        let text = take_part(&mut answer).ok_or_else(unreadable)?;
        results.push(match number {
            0 => Ok((index, text)),
            number => Err(ServiceError::new(number, String::from_utf8_lossy(&text))),
        });
    }
    Ok(results)
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
        let message = encode(GroupId::Region(RegionId(3)), Kind::ReadIndex, &7u8);
        assert_eq!(&message[..], [1, 0, 0, 0, 0, 0, 1, 0, 3, 8, 7]);
        let (group, kind, body) = decode_head(message).unwrap();
        assert_eq!(
            (group, kind, &body[..]),
            (GroupId::Region(RegionId(3)), Kind::ReadIndex, &[7][..])
        );
        assert!(decode_head(Bytes::from_static(&[1, 2])).is_err());
        assert!(decode_head(Bytes::from_static(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 1])).is_err());
        assert!(decode_head(Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 99])).is_err());
    }

    #[test]
    fn several_proposals_in_one_message() {
        let parts: [&[u8]; 3] = [&[1, 2], &[], &[3]];
        let message = encode_many(GroupId::Directory, Kind::ProposeMany, parts.into_iter());
        let bytes = [
            1, 0, 0, 0, 0, 0, 0, 0, 1, 10, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3,
        ];
        assert_eq!(&message[..], bytes);
        let (_, kind, body) = decode_head(message).unwrap();
        assert_eq!(kind, Kind::ProposeMany);
        assert_eq!(decode_many(body.clone(), 3).unwrap(), parts);
        let many = decode_many(body.clone(), 2).unwrap_err();
        assert_eq!(many.code, code::UNREADABLE, "{many}");
        let cut = decode_many(body.slice(..body.len() - 1), 3).unwrap_err();
        assert_eq!(cut.code, code::UNREADABLE, "{cut}");
    }

    #[test]
    fn each_proposal_has_its_result() {
        let refused = ServiceError::new(code::NOT_LEADER, "no");
        let reply = Bytes::from(vec![9; 100]);
        let results = vec![
            Ok((7, reply.clone())),
            Err(refused.clone()),
            Ok((8, Bytes::from(vec![1; 100]))),
        ];
        let room = 3 * (RESULT_HEAD + WHY_BYTES);
        let whole = encode_results(results.clone(), room + 200);
        assert!(whole.len() <= room + 200);
        assert_eq!(decode_results(whole.clone(), 3).unwrap(), results);
        assert!(decode_results(whole.slice(..whole.len() - 1), 3).is_err());
        let short = encode_results(results, room + 199);
        assert!(short.len() <= room + 199);
        let short = decode_results(short, 3).unwrap();
        assert_eq!(short[0], Ok((7, reply)));
        assert_eq!(short[1], Err(refused));
        let left_out = short[2].clone().unwrap_err();
        assert_eq!(left_out.code, code::UNKNOWN_OUTCOME);
        assert!(left_out.message.contains("entry 8"), "{left_out}");
    }
}
