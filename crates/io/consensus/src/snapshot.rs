//! Snapshots as files: written whole, checked by a checksum, sealed, the two newest kept.
//!
//! Layout: `DMSNAP`, version (1 byte), length of the meta data (4), meta data, length of the body
//! (8), BLAKE3 of meta data and body (32), body. Numbers big-endian. So it goes over the wire; on the
//! disk each member seals it with its own data key, in chunks of one piece of the wire
//! ([`storage::SealedWriter`]), to the group that it is of.

use crate::{
    config::{GroupId, SnapshotMeta},
    platform::Files,
};
use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};
use storage::{DataKeys, SealedFile, SealedKind, SealedWriter, is_wrong_key};

/// Bytes of a piece on the wire, all but the last; and of a sealed chunk on the disk.
pub(crate) const PIECE: usize = 1024 * 1024;
const MAGIC: &[u8; 6] = b"DMSNAP";
const VERSION: u8 = 1;
/// Snapshots kept: if the newest is damaged, the one before and the log behind it do as well.
const KEEP: usize = 2;
/// Bytes of meta data: a membership of a thousand members is far below.
const META_BYTES: u32 = 1 << 20;

/// A complete snapshot file.
#[derive(Clone)]
pub(crate) struct SnapshotFile<F> {
    pub(crate) path: PathBuf,
    pub(crate) meta: SnapshotMeta,
    /// Bytes of it all, unsealed: as it goes over the wire.
    pub(crate) length: u64,
    pub(crate) checksum: [u8; 32],
    sealing: Sealing<F>,
}

impl<F> fmt::Debug for SnapshotFile<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("path", &self.path)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl<F> PartialEq for SnapshotFile<F> {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.meta == other.meta && self.checksum == other.checksum
    }
}

/// With what a group's snapshots are sealed, to what, and on which files.
#[derive(Clone, Debug)]
struct Sealing<F> {
    files: F,
    keys: DataKeys,
    place: [u8; 8],
}

impl<F: Files> Sealing<F> {
    fn open(&self, path: &Path) -> io::Result<SealedFile<F>> {
        let to = (SealedKind::Snapshot, &self.place[..]);
        SealedFile::open_on(&self.files, &self.keys, to, path)
    }

    fn begin(&self, path: &Path) -> io::Result<SealedWriter<F::File>> {
        let file = self.files.create(path)?;
        SealedWriter::begin(&self.keys, SealedKind::Snapshot, &self.place, PIECE, file)
    }
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

impl<F: Files> SnapshotFile<F> {
    fn read_head(
        path: &Path,
        sealing: &Sealing<F>,
        file: &SealedFile<F>,
    ) -> io::Result<(Self, u64)> {
        let start = file.read_at(0, 11)?;
        let torn = || invalid("it ends within its head: it is torn");
        let start: [u8; 11] = start.try_into().map_err(|_| torn())?;
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
        let rest = file.read_at(11, meta_length as usize + 40)?;
        let (meta, rest) = rest
            .split_at_checked(meta_length as usize)
            .ok_or_else(torn)?;
        let (body, sum) = rest.split_first_chunk::<8>().ok_or_else(torn)?;
        let head = 11 + u64::from(meta_length) + 40;
        let length = head.saturating_add(u64::from_be_bytes(*body));
        let found = file.bytes();
        if found != length {
            return Err(invalid(format!(
                "it has {found} bytes instead of {length}: it is torn"
            )));
        }
        let this = Self {
            path: path.into(),
            meta: postcard::from_bytes(meta).map_err(|e| invalid(e.to_string()))?,
            length,
            checksum: sum.try_into().map_err(|_| torn())?,
            sealing: sealing.clone(),
        };
        Ok((this, head))
    }

    /// The machine's bytes, checked.
    pub(crate) fn read_body(&self) -> io::Result<Vec<u8>> {
        let file = self.sealing.open(&self.path)?;
        let (found, head) = Self::read_head(&self.path, &self.sealing, &file)?;
        let length = usize::try_from(self.length - head).map_err(io::Error::other)?;
        let body = file.read_at(head, length)?;
        let meta = postcard::to_stdvec(&found.meta).expect("plain data serialises");
        if checksum(&meta, &body) != self.checksum || found.checksum != self.checksum {
            return Err(invalid(format!(
                "{} does not match its checksum",
                self.path.display()
            )));
        }
        Ok(body)
    }

