//! A stream of an active fill, and after the fill's end, of its result.

use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;

use super::blob::Blob;
use super::blob_stream::BlobStream;
use super::bypass::Bypass;
use super::error::ReadError;
use super::facade::Depot;
use super::fill::Fill;
use super::fill_bytes::FillBytes;
use super::fill_state::FillState;
use super::progress::{HELD_TAIL, Readable, WaiterId};
use super::settings::{Release, StreamOptions};
use crate::asset::ByteRange;
use crate::error_chain::error_chain;
use crate::task::blocking;

/// Bytes per frame of a fill. Each reader has one or two frames in memory: with 128 KiB, a thousand machines that read one
/// fill need less than a quarter of a GiB.
const FILL_FRAME: u64 = 128 << 10;

/// A stream of one range of a fill.
pub(super) struct FillStream {
    source: Source,
    /// Whether the fill could not be stored, so that the stream bypasses the cache.
    bypassed: bool,
}

/// Where the next bytes come from.
enum Source {
    Fill(Box<FillReader>),
    /// The fill is complete.
    Blob(Box<BlobStream>),
    /// The fill could not be stored.
    Bypass(Box<Bypass>),
}

/// The next step of a reader of a fill.
enum Next {
    Bytes(Bytes),
    Complete(BlobStream),
    /// The cache could not store the fill, for this reason.
    NotStored(String),
}

/// The result of reading what a fill has written.
enum Available {
    Bytes(Bytes),
    /// The fill discarded the bytes while they were read: they may be wrong.
    Discarded,
    Nothing,
}

/// A reader of an active fill.
struct FillReader {
    depot: Depot,
    fill: Arc<Fill>,
    waiter: WaiterId,
    at: u64,
    end: u64,
    tail: u64,
    options: StreamOptions,
    /// The generation of unverified bytes that were sent. If the fill has a newer one, they may have been wrong.
    sent_unverified: Option<u64>,
    bypass: Option<BoxFuture<'static, Bypass>>,
}

impl Drop for FillReader {
    fn drop(&mut self) {
        self.fill.progress().remove_waiter(self.waiter);
    }
}

impl FillStream {
    /// A stream of `range`. `bypass` is used if the cache cannot store the fill.
    pub(super) fn new(
        depot: Depot,
        fill: Arc<Fill>,
        range: ByteRange,
        options: StreamOptions,
        bypass: BoxFuture<'static, Bypass>,
    ) -> Self {
        let waiter = fill.progress().add_waiter(range);
        let reader = FillReader {
            depot,
            fill,
            waiter,
            at: range.start,
            end: range.end,
            tail: HELD_TAIL.min(range.len()),
            options,
            sent_unverified: None,
            bypass: Some(bypass),
        };
        Self { source: Source::Fill(Box::new(reader)), bypassed: false }
    }

    /// Whether the bytes come directly from the origin.
    pub(super) fn is_bypassed(&self) -> bool {
        self.bypassed
    }

    /// The next bytes; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            let reader = match &mut self.source {
                Source::Fill(reader) => reader,
                Source::Blob(stream) => return stream.next().await,
                Source::Bypass(bypass) => return bypass.next().await,
            };
            match reader.next().await? {
                Next::Bytes(bytes) => return Ok(Some(bytes)),
                Next::Complete(stream) => self.source = Source::Blob(Box::new(stream)),
                Next::NotStored(reason) => {
                    let bypass = reader.bypass_cache(reason).await?;
                    (self.source, self.bypassed) = (Source::Bypass(Box::new(bypass)), true);
                }
            }
        }
    }
}

impl FillReader {
    async fn next(&mut self) -> Result<Next, ReadError> {
        let mut changes = self.fill.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(fault) = self.sent_unverified.and_then(|sent| self.fill.progress().fault_since(sent)) {
                return Err(fault);
            }
            match self.fill.state() {
                FillState::Starting => {}
                FillState::Failed(error) => return Err(error),
                FillState::NotStored(reason) => return Ok(Next::NotStored(reason)),
                FillState::Complete(entry) => {
                    self.options.check_size(entry.size())?;
                    let rest = ByteRange::new(self.at, self.end);
                    let blob = Blob::new(self.depot.clone(), Arc::clone(self.fill.asset()), entry);
                    return Ok(Next::Complete(BlobStream::new(blob, rest, self.options.delivery)));
                }
                FillState::Filling(stored) => {
                    self.options.check_size(stored.size())?;
                    match self.read_available(stored).await? {
                        Available::Bytes(bytes) => return Ok(Next::Bytes(bytes)),
                        Available::Discarded => continue,
                        Available::Nothing => {}
                    }
                }
            }
            // The sender is part of the fill, so this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Reads the next bytes that may be sent now.
    async fn read_available(&mut self, stored: FillBytes) -> Result<Available, ReadError> {
        let whole_only = self.options.release == Release::Whole;
        let readable = self.fill.progress().readable(self.at, self.end, self.tail, whole_only);
        let (range, generation) = match readable {
            Readable::Nothing => return Ok(Available::Nothing),
            Readable::Verified(range) => (range, None),
            Readable::Unverified(range, generation) => (range, Some(generation)),
        };
        let bytes = read(stored, ByteRange::new(range.start, range.end.min(range.start + FILL_FRAME))).await?;
        if generation.is_some_and(|read| read != self.fill.progress().generation()) {
            return Ok(Available::Discarded);
        }
        self.sent_unverified = self.sent_unverified.or(generation);
        self.at += bytes.len() as u64;
        self.fill.progress().advance_waiter(self.waiter, self.at);
        Ok(Available::Bytes(bytes))
    }

    /// Continues directly from the origin. Fails with `reason` if unverified bytes were sent: nothing can verify them now.
    async fn bypass_cache(&mut self, reason: String) -> Result<Bypass, ReadError> {
        match self.bypass.take() {
            Some(bypass) if self.sent_unverified.is_none() => Ok(bypass.await.starting_at(self.at)),
            _ => Err(ReadError::Disk(reason)),
        }
    }
}

async fn read(stored: FillBytes, range: ByteRange) -> Result<Bytes, ReadError> {
    let work = move || {
        let mut data = vec![0; usize::try_from(range.len()).unwrap_or_default()];
        stored.read_at(range.start, &mut data).map(|()| Bytes::from(data))
    };
    blocking(work).await.map_err(|error| ReadError::Disk(error_chain(&error).to_string()))
}
