//! A look at a cache's directory from outside, without its lock: another process may be using it. Nothing is changed.

use std::collections::HashMap;
use std::path::Path;

use super::dir::Dir;
use super::lock;
use super::scan::{Found, Scan};
use crate::asset::Digest;
use crate::fault_points::FaultPoints;

/// What is in a cache's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The proven blobs, each with its length in bytes.
    pub blobs: HashMap<Digest, u64>,
    /// The fills under way or left off, each with the bytes set aside for it.
    pub partials: HashMap<Digest, u64>,
    /// Bytes of blobs that rotted.
    pub quarantined: u64,
    /// Bytes that this user may still take of the file system; `u64::MAX` where it does not say.
    pub free: u64,
    /// The pid of the process that has the cache open, as it says itself.
    pub holder: Option<String>,
}

impl Survey {
    /// Looks at the cache in `dir`. What is not there, or cannot be read, counts as absent. Blocks.
    pub fn of(dir: &Path) -> Self {
        // A directory that is still to be made will be where the nearest one is that is there.
        let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
        let dir = Dir::new(dir.to_owned(), FaultPoints::default());
        let scan = Scan::of(&dir);
        let sizes = |found: &[Found]| found.iter().map(|it| (it.digest, it.size)).collect();
        Self {
            blobs: sizes(&scan.blobs),
            partials: sizes(&scan.partials),
            quarantined: scan.quarantined.iter().map(|it| it.size).sum(),
            free: Dir::new(there.to_owned(), FaultPoints::default()).free(),
            holder: lock::seen(&dir.lock_file()),
        }
    }
}
