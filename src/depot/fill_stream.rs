//! A stream of an active fill, and after the fill's end, of its result.

use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tracing::warn;

use super::blob::Blob;
use super::blob_stream::BlobStream;
use super::bypass_reader::{BypassReader, Unproven};
use super::error::ReadError;
use super::facade::Depot;
use super::fill::Fill;
use super::fill_bytes::FillBytes;
use super::fill_state::FillState;
use super::not_stored::{Leftover, NotStored, Remains};
use super::progress::{HELD_TAIL, Readable, WaiterId};
use super::settings::{Release, StreamOptions};
use crate::asset::ByteRange;
use crate::cache::{CacheError, Entry, Piece};
use crate::error_chain::error_chain;
use crate::memory::{Lease, StreamMemory};
use crate::task::blocking;

/// Bytes per frame of a fill for a reader without a memory budget.
const FILL_FRAME: u64 = 128 << 10;

/// A stream of one range of a fill.
pub(super) struct FillStream {
    source: Source,
    /// Whether the fill could not be stored, so that the stream bypasses the cache.
    bypassed: bool,
    memory: Option<StreamMemory>,
}

/// Where the next bytes come from.
enum Source {
    Fill(Box<FillReader>),
    /// The fill is complete.
    Blob(Box<BlobStream>),
    /// The fill could not be stored.
    Bypass(Box<BypassReader>),
}

