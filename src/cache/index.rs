//! The accounts of the cache, in memory alone: what is here, what is held, what is reserved, and what has to go when
//! room is wanted. It does no IO and reads no clock; open files are a `T` to it.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::scan::{Found, Scan};
use super::stats::{CacheStats, Listed};
use crate::asset::Digest;

/// The accounts. Every method takes time in proportion to what it touches, only [`Index::reserve`] and its like look at
/// all blobs: a scan in memory beside an eviction's unlink is nothing, and there is no second order to keep right.
#[derive(Debug)]
pub(super) struct Index<T> {
    limit: u64,
    floor: u64,
    blobs: HashMap<Digest, Blob<T>>,
    rooms: HashMap<Digest, Room>,
    quarantined: HashMap<Digest, Jailed>,
    pins: HashSet<Digest>,
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
}

/// Room reserved for a partial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    size: u64,
    /// Bytes of it that the file system has not set aside yet.
    missing: u64,
    since: SystemTime,
    /// Being filled now, rather than left from an earlier fill.
    filling: bool,
}

/// A blob that rotted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jailed {
    size: u64,
    since: SystemTime,
}

/// What has to go. Out of the accounts already; [`Index::restore`] puts it back.
#[derive(Debug)]
pub(super) enum Victim<T> {
    /// A file in quarantine.
    Quarantined(Digest, Jailed),
    /// A partial that nobody fills.
    Partial(Digest, Room),
    /// A blob that nobody holds.
    Blob(Digest, Blob<T>),
}

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Shortage {
    /// More is wanted than the whole cache may hold.
    #[error("max_size is {limit}")]
    Limit { limit: u64 },
    /// What fills the cache may not go.
    #[error("max_size is {limit}, and {kept} bytes are pinned, being read or being filled")]
    Kept { limit: u64, kept: u64 },
    /// The disk is full of other things.
    #[error("{free} bytes are free on the disk, min_free keeps {floor} of them, and nothing more may be evicted")]
    Disk { free: u64, floor: u64 },
}

