//! Detects that a file was changed or replaced, without reading it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The identity of a file's current content: device, inode, length and change time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFingerprint {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the change time. Unlike the modification time it cannot be set back.
    changed: (i64, i64),
}

impl FileFingerprint {
    /// Returns the fingerprint of the file at `path`; `None` if its metadata cannot be read. Blocks.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), length: meta.len(), changed })
    }
}
