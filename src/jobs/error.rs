//! Why a job cannot be started or cancelled.

use super::limits::{MAX_ENDED, MAX_RUNNING};
use super::selection::SelectionError;
use super::status::JobState;

/// Why a job does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The selection is invalid.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// Too many jobs are running.
    #[error("{MAX_RUNNING} jobs are running, which is the limit; wait for one of them, or cancel it")]
    TooMany,
    /// This process has no [`Checker`](super::check::Checker).
    #[error("checks do not run here; run bootdepot check --local")]
    NoChecks,
}

/// Why a job is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no job with this number, or it is no longer kept.
    #[error("there is no job {0}; only the last {MAX_ENDED} ended jobs are kept")]
    Unknown(u64),
    /// The job has ended.
    #[error("job {id} has already ended: it is {}", .state.as_str())]
    Ended {
        /// The job's number.
        id: u64,
        /// How it ended.
        state: JobState,
    },
}
