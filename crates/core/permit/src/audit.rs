//! The audit chain: why each attempt of a node was permitted, so that nobody can change it later
//! without being found out.
//!
//! One line of text an attempt, written before its INVITE leaves:
//!
//! ```text
//! <SHA-256 in hex> <JSON object>\n
//! ```
//!
//! where the hash is that of the line before (in hex, 64 characters), one space, and the JSON object
//! as it stands. Before the first line stands [`Head::first`]. Any tool with SHA-256 can check it. A
//! line edited, dropped, doubled or moved breaks every later hash; lines cut off at the end are
//! found by the directory's copy of the head.

use domain::{CallRecord, MemberId, PhoneNumber, WallTime, zones};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of one line at most: an attempt with every zone of a large country has some 600.
pub const LINE_BYTES: usize = 16 * 1024;
/// Characters of a hash in hex.
const HEX: usize = 64;
const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Room for most lines, so that they need not grow.
const USUAL_BYTES: usize = 1024;

/// For what a data key is made a key of [`NumberKey`].
pub const NUMBERS: &str = "audit chain";

/// Hashes called numbers with a key of the node's: the chain is kept for years and copied to archives,
/// and gives nobody's number away. Who has the key finds a number's lines.
#[derive(Clone)]
pub struct NumberKey {
    name: String,
    key: [u8; 32],
}

impl NumberKey {
    /// `name` stands in front of each hash, so that the key of an old line can be found.
    pub fn new(name: String, key: [u8; 32]) -> Self {
        Self { name, key }
    }

    /// The name, a colon, and 128 bits of keyed BLAKE3 of the number's digits, in hex.
    pub fn hash(&self, number: PhoneNumber) -> String {
        let hash = blake3::keyed_hash(&self.key, number.digits().to_string().as_bytes());
        format!("{}:{}", self.name, &hash.to_hex()[..32])
    }
}

impl std::fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NumberKey({})", self.name)
    }
}

/// The end of a chain: how many lines it has, and the hash of the last one.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last line's number; 0 before the first.
    pub sequence: u64,
    /// The last line's SHA-256.
    pub hash: [u8; 32],
}

impl Head {
    /// Where a node's chain begins: the hash of `dialmesh audit` and the node's id.
    pub fn first(node: MemberId) -> Self {
        Self {
            sequence: 0,
            hash: Sha256::digest(format!("dialmesh audit {node}")).into(),
        }
    }

    /// The hash in hex, as it stands in files.
    pub fn hex(&self) -> String {
        self.digits()
            .iter()
            .map(|digit| char::from(*digit))
            .collect()
    }

    fn digits(&self) -> [u8; HEX] {
        let mut text = [0; HEX];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.hash) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }

    /// From the line's number and the hash in hex.
    pub fn from_hex(sequence: u64, hex: &str) -> Option<Self> {
        let hash = unhex(hex.as_bytes())?;
        Some(Self { sequence, hash })
    }

    fn next(&self, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.digits());
        hash.update(b" ");
        hash.update(body);
        Self {
            sequence: self.sequence + 1,
            hash: hash.finalize().into(),
        }
    }

    /// Writes the next line: why this attempt is permitted. `record` must carry its permission
    /// with the sequence that comes next.
    ///
    /// # Panics
    /// On a record without permission, or with another sequence: the caller's mistake.
    pub fn seal(&mut self, record: &CallRecord, numbers: &NumberKey) -> Vec<u8> {
        let line = Line::of(record, numbers);
        assert_eq!(
            line.sequence,
            self.sequence + 1,
            "lines are written in order"
        );
        // The hash comes in front of what it is over.
        let mut text = Vec::with_capacity(USUAL_BYTES);
        text.extend_from_slice(&[b' '; HEX + 1]);
        serde_json::to_writer(&mut text, &line).expect("plain data");
        *self = self.next(&text[HEX + 1..]);
        text[..HEX].copy_from_slice(&self.digits());
        text.push(b'\n');
        text
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hex())
    }
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if text.len() != HEX {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

/// One permitted attempt, as its line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// From 1.
    pub sequence: u64,
    /// When the INVITE left, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The attempt.
    pub attempt: String,
    /// The lead.
    pub lead: String,
    /// The campaign.
    pub campaign: String,
    /// The node that dialed.
    pub node: String,
    /// The lead's home region.
    pub region: String,
    /// The session that held the lease.
    pub session: String,
    /// For how much longer session and do-not-call copy were valid, in milliseconds.
    pub valid_for_ms: u32,
    /// The called number, in lines of releases that wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub number: String,
    /// The called number by its hash ([`NumberKey::hash`]); absent in lines of earlier releases.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub number_hash: String,
    /// The number shown.
    pub caller_id: String,
    /// The trunk it left by.
    pub trunk: String,
    /// The rule pack and its version.
    pub rule_pack: String,
    /// Where the number may lie: the calling window was open in each of these time zones.
    pub zones: Vec<String>,
    /// The directory's entry up to which do-not-call was known, and did not name the number.
    pub dnc_index: u64,
    /// The do-not-call base that was asked, and did not hold the number; absent when none was in
    /// use.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dnc_base: String,
    /// The person's consent, by id and kind; absent when there was none, and none was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub consent: String,
}

