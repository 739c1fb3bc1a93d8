//! The length and the digests that an upstream announces for a file.

use std::fmt;
use std::str::FromStr;

use crate::asset::Digest;

/// A SHA-512 digest (FIPS 180-4): 64 bytes, written as 128 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha512Digest([u8; 64]);

/// The text is not a SHA-512 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-512 digest has 128 hexadecimal digits")]
pub struct Sha512Error;

impl Sha512Digest {
    /// The digest with these 64 bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Sha512Digest {
    type Err = Sha512Error;

    fn from_str(text: &str) -> Result<Self, Sha512Error> {
        let digits = text.as_bytes();
        if digits.len() != 128 {
            return Err(Sha512Error);
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let digit = char::from(*digit).to_digit(16).ok_or(Sha512Error)?;
                *byte = *byte << 4 | u8::try_from(digit).unwrap_or_default();
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha512Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha512Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha512Digest({self})")
    }
}

/// The properties that an upstream announces for a file. All that are given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its SHA-256.
    pub sha256: Option<Digest>,
    /// Its SHA-512.
    pub sha512: Option<Sha512Digest>,
}

impl Expected {
    /// Whether a digest is given.
    pub fn has_digest(&self) -> bool {
        self.sha256.is_some() || self.sha512.is_some()
    }

    /// Adds what `other` knows. Returns `None` if the two contradict each other.
    pub fn and(self, other: Self) -> Option<Self> {
        fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one == other)
        }
        let agree = agree(self.size.as_ref(), other.size.as_ref())
            && agree(self.sha256.as_ref(), other.sha256.as_ref())
            && agree(self.sha512.as_ref(), other.sha512.as_ref());
        agree.then(|| Self {
            size: self.size.or(other.size),
            sha256: self.sha256.or(other.sha256),
            sha512: self.sha512.or(other.sha512),
        })
    }
}
