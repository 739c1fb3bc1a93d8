//! The index of the cache, in memory: which blobs are cached, pinned and read, what is reserved, and what is evicted when
//! space is needed. It does no IO and reads no clock; an open file is a `T` to it.

mod blob;
mod eviction;
mod proofs;
mod reconciled;
mod reservation;
mod seal_change;
mod sealing;
mod space;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use blob::Blob;
pub(super) use blob::Location;
use eviction::Quarantined;
pub(super) use eviction::Victim;
pub(super) use reconciled::Reconciled;
pub(super) use reservation::ClaimOutcome;
use reservation::Reservation;
pub(super) use seal_change::SealChange;

use super::record::Record;
use super::scan::{Found, Scan};
use super::stats::{BlobInfo, CacheStats};
use crate::asset::Digest;

/// The index. It keeps no list in order of use: an eviction, which unlinks files, sorts all blobs, and so each use costs one
/// look-up only.
#[derive(Debug)]
pub(super) struct Index<T> {
    limit: u64,
    min_free: u64,
    blobs: HashMap<Digest, Blob<T>>,
    reservations: HashMap<Digest, Reservation>,
    quarantined: HashMap<Digest, Quarantined>,
    /// The number of pins of each digest.
    pins: HashMap<Digest, usize>,
    sums: Sums,
    /// How many blobs are unverified.
    unverified: usize,
    /// How many blobs are verified and sealed.
    sealed: usize,
    /// How many blobs are open.
    open: usize,
    /// The last use. Each use gets a later time, even if the system's clock goes back.
    clock: SystemTime,
    serial: u64,
}

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sums {
    /// All blobs, verified or not.
    blobs: u64,
    unverified: u64,
    reserved: u64,
    quarantined: u64,
}

impl<T> Index<T> {
    /// The index of a cache that holds at most `limit` bytes and keeps `min_free` bytes of the disk free.
    pub(super) fn new(limit: u64, min_free: u64) -> Self {
        Self {
            limit,
            min_free,
            blobs: HashMap::new(),
            reservations: HashMap::new(),
            quarantined: HashMap::new(),
            pins: HashMap::new(),
            sums: Sums::default(),
            unverified: 0,
            sealed: 0,
            open: 0,
            clock: SystemTime::UNIX_EPOCH,
            serial: 0,
        }
    }

    /// Brings the index in line with what was found on the disk, and with the records in it. Reservations with a fill in
    /// progress stay.
    pub(super) fn reconcile(
        &mut self,
        scan: &Scan,
        records: &HashMap<Digest, Record>,
        now: SystemTime,
    ) -> Reconciled<T> {
        self.clock = self.clock.max(now);
        let found: HashSet<_> = scan.blobs.iter().map(|found| found.digest).collect();
        let gone: Vec<_> = self.blobs.keys().filter(|digest| !found.contains(digest)).copied().collect();
        let closed = gone.iter().filter_map(|digest| self.remove(digest)).collect();
        let renumbered = self.add_found(&scan.blobs, records, now);
        self.reservations.retain(|_, reservation| reservation.filling);
        for Found { digest, file } in &scan.partials {
            let left = Reservation { size: file.size, unallocated: 0, since: file.modified(), filling: false };
            self.reservations.entry(*digest).or_insert(left);
        }
        self.sums.reserved = self.reservations.values().map(|reservation| reservation.size).sum();
        let quarantined =
            |found: &Found| (found.digest, Quarantined { size: found.file.size, since: found.file.modified() });
        self.quarantined = scan.quarantined.iter().map(quarantined).collect();
        self.sums.quarantined = self.quarantined.values().map(|it| it.size).sum();
        Reconciled { closed, renumbered }
    }

    // Blobs.

