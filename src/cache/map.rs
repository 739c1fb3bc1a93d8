//! A blob's file mapped into memory, for sockets to send from: the only `unsafe` code of the cache.
//!
//! User space never reads the mapped bytes. The kernel turns a page that cannot be read into an error of the system call
//! that wanted it; a process that touches it itself is killed.

#![expect(unsafe_code, reason = "mmap(2) and mincore(2) have no safe form")]

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, Mmap};

use crate::asset::ByteRange;

static PAGE: LazyLock<usize> = LazyLock::new(rustix::param::page_size);

/// How many pages `mincore(2)` is asked for at once: its answers fit on the stack, and cover 4 MiB.
const PAGES: usize = 1024;

/// Bytes of a mapping of which is remembered together whether they were populated.
const STRETCH: usize = 1 << 20;

/// A whole file, mapped.
#[derive(Debug)]
pub(super) struct Mapping {
    bytes: Mmap,
    /// Whether the kernel tells us the truth of what is in memory: of other users' files it says that all of it is
    /// (mincore(2), since Linux 5.2).
    knows_residence: bool,
    /// By stretch: whether all of its pages were in the page table once.
    populated: Box<[AtomicBool]>,
}

impl Mapping {
    /// Maps all of a blob's file, which must not be empty.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let owner = file.metadata()?.uid();
        let me = rustix::process::geteuid();
        // SAFETY: the file is an admitted blob: read-only and never written again by this process, which holds the
        // directory's lock. Should another process change it all the same, nothing here reads these bytes; they go to
        // the kernel by address.
        let bytes = unsafe { Mmap::map(file) }?;
        let populated = (0..bytes.len().div_ceil(STRETCH)).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { bytes, knows_residence: me.is_root() || me.as_raw() == owner, populated })
    }

    /// The pages of `range`, which must lie within the file. Not to be read by user space.
    pub(super) fn slice(&self, range: ByteRange) -> &[u8] {
        let (start, end) = bounds(range);
        &self.bytes[start..end]
    }

    /// Brings the pages of `range` into memory. Blocks for the disk.
    pub(super) fn populate(&self, file: &File, range: ByteRange) -> io::Result<()> {
        let (start, end) = bounds(range);
        let populated = match self.bytes.advise_range(Advice::PopulateRead, start, end - start) {
            // Before Linux 5.14.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => read_through(file, range),
            // A page that cannot be read would have killed us, had we touched it (madvise(2)).
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Err(io::Error::from_raw_os_error(libc::EIO)),
            other => other,
        };
        if populated.is_ok() {
            let whole =
                start.div_ceil(STRETCH)..if end == self.bytes.len() { self.populated.len() } else { end / STRETCH };
            for stretch in self.populated.get(whole).into_iter().flatten() {
                stretch.store(true, Ordering::Relaxed);
            }
        }
        populated
    }

    /// Whether all pages of `range` were populated once. They cost nothing to send where they still are; where memory
    /// was short meanwhile, a fault for every few of them.
    pub(super) fn was_populated(&self, range: ByteRange) -> bool {
        let (start, end) = bounds(range);
        let stretches = self.populated.get(start / STRETCH..end.div_ceil(STRETCH));
        stretches.is_some_and(|stretches| stretches.iter().all(|stretch| stretch.load(Ordering::Relaxed)))
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
            let asked = &mut pages[..length.div_ceil(*PAGE)];
            // SAFETY: `at` is a page's first byte, at..at+length lies within the mapping, and `asked` has a byte for
            // each page of it.
            let answer =
                unsafe { libc::mincore(self.bytes.as_ptr().add(at).cast_mut().cast(), length, asked.as_mut_ptr()) };
            // The lowest bit says that the page is in memory; the others are reserved.
            if answer != 0 || asked.iter().any(|page| page & 1 == 0) {
                return false;
            }
            at += length;
        }
        true
    }
}

/// The range as positions in memory. A file that is mapped whole has no byte beyond them.
fn bounds(range: ByteRange) -> (usize, usize) {
    let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    (position(range.start), position(range.end))
}

/// Reads the range for the sake of the page cache alone.
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

    /// A file none of whose pages are in memory; `None` where files live in memory alone.
    fn cold(size: usize) -> Option<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; size]).unwrap();
        file.sync_all().unwrap();
        drop_pages(&file);
        // TMPFS_MAGIC of <linux/magic.h>.
        let in_memory = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
        if in_memory {
            eprintln!("skipped: the directory for temporary files is a tmpfs");
        }
        (!in_memory).then_some(file)
    }

    fn drop_pages(file: &File) {
        rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }

    #[test]
    fn what_was_populated_is_resident_and_what_was_dropped_is_not() {
        let size = 6 << 20;
        let Some(file) = cold(size) else { return };
        let mapping = Mapping::of(&file).unwrap();
        let whole = ByteRange::whole(size as u64);
        mapping.populate(&file, whole).unwrap();
        assert!(mapping.is_resident(whole));
        drop(mapping);

        drop_pages(&file);
        let mapping = Mapping::of(&file).unwrap();
        assert!(!mapping.is_resident(whole));
        let middle = ByteRange::new(5_000_001, 5_000_003);
        mapping.populate(&file, middle).unwrap();
        assert!(mapping.is_resident(middle));
        assert!(!mapping.is_resident(whole));
    }

    #[test]
    fn what_was_populated_is_remembered_by_whole_stretches() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 2 * STRETCH + 5000]).unwrap();
        let mapping = Mapping::of(&file).unwrap();
        let mebibyte = STRETCH as u64;
        let (part, first) = (ByteRange::new(4096, mebibyte), ByteRange::new(0, mebibyte));
        let (rest, tail) =
            (ByteRange::new(mebibyte, 2 * mebibyte + 5000), ByteRange::new(2 * mebibyte, 2 * mebibyte + 9));
        mapping.populate(&file, part).unwrap();
        assert!(!mapping.was_populated(part), "not all of the stretch");
        mapping.populate(&file, rest).unwrap();
        assert!(mapping.was_populated(rest) && mapping.was_populated(tail) && !mapping.was_populated(first));
        mapping.populate(&file, first).unwrap();
        assert!(mapping.was_populated(first) && mapping.was_populated(ByteRange::new(0, 2 * mebibyte + 5000)));
    }

    #[test]
    fn reading_through_makes_resident_too() {
        let Some(file) = cold(300 << 10) else { return };
        let whole = ByteRange::whole(300 << 10);
        read_through(&file, whole).unwrap();
        assert!(Mapping::of(&file).unwrap().is_resident(whole));
    }
}