impl Line {
    fn of(record: &CallRecord, numbers: &NumberKey) -> Self {
        let permission = (record.permission.as_ref()).expect("only permitted attempts are dialed");
        Self {
            sequence: permission.sequence,
            at_ms: record.invited_at.map_or(0, WallTime::as_millis),
            attempt: record.attempt.to_string(),
            lead: record.lead.to_string(),
            campaign: record.campaign.to_string(),
            node: record.node.to_string(),
            region: record.region.to_string(),
            session: record.session.to_string(),
            valid_for_ms: permission.valid_for_ms,
            number: String::new(),
            number_hash: numbers.hash(record.number),
            caller_id: record.caller_id.map_or_else(String::new, |n| n.reveal()),
            trunk: record.trunk.map_or_else(String::new, |id| id.to_string()),
            rule_pack: record.rule_pack.clone(),
            zones: (permission.zones.iter())
                .map(|zone| zones::name(*zone).map_or_else(|| zone.to_string(), str::to_owned))
                .collect(),
            dnc_index: record.dnc_index,
            dnc_base: record
                .dnc_base
                .map_or_else(String::new, |id| id.to_string()),
            consent: (record.consent).map_or_else(String::new, |consent| consent.to_string()),
        }
    }
}

/// What is wrong with a chain, and at which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not a hash, a space and a JSON object.
    #[error(
        "line {line}: cannot be read ({why}); a good line is a SHA-256 in hex, a space and a JSON object"
    )]
    Unreadable {
        /// Counted from 1 over all that was given.
        line: u64,
        /// Why not.
        why: String,
    },
    /// The line itself, or one before it, was changed, dropped, added or moved.
    #[error(
        "line {line}: the hash does not follow from the line before; this line, or what stood before it, was changed"
    )]
    Broken {
        /// Counted from 1 over all that was given.
        line: u64,
    },
    /// The hash is right and the number is not: written by something else than a node.
    #[error("line {line}: says {found}, where {expected} comes next")]
    Sequence {
        /// Counted from 1 over all that was given.
        line: u64,
        /// What comes next.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// Another node's line.
    #[error("line {line}: belongs to {found}; the lines before belong to {expected}")]
    Node {
        /// Counted from 1 over all that was given.
        line: u64,
        /// Whose the chain is.
        expected: String,
        /// Whose the line is.
        found: String,
    },
    /// The chain is shorter than the directory knows it.
    #[error(
        "the chain ends with {found}; the directory has seen {anchored}: lines are missing at the end"
    )]
    CutOff {
        /// Its last line.
        found: u64,
        /// The directory's.
        anchored: u64,
    },
    /// A different chain than the one the directory knows.
    #[error(
        "line {sequence} is not the one that the directory has seen: the chain was written anew"
    )]
    Rewritten {
        /// Where the two differ, at the latest.
        sequence: u64,
    },
    /// The directory's head lies before the first line given.
    #[error(
        "the chain given begins after {anchored}, which the directory has seen; give the earlier files too"
    )]
    BeginsLate {
        /// The directory's.
        anchored: u64,
    },
}

