//! Tasks and blocking threads, and the one policy for a panic in them.
//!
//! A panic is a bug in bootdepot. The panic hook of `telemetry` logs it once, where it happens. The joining side
//! either gets [`TaskPanicked`] or panics with the same payload, which does not log it again. It never reports the panic as a
//! failure of an origin or of a disk.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt as _;
use tokio::task::{JoinError, JoinHandle};

/// A task panicked. The panic itself is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an internal task failed; this is a bug in bootdepot: please report it with the panic message in the log")]
pub struct TaskPanicked;

/// Runs `work` on a blocking thread. Panics with its payload if it panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    join_or_panic(tokio::task::spawn_blocking(work)).await
}

/// Runs `work` on a blocking thread. Fails if it panics.
pub async fn try_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskPanicked> {
    join(tokio::task::spawn_blocking(work)).await
}

/// Waits for a task and returns its value. Panics with its payload if it panicked.
///
/// Never returns if the task was aborted, which only the end of the runtime does to a task whose handle is awaited.
pub async fn join_or_panic<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(_) => std::future::pending().await,
        },
    }
}

/// Waits for a task and returns its value. Fails if it panicked.
///
/// Never returns if the task was aborted, which only the end of the runtime does to a task whose handle is awaited.
pub async fn join<T>(task: JoinHandle<T>) -> Result<T, TaskPanicked> {
    match joined(task.await)? {
        Some(value) => Ok(value),
        None => std::future::pending().await,
    }
}

/// The result of a joined task, for tasks that may be aborted, such as those of a `JoinSet`. `None` if it was aborted.
pub fn joined<T>(result: Result<T, JoinError>) -> Result<Option<T>, TaskPanicked> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_panic() => Err(TaskPanicked),
        Err(_) => Ok(None),
    }
}

/// Waits for a thread and returns its value. Fails if it panicked. Blocks.
pub fn join_thread<T>(thread: std::thread::JoinHandle<T>) -> Result<T, TaskPanicked> {
    thread.join().map_err(|_: Box<dyn Any + Send>| TaskPanicked)
}

/// Runs `work` in the current task. Fails if it panics. What `work` shares with others must be in order even then.
pub async fn catch_panic<F: Future>(work: F) -> Result<F::Output, TaskPanicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| TaskPanicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail() -> u32 {
        resume_unwind(Box::new("the payload"))
    }

    #[tokio::test]
    async fn finished_task_returns_its_value() {
        assert_eq!(blocking(|| 1).await, 1);
        assert_eq!(try_blocking(|| 2).await, Ok(2));
        assert_eq!(join(tokio::spawn(async { 3 })).await, Ok(3));
        assert_eq!(join_or_panic(tokio::spawn(async { 4 })).await, 4);
        assert_eq!(catch_panic(async { 5 }).await, Ok(5));
        assert_eq!(join_thread(std::thread::spawn(|| 6)), Ok(6));
    }

    #[tokio::test]
    async fn panic_becomes_typed_error() {
        assert_eq!(try_blocking(fail).await, Err(TaskPanicked));
        assert_eq!(join(tokio::spawn(async { fail() })).await, Err(TaskPanicked));
        assert_eq!(catch_panic(async { fail() }).await, Err(TaskPanicked));
        assert_eq!(join_thread(std::thread::spawn(fail)), Err(TaskPanicked));
    }

    #[tokio::test]
    async fn panic_resumes_with_its_payload() {
        for task in [tokio::spawn(blocking(fail)), tokio::spawn(join_or_panic(tokio::spawn(async { fail() })))] {
            let payload = task.await.unwrap_err().into_panic();
            assert_eq!(payload.downcast_ref(), Some(&"the payload"));
        }
    }

    #[tokio::test]
    async fn aborted_task_is_no_panic() {
        let task = tokio::spawn(std::future::pending::<u32>());
        task.abort();
        assert_eq!(joined(task.await), Ok(None));
    }
}
