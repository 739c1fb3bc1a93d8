//! The accounts of the cache, in memory alone: what is here, what is held, what is reserved, and what has to go when
//! room is wanted. It does no IO and reads no clock; open files are a `T` to it.

mod room;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use room::Room;
pub(super) use room::{Claim, Victim};

use super::scan::{Found, Scan};
use super::stats::{CacheStats, Listed};
use crate::asset::Digest;

/// The accounts. There is no list in order of use: who needs one (an eviction, which unlinks files) looks at all blobs,
/// and every use in between is one look-up.
#[derive(Debug)]
pub(super) struct Index<T> {
    limit: u64,
    floor: u64,
    blobs: HashMap<Digest, Blob<T>>,
    rooms: HashMap<Digest, Room>,
    quarantined: HashMap<Digest, Jailed>,
    /// How many hold each blob.
    pins: HashMap<Digest, usize>,
    sums: Sums,
    /// How many blobs are open.
    open: usize,
    /// The last use counted; each use comes after it, whatever the system's clock does.
    clock: SystemTime,
    serial: u64,
}

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sums {
    blobs: u64,
    rooms: u64,
    quarantined: u64,
}

/// A proven blob.
#[derive(Debug)]
pub(super) struct Blob<T> {
    size: u64,
    used: SystemTime,
    /// The last use that the disk knows of.
    saved: SystemTime,
    verified: SystemTime,
    /// Tells this blob from one of the same digest that came before or after it.
    serial: u64,
    /// The open file; held by others too when its count is above one.
    open: Option<Arc<T>>,
    /// Somebody could not read it since its contents were last looked at.
    doubted: bool,
}

/// A blob that rotted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jailed {
    size: u64,
    since: SystemTime,
}

/// Where a blob is.
#[derive(Debug)]
pub(super) enum Whereabouts<T> {
    /// Open.
    Open(Arc<T>),
    /// On the disk.
    Closed {
        /// How long it is.
        size: u64,
        /// What [`Index::keep_open`] has to be told.
        serial: u64,
    },
    /// Not here.
    Absent,
}

impl<T> Index<T> {
    /// Accounts of a cache that holds at most `limit` bytes and leaves `floor` bytes of the disk free.
    pub(super) fn new(limit: u64, floor: u64) -> Self {
        Self {
            limit,
            floor,
            blobs: HashMap::new(),
            rooms: HashMap::new(),
            quarantined: HashMap::new(),
            pins: HashMap::new(),
            sums: Sums::default(),
            open: 0,
            clock: SystemTime::UNIX_EPOCH,
            serial: 0,
        }
    }

    /// Makes the accounts those of what was found on the disk. Rooms that are being filled stay as they are. Returns
    /// open files to close.
    pub(super) fn reconcile(&mut self, scan: &Scan, now: SystemTime) -> Vec<Arc<T>> {
        self.clock = self.clock.max(now);
        let here: HashSet<_> = scan.blobs.iter().map(|found| found.digest).collect();
        let gone: Vec<_> = self.blobs.keys().filter(|digest| !here.contains(digest)).copied().collect();
        let closed = gone.iter().filter_map(|digest| self.remove(digest)).collect();
        for found in &scan.blobs {
            if self.size_of(&found.digest) != Some(found.size) {
                let (used, verified) = (found.accessed.min(now), found.modified.min(now));
                self.insert(found.digest, found.size, used, verified, None);
            }
        }
        self.rooms.retain(|_, room| room.filling);
        for &Found { digest, size, modified, .. } in &scan.partials {
            self.rooms.entry(digest).or_insert(Room { size, missing: 0, since: modified, filling: false });
        }
        self.sums.rooms = self.rooms.values().map(|room| room.size).sum();
        let jailed = |found: &Found| (found.digest, Jailed { size: found.size, since: found.modified });
        self.quarantined = scan.quarantined.iter().map(jailed).collect();
        self.sums.quarantined = self.quarantined.values().map(|jailed| jailed.size).sum();
        closed
    }

    // Blobs.

