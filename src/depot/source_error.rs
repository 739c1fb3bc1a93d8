//! Why one source cannot provide the bytes of a fill.

use std::fmt;

use super::error::ReadError;
use super::ladder::Seen;
use super::source_access::SourceAccess;
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
    /// The source does not say how long the object is, and nothing else does.
    NoLength,
    /// The source could not be read.
    Origin(OriginError),
    /// The cache cannot store the bytes.
    Cache(CacheError),
    /// A task panicked: a bug in this program, not a failure of the source.
    Panicked(TaskPanicked),
}

/// Why an attempt to fill failed.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// Every source that was read has failed, and what to do with it is settled.
    Settled,
    /// The source of the attempt, or the attempt as a whole, failed.
    Failed(SourceError),
}

impl<E: Into<SourceError>> From<E> for AttemptError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Which written bytes a source error makes worthless.
pub(super) struct Spoiled {
    /// Blocks that were verified are worthless too.
    pub(super) verified_too: bool,
    /// The error of readers that have sent such bytes.
    pub(super) fault: ReadError,
}

impl SourceError {
    /// Classifies the failure of an attempt to fill from `access`. `single_stream`: every byte came from one plain GET of it.
    pub(super) fn seen(&self, access: &SourceAccess, single_stream: bool) -> Seen {
        match self {
            Self::WrongWhole(_) => Seen::WrongBytes { single_stream },
            Self::WrongBlock(_) => Seen::WrongBytes { single_stream: access.is_stream() },
            Self::WrongLength(_) => Seen::WrongLength,
            Self::NoLength => Seen::NoLength,
            Self::Origin(error) => access.seen(error),
            Self::Cache(_) | Self::Panicked(_) => Seen::Unreachable,
        }
    }

    /// Which written bytes this error makes worthless. `None` if they stay valid.
    pub(super) fn spoiled(&self, source: &SourceUrl) -> Option<Spoiled> {
        let wrong = |reason| ReadError::WrongBytes(format!("{source}: {reason}"));
        match self {
            Self::WrongWhole(reason) => Some(Spoiled { verified_too: true, fault: wrong(reason) }),
            Self::WrongBlock(reason) => Some(Spoiled { verified_too: false, fault: wrong(reason) }),
            Self::WrongLength(_) | Self::NoLength | Self::Origin(_) | Self::Cache(_) | Self::Panicked(_) => None,
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongWhole(reason) | Self::WrongBlock(reason) | Self::WrongLength(reason) => f.write_str(reason),
            Self::NoLength => f.write_str("it does not say how long the object is"),
            Self::Origin(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
            Self::Panicked(error) => error.fmt(f),
        }
    }
}

impl From<OriginError> for SourceError {
    fn from(error: OriginError) -> Self {
        Self::Origin(error)
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
