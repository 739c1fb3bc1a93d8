//! Work beside the runtime's threads: what may wait for a disk, and what takes milliseconds of a processor.

use tokio::task::JoinError;

/// Runs `work` on a blocking thread. A panic of it is the caller's.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    finished(tokio::task::spawn_blocking(work)).await
}

/// What a blocking job came to.
pub(crate) async fn finished<T>(job: impl Future<Output = Result<T, JoinError>>) -> T {
    match job.await {
        Ok(value) => value,
        // The job panicked, or the runtime is going down: there is nobody left to tell.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}
