//! The SHA-256 that S3 keeps of an object that was uploaded in parts.

use std::fmt;

use super::digest::{Digest, Verifier};

/// The SHA-256 of the SHA-256 digests of an object's parts, in their order, and how many parts there are: what S3 calls a composite
/// checksum ("Checking object integrity in Amazon S3"). Its text is base64 with `-N` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompositeDigest {
    digest: Digest,
    parts: u64,
}

impl CompositeDigest {
    /// The digest of these parts.
    pub fn of(parts: &[Digest]) -> Self {
        let mut all = Verifier::new();
        for part in parts {
            all.update(part.as_bytes());
        }
        Self { digest: all.digest(), parts: parts.len() as u64 }
    }

    /// Parses its text. `None` if `text` has another form, or no number of parts.
    pub fn parse(text: &str) -> Option<Self> {
        let (digest, parts) = text.split_once('-')?;
        let parts = parts.parse().ok().filter(|parts| *parts > 0)?;
        Some(Self { digest: Digest::from_base64(digest)?, parts })
    }

    /// Whether an object of `size` bytes has that many parts if all but the last have `part_size` bytes.
    pub fn fits(&self, size: u64, part_size: u64) -> bool {
        part_size > 0 && size.div_ceil(part_size) == self.parts
    }
}

impl fmt::Display for CompositeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.digest.to_base64(), self.parts)
    }
}

/// Hashes an object in parts of one size; the last may be shorter.
#[derive(Clone)]
pub struct CompositeVerifier {
    part_size: u64,
    part: Verifier,
    all: Verifier,
    parts: u64,
}

impl CompositeVerifier {
    /// A verifier without any bytes so far, for parts of `part_size` bytes.
    pub fn new(part_size: u64) -> Self {
        Self { part_size, part: Verifier::new(), all: Verifier::new(), parts: 0 }
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = usize::try_from(self.part_size - self.part.length()).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(left));
            self.part.update(now);
            bytes = later;
            if self.part.length() >= self.part_size {
                self.end_part();
            }
        }
    }

    /// The digest of all bytes.
    pub fn finish(mut self) -> CompositeDigest {
        if self.part.length() > 0 {
            self.end_part();
        }
        CompositeDigest { digest: self.all.digest(), parts: self.parts }
    }

    fn end_part(&mut self) {
        self.all.update(std::mem::take(&mut self.part).digest().as_bytes());
        self.parts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_text_is_parsed_back() {
        let digest = CompositeDigest::of(&[Digest::of(b"abc"), Digest::of(b"d")]);
        // From hashlib of Python: sha256(sha256(b"abc").digest() + sha256(b"d").digest()).
        assert_eq!(digest.to_string(), "yYLGchZ6xFrukMgv6r+zVLNADVG3LxxKDgzryfixHbU=-2");
        assert_eq!(CompositeDigest::parse(&digest.to_string()), Some(digest));
        let plain = Digest::of(b"abc").to_base64();
        for text in ["", "-2", &plain, &format!("{plain}-"), &format!("{plain}-0"), &format!("{plain}-x")] {
            assert_eq!(CompositeDigest::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_cut_into_parts() {
        let expected = CompositeDigest::of(&[Digest::of(b"abc"), Digest::of(b"d")]);
        for pieces in [&[&b"abcd"[..]][..], &[b"a", b"bcd"], &[b"abc", b"", b"d"]] {
            let mut verifier = CompositeVerifier::new(3);
            for piece in pieces {
                verifier.update(piece);
            }
            assert_eq!(verifier.finish(), expected, "{pieces:?}");
        }
        assert!(expected.fits(4, 3) && expected.fits(6, 3));
        assert!(!expected.fits(7, 3) && !expected.fits(3, 3) && !expected.fits(4, 0));
    }
}
