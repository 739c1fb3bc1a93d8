//! How long a client waits for the head of an answer that the depot has no byte for yet.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::answer::RETRY_SECONDS;
use crate::depot::ReadError;

/// What `work` comes to, unless nothing moves for so long: the client is then told to come back, and what was begun for it
/// goes on.
///
/// `moved` tells apart waiting for something and waiting for nothing: a number that changes as long as there is progress,
/// from 0 on; `None` while nobody counts.
pub(super) async fn patiently<T>(
    patience: Duration,
    moved: impl Fn() -> Option<u64>,
    work: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let mut work = pin!(work);
    // What is here takes neither a look at the fills nor a timer.
    if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return done;
    }
    let mut before = moved().unwrap_or(0);
    loop {
        if let Ok(done) = timeout(patience, work.as_mut()).await {
            return done;
        }
        if let Some(now) = moved() {
            if now == before {
                let reason = format!("nothing came for {} s; it is fetched on", patience.as_secs_f32());
                return Err(ReadError::Unavailable { reason, retry_after: Duration::from_secs(RETRY_SECONDS) });
            }
            before = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn only_what_stands_still_is_given_up() {
        let asked = Cell::new(0_u64);
        let moved = || {
            asked.set(asked.get() + 1);
            // Nobody counts, then it moves for a while.
            asked.get().checked_sub(3).map(|asked| (asked + 1).min(10))
        };
        let error = patiently(SHORT, moved, pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(asked.get(), 13);
        assert_eq!(error.to_string(), "no source could be read: nothing came for 0.001 s; it is fetched on");
    }

    #[tokio::test]
    async fn what_is_here_is_had_at_once() {
        assert_eq!(patiently(Duration::ZERO, || Some(0), ready(Ok(1))).await.unwrap(), 1);
    }
}
