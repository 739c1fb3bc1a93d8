//! A blob's file mapped into memory, so that sockets send from it: the only `unsafe` code of the cache.
//!
//! User space never reads the mapped bytes. If a page cannot be read, the system call that needs it fails with an error, but
//! a process that touches the page itself is killed (SIGBUS).

#![expect(unsafe_code, reason = "mmap(2) and mincore(2) have no safe form")]

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, Mmap};

use crate::asset::ByteRange;

static PAGE: LazyLock<usize> = LazyLock::new(rustix::param::page_size);

/// Pages for one call of `mincore(2)`: its result fits on the stack, and covers 4 MiB.
const PAGES: usize = 1024;

/// Bytes for which one bit of [`Mapping::populated`] stands.
const WINDOW: u64 = 4 << 20;

/// A whole file, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    bytes: Mmap,
    /// A bit for each window, set once all of its pages were put into the page table. The kernel may remove pages again
    /// without notice when it reclaims memory: a set bit saves work, and guarantees nothing.
    populated: Box<[AtomicU64]>,
    /// Whether `mincore(2)` reports the truth. For other users' files it reports all pages as resident (since Linux 5.2).
    knows_residence: bool,
}

impl Mapping {
    /// Maps all of a blob's file, which must not be empty.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let owner = file.metadata()?.uid();
        let me = rustix::process::geteuid();
        // SAFETY: the file is an admitted blob: read-only and never written again by this process, which holds the
        // directory's lock. Even if another process changes it, nothing here reads these bytes; the kernel gets their
        // address.
        let bytes = unsafe { Mmap::map(file) }?;
        let count = (bytes.len() as u64).div_ceil(WINDOW);
        let populated = (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { bytes, populated, knows_residence: me.is_root() || me.as_raw() == owner })
    }

    /// The length of the file in bytes when it was mapped.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The pages of `range`, which must lie within the file. User space must not read them.
    pub(super) fn slice(&self, range: ByteRange) -> &[u8] {
        let (start, end) = bounds(range);
        &self.bytes[start..end]
    }

    /// Reads the pages of `range` into memory, and puts them into the page table. Blocks for the disk.
    pub(super) fn load(&self, file: &File, range: ByteRange) -> io::Result<()> {
        if !self.is_resident(range) {
            read_through(file, range)?;
        }
        // Where that is not known, the write to the socket puts them there, one by one.
        if self.is_resident(range) {
            self.populate(range);
        }
        Ok(())
    }

    /// Puts the pages of `range` into the page table. They must be resident: before Linux 6.9 the kernel tries for ever to
    /// read a page that the disk or a seal refuses (fixed by its commit 631426ba1d45), and the thread never returns.
    pub(super) fn populate(&self, range: ByteRange) {
        let (start, end) = bounds(range);
        // Linux before 5.14 cannot, and then the write to the socket does it.
        if self.bytes.advise_range(Advice::PopulateRead, start, end - start).is_err() {
            return;
        }
        let last = self.length();
        for window in windows(range) {
            let whole = ByteRange::new(window * WINDOW, last.min((window + 1) * WINDOW));
            if whole.intersect(&range) == whole {
                let (word, bit) = self.bit(window);
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// Whether the pages of `range` were put into the page table since the file was mapped. They may have been removed
    /// since, also from memory.
    pub(super) fn was_populated(&self, range: ByteRange) -> bool {
        windows(range).all(|window| {
            let (word, bit) = self.bit(window);
            word.load(Ordering::Relaxed) & bit != 0
        })
    }

    /// Makes the kernel remove all pages from the page table and from memory, as it does when it reclaims memory. Returns
    /// whether it did: it cannot for files on a tmpfs.
    #[cfg(test)]
    pub(super) fn page_out(&self, file: &File) -> bool {
        file.sync_all().unwrap();
        // SAFETY: the mapping is a shared one of a file: dropped pages are read from the file again.
        unsafe { self.bytes.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) }.unwrap();
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let gone = !self.is_resident(ByteRange::whole(self.bytes.len() as u64));
        if !gone {
            bootdepot_test_support::skip::note("the pages of temporary files stay in memory");
        }
        gone
    }

    fn bit(&self, window: u64) -> (&AtomicU64, u64) {
        let word = usize::try_from(window / 64).unwrap_or(usize::MAX);
        (&self.populated[word], 1 << (window % 64))
    }

    /// Whether all pages of `range` are in memory now. Never blocks.
    pub(super) fn is_resident(&self, range: ByteRange) -> bool {
        if !self.knows_residence {
            return false;
        }
        let (start, end) = bounds(range);
        let mut at = start - start % *PAGE;
        let mut pages = [0u8; PAGES];
        while at < end {
            let length = (end - at).min(PAGES * *PAGE);
            let states = &mut pages[..length.div_ceil(*PAGE)];
            // SAFETY: `at` is a page's first byte, at..at+length lies within the mapping, and `states` has a byte for
            // each page of it.
            let result =
                unsafe { libc::mincore(self.bytes.as_ptr().add(at).cast_mut().cast(), length, states.as_mut_ptr()) };
            // The lowest bit says that the page is in memory; the others are reserved.
            if result != 0 || states.iter().any(|page| page & 1 == 0) {
                return false;
            }
            at += length;
        }
        true
    }
}

/// The range as indices. The whole file is mapped, so that they fit.
fn bounds(range: ByteRange) -> (usize, usize) {
    let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    (position(range.start), position(range.end))
}

/// The windows that a range overlaps.
fn windows(range: ByteRange) -> std::ops::Range<u64> {
    range.start / WINDOW..range.end.div_ceil(WINDOW)
}

/// Reads the range, only to bring it into the page cache.
fn read_through(file: &File, range: ByteRange) -> io::Result<()> {
    let mut scratch = vec![0; 128 << 10];
    let mut at = range.start;
    while at < range.end {
        let piece = scratch.len().min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
        file.read_exact_at(&mut scratch[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file without pages in memory. `None` if temporary files are on a tmpfs.
    fn cold(size: usize) -> Option<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; size]).unwrap();
        file.sync_all().unwrap();
        drop_pages(&file);
        // TMPFS_MAGIC of <linux/magic.h>.
        let in_memory = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
        if in_memory {
            bootdepot_test_support::skip::note("the directory for temporary files is a tmpfs");
        }
        (!in_memory).then_some(file)
    }

    fn drop_pages(file: &File) {
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }

    #[test]
    fn populated_pages_are_resident_until_dropped() {
        let size = 6 << 20;
        let Some(file) = cold(size) else { return };
        let mapping = Mapping::of(&file).unwrap();
        let whole = ByteRange::whole(size as u64);
        mapping.load(&file, whole).unwrap();
        assert!(mapping.is_resident(whole));
        drop(mapping);

        drop_pages(&file);
        let mapping = Mapping::of(&file).unwrap();
        assert!(!mapping.is_resident(whole));
        let middle = ByteRange::new(5_000_001, 5_000_003);
        mapping.load(&file, middle).unwrap();
        assert!(mapping.is_resident(middle));
        assert!(!mapping.is_resident(whole));
    }

    #[test]
    fn window_is_populated_when_complete() {
        let size = 2 * WINDOW + 10_000;
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        let mapping = Mapping::of(&file).unwrap();
        let populated = || [0, WINDOW, 2 * WINDOW].map(|at| mapping.was_populated(ByteRange::new(at, at + 1)));
        mapping.load(&file, ByteRange::new(0, WINDOW - 1)).unwrap();
        assert_eq!(populated(), [false, false, false]);
        mapping.load(&file, ByteRange::new(1, 2 * WINDOW)).unwrap();
        assert_eq!(populated(), [false, true, false]);
        mapping.load(&file, ByteRange::new(2 * WINDOW, size)).unwrap();
        assert_eq!(populated(), [false, true, true]);
        assert!(mapping.was_populated(ByteRange::new(WINDOW + 5, size)));
        assert!(!mapping.was_populated(ByteRange::new(WINDOW - 1, size)));
    }

    #[test]
    fn read_through_makes_pages_resident() {
        let Some(file) = cold(300 << 10) else { return };
        let whole = ByteRange::whole(300 << 10);
        read_through(&file, whole).unwrap();
        assert!(Mapping::of(&file).unwrap().is_resident(whole));
    }
}
