//! The bytes of one transfer: the chunks that the current window lies in, and a little more. It reads from a stream and
//! knows neither packets nor time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::netascii;
use super::packet::Mode;

/// Bytes that are read beyond what the window needs, so that a disk's or an origin's delay is over when they are needed.
const READ_AHEAD: u64 = 32 << 10;

/// The bytes of one transfer, in order.
pub(super) struct Feed<S> {
    stream: S,
    mode: Mode,
    chunks: VecDeque<Bytes>,
    /// The offset of the first chunk's first byte.
    start: u64,
    /// The offset after the last chunk's last byte.
    end: u64,
    ended: bool,
    /// The stream had nothing, and will wake who asked.
    waiting: bool,
}

impl<S, E> Feed<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// The bytes of `stream`, as `mode` writes them.
    pub(super) fn new(stream: S, mode: Mode) -> Self {
        Self { stream, mode, chunks: VecDeque::new(), start: 0, end: 0, ended: false, waiting: false }
    }

    /// Reads until the bytes up to `needed`, and some beyond, are here, the stream has nothing, or it has ended.
    ///
    /// After a stream that had nothing this does nothing until [`Feed::woken`].
    pub(super) fn fill(&mut self, needed: u64, context: &mut Context<'_>) -> Result<(), E> {
        while !self.ended && !self.waiting && self.end < needed + READ_AHEAD {
            match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Ready(Some(chunk)) => {
                    let chunk = chunk?;
                    let chunk = if self.mode == Mode::Netascii { netascii::encode(&chunk) } else { chunk };
                    self.end += chunk.len() as u64;
                    self.chunks.push_back(chunk);
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => self.waiting = true,
            }
        }
        Ok(())
    }

    /// The stream has woken who asked.
    pub(super) fn woken(&mut self) {
        self.waiting = false;
    }

    /// How many bytes, counted from the start, have come.
    pub(super) fn available(&self) -> u64 {
        self.end
    }

    /// Whether that is all.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Lets go of chunks that lie wholly before `offset`.
    pub(super) fn release(&mut self, offset: u64) {
        while let Some(first) = self.chunks.front()
            && self.start + first.len() as u64 <= offset
        {
            self.start += first.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// The `length` bytes from `offset` on, piece by piece; all of them must be here and not released.
    pub(super) fn slices(&self, offset: u64, length: usize) -> impl Iterator<Item = Bytes> {
        // What was released is never asked for.
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
    use proptest::prelude::*;
    use std::task::Waker;

    struct Chunks(VecDeque<Poll<Option<Result<Bytes, &'static str>>>>);

    impl Stream for Chunks {
        type Item = Result<Bytes, &'static str>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.pop_front().unwrap_or(Poll::Ready(None))
        }
    }

    fn ready(bytes: &[u8]) -> Poll<Option<Result<Bytes, &'static str>>> {
        Poll::Ready(Some(Ok(Bytes::copy_from_slice(bytes))))
    }

    #[test]
    fn reads_no_more_than_a_little_ahead_and_waits_to_be_woken() {
        let chunk = vec![1; 20 << 10];
        let chunks = [ready(&chunk), ready(&chunk), ready(&chunk), Poll::Pending, ready(b"x")];
        let mut feed = Feed::new(Chunks(chunks.into()), Mode::Octet);
        let mut context = Context::from_waker(Waker::noop());
        feed.fill(1, &mut context).unwrap();
        assert_eq!((feed.available(), feed.ended()), (40 << 10, false));
        feed.fill(60 << 10, &mut context).unwrap();
        feed.fill(60 << 10, &mut context).unwrap();
        assert_eq!((feed.available(), feed.ended()), (60 << 10, false));
        feed.woken();
        feed.fill(60 << 10, &mut context).unwrap();
        assert_eq!((feed.available(), feed.ended()), ((60 << 10) + 1, true));
    }

    #[test]
    fn an_error_is_handed_on() {
        let mut feed = Feed::new(Chunks([ready(b"x"), Poll::Ready(Some(Err("gone")))].into()), Mode::Octet);
        assert_eq!(feed.fill(1, &mut Context::from_waker(Waker::noop())), Err("gone"));
    }

    proptest! {
        #[test]
        fn slices_are_the_bytes_wherever_the_chunks_end(
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
            let mode = if netascii { Mode::Netascii } else { Mode::Octet };
            let mut feed = Feed::new(Chunks(chunks.collect()), mode);
            feed.fill(u64::MAX / 2, &mut Context::from_waker(Waker::noop())).unwrap();
            let expected = if netascii { netascii::encode(&bytes).to_vec() } else { bytes };
            prop_assert_eq!((feed.available(), feed.ended()), (expected.len() as u64, true));

            let offset = offset.min(expected.len());
            let length = length.min(expected.len() - offset);
            feed.release(offset as u64);
            let pieces: Vec<u8> = feed.slices(offset as u64, length).flatten().collect();
            prop_assert_eq!(&pieces, &expected[offset..offset + length]);
        }
    }
}
