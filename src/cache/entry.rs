//! An open blob.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags};

use super::block_digests::BlockDigests;
use super::identity::Identity;
use super::map::Mapping;
use crate::asset::{ByteRange, Digest};

/// An open verified blob. It is not evicted while an entry or a clone of it exists.
///
/// This program never changes its bytes. Other processes may: ask [`Cache::is_intact`](super::Cache::is_intact) before the last
/// bytes are used.
///
/// Bytes from [`Entry::map`] protect the blob as an entry does.
#[derive(Clone)]
pub struct Entry {
    blob: Arc<OpenBlob>,
}

/// A blob's file. The blob counts as being read while there is more than one [`Arc`] of it.
pub(super) struct OpenBlob {
    digest: Digest,
    file: File,
    /// The identity of the file when it was opened.
    identity: Identity,
    mapping: OnceLock<Mapping>,
    /// Set for a file that the cache does not keep: each read is verified.
    blocks: Option<BlockDigests>,
}

/// Some pages of a blob, which keep it mapped and protected.
struct Window {
    blob: Arc<OpenBlob>,
    range: ByteRange,
}

impl Entry {
    pub(super) fn new(blob: Arc<OpenBlob>) -> Self {
        Self { blob }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.blob.identity.size
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    pub(super) fn blob(&self) -> &Arc<OpenBlob> {
        &self.blob
    }

    /// Reads the bytes of `range` into new memory. Blocks if they are not in the page cache.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] if the range ends beyond the blob.
    pub fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        let length = self.length(range)?;
        if let Some(blocks) = &self.blob.blocks {
            return blocks.read(&self.blob.file, self.size(), range);
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start + bytes.len() as u64;
            match rustix::io::pread(&self.blob.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocation may be larger than requested, and the read fills all of it.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// Reads the bytes of `range` into new memory. `None` if not all of them are in the page cache. Never blocks.
    pub fn read_resident(&self, range: ByteRange) -> Option<Bytes> {
        let length = self.length(range).ok().filter(|_| self.blob.blocks.is_none())?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let rest = &mut [IoSliceMut::new(&mut bytes[filled..])];
            // Returns EAGAIN or fewer bytes if it would have to wait for the disk (readv(2)).
            match rustix::io::preadv2(&self.blob.file, rest, range.start + filled as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => return None,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(bytes.into())
    }

    /// Maps the pages of `range` after reading them into memory. Blocks if they are not in the page cache.
    ///
    /// Only for `writev` and `sendmsg`: if a page cannot be read any more, such a system call returns an error, but user
    /// space that touches the page is killed.
    pub fn map(&self, range: ByteRange) -> io::Result<Bytes> {
        if self.length(range)? == 0 {
            return Ok(Bytes::new());
        }
        if self.blob.blocks.is_some() {
            return self.read(range);
        }
        self.blob.mapping()?.load(&self.blob.file, range)?;
        Ok(self.window(range))
    }

    /// The same. `None` if not all pages are in memory now. Never blocks.
    pub fn map_resident(&self, range: ByteRange) -> Option<Bytes> {
        if self.length(range).ok()? == 0 {
            return Some(Bytes::new());
        }
        if self.blob.blocks.is_some() {
            return None;
        }
        let mapping = self.blob.mapping().ok()?;
        // Residence is checked each time because the kernel may have reclaimed the pages. The page table is filled once,
        // which does not block because the pages are resident. One call is cheaper than a page fault for every few pages
        // in the socket's write. If the kernel has emptied the page table since, those page faults are the cost.
        if !mapping.is_resident(range) {
            return None;
        }
        if !mapping.was_populated(range) {
            mapping.populate(range);
        }
        Some(self.window(range))
    }

    fn window(&self, range: ByteRange) -> Bytes {
        Bytes::from_owner(Window { blob: Arc::clone(&self.blob), range })
    }

    fn length(&self, range: ByteRange) -> io::Result<usize> {
        let size = self.size();
        let length = if range.end <= size { range.end.checked_sub(range.start) } else { None };
        length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| {
            let request = format!("bytes {} to {} of a blob of {size}", range.start, range.end);
            io::Error::new(io::ErrorKind::InvalidInput, request)
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.blob.digest, self.size())
    }
}

impl OpenBlob {
    pub(super) fn new(digest: Digest, file: File, identity: Identity) -> Self {
        Self { digest, file, identity, mapping: OnceLock::new(), blocks: None }
    }

    /// A file of verified bytes that the cache does not keep. Fails with [`io::ErrorKind::InvalidData`] if the file does not
    /// have the digest.
    pub(super) fn not_kept(digest: Digest, file: File) -> io::Result<Self> {
        let identity = Identity::of(&file)?;
        let blocks = BlockDigests::of(&file, identity.size, &digest)?;
        Ok(Self { blocks: Some(blocks), ..Self::new(digest, file, identity) })
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The identity of the file when it was opened.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the file is as it was when it was opened. One system call, which does not wait for the disk.
    pub(super) fn is_unchanged(&self) -> bool {
        self.blocks.is_some() || self.identity.is_of(&self.file).unwrap_or(false)
    }

    /// The same, where it may block.
    pub(super) fn has_its_identity(&self) -> bool {
        Identity::of(&self.file).is_ok_and(|found| found == self.identity)
    }

    /// Whether the file has the same bytes as when it was opened, even if it was removed from the directory since.
    pub(super) fn is_intact(&self) -> bool {
        self.blocks.is_some() || self.identity.holds_for(&self.file).unwrap_or(false)
    }

    /// Reads into all of `buffer`, beginning at `offset`.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn mapping(&self) -> io::Result<&Mapping> {
        if let Some(mapping) = self.mapping.get() {
            return Ok(mapping);
        }
        let mapping = Mapping::of(&self.file)?;
        // Ensures that no range within the blob is beyond the mapping.
        if mapping.length() < self.identity.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.mapping.get_or_init(|| mapping))
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        // A window is only made after the blob was mapped.
        self.blob.mapping.get().map_or(&[], |mapping| mapping.slice(self.range))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reclaimed_pages_are_not_resident() {
        let bytes = vec![7; 5 << 20];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let identity = Identity::of(&file).unwrap();
        let entry = Entry::new(OpenBlob::new(Digest::of(&bytes), file, identity).into());
        let whole = ByteRange::whole(bytes.len() as u64);
        entry.map(whole).unwrap();
        let mapping = entry.blob.mapping().unwrap();
        assert!(mapping.was_populated(whole));
        if !mapping.page_out(&entry.blob.file) {
            return;
        }
        assert!(entry.map_resident(whole).is_none(), "sending from it would wait for the disk");
        entry.map(whole).unwrap();
        assert!(entry.map_resident(whole).is_some());
    }
}
