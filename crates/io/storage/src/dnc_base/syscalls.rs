//! Mapping a file into memory: what the standard library does not have. The only file of this
//! crate with `unsafe`.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    ptr,
    ptr::NonNull,
    slice,
};

/// A file in memory, for reading alone.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages are read-only for as long as the value lives, and belong to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; all access goes through `&[u8]`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `file`, more than none. Nobody may write to the file or cut it
    /// while it is mapped: base files are written under another name, made read-only, and only
    /// ever replaced by rename or removed, which leaves mapped pages alone.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours;
        // the descriptor lives through the call, and the mapping does not need it afterwards.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast())
            .ok_or_else(|| io::Error::other("the kernel mapped a file at address zero"))?;
        let mapping = Self { start, len };
        // SAFETY: the range is the mapping made above. The advice changes no content, and a kernel
        // that refuses it is as good.
        let _advised = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_RANDOM) };
        Ok(mapping)
    }

    /// Copies the first `len` bytes of `file`, more than none, into memory of its own, on large
    /// pages where the kernel has some.
    pub(super) fn copied(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: as in `new`; no descriptor is passed.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel gave memory at address zero"))?;
        let mapping = Self { start, len };
        // SAFETY: as in `new`.
        let _advised = unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        // SAFETY: the memory was made above, is zeroed, writable, `len` bytes long, and nobody else
        // has seen it; this borrow ends before any other begins.
        let bytes = unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) };
        file.read_exact_at(bytes, 0)?;
        // SAFETY: the range is the mapping made above; it stays readable.
        let sealed = unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_READ) };
        if sealed != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(mapping)
    }

    /// The bytes.
    #[inline]
    pub(super) const fn bytes(&self) -> &[u8] {
        // SAFETY: `start` and `len` are those of a mapping that lives as long as `self`, readable
        // in whole, and unchanging as `new` demands.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping of `new`, given back once; every borrow of its bytes
        // has ended, since they borrow `self`.
        let _result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_outlives_the_name_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"forbidden").unwrap();
        let mapping = Mapping::new(&File::open(&path).unwrap(), 9).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapping.bytes(), b"forbidden");
        assert!(Mapping::new(&File::open("/dev/null").unwrap(), 0).is_err());
        std::fs::write(&path, b"forbidden").unwrap();
        let file = File::open(&path).unwrap();
        let copy = Mapping::copied(&file, 9).unwrap();
        std::fs::write(&path, b"x").unwrap();
        assert_eq!(copy.bytes(), b"forbidden", "a copy needs its file no more");
        let error = Mapping::copied(&file, 9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