    /// Up to `length` bytes from `offset` on, as they go over the wire.
    pub(crate) fn read_part(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.sealing.open(&self.path)?.read_at(offset, length)
    }
}

/// A group's folder of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotDir<F> {
    dir: PathBuf,
    sealing: Sealing<F>,
}

impl<F: Files> SnapshotDir<F> {
    /// Opens or makes it. What an earlier run left is on the disk, with its name, before anybody
    /// builds on it. Unfinished files are removed, except those that are being received: they go on
    /// where they ended. Snapshots of a release that did not seal, or
    /// sealed with an older key, are sealed with the newest.
    pub(crate) fn open(files: F, dir: &Path, group: GroupId, keys: &DataKeys) -> io::Result<Self> {
        files.make_dir(dir)?;
        let this = Self {
            dir: dir.into(),
            sealing: Sealing {
                files,
                keys: keys.clone(),
                place: group.to_u64().to_be_bytes(),
            },
        };
        let Sealing { files, keys, place } = &this.sealing;
        for path in files.list(dir)? {
            let kind = path.extension().and_then(|e| e.to_str());
            if matches!(kind, Some("snapshot" | "part")) {
                files.settle(&path)?;
            }
            match kind {
                Some("tmp") => files.remove(&path)?,
                Some("snapshot") => {
                    let to = (SealedKind::Snapshot, &place[..]);
                    storage::seal_anew(files, keys, to, PIECE, &path)?;
                }
                // Nobody needs what is not whole, and it can be read.
                Some("part" | "damaged") if !SealedFile::is_sealed(files, &path)? => {
                    files.remove(&path)?;
                }
                _ => {}
            }
        }
        // The run may have ended after a snapshot had its name, and before the folder was synced.
        files.sync_dir(dir)?;
        Ok(this)
    }

    /// Reads the head of a file, and checks its length.
    pub(crate) fn read(&self, path: &Path) -> io::Result<SnapshotFile<F>> {
        let file = self.sealing.open(path)?;
        SnapshotFile::read_head(path, &self.sealing, &file).map(|(file, _)| file)
    }

    /// Takes a piece of the snapshot of that checksum and length; how many bytes are there then.
    pub(crate) fn take_part(
        &self,
        checksum: &[u8; 32],
        length: u64,
        piece: (u64, &[u8]),
    ) -> io::Result<u64> {
        let Sealing { files, keys, place } = &self.sealing;
        let to = (SealedKind::Snapshot, &place[..]);
        let path = self.incoming(checksum);
        storage::sealed_parts(files, keys, to, PIECE, &path, length, piece)
    }

    fn name(&self, meta: &SnapshotMeta) -> PathBuf {
        let index = meta.last_log_id.as_ref().map_or(0, |l| l.index);
        let term = meta.last_log_id.as_ref().map_or(0, |l| l.leader_id.term);
        self.dir.join(format!("{index:016x}-{term:08x}.snapshot"))
    }

    /// Writes a snapshot, durably, and drops those before the last two.
    pub(crate) fn write(&self, meta: SnapshotMeta, body: &[u8]) -> io::Result<SnapshotFile<F>> {
        let path = self.name(&meta);
        let temporary = path.with_extension("tmp");
        let encoded = postcard::to_stdvec(&meta).expect("plain data serialises");
        let checksum = checksum(&encoded, body);
        let mut file = self.sealing.begin(&temporary)?;
        file.write_all(MAGIC)?;
        file.write_all(&[VERSION])?;
        file.write_all(&(encoded.len() as u32).to_be_bytes())?;
        file.write_all(&encoded)?;
        file.write_all(&(body.len() as u64).to_be_bytes())?;
        file.write_all(&checksum)?;
        file.write_all(body)?;
        self.sealing.files.sync(&mut file.finish()?)?;
        let length = (11 + encoded.len() + 40 + body.len()) as u64;
        self.sealing.files.rename(&temporary, &path)?;
        self.sealing.files.sync_dir(&self.dir)?;
        self.prune()?;
        Ok(SnapshotFile {
            path,
            meta,
            length,
            checksum,
            sealing: self.sealing.clone(),
        })
    }

