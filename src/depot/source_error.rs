//! Why one source cannot provide the bytes of a fill.

use super::error::ReadError;
use super::source_failures::RETRY_AFTER;
use crate::asset::SourceUrl;
use crate::cache::CacheError;
use crate::origin::OriginError;
use crate::task::TaskPanicked;

/// Why an attempt to fill from one source failed.
#[derive(Debug)]
pub(super) enum SourceError {
    /// The whole has another digest.
    WrongWhole(String),
    /// A block has another digest, also when fetched again.
    WrongBlock(String),
    /// The object has another length.
    WrongLength(String),
    /// The object changed while it was read.
    Changed,
    /// The source could not be read.
    Origin(OriginError),
    /// The cache cannot store the bytes.
    Cache(CacheError),
    /// A task panicked: a bug in this program, not a failure of the source.
    Panicked(TaskPanicked),
}

/// Which written bytes a source error makes worthless.
pub(super) struct Spoiled {
    /// Blocks that were verified are worthless too.
    pub(super) verified_too: bool,
    /// The error of readers that have sent such bytes.
    pub(super) fault: ReadError,
}

impl SourceError {
    /// Which written bytes this error makes worthless. `None` if they stay valid.
    pub(super) fn spoiled(&self, source: &SourceUrl) -> Option<Spoiled> {
        let wrong = |reason| ReadError::WrongBytes(format!("{source}: {reason}"));
        match self {
            Self::WrongWhole(reason) => Some(Spoiled { verified_too: true, fault: wrong(reason) }),
            Self::WrongBlock(reason) => Some(Spoiled { verified_too: false, fault: wrong(reason) }),
            Self::Changed => {
                let reason = format!("{source} changed while it was read");
                let fault = ReadError::Unavailable { reason, retry_after: RETRY_AFTER };
                Some(Spoiled { verified_too: false, fault })
            }
            Self::WrongLength(_) | Self::Origin(_) | Self::Cache(_) | Self::Panicked(_) => None,
        }
    }
}

impl From<OriginError> for SourceError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Changed { .. } => Self::Changed,
            error => Self::Origin(error),
        }
    }
}

impl From<CacheError> for SourceError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}

impl From<TaskPanicked> for SourceError {
    fn from(error: TaskPanicked) -> Self {
        Self::Panicked(error)
    }
}
