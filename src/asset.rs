//! Pure values that every room speaks of, parsed once and valid from then on. No IO happens here.

mod blocks;
mod digest;
mod name;
mod range;
mod source;

pub use blocks::{BlockList, BlockListError};
pub use digest::{Digest, DigestError, VerifiedDigest, Verifier};
pub use name::{AssetName, NameError};
pub use range::ByteRange;
pub use source::{SourceError, SourceTarget, SourceUrl};