    /// The file of a verified blob, if it is open. Counts as a use.
    pub(super) fn opened(&mut self, digest: &Digest, now: SystemTime) -> Option<Arc<T>> {
        let blob = self.blobs.get_mut(digest).filter(|blob| blob.proof.is_some())?;
        let open = blob.open.clone()?;
        blob.used = tick(&mut self.clock, now);
        Some(open)
    }

    /// Where a blob is. Counts as a use.
    pub(super) fn find(&mut self, digest: &Digest, now: SystemTime) -> Location<T> {
        let Some(blob) = self.blobs.get_mut(digest) else { return Location::Missing };
        blob.used = tick(&mut self.clock, now);
        match (blob.proof, &blob.open) {
            (None, _) => Location::Unverified { outdated: blob.outdated, serial: blob.serial },
            (Some(_), Some(open)) => Location::Open(Arc::clone(open)),
            (Some(proof), None) => Location::Closed { proof, serial: blob.serial },
        }
    }

    /// Keeps a file open that was opened for the blob of this `serial`. Returns the file to read: another thread may have
    /// been first. If the blob was removed in the meantime, the file is returned and not kept.
    pub(super) fn keep_open(&mut self, digest: &Digest, serial: u64, file: Arc<T>) -> Arc<T> {
        let Some(blob) = self.blobs.get_mut(digest).filter(|blob| blob.serial == serial) else { return file };
        self.open += usize::from(blob.open.is_none());
        Arc::clone(blob.open.get_or_insert(file))
    }

    /// If more than `most` blobs are open, returns files to close: the least recently used that are not being read, until
    /// only three quarters of `most` are open.
    pub(super) fn close_idle(&mut self, most: usize) -> Vec<Arc<T>> {
        if self.open <= most {
            return Vec::new();
        }
        let mut idle: Vec<_> = self.blobs.values_mut().filter(|blob| blob.open.is_some() && !blob.is_held()).collect();
        idle.sort_unstable_by_key(|blob| blob.used);
        let closed: Vec<_> =
            idle.into_iter().take(self.open - most * 3 / 4).filter_map(|blob| blob.open.take()).collect();
        self.open -= closed.len();
        closed
    }

