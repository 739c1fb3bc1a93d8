//! A blob under way: its room, its bytes, and what of it is here.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use bytes::Bytes;
use tracing::{debug, warn};

use super::entry::{Entry, OpenBlob};
use super::index::Claim as Claimed;
use super::parts::{self, PartLog};
use super::store::Store;
use super::{CacheError, dir::Dir};
use crate::asset::{Digest, Proven};

/// After so many new bytes they are brought to the disk: the last fsync, for which clients wait, is then short, and a
/// power cut costs no more than this.
const SYNC_EVERY: u64 = 64 << 20;

/// A blob under way: preallocated room on the disk, and a persisted map of what is here.
///
/// Reads and writes at different offsets may go on at once from many threads; all of them block and belong on
/// blocking threads. Dropped without [`Partial::admit`] or [`Partial::discard`] it stays on the disk for a later resume.
pub struct Partial {
    claim: Claim,
    size: u64,
    part_size: u64,
    path: PathBuf,
    file: File,
    log: Mutex<PartLog>,
    phase: RwLock<Phase>,
    /// The disk failed to keep what was written, and nobody knows which of it.
    lost: AtomicBool,
    unsynced: AtomicU64,
    syncing: Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Ended,
}

/// The claim on a digest's room in the accounts. However the partial ends, dropping this settles it.
struct Claim {
    store: Arc<Store>,
    digest: Digest,
    /// There are files that the room is for.
    on_disk: AtomicBool,
    /// The room is settled already.
    settled: AtomicBool,
}

impl Partial {
    /// Resumes or begins the partial of this digest and size. Blocks.
    pub(super) fn begin(store: &Arc<Store>, digest: &Digest, size: u64, part_size: u64) -> Result<Self, CacheError> {
        if store.health.trouble().is_some() {
            store.probe().map_err(|error| error.wanting(size))?;
        }
        match Self::open(store, digest, size, part_size) {
            // The directory vanished since it was last looked at.
            Err(error) if error.is_absent() => {
                store.probe()?;
                Self::open(store, digest, size, part_size)
            }
            other => other,
        }
    }

    fn open(store: &Arc<Store>, digest: &Digest, size: u64, part_size: u64) -> Result<Self, CacheError> {
        let claim = {
            let _names = store.names();
            let claimed = store.index().claim(digest);
            match claimed {
                Claimed::Busy => return Err(CacheError::Busy(*digest)),
                Claimed::Fresh => {}
                Claimed::Resumed(left) => {
                    let claim = Claim::new(store, digest, true);
                    match Self::left(&claim, left, size, part_size) {
                        Some((file, log)) => return Ok(Self::new(claim, size, part_size, file, log)),
                        None => claim.remove()?,
                    }
                }
            }
            let free = store.dir.free();
            let victims = store.reserve(digest, size, free)?;
            let claim = Claim::new(store, digest, false);
            store.remove(victims)?;
            claim
        };
        store.report();
        match Self::create(&claim, size, part_size) {
            Ok((file, log)) => Ok(Self::new(claim, size, part_size, file, log)),
            Err(error) => {
                claim.on_disk.store(store.dir.remove_partial(digest).is_err(), Ordering::Relaxed);
                Err(store.trouble(error).wanting(size))
            }
        }
    }

    /// What an earlier fill left, if it is of use.
    fn left(claim: &Claim, left: u64, size: u64, part_size: u64) -> Option<(File, PartLog)> {
        let Claim { store, digest, .. } = claim;
        let path = store.dir.partial(digest);
        let file = Dir::reopen(&path).ok().filter(|_| left == size)?;
        let log = PartLog::open(&store.dir, digest, size, part_size, &parts::boot())?;
        store.index().set_missing(digest, Dir::missing(&file, &path).ok()?);
        Some((file, log))
    }

    /// The bytes first and the log last: without it they are known for a leftover.
    fn create(claim: &Claim, size: u64, part_size: u64) -> Result<(File, PartLog), CacheError> {
        let Claim { store, digest, .. } = claim;
        let path = store.dir.partial(digest);
        let file = store.dir.create(&path)?;
        let missing = match store.dir.allocate(&file, &path, size) {
            // The disk has less than it said (a quota, another writer): as much again has to go.
            Err(error) if error.is_full() => {
                let _names = store.names();
                let victims = store.index().evict(size.max(1)).ok_or(error)?;
                store.remove(victims)?;
                store.dir.allocate(&file, &path, size)?
            }
            other => other?,
        };
        store.index().set_missing(digest, missing);
        let log = PartLog::create(&store.dir, digest, size, part_size, &parts::boot())?;
        Ok((file, log))
    }

