//! Reads a cache's directory from outside: without its lock, as another process may be using it, and without changing it.

use std::collections::HashMap;
use std::path::Path;

use super::dir::Dir;
use super::scan::{Found, Scan};
use super::{lock, records};
use crate::asset::Digest;
use crate::fault_points::FaultPoints;

/// The contents of a cache directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The size of each verified blob in bytes.
    pub blobs: HashMap<Digest, u64>,
    /// The size in bytes of each blob whose file is not the one that was verified.
    pub unverified: HashMap<Digest, u64>,
    /// How many verified blobs the kernel has sealed.
    pub sealed: usize,
    /// The bytes reserved for each fill that is in progress or was interrupted.
    pub partials: HashMap<Digest, u64>,
    /// Bytes of corrupt blobs.
    pub quarantined: u64,
    /// Bytes that are free on the file system for this user; `u64::MAX` if the system does not report it.
    pub free: u64,
    /// The pid of the process that has the cache open, as written in the lock file. `None` if no process has.
    pub holder: Option<String>,
}

/// Reads the cache in `dir`. Files and directories that are missing or cannot be read are left out. Blocks.
pub fn inspect(dir: &Path) -> Inspection {
    // A missing directory will be created on the file system of its nearest existing ancestor.
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let dir = Dir::new(dir.to_owned(), FaultPoints::default());
    let scan = Scan::of(&dir);
    let records = records::read(&dir);
    let proof = |found: &Found| {
        records.get(&found.digest).and_then(|record| record.proof).filter(|proof| proof.file == found.file)
    };
    let is_verified = |found: &Found| proof(found).is_some();
    let sealed = scan.blobs.iter().filter_map(proof).filter(|proof| proof.verity.is_some()).count();
    let (verified, unverified): (Vec<_>, Vec<_>) = scan.blobs.into_iter().partition(is_verified);
    let sizes = |found: Vec<Found>| found.iter().map(|it| (it.digest, it.file.size)).collect();
    Inspection {
        blobs: sizes(verified),
        unverified: sizes(unverified),
        sealed,
        partials: sizes(scan.partials),
        quarantined: scan.quarantined.iter().map(|it| it.file.size).sum(),
        free: Dir::new(existing.to_owned(), FaultPoints::default()).free(),
        holder: lock::holder(&dir.lock_file()),
    }
}
