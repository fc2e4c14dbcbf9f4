//! Snapshots as files: written whole, checked by a checksum, the two newest kept.
//!
//! Layout: `DMSNAP`, version (1 byte), length of the meta data (4), meta data, length of the body
//! (8), BLAKE3 of meta data and body (32), body. Numbers big-endian.

use crate::{config::SnapshotMeta, platform::Files};
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 6] = b"DMSNAP";
const VERSION: u8 = 1;
/// Snapshots kept: if the newest is damaged, the one before and the log behind it do as well.
const KEEP: usize = 2;
/// Bytes of meta data: a membership of a thousand members is far below.
const META_BYTES: u32 = 1 << 20;

/// A complete snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
    pub(crate) meta: SnapshotMeta,
    /// Bytes of the whole file.
    pub(crate) length: u64,
    pub(crate) checksum: [u8; 32],
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn checksum(meta: &[u8], body: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new()
        .update(meta)
        .update(body)
        .finalize()
        .as_bytes()
}

impl SnapshotFile {
    /// Reads the head of a file, and checks its length.
    pub(crate) fn open<F: Files>(files: &F, path: &Path) -> io::Result<Self> {
        Self::read_head(files, path, &mut files.open(path)?)
    }

    fn read_head<F: Files>(files: &F, path: &Path, file: &mut F::File) -> io::Result<Self> {
        let mut start = [0; 11];
        file.read_exact(&mut start)?;
        if start[..6] != *MAGIC || start[6] != VERSION {
            return Err(invalid(format!(
                "{} is no snapshot of this release",
                path.display()
            )));
        }
        let meta_length = u32::from_be_bytes([start[7], start[8], start[9], start[10]]);
        if meta_length > META_BYTES {
            return Err(invalid("its meta data is too long"));
        }
        let mut meta = vec![0; meta_length as usize];
        file.read_exact(&mut meta)?;
        let mut rest = [0; 40];
        file.read_exact(&mut rest)?;
        let (body, sum) = rest
            .split_first_chunk::<8>()
            .expect("40 bytes are more than 8");
        let length = 11 + u64::from(meta_length) + 40 + u64::from_be_bytes(*body);
        let found = files.length(path)?;
        if found != length {
            return Err(invalid(format!(
                "it has {found} bytes instead of {length}: it is torn"
            )));
        }
        Ok(Self {
            path: path.into(),
            meta: postcard::from_bytes(&meta).map_err(|e| invalid(e.to_string()))?,
            length,
            checksum: sum.try_into().expect("32 bytes are left"),
        })
    }

    /// The machine's bytes, checked.
    pub(crate) fn read_body<F: Files>(&self, files: &F) -> io::Result<Vec<u8>> {
        let mut file = files.open(&self.path)?;
        let head = Self::read_head(files, &self.path, &mut file)?;
        let mut body = Vec::new();
        file.read_to_end(&mut body)?;
        let meta = postcard::to_stdvec(&head.meta).expect("plain data serialises");
        if checksum(&meta, &body) != self.checksum || head.checksum != self.checksum {
            return Err(invalid(format!(
                "{} does not match its checksum",
                self.path.display()
            )));
        }
        Ok(body)
    }

    /// Up to `length` bytes of the file from `offset` on.
    pub(crate) fn read_part<F: Files>(
        &self,
        files: &F,
        offset: u64,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let mut file = files.open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut part = Vec::with_capacity(length);
        file.take(length as u64).read_to_end(&mut part)?;
        Ok(part)
    }
}

/// A group's folder of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotDir<F> {
    pub(crate) files: F,
    dir: PathBuf,
}

impl<F: Files> SnapshotDir<F> {
    /// Opens or makes it. Unfinished files of an earlier run are removed, except those that are
    /// being received: they go on where they ended.
    pub(crate) fn open(files: F, dir: &Path) -> io::Result<Self> {
        files.make_dir(dir)?;
        for path in files.list(dir)? {
            if path.extension().is_some_and(|e| e == "tmp") {
                files.remove(&path)?;
            }
        }
        Ok(Self {
            files,
            dir: dir.into(),
        })
    }

    fn name(&self, meta: &SnapshotMeta) -> PathBuf {
        let index = meta.last_log_id.as_ref().map_or(0, |l| l.index);
        let term = meta.last_log_id.as_ref().map_or(0, |l| l.leader_id.term);
        self.dir.join(format!("{index:016x}-{term:08x}.snapshot"))
    }

