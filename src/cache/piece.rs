//! Some bytes of a blob: copied into memory, or mapped pages that only system calls read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};

use super::open_blob::OpenBlob;
use crate::asset::ByteRange;

/// Some bytes of a blob.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes in memory.
    Copied(Bytes),
    /// Pages of the blob's file.
    Mapped(Pages),
}

/// Mapped pages of a blob. While they exist, the blob stays mapped and is not evicted.
///
/// They cannot be read as bytes: a process that touches a page which the disk cannot read is killed (SIGBUS), where a system
/// call returns an error.
///
/// ```compile_fail
/// fn first(pages: &bootdepot::cache::Pages) -> u8 {
///     pages[0]
/// }
/// ```
#[derive(Clone)]
pub struct Pages {
    blob: Arc<OpenBlob>,
    range: ByteRange,
}

impl Pages {
    /// The pages of `range`, which the mapping of `blob` must hold.
    pub(super) fn new(blob: Arc<OpenBlob>, range: ByteRange) -> Self {
        Self { blob, range }
    }

    /// The part of them at these offsets.
    fn part(&self, part: Range<usize>) -> Self {
        let at = |offset: usize| self.range.end.min(self.range.start.saturating_add(offset as u64));
        Self { blob: Arc::clone(&self.blob), range: ByteRange::new(at(part.start), at(part.end)) }
    }
}

impl Piece {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            // The whole file is mapped, so that it fits.
            Self::Mapped(pages) => usize::try_from(pages.range.len()).unwrap_or(usize::MAX),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part of it at these offsets, which must lie within it. Copies nothing.
    #[must_use]
    pub fn slice(&self, part: Range<usize>) -> Self {
        match self {
            Self::Copied(bytes) => Self::Copied(bytes.slice(part)),
            Self::Mapped(pages) => Self::Mapped(pages.part(part)),
        }
    }

    /// Splits off and returns the first `at` bytes, of which there must be as many. If these are all, nothing is held any more.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Self {
        if at == self.len() {
            return std::mem::take(self);
        }
        match self {
            Self::Copied(bytes) => Self::Copied(bytes.split_to(at)),
            Self::Mapped(pages) => {
                let first = pages.part(0..at);
                *pages = pages.part(at..usize::MAX);
                Self::Mapped(first)
            }
        }
    }

    /// Splits off and returns the bytes from the offset `at` on, which must lie within it.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let first = self.split_to(at);
        std::mem::replace(self, first)
    }

    /// Drops the first `count` bytes, of which there must be as many.
    pub fn advance(&mut self, count: usize) {
        match self {
            Self::Copied(bytes) => bytes.advance(count),
            Self::Mapped(pages) => *pages = pages.part(count..usize::MAX),
        }
    }

    /// Its bytes in memory. Pages are read from the blob's file, which blocks if they are not in the page cache.
    pub fn read(self) -> io::Result<Bytes> {
        match self {
            Self::Copied(bytes) => Ok(bytes),
            Self::Mapped(Pages { blob, range }) => blob.read(range),
        }
    }

    /// Where the bytes are, for the arguments of `writev` and `sendmsg` alone: user space must not read pages.
    pub(crate) fn for_system_call(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Mapped(Pages { blob, range }) => blob.mapped(*range),
        }
    }
}

impl Default for Piece {
    fn default() -> Self {
        Self::Copied(Bytes::new())
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Copied(bytes)
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({}, {})", self.blob.digest(), self.range)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::asset::Digest;
    use crate::cache::identity::Identity;

    /// The same bytes, copied and mapped.
    fn pieces(bytes: &[u8]) -> [Piece; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let identity = Identity::of(&file).unwrap();
        let blob = Arc::new(OpenBlob::new(Digest::of(bytes), file, identity));
        blob.mapping().unwrap();
        let pages = Pages::new(blob, ByteRange::whole(bytes.len() as u64));
        [Bytes::copy_from_slice(bytes).into(), Piece::Mapped(pages)]
    }

    #[test]
    fn pages_split_like_copied_bytes() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        for mut piece in pieces(&bytes) {
            let (first, rest) = (piece.split_to(1000), piece.split_off(5000));
            piece.advance(7);
            let parts =
                [(first, 0..1000), (piece.clone(), 1007..6000), (rest, 6000..10_000), (piece.slice(1..3), 1008..1010)];
            for (part, expected) in parts {
                assert_eq!(part.len(), expected.len());
                assert_eq!(part.for_system_call(), &bytes[expected.clone()]);
                assert_eq!(part.read().unwrap(), &bytes[expected]);
            }
            assert!(piece.slice(4..4).is_empty() && !piece.is_empty());
        }
    }

    #[test]
    fn lost_pages_fail_as_error() {
        let [_, piece] = pieces(&[7; 10_000]);
        let Piece::Mapped(pages) = &piece else { panic!("it is mapped") };
        // A write past the end of the file would kill the process; the read fails.
        rustix::fs::ftruncate(pages.blob.file(), 100).unwrap();
        assert_eq!(piece.read().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
