//! Whether a file is still what it was when it was read. It knows nothing of what is in it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What changes when a file is written, replaced, or is behind another link: all but the bytes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the change time, which unlike the modification time nobody can set back.
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file at `path` as it is now; `None` where it cannot be looked at. Blocks.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), length: meta.len(), changed })
    }
}