/// What a partial of some digest begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing is here.
    Fresh,
    /// A partial of this size was left; it is being filled from now on.
    Resumed(u64),
    /// It is being filled by another.
    Busy,
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
            pins: HashSet::new(),
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
        match self.blobs.get_mut(digest) {
            Some(blob) if blob.serial == serial => match &blob.open {
                Some(open) => Arc::clone(open),
                None => {
                    self.open += 1;
                    Arc::clone(blob.open.insert(file))
                }
            },
            _ => file,
        }
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
        }
    }

    // Pins.

    pub(super) fn pin(&mut self, digest: &Digest) {
        self.pins.insert(*digest);
    }

    pub(super) fn unpin(&mut self, digest: &Digest) {
        self.pins.remove(digest);
    }

    pub(super) fn is_pinned(&self, digest: &Digest) -> bool {
        self.pins.contains(digest)
    }

    /// Whether an [`Arc`] of the blob's file is out.
    pub(super) fn is_held(&self, digest: &Digest) -> bool {
        self.blobs.get(digest).is_some_and(Blob::is_held)
    }

    // Rooms of partials.

    /// Claims what is left of an earlier fill, if there is something.
    pub(super) fn claim(&mut self, digest: &Digest) -> Claim {
        match self.rooms.get_mut(digest) {
            None => Claim::Fresh,
            Some(room) if room.filling => Claim::Busy,
            Some(room) => {
                room.filling = true;
                Claim::Resumed(room.size)
            }
        }
    }

    /// Reserves room for a partial, with `free` bytes free on the disk. Returns what has to go for it; changes nothing
    /// where that would not be enough.
    pub(super) fn reserve(
        &mut self,
        digest: &Digest,
        size: u64,
        free: u64,
        now: SystemTime,
    ) -> Result<Vec<Victim<T>>, Shortage> {
        if size > self.limit {
            return Err(Shortage::Limit { limit: self.limit });
        }
        let need = self.over_limit(size).max(self.over_disk(size, free));
        let victims = self.evict(need).ok_or_else(|| self.shortage(size, free))?;
        self.release(digest);
        self.sums.rooms += size;
        self.rooms.insert(*digest, Room { size, missing: size, since: now, filling: true });
        Ok(victims)
    }

    /// Takes out what has to go for `need` more bytes on the disk; nothing, and `None`, where that would not be enough.
    ///
    /// First goes what is of no use: quarantine, then partials that nobody fills, then blobs, each oldest first.
    pub(super) fn evict(&mut self, need: u64) -> Option<Vec<Victim<T>>> {
        if need == 0 {
            return Some(Vec::new());
        }
        let quarantined = self.quarantined.iter().map(|(digest, it)| (0, it.since, *digest, it.size));
        let idle = self.rooms.iter().filter(|(_, room)| !room.filling);
        let partials = idle.map(|(digest, room)| (1, room.since, *digest, room.size));
        let loose = self.blobs.iter().filter(|(digest, blob)| !blob.is_held() && !self.pins.contains(digest));
        let blobs = loose.map(|(digest, blob)| (2, blob.used, *digest, blob.size));
        let mut candidates: Vec<_> = quarantined.chain(partials).chain(blobs).collect();
        if candidates.iter().map(|candidate| candidate.3).sum::<u64>() < need {
            return None;
        }
        candidates.sort_unstable();
        let mut freed = 0;
        let mut victims = Vec::new();
        for (kind, _, digest, size) in candidates {
            if freed >= need {
                break;
            }
            freed += size;
            victims.extend(match kind {
                0 => self.unjail(&digest).map(|it| Victim::Quarantined(digest, it)),
                1 => self.take_room(&digest).map(|it| Victim::Partial(digest, it)),
                _ => self.take(&digest).map(|it| Victim::Blob(digest, it)),
            });
        }
        Some(victims)
    }

    /// Takes out one blob, whoever holds it.
    pub(super) fn take_victim(&mut self, digest: &Digest) -> Option<Victim<T>> {
        self.take(digest).map(|blob| Victim::Blob(*digest, blob))
    }

    /// Puts back what could not be removed from the disk.
    pub(super) fn restore(&mut self, victim: Victim<T>) {
        match victim {
            Victim::Quarantined(digest, it) => self.jail(&digest, it.size, it.since),
            Victim::Partial(digest, room) => {
                self.sums.rooms += room.size;
                self.rooms.insert(digest, room);
            }
            Victim::Blob(digest, it) => {
                self.insert(digest, it.size, it.used, it.verified, it.open);
            }
        }
    }

    /// Why not a byte more could be added with `free` bytes free on the disk, if that is so because of the disk: a cache
    /// that its pins fill to the brim is as it should be.
    pub(super) fn stuck(&self, free: u64) -> Option<Shortage> {
        let short = self.over_disk(1, free) > self.evictable();
        short.then_some(Shortage::Disk { free, floor: self.floor })
    }

    /// Bytes that may go.
    pub(super) fn evictable(&self) -> u64 {
        self.total() - self.kept()
    }

    /// Notes how many bytes of a room the file system has not set aside yet.
    pub(super) fn set_missing(&mut self, digest: &Digest, missing: u64) {
        if let Some(room) = self.rooms.get_mut(digest) {
            room.missing = missing;
        }
    }

    /// Leaves a partial to whoever comes next. Until then it may go.
    pub(super) fn idle(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(room) = self.rooms.get_mut(digest) {
            room.filling = false;
            room.since = now;
        }
    }

    /// Gives a room back.
    pub(super) fn release(&mut self, digest: &Digest) {
        self.take_room(digest);
    }

    /// Whether a partial is being filled.
    pub(super) fn is_filling(&self, digest: &Digest) -> bool {
        self.rooms.get(digest).is_some_and(|room| room.filling)
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
            pinned: self.pins.contains(digest),
            held: blob.is_held(),
        };
        self.blobs.iter().map(listed).collect()
    }

    // Arithmetic.

    fn total(&self) -> u64 {
        self.sums.blobs + self.sums.rooms + self.sums.quarantined
    }

    /// Bytes that may not go.
    fn kept(&self) -> u64 {
        let filling = self.rooms.values().filter(|room| room.filling).map(|room| room.size);
        let kept = self.blobs.iter().filter(|(digest, blob)| blob.is_held() || self.pins.contains(digest));
        kept.map(|(_, blob)| blob.size).chain(filling).sum()
    }

    fn over_limit(&self, size: u64) -> u64 {
        self.total().saturating_add(size).saturating_sub(self.limit)
    }

    /// What is promised to rooms and not yet taken from the disk counts as taken.
    fn over_disk(&self, size: u64, free: u64) -> u64 {
        let promised: u64 = self.rooms.values().map(|room| room.missing).sum();
        self.floor.saturating_add(promised).saturating_add(size).saturating_sub(free)
    }

    fn shortage(&self, size: u64, free: u64) -> Shortage {
        let kept = self.kept();
        if kept.saturating_add(size) > self.limit {
            Shortage::Kept { limit: self.limit, kept }
        } else {
            Shortage::Disk { free, floor: self.floor }
        }
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
        self.blobs.insert(digest, Blob { size, used, saved: used, verified, serial: self.serial, open });
        replaced
    }

    fn take(&mut self, digest: &Digest) -> Option<Blob<T>> {
        let blob = self.blobs.remove(digest)?;
        self.sums.blobs -= blob.size;
        self.open -= usize::from(blob.open.is_some());
        Some(blob)
    }

    fn take_room(&mut self, digest: &Digest) -> Option<Room> {
        let room = self.rooms.remove(digest)?;
        self.sums.rooms -= room.size;
        Some(room)
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