    /// Writes a snapshot, durably, and drops those before the last two.
    pub(crate) fn write(&self, meta: SnapshotMeta, body: &[u8]) -> io::Result<SnapshotFile> {
        let path = self.name(&meta);
        let temporary = path.with_extension("tmp");
        let encoded = postcard::to_stdvec(&meta).expect("plain data serialises");
        let checksum = checksum(&encoded, body);
        let mut file = self.files.create(&temporary)?;
        file.write_all(MAGIC)?;
        file.write_all(&[VERSION])?;
        file.write_all(&(encoded.len() as u32).to_be_bytes())?;
        file.write_all(&encoded)?;
        file.write_all(&(body.len() as u64).to_be_bytes())?;
        file.write_all(&checksum)?;
        file.write_all(body)?;
        self.files.sync(&mut file)?;
        let length = self.files.length(&temporary)?;
        self.files.rename(&temporary, &path)?;
        self.files.sync_dir(&self.dir)?;
        self.prune()?;
        Ok(SnapshotFile {
            path,
            meta,
            length,
            checksum,
        })
    }

    /// Where the snapshot of that checksum is received.
    pub(crate) fn incoming(&self, checksum: &[u8; 32]) -> PathBuf {
        let name: String = checksum[..16].iter().map(|b| format!("{b:02x}")).collect();
        self.dir.join(format!("{name}.part"))
    }

    /// Takes a received, checked snapshot among the others. Other half-received ones go.
    pub(crate) fn adopt(&self, received: &SnapshotFile) -> io::Result<SnapshotFile> {
        let path = self.name(&received.meta);
        if received.path != path {
            self.files.sync(&mut self.files.open(&received.path)?)?;
            self.files.rename(&received.path, &path)?;
            self.files.sync_dir(&self.dir)?;
        }
        self.prune()?;
        Ok(SnapshotFile {
            path,
            ..received.clone()
        })
    }

    fn sorted(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = self.files.list(&self.dir)?;
        found.retain(|path| path.extension().is_some_and(|e| e == "snapshot"));
        // Names sort by index, then by term.
        found.sort();
        Ok(found)
    }

    fn prune(&self) -> io::Result<()> {
        let found = self.sorted()?;
        for path in &found[..found.len().saturating_sub(KEEP)] {
            self.files.remove(path)?;
        }
        Ok(())
    }

    /// The newest whole snapshot. Damaged ones are set aside, loudly.
    pub(crate) fn newest(&self) -> io::Result<Option<SnapshotFile>> {
        for path in self.sorted()?.into_iter().rev() {
            let opened = SnapshotFile::open(&self.files, &path);
            match opened.and_then(|f| f.read_body(&self.files).map(|_| f)) {
                Ok(file) => return Ok(Some(file)),
                Err(e) => {
                    tracing::error!(
                        path = %path.display(), error = %e,
                        "a snapshot is damaged; the one before it is used, or another member's"
                    );
                    self.files.rename(&path, &path.with_extension("damaged"))?;
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LogId, StoredMembership},
        platform::NativeFiles,
    };
    use openraft::vote::RaftLeaderId;
    use std::fs::{self, File};

    fn meta(index: u64) -> SnapshotMeta {
        let leader = openraft::impls::leader_id_adv::LeaderId::new(3, 1).to_committed();
        SnapshotMeta {
            last_log_id: Some(LogId::new(leader, index)),
            last_membership: StoredMembership::default(),
        }
    }

    #[test]
    fn two_are_kept_and_damage_is_survived() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = SnapshotDir::open(NativeFiles, dir.path()).unwrap();
        assert_eq!(snapshots.newest().unwrap(), None);
        for index in [5, 9, 300] {
            snapshots
                .write(meta(index), format!("state {index}").as_bytes())
                .unwrap();
        }
        assert_eq!(snapshots.sorted().unwrap().len(), 2);
        let newest = snapshots.newest().unwrap().unwrap();
        assert_eq!(
            (&newest.meta, newest.read_body(&NativeFiles).unwrap()),
            (&meta(300), b"state 300".to_vec())
        );
        // One bit.
        let mut bytes = fs::read(&newest.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&newest.path, &bytes).unwrap();
        assert!(newest.read_body(&NativeFiles).is_err());
        assert_eq!(snapshots.newest().unwrap().unwrap().meta, meta(9));
        // A torn one.
        let before = snapshots.newest().unwrap().unwrap();
        File::options()
            .write(true)
            .open(&before.path)
            .unwrap()
            .set_len(before.length - 1)
            .unwrap();
        assert!(
            SnapshotFile::open(&NativeFiles, &before.path)
                .unwrap_err()
                .to_string()
                .contains("torn")
        );
        assert_eq!(snapshots.newest().unwrap(), None);
    }
}
