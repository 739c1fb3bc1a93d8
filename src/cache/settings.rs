//! The cache's settings.

use std::path::PathBuf;

use super::seal::SealPolicy;

/// Where the cache is and how large it may grow.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Its directory.
    pub dir: PathBuf,
    /// The most bytes that blobs, partials and quarantine may take together.
    pub max_size: u64,
    /// Bytes that are kept free on the file system, even if `max_size` allows more.
    pub min_free: u64,
    /// Whether blobs are sealed with fs-verity.
    pub seal: SealPolicy,
}
