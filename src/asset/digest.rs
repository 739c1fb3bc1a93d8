//! SHA-256 digests, and the verification of bytes against them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4): 32 bytes, written as 64 lower-case hexadecimal digits.
///
/// ```
/// use bootdepot::asset::Digest;
///
/// let digest: Digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".parse()?;
/// assert_eq!(digest, Digest::of(b"abc"));
/// # Ok::<(), bootdepot::asset::DigestError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It does not have 64 characters.
    #[error("a SHA-256 digest has 64 hexadecimal digits, this has {0} characters")]
    Length(usize),
    /// A character is not a hexadecimal digit.
    #[error("a SHA-256 digest has hexadecimal digits only, and {0:?} is not one")]
    Character(char),
}

impl Digest {
    /// The digest with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding, as in RFC 9530 byte sequences and S3 checksums.
    pub fn to_base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.0)
    }

    /// Parses [`Digest::to_base64`]. `None` if `text` is not 32 bytes in base64.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let length = text.chars().count();
        if length != 64 {
            return Err(DigestError::Length(length));
        }
        let mut bytes = [0; 32];
        for (index, character) in text.chars().enumerate() {
            let digit = character.to_digit(16).ok_or(DigestError::Character(character))?;
            // A hexadecimal digit is at most 15.
            bytes[index / 2] = bytes[index / 2] << 4 | u8::try_from(digit).unwrap_or_default();
        }
        Ok(Self(bytes))
    }
}

/// Hashes bytes in order and compares the result with the expected digest.
///
/// ```
/// use bootdepot::asset::{Digest, Verifier};
///
/// let mut verifier = Verifier::new();
/// verifier.update(b"a");
/// verifier.update(b"bc");
/// assert_eq!(verifier.clone().verify(&Digest::of(b"abc")).map(|verified| verified.size()), Ok(3));
/// assert_eq!(verifier.verify(&Digest::of(b"abd")), Err(Digest::of(b"abc")));
/// ```
#[derive(Clone, Default)]
pub struct Verifier {
    state: Sha256,
    length: u64,
}

/// The digest and the size of bytes that a [`Verifier`] has hashed.
///
/// Only [`Verifier::verify`] creates it, so that a function with a `VerifiedDigest` parameter cannot get unverified bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDigest {
    digest: Digest,
    size: u64,
}

impl Verifier {
    /// A verifier without any bytes so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// How many bytes were hashed so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        Digest(self.state.clone().finalize().into())
    }

    /// Returns the verified digest if the bytes have the digest `expected`. Otherwise fails with the digest that they have.
    pub fn verify(self, expected: &Digest) -> Result<VerifiedDigest, Digest> {
        let found = Digest(self.state.finalize().into());
        if found == *expected { Ok(VerifiedDigest { digest: found, size: self.length }) } else { Err(found) }
    }
}

impl VerifiedDigest {
    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes were hashed.
    pub fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4, the one-block example of the NIST test vectors.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digest_matches_published_vector() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(Digest::of(b"abc").to_base64(), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn parse_ignores_case_and_display_is_lower() {
        let digest: Digest = ABC.to_uppercase().parse().unwrap();
        assert_eq!(digest.to_string(), ABC);
    }

    #[test]
    fn parse_error_names_problem() {
        assert_eq!(
            "abc".parse::<Digest>().unwrap_err().to_string(),
            "a SHA-256 digest has 64 hexadecimal digits, this has 3 characters"
        );
        let with_z = ABC.replace('b', "z");
        assert_eq!(
            with_z.parse::<Digest>().unwrap_err().to_string(),
            "a SHA-256 digest has hexadecimal digits only, and 'z' is not one"
        );
    }

    #[test]
    fn verify_rejects_other_bytes() {
        let mut verifier = Verifier::new();
        verifier.update(b"a");
        verifier.update(b"bc");
        let verified = verifier.clone().verify(&ABC.parse().unwrap()).unwrap();
        assert_eq!((verified.digest().to_string().as_str(), verified.size()), (ABC, 3));
        verifier.update(b"!");
        assert_eq!(verifier.verify(&ABC.parse().unwrap()), Err(Digest::of(b"abc!")));
    }
}
