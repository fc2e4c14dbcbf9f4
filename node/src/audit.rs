//! The node's audit chain on disk: files of lines in `data_dir/audit`, one line for each attempt,
//! and its head in the directory. [`permit::audit`] says what a line is.
//!
//! A line is handed to the kernel before its INVITE leaves, and is on the disk before its head is
//! told to the directory. Files end at [`SEGMENT`]; all but those of the last day may be moved to an
//! archive at any time.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use domain::{MemberId, PhoneNumber, WallTime};
use ledger::{Change, DirectoryCommand, DirectoryReply};
use member::Member;
use parking_lot::Mutex;
use permit::audit::{Head, Verifier};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The folder in the data directory.
const FOLDER: &str = "audit";
/// A new file begins once one has so many bytes: some 100,000 attempts.
const SEGMENT: u64 = 64 << 20;
/// How often the head is told to the directory, if there is a new one.
const ANCHOR_EVERY: Duration = Duration::from_secs(15);
/// How far back caller IDs' caps look.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long one telling may take.
const PROPOSAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Open {
    file: File,
    /// Files that are full, and perhaps not on the disk yet.
    full: Vec<File>,
    bytes: u64,
    head: Head,
}

/// Appends lines; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    folder: PathBuf,
    segment: u64,
    open: Arc<Mutex<Open>>,
}

/// When caller IDs were shown.
pub(crate) type Shown = BTreeMap<PhoneNumber, Vec<WallTime>>;

impl Audit {
    /// Opens the chain of `node` and reads when its caller IDs were shown in the day before `now`.
    /// Where there are no files (new, or moved away) it goes on from `anchor`, the head that the
    /// directory knows. What a crash left of a line is cut off.
    ///
    /// # Errors
    /// The files cannot be read or written, or the last one is damaged.
    pub(crate) fn open(
        data_dir: &Path,
        node: MemberId,
        anchor: Option<Head>,
        now: WallTime,
    ) -> Result<(Self, Head, Shown)> {
        Self::with_segment(data_dir, node, anchor, now, SEGMENT)
    }

    fn with_segment(
        data_dir: &Path,
        node: MemberId,
        anchor: Option<Head>,
        now: WallTime,
        segment: u64,
    ) -> Result<(Self, Head, Shown)> {
        let folder = data_dir.join(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let files = files(&folder)?;
        let first = Head::first(node);
        let known = anchor.unwrap_or(first);
        let head = match files.last() {
            Some(last) => mend(last, node)?.unwrap_or(known),
            None => known,
        };
        if anchor.is_some_and(|anchor| anchor.sequence > head.sequence) {
            // Files from a backup, or a disk that lied. `audit verify` shows it for ever.
            tracing::error!(
                here = head.sequence,
                directory = known.sequence,
                "the audit chain here is shorter than the directory has seen it; keep the folder as evidence and see \"The audit chain\" in docs/operating.md"
            );
        }
        let shown = shown(&files, now)?;
        let path = match files.last() {
            Some(last) => last.clone(),
            None => folder.join(name(head.sequence + 1)),
        };
        let (file, bytes) = append_to(&path)?;
        let open = Arc::new(Mutex::new(Open {
            file,
            full: Vec::new(),
            bytes,
            head,
        }));
        let audit = Self {
            folder,
            segment,
            open,
        };
        Ok((audit, head, shown))
    }

    /// Hands lines to the kernel, in order.
    ///
    /// # Errors
    /// They were not all taken: nothing may be dialed any more.
    pub(crate) fn write(&self, lines: &[Bytes]) -> Result<()> {
        let Some(last) = lines.last() else {
            return Ok(());
        };
        let mut open = self.open.lock();
        if open.bytes >= self.segment {
            let path = self.folder.join(name(open.head.sequence + 1));
            let (file, bytes) = append_to(&path)?;
            // The dialing thread does not wait for the disk; whoever tells the directory does.
            let full = std::mem::replace(&mut open.file, file);
            open.full.push(full);
            open.bytes = bytes;
        }
        let text = lines.concat();
        open.file
            .write_all(&text)
            .context("the audit chain cannot be written")?;
        open.bytes += text.len() as u64;
        let sequence = open.head.sequence + lines.len() as u64;
        let hex = (last.get(..64)).and_then(|hex| std::str::from_utf8(hex).ok());
        open.head = (hex.and_then(|hex| Head::from_hex(sequence, hex)))
            .context("a line of the audit chain begins with its hash")?;
        Ok(())
    }

    /// Waits until the disk has every line; the head of what it has.
    fn sync(&self) -> Result<Head> {
        let (files, head) = {
            let mut open = self.open.lock();
            let mut files = std::mem::take(&mut open.full);
            files.push(open.file.try_clone().context("the audit chain")?);
            (files, open.head)
        };
        for file in files {
            file.sync_data().context("the audit chain's disk")?;
        }
        Ok(head)
    }

    /// Tells the directory the head whenever there is a new one, for ever.
    pub(crate) async fn keep(self, member: Member) {
        let mut told = 0;
        loop {
            tokio::time::sleep(ANCHOR_EVERY).await;
            self.anchor(&member, &mut told).await;
        }
    }

    /// Tells the directory the head, if it is not the one `told` last.
    pub(crate) async fn anchor(&self, member: &Member, told: &mut u64) {
        if self.open.lock().head.sequence == *told {
            return;
        }
        let audit = self.clone();
        let head = match tokio::task::spawn_blocking(move || audit.sync()).await {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => {
                tracing::error!(error = format!("{error:#}"), "the process stops");
                std::process::abort();
            }
            Err(_) => return,
        };
        let change = Change::AnchorAudit {
            member: member.id(),
            sequence: head.sequence,
            hash: head.hash,
        };
        let command = DirectoryCommand::from(change);
        match (member.directory().propose_again(&command, PROPOSAL).await).map(|done| done.reply) {
            Ok(DirectoryReply::Done) => *told = head.sequence,
            Ok(other) => {
                *told = head.sequence;
                tracing::error!(
                    ?other,
                    "the directory knows another audit chain of this node; keep the folder as evidence and see \"The audit chain\" in docs/operating.md"
                );
            }
            Err(error) => tracing::debug!(%error, "the audit chain's head waits for the directory"),
        }
    }
}

fn name(first: u64) -> String {
    format!("permissions-{first:016}.log")
}

/// The chain's files, oldest first.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("permissions-") && name.ends_with(".log") {
            files.push(folder.join(&*name));
        }
    }
    files.sort();
    Ok(files)
}

