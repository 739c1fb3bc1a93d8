//! Disk space: reserving it for partials, and evicting for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::SystemTime;

use super::Index;
use super::eviction::{Shortage, Victim};
use super::reservation::{ClaimOutcome, Reservation};
use crate::asset::Digest;

impl<T> Index<T> {
    /// Claims the partial that an earlier fill left, if there is one.
    pub(in crate::cache) fn claim(&mut self, digest: &Digest) -> ClaimOutcome {
        match self.reservations.get_mut(digest) {
            None => ClaimOutcome::Fresh,
            Some(reservation) if reservation.filling => ClaimOutcome::Busy,
            Some(reservation) => {
                reservation.filling = true;
                ClaimOutcome::Resumed(reservation.size)
            }
        }
    }

    /// Reserves `size` bytes for a partial, with `free` bytes free on the disk. Returns what has to be removed for it.
    /// Changes nothing if it fails.
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
        self.sums.reserved += size;
        self.reservations.insert(*digest, Reservation { size, unallocated: size, since: now, filling: true });
        Ok(victims)
    }

    /// Takes out what has to be removed to free `need` bytes. `None`, and nothing is taken out, if all of it together is
    /// less.
    ///
    /// Quarantine goes first, then partials without a fill, then blobs; the oldest of each kind first.
    pub(in crate::cache) fn evict(&mut self, need: u64) -> Option<Vec<Victim<T>>> {
        if need == 0 {
            return Some(Vec::new());
        }
        let quarantined = self.quarantined.iter().map(|(digest, it)| (0, it.since, *digest, it.size));
        let idle = self.reservations.iter().filter(|(_, reservation)| !reservation.filling);
        let partials = idle.map(|(digest, reservation)| (1, reservation.since, *digest, reservation.size));
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
                0 => self.remove_quarantined(&digest).map(|it| Victim::Quarantined(digest, it)),
                1 => self.take_reservation(&digest).map(|it| Victim::Partial(digest, it)),
                _ => self.take(&digest).map(|it| Victim::Blob(digest, it)),
            });
        }
        Some(victims)
    }

    /// Takes out one blob, even if it is pinned or being read.
    pub(in crate::cache) fn take_victim(&mut self, digest: &Digest) -> Option<Victim<T>> {
        self.take(digest).map(|blob| Victim::Blob(*digest, blob))
    }

    /// Puts back what could not be removed from the disk.
    pub(in crate::cache) fn restore(&mut self, victim: Victim<T>) {
        match victim {
            Victim::Quarantined(digest, it) => self.add_quarantined(&digest, it.size, it.since),
            Victim::Partial(digest, reservation) => {
                self.sums.reserved += reservation.size;
                self.reservations.insert(digest, reservation);
            }
            Victim::Blob(digest, it) => drop(self.insert(digest, it)),
        }
    }

    /// With `free` bytes free on the disk, returns why not one more byte can be added, if other files are the reason. A
    /// cache that is full of pinned blobs is no problem of the disk.
    pub(in crate::cache) fn disk_shortage(&self, free: u64) -> Option<Shortage> {
        let short = self.over_disk(1, free) > self.evictable();
        short.then_some(Shortage::Disk { free, min_free: self.min_free })
    }

    /// With `free` bytes free on the disk, returns how many more should be: those that are kept free, and those that are
    /// reserved and not yet allocated.
    pub(in crate::cache) fn missing(&self, free: u64) -> u64 {
        self.over_disk(0, free)
    }

    /// Bytes that may be evicted.
    pub(in crate::cache) fn evictable(&self) -> u64 {
        self.total() - self.kept()
    }

    /// Notes how many bytes of a reservation the file system has not allocated yet.
    pub(in crate::cache) fn set_unallocated(&mut self, digest: &Digest, unallocated: u64) {
        if let Some(reservation) = self.reservations.get_mut(digest) {
            reservation.unallocated = unallocated;
        }
    }

    /// Leaves a partial to the next fill. Until then it may be evicted.
    pub(in crate::cache) fn set_idle(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(reservation) = self.reservations.get_mut(digest) {
            reservation.filling = false;
            reservation.since = now;
        }
    }

    /// Gives a reservation to another digest. Returns `false`, and changes nothing, if that one has a partial or a blob.
    pub(in crate::cache) fn rename_reservation(&mut self, from: &Digest, to: &Digest) -> bool {
        if self.reservations.contains_key(to) || self.blobs.contains_key(to) {
            return false;
        }
        self.reservations.remove(from).is_some_and(|reservation| self.reservations.insert(*to, reservation).is_none())
    }

    /// Releases a reservation.
    pub(in crate::cache) fn release(&mut self, digest: &Digest) {
        self.take_reservation(digest);
    }

    /// Whether a partial is being filled.
    pub(in crate::cache) fn is_filling(&self, digest: &Digest) -> bool {
        self.reservations.get(digest).is_some_and(|reservation| reservation.filling)
    }

    /// With `free` bytes free on the disk, returns how many bytes blobs of these digests can have together, those that are
    /// cached included: everything except what must be kept for others.
    pub(in crate::cache) fn capacity_for(&self, digests: &HashSet<Digest>, free: u64) -> u64 {
        let is_other = |digest: &Digest| !digests.contains(digest);
        let filling = self.reservations.iter().filter(|(digest, it)| it.filling && is_other(digest));
        let blobs = self.blobs.iter().filter(|(digest, _)| is_other(digest));
        let blobs = blobs.filter(|(digest, blob)| blob.is_held() || self.pins.contains_key(digest));
        let kept: u64 = filling.map(|(_, it)| it.size).chain(blobs.map(|(_, blob)| blob.size)).sum();
        // All that may be evicted counts as free, and so do the blobs of these digests.
        let on_disk =
            free.saturating_add(self.total()).saturating_sub(self.unallocated()).saturating_sub(self.min_free);
        self.limit.min(on_disk).saturating_sub(kept)
    }

    /// Bytes of the disk that are kept free.
    pub(in crate::cache) fn min_free(&self) -> u64 {
        self.min_free
    }

    /// Bytes that may not be evicted.
    fn kept(&self) -> u64 {
        let filling = self.reservations.values().filter(|it| it.filling).map(|it| it.size);
        let kept = self.blobs.iter().filter(|(digest, blob)| blob.is_held() || self.pins.contains_key(digest));
        kept.map(|(_, blob)| blob.size).chain(filling).sum()
    }

    fn over_limit(&self, size: u64) -> u64 {
        self.total().saturating_add(size).saturating_sub(self.limit)
    }

    /// Bytes that are reserved but not yet allocated count as used.
    fn over_disk(&self, size: u64, free: u64) -> u64 {
        self.min_free.saturating_add(self.unallocated()).saturating_add(size).saturating_sub(free)
    }

    fn unallocated(&self) -> u64 {
        self.reservations.values().map(|reservation| reservation.unallocated).sum()
    }

    fn shortage(&self, size: u64, free: u64) -> Shortage {
        let kept = self.kept();
        if kept.saturating_add(size) > self.limit {
            Shortage::Kept { limit: self.limit, kept }
        } else {
            Shortage::Disk { free, min_free: self.min_free }
        }
    }

    fn take_reservation(&mut self, digest: &Digest) -> Option<Reservation> {
        let reservation = self.reservations.remove(digest)?;
        self.sums.reserved -= reservation.size;
        Some(reservation)
    }
}
