//! The result of comparing the blobs on the disk with their records.

use std::sync::Arc;

use crate::asset::Digest;

/// The result of comparing the blobs on the disk with their records.
#[derive(Debug)]
pub(in crate::cache) struct Reconciled<T> {
    /// Open files to close.
    pub(in crate::cache) closed: Vec<Arc<T>>,
    /// A blob whose file has another inode or device number than recorded, and is the same otherwise.
    pub(in crate::cache) renumbered: Option<Digest>,
}
