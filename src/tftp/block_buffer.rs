//! The bytes of one transfer's current window, and a little read-ahead, as chunks of a stream. It knows neither packets
//! nor time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::netascii;
use super::packet::TransferMode;
use crate::depot::Piece;

/// Bytes read beyond the current window, so that the delay of a disk or an origin is over when they are needed.
const READ_AHEAD: u64 = 32 << 10;

/// The bytes of one transfer, in order.
pub(super) struct BlockBuffer<S> {
    stream: S,
    mode: TransferMode,
    chunks: VecDeque<Piece>,
    /// The offset of the first byte of the first chunk.
    start: u64,
    /// The offset after the last byte of the last chunk.
    end: u64,
    ended: bool,
    /// The stream returned `Pending` and has not woken the caller since.
    pending: bool,
}

impl<S, E> BlockBuffer<S>
where
    S: Stream<Item = Result<Piece, E>> + Unpin,
    E: From<io::Error>,
{
    /// Buffers `stream`, encoded for `mode`.
    pub(super) fn new(stream: S, mode: TransferMode) -> Self {
        Self { stream, mode, chunks: VecDeque::new(), start: 0, end: 0, ended: false, pending: false }
    }

    /// Reads until the buffer holds the bytes up to `needed` and the read-ahead, the stream is pending, or it ends.
    ///
    /// After a pending stream, does nothing until [`BlockBuffer::resume`].
    pub(super) fn fill(&mut self, needed: u64, context: &mut Context<'_>) -> Result<(), E> {
        while !self.ended && !self.pending && self.end < needed + READ_AHEAD {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(Some(chunk)) => {
                    let chunk = chunk?;
                    let chunk = match self.mode {
                        TransferMode::Netascii => netascii::encode(&chunk.read()?).into(),
                        TransferMode::Octet | TransferMode::Mail => chunk,
                    };
                    self.end += chunk.len() as u64;
                    self.chunks.push_back(chunk);
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => self.pending = true,
            }
        }
        Ok(())
    }

    /// The stream has woken the caller: the next [`BlockBuffer::fill`] polls it again.
    pub(super) fn resume(&mut self) {
        self.pending = false;
    }

    /// How many bytes were read, counted from the start of the file.
    pub(super) fn available(&self) -> u64 {
        self.end
    }

    /// Whether the whole file was read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Drops the chunks that lie wholly before `offset`.
    pub(super) fn release(&mut self, offset: u64) {
        while let Some(first) = self.chunks.front()
            && self.start + first.len() as u64 <= offset
        {
            self.start += first.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// The `length` bytes from `offset` on, as slices of the chunks. All of them must be read and not released.
    pub(super) fn slices(&self, offset: u64, length: usize) -> impl Iterator<Item = Piece> {
        // Released bytes are never requested.
        let mut skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let mut left = length;
        self.chunks.iter().filter_map(move |chunk| {
            if left == 0 || skip >= chunk.len() {
                skip -= if left == 0 { 0 } else { chunk.len() };
                return None;
            }
            let piece = chunk.slice(skip..chunk.len().min(skip + left));
            skip = 0;
            left -= piece.len();
            Some(piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::task::Waker;

    struct Chunks(VecDeque<Poll<Option<Result<Piece, io::Error>>>>);

    impl Stream for Chunks {
        type Item = Result<Piece, io::Error>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.pop_front().unwrap_or(Poll::Ready(None))
        }
    }

    fn ready(bytes: &[u8]) -> Poll<Option<Result<Piece, io::Error>>> {
        Poll::Ready(Some(Ok(Bytes::copy_from_slice(bytes).into())))
    }

    #[test]
    fn fill_stops_after_read_ahead() {
        let chunk = vec![1; 20 << 10];
        let chunks = [ready(&chunk), ready(&chunk), ready(&chunk), Poll::Pending, ready(b"x")];
        let mut buffer = BlockBuffer::new(Chunks(chunks.into()), TransferMode::Octet);
        let mut context = Context::from_waker(Waker::noop());
        buffer.fill(1, &mut context).unwrap();
        assert_eq!((buffer.available(), buffer.ended()), (40 << 10, false));
        buffer.fill(60 << 10, &mut context).unwrap();
        buffer.fill(60 << 10, &mut context).unwrap();
        assert_eq!((buffer.available(), buffer.ended()), (60 << 10, false));
        buffer.resume();
        buffer.fill(60 << 10, &mut context).unwrap();
        assert_eq!((buffer.available(), buffer.ended()), ((60 << 10) + 1, true));
    }

    #[test]
    fn stream_error_is_returned() {
        let mut buffer = BlockBuffer::new(
            Chunks([ready(b"x"), Poll::Ready(Some(Err(io::ErrorKind::NotFound.into())))].into()),
            TransferMode::Octet,
        );
        let error = buffer.fill(1, &mut Context::from_waker(Waker::noop())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn slices_cross_chunk_boundaries(
            lengths in proptest::collection::vec(0usize..50, 0..20), offset in 0usize..500, length in 0usize..200,
            netascii in any::<bool>(),
        ) {
            let total: usize = lengths.iter().sum();
            let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut rest = &bytes[..];
            let chunks = lengths.iter().map(|length| {
                let (chunk, after) = rest.split_at(*length);
                rest = after;
                ready(chunk)
            });
            let mode = if netascii { TransferMode::Netascii } else { TransferMode::Octet };
            let mut buffer = BlockBuffer::new(Chunks(chunks.collect()), mode);
            buffer.fill(u64::MAX / 2, &mut Context::from_waker(Waker::noop())).unwrap();
            let expected = if netascii { netascii::encode(&bytes).to_vec() } else { bytes };
            prop_assert_eq!((buffer.available(), buffer.ended()), (expected.len() as u64, true));

            let offset = offset.min(expected.len());
            let length = length.min(expected.len() - offset);
            buffer.release(offset as u64);
            let pieces: Vec<u8> = buffer.slices(offset as u64, length).flat_map(|piece| piece.read().unwrap()).collect();
            prop_assert_eq!(&pieces, &expected[offset..offset + length]);
        }
    }
}