fn append_to(path: &Path) -> Result<(File, u64)> {
    let opened = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    let file = opened.with_context(|| format!("opening {}", path.display()))?;
    let bytes = file.metadata().context("the audit chain")?.len();
    // The file's name must survive a power cut as its lines do: once in 100,000 attempts.
    storage::sync_folder_of(path)
        .with_context(|| format!("syncing the folder of {}", path.display()))?;
    Ok((file, bytes))
}

/// Checks the last file and cuts off what a crash left of a line at its end. Its head; none where
/// it has no line.
fn mend(path: &Path, node: MemberId) -> Result<Option<Head>> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut verifier = Verifier::middle();
    let mut good = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.ends_with(b"\n");
        match verifier.line(line) {
            Ok(_) if whole => good += line.len(),
            // A crash leaves half a line at most, without its line feed.
            _ if !whole => {
                tracing::warn!(file = %path.display(), bytes = line.len(),
                    "the end of the audit chain is half a line, left by a crash; it is cut off");
                let file = File::options().write(true).open(path)?;
                file.set_len(good as u64)
                    .and_then(|()| file.sync_data())
                    .with_context(|| format!("mending {}", path.display()))?;
                break;
            }
            Ok(_) => unreachable!("whole lines are taken above"),
            Err(flaw) => bail!(
                "{}: {flaw}. Keep it as evidence: move the folder {} away and start again; the new chain goes on from the head that the directory knows",
                path.display(),
                path.parent().unwrap_or(path).display()
            ),
        }
    }
    let whose = verifier.node();
    if !whose.is_empty() && whose != node.to_string() {
        bail!(
            "{} is the audit chain of {whose}, and this node is {node}: move it to where it belongs",
            path.display()
        );
    }
    if good < text.len() {
        // Read again without the half line.
        return mend(path, node);
    }
    Ok(verifier.finish()?)
}

/// As much of a line as caps need.
#[derive(Deserialize)]
struct Seen<'a> {
    at_ms: i64,
    caller_id: &'a str,
}

