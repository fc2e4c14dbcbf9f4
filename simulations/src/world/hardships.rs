//! Machines that fail their process: a disk that fills up, a clock that jumps.

use super::{Process, World};
use anyhow::Context as _;
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

/// Bytes of a small disk: what a member needs for minutes, several times over.
const DISK_MIB: u64 = 384;
const BALLAST: &str = "ballast";

/// A disk of its own for one member, in memory. Unmounted when dropped.
#[derive(Debug)]
pub(super) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one at a folder that is made.
    pub(super) fn mount(at: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m,mode=700")])
            .arg("dialmesh-test")
            .arg(&at)
            .output()
            .context("starting mount")?;
        anyhow::ensure!(
            done.status.success(),
            "a small disk cannot be mounted at {} (root may): {}",
            at.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(Self { at })
    }

    /// Nothing more fits.
    fn fill(&self) -> anyhow::Result<()> {
        use std::io::Write as _;
        let path = self.at.join(BALLAST);
        let mut file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let piece = vec![0_u8; 1 << 16];
        let mut size = piece.len();
        // Down to the last byte: a page that is left would take the next records.
        while size > 0 {
            match file.write(&piece[..size]) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => size /= 2,
                Err(error) => return Err(error).context("filling a disk"),
            }
        }
        Ok(())
    }

    fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.at.join(BALLAST)).context("freeing a disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.at).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted: umount it", self.at.display());
        }
    }
}

/// Whether small disks can be mounted here; else why not.
///
/// # Errors
/// What `mount` says.
pub fn small_disks_work() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    SmallDisk::mount(folder.path().join("disk")).map(drop)
}

/// Where the library lies that tells a process another time (Debian's package `faketime`).
///
/// # Errors
/// It is not installed.
pub fn clock_library() -> anyhow::Result<PathBuf> {
    let name = "faketime/libfaketimeMT.so.1";
    std::fs::read_dir("/usr/lib")
        .context("reading /usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join(name)))
        .chain([Path::new("/usr/lib").join(name)])
        .find(|path| path.exists())
        .context("libfaketime is not here: apt-get install faketime")
}

/// A process whose calendar follows a file; its steady clock stays true.
pub(super) fn with_clock(process: Process, library: &Path, file: &Path) -> Process {
    process
        .with("LD_PRELOAD", &library.to_string_lossy())
        .with("FAKETIME_TIMESTAMP_FILE", &file.to_string_lossy())
        .with("FAKETIME_CACHE_DURATION", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with("FAKETIME_DONT_RESET", "1")
}

/// Writes by how many seconds a calendar is ahead.
pub(super) fn write_clock(file: &Path, ahead: i64) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{ahead:+}\n"))
        .and_then(|()| std::fs::rename(&new, file))
        .with_context(|| format!("writing {}", file.display()))
}

impl World {
    /// A member's disk is full from now on.
    ///
    /// # Errors
    /// The world was built without small disks, or no such member.
    pub fn fill_disk(&mut self, member: &str) -> anyhow::Result<()> {
        self.crashes = true;
        self.disk(member)?.fill()
    }

    /// It has room again.
    ///
    /// # Errors
    /// As [`World::fill_disk`].
    pub fn free_disk(&self, member: &str) -> anyhow::Result<()> {
        self.disk(member)?.free()
    }

    fn disk(&self, member: &str) -> anyhow::Result<&SmallDisk> {
        (self.disks.get(member)).with_context(|| {
            format!("{member} has no small disk: the world was built without, or it is no member")
        })
    }

    /// A member's calendar is so many seconds ahead (behind where negative) of the true one.
    ///
    /// # Errors
    /// The world was built without clocks that can be set, or no such member.
    pub fn set_clock(&self, member: &str, ahead: i64) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.config.clocks.is_some(),
            "the world was built without clocks that can be set"
        );
        let file = self.folder().join(format!("{member}.clock"));
        anyhow::ensure!(file.exists(), "{member} is no member");
        write_clock(&file, ahead)
    }

    /// Whether every member goes by the same calendar, which is at `from` or later (wall milliseconds).
    pub async fn clocks_agree(&self, from: i64) -> bool {
        let nodes = self.nodes.iter().map(super::Node::monitoring);
        for member in nodes.chain([self.coordinator_monitoring]) {
            let metrics = super::api::metrics(member).await.unwrap_or_default();
            let gauge = |name: &str| {
                let line = metrics.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|value| value.trim().parse::<f64>().ok())
            };
            let time = gauge("dialmesh_clock_time_seconds ");
            let there = time.is_some_and(|seconds| seconds * 1_000.0 >= from as f64);
            if !there || gauge("dialmesh_clock_ahead_seconds ") != Some(0.0) {
                return false;
            }
        }
        true
    }

    /// Whether any member's process runs.
    pub fn member_is_alive(&mut self, member: &str) -> anyhow::Result<bool> {
        if self.is_city(member) {
            return self.is_alive(member);
        }
        Ok(self.coordinator.is_alive())
    }

    /// The last lines that a member printed.
    ///
    /// # Errors
    /// There is no such member.
    pub fn said(&self, member: &str, lines: usize) -> anyhow::Result<String> {
        match self.is_city(member) {
            true => Ok(self.node(member)?.process.tail(lines)),
            false => Ok(self.coordinator.tail(lines)),
        }
    }
}
