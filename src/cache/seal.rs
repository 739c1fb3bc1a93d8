//! Seals: fs-verity makes the kernel refuse every write to a blob, and verify each page of it that is read from the disk.
//!
//! A seal proves that a file's bytes are those that were sealed. So a blob is hashed after it was sealed, and only then does
//! its seal stand for its digest: later, comparing the seal's digest with the recorded one proves the blob without reading it.

mod file;
mod policy;
mod queue;
mod sealer;
mod support;

#[cfg(test)]
pub(super) use file::FakeSeals;
pub(super) use file::{SealError, Seals};
pub use policy::SealPolicy;
pub(super) use queue::SealRequest;
pub(super) use sealer::Sealer;
pub use support::SealSupport;
