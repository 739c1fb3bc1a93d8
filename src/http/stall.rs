//! The stall timeout: how long a client waits for a response head while the depot receives no byte of the asset.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use crate::depot::ReadError;
use crate::transport::RETRY_SECONDS;

/// Runs `work` to its end, or fails with [`ReadError::Unavailable`] when it makes no progress for `stall_timeout`. A fill
/// that `work` started goes on, so that a later retry finds it.
///
/// `progress` returns a number that changes while bytes arrive; `None` while no fill is running, which is not taken for a
/// stall. It is checked once per `stall_timeout`, so that a stall is detected after at most twice that time.
pub(super) async fn with_stall_timeout<T>(
    stall_timeout: Duration,
    progress: impl Fn() -> Option<u64>,
    work: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    let mut work = pin!(work);
    // A cached asset needs neither the list of fills nor a timer.
    if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return done;
    }
    let mut before = progress().unwrap_or(0);
    loop {
        if let Ok(done) = timeout(stall_timeout, work.as_mut()).await {
            return done;
        }
        if let Some(now) = progress() {
            if now == before {
                let reason = format!(
                    "no byte arrived for {} s; the fill goes on in the background",
                    stall_timeout.as_secs_f32()
                );
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
    async fn stalled_work_fails_but_progress_extends() {
        let calls = Cell::new(0_u64);
        let progress = || {
            calls.set(calls.get() + 1);
            // No fill at first, then ten calls with progress, then none.
            calls.get().checked_sub(3).map(|since| (since + 1).min(10))
        };
        let error = with_stall_timeout(SHORT, progress, pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(calls.get(), 13);
        let reason = "no byte arrived for 0.001 s; the fill goes on in the background";
        assert!(error.to_string().ends_with(reason), "{error}");
    }

    #[tokio::test]
    async fn ready_work_returns_without_timer() {
        assert_eq!(with_stall_timeout(Duration::ZERO, || Some(0), ready(Ok(1))).await.unwrap(), 1);
    }
}
