//! A stream of a cached blob, frame by frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tokio::task::JoinHandle;

use super::blob::Blob;
use super::bypass_reader::BypassReader;
use super::error::ReadError;
use super::settings::Delivery;
use crate::asset::ByteRange;
use crate::task;

/// Bytes per frame of mapped pages: many system calls' worth for the socket, few page table walks to load.
const MAPPED_FRAME: u64 = 4 << 20;
/// Bytes per copied frame: what TLS and netascii process.
const COPIED_FRAME: u64 = 256 << 10;
/// A last frame of mapped pages that is longer than this, in bytes, is yielded in two pieces. Mapped pages are read when the
/// socket takes them; the connection asks for another piece when it has sent what it has, except about 400 KiB.
const MOST_LAST: usize = 512 << 10;
/// Bytes of the second piece. It is yielded after a check that the blob's file was not changed.
const LAST_PIECE: usize = 64 << 10;

/// A stream of a cached blob. Pages that are not in memory are read on blocking threads, one frame ahead.
pub(super) struct BlobStream {
    blob: Blob,
    /// The bytes that were not returned yet.
    unsent: ByteRange,
    /// Whether no byte was returned.
    is_fresh: bool,
    /// The bytes that are not being read yet.
    rest: ByteRange,
    delivery: Delivery,
    /// Frames that are being read, in order.
    pending: VecDeque<JoinHandle<Result<Bytes, ReadError>>>,
    /// The second piece of the last frame.
    last: Option<Bytes>,
}

impl BlobStream {
    /// A stream of `range`.
    pub(super) fn new(blob: Blob, range: ByteRange, delivery: Delivery) -> Self {
        Self { blob, unsent: range, is_fresh: true, rest: range, delivery, pending: VecDeque::new(), last: None }
    }

    /// After an error of the disk: prepares a read of the other bytes that bypasses the cache. `None` if bytes that were
    /// returned before may be wrong.
    pub(super) fn bypass(&self, error: &ReadError) -> Option<BoxFuture<'static, BypassReader>> {
        let is_safe = matches!(error, ReadError::Disk(_)) && (self.is_fresh || self.blob.is_intact());
        is_safe.then(|| self.blob.bypass(self.unsent))
    }

    fn take_frame(&mut self) -> Option<ByteRange> {
        let frame = match self.delivery {
            Delivery::Mapped => MAPPED_FRAME,
            Delivery::Copied => COPIED_FRAME,
        };
        // Frames end at multiples of their size, so that all readers of a blob share them and the cache need not map the
        // same pages for each.
        let end = (self.rest.start / frame + 1).saturating_mul(frame);
        let range = ByteRange::new(self.rest.start, self.rest.end.min(end));
        self.rest.start = range.end;
        (!range.is_empty()).then_some(range)
    }

    fn read_ahead(&mut self) {
        let Some(range) = self.take_frame() else { return };
        let (blob, delivery) = (self.blob.clone(), self.delivery);
        self.pending.push_back(tokio::task::spawn_blocking(move || blob.read(range, delivery)));
    }

    /// The next frame; `None` after the last, which is yielded only if the blob's file was not changed.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
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

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.pending.is_empty() {
            let before = self.rest.start;
            let Some(range) = self.take_frame() else { return Poll::Ready(None) };
            if let Some(bytes) = self.blob.read_resident(range, self.delivery) {
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.rest.start = before;
            self.read_ahead();
        }
        if self.pending.len() == 1 {
            self.read_ahead();
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
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await.transpose()
    }
}
