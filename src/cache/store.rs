//! The store: the directory and its index, which are changed together here, and the health of the directory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tracing::{debug, info, warn};

use super::dir::Dir;
use super::health::Health;
use super::identity::Identity;
use super::index::{Index, Location, Reconciled, Victim};
use super::open_blob::OpenBlob;
use super::record::{Proof, Record};
use super::records::Records;
use super::scan::{Found, Scan};
use super::seal::{Sealer, Seals};
use super::{CacheError, CacheSettings, Entry};
use crate::asset::Digest;
use crate::error_chain::error_chain;
use crate::fault_points::FaultPoints;

/// Blobs that are kept open after their use, if the process may open four times as many files.
const MOST_OPEN: u64 = 1024;

/// The store of one cache. Locks are taken in this order: a partial's phase, the names, the file of
/// records, the index.
pub(super) struct Store {
    pub(super) dir: Dir,
    pub(super) health: Health,
    pub(super) records: Records,
    pub(super) sealer: Sealer,
    index: Mutex<Index<OpenBlob>>,
    /// Held while names on the disk and the index change together, so that no eviction removes a blob just admitted.
    names: Mutex<()>,
    /// Held while a probe writes its file.
    pub(super) probing: Mutex<()>,
    most_open: usize,
    opened: SystemTime,
    /// Whether files were found under other inode or device numbers than recorded.
    renumbered: AtomicBool,
    pub(super) eviction_log: OnceLock<EvictionLog>,
}

/// Logs an eviction: of the blob with this digest, of this size in bytes.
pub(super) type EvictionLog = Box<dyn Fn(&Digest, u64) + Send + Sync>;

impl Store {
    /// Opens the directory. Blocks.
    ///
    /// Fails only with [`CacheError::Locked`] and [`CacheError::Unsealable`]. Other errors are stored as the health of the cache.
    pub(super) fn open(settings: CacheSettings, seals: Seals, faults: FaultPoints) -> Result<Self, CacheError> {
        let index = Mutex::new(Index::new(settings.max_size, settings.min_free));
        let dir = Dir::new(settings.dir, faults);
        let store = Self {
            dir,
            health: Health::default(),
            records: Records::default(),
            sealer: Sealer::new(settings.seal, seals),
            index,
            names: Mutex::default(),
            probing: Mutex::default(),
            most_open: most_open(),
            opened: SystemTime::now(),
            renumbered: AtomicBool::new(false),
            eviction_log: OnceLock::new(),
        };
        match store.check() {
            Err(error @ (CacheError::Locked { .. } | CacheError::Unsealable { .. })) => return Err(error),
            checked => drop(store.record_check(checked)),
        }
        if !store.health.is_locked() {
            // Nothing can be written, not even the lock file. Blobs that can be read are served.
            let _names = store.names();
            store.rescan();
        }
        let stats = store.index().stats();
        info!(
            dir = %store.dir.root().display(),
            blobs = stats.blob_entries,
            bytes = stats.blob_bytes,
            unverified = stats.unverified_entries,
            partials = stats.partial_entries,
            "cache opened"
        );
        Ok(store)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index<OpenBlob>> {
        self.index.lock()
    }

    pub(super) fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock()
    }

    /// Sets the gauges to the current sizes.
    pub(super) fn report(&self) {
        let stats = self.index().stats();
        stats.report();
    }