/// Reads a chain line by line and checks it.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: Option<Head>,
    anchor: Option<Head>,
    anchor_met: bool,
    begins: u64,
    node: String,
    lines: u64,
}

impl Verifier {
    /// For a node's whole chain (`head` is [`Head::first`]), or for the rest after a line that was
    /// checked before.
    pub fn new(head: Head) -> Self {
        Self {
            head: Some(head),
            ..Self::middle()
        }
    }

    /// For a part whose beginning is not at hand: its first line is taken as it is.
    pub fn middle() -> Self {
        Self {
            head: None,
            anchor: None,
            anchor_met: false,
            begins: 0,
            node: String::new(),
            lines: 0,
        }
    }

    /// With the head that the directory has seen.
    #[must_use]
    pub fn against(mut self, anchor: Head) -> Self {
        self.anchor = Some(anchor);
        self.anchor_met = self.head == Some(anchor);
        self
    }

    /// Takes one line, with or without its line feed.
    ///
    /// # Errors
    /// [`Flaw`]; nothing after it can be trusted.
    pub fn line(&mut self, text: &[u8]) -> Result<Line, Flaw> {
        self.lines += 1;
        let line = self.lines;
        let bad = |why: String| Flaw::Unreadable { line, why };
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.len() > LINE_BYTES {
            return Err(bad(format!("{} bytes, at most {LINE_BYTES}", text.len())));
        }
        let hash = (text.get(..HEX).and_then(unhex)).ok_or_else(|| bad("no hash".into()))?;
        let body = match text.get(HEX..) {
            Some([b' ', body @ ..]) => body,
            _ => return Err(bad("no space after the hash".into())),
        };
        let read: Line = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        let here = match self.head {
            Some(head) => head.next(body),
            None => Head {
                sequence: read.sequence,
                hash,
            },
        };
        if here.hash != hash {
            return Err(Flaw::Broken { line });
        }
        if here.sequence != read.sequence {
            return Err(Flaw::Sequence {
                line,
                expected: here.sequence,
                found: read.sequence,
            });
        }
        if !self.node.is_empty() && self.node != read.node {
            return Err(Flaw::Node {
                line,
                expected: self.node.clone(),
                found: read.node,
            });
        }
        if self.node.is_empty() {
            (self.node, self.begins) = (read.node.clone(), read.sequence);
        }
        if let Some(anchor) = self
            .anchor
            .filter(|anchor| anchor.sequence == here.sequence)
        {
            if anchor.hash != here.hash {
                return Err(Flaw::Rewritten {
                    sequence: here.sequence,
                });
            }
            self.anchor_met = true;
        }
        self.head = Some(here);
        Ok(read)
    }

