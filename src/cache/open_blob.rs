//! The open file of a blob, and its mapping.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::block_digests::BlockDigests;
use super::identity::Identity;
use super::map::Mapping;
use crate::asset::{ByteRange, Digest};

/// A blob's file. The blob counts as being read while there is more than one reference to it.
pub(super) struct OpenBlob {
    digest: Digest,
    file: File,
    /// The identity of the file when it was opened.
    identity: Identity,
    mapping: OnceLock<Mapping>,
    /// Set for a file that the cache does not keep: each read is verified.
    blocks: Option<BlockDigests>,
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

    /// The digest of the blob.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The digests of its blocks, for a file that the cache does not keep: each read is verified.
    pub(super) fn blocks(&self) -> Option<&BlockDigests> {
        self.blocks.as_ref()
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

    /// Reads the bytes of `range`, which must lie within the blob, into new memory. Blocks if they are not in the page cache.
    pub(super) fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        if let Some(blocks) = &self.blocks {
            return blocks.read(&self.file, self.identity.size, range);
        }
        let length = usize::try_from(range.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocation may be larger than requested, and the read fills all of it.
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// The mapping of the whole file, which is made with the first call.
    pub(super) fn mapping(&self) -> io::Result<&Mapping> {
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

    /// The mapped bytes of `range`; empty before the first [`OpenBlob::mapping`]. User space must not read them.
    pub(super) fn mapped(&self, range: ByteRange) -> &[u8] {
        self.mapping.get().map_or(&[], |mapping| mapping.slice(range))
    }
}
