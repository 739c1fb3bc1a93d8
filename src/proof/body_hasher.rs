//! Checks a file in one pass while it streams past: length, digests, signature.
//!
//! The SHA-256 is not computed here: the sink that takes the bytes computes it anyway.

use sha2::{Digest as _, Sha512};

use super::detached::{DetachedSignature, Running};
use super::digests::{Expected, Sha512Digest};
use super::error::{ProofError, SignatureError};
use super::signer::Signer;
use super::trusted_keys::TrustedKeys;
use crate::asset::Digest;

/// Hashes the bytes of one file with everything that is needed to prove it, besides SHA-256, and nothing else.
pub struct BodyHasher<'s> {
    expected: Expected,
    sha512: Option<Sha512>,
    signature: Option<Running<'s>>,
}

/// A file whose announced length, digests and signature hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The key that signed the file itself. `None` if it has no signature of its own.
    pub signer: Option<Signer>,
}

impl<'s> BodyHasher<'s> {
    /// Expects bytes with these properties and, if given, with this signature by one of the keys. Fails if no key can have
    /// made the signature.
    pub fn new(
        expected: Expected,
        signature: Option<(&'s DetachedSignature, &'s TrustedKeys)>,
    ) -> Result<Self, SignatureError> {
        Ok(Self {
            expected,
            sha512: expected.sha512.map(|_| Sha512::new()),
            signature: signature.map(|(signature, keys)| signature.start(keys)).transpose()?,
        })
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        if let Some(signature) = &mut self.signature {
            signature.update(bytes);
        }
    }

    /// Checks everything that was announced of bytes with this SHA-256 and length. The first proof that does not hold is
    /// returned.
    pub fn finish(self, sha256: Digest, size: u64, now: jiff::Timestamp) -> Result<Proven, ProofError> {
        if let Some(expected) = self.expected.size.filter(|expected| *expected != size) {
            return Err(ProofError::Size { expected, found: size });
        }
        if let Some(expected) = self.expected.sha256.filter(|expected| *expected != sha256) {
            let (expected, found) = (expected.to_string(), sha256.to_string());
            return Err(ProofError::Digest { algorithm: "SHA-256", expected, found });
        }
        if let (Some(expected), Some(sha512)) = (self.expected.sha512, self.sha512) {
            let found = Sha512Digest::from_bytes(sha512.finalize().into());
            if expected != found {
                let (expected, found) = (expected.to_string(), found.to_string());
                return Err(ProofError::Digest { algorithm: "SHA-512", expected, found });
            }
        }
        let signer = self.signature.map(|signature| signature.finish(now)).transpose()?;
        Ok(Proven { sha256, size, signer })
    }
}