    /// Brings the index in line with the disk. The caller holds the names.
    pub(super) fn rescan(&self) {
        // At once: with many blobs, each takes a while.
        let (mut scan, records) = thread::scope(|scope| {
            let records = scope.spawn(|| self.records.load(&self.dir));
            let scan = Scan::of(&self.dir);
            (scan, records.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        if self.health.is_locked() {
            self.quarantine_resized(&mut scan, &records);
            for (digest, path) in &scan.leftovers {
                if !self.index().is_filling(digest) {
                    debug!(path = %path.display(), "removing leftover of a crash");
                    if let Err(error) = self.dir.remove(path) {
                        debug!(error = %error_chain(&error), "leftover not removed");
                    }
                }
            }
        }
        if let Some(example) = scan.foreign.first() {
            let count = scan.foreign.len();
            warn!(count, example = %example.display(), "foreign files ignored");
        }
        let Reconciled { closed, renumbered } = self.index().reconcile(&scan, &records, SystemTime::now());
        drop(closed);
        if let Some(digest) = renumbered {
            self.note_renumbered(&digest);
        }
        self.report();
    }

    /// Moves files to quarantine that have another length than the blob: they are corrupt for certain.
    fn quarantine_resized(&self, scan: &mut Scan, records: &HashMap<Digest, Record>) {
        let proven_size =
            |digest: &Digest| records.get(digest).and_then(|record| record.proof).map(|proof| proof.file.size);
        let is_resized = |found: &mut Found| proven_size(&found.digest).is_some_and(|size| size != found.file.size);
        for found in scan.blobs.extract_if(.., is_resized) {
            let (digest, length) = (found.digest, found.file.size);
            warn!(%digest, length, expected = proven_size(&digest), "blob has wrong length");
            match self.dir.rename(&self.dir.blob(&digest), &self.dir.quarantined(&digest)) {
                Ok(()) => scan.quarantined.push(found),
                // It is not in the index; its next fill replaces the file.
                Err(error) => debug!(error = %error_chain(&error), "blob not quarantined"),
            }
        }
    }

    /// Notes that the file system gives the same file other inode or device numbers, and says so once.
    fn note_renumbered(&self, digest: &Digest) {
        if !self.renumbered.swap(true, Ordering::Relaxed) {
            warn!(
                dir = %self.dir.root().display(), example = %digest,
                "file system renumbers files; blobs are hashed again after each start"
            );
        }
    }

    /// Whether files were found under other inode or device numbers than recorded, so that records are of no use after a
    /// restart.
    pub(super) fn is_renumbered(&self) -> bool {
        self.renumbered.load(Ordering::Relaxed)
    }

    /// Opens a verified blob, and counts that as a use. `None` if it is not cached, if it cannot be opened, or if its file
    /// is not the one that was verified; then the blob is unverified. The seal of the file may verify it again.
    pub(super) fn get(&self, digest: &Digest) -> Option<Entry> {
        let found = self.index().find(digest, SystemTime::now());
        let (proof, serial) = match found {
            Location::Open(blob) => return Some(Entry::new(blob)),
            Location::Closed { proof, serial } => (proof, serial),
            Location::Unverified { outdated: Some(proof), serial } => {
                let blob = Arc::new(self.open_file(digest, serial)?);
                return self.prove_by_seal(digest, serial, &proof, &blob).then(|| Entry::new(blob));
            }
            Location::Unverified { outdated: None, .. } | Location::Missing => return None,
        };
        let blob = self.open_file(digest, serial)?;
        let identity = *blob.identity();
        // The proof may be another one since it was looked up.
        let is_proven = identity == proof.file || self.index().is_proven(digest, &identity);
        if !is_proven && proof.verity.is_some() {
            let blob = Arc::new(blob);
            if self.prove_by_seal(digest, serial, &proof, &blob) {
                return Some(Entry::new(blob));
            }
            self.revoke(digest, |found, _| found == serial);
            return None;
        }
        if !is_proven {
            let is_renumbered = identity.is_renumbered(&proof.file);
            if is_renumbered {
                self.note_renumbered(digest);
            }
            if !is_renumbered || proof.at < self.opened {
                self.revoke(digest, |found, _| found == serial);
                return None;
            }
            self.index().renumber(digest, serial, identity);
        }
        Some(Entry::new(self.keep_open(digest, serial, blob)))
    }

    /// Verifies a file of another identity than in `proof` by its seal, without reading it. Returns whether that succeeded and
    /// the blob is still there; then the file is kept open.
    fn prove_by_seal(&self, digest: &Digest, serial: u64, proof: &Proof, blob: &Arc<OpenBlob>) -> bool {
        if proof.verity.is_none() || self.sealer.measure(blob.file()) != proof.verity {
            return false;
        }
        debug!(%digest, "blob verified by its seal");
        let proof = Proof { file: *blob.identity(), ..*proof };
        self.prove(digest, serial, proof, Some(Arc::clone(blob)))
    }

    /// Opens the file of a blob, whatever bytes it has. `None` if there is no such file, or if it cannot be opened.
    pub(super) fn open_file(&self, digest: &Digest, serial: u64) -> Option<OpenBlob> {
        let path = self.dir.blob(digest);
        let opened = self.dir.fault_point("open", &path).and_then(|()| Dir::open(&path));
        let identified =
            opened.and_then(|file| Ok((self.identity_of(digest, &file).map_err(CacheError::io("stat", &path))?, file)));
        match identified {
            Ok((identity, file)) => return Some(OpenBlob::new(*digest, file, identity)),
            Err(error) if error.is_missing() || error.is_irregular() => self.forget(digest, serial),
            Err(error) => {
                let error = self.mark_failed(error);
                // One that was changed since, for example by a restore as another user, is fetched again. So is one that
                // the disk cannot open, if only this file is bad.
                let is_changed = Identity::at(&path).is_ok_and(|found| !self.index().is_proven(digest, &found));
                if is_changed || (error.is_of_block() && self.health.problem().is_none()) {
                    self.revoke(digest, |found, _| found == serial);
                }
            }
        }
        None
    }

    /// Keeps a file open that was opened for the blob of this serial. Returns the file to read.
    pub(super) fn keep_open(&self, digest: &Digest, serial: u64, blob: OpenBlob) -> Arc<OpenBlob> {
        let (blob, idle) = {
            let mut index = self.index();
            (index.keep_open(digest, serial, blob.into()), index.close_idle(self.most_open))
        };
        drop(idle);
        blob
    }

    /// Makes the blob of an open file unverified unless the file `is_unchanged`, or is sealed, so that only its metadata were
    /// changed. Returns whether its bytes are the verified ones.
    pub(super) fn confirm(&self, entry: &Entry, is_unchanged: bool) -> bool {
        let (digest, blob) = (entry.digest(), entry.blob());
        if is_unchanged || self.is_changed_by_seal(digest, blob.identity(), blob.file()) {
            return true;
        }
        let sealed = self.index().sealed_proof(digest);
        if let Some((proof, serial)) = sealed
            && self.sealer.measure(blob.file()) == proof.verity
            && let Ok(file) = Identity::of(blob.file())
        {
            // The next use opens the file again.
            self.prove(digest, serial, Proof { file, ..proof }, None);
            return true;
        }
        self.revoke(digest, |_, open| open.is_some_and(|open| Arc::ptr_eq(open, blob)));
        false
    }

    fn revoke(&self, digest: &Digest, is_meant: impl FnOnce(u64, Option<&Arc<OpenBlob>>) -> bool) {
        let (was_verified, closed) = self.index().revoke(digest, is_meant);
        drop(closed);
        if was_verified {
            warn!(%digest, "blob file changed; it is hashed before its next use");
            self.report();
        }
    }

    /// Records the proof of a blob's file: `open` is kept open. Returns whether the blob is still there.
    pub(super) fn prove(&self, digest: &Digest, serial: u64, proof: Proof, open: Option<Arc<OpenBlob>>) -> bool {
        let (record, closed) = self.index().prove(digest, serial, proof, open);
        drop(closed);
        let is_there = record.is_some();
        if let Some(record) = record {
            self.records.add(record);
        }
        self.report();
        is_there
    }

    /// Reserves space for a partial, with `free` bytes free on the disk. Returns what has to be removed for it by
    /// [`Store::remove`]. The caller holds the names.
    pub(super) fn reserve(&self, digest: &Digest, size: u64, free: u64) -> Result<Vec<Victim<OpenBlob>>, CacheError> {
        let mut index = self.index();
        index.reserve(digest, size, free, SystemTime::now()).map_err(|shortage| {
            let error = CacheError::NoSpace { wanted: size, reason: shortage.to_string() };
            if index.disk_shortage(free).is_some() {
                self.health.set_shortage(self.dir.root(), Some(&error));
            }
            error
        })
    }

    /// Calls `open`, which opens a partial of this size, when the directory can be written, as far as that is known.
    pub(super) fn begin_partial<P>(
        &self,
        size: u64,
        open: impl Fn() -> Result<P, CacheError>,
    ) -> Result<P, CacheError> {
        if self.health.problem().is_some() {
            self.probe().map_err(|error| error.for_size(size))?;
        }
        match open() {
            // The directory was deleted since the last probe.
            Err(error) if error.is_missing() => {
                self.probe()?;
                open()
            }
            other => other,
        }
    }

    /// Has evictions logged by `log`, which knows the names of blobs. Only the first call has an effect.
    pub(super) fn set_eviction_log(&self, log: EvictionLog) {
        let _ = self.eviction_log.set(log);
    }

    /// Records the last use of each blob, if what is recorded is more than `age` older, and saves all records. Blocks.
    pub(super) fn save_uses(&self, age: Duration) {
        let unsaved = self.index().take_unsaved(age);
        for record in unsaved {
            self.records.add(record);
        }
        self.save_records();
    }

    /// Makes the records durable that were added. Blocks.
    pub(super) fn save_records(&self) {
        if self.health.is_locked() {
            let stats = self.index().stats();
            let count = stats.blob_entries + stats.unverified_entries;
            self.records.save(&self.dir, count, || self.index().records());
        }
    }
}

/// A quarter of the files that this process may open are for idle blobs. The others are for blobs that are being read.
fn most_open() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(MOST_OPEN.min(allowed / 4)).unwrap_or(usize::MAX)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.save_uses(Duration::ZERO);
    }
}
