//! How a snapshot is framed: kind, version, body, checksum. A torn or foreign one is refused.

use sansio::RestoreError;
use serde::{Serialize, de::DeserializeOwned};

/// Which machine a snapshot is of and how its body is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// The machine's name in errors.
    pub(crate) what: &'static str,
    /// First byte: tells the machines apart.
    pub(crate) kind: u8,
    /// Second byte: the layout of the body.
    pub(crate) version: u8,
}

/// 64-bit FNV-1a over little-endian words of eight bytes, the rest by bytes, then the length.
/// It finds torn and mixed files; it is no defence against an enemy (the links authenticate).
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x100_0000_01b3;
    let mut words = bytes.chunks_exact(8);
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks are eight bytes"));
        hash = (hash ^ word).wrapping_mul(PRIME);
        // FNV alone never carries high bits down.
        hash ^= hash >> 32;
    }
    for byte in words.remainder() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    hash = (hash ^ bytes.len() as u64).wrapping_mul(PRIME);
    hash ^ hash >> 29
}

impl Envelope {
    /// The framed bytes of `body`. Equal bodies give equal bytes.
    pub(crate) fn seal(self, body: &impl Serialize) -> Vec<u8> {
        let mut bytes = postcard::to_extend(body, vec![self.kind, self.version])
            .expect("plain data always serialises into memory");
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The framed bytes of `body` as an earlier version laid it out, which lacked the fields at its
    /// end; `missing` is what those are encoded as. Where they are not that, the newest layout.
    pub(crate) fn seal_shorter(
        self,
        version: u8,
        body: &impl Serialize,
        missing: &[u8],
    ) -> Vec<u8> {
        let head = vec![self.kind, version];
        let mut bytes =
            postcard::to_extend(body, head).expect("plain data always serialises into memory");
        if !bytes.ends_with(missing) {
            return self.seal(body);
        }
        bytes.truncate(bytes.len() - missing.len());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The body from framed bytes.
    pub(crate) fn open<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, RestoreError> {
        self.open_shorter(bytes, &[])
    }

    /// The body from framed bytes of an earlier version, to which the fields at its end were added
    /// since: `missing` is what they are encoded as.
    pub(crate) fn open_shorter<T: DeserializeOwned>(
        self,
        bytes: &[u8],
        missing: &[u8],
    ) -> Result<T, RestoreError> {
        let fail = |why: String| RestoreError {
            what: self.what,
            why,
        };
        let Some((framed, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(fail(format!("{} bytes are too few", bytes.len())));
        };
        if checksum(framed) != u64::from_le_bytes(*sum) {
            return Err(fail("the checksum is wrong: torn or damaged".into()));
        }
        match framed {
            [kind, version, body @ ..] if (*kind, *version) == (self.kind, self.version) => {
                // Snapshots are large: only those of an earlier version are copied.
                let longer;
                let body = if missing.is_empty() {
                    body
                } else {
                    longer = [body, missing].concat();
                    &longer
                };
                let (value, rest) = postcard::take_from_bytes(body)
                    .map_err(|error| fail(format!("the body does not decode: {error}")))?;
                if rest.is_empty() {
                    Ok(value)
                } else {
                    Err(fail(format!("{} bytes follow the body", rest.len())))
                }
            }
            [kind, version, ..] => Err(fail(format!(
                "kind {kind} version {version}; this release reads kind {} version {}",
                self.kind, self.version
            ))),
            _ => Err(fail("no header".into())),
        }
    }
}

/// A value as the other side of a link reads it. Postcard writes what it can't read back
/// (internally tagged enums), so every command and reply of the tests takes this way.
#[cfg(test)]
pub(crate) fn by_wire<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let bytes = postcard::to_stdvec(value).expect("plain data always serialises into memory");
    postcard::from_bytes(&bytes).expect("what is sent can be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: Envelope = Envelope {
        what: "test",
        kind: 7,
        version: 1,
    };

    #[test]
    fn refuses_every_single_damaged_byte_and_every_length() {
        let body: Vec<u32> = (0..50).collect();
        let bytes = ENVELOPE.seal(&body);
        assert_eq!(ENVELOPE.open::<Vec<u32>>(&bytes), Ok(body));
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1;
            assert!(ENVELOPE.open::<Vec<u32>>(&damaged).is_err(), "byte {i}");
            assert!(ENVELOPE.open::<Vec<u32>>(&bytes[..i]).is_err(), "cut {i}");
        }
    }

    #[test]
    fn an_earlier_layout_is_written_where_it_lacks_nothing() {
        let older = Envelope {
            version: 0,
            ..ENVELOPE
        };
        let body = (7u32, Vec::<u8>::new());
        let bytes = ENVELOPE.seal_shorter(0, &body, &[0]);
        assert_eq!(bytes, older.seal(&7u32));
        assert_eq!(older.open_shorter(&bytes, &[0]), Ok(body));
        let more = (7u32, vec![1u8]);
        assert_eq!(ENVELOPE.seal_shorter(0, &more, &[0]), ENVELOPE.seal(&more));
    }

    #[test]
    fn names_what_it_cannot_read() {
        let newer = Envelope {
            version: 2,
            ..ENVELOPE
        };
        let error = ENVELOPE.open::<u8>(&newer.seal(&1u8)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "snapshot of test cannot be read: kind 7 version 2; this release reads kind 7 version 1"
        );
    }
}
