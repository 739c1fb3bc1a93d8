//! The body of a request, and how far it has been sent: a large body on a slow link is not a stalled request.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Bytes that are handed to the connection at a time: as long as it takes them, the request makes progress.
const PIECE: usize = 64 << 10;

/// The body of a request. It is sent uncopied, and reports its progress.
pub(super) struct Payload {
    rest: Bytes,
    progress: Progress,
}

/// How far the body of a request has been sent.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Sent>>);

struct Sent {
    /// When the last piece was handed to the connection.
    last: Instant,
    all: bool,
}

impl Sent {
    /// Returns how long to wait at `now`. Fails with the limit if it is exceeded.
    fn time_left(&self, now: Instant, sending: Duration, answering: Duration) -> Result<Duration, Duration> {
        let limit = if self.all { answering } else { sending };
        (self.last + limit).checked_duration_since(now).filter(|left| !left.is_zero()).ok_or(limit)
    }
}

impl Payload {
    pub(super) fn new(bytes: Bytes) -> Self {
        let sent = Sent { last: Instant::now(), all: bytes.is_empty() };
        Self { rest: bytes, progress: Progress(Arc::new(Mutex::new(sent))) }
    }

    /// Returns a handle to the progress.
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        *self.progress.0.lock() = Sent { last: Instant::now(), all: self.rest.is_empty() };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Progress {
    /// The progress of a request without a body.
    pub(super) fn all_sent() -> Self {
        Payload::new(Bytes::new()).progress
    }

    /// Waits for `request`. Fails with the exceeded limit if no piece was sent for `sending`, or if the request has not ended
    /// for `answering` after the last piece.
    pub(super) async fn limit<T>(
        &self,
        request: impl Future<Output = T>,
        sending: Duration,
        answering: Duration,
    ) -> Result<T, Duration> {
        let mut request = pin!(request);
        loop {
            let left = self.0.lock().time_left(Instant::now(), sending, answering)?;
            if let Ok(done) = tokio::time::timeout(left, &mut request).await {
                return Ok(done);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn piece(payload: &mut Payload) -> Option<usize> {
        let frame = poll_fn(|context| Pin::new(&mut *payload).poll_frame(context)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap().len())
    }

    #[tokio::test]
    async fn payload_is_sent_in_pieces() {
        let mut payload = Payload::new(vec![7; PIECE + 1].into());
        assert_eq!(payload.size_hint().exact(), Some(PIECE as u64 + 1));
        assert_eq!((piece(&mut payload).await, piece(&mut payload).await), (Some(PIECE), Some(1)));
        assert!(payload.is_end_stream());
        assert_eq!(piece(&mut payload).await, None);
    }

    #[tokio::test]
    async fn each_piece_renews_the_limit() {
        let mut payload = Payload::new(vec![7; 2 * PIECE].into());
        let progress = payload.progress();
        let left = |after| {
            let sent = progress.0.lock();
            sent.time_left(sent.last + SECOND * after, SECOND * 5, SECOND * 60)
        };
        assert_eq!((left(4), left(5)), (Ok(SECOND), Err(SECOND * 5)));
        let began = progress.0.lock().last;
        piece(&mut payload).await;
        assert!(progress.0.lock().last > began);
        assert_eq!(left(5), Err(SECOND * 5), "a piece is left");
        piece(&mut payload).await;
        assert_eq!((left(59), left(60)), (Ok(SECOND), Err(SECOND * 60)));
    }

    #[tokio::test]
    async fn stalled_request_times_out() {
        let millisecond = Duration::from_millis(1);
        let progress = Payload::new(vec![7; PIECE].into()).progress();
        assert_eq!(progress.limit(pending::<()>(), millisecond, SECOND * 600).await, Err(millisecond));
        assert_eq!(Progress::all_sent().limit(pending::<()>(), SECOND * 600, millisecond).await, Err(millisecond));
        assert_eq!(progress.limit(async { 7 }, SECOND * 600, SECOND * 600).await, Ok(7));
    }
}
