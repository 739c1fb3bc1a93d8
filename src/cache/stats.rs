//! Statistics of the cache.

use std::time::SystemTime;

use metrics::gauge;

use crate::asset::Digest;

/// How full a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// The most bytes that blobs, partials and quarantine may take together.
    pub limit: u64,
    /// Bytes of verified blobs.
    pub blob_bytes: u64,
    /// How many verified blobs.
    pub blob_entries: usize,
    /// Bytes of unverified blobs.
    pub unverified_bytes: u64,
    /// How many unverified blobs.
    pub unverified_entries: usize,
    /// How many verified blobs the kernel has sealed.
    pub sealed_entries: usize,
    /// Bytes reserved for partials, including those left by earlier fills.
    pub partial_bytes: u64,
    /// How many partials.
    pub partial_entries: usize,
    /// Bytes of corrupt blobs.
    pub quarantined_bytes: u64,
    /// How many corrupt blobs.
    pub quarantined_entries: usize,
}

/// One blob, as listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// When its bytes were last hashed. `None` if it is unverified.
    pub verified: Option<SystemTime>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether it is being read.
    pub held: bool,
}

impl CacheStats {
    /// Sets the gauges `bootdepot_cache_bytes`, `bootdepot_cache_entries`, `bootdepot_cache_sealed_entries` and
    /// `bootdepot_cache_limit_bytes`.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers; 2^53 bytes are 8 PiB")]
    pub(super) fn report(&self) {
        for (state, bytes, entries) in [
            ("cached", self.blob_bytes, self.blob_entries),
            ("unverified", self.unverified_bytes, self.unverified_entries),
            ("partial", self.partial_bytes, self.partial_entries),
            ("quarantined", self.quarantined_bytes, self.quarantined_entries),
        ] {
            gauge!("bootdepot_cache_bytes", "state" => state).set(bytes as f64);
            gauge!("bootdepot_cache_entries", "state" => state).set(entries as f64);
        }
        gauge!("bootdepot_cache_sealed_entries").set(self.sealed_entries as f64);
        gauge!("bootdepot_cache_limit_bytes").set(self.limit as f64);
    }
}