    /// Removes a blob and returns its file if it was open.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Arc<T>> {
        self.take(digest).and_then(|blob| blob.open)
    }

    /// The size and the serial of a blob. Counts as no use.
    pub(super) fn peek(&self, digest: &Digest) -> Option<(u64, u64)> {
        self.blobs.get(digest).map(|blob| (blob.size, blob.serial))
    }

    /// Marks a blob as suspect because `file` could not be read, and no longer keeps that file open, so that the next use
    /// opens the blob again. Returns whether the caller should verify the blob: not if it was removed in the meantime, or
    /// is marked already.
    pub(super) fn mark_suspect(&mut self, digest: &Digest, file: &Arc<T>) -> bool {
        let Some(blob) = self.blobs.get_mut(digest) else { return false };
        if !blob.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, file)) {
            return false;
        }
        // Not closed here, under the index's lock: the last reader closes it.
        blob.open = None;
        self.open -= 1;
        !std::mem::replace(&mut blob.suspect, true)
    }

    // Pins.

    /// Adds a pin.
    pub(super) fn pin(&mut self, digest: &Digest) {
        *self.pins.entry(*digest).or_default() += 1;
    }

    /// Removes a pin.
    pub(super) fn unpin(&mut self, digest: &Digest) {
        if let Some(count) = self.pins.get_mut(digest) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(digest);
            }
        }
    }

    /// How many pins each digest has.
    #[cfg(test)]
    pub(super) fn pins(&self) -> std::collections::BTreeMap<Digest, usize> {
        self.pins.iter().map(|(digest, count)| (*digest, *count)).collect()
    }

    /// Whether a digest has pins.
    pub(super) fn is_pinned(&self, digest: &Digest) -> bool {
        self.pins.contains_key(digest)
    }

    /// Whether a blob is being read.
    pub(super) fn is_held(&self, digest: &Digest) -> bool {
        self.blobs.get(digest).is_some_and(Blob::is_held)
    }

    // Quarantine.

    /// Adds a file that was moved to quarantine.
    pub(super) fn add_quarantined(&mut self, digest: &Digest, size: u64, since: SystemTime) {
        self.remove_quarantined(digest);
        self.sums.quarantined += size;
        self.quarantined.insert(*digest, Quarantined { size, since });
    }

    /// If more than `most` files are in quarantine, takes out the oldest.
    pub(super) fn trim_quarantine(&mut self, most: usize) -> Vec<Victim<T>> {
        let mut oldest: Vec<_> = self.quarantined.iter().map(|(digest, it)| (it.since, *digest)).collect();
        oldest.sort_unstable();
        let over = oldest.len().saturating_sub(most);
        let out = oldest.into_iter().take(over);
        out.filter_map(|(_, digest)| Some(Victim::Quarantined(digest, self.remove_quarantined(&digest)?))).collect()
    }

    // Reports.

    /// How full the cache is.
    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            limit: self.limit,
            blob_bytes: self.sums.blobs - self.sums.unverified,
            blob_entries: self.blobs.len() - self.unverified,
            unverified_bytes: self.sums.unverified,
            unverified_entries: self.unverified,
            sealed_entries: self.sealed,
            partial_bytes: self.sums.reserved,
            partial_entries: self.reservations.len(),
            quarantined_bytes: self.sums.quarantined,
            quarantined_entries: self.quarantined.len(),
        }
    }

    /// All blobs, in no order.
    pub(super) fn list(&self) -> Vec<BlobInfo> {
        let listed = |(digest, blob): (&Digest, &Blob<T>)| BlobInfo {
            digest: *digest,
            size: blob.size,
            used: blob.used,
            verified: blob.proof.map(|proof| proof.at),
            pinned: self.pins.contains_key(digest),
            held: blob.is_held(),
        };
        self.blobs.iter().map(listed).collect()
    }

    // Arithmetic.

    fn total(&self) -> u64 {
        self.sums.blobs + self.sums.reserved + self.sums.quarantined
    }

    /// Adds a blob under a serial of its own. Returns the open file of a blob that it replaces.
    fn insert(&mut self, digest: Digest, blob: Blob<T>) -> Option<Arc<T>> {
        let replaced = self.remove(&digest);
        self.serial += 1;
        self.put(digest, Blob { serial: self.serial, ..blob });
        replaced
    }

    /// Adds a blob. The index must not have one of its digest.
    fn put(&mut self, digest: Digest, blob: Blob<T>) {
        let is_unverified = blob.proof.is_none();
        self.sums.blobs += blob.size;
        self.sums.unverified += if is_unverified { blob.size } else { 0 };
        self.unverified += usize::from(is_unverified);
        self.sealed += usize::from(blob.is_sealed());
        self.open += usize::from(blob.open.is_some());
        self.blobs.insert(digest, blob);
    }

    fn take(&mut self, digest: &Digest) -> Option<Blob<T>> {
        let blob = self.blobs.remove(digest)?;
        let is_unverified = blob.proof.is_none();
        self.sums.blobs -= blob.size;
        self.sums.unverified -= if is_unverified { blob.size } else { 0 };
        self.unverified -= usize::from(is_unverified);
        self.sealed -= usize::from(blob.is_sealed());
        self.open -= usize::from(blob.open.is_some());
        Some(blob)
    }

    fn remove_quarantined(&mut self, digest: &Digest) -> Option<Quarantined> {
        let quarantined = self.quarantined.remove(digest)?;
        self.sums.quarantined -= quarantined.size;
        Some(quarantined)
    }
}

/// The next time of a clock that never stands still and never goes back.
fn tick(clock: &mut SystemTime, now: SystemTime) -> SystemTime {
    *clock = now.max(*clock + Duration::from_nanos(1));
    *clock
}