    /// Where the snapshot of that checksum is received.
    pub(crate) fn incoming(&self, checksum: &[u8; 32]) -> PathBuf {
        let name: String = checksum[..16].iter().map(|b| format!("{b:02x}")).collect();
        self.dir.join(format!("{name}.part"))
    }

    /// Takes a received, checked snapshot among the others. Other half-received ones go.
    pub(crate) fn adopt(&self, received: &SnapshotFile<F>) -> io::Result<SnapshotFile<F>> {
        let files = &self.sealing.files;
        let path = self.name(&received.meta);
        if received.path != path {
            files.sync(&mut files.open(&received.path)?)?;
            files.rename(&received.path, &path)?;
            files.sync_dir(&self.dir)?;
        }
        // Nothing is being received while this is taken in.
        for other in files.list(&self.dir)? {
            if other.extension().is_some_and(|e| e == "part") {
                files.remove(&other)?;
            }
        }
        self.prune()?;
        Ok(SnapshotFile {
            path,
            ..received.clone()
        })
    }

    /// Drops a received file that is not what was announced, if it is there.
    pub(crate) fn drop_incoming(&self, path: &Path) -> io::Result<()> {
        match self.sealing.files.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sorted(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = self.sealing.files.list(&self.dir)?;
        found.retain(|path| path.extension().is_some_and(|e| e == "snapshot"));
        // Names sort by index, then by term.
        found.sort();
        Ok(found)
    }

    fn prune(&self) -> io::Result<()> {
        let found = self.sorted()?;
        for path in &found[..found.len().saturating_sub(KEEP)] {
            self.sealing.files.remove(path)?;
        }
        Ok(())
    }

    fn whole(&self, path: &Path) -> io::Result<SnapshotFile<F>> {
        let file = self.read(path)?;
        file.read_body()?;
        if self.name(&file.meta) != path {
            return Err(invalid("it was renamed: its name is not that of its index"));
        }
        Ok(file)
    }

    /// The newest whole snapshot. Damaged ones are set aside, loudly.
    pub(crate) fn newest(&self) -> io::Result<Option<SnapshotFile<F>>> {
        for path in self.sorted()?.into_iter().rev() {
            match self.whole(&path) {
                Ok(file) => return Ok(Some(file)),
                // It is as good as it was: only the key is not here.
                Err(e) if is_wrong_key(&e) => return Err(e),
                Err(e) => {
                    tracing::error!(
                        path = %path.display(), error = %e,
                        "a snapshot is damaged; the one before it is used, or another member's"
                    );
                    let aside = path.with_extension("damaged");
                    self.sealing.files.rename(&path, &aside)?;
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
    use parking_lot::Mutex;
    use std::{
        fs::{self, File},
        sync::Arc,
    };

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
        let snapshots = open(dir.path(), &DataKeys::ephemeral()).unwrap();
        assert_eq!(snapshots.newest().unwrap(), None);
        for index in [5, 9, 300] {
            snapshots
                .write(meta(index), format!("state {index}").as_bytes())
                .unwrap();
        }
        assert_eq!(snapshots.sorted().unwrap().len(), 2);
        let newest = snapshots.newest().unwrap().unwrap();
        assert_eq!(
            (&newest.meta, newest.read_body().unwrap()),
            (&meta(300), b"state 300".to_vec())
        );
        // One bit.
        let mut bytes = fs::read(&newest.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&newest.path, &bytes).unwrap();
        assert!(newest.read_body().is_err());
        assert_eq!(snapshots.newest().unwrap().unwrap().meta, meta(9));
        // A torn one.
        let before = snapshots.newest().unwrap().unwrap();
        File::options()
            .write(true)
            .open(&before.path)
            .unwrap()
            .set_len(fs::metadata(&before.path).unwrap().len() - 1)
            .unwrap();
        assert!(snapshots.read(&before.path).is_err());
        assert_eq!(snapshots.newest().unwrap(), None);
    }

    fn open(dir: &Path, keys: &DataKeys) -> io::Result<SnapshotDir<NativeFiles>> {
        SnapshotDir::open(NativeFiles, dir, GroupId::Directory, keys)
    }

    /// As it goes over the wire, and as releases before sealing kept it.
    fn plain(index: u64, body: &[u8]) -> Vec<u8> {
        let meta = postcard::to_stdvec(&meta(index)).unwrap();
        let mut bytes = b"DMSNAP\x01".to_vec();
        bytes.extend((meta.len() as u32).to_be_bytes());
        bytes.extend(&meta);
        bytes.extend((body.len() as u64).to_be_bytes());
        bytes.extend(checksum(&meta, body));
        bytes.extend(body);
        bytes
    }

    #[test]
    fn an_earlier_releases_snapshot_is_read_and_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let number: domain::PhoneNumber = "+8613800138000".parse().unwrap();
        let body = [&[7; PIECE][..], number.reveal().as_bytes()].concat();
        let golden = plain(9, &body);
        assert_eq!(
            golden[..27],
            [
                b"DMSNAP\x01".as_slice(),
                &[0, 0, 0, 8, 1, 3, 1, 9, 0, 0, 0, 0],
                &[0, 0, 0, 0, 0, 16, 0, 14]
            ]
            .concat()
        );
        let path = dir.path().join("0000000000000009-00000003.snapshot");
        fs::write(&path, &golden).unwrap();
        fs::write(dir.path().join("x.part"), &golden[..99]).unwrap();
        fs::write(dir.path().join("x.damaged"), &golden).unwrap();
        let clear = || storage::in_clear(dir.path(), &[number], &[]).unwrap();
        assert_eq!(clear().len(), 2);

        let old = DataKeys::ephemeral();
        let snapshots = open(dir.path(), &old).unwrap();
        assert_eq!(clear(), []);
        let newest = snapshots.newest().unwrap().unwrap();
        assert_eq!(
            (&newest.meta, newest.read_body().unwrap()),
            (&meta(9), body.clone())
        );
        assert_eq!(newest.length, golden.len() as u64);
        let mut wire = newest.read_part(0, PIECE).unwrap();
        wire.extend(newest.read_part(PIECE as u64, PIECE).unwrap());
        assert_eq!(wire, golden, "on the wire it is as it was");

        // Another member takes it in by pieces, and keeps it under a key of its own.
        let other = tempfile::tempdir().unwrap();
        let taker = open(other.path(), &DataKeys::ephemeral()).unwrap();
        let sum = newest.checksum;
        let put = |at: usize, piece: &[u8]| {
            taker
                .take_part(&sum, newest.length, (at as u64, piece))
                .unwrap()
        };
        assert_eq!(put(0, &[]), 0);
        assert_eq!(put(0, &golden[..PIECE]), PIECE as u64);
        assert_eq!(put(PIECE, &golden[PIECE..]), newest.length);
        assert_eq!(storage::in_clear(other.path(), &[number], &[]).unwrap(), []);
        // Another one broke off on its way.
        let whole = 2 * PIECE as u64;
        taker
            .take_part(&[9; 32], whole, (0, &golden[..PIECE]))
            .unwrap();
        assert!(taker.incoming(&[9; 32]).exists());
        let received = taker.read(&taker.incoming(&sum)).unwrap();
        assert_eq!(received.read_body().unwrap(), body);
        taker.adopt(&received).unwrap();
        assert_eq!(taker.newest().unwrap().unwrap().meta, meta(9));
        assert!(!taker.incoming(&[9; 32]).exists());

        // Without its key it is neither taken for damaged nor for missing.
        let error = open(dir.path(), &DataKeys::ephemeral())
            .unwrap_err()
            .to_string();
        assert!(error.contains("put back the key file"), "{error}");
        assert!(path.exists());
        // Another group's, or under another name.
        let group = GroupId::Region(domain::RegionId(1));
        let region = SnapshotDir::open(NativeFiles, dir.path(), group, &old).unwrap();
        let error = region.read(&path).unwrap_err().to_string();
        assert!(error.contains("moved here"), "{error}");
        let renamed = dir.path().join("0000000000000010-00000003.snapshot");
        fs::rename(&path, &renamed).unwrap();
        assert!(
            snapshots
                .whole(&renamed)
                .unwrap_err()
                .to_string()
                .contains("renamed")
        );
        fs::rename(&renamed, &path).unwrap();
        // Cut off between two chunks.
        let sealed = fs::read(&path).unwrap();
        fs::write(&path, &sealed[..28 + PIECE + 16]).unwrap();
        let error = snapshots.read(&path).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }

    /// The operating system's files, and which of them were settled, which folders synced.
    #[derive(Clone, Debug, Default)]
    struct Watched(Arc<Mutex<Vec<PathBuf>>>);

    impl Files for Watched {
        type File = File;

        fn make_dir(&self, dir: &Path) -> io::Result<()> {
            NativeFiles.make_dir(dir)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
            NativeFiles.list(dir)
        }
        fn open(&self, path: &Path) -> io::Result<File> {
            let settled = self.0.lock().iter().any(|of| of == path);
            assert!(settled, "{} is read before it is settled", path.display());
            NativeFiles.open(path)
        }
        fn create(&self, path: &Path) -> io::Result<File> {
            NativeFiles.create(path)
        }
        fn edit(&self, path: &Path) -> io::Result<File> {
            NativeFiles.edit(path)
        }
        fn cut(&self, file: &mut File, length: u64) -> io::Result<()> {
            NativeFiles.cut(file, length)
        }
        fn length(&self, path: &Path) -> io::Result<u64> {
            NativeFiles.length(path)
        }
        fn sync(&self, file: &mut File) -> io::Result<()> {
            NativeFiles.sync(file)
        }
        fn settle(&self, path: &Path) -> io::Result<()> {
            self.0.lock().push(path.into());
            NativeFiles.settle(path)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.0.lock().push(dir.into());
            NativeFiles.sync_dir(dir)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            NativeFiles.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            NativeFiles.remove(path)
        }
    }

    #[test]
    fn what_a_run_left_is_on_the_disk_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let keys = DataKeys::ephemeral();
        let before = open(dir.path(), &keys).unwrap();
        before.write(meta(5), b"five").unwrap();
        let whole = 2 * PIECE as u64;
        let piece = vec![7; PIECE];
        before.take_part(&[9; 32], whole, (0, &piece)).unwrap();
        let files = Watched::default();
        let group = GroupId::Directory;
        let snapshots = SnapshotDir::open(files.clone(), dir.path(), group, &keys).unwrap();
        assert_eq!(snapshots.newest().unwrap().unwrap().meta, meta(5));
        let seen = files.0.lock();
        let left = files.list(dir.path()).unwrap();
        assert_eq!(left.len(), 2);
        for path in left {
            assert!(seen.contains(&path), "{}", path.display());
        }
        assert_eq!(seen.last().map(PathBuf::as_path), Some(dir.path()));
    }

    #[test]
    fn a_newer_key_seals_snapshots_anew() {
        let dir = tempfile::tempdir().unwrap();
        let key_file = dir.path().join("data.key");
        let first = DataKeys::create(&key_file).unwrap();
        let folder = dir.path().join("snapshots");
        let body = vec![9; 2 * PIECE];
        open(&folder, &first)
            .unwrap()
            .write(meta(5), &body)
            .unwrap();
        let both = DataKeys::rotate(&key_file).unwrap();
        let snapshots = open(&folder, &both).unwrap();
        assert_eq!(
            snapshots.newest().unwrap().unwrap().read_body().unwrap(),
            body
        );
        let error = open(&folder, &first).unwrap_err().to_string();
        assert!(error.contains(&both.active().to_string()), "{error}");
    }
}
