//! The settings of fills and streams, resolved from the configuration.

use std::time::Duration;

use super::error::ReadError;
use super::source_failures::RETRY_AFTER;
use crate::memory::StreamMemory;

/// How fills read their sources.
#[derive(Debug, Clone)]
pub struct FillSettings {
    /// Bytes of one ranged request.
    pub part_size: u64,
    /// Concurrent connections of one fill.
    pub connections: usize,
    /// Concurrent fills; further fills wait.
    pub max_fills: usize,
    /// How often a failed part is retried before its source is given up.
    pub retries: u32,
    /// How long a missing object or wrong bytes are cached.
    pub negative_ttl: Duration,
    /// When bytes of an active fill may be sent.
    pub release: Release,
}

impl Default for FillSettings {
    fn default() -> Self {
        Self {
            part_size: 8 << 20,
            connections: 8,
            max_fills: 8,
            retries: 5,
            negative_ttl: Duration::from_secs(30),
            release: Release::HoldTail,
        }
    }
}

/// When bytes of an active fill may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// As they arrive, except the last piece of the requested range; that one when the bytes are verified.
    #[default]
    HoldTail,
    /// Only after the whole is verified. A blob that the cache has no space for cannot be held back as a whole: only its
    /// tail is.
    Whole,
}

/// How a front end reads the bytes of cached blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Mapped pages of the page cache, only for a vectored write to a plain socket: user space must never read them.
    Mapped,
    /// Copied to the heap, for code that reads the bytes (TLS, netascii).
    Copied,
}

/// The options of one stream.
#[derive(Clone)]
pub(super) struct StreamOptions {
    /// The asset's size in bytes, as announced to the client.
    pub(super) size: u64,
    pub(super) delivery: Delivery,
    pub(super) release: Release,
    /// The account of copied bytes. `None` for front ends that bound them in another way.
    pub(super) memory: Option<StreamMemory>,
}

impl StreamOptions {
    /// Fails if an asset of `size` bytes is not what was announced to the client.
    pub(super) fn check_size(&self, size: u64) -> Result<(), ReadError> {
        if size == self.size {
            return Ok(());
        }
        let reason = format!("it has {size} bytes, {} were announced", self.size);
        Err(ReadError::Unavailable { reason, retry_after: RETRY_AFTER })
    }
}
