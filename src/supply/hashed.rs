//! What one pass over the bytes of an object gives: its digest, its block list, and the digests of its parts.

use std::fmt::Write as _;

use base64::Engine as _;

use super::part_plan::BLOCK;
use crate::asset::Digest;

/// Digests of an object that was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of all bytes.
    pub digest: Digest,
    /// The SHA-256 of each block of 4 MiB; the last may be shorter.
    pub blocks: Vec<Digest>,
    /// The SHA-256 of each part. Empty if it was stored in one request.
    pub parts: Vec<Digest>,
}

impl Hashed {
    /// The digests of bytes that are stored in one request.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, digest: Digest::of(bytes), blocks: blocks(bytes), parts: Vec::new() }
    }

    /// The block list (`KEY.blocks`).
    pub fn block_list(&self) -> String {
        let mut list = format!(
            "{{\"version\":1,\"sha256\":\"{}\",\"size\":{},\"block_size\":{BLOCK},\"blocks\":[",
            self.digest, self.size
        );
        for (index, block) in self.blocks.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(list, "{comma}\"{block}\"");
        }
        list + "]}\n"
    }

    /// The SHA-256 checksum that S3 keeps of the object: of its bytes or, for an object of N parts, of the digests of its parts
    /// with `-N` after it.
    pub fn s3_checksum(&self) -> String {
        if self.parts.is_empty() {
            return self.digest.to_base64();
        }
        let all: Vec<u8> = self.parts.iter().flat_map(Digest::as_bytes).copied().collect();
        let of_parts = base64::engine::general_purpose::STANDARD.encode(Digest::of(&all).as_bytes());
        format!("{of_parts}-{}", self.parts.len())
    }

    /// Whether a checksum that a store keeps is the one of these bytes. `None` if it cannot be compared: some servers put the
    /// checksum of the parts in a form of their own.
    pub fn matches_checksum(&self, kept: &str) -> Option<bool> {
        let expected = self.s3_checksum();
        let without_count = |text: &str| text.split('-').next().unwrap_or_default().to_owned();
        if without_count(kept) == without_count(&expected) || kept == self.digest.to_base64() {
            return Some(true);
        }
        // Without the number of parts, what it covers is not known.
        (self.parts.is_empty() || kept.contains('-')).then_some(false)
    }
}

/// The digest of each block of `bytes`, which begin at a block.
pub(super) fn blocks(bytes: &[u8]) -> Vec<Digest> {
    // A block has 4 MiB, which every usize holds.
    bytes.chunks(usize::try_from(BLOCK).unwrap_or(usize::MAX)).map(Digest::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::BlockList;

    #[test]
    fn block_list_is_read_back() {
        let bytes = vec![7; 5 << 20];
        let hashed = Hashed::of(&bytes);
        let text = hashed.block_list();
        let list = BlockList::parse(text.as_bytes(), &Digest::of(text.as_bytes()), &hashed.digest).unwrap();
        assert_eq!((list.size(), list.block_size(), list.count()), (5 << 20, 4 << 20, 2));
        assert_eq!(list.digest(1), Some(&Digest::of(&bytes[4 << 20..])));
        let empty = Hashed::of(b"");
        let text = empty.block_list();
        assert_eq!(BlockList::parse(text.as_bytes(), &Digest::of(text.as_bytes()), &empty.digest).unwrap().count(), 0);
    }

    #[test]
    fn checksum_of_parts_has_their_number() {
        let whole = Hashed::of(b"abc");
        assert_eq!(whole.s3_checksum(), Digest::of(b"abc").to_base64());
        let parts = Hashed { parts: vec![Digest::of(b"a"), Digest::of(b"bc")], ..whole.clone() };
        let both = [*Digest::of(b"a").as_bytes(), *Digest::of(b"bc").as_bytes()].concat();
        assert_eq!(parts.s3_checksum(), format!("{}-2", Digest::of(&both).to_base64()));
    }

    #[test]
    fn kept_checksums_are_compared_with_care() {
        let whole = Hashed::of(b"abc");
        assert_eq!(whole.matches_checksum(&Digest::of(b"abc").to_base64()), Some(true));
        assert_eq!(whole.matches_checksum(&Digest::of(b"x").to_base64()), Some(false));
        let parts = Hashed { parts: vec![Digest::of(b"a"), Digest::of(b"bc")], ..whole };
        let kept = parts.s3_checksum();
        assert_eq!(parts.matches_checksum(&kept), Some(true));
        assert_eq!(parts.matches_checksum(kept.trim_end_matches("-2")), Some(true), "the number is missing");
        assert_eq!(parts.matches_checksum(&format!("{}-2", Digest::of(b"x").to_base64())), Some(false));
        assert_eq!(parts.matches_checksum(&Digest::of(b"x").to_base64()), None, "it may cover anything");
    }
}