    fn new(claim: Claim, size: u64, part_size: u64, file: File, log: PartLog) -> Self {
        claim.on_disk.store(true, Ordering::Relaxed);
        Self {
            path: claim.store.dir.partial(&claim.digest),
            claim,
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

    /// The blob's size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Which parts are here: one flag a part, in order.
    pub fn parts(&self) -> Vec<bool> {
        self.log().parts()
    }

    /// A note that the filler keeps with it (the source and its validator), as it was last set.
    pub fn note(&self) -> Option<String> {
        self.log().note().map(str::to_owned)
    }

    /// Keeps a note with the partial.
    pub fn set_note(&self, note: &str) -> Result<(), CacheError> {
        let _filling = self.filling()?;
        self.log().set_note(self.dir(), note).map_err(|error| self.failed(error))
    }

    /// Writes `pieces` one after the other from `offset` on.
    ///
    /// [`CacheError::NoSpace`] where the file system could not set the room aside beforehand and is full now.
    pub fn write_at(&self, offset: u64, pieces: &[Bytes]) -> Result<(), CacheError> {
        let _filling = self.filling()?;
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(self.invalid("write", format!("{length} bytes at {offset} do not fit into {}", self.size)));
        }
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.dir().write(&self.file, &self.path, offset, &mut slices).map_err(|error| self.failed(error))
    }

    /// Reads into `buffer` from `offset` on; all of it, or an error. What was not written yet is zeros.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        Dir::read(&self.file, &self.path, offset, buffer)
    }

