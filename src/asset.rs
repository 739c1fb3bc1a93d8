//! Pure values that every room speaks of, parsed once and valid from then on. No IO happens here.

mod blocks;
mod digest;
mod name;
mod range;
mod source;

pub use blocks::{BlockList, BlockListError};
pub use digest::{Digest, DigestError, Proven, Verifier};
pub use name::{AssetName, NameError};
pub use range::ByteRange;
pub use source::{Place, SourceError, SourceUrl};
