//! An open blob.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

use super::open_blob::OpenBlob;
use super::piece::{Pages, Piece};
use crate::asset::{ByteRange, Digest};

/// An open verified blob. It is not evicted while an entry or a clone of it exists.
///
/// This program never changes its bytes. Other processes may: ask [`Cache::is_intact`](super::Cache::is_intact) before the last
/// bytes are used.
///
/// A [`Piece`] from [`Entry::map`] protects the blob as an entry does.
#[derive(Clone)]
pub struct Entry {
    blob: Arc<OpenBlob>,
}

impl Entry {
    pub(super) fn new(blob: Arc<OpenBlob>) -> Self {
        Self { blob }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.blob.identity().size
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        self.blob.digest()
    }

    pub(super) fn blob(&self) -> &Arc<OpenBlob> {
        &self.blob
    }

    /// Reads the bytes of `range` into new memory. Blocks if they are not in the page cache.
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] if the range ends beyond the blob.
    pub fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        self.length(range)?;
        self.blob.read(range)
    }

    /// Reads the bytes of `range` into new memory. `None` if not all of them are in the page cache. Never blocks.
    pub fn read_resident(&self, range: ByteRange) -> Option<Bytes> {
        let length = self.length(range).ok().filter(|_| self.blob.blocks().is_none())?;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let rest = &mut [IoSliceMut::new(&mut bytes[filled..])];
            // Returns EAGAIN or fewer bytes if it would have to wait for the disk (readv(2)).
            match rustix::io::preadv2(self.blob.file(), rest, range.start + filled as u64, ReadWriteFlags::NOWAIT) {
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
    /// A file that the cache does not keep is read instead: each read of it is verified.
    pub fn map(&self, range: ByteRange) -> io::Result<Piece> {
        if self.length(range)? == 0 || self.blob.blocks().is_some() {
            return self.read(range).map(Piece::Copied);
        }
        self.blob.mapping()?.load(self.blob.file(), range)?;
        Ok(Piece::Mapped(Pages::new(Arc::clone(&self.blob), range)))
    }

    /// The same. `None` if not all pages are in memory now. Never blocks.
    pub fn map_resident(&self, range: ByteRange) -> Option<Piece> {
        if self.length(range).ok()? == 0 {
            return Some(Piece::default());
        }
        if self.blob.blocks().is_some() {
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
        Some(Piece::Mapped(Pages::new(Arc::clone(&self.blob), range)))
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
        write!(f, "Entry({}, {} bytes)", self.blob.digest(), self.size())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cache::identity::Identity;

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
        if !mapping.page_out(entry.blob.file()) {
            return;
        }
        assert!(entry.map_resident(whole).is_none(), "sending from it would wait for the disk");
        entry.map(whole).unwrap();
        assert!(entry.map_resident(whole).is_some());
    }
}
