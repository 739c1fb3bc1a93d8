//! An open, proven blob.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags};

use super::map::Mapping;
use crate::asset::{ByteRange, Digest};

/// An open, proven blob: while any clone of it lives, the blob is not evicted. Reads are of immutable bytes.
///
/// What was read with [`Entry::map`] holds the blob just as the entry does.
#[derive(Clone)]
pub struct Entry {
    blob: Arc<OpenBlob>,
}

/// A blob's file. The cache takes a blob for held when there is more than one [`Arc`] of it.
pub(super) struct OpenBlob {
    digest: Digest,
    size: u64,
    file: File,
    mapping: OnceLock<Mapping>,
}

/// Some pages of a blob, which keep it mapped and held.
struct Window {
    blob: Arc<OpenBlob>,
    range: ByteRange,
}

impl Entry {
    pub(super) fn new(blob: Arc<OpenBlob>) -> Self {
        Self { blob }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.blob.size
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    pub(super) fn blob(&self) -> &Arc<OpenBlob> {
        &self.blob
    }

    /// The bytes of `range`, read into memory of their own. Blocks when they are not in the page cache.
    ///
    /// [`io::ErrorKind::InvalidInput`] where the range ends beyond the blob.
    pub fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        let length = self.length(range)?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start + bytes.len() as u64;
            match rustix::io::pread(&self.blob.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have given more than was asked for, and that was read into too.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// The bytes of `range` if all of them are in the page cache, read into memory of their own; else `None`. Never blocks.
    pub fn read_resident(&self, range: ByteRange) -> Option<Bytes> {
        let length = self.length(range).ok()?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let rest = &mut [IoSliceMut::new(&mut bytes[filled..])];
            // Says EAGAIN, or gives fewer bytes, where it would have to wait for the disk (readv(2)).
            match rustix::io::preadv2(&self.blob.file, rest, range.start + filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return None,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(bytes.into())
    }

    /// The pages of `range` themselves, brought into memory first. Blocks when they are not in the page cache.
    ///
    /// For sockets alone: the kernel turns a page that cannot be read any more into an error of the system call, while
    /// user space that touches it would be killed. Hence nothing but `writev` and `sendmsg` may read these bytes.
    pub fn map(&self, range: ByteRange) -> io::Result<Bytes> {
        if self.length(range)? == 0 {
            return Ok(Bytes::new());
        }
        self.blob.mapping()?.populate(&self.blob.file, range)?;
        Ok(self.window(range))
    }

    /// The same if all pages are in memory now; else `None`. Never blocks.
    pub fn map_resident(&self, range: ByteRange) -> Option<Bytes> {
        if self.length(range).ok()? == 0 {
            return Some(Bytes::new());
        }
        let mapping = self.blob.mapping().ok()?;
        // Residence is asked for each time, as memory may have been wanted elsewhere since; the page table is filled once,
        // which does not wait as the pages are there. One go is cheaper than a fault for every few of them in the
        // socket's write, and the next question is answered from the table. Where the kernel emptied it meanwhile and
        // the pages are back in memory, those faults are the cost.
        let mapped = || mapping.was_populated(range) || mapping.populate(&self.blob.file, range).is_ok();
        let here = mapping.is_resident(range) && mapped();
        here.then(|| self.window(range))
    }

    fn window(&self, range: ByteRange) -> Bytes {
        Bytes::from_owner(Window { blob: Arc::clone(&self.blob), range })
    }

    fn length(&self, range: ByteRange) -> io::Result<usize> {
        let size = self.blob.size;
        let length = if range.end <= size { range.end.checked_sub(range.start) } else { None };
        length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| {
            let asked = format!("bytes {} to {} of a blob of {size}", range.start, range.end);
            io::Error::new(io::ErrorKind::InvalidInput, asked)
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.blob.digest, self.blob.size)
    }
}

impl OpenBlob {
    pub(super) fn new(digest: Digest, size: u64, file: File) -> Self {
        Self { digest, size, file, mapping: OnceLock::new() }
    }

    fn mapping(&self) -> io::Result<&Mapping> {
        if let Some(mapping) = self.mapping.get() {
            return Ok(mapping);
        }
        let mapping = Mapping::of(&self.file)?;
        // Nobody asks for pages beyond what is mapped.
        if mapping.length() < self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.mapping.get_or_init(|| mapping))
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        // A window is made of a blob that is mapped already.
        self.blob.mapping.get().map_or(&[], |mapping| mapping.slice(self.range))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pages_that_left_memory_after_they_were_mapped_are_not_taken_for_resident() {
        let bytes = vec![7; 5 << 20];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let entry = Entry::new(OpenBlob::new(Digest::of(&bytes), bytes.len() as u64, file).into());
        let whole = ByteRange::whole(bytes.len() as u64);
        entry.map(whole).unwrap();
        let mapping = entry.blob.mapping().unwrap();
        assert!(mapping.was_populated(whole));
        if !mapping.page_out(&entry.blob.file) {
            return;
        }
        assert!(entry.map_resident(whole).is_none(), "whoever sent from it would wait for the disk");
        entry.map(whole).unwrap();
        assert!(entry.map_resident(whole).is_some());
    }
}