/// The next step of a reader of a fill.
enum Next {
    Bytes(Bytes),
    Complete(BlobStream),
    /// The disk failed, for this reason, and left this.
    DiskFailed(String, Option<Arc<Remains>>),
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
    start: u64,
    at: u64,
    end: u64,
    tail: u64,
    options: StreamOptions,
    /// The generation of unverified bytes that were sent. If the fill has a newer one, they may have been wrong.
    sent_unverified: Option<u64>,
    /// The generation of bytes that the disk failed to read.
    unreadable: Option<u64>,
    bypass: Option<BoxFuture<'static, BypassReader>>,
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
        bypass: BoxFuture<'static, BypassReader>,
    ) -> Self {
        let waiter = fill.progress().add_waiter(range);
        let memory = options.memory.clone();
        let reader = FillReader {
            depot,
            fill,
            waiter,
            start: range.start,
            at: range.start,
            end: range.end,
            tail: HELD_TAIL.min(range.len()),
            options,
            sent_unverified: None,
            unreadable: None,
            bypass: Some(bypass),
        };
        Self { source: Source::Fill(Box::new(reader)), bypassed: false, memory }
    }

    /// Whether the bytes come directly from the origin.
    pub(super) fn is_bypassed(&self) -> bool {
        self.bypassed
    }

    /// The next bytes; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, ReadError> {
        loop {
            let reader = match &mut self.source {
                Source::Fill(reader) => reader,
                Source::Blob(stream) => match stream.next().await {
                    Err(error) => {
                        let bypass = stream.bypass(&error).ok_or(error)?;
                        (self.source, self.bypassed) = (Source::Bypass(Box::new(bypass.await)), true);
                        continue;
                    }
                    next => return next,
                },
                Source::Bypass(bypass) => {
                    let bytes = bypass.next().await?;
                    return Ok(bytes.map(|bytes| charged(self.memory.as_ref(), bytes).into()));
                }
            };
            match reader.next().await? {
                Next::Bytes(bytes) => return Ok(Some(bytes.into())),
                Next::Complete(stream) => self.source = Source::Blob(Box::new(stream)),
                Next::DiskFailed(reason, partial) => {
                    let bypass = reader.bypass_cache(reason, partial).await?;
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
                FillState::NotStored(NotStored { reason, leftover }) => match leftover {
                    Leftover::Whole(entry) => return self.rest_of(entry),
                    Leftover::Part(remains) => return Ok(Next::DiskFailed(reason, Some(remains))),
                    Leftover::Nothing => return Ok(Next::DiskFailed(reason, None)),
                },
                FillState::Complete(entry) => return self.rest_of(entry),
                // The fill reads the same bytes: other bytes follow, or the fill ends with the bytes that it leaves.
                FillState::Filling(_) if self.unreadable == Some(self.fill.progress().generation()) => {}
                FillState::Filling(stored) => {
                    self.options.check_size(stored.size())?;
                    match self.read_available().await {
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

    /// The rest of the range, from the whole blob.
    fn rest_of(&self, entry: Entry) -> Result<Next, ReadError> {
        self.options.check_size(entry.size())?;
        let rest = ByteRange::new(self.at, self.end);
        let blob = Blob::new(self.depot.clone(), Arc::clone(self.fill.asset()), entry);
        Ok(Next::Complete(BlobStream::new(blob, rest, &self.options)))
    }

    /// Reads the next bytes that may be sent now.
    async fn read_available(&mut self) -> Available {
        let whole_only = self.options.release == Release::Whole;
        let requested = ByteRange::new(self.start, self.end);
        let (stored, range, generation) = match self.fill.readable(requested, self.at, self.tail, whole_only) {
            // If the fill has ended, that is the next change.
            None | Some((_, Readable::Nothing)) => return Available::Nothing,
            Some((stored, Readable::Verified(range))) => (stored, range, None),
            Some((stored, Readable::Unverified(range, generation))) => (stored, range, Some(generation)),
        };
        let lease = match &self.options.memory {
            Some(memory) => Some(memory.lease(usize::try_from(range.len()).unwrap_or(usize::MAX)).await),
            None => None,
        };
        let most = lease.as_ref().map_or(FILL_FRAME, |lease| lease.bytes() as u64);
        let frame = ByteRange::new(range.start, range.end.min(range.start + most));
        let bytes = match read(stored, frame, lease).await {
            Ok(bytes) => bytes,
            Err(error) => {
                let asset = &self.fill.asset().name;
                warn!(%asset, error = %error_chain(&error), "bytes of a fill not readable: waiting for others");
                self.unreadable = generation.or_else(|| Some(self.fill.progress().generation()));
                return Available::Nothing;
            }
        };
        if generation.is_some_and(|read| read != self.fill.progress().generation()) {
            return Available::Discarded;
        }
        self.sent_unverified = self.sent_unverified.or(generation);
        self.at += bytes.len() as u64;
        self.fill.progress().advance_waiter(self.waiter, self.at);
        Available::Bytes(bytes)
    }

    /// Continues directly from the origin. The remains of the fill must prove unverified bytes that were sent.
    async fn bypass_cache(&mut self, reason: String, remains: Option<Arc<Remains>>) -> Result<BypassReader, ReadError> {
        let sent = ByteRange::new(self.start, self.at);
        let unproven = match (self.sent_unverified, remains) {
            (None, _) => None,
            (Some(_), Some(remains)) => Some(Unproven { remains, range: sent, reason }),
            (Some(_), None) => return Err(ReadError::Disk(reason)),
        };
        match self.bypass.take() {
            Some(bypass) => Ok(bypass.await.resuming_at(self.at, unproven)),
            // Only called once.
            None => Err(ReadError::Closing),
        }
    }
}

async fn read(stored: FillBytes, range: ByteRange, lease: Option<Lease>) -> Result<Bytes, CacheError> {
    let work = move || {
        let mut data = vec![0; usize::try_from(range.len()).unwrap_or_default()];
        stored.read_at(range.start, &mut data)?;
        Ok(match lease {
            Some(lease) => lease.attach(data.into()),
            None => data.into(),
        })
    };
    blocking(work).await
}

/// Charges bytes that arrived from the origin, which are in memory already.
pub(super) fn charged(memory: Option<&StreamMemory>, bytes: Bytes) -> Bytes {
    match memory {
        Some(memory) => memory.charge(bytes.len()).attach(bytes),
        None => bytes,
    }
}