    /// Marks these parts as here, on the disk too: a restart will find them.
    ///
    /// Every 64 MiB this waits until the disk has what was written so far. An error of that means that bytes written
    /// before are lost, nobody knows which: all parts are forgotten, and nothing more is taken before [`Partial::reset`].
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
        self.log().written(self.dir(), parts).map_err(|error| self.failed(error))?;
        if self.unsynced.fetch_add(length, Ordering::Relaxed) + length >= SYNC_EVERY {
            self.sync_ahead()?;
        }
        Ok(())
    }

    /// Forgets all parts and the note: the bytes are of another object or were wrong. The room stays reserved.
    pub fn reset(&self) -> Result<(), CacheError> {
        let phase = self.end_writes();
        self.check(*phase)?;
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget().map_err(|error| self.failed(error))?;
        self.unsynced.store(0, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Makes it a blob: fsync, rename to its digest, fsync of the directory, index. Readers that hold the partial go on
    /// reading the same file.
    ///
    /// Waits for writes under way; there can be none afterwards. After an error it is a partial as before, unless its
    /// bytes were lost (see [`Partial::finish_parts`]).
    #[expect(clippy::needless_pass_by_value, reason = "a proof is spent: it admits one blob")]
    pub fn admit(&self, proof: Proven) -> Result<Entry, CacheError> {
        let digest = self.claim.digest;
        if *proof.digest() != digest {
            return Err(CacheError::OtherProof { expected: digest, proven: *proof.digest() });
        }
        if proof.size() != self.size {
            return Err(CacheError::OtherSize { digest, expected: self.size, proven: proof.size() });
        }
        let mut phase = self.end_writes();
        self.check(*phase)?;
        self.check_kept()?;
        let now = SystemTime::now();
        self.dir().seal(&self.file, &self.path, now).map_err(|error| self.failed(error))?;
        self.dir().sync(&self.file, &self.path).map_err(|error| self.lose(error))?;
        // Opened anew, read-only, and before the rename: from there on nothing may fail.
        let file = Dir::open(&self.path).map_err(|error| self.failed(error))?;
        let blob = Arc::new(OpenBlob::new(digest, self.size, file));
        self.rename(&blob, now).map_err(|error| self.failed(error))?;
        *phase = Phase::Ended;
        self.claim.store.report();
        Ok(Entry::new(blob))
    }

    /// From the rename on this is a blob, whatever fails after it: should a power cut undo the rename, then the partial is
    /// there again, with its log or as a leftover.
    fn rename(&self, blob: &Arc<OpenBlob>, now: SystemTime) -> Result<(), CacheError> {
        let Claim { store, digest, settled, .. } = &self.claim;
        let path = store.dir.blob(digest);
        let shard = path.parent().unwrap_or(store.dir.root());
        let _names = store.names();
        store.dir.make_dir(shard)?;
        store.dir.rename(&self.path, &path)?;
        let replaced = store.index().admit(digest, self.size, Arc::clone(blob), now);
        settled.store(true, Ordering::Relaxed);
        drop(replaced);
        let durable = store.dir.sync_dir(shard);
        let tidied = store.dir.remove(&store.dir.log(digest)).and_then(|()| store.dir.sync_dir(&store.dir.partials()));
        if let Err(error) = durable.and(tidied) {
            warn!(%digest, %error, "a blob was admitted, but a power cut might undo it");
            store.trouble(error);
        }
        Ok(())
    }

    /// Removes it from the disk and gives its room back. Does nothing if it was admitted. Readers that hold the partial go
    /// on reading the same file.
    pub fn discard(&self) {
        let mut phase = self.end_writes();
        if *phase == Phase::Ended {
            return;
        }
        *phase = Phase::Ended;
        let _names = self.claim.store.names();
        if let Err(error) = self.claim.remove() {
            // It stays as a partial that nobody fills, and goes when its room is wanted.
            self.claim.settle();
            self.failed(error);
        }
    }

    /// Brings what was written to the disk, unless another thread is at it.
    fn sync_ahead(&self) -> Result<(), CacheError> {
        let Ok(_turn) = self.syncing.try_lock() else { return Ok(()) };
        self.unsynced.store(0, Ordering::Relaxed);
        let written = self.log().not_durable();
        self.dir().sync_data(&self.file, &self.path).map_err(|error| self.lose(error))?;
        self.log().durable(self.dir(), &written).map_err(|error| self.failed(error))?;
        let missing = Dir::missing(&self.file, &self.path).map_err(|error| self.failed(error))?;
        self.claim.store.index().set_missing(&self.claim.digest, missing);
        Ok(())
    }

    /// The disk did not keep what it was given. The kernel says so once (fsync(2)), so it has to be remembered here.
    fn lose(&self, error: CacheError) -> CacheError {
        self.lost.store(true, Ordering::Relaxed);
        if let Err(error) = self.forget() {
            debug!(%error, "the log of a partial stays, too");
        }
        self.failed(error)
    }

    fn forget(&self) -> Result<(), CacheError> {
        self.log().reset(self.dir(), &parts::boot())
    }

    fn dir(&self) -> &Dir {
        &self.claim.store.dir
    }

    fn log(&self) -> MutexGuard<'_, PartLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the partial from being ended while the guard lives.
    fn filling(&self) -> Result<RwLockReadGuard<'_, Phase>, CacheError> {
        let phase = self.phase.read().unwrap_or_else(PoisonError::into_inner);
        self.check(*phase)?;
        self.check_kept()?;
        Ok(phase)
    }

    fn end_writes(&self) -> RwLockWriteGuard<'_, Phase> {
        self.phase.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, phase: Phase) -> Result<(), CacheError> {
        if phase == Phase::Filling { Ok(()) } else { Err(CacheError::Ended(self.claim.digest)) }
    }

    fn check_kept(&self) -> Result<(), CacheError> {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost { Err(CacheError::io("keep", &self.path)(io::Error::from_raw_os_error(libc::EIO))) } else { Ok(()) }
    }

    fn failed(&self, error: CacheError) -> CacheError {
        self.claim.store.trouble(error).wanting(self.size)
    }

    fn invalid(&self, action: &'static str, what: String) -> CacheError {
        CacheError::io(action, &self.path)(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({}, {} bytes)", self.claim.digest, self.size)
    }
}

impl Claim {
    fn new(store: &Arc<Store>, digest: &Digest, on_disk: bool) -> Self {
        let (on_disk, settled) = (on_disk.into(), false.into());
        Self { store: Arc::clone(store), digest: *digest, on_disk, settled }
    }

    /// Removes the files, and with them the room. The caller holds the names.
    fn remove(&self) -> Result<(), CacheError> {
        self.store.dir.remove_partial(&self.digest)?;
        self.on_disk.store(false, Ordering::Relaxed);
        self.settle();
        Ok(())
    }

    /// Gives the room back, or leaves it to the files that are there. Only once: afterwards it may be another's.
    fn settle(&self) {
        if self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut index = self.store.index();
        if self.on_disk.load(Ordering::Relaxed) {
            index.idle(&self.digest, SystemTime::now());
        } else {
            index.release(&self.digest);
        }
        drop(index);
        self.store.report();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.settle();
    }
}