    pub(super) fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).map(|blob| blob.size)
    }

    /// The open file of a blob; counts as a use.
    pub(super) fn opened(&mut self, digest: &Digest, now: SystemTime) -> Option<Arc<T>> {
        let blob = self.blobs.get_mut(digest)?;
        let open = blob.open.clone()?;
        blob.used = tick(&mut self.clock, now);
        Some(open)
    }

    /// Where a blob is; counts as a use.
    pub(super) fn find(&mut self, digest: &Digest, now: SystemTime) -> Whereabouts<T> {
        let Some(blob) = self.blobs.get_mut(digest) else { return Whereabouts::Absent };
        blob.used = tick(&mut self.clock, now);
        match &blob.open {
            Some(open) => Whereabouts::Open(Arc::clone(open)),
            None => Whereabouts::Closed { size: blob.size, serial: blob.serial },
        }
    }

    /// Keeps a file open that was opened for the blob of this `serial`, and returns what to read: another may have been
    /// quicker. Where the blob went meanwhile the file is not kept; it is as good to read as it was.
    pub(super) fn keep_open(&mut self, digest: &Digest, serial: u64, file: Arc<T>) -> Arc<T> {
        let Some(blob) = self.blobs.get_mut(digest).filter(|blob| blob.serial == serial) else { return file };
        self.open += usize::from(blob.open.is_none());
        Arc::clone(blob.open.get_or_insert(file))
    }

    /// When more than `most` blobs are open, files to close: the longest unused that nobody holds, until a quarter of
    /// `most` is free again.
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

    /// Turns the room of a partial into a blob, whose file is open. Returns the file of one that it replaces.
    pub(super) fn admit(&mut self, digest: &Digest, size: u64, file: Arc<T>, now: SystemTime) -> Option<Arc<T>> {
        self.release(digest);
        let now = tick(&mut self.clock, now);
        self.insert(*digest, size, now, now, Some(file))
    }

    /// Forgets a blob, and returns its file if it was open.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<Arc<T>> {
        self.take(digest).and_then(|blob| blob.open)
    }

    /// The size and the serial of a blob; counts as no use.
    pub(super) fn peek(&self, digest: &Digest) -> Option<(u64, u64)> {
        self.blobs.get(digest).map(|blob| (blob.size, blob.serial))
    }

    /// The uses that the disk does not know of though they are more than `age` newer than what it knows, and counts
    /// them as known.
    pub(super) fn take_unsaved(&mut self, age: Duration) -> Vec<(Digest, SystemTime)> {
        let unsaved = self.blobs.iter_mut().filter(|(_, blob)| blob.saved + age < blob.used);
        unsaved
            .map(|(digest, blob)| {
                blob.saved = blob.used;
                (*digest, blob.used)
            })
            .collect()
    }

    /// The blob whose contents were looked at the longest ago, and when that was.
    pub(super) fn longest_unverified(&self) -> Option<(Digest, SystemTime)> {
        self.blobs.iter().map(|(digest, blob)| (*digest, blob.verified)).min_by_key(|&(digest, at)| (at, digest))
    }

    /// Notes that a blob's contents were looked at.
    pub(super) fn verified(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(blob) = self.blobs.get_mut(digest) {
            blob.verified = now;
            blob.doubted = false;
        }
    }

    /// Keeps `file` open no longer, as it could not be read: who asks next opens what is there by then. Returns whether
    /// the blob's contents should be looked at: not where it went meanwhile, or they are being looked at.
    pub(super) fn doubt(&mut self, digest: &Digest, file: &Arc<T>) -> bool {
        let Some(blob) = self.blobs.get_mut(digest) else { return false };
        if !blob.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, file)) {
            return false;
        }
        // Its last holder closes it, and that is not here.
        blob.open = None;
        self.open -= 1;
        !std::mem::replace(&mut blob.doubted, true)
    }

    // Pins.

    pub(super) fn pin(&mut self, digest: &Digest) {
        *self.pins.entry(*digest).or_default() += 1;
    }

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

    pub(super) fn is_pinned(&self, digest: &Digest) -> bool {
        self.pins.contains_key(digest)
    }

    /// Whether an [`Arc`] of the blob's file is out.
    pub(super) fn is_held(&self, digest: &Digest) -> bool {
        self.blobs.get(digest).is_some_and(Blob::is_held)
    }

    // Quarantine.

    /// Counts a file that went to quarantine.
    pub(super) fn jail(&mut self, digest: &Digest, size: u64, since: SystemTime) {
        self.unjail(digest);
        self.sums.quarantined += size;
        self.quarantined.insert(*digest, Jailed { size, since });
    }

    /// Takes the oldest files out of a quarantine of more than `most`.
    pub(super) fn crowded(&mut self, most: usize) -> Vec<Victim<T>> {
        let mut oldest: Vec<_> = self.quarantined.iter().map(|(digest, it)| (it.since, *digest)).collect();
        oldest.sort_unstable();
        let over = oldest.len().saturating_sub(most);
        let out = oldest.into_iter().take(over);
        out.filter_map(|(_, digest)| Some(Victim::Quarantined(digest, self.unjail(&digest)?))).collect()
    }

    // What there is.

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            limit: self.limit,
            proven_bytes: self.sums.blobs,
            proven_entries: self.blobs.len(),
            partial_bytes: self.sums.rooms,
            partial_entries: self.rooms.len(),
            quarantined_bytes: self.sums.quarantined,
            quarantined_entries: self.quarantined.len(),
        }
    }

    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = |(digest, blob): (&Digest, &Blob<T>)| Listed {
            digest: *digest,
            size: blob.size,
            used: blob.used,
            verified: blob.verified,
            pinned: self.pins.contains_key(digest),
            held: blob.is_held(),
        };
        self.blobs.iter().map(listed).collect()
    }

    // Arithmetic.

    fn total(&self) -> u64 {
        self.sums.blobs + self.sums.rooms + self.sums.quarantined
    }

    fn insert(
        &mut self,
        digest: Digest,
        size: u64,
        used: SystemTime,
        verified: SystemTime,
        open: Option<Arc<T>>,
    ) -> Option<Arc<T>> {
        let replaced = self.remove(&digest);
        self.serial += 1;
        self.sums.blobs += size;
        self.open += usize::from(open.is_some());
        let blob = Blob { size, used, saved: used, verified, serial: self.serial, open, doubted: false };
        self.blobs.insert(digest, blob);
        replaced
    }

    fn take(&mut self, digest: &Digest) -> Option<Blob<T>> {
        let blob = self.blobs.remove(digest)?;
        self.sums.blobs -= blob.size;
        self.open -= usize::from(blob.open.is_some());
        Some(blob)
    }

    fn unjail(&mut self, digest: &Digest) -> Option<Jailed> {
        let jailed = self.quarantined.remove(digest)?;
        self.sums.quarantined -= jailed.size;
        Some(jailed)
    }
}

impl<T> Blob<T> {
    fn is_held(&self) -> bool {
        // The index keeps one. Others are made from it under the index's own lock, or from another that is out already.
        self.open.as_ref().is_some_and(|open| Arc::strong_count(open) > 1)
    }
}

/// The next instant of a clock that never stands still and never goes back.
fn tick(clock: &mut SystemTime, now: SystemTime) -> SystemTime {
    *clock = now.max(*clock + Duration::from_nanos(1));
    *clock
}
