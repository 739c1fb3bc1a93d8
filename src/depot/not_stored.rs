//! The remains of a fill that the cache could not store.

use std::sync::Arc;

use crate::asset::Verifier;
use crate::cache::{Entry, Partial};

/// Why a fill could not be stored, and the bytes that it leaves to its readers.
#[derive(Clone)]
pub(super) struct NotStored {
    /// The error, for operators.
    pub(super) reason: String,
    pub(super) leftover: Leftover,
}

/// The bytes that a fill leaves to its readers. The cache has none of them.
#[derive(Clone)]
pub(super) enum Leftover {
    /// Every byte, verified.
    Whole(Entry),
    /// Those that were written before the disk failed.
    Part(Arc<Remains>),
    /// No byte.
    Nothing,
}

/// The bytes that were written before the disk failed. They prove which bytes its readers have sent.
pub(super) struct Remains {
    /// Nothing writes to it any more, and the disk may be unable to read it.
    pub(super) partial: Arc<Partial>,
    /// The hash of the first bytes. Readers that began among them have sent no others.
    pub(super) prefix: Verifier,
}

impl NotStored {
    /// The blob's size in bytes, if the fill learned it.
    pub(super) fn size(&self) -> Option<u64> {
        match &self.leftover {
            Leftover::Whole(entry) => Some(entry.size()),
            Leftover::Part(remains) => Some(remains.partial.size()),
            Leftover::Nothing => None,
        }
    }
}