    /// Whose chain it is, once a line was read.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// How many lines were read.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The end.
    ///
    /// # Errors
    /// The directory's head was not met.
    pub fn finish(self) -> Result<Option<Head>, Flaw> {
        let Some(anchor) = self.anchor.filter(|_| !self.anchor_met) else {
            return Ok(self.head);
        };
        let found = self.head.map_or(0, |head| head.sequence);
        if found < anchor.sequence {
            return Err(Flaw::CutOff {
                found,
                anchored: anchor.sequence,
            });
        }
        if self.begins > anchor.sequence {
            return Err(Flaw::BeginsLate {
                anchored: anchor.sequence,
            });
        }
        Err(Flaw::Rewritten {
            sequence: anchor.sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        AttemptId, CampaignId, Disposition, LeadId, ListId, Permission, RegionId, SessionId,
        TrunkId,
    };
    use proptest::prelude::*;

    const NODE: MemberId = MemberId(2);

    fn record(sequence: u64) -> CallRecord {
        let at = WallTime::from_millis(1_795_300_000_000 + sequence as i64 * 700);
        let region = RegionId(1);
        CallRecord {
            attempt: AttemptId::new(region, sequence, 0),
            lead: LeadId::new(region, sequence),
            campaign: CampaignId(3),
            list: ListId(1),
            region,
            node: NODE,
            session: SessionId(5),
            number: "+8613800138001".parse().unwrap(),
            caller_id: Some("+861058880001".parse().unwrap()),
            trunk: Some(TrunkId(1)),
            sip_call_id: "a@b".into(),
            agent: None,
            invited_at: Some(at),
            ringing_at: None,
            answered_at: None,
            bridged_at: None,
            ended_at: at,
            closed_at: at,
            disposition: Disposition::Unknown,
            disposition_name: "unknown".into(),
            sip_status: 0,
            q850: 0,
            ended_by: String::new(),
            carrier_leg: None,
            agent_leg: None,
            rule_pack: "china 2026-11-21".into(),
            dnc_index: 12,
            listened: None,
            recording: None,
            call_back: None,
            presence: None,
            voice_drop: None,
            called_for: None,
            holds: None,
            dnc_base: None,
            consent: None,
            permission: Some(Permission {
                sequence,
                zones: vec![zones::find("Asia/Shanghai").unwrap()],
                valid_for_ms: 8_000,
            }),
            note: String::new(),
        }
    }

    fn numbers() -> NumberKey {
        NumberKey::new("5dc941e5".into(), [7; 32])
    }

    #[test]
    fn a_line_of_an_earlier_release_is_read() {
        let (lines, head) = chain(1);
        let text = String::from_utf8(lines[0].clone()).unwrap();
        let (_, body) = text.trim_end().split_once(' ').unwrap();
        let hash = numbers().hash("+8613800138001".parse().unwrap());
        let now = format!("\"number_hash\":\"{hash}\"");
        let body = body.replace(&now, "\"number\":\"+8613800138001\"");
        let earlier = Head::first(NODE).next(body.as_bytes());
        assert_ne!(earlier, head);
        let mut verifier = Verifier::new(Head::first(NODE)).against(earlier);
        let line = verifier.line(format!("{} {body}\n", earlier.hex()).as_bytes());
        assert_eq!(line.unwrap().number, "+8613800138001");
        verifier.finish().unwrap();
        assert!(!format!("{:?}", numbers()).contains('7'));
    }

    fn chain(lines: u64) -> (Vec<Vec<u8>>, Head) {
        let mut head = Head::first(NODE);
        let lines = (1..=lines)
            .map(|n| head.seal(&record(n), &numbers()))
            .collect();
        (lines, head)
    }

    fn check(lines: &[Vec<u8>], anchor: Head) -> Result<Option<Head>, Flaw> {
        let mut verifier = Verifier::new(Head::first(NODE)).against(anchor);
        for line in lines {
            verifier.line(line)?;
        }
        verifier.finish()
    }

    #[test]
    fn a_line_says_why_and_other_tools_can_check_it() {
        let (lines, head) = chain(1);
        let text = String::from_utf8(lines[0].clone()).unwrap();
        let (hash, body) = text.trim_end().split_once(' ').unwrap();
        assert_eq!(
            body,
            "{\"sequence\":1,\"at_ms\":1795300000700,\"attempt\":\"att_0001000000000000000100000000\",\
             \"lead\":\"lead_0001000000000001\",\"campaign\":\"camp_00000003\",\"node\":\"mem_00000002\",\
             \"region\":\"reg_0001\",\"session\":\"sess_0000000000000005\",\"valid_for_ms\":8000,\
             \"number_hash\":\"5dc941e5:74a4d802a39611227333bdf4df207b4a\",\"caller_id\":\"+861058880001\",\"trunk\":\"trunk_00000001\",\
             \"rule_pack\":\"china 2026-11-21\",\"zones\":[\"Asia/Shanghai\"],\"dnc_index\":12}"
        );
        // As `printf '%s %s' PREVIOUS BODY | sha256sum` has it.
        let before = Head::first(NODE).hex();
        let again: [u8; 32] = Sha256::digest(format!("{before} {body}")).into();
        assert_eq!((hash, again), (head.hex().as_str(), head.hash));
    }

    #[test]
    fn a_whole_chain_and_its_parts_pass() {
        let (lines, head) = chain(5);
        assert_eq!(check(&lines, head), Ok(Some(head)));
        let early = Head::from_hex(3, &hex_of(&lines[2])).unwrap();
        assert_eq!(
            check(&lines, early),
            Ok(Some(head)),
            "lines since the anchor"
        );
        assert_eq!(check(&[], Head::first(NODE)), Ok(Some(Head::first(NODE))));
        let mut part = Verifier::middle().against(head);
        for line in &lines[2..] {
            part.line(line).unwrap();
        }
        assert_eq!((part.lines(), part.node()), (3, "mem_00000002"));
        assert_eq!(part.finish(), Ok(Some(head)));
    }

    fn hex_of(line: &[u8]) -> String {
        String::from_utf8(line[..HEX].to_vec()).unwrap()
    }

    #[test]
    fn every_kind_of_tampering_has_its_name() {
        let (lines, head) = chain(5);
        let mut dropped = lines.clone();
        dropped.remove(2);
        assert_eq!(check(&dropped, head), Err(Flaw::Broken { line: 3 }));
        let mut swapped = lines.clone();
        swapped.swap(1, 2);
        assert_eq!(check(&swapped, head), Err(Flaw::Broken { line: 2 }));
        let mut doubled = lines.clone();
        doubled.insert(1, lines[0].clone());
        assert_eq!(check(&doubled, head), Err(Flaw::Broken { line: 2 }));
        let cut = Flaw::CutOff {
            found: 4,
            anchored: 5,
        };
        assert_eq!(check(&lines[..4], head), Err(cut));
        // Written anew from the second line on, with good hashes.
        let mut anew = Head::first(NODE);
        let mut rewritten = vec![anew.seal(&record(1), &numbers())];
        for n in 2..=6 {
            let mut other = record(n);
            other.dnc_index = 99;
            rewritten.push(anew.seal(&other, &numbers()));
        }
        assert_eq!(
            check(&rewritten, head),
            Err(Flaw::Rewritten { sequence: 5 })
        );
        // Another node's line with a hash that follows.
        let mut foreign = Head::first(NODE);
        let first = foreign.seal(&record(1), &numbers());
        let mut other = record(2);
        other.node = MemberId(3);
        let second = foreign.seal(&other, &numbers());
        let flaw = check(&[first, second], foreign).unwrap_err();
        assert!(matches!(flaw, Flaw::Node { line: 2, .. }), "{flaw}");
        // The anchor lies before the part that was given.
        let mut late = Verifier::middle().against(Head::from_hex(1, &hex_of(&lines[0])).unwrap());
        for line in &lines[2..] {
            late.line(line).unwrap();
        }
        assert_eq!(late.finish(), Err(Flaw::BeginsLate { anchored: 1 }));
        for bad in [&b"x"[..], b"", &[b'0'; 70], &[0xff; LINE_BYTES + 1]] {
            let flaw = Verifier::middle().line(bad).unwrap_err();
            assert!(matches!(flaw, Flaw::Unreadable { line: 1, .. }), "{flaw}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_found(place in any::<prop::sample::Index>(), to in any::<u8>()) {
            let (lines, head) = chain(4);
            let mut text = lines.concat();
            let place = place.index(text.len());
            prop_assume!(text[place] != to);
            text[place] = to;
            let mut verifier = Verifier::new(Head::first(NODE)).against(head);
            let read = (text.split_inclusive(|c| *c == b'\n'))
                .try_for_each(|line| verifier.line(line).map(drop));
            // Only the last line feed means nothing.
            let last = place == text.len() - 1;
            prop_assert!(read.is_err() || verifier.finish().is_err() || last);
        }
    }
}
