//! Room: what is reserved for partials, and what has to go for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::SystemTime;

use super::{Blob, Index, Jailed};
use crate::asset::Digest;

/// Room reserved for a partial.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct Room {
    pub(super) size: u64,
    /// Bytes of it that the file system has not set aside yet.
    pub(super) missing: u64,
    pub(super) since: SystemTime,
    /// Being filled now, rather than left from an earlier fill.
    pub(super) filling: bool,
}

/// What has to go. Out of the accounts already; [`Index::restore`] puts it back.
#[derive(Debug)]
pub(in crate::cache) enum Victim<T> {
    /// A file in quarantine.
    Quarantined(Digest, Jailed),
    /// A partial that nobody fills.
    Partial(Digest, Room),
    /// A blob that nobody holds.
    Blob(Digest, Blob<T>),
}

/// Why there is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cache) enum Shortage {
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
pub(in crate::cache) enum Claim {
    /// Nothing is here.
    Fresh,
    /// A partial of this size was left; it is being filled from now on.
    Resumed(u64),
    /// It is being filled by another.
    Busy,
}

impl<T> Index<T> {
    /// Claims what is left of an earlier fill, if there is something.
    pub(in crate::cache) fn claim(&mut self, digest: &Digest) -> Claim {
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
    pub(in crate::cache) fn reserve(
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
    pub(in crate::cache) fn evict(&mut self, need: u64) -> Option<Vec<Victim<T>>> {
        if need == 0 {
            return Some(Vec::new());
        }
        let quarantined = self.quarantined.iter().map(|(digest, it)| (0, it.since, *digest, it.size));
        let idle = self.rooms.iter().filter(|(_, room)| !room.filling);
        let partials = idle.map(|(digest, room)| (1, room.since, *digest, room.size));
        let loose = self.blobs.iter().filter(|(digest, blob)| !blob.is_held() && !self.pins.contains_key(digest));
        let blobs = loose.map(|(digest, blob)| (2, blob.used, *digest, blob.size));
        let mut candidates: BinaryHeap<_> = quarantined.chain(partials).chain(blobs).map(Reverse).collect();
        if candidates.iter().map(|Reverse(candidate)| candidate.3).sum::<u64>() < need {
            return None;
        }
        let mut freed = 0;
        let mut victims = Vec::new();
        while freed < need {
            let Some(Reverse((kind, _, digest, size))) = candidates.pop() else { break };
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
    pub(in crate::cache) fn take_victim(&mut self, digest: &Digest) -> Option<Victim<T>> {
        self.take(digest).map(|blob| Victim::Blob(*digest, blob))
    }

    /// Puts back what could not be removed from the disk.
    pub(in crate::cache) fn restore(&mut self, victim: Victim<T>) {
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
    pub(in crate::cache) fn stuck(&self, free: u64) -> Option<Shortage> {
        let short = self.over_disk(1, free) > self.evictable();
        short.then_some(Shortage::Disk { free, floor: self.floor })
    }

    /// Bytes that may go.
    pub(in crate::cache) fn evictable(&self) -> u64 {
        self.total() - self.kept()
    }

    /// Notes how many bytes of a room the file system has not set aside yet.
    pub(in crate::cache) fn set_missing(&mut self, digest: &Digest, missing: u64) {
        if let Some(room) = self.rooms.get_mut(digest) {
            room.missing = missing;
        }
    }

    /// Leaves a partial to whoever comes next. Until then it may go.
    pub(in crate::cache) fn idle(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(room) = self.rooms.get_mut(digest) {
            room.filling = false;
            room.since = now;
        }
    }

    /// Gives a room back.
    pub(in crate::cache) fn release(&mut self, digest: &Digest) {
        self.take_room(digest);
    }

    /// Whether a partial is being filled.
    pub(in crate::cache) fn is_filling(&self, digest: &Digest) -> bool {
        self.rooms.get(digest).is_some_and(|room| room.filling)
    }

    /// How many bytes of blobs of these digests there is room for, those that are here included, with `free` bytes free on
    /// the disk: all but what others keep.
    pub(in crate::cache) fn room_for(&self, digests: &HashSet<Digest>, free: u64) -> u64 {
        let others = |digest: &Digest| !digests.contains(digest);
        let filling = self.rooms.iter().filter(|(digest, room)| room.filling && others(digest));
        let blobs = self.blobs.iter().filter(|(digest, _)| others(digest));
        let blobs = blobs.filter(|(digest, blob)| blob.is_held() || self.pins.contains_key(digest));
        let kept: u64 = filling.map(|(_, room)| room.size).chain(blobs.map(|(_, blob)| blob.size)).sum();
        let promised: u64 = self.rooms.values().map(|room| room.missing).sum();
        // All that could go counts as free, and so do the blobs themselves, wherever they are now.
        let on_disk = free.saturating_add(self.total()).saturating_sub(promised).saturating_sub(self.floor);
        self.limit.min(on_disk).saturating_sub(kept)
    }

    /// Bytes of the disk that are left free.
    pub(in crate::cache) fn floor(&self) -> u64 {
        self.floor
    }

    /// Bytes that may not go.
    fn kept(&self) -> u64 {
        let filling = self.rooms.values().filter(|room| room.filling).map(|room| room.size);
        let kept = self.blobs.iter().filter(|(digest, blob)| blob.is_held() || self.pins.contains_key(digest));
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

    fn take_room(&mut self, digest: &Digest) -> Option<Room> {
        let room = self.rooms.remove(digest)?;
        self.sums.rooms -= room.size;
        Some(room)
    }
}
