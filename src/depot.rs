//! The depot: the one service that the front ends know. It finds a name in the catalog, opens its bytes from the cache
//! or from a fill under way, and streams them. It knows no protocol.
//!
//! A front end asks in three steps, each of which costs no more than it must:
//! [`Depot::find`] (memory only), [`Depot::size`] (what is known, else one request to the origin), and [`Depot::read`],
//! which begins or joins the fill of what is not here yet.

mod error;
mod transfer;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

pub use error::ReadError;
pub use transfer::{CacheState, Outcome, Protocol, Transfer};

use crate::asset::{ByteRange, Digest};
use crate::cache::Cache;
use crate::catalog::{Asset, Catalog};
use crate::origin::Origins;

/// How fills go about it.
#[derive(Debug, Clone)]
pub struct FillSettings {
    /// Bytes of one ranged request.
    pub part_size: u64,
    /// Connections of one fill at a time.
    pub connections: usize,
    /// Fills at a time; others wait.
    pub max_fills: usize,
    /// How often a part is asked again before its source is given up.
    pub retries: u32,
    /// How long a missing object or wrong bytes are remembered.
    pub negative_ttl: Duration,
    /// When bytes of a fill under way may go out.
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

/// When bytes of a fill under way may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// As they come, all but the last piece of what was asked for; that one when the bytes are proven.
    #[default]
    HoldTail,
    /// Nothing before the whole is proven.
    Whole,
}

/// How a front end wants the bytes of proven blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The page cache's own pages, for a plain socket's vectored write alone: user space must never read them.
    Mapped,
    /// Memory of their own, for what reads them (TLS, netascii).
    Copied,
}

/// The depot. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Depot {
    _inner: Arc<()>,
}

/// An asset opened for reading: its size is known, and its bytes are here or on their way.
pub struct Reader {
    _inner: Arc<()>,
}

/// Bytes of one asset in order. Ends (`None`) only after the last byte of the range, and only when the bytes are proven.
///
/// An `Err` is final: whoever sends the bytes on must break the transfer off, never complete it.
pub struct ByteStream {
    _inner: Arc<()>,
}

impl Depot {
    /// A depot of this catalog over these origins and this cache.
    pub fn new(_catalog: Catalog, _origins: Origins, _cache: Cache, _settings: FillSettings) -> Self {
        unimplemented!()
    }

    /// The asset of this name, if the catalog has it. Memory only.
    pub fn find(&self, _name: &str) -> Option<Arc<Asset>> {
        unimplemented!()
    }

    /// An asset with this digest, if the catalog has it. Memory only.
    pub fn find_digest(&self, _digest: &Digest) -> Option<Arc<Asset>> {
        unimplemented!()
    }

    /// The asset's size in bytes: from the cache, the catalog or memory at once, else by one request to its origin,
    /// which begins no fill.
    pub async fn size(&self, _asset: &Arc<Asset>) -> Result<u64, ReadError> {
        unimplemented!()
    }

    /// Opens the asset: from the cache, by joining the fill under way, or by beginning one; returns when its size is known.
    pub async fn read(&self, _asset: &Arc<Asset>) -> Result<Reader, ReadError> {
        unimplemented!()
    }

    /// What stands in the way of being ready, a sentence each; empty when nothing does.
    pub fn troubles(&self) -> Vec<String> {
        unimplemented!()
    }

    /// Ends all fills, keeping what they have for a later resume. Readers of fills under way end in an error.
    pub async fn close(&self) {
        unimplemented!()
    }
}

impl Reader {
    /// The asset's size in bytes.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }

    /// How the asset was found.
    pub fn cache_state(&self) -> CacheState {
        unimplemented!()
    }

    /// Streams `range` (cut to the asset's size). Returns when the first piece is there to be sent, so an asset that
    /// cannot be had fails here, before a front end has said that all is well.
    ///
    /// For an asset under way the range's parts move to the front of the fill's queue.
    pub async fn stream(&self, _range: ByteRange, _delivery: Delivery) -> Result<ByteStream, ReadError> {
        unimplemented!()
    }
}

impl ByteStream {
    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        unimplemented!()
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        unimplemented!()
    }
}