/// When caller IDs were shown in the last day. Files are read from the newest back.
fn shown(files: &[PathBuf], now: WallTime) -> Result<Shown> {
    let mut shown = Shown::new();
    for path in files.iter().rev() {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        let mut recent = false;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.with_context(|| format!("reading {}", path.display()))?;
            let body = line.get(65..).unwrap_or_default();
            // Damage in older files is for `audit verify` to tell.
            let Ok(seen) = serde_json::from_slice::<Seen<'_>>(body) else {
                continue;
            };
            let at = WallTime::from_millis(seen.at_ms);
            if at + DAY < now {
                continue;
            }
            recent = true;
            if let Ok(number) = seen.caller_id.parse() {
                shown.entry(number).or_default().push(at);
            }
        }
        if !recent {
            break;
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        AttemptId, CallRecord, CampaignId, Disposition, LeadId, ListId, Permission, RegionId,
        SessionId, TrunkId,
    };

    const NODE: MemberId = MemberId(2);
    const NOW: WallTime = WallTime::from_millis(1_795_300_000_000);

    fn record(sequence: u64, at: WallTime) -> CallRecord {
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
            sip_call_id: String::new(),
            agent: None,
            invited_at: Some(at),
            ringing_at: None,
            answered_at: None,
            bridged_at: None,
            ended_at: at,
            closed_at: at,
            disposition: Disposition::Unknown,
            disposition_name: String::new(),
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
                zones: Vec::new(),
                valid_for_ms: 8_000,
            }),
            note: String::new(),
        }
    }

    fn numbers() -> permit::audit::NumberKey {
        permit::audit::NumberKey::new("test".into(), [7; 32])
    }

    fn write(audit: &Audit, head: &mut Head, lines: u64, at: WallTime) {
        for _ in 0..lines {
            let line = head.seal(&record(head.sequence + 1, at), &numbers());
            audit.write(&[Bytes::from(line)]).unwrap();
        }
    }

    fn all(folder: &Path) -> Vec<u8> {
        let files = files(&folder.join(FOLDER)).unwrap();
        files.iter().flat_map(|f| fs::read(f).unwrap()).collect()
    }

    #[test]
    fn a_restarted_node_goes_on_where_its_chain_ended() {
        let dir = tempfile::tempdir().unwrap();
        // Small files: each ends after three lines.
        let open = || Audit::with_segment(dir.path(), NODE, None, NOW, 1_000).unwrap();
        let (audit, mut head, shown) = open();
        assert_eq!((head, shown.len()), (Head::first(NODE), 0));
        write(&audit, &mut head, 4, NOW - DAY - Duration::from_secs(1));
        write(&audit, &mut head, 4, NOW - Duration::from_secs(60));
        assert_eq!(audit.sync().unwrap(), head);
        drop(audit);
        let (audit, again, shown) = open();
        assert_eq!(again, head);
        let times = shown.values().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(times, [4], "a day's caps, no more");
        write(&audit, &mut head, 1, NOW);
        assert!(files(&dir.path().join(FOLDER)).unwrap().len() > 2);
        let mut verifier = Verifier::new(Head::first(NODE)).against(head);
        for line in all(dir.path()).split_inclusive(|b| *b == b'\n') {
            verifier.line(line).unwrap();
        }
        assert_eq!(verifier.lines(), 9);
        verifier.finish().unwrap();
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off_and_damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Audit::open(dir.path(), NODE, None, NOW);
        let (audit, mut head, _) = open().unwrap();
        write(&audit, &mut head, 3, NOW);
        let kept = all(dir.path());
        let two = kept
            .split_inclusive(|b| *b == b'\n')
            .take(2)
            .flatten()
            .count();
        let path = dir.path().join(FOLDER).join(name(1));
        for left in [two + 1, two + 64, two + 65, kept.len() - 2, kept.len() - 1] {
            fs::write(&path, &kept[..left]).unwrap();
            let (_, head, _) = open().unwrap();
            assert_eq!(head.sequence, 2, "{left} bytes left");
            assert_eq!(all(dir.path()).len(), two);
        }
        let mut damaged = kept.clone();
        damaged[two / 2 + 80] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let why = open().unwrap_err().to_string();
        assert!(
            why.contains("line 2") && why.contains("move the folder"),
            "{why}"
        );
        // The last line, whole: no crash does that.
        let mut damaged = kept.clone();
        damaged[two + 80] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(open().is_err());
        fs::write(&path, &kept).unwrap();
        let why = Audit::open(dir.path(), MemberId(9), None, NOW).unwrap_err();
        assert!(why.to_string().contains("mem_00000002"), "{why}");
        // Moved away: the directory's head is where the chain goes on.
        fs::remove_file(&path).unwrap();
        let (_, again, _) = Audit::open(dir.path(), NODE, Some(head), NOW).unwrap();
        assert_eq!(again, head);
        assert!(dir.path().join(FOLDER).join(name(4)).is_file());
    }
}
