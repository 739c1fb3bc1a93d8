//! Why a name of a collection cannot be resolved, as readers get to know it.

use super::error::ReadError;
use super::source_failures::{RETRY_AFTER, SourceFailures};
use crate::collection::{BindingsError, FindError, ReadDocumentError};
use crate::origin::OriginError;

/// Why the source of a collection does not have an asset.
pub(super) fn unreadable(error: &OriginError) -> ReadError {
    if let OriginError::OutsideDirectory { .. } | OriginError::NotFile { .. } = error {
        return ReadError::NotFound(error.to_string());
    }
    let mut failures = SourceFailures::default();
    failures.add_error(error);
    failures.into_outcome().1
}

/// Why it is not known which digest an object has.
pub(super) fn undecided(error: &FindError) -> ReadError {
    match error {
        FindError::Document(ReadDocumentError::Origin(error)) => unreadable(error),
        // Like an object whose digest nothing says: nothing that counts says it.
        FindError::Document(error @ ReadDocumentError::Unsigned(_)) => ReadError::NotFound(error.to_string()),
        FindError::Document(_) | FindError::Statement(_) | FindError::Size { .. } => unavailable(error.to_string()),
    }
}

/// Why a digest is not on record.
pub(super) fn unrecorded(error: &BindingsError) -> ReadError {
    match error {
        BindingsError::Unreadable { .. } => unavailable(error.to_string()),
        error => unavailable(format!("its digest cannot be recorded: {error}")),
    }
}

/// A failure that may pass.
pub(super) fn unavailable(reason: String) -> ReadError {
    ReadError::Unavailable { reason, retry_after: RETRY_AFTER }
}
