//! The values that all modules share: names, digests, byte ranges, block lists, source URLs. Each is validated when it is
//! parsed. No IO.

mod blocks;
mod canonical;
mod composite;
mod digest;
mod name;
mod range;
mod source;
mod source_directory;
mod source_prefix;

pub use blocks::{BlockList, BlockListError};
pub use canonical::canonical_name;
pub use composite::{CompositeDigest, CompositeVerifier};
pub use digest::{Digest, DigestError, VerifiedDigest, Verifier};
pub use name::{AssetName, AssetNameError};
pub use range::ByteRange;
pub use source::{SourceTarget, SourceUrl, SourceUrlError, has_ipv6_zone};
pub use source_directory::{DirectoryTarget, SourceDirectory, SourceDirectoryError, escape_path};
pub use source_prefix::{SourcePrefix, SourcePrefixError};
