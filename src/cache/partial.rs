//! A partial: a blob that is being filled.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tracing::{debug, warn};

use super::dir::Dir;
use super::identity::Identity;
use super::index::ClaimOutcome;
use super::open_blob::OpenBlob;
use super::parts::{self, PartLog};
use super::record::Proof;
use super::reservation_guard::ReservationGuard;
use super::seal_guard::SealGuard;
use super::store::Store;
use super::{CacheError, Entry};
use crate::asset::{Digest, VerifiedDigest};
use crate::error_chain::error_chain;

/// New bytes after which all are synced to the disk. So the last fsync, for which clients wait, is short, and a power cut
/// costs at most this much.
pub(super) const SYNC_EVERY: u64 = 64 << 20;

/// A blob that is being filled: preallocated space on the disk, and a persistent log of its written parts.
///
/// Many threads may read and write at different offsets at once. All calls block and belong on blocking threads. If it is
/// dropped without [`Partial::admit`] or [`Partial::discard`], it stays on the disk and a later fill resumes it.
pub struct Partial {
    reservation: ReservationGuard,
    size: u64,
    part_size: u64,
    path: PathBuf,
    file: File,
    /// Dropped after the file.
    seal: SealGuard,
    log: Mutex<PartLog>,
    phase: RwLock<Phase>,
    /// The disk failed to store bytes that were written before; it is unknown which.
    lost: AtomicBool,
    unsynced: AtomicU64,
    syncing: Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Ended,
}

impl Partial {
    /// Resumes or begins the partial of this digest and size. Blocks.
    pub(super) fn begin(store: &Arc<Store>, digest: &Digest, size: u64, part_size: u64) -> Result<Self, CacheError> {
        store.begin_partial(size, || Self::open(store, digest, size, part_size))
    }

    fn open(store: &Arc<Store>, digest: &Digest, size: u64, part_size: u64) -> Result<Self, CacheError> {
        let reservation = {
            let _names = store.names();
            let claimed = store.index().claim(digest);
            match claimed {
                ClaimOutcome::Busy => return Err(CacheError::Busy(*digest)),
                ClaimOutcome::Fresh => {}
                ClaimOutcome::Resumed(left) => {
                    let reservation = ReservationGuard::new(store, digest, true);
                    match Self::resume(&reservation, left, size, part_size) {
                        Some((file, log)) => return Ok(Self::new(reservation, size, part_size, file, log)),
                        None => reservation.remove()?,
                    }
                }
            }
            ReservationGuard::reserve(store, digest, size)?
        };
        store.report();
        match Self::create(&reservation, size, part_size) {
            Ok((file, log)) => Ok(Self::new(reservation, size, part_size, file, log)),
            Err(error) => Err(reservation.not_created(error, size)),
        }
    }

    /// Opens what an earlier fill left. `None` if it cannot be used.
    fn resume(reservation: &ReservationGuard, left: u64, size: u64, part_size: u64) -> Option<(File, PartLog)> {
        let (store, digest) = (reservation.store(), reservation.digest());
        let path = store.dir.partial(digest);
        let file = Dir::reopen(&path).ok().filter(|_| left == size)?;
        let log = PartLog::open(&store.dir, digest, size, part_size, &parts::boot_id())?;
        store.index().set_unallocated(digest, Dir::unallocated(&file, &path).ok()?);
        Some((file, log))
    }

    /// Creates the files. The log is last: bytes without a log are recognized as a leftover.
    fn create(reservation: &ReservationGuard, size: u64, part_size: u64) -> Result<(File, PartLog), CacheError> {
        let (store, digest) = (reservation.store(), reservation.digest());
        let file = reservation.create_file(size)?;
        let log = store.with_space(1, || PartLog::create(&store.dir, digest, size, part_size, &parts::boot_id()));
        let log = log.unwrap_or_else(|error| {
            log_not_resumable(digest, &store.mark_failed(error));
            PartLog::in_memory(&store.dir, digest, size, part_size)
        });
        Ok((file, log))
    }

