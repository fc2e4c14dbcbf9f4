//! Recordings of calls: what a campaign asks for, with which key, and what a call record says of one.

use crate::WallTime;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Which calls of a campaign are recorded. Kept beside the campaign, by its id: the campaign's own
/// bytes are those of earlier releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// None.
    #[default]
    Off,
    /// Each, from the moment it is joined with an agent until they part.
    All,
}

impl Recording {
    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names a recording key: the first bytes of a hash of its public half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordingKeyId(pub u64);

impl fmt::Display for RecordingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rkey_{:016x}", self.0)
    }
}

impl fmt::Debug for RecordingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordingKeyId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix("rkey_").filter(|hex| hex.len() == 16);
        let id = digits.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        id.map(Self).ok_or(())
    }
}

/// The public half of a recording key: who has it can write recordings, and read none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingKey {
    /// Its name.
    pub id: RecordingKeyId,
    /// X25519 (RFC 7748).
    pub public: [u8; 32],
    /// When it was made.
    pub created_at: WallTime,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingEnd {
    /// With the call, and its file has its end.
    Whole,
    /// The disk refused: full, or failing. What was written before is there.
    Disk,
    /// Nothing was written: the folder is as large as it may be.
    FolderFull,
    /// Nothing was written: too many recordings are open, or there was no key.
    Refused,
    /// What became of it was not known when the call's record was closed.
    Untold,
}

impl RecordingEnd {
    /// Its name in the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Disk => "disk",
            Self::FolderFull => "folder_full",
            Self::Refused => "refused",
            Self::Untold => "untold",
        }
    }
}

/// What a call record says of the call's recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecording {
    /// How it ended.
    pub end: RecordingEnd,
    /// How long it is, in milliseconds.
    pub length_ms: u32,
    /// Of that, for how long it was paused.
    pub paused_ms: u32,
    /// Packets that came and are not in it: they came too late, or nobody had time for them.
    pub missed: u32,
    /// Bytes of its file.
    pub file_bytes: u64,
    /// BLAKE3 of its file up to the file's last part; none where the file has no end.
    pub hash: Option<[u8; 32]>,
}

impl CallRecording {
    /// One of which only is known how it ended.
    pub const fn only(end: RecordingEnd) -> Self {
        Self {
            end,
            length_ms: 0,
            paused_ms: 0,
            missed: 0,
            file_bytes: 0,
            hash: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_read_as_they_are_written() {
        let id = RecordingKeyId(0x12ab);
        assert_eq!(id.to_string(), "rkey_00000000000012ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["rkey_12ab", "00000000000012ab", "rkey_000000000000012ag"] {
            assert_eq!(bad.parse::<RecordingKeyId>(), Err(()));
        }
    }
}
