//! An asset's blob, opened for reading, and the handling of one that cannot be read although it is cached.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tracing::{info, warn};

use super::bypass_reader::BypassReader;
use super::error::ReadError;
use super::facade::Depot;
use super::settings::Delivery;
use crate::asset::{ByteRange, Digest};
use crate::cache::{Entry, Piece, ScrubOutcome};
use crate::catalog::Asset;

/// An asset's blob, opened for reading. While any clone of it lives, the blob is not evicted.
#[derive(Clone)]
pub(super) struct Blob {
    depot: Depot,
    asset: Arc<Asset>,
    entry: Entry,
}

impl Blob {
    pub(super) fn new(depot: Depot, asset: Arc<Asset>, entry: Entry) -> Self {
        Self { depot, asset, entry }
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.entry.size()
    }

    /// Its digest.
    pub(super) fn digest(&self) -> &Digest {
        self.entry.digest()
    }

    /// Whether its file is as it was when it was verified, before bytes of it are read. Never blocks.
    pub(super) fn is_unchanged(&self) -> bool {
        self.depot.cache().is_unchanged(&self.entry)
    }

    /// Whether the bytes that were read until now are the verified ones. Never blocks.
    pub(super) fn is_intact(&self) -> bool {
        self.depot.cache().is_intact(&self.entry)
    }

    /// Fails if the bytes that were read until now may not be the verified ones. Never blocks.
    pub(super) fn check_intact(&self) -> Result<(), ReadError> {
        if self.is_intact() {
            return Ok(());
        }
        warn!(asset = %self.asset.name, digest = %self.digest(), "transfer aborted: the blob's file was changed");
        Err(ReadError::Disk("the blob's file was changed while it was read".to_owned()))
    }

    /// The bytes of `range` if all of them are in memory. Never blocks.
    pub(super) fn read_resident(&self, range: ByteRange) -> Option<Bytes> {
        self.entry.read_resident(range)
    }

    /// The bytes of `range`. Blocks. If the read fails, the blob is verified again, so that a corrupt one does not fail the
    /// next client too.
    pub(super) fn read(&self, range: ByteRange) -> Result<Bytes, ReadError> {
        self.entry.read(range).map_err(|error| self.handle_error(range, &error))
    }

    /// The same as [`Blob::read_resident`], as mapped pages where they are to be delivered so.
    pub(super) fn piece_resident(&self, range: ByteRange, delivery: Delivery) -> Option<Piece> {
        match delivery {
            Delivery::Mapped => self.entry.map_resident(range),
            Delivery::Copied => self.read_resident(range).map(Piece::Copied),
        }
    }

    /// The same as [`Blob::read`], as mapped pages where they are to be delivered so.
    pub(super) fn piece(&self, range: ByteRange, delivery: Delivery) -> Result<Piece, ReadError> {
        match delivery {
            Delivery::Mapped => self.entry.map(range).map_err(|error| self.handle_error(range, &error)),
            Delivery::Copied => self.read(range).map(Piece::Copied),
        }
    }

    /// Prepares a read of `range` that bypasses the cache.
    pub(super) fn bypass(&self, range: ByteRange) -> BoxFuture<'static, BypassReader> {
        self.depot.bypass(&self.asset, self.entry.size(), range)
    }

    fn handle_error(&self, range: ByteRange, error: &io::Error) -> ReadError {
        self.suspect(range, error);
        ReadError::Disk(format!("bytes {range} of a blob: {error}"))
    }

    /// Has the blob verified again because reading `range` of it failed with `error`. Only the first call for a blob does.
    pub(super) fn suspect(&self, range: ByteRange, error: &io::Error) {
        if self.depot.cache().mark_suspect(&self.entry, error) {
            let (asset, digest) = (&self.asset.name, self.entry.digest());
            warn!(%asset, %digest, bytes = %range, %error, "blob not readable: verifying it again");
            self.verify_in_background();
        }
    }

    /// Has the blob verified again, because bytes that were read of it are not the verified ones.
    pub(super) fn report_corrupt(&self) -> ReadError {
        let corrupt = "it has other bytes than when it was verified";
        // What file systems with checksums report for such a block.
        let error = io::Error::from(rustix::io::Errno::UCLEAN);
        drop(self.handle_error(ByteRange::whole(self.size()), &error));
        ReadError::Disk(corrupt.to_owned())
    }

    /// Verifies the blob again in the background, until the depot closes. The cache quarantines a corrupt one.
    fn verify_in_background(&self) {
        let (shared, asset, digest) = (&self.depot.shared, self.asset.name.clone(), *self.entry.digest());
        let (cache, stop) = (shared.cache.clone(), shared.stop.clone());
        shared.tasks.spawn_blocking(move || {
            let go_on = |_| if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            if let ScrubOutcome::Verified = cache.verify_watched(&digest, &mut { go_on }) {
                info!(%asset, %digest, "blob verified again after a failed read");
            }
        });
    }
}
