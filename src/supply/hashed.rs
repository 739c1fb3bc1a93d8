//! The digests of an object from one pass over its bytes: of the whole, of its blocks and of its parts.

use std::fmt::Write as _;

use super::part_plan::{BLOCK, PartPlan};
use crate::asset::{CompositeDigest, Digest, Verifier};

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
        CompositeDigest::of(&self.parts).to_string()
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

/// Hashes bytes in order as an [`Upload`](super::Upload) does, without sending them.
pub(super) struct Hasher {
    /// `None`: parts are not hashed.
    plan: Option<PartPlan>,
    whole: Verifier,
    block: Verifier,
    part: Verifier,
    blocks: Vec<Digest>,
    parts: Vec<Digest>,
}

impl Hasher {
    /// A hasher for an object of `size` bytes, if known, in the parts of `plan`.
    pub(super) fn new(plan: PartPlan, size: Option<u64>) -> Self {
        let in_parts = size.is_none_or(|size| size > plan.first());
        Self { plan: in_parts.then_some(plan), ..Self::without_parts() }
    }

    /// A hasher for an object whose parts are hashed elsewhere.
    pub(super) fn without_parts() -> Self {
        Self {
            plan: None,
            whole: Verifier::new(),
            block: Verifier::new(),
            part: Verifier::new(),
            blocks: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Hashes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        cut(bytes, BLOCK, &mut self.block, &mut self.blocks);
        if let Some(plan) = self.plan {
            let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX).saturating_add(1);
            let size = plan.part_size(number).unwrap_or(u64::MAX);
            cut(bytes, size, &mut self.part, &mut self.parts);
        }
    }

    /// The digests.
    pub(super) fn finish(mut self) -> Hashed {
        for (last, digests) in [(&self.block, &mut self.blocks), (&self.part, &mut self.parts)] {
            if last.length() > 0 {
                digests.push(last.digest());
            }
        }
        Hashed { size: self.whole.length(), digest: self.whole.digest(), blocks: self.blocks, parts: self.parts }
    }
}

/// Hashes bytes in pieces of `size`.
fn cut(mut bytes: &[u8], size: u64, verifier: &mut Verifier, digests: &mut Vec<Digest>) {
    while !bytes.is_empty() {
        let left = usize::try_from(size - verifier.length()).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(bytes.len().min(left));
        verifier.update(now);
        bytes = later;
        if verifier.length() == size {
            digests.push(std::mem::take(verifier).digest());
        }
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
    fn hasher_cuts_blocks_and_parts() {
        let bytes: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(21 << 20).collect();
        for length in [0, 1, 5 << 20, 21 << 20] {
            let bytes = &bytes[..length];
            let mut hasher = Hasher::new(PartPlan::new(Some(length as u64)).unwrap(), Some(length as u64));
            bytes.chunks(1_000_003).for_each(|piece| hasher.update(piece));
            let hashed = hasher.finish();
            let parts: Vec<_> = bytes.chunks(5 << 20).filter(|_| length > 5 << 20).map(Digest::of).collect();
            assert_eq!(hashed, Hashed { parts, ..Hashed::of(bytes) }, "{length}");
        }
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
