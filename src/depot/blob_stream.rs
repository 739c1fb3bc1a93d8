//! A stream of a cached blob, frame by frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::future::BoxFuture;
use tokio::task::JoinHandle;

use super::blob::Blob;
use super::bypass_reader::BypassReader;
use super::error::ReadError;
use super::settings::{Delivery, StreamOptions};
use crate::asset::ByteRange;
use crate::cache::Piece;
use crate::memory::{Lease, PendingLease, StreamMemory};
use crate::task;

/// Bytes per frame of mapped pages: many system calls' worth for the socket, few page table walks to load.
const MAPPED_FRAME: u64 = 4 << 20;
/// Bytes per copied frame of a reader without a memory budget: what netascii processes.
const COPIED_FRAME: u64 = 256 << 10;
/// A last frame of mapped pages that is longer than this, in bytes, is yielded in two pieces. Mapped pages are read when the
/// socket takes them; the connection asks for another piece when it has sent what it has, except about 400 KiB.
const MOST_LAST: usize = 512 << 10;
/// Bytes of the second piece. It is yielded after a check that the blob's file was not changed.
const LAST_PIECE: usize = 64 << 10;

/// A stream of a cached blob. Pages that are not in memory are read on blocking threads; mapped ones, one frame ahead.
pub(super) struct BlobStream {
    blob: Blob,
    /// The bytes that were not returned yet.
    unsent: ByteRange,
    /// Whether no byte was returned.
    is_fresh: bool,
    /// The bytes that are not being read yet.
    rest: ByteRange,
    delivery: Delivery,
    memory: Option<StreamMemory>,
    /// The lease of the next frame, while the stream waits for it.
    leasing: PendingLease,
    /// Frames that are being read, in order.
    pending: VecDeque<JoinHandle<Result<Piece, ReadError>>>,
    /// The second piece of the last frame.
    last: Option<Piece>,
}

impl BlobStream {
    /// A stream of `range`.
    pub(super) fn new(blob: Blob, range: ByteRange, options: &StreamOptions) -> Self {
        Self {
            blob,
            unsent: range,
            is_fresh: true,
            rest: range,
            delivery: options.delivery,
            memory: options.memory.clone(),
            leasing: PendingLease::default(),
            pending: VecDeque::new(),
            last: None,
        }
    }

    /// The account of copied bytes.
    pub(super) fn memory(&self) -> Option<StreamMemory> {
        self.memory.clone()
    }

    /// After an error of the disk: prepares a read of the other bytes that bypasses the cache. `None` if bytes that were
    /// returned before may be wrong.
    pub(super) fn bypass(&self, error: &ReadError) -> Option<BoxFuture<'static, BypassReader>> {
        let is_safe = matches!(error, ReadError::Disk(_)) && (self.is_fresh || self.blob.is_intact());
        is_safe.then(|| self.blob.bypass(self.unsent))
    }

    /// The next frame to read.
    fn frame(&self, lease: Option<&Lease>) -> ByteRange {
        let start = self.rest.start;
        let end = match (self.delivery, lease) {
            // Frames end at multiples of their size, so that all readers of a blob share them and the cache need not map
            // the same pages for each.
            (Delivery::Mapped, _) => (start / MAPPED_FRAME + 1).saturating_mul(MAPPED_FRAME),
            (Delivery::Copied, Some(lease)) => start.saturating_add(lease.bytes() as u64),
            (Delivery::Copied, None) => start.saturating_add(COPIED_FRAME),
        };
        ByteRange::new(start, self.rest.end.min(end))
    }

    /// Reads a frame on a blocking thread.
    fn read_ahead(&mut self, lease: Option<Lease>) {
        let range = self.frame(lease.as_ref());
        if range.is_empty() {
            return;
        }
        self.rest.start = range.end;
        let (blob, delivery) = (self.blob.clone(), self.delivery);
        let read = move || Ok(attach(lease, blob.piece(range, delivery)?));
        self.pending.push_back(tokio::task::spawn_blocking(read));
    }

    /// The memory of the next frame; `None` if it needs none.
    fn poll_lease(&mut self, cx: &mut Context<'_>) -> Poll<Option<Lease>> {
        let most = usize::try_from(self.rest.len()).unwrap_or(usize::MAX);
        match &self.memory {
            Some(memory) if self.delivery == Delivery::Copied => self.leasing.poll(memory, most, cx).map(Some),
            _ => Poll::Ready(None),
        }
    }

    /// The next frame; `None` after the last, which is yielded only if the blob's file was not changed.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ReadError>>> {
        let frame = match self.last.take() {
            Some(last) => Some(Ok(last)),
            None => ready!(self.poll_frame(cx)),
        };
        let is_last = self.rest.is_empty() && self.pending.is_empty();
        let frame = match frame {
            Some(Ok(mut bytes)) if is_last && self.delivery == Delivery::Mapped && bytes.len() > MOST_LAST => {
                self.last = Some(bytes.split_off(bytes.len() - LAST_PIECE));
                Some(Ok(bytes))
            }
            Some(Ok(bytes)) if is_last => Some(self.blob.check_intact().map(|()| bytes)),
            frame => frame,
        };
        if let Some(Ok(bytes)) = &frame {
            self.unsent.start += bytes.len() as u64;
            self.is_fresh = false;
        }
        Poll::Ready(frame)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ReadError>>> {
        if self.pending.is_empty() {
            if self.rest.is_empty() {
                return Poll::Ready(None);
            }
            let lease = ready!(self.poll_lease(cx));
            let range = self.frame(lease.as_ref());
            if let Some(bytes) = self.blob.piece_resident(range, self.delivery) {
                self.rest.start = range.end;
                return Poll::Ready(Some(Ok(attach(lease, bytes))));
            }
            self.read_ahead(lease);
        }
        // For small reads, one after the other, the kernel reads ahead by itself.
        if self.pending.len() == 1 && self.delivery == Delivery::Mapped {
            self.read_ahead(None);
        }
        let Some(first) = self.pending.front_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(first).poll(cx));
        self.pending.pop_front();
        Poll::Ready(Some(match task::joined(read) {
            Ok(Some(read)) => read,
            // Only the end of the runtime aborts the read.
            Ok(None) => Err(ReadError::Closing),
            Err(error) => Err(error.into()),
        }))
    }

    /// The next frame; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, ReadError> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await.transpose()
    }
}

/// Binds the lease, if there is one, to the bytes that it was taken for. Pages need none.
fn attach(lease: Option<Lease>, piece: Piece) -> Piece {
    match (lease, piece) {
        (Some(lease), Piece::Copied(bytes)) => Piece::Copied(lease.attach(bytes)),
        (_, piece) => piece,
    }
}
