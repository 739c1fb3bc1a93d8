//! Block lists: the digests of an asset's blocks, so that each block can be verified before the whole asset is cached.

use serde::Deserialize;

use super::{ByteRange, Digest};

/// The digests of an asset's blocks. All blocks have the same size; the last one may be shorter.
///
/// A list is trusted only if its own digest is the one in the catalog. Therefore [`BlockList::parse`] takes both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockList {
    sha256: Digest,
    size: u64,
    block_size: u64,
    blocks: Vec<Digest>,
}

/// Why a block list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockListError {
    /// The list has another digest than the one in the catalog.
    #[error("the block list has the digest {found}, the catalog names {expected}")]
    Untrusted {
        /// The digest in the catalog.
        expected: Digest,
        /// The digest of the list.
        found: Digest,
    },
    /// The JSON is invalid or has other fields.
    #[error("the block list cannot be read: {0}")]
    Malformed(String),
    /// The version is unknown.
    #[error("the block list has version {0}; this program knows version 1")]
    Version(u64),
    /// The list belongs to another asset.
    #[error("the block list is of {found}, the asset is {expected}")]
    OtherAsset {
        /// The asset's digest.
        expected: Digest,
        /// The digest in the list.
        found: Digest,
    },
    /// The blocks are too small to be useful or too large to be held back.
    #[error("the block list has blocks of {0} bytes; {min} to {max} are accepted", min = BlockList::MIN_BLOCK, max = BlockList::MAX_BLOCK)]
    BlockSize(u64),
    /// The number of digests does not match the size.
    #[error("the block list has {found} blocks where {size} bytes in blocks of {block_size} make {expected}")]
    Count {
        /// The asset's size in the list, in bytes.
        size: u64,
        /// The block size in the list, in bytes.
        block_size: u64,
        /// The number of blocks of such an asset.
        expected: u64,
        /// The number of digests in the list.
        found: u64,
    },
}

#[derive(Deserialize)]
struct Raw {
    version: u64,
    sha256: String,
    size: u64,
    block_size: u64,
    blocks: Vec<String>,
}

impl BlockList {
    /// The smallest block, 4 KiB: one page, and 128 digest characters for each 8 KiB at worst.
    pub const MIN_BLOCK: u64 = 4 << 10;
    /// The largest block, 64 MiB: a reader may have to wait for a whole block.
    pub const MAX_BLOCK: u64 = 64 << 20;

    /// Parses a list. Fails unless `bytes` have the digest `trusted` and the list is of the asset with the digest `asset`.
    pub fn parse(bytes: &[u8], trusted: &Digest, asset: &Digest) -> Result<Self, BlockListError> {
        let found = Digest::of(bytes);
        if found != *trusted {
            return Err(BlockListError::Untrusted { expected: *trusted, found });
        }
        let malformed = |e: &dyn std::fmt::Display| BlockListError::Malformed(e.to_string());
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
        if raw.version != 1 {
            return Err(BlockListError::Version(raw.version));
        }
        let sha256: Digest = raw.sha256.parse().map_err(|e| malformed(&e))?;
        if sha256 != *asset {
            return Err(BlockListError::OtherAsset { expected: *asset, found: sha256 });
        }
        if !(Self::MIN_BLOCK..=Self::MAX_BLOCK).contains(&raw.block_size) {
            return Err(BlockListError::BlockSize(raw.block_size));
        }
        let (expected, found) = (raw.size.div_ceil(raw.block_size), raw.blocks.len() as u64);
        if expected != found {
            return Err(BlockListError::Count { size: raw.size, block_size: raw.block_size, expected, found });
        }
        let blocks = raw.blocks.iter().map(|b| b.parse()).collect::<Result<_, _>>().map_err(|e| malformed(&e))?;
        Ok(Self { sha256, size: raw.size, block_size: raw.block_size, blocks })
    }

    /// The digest of the whole asset.
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// The whole asset's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size of every block but the last, in bytes.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// The number of blocks.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    /// The byte range of block `index`. Empty if there is no such block.
    pub fn range(&self, index: usize) -> ByteRange {
        let start = (index as u64).saturating_mul(self.block_size).min(self.size);
        ByteRange::new(start, start.saturating_add(self.block_size).min(self.size))
    }

    /// The digest of block `index`. `None` if there is no such block.
    pub fn digest(&self, index: usize) -> Option<&Digest> {
        self.blocks.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list_of(data: &[u8], block_size: usize) -> String {
        let blocks: Vec<String> = data.chunks(block_size).map(|c| format!("\"{}\"", Digest::of(c))).collect();
        format!(
            r#"{{"version":1,"sha256":"{}","size":{},"block_size":{block_size},"blocks":[{}]}}"#,
            Digest::of(data),
            data.len(),
            blocks.join(",")
        )
    }

    #[test]
    fn list_with_other_digest_is_untrusted() {
        let (data, text) = (vec![7; 9000], list_of(&[7; 9000], 4096));
        let error = BlockList::parse(text.as_bytes(), &Digest::of(b"other"), &Digest::of(&data)).unwrap_err();
        assert!(matches!(error, BlockListError::Untrusted { .. }));
    }

    #[test]
    fn other_asset_or_wrong_count_is_rejected() {
        let text = list_of(&[7; 9000], 4096);
        let trusted = Digest::of(text.as_bytes());
        let error = BlockList::parse(text.as_bytes(), &trusted, &Digest::of(b"x")).unwrap_err();
        assert!(matches!(error, BlockListError::OtherAsset { .. }));

        let text = text.replace("\"size\":9000", "\"size\":90000");
        let error =
            BlockList::parse(text.as_bytes(), &Digest::of(text.as_bytes()), &Digest::of(&[7; 9000])).unwrap_err();
        assert_eq!(error.to_string(), "the block list has 3 blocks where 90000 bytes in blocks of 4096 make 22");
    }

    proptest! {
        #[test]
        fn blocks_cover_asset_with_right_digests(data in proptest::collection::vec(any::<u8>(), 0..40_000), kib in 4usize..9) {
            let text = list_of(&data, kib << 10);
            let list = BlockList::parse(text.as_bytes(), &Digest::of(text.as_bytes()), &Digest::of(&data)).unwrap();
            let mut at = 0;
            for index in 0..list.count() {
                let range = list.range(index);
                prop_assert_eq!(range.start, at);
                at = range.end;
                let bytes = &data[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                prop_assert_eq!(list.digest(index), Some(&Digest::of(bytes)));
            }
            prop_assert_eq!(at, data.len() as u64);
            prop_assert!(list.range(list.count()).is_empty());
        }

        #[test]
        fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BlockList::parse(&bytes, &Digest::of(&bytes), &Digest::of(b""));
        }
    }
}
