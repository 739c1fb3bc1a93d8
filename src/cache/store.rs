//! The cache's parts in one place: the directory, the accounts of it, its health. Here the two are changed together.

use std::fs::{File, FileTimes};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use metrics::{counter, gauge};
use tracing::{debug, info, warn};

use super::dir::Dir;
use super::entry::OpenBlob;
use super::health::Health;
use super::index::{Index, Victim, Whereabouts};
use super::scan::Scan;
use super::{CacheError, CacheSettings, Entry, EvictError};
use crate::asset::Digest;
use crate::fault_points::FaultPoints;

/// How many blobs are kept open after their use, where the process may open four times as many files.
const MOST_OPEN: u64 = 1024;
/// How many blobs that rotted are kept for whoever wants to know why.
const MOST_QUARANTINED: usize = 16;

/// One cache. Locks are taken in this order: a partial's phase, the names, the accounts.
pub(super) struct Store {
    pub(super) dir: Dir,
    pub(super) health: Health,
    index: Mutex<Index<OpenBlob>>,
    /// Held while names on the disk and the accounts change together, so that no eviction removes what was just admitted.
    names: Mutex<()>,
    most_open: usize,
}

impl Store {
    /// Opens the directory, as far as it can be. Blocks.
    ///
    /// Fails with [`CacheError::Locked`] alone; any other trouble is kept in mind.
    pub(super) fn open(settings: CacheSettings, faults: FaultPoints) -> Result<Self, CacheError> {
        let index = Mutex::new(Index::new(settings.max_size, settings.min_free));
        let dir = Dir::new(settings.dir, faults);
        let store = Self { dir, health: Health::default(), index, names: Mutex::default(), most_open: most_open() };
        match store.look() {
            // Whoever asked has no cache then: there is nothing that would go on without it.
            Err(error @ CacheError::Locked { .. }) => return Err(error),
            // What else is wrong is kept in mind, and there is a cache all the same.
            looked => drop(store.keep_in_mind(looked)),
        }
        if !store.health.is_locked() {
            // Nothing can be written, not even the lock; what can be read is served.
            let _names = store.names();
            store.rescan();
        }
        let stats = store.index().stats();
        info!(
            dir = %store.dir.root().display(),
            blobs = stats.proven_entries,
            bytes = stats.proven_bytes,
            partials = stats.partial_entries,
            "cache opened"
        );
        Ok(store)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index<OpenBlob>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauges to what there is now.
    pub(super) fn report(&self) {
        let stats = self.index().stats();
        stats.report();
    }

    /// Looks whether blobs can be added now, mends what can be mended (a directory that vanished is made again), and
    /// keeps the answer. Blocks.
    pub(super) fn probe(&self) -> Result<(), CacheError> {
        self.keep_in_mind(self.look())
    }

    fn keep_in_mind(&self, looked: Result<(), CacheError>) -> Result<(), CacheError> {
        match &looked {
            Ok(()) => self.health.heal(self.dir.root()),
            Err(error) => self.health.worsen(self.dir.root(), error),
        }
        self.health.looked();
        gauge!("bootdepot_cache_writable").set(if looked.is_ok() { 1.0 } else { 0.0 });
        looked
    }

    fn look(&self) -> Result<(), CacheError> {
        let _names = self.names();
        let ensured = self.dir.ensure();
        let relocked = self.health.relock(&self.dir);
        if let Ok(true) = relocked {
            self.rescan();
        }
        ensured?;
        relocked?;
        match self.dir.probe() {
            // The next partial evicts what it must.
            Err(error) if error.is_full() && self.index().evictable() > 0 => {}
            other => other?,
        }
        let free = self.dir.free();
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers; 2^53 bytes are 8 PiB")]
        gauge!("bootdepot_cache_free_bytes").set(free as f64);
        match self.index().stuck(free) {
            Some(shortage) => Err(CacheError::NoSpace { wanted: 1, reason: shortage.to_string() }),
            None => Ok(()),
        }
    }

    /// Makes the accounts those of what is on the disk. The caller holds the names.
    fn rescan(&self) {
        let scan = Scan::of(&self.dir);
        if self.health.is_locked() {
            for (digest, path) in &scan.leftovers {
                if !self.index().is_filling(digest) {
                    debug!(path = %path.display(), "removing what a crash left behind");
                    if let Err(error) = self.dir.remove(path) {
                        debug!(%error, "it stays");
                    }
                }
            }
        }
        if let Some(one) = scan.strangers.first() {
            let count = scan.strangers.len();
            warn!(count, such_as = %one.display(), "there are files in the cache that are none of its own; they are left alone");
        }
        let closed = self.index().reconcile(&scan, SystemTime::now());
        drop(closed);
        self.report();
    }

    /// Keeps an error in mind that keeps blobs from being added, and hands it on.
    pub(super) fn trouble(&self, error: CacheError) -> CacheError {
        if matches!(error, CacheError::Io { .. } | CacheError::Locked { .. }) {
            self.health.worsen(self.dir.root(), &error);
        }
        error
    }

    /// Opens the blob, if it is here; counts as a use.
    pub(super) fn get(&self, digest: &Digest) -> Option<Entry> {
        let found = self.index().find(digest, SystemTime::now());
        let (size, serial) = match found {
            Whereabouts::Open(blob) => return Some(Entry::new(blob)),
            Whereabouts::Closed { size, serial } => (size, serial),
            Whereabouts::Absent => return None,
        };
        let path = self.dir.blob(digest);
        match Dir::open(&path).and_then(|file| Ok((Dir::length(&file, &path)?, file))) {
            Ok((length, file)) if length == size => {
                let blob = OpenBlob::new(*digest, size, file);
                let (blob, idle) = {
                    let mut index = self.index();
                    (index.keep_open(digest, serial, blob.into()), index.close_idle(self.most_open))
                };
                drop(idle);
                Some(Entry::new(blob))
            }
            Ok((length, _)) => {
                warn!(%digest, length, expected = size, "a blob has another length than it had; it goes to quarantine");
                self.quarantine(digest, Some(serial));
                None
            }
            Err(error) if error.is_absent() => {
                self.forget(digest, serial);
                None
            }
            Err(error) => {
                self.trouble(error);
                None
            }
        }
    }

    /// Reserves room for a partial, with `free` bytes free on the disk. Returns what has to go for it: see
    /// [`Store::remove`]. The caller holds the names.
    pub(super) fn reserve(&self, digest: &Digest, size: u64, free: u64) -> Result<Vec<Victim<OpenBlob>>, CacheError> {
        let mut index = self.index();
        index.reserve(digest, size, free, SystemTime::now()).map_err(|shortage| {
            let error = CacheError::NoSpace { wanted: size, reason: shortage.to_string() };
            if index.stuck(free).is_some() {
                self.health.worsen(self.dir.root(), &error);
            }
            error
        })
    }

    /// Removes from the disk what was taken out of the accounts; what will not go is put back. The caller holds the names.
    pub(super) fn remove(&self, victims: Vec<Victim<OpenBlob>>) -> Result<(), CacheError> {
        let mut victims = victims.into_iter();
        while let Some(victim) = victims.next() {
            let removed = match &victim {
                Victim::Quarantined(digest, _) => self.dir.remove(&self.dir.quarantined(digest)),
                Victim::Partial(digest, _) => self.dir.remove_partial(digest),
                Victim::Blob(digest, _) => self.dir.remove(&self.dir.blob(digest)),
            };
            if let Err(error) = removed {
                let mut index = self.index();
                [victim].into_iter().chain(victims).for_each(|victim| index.restore(victim));
                drop(index);
                return Err(self.trouble(error));
            }
            if let Victim::Blob(digest, _) = victim {
                info!(%digest, "evicted");
                counter!("bootdepot_evictions_total").increment(1);
            }
        }
        Ok(())
    }

    /// Evicts one blob because someone asked for it. Returns its size in bytes.
    pub(super) fn evict(&self, digest: &Digest) -> Result<u64, EvictError> {
        let _names = self.names();
        let (victim, size) = {
            let mut index = self.index();
            let (size, _) = index.peek(digest).ok_or(EvictError::Absent(*digest))?;
            if index.is_pinned(digest) {
                return Err(EvictError::Pinned(*digest));
            }
            if index.is_held(digest) {
                return Err(EvictError::Held(*digest));
            }
            (index.take_victim(digest), size)
        };
        self.remove(victim.into_iter().collect())?;
        self.report();
        Ok(size)
    }

    /// Takes a blob out of the accounts, if it is (still) the one of this serial, and returns its size. Readers keep what
    /// they have open. The caller holds the names.
    fn strike_out(&self, digest: &Digest, serial: Option<u64>) -> Option<u64> {
        let mut index = self.index();
        let (size, found) = index.peek(digest)?;
        if serial.is_some_and(|serial| serial != found) {
            return None;
        }
        let file = index.remove(digest);
        drop(index);
        drop(file);
        Some(size)
    }

    /// Takes a blob whose file is not there (any more) out of the accounts, if it is (still) the one of this serial.
    pub(super) fn forget(&self, digest: &Digest, serial: u64) {
        let _names = self.names();
        if self.strike_out(digest, Some(serial)).is_some() {
            vanished(digest);
            self.report();
        }
    }

    /// Moves a blob out of the way, if it is (still) the one of this serial: whoever asks for it from now on does not find
    /// it here. Returns whether it was here. Readers keep what they have open.
    pub(super) fn quarantine(&self, digest: &Digest, serial: Option<u64>) -> bool {
        let _names = self.names();
        let Some(size) = self.strike_out(digest, serial) else { return false };
        let mut here = true;
        if self.health.is_locked() {
            let ready = self.dir.make_dir(&self.dir.quarantine());
            match ready.and_then(|()| self.dir.rename(&self.dir.blob(digest), &self.dir.quarantined(digest))) {
                Ok(()) => {
                    let crowded = {
                        let mut index = self.index();
                        index.jail(digest, size, SystemTime::now());
                        index.crowded(MOST_QUARANTINED)
                    };
                    // What cannot be removed was put back, and is in the log.
                    let _ = self.remove(crowded);
                }
                // Its file went, or the whole directory did, which is found out and mended elsewhere.
                Err(error) if error.is_absent() => {
                    vanished(digest);
                    here = false;
                }
                // It is forgotten all the same; the next fill of it takes its name.
                Err(error) => drop(self.trouble(error)),
            }
        }
        self.report();
        here
    }

    /// Writes the last use of each blob to its file where the disk's knowledge is older than `age`. Blocks.
    pub(super) fn save_uses(&self, age: Duration) {
        if !self.health.is_locked() {
            return;
        }
        let unsaved = self.index().take_unsaved(age);
        for (digest, used) in unsaved {
            let path = self.dir.blob(&digest);
            let saved = File::open(&path).and_then(|file| file.set_times(FileTimes::new().set_accessed(used)));
            if let Err(error) = saved {
                debug!(path = %path.display(), %error, "the last use of a blob cannot be kept");
            }
        }
    }
}

fn vanished(digest: &Digest) {
    warn!(%digest, "a blob's file is gone from the cache; it is fetched again when it is asked for");
}

/// A quarter of the files that this process may open is for idle blobs, the rest for those that clients wait for.
fn most_open() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(MOST_OPEN.min(allowed / 4)).unwrap_or(usize::MAX)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.save_uses(Duration::ZERO);
    }
}
