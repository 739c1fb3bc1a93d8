//! The digests of a file's blocks, for a file that the cache does not keep: its bytes are verified again at each read,
//! because a disk that failed to store them may return others later.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use crate::asset::{ByteRange, Digest, Verifier};

/// Bytes of one block: a read of any range hashes at most two blocks more than it needs.
const BLOCK: u64 = 1 << 20;

/// The digests of a file's blocks, which together have the digest of the whole.
#[derive(Debug)]
pub(super) struct BlockDigests(Vec<Digest>);

impl BlockDigests {
    /// Hashes a file of `size` bytes. Fails with [`io::ErrorKind::InvalidData`] if the whole does not have the digest
    /// `expected`.
    pub(super) fn of(file: &File, size: u64, expected: &Digest) -> io::Result<Self> {
        let (mut whole, mut blocks) = (Verifier::new(), Vec::new());
        while whole.length() < size {
            let block = read(file, nth_block(blocks.len() as u64, size))?;
            whole.update(&block);
            blocks.push(Digest::of(&block));
        }
        whole.verify(expected).map_err(|found| invalid(format!("the disk returns bytes of the digest {found}")))?;
        Ok(Self(blocks))
    }

    /// Reads the bytes of `range` of the same file of `size` bytes. Fails with [`io::ErrorKind::InvalidData`] if the disk
    /// returns other bytes than were hashed.
    pub(super) fn read(&self, file: &File, size: u64, range: ByteRange) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(usize::try_from(range.len()).unwrap_or_default());
        let mut index = range.start / BLOCK;
        while index * BLOCK < range.end {
            let at = nth_block(index, size);
            let block = read(file, at)?;
            let expected = usize::try_from(index).ok().and_then(|index| self.0.get(index));
            if expected != Some(&Digest::of(&block)) {
                return Err(invalid(format!("the disk returns wrong bytes {at}")));
            }
            let wanted = at.intersect(&range);
            // Offsets within a block, whose length is a usize.
            let offset = |position: u64| usize::try_from(position - at.start).unwrap_or(usize::MAX);
            bytes.extend_from_slice(&block[offset(wanted.start)..offset(wanted.end)]);
            index += 1;
        }
        Ok(bytes.into())
    }
}

fn nth_block(index: u64, size: u64) -> ByteRange {
    ByteRange::new(index * BLOCK, ((index + 1) * BLOCK).min(size))
}

fn read(file: &File, range: ByteRange) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or_default()];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(length: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        (file, bytes)
    }

    #[test]
    fn any_range_reads_equal() {
        let (file, bytes) = file(2_500_000);
        let blocks = BlockDigests::of(&file, 2_500_000, &Digest::of(&bytes)).unwrap();
        for (start, end) in [(0, 1), (0, 2_500_000), (1_048_575, 1_048_577), (2_499_999, 2_500_000), (7, 7)] {
            let range = ByteRange::new(start, end);
            let read = blocks.read(&file, 2_500_000, range).unwrap();
            assert!(read == bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()], "{range}");
        }
    }

    #[test]
    fn changed_byte_fails_its_block_only() {
        let (file, bytes) = file(2_500_000);
        let blocks = BlockDigests::of(&file, 2_500_000, &Digest::of(&bytes)).unwrap();
        file.write_all_at(b"!", 1_500_000).unwrap();
        assert!(blocks.read(&file, 2_500_000, ByteRange::new(0, 1 << 20)).is_ok());
        let error = blocks.read(&file, 2_500_000, ByteRange::new(1_048_570, 1_048_577)).unwrap_err();
        assert_eq!(error.to_string(), "the disk returns wrong bytes 1048576-2097151");
    }

    #[test]
    fn other_digest_is_refused() {
        let (file, _) = file(10);
        let error = BlockDigests::of(&file, 10, &Digest::of(b"other")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(BlockDigests::of(&file, 0, &Digest::of(b"")).is_ok());
    }
}