    fn new(reservation: ReservationGuard, size: u64, part_size: u64, file: File, log: PartLog) -> Self {
        reservation.set_on_disk(true);
        Self {
            path: reservation.store().dir.partial(reservation.digest()),
            seal: SealGuard::new(reservation.store(), reservation.digest()),
            reservation,
            size,
            part_size,
            file,
            log: Mutex::new(log),
            phase: RwLock::new(Phase::Filling),
            lost: AtomicBool::new(false),
            unsynced: AtomicU64::new(0),
            syncing: Mutex::default(),
        }
    }

    /// The blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Which parts are written: one flag for each part, in order.
    pub fn parts(&self) -> Vec<bool> {
        self.log().parts()
    }

    /// The filler's note (the source and its validator), as last set. `None` if there is none.
    pub fn note(&self) -> Option<String> {
        self.log().note().map(str::to_owned)
    }

    /// Saves a note with the partial.
    pub fn set_note(&self, note: &str) -> Result<(), CacheError> {
        let _filling = self.filling()?;
        let noted = self.log().set_note(self.dir(), note);
        self.go_on_without_log(noted);
        Ok(())
    }

    /// Writes `pieces`, one after the other, beginning at `offset`.
    ///
    /// Fails with [`CacheError::NoSpace`] if the file system could not allocate the space beforehand, is full now, and
    /// nothing can be evicted.
    pub fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), CacheError> {
        let _filling = self.filling()?;
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(self.invalid("write", format!("{length} bytes at {offset} do not fit into {}", self.size)));
        }
        let write = || {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            self.dir().write(&self.file, &self.path, offset, &mut slices)
        };
        self.reservation.store().with_space(length, write).map_err(|error| self.failed(error))
    }

    /// Reads into all of `buffer`, beginning at `offset`. Bytes that were not written yet are zero.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        Dir::read(&self.file, &self.path, offset, buffer)
    }

    /// Marks these parts as written, also in the log on the disk, so that a restart resumes after them.
    ///
    /// Every 64 MiB this waits until all written bytes are synced to the disk. If that fails, some of the bytes written
    /// before are lost, and it is unknown which: all parts are discarded, and writes fail until [`Partial::reset`].
    pub fn finish_parts(&self, parts: &[usize]) -> Result<(), CacheError> {
        let _filling = self.filling()?;
        if parts.is_empty() {
            return Ok(());
        }
        let mut length = 0;
        for index in parts {
            let start = self.part_size.saturating_mul(*index as u64);
            if start >= self.size {
                return Err(self.invalid("finish a part of", format!("there is no part {index}")));
            }
            length += self.part_size.min(self.size - start);
        }
        let logged = self.log().add_written(self.dir(), parts);
        self.go_on_without_log(logged);
        if self.unsynced.fetch_add(length, Ordering::Relaxed) + length >= SYNC_EVERY {
            self.sync_ahead()?;
        }
        Ok(())
    }

    /// Discards all parts and the note, because the bytes were wrong or belong to another object. The space stays reserved.
    pub fn reset(&self) -> Result<(), CacheError> {
        let phase = self.end_writes();
        self.check_phase(*phase)?;
        let _turn = self.syncing.lock();
        let discarded = self.discard_parts();
        self.go_on_without_log(discarded);
        self.unsynced.store(0, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Turns it into a blob: fsync, rename to its digest, index, fsync of the directory. Readers of the partial continue to
    /// read the same file. A directory that cannot be synced is logged; the blob stays, because a power cut that undoes the
    /// rename leaves a partial, never a wrong blob. [`Cache::save_records`](super::Cache::save_records) then makes the record
    /// of the proof durable, for which no reader has to wait.
    ///
    /// Waits for writes in progress; later ones fail. If it fails, the partial stays as it was, unless its bytes were lost
    /// (see [`Partial::finish_parts`]).
    #[expect(clippy::needless_pass_by_value, reason = "the digest is consumed: it admits one blob")]
    pub fn admit(&self, verified: VerifiedDigest) -> Result<Entry, CacheError> {
        let digest = *self.reservation.digest();
        if *verified.digest() != digest {
            return Err(CacheError::OtherDigest { expected: digest, verified: *verified.digest() });
        }
        if verified.size() != self.size {
            return Err(CacheError::OtherSize { digest, expected: self.size, verified: verified.size() });
        }
        let mut phase = self.end_writes();
        self.check_phase(*phase)?;
        self.check_not_lost()?;
        let now = SystemTime::now();
        let mode = self.reservation.store().sealer.blob_mode();
        self.dir().seal(&self.file, &self.path, mode, now).map_err(|error| self.failed(error))?;
        self.dir().sync(&self.file, &self.path).map_err(|error| self.mark_lost(error))?;
        // A new file description, read-only. Opened before the rename, because nothing may fail after it.
        let file = Dir::open(&self.path).map_err(|error| self.failed(error))?;
        let sealed =
            Identity::of(&file).map_err(CacheError::io("stat", &self.path)).map_err(|error| self.failed(error))?;
        // A new directory needs an inode, which the removal of another blob frees.
        self.reservation.store().with_space(1, || self.make_shard()).map_err(|error| self.failed(error))?;
        let blob = self.rename(file, sealed, now).map_err(|error| self.failed(error))?;
        *phase = Phase::Ended;
        self.reservation.store().report();
        Ok(Entry::new(blob))
    }

    /// After the rename this is a blob, even if a later step fails. If a power cut undoes the rename, the partial exists again,
    /// with its log or as a leftover.
    fn rename(&self, file: File, sealed: Identity, now: SystemTime) -> Result<Arc<OpenBlob>, CacheError> {
        let (store, digest) = (self.reservation.store(), self.reservation.digest());
        let path = store.dir.blob(digest);
        let shard = path.parent().unwrap_or(store.dir.root());
        let _names = store.names();
        // An eviction may have removed it, as an empty directory.
        self.make_shard()?;
        store.dir.rename(&self.path, &path)?;
        // The rename changed the ctime. If the new one is unknown, the blob is hashed again at its next use.
        let identity = Identity::of(&file).unwrap_or(sealed);
        let blob = Arc::new(OpenBlob::new(*digest, file, identity));
        let proof = Proof { file: identity, at: now, verity: None };
        let (record, replaced) = store.index().admit(digest, proof, Arc::clone(&blob), now);
        store.records.add(record);
        self.reservation.set_settled();
        self.seal.set_admitted();
        drop(replaced);
        let durable = store.dir.sync_dir(shard);
        let tidied = store.dir.remove(&store.dir.log(digest)).and_then(|()| store.dir.sync_dir(&store.dir.partials()));
        if let Err(error) = durable.and(tidied) {
            warn!(%digest, error = %error_chain(&error), "blob admitted but not synced");
            store.mark_failed(error);
        }
        Ok(blob)
    }

    /// Creates the blob's directory if it does not exist.
    fn make_shard(&self) -> Result<(), CacheError> {
        let dir = self.dir();
        let path = dir.blob(self.reservation.digest());
        let shard = path.parent().unwrap_or(dir.root());
        match dir.make_dir(shard) {
            // Someone has removed the directories of the blobs.
            Err(error) if error.is_missing() => dir.ensure().and_then(|()| dir.make_dir(shard)),
            made => made,
        }
    }

    /// Opens the bytes of a partial that could not be admitted, and discards it: they can be read, and the cache does not
    /// keep them. All bytes are hashed, and verified again at each read, because a disk that cannot store bytes may return
    /// others later. Blocks.
    ///
    /// Fails if the disk does not return bytes of the partial's digest.
    pub fn open_not_kept(&self) -> Result<Entry, CacheError> {
        let digest = *self.reservation.digest();
        let opened = {
            let _ended = self.end_writes();
            self.file.try_clone().and_then(|file| OpenBlob::not_kept(digest, file))
        };
        let blob = opened.map_err(CacheError::io("read", &self.path))?;
        self.discard();
        Ok(Entry::new(Arc::new(blob)))
    }

    /// Removes it from the disk and releases its reservation. Does nothing if it was admitted. Readers of the partial
    /// continue to read the same file. If it cannot be removed, no other fill gets it before the last of them has ended.
    pub fn discard(&self) {
        let mut phase = self.end_writes();
        if *phase == Phase::Ended {
            return;
        }
        *phase = Phase::Ended;
        let removed = {
            let _names = self.reservation.store().names();
            self.reservation.remove()
        };
        if let Err(error) = removed {
            self.failed(error);
        }
    }

    /// Syncs written bytes to the disk, unless another thread does.
    fn sync_ahead(&self) -> Result<(), CacheError> {
        let Some(_turn) = self.syncing.try_lock() else { return Ok(()) };
        self.unsynced.store(0, Ordering::Relaxed);
        let written = self.log().not_durable();
        self.dir().sync_data(&self.file, &self.path).map_err(|error| self.mark_lost(error))?;
        let logged = self.log().add_durable(self.dir(), &written);
        self.go_on_without_log(logged);
        let unallocated = Dir::unallocated(&self.file, &self.path).map_err(|error| self.failed(error))?;
        self.reservation.store().index().set_unallocated(self.reservation.digest(), unallocated);
        Ok(())
    }

    /// Notes that the disk lost written bytes. The kernel reports that only once (fsync(2)), so that it must be kept here.
    fn mark_lost(&self, error: CacheError) -> CacheError {
        self.lost.store(true, Ordering::Relaxed);
        if let Err(error) = self.discard_parts() {
            debug!(error = %error_chain(&error), "partial log not removed");
        }
        self.failed(error)
    }

    /// Ignores that the log could not be stored: only a restart needs it.
    fn go_on_without_log(&self, logged: Result<(), CacheError>) {
        if let Err(error) = logged {
            log_not_resumable(self.reservation.digest(), &self.failed(error));
        }
    }

    fn discard_parts(&self) -> Result<(), CacheError> {
        self.log().reset(self.dir(), &parts::boot_id())
    }

    fn dir(&self) -> &Dir {
        &self.reservation.store().dir
    }

    fn log(&self) -> MutexGuard<'_, PartLog> {
        self.log.lock()
    }

    /// Prevents the end of the partial while the guard exists. Fails if it has ended or its bytes were lost.
    fn filling(&self) -> Result<RwLockReadGuard<'_, Phase>, CacheError> {
        let phase = self.phase.read();
        self.check_phase(*phase)?;
        self.check_not_lost()?;
        Ok(phase)
    }

    /// Waits for writes in progress, and holds off others while the guard exists.
    fn end_writes(&self) -> RwLockWriteGuard<'_, Phase> {
        self.phase.write()
    }

    fn check_phase(&self, phase: Phase) -> Result<(), CacheError> {
        if phase == Phase::Filling { Ok(()) } else { Err(CacheError::Ended(*self.reservation.digest())) }
    }

    fn check_not_lost(&self) -> Result<(), CacheError> {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost { Err(CacheError::io("sync", &self.path)(io::Error::from_raw_os_error(libc::EIO))) } else { Ok(()) }
    }

    /// Marks the cache as failed if `error` is one of the disk, and returns it.
    fn failed(&self, error: CacheError) -> CacheError {
        self.reservation.store().mark_failed(error).for_size(self.size)
    }

    fn invalid(&self, action: &'static str, what: String) -> CacheError {
        CacheError::io(action, &self.path)(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

fn log_not_resumable(digest: &Digest, error: &CacheError) {
    warn!(%digest, error = %error_chain(error), "partial log not stored: a restart would begin the fill again");
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({}, {} bytes)", self.reservation.digest(), self.size)
    }
}
