//! Proofs that bytes are those that an upstream published: digests, OpenPGP signatures and minisign signatures.
//!
//! Pure, except that [`TrustedKeys::read`] reads files: no clock. [`BodyHasher`] checks a file while it streams past;
//! [`TrustedKeys`] check documents that are held in memory.

mod body_hasher;
mod certificate;
mod clear_signed;
mod detached;
mod digests;
mod document;
mod error;
mod key_source;
mod openpgp;
mod signer;
pub mod sums;
mod trusted_keys;

#[cfg(test)]
mod tests;

pub use body_hasher::{BodyHasher, Proven};
pub use clear_signed::{is_clear_signed, unsigned_text};
pub use detached::DetachedSignature;
pub use digests::{Expected, Sha512Digest, Sha512Error};
pub use document::{Document, DocumentError};
pub use error::{KeyError, ProofError, SignatureError};
pub use key_source::{KeySource, KeySourceError};
pub use signer::Signer;
pub use trusted_keys::TrustedKeys;
