//! The scrub: it hashes the bytes of every blob again from time to time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use metrics::counter;
use rustix::fs::{Advice, fadvise};
use rustix::io::ReadWriteFlags;
use tracing::{debug, warn};

use super::dir::Dir;
use super::error::is_of_file;
use super::identity::Identity;
use super::record::Proof;
use super::{Cache, CacheError, Entry};
use crate::asset::{Digest, Verifier};
use crate::error_chain::error_chain;

/// Bytes of one read.
const PIECE: usize = 1 << 20;
/// After each piece of work the scrub rests this many times as long. It uses a quarter of a core and of the disk at most,
/// which does not slow transfers down.
pub(super) const REST: u32 = 3;
/// Blobs that the loop takes from the index at a time, which looks at all of them.
const BATCH: usize = 100;
/// The longest sleep of the loop, and how often it saves the records.
const TICK: Duration = Duration::from_mins(1);
/// How old the saved last use of a blob may become while the cache is open.
const USES_AGE: Duration = Duration::from_hours(1);

/// The result of hashing a blob again.
#[derive(Debug, strum::IntoStaticStr, strum::VariantNames)]
pub enum ScrubOutcome {
    /// Its bytes have its digest.
    #[strum(serialize = "proven")]
    Verified,
    /// Its bytes have another digest, or some are missing. It was moved to quarantine.
    #[strum(serialize = "rotted")]
    Corrupt,
    /// The disk cannot read some of its bytes. It was moved to quarantine, because clients would be cut off there; a new
    /// copy gets another place on the disk.
    #[strum(serialize = "unreadable")]
    Unreadable,
    /// It is not cached: it was evicted before its turn, or its file was removed.
    #[strum(serialize = "gone")]
    Missing,
    /// It could not be checked. It stays.
    #[strum(serialize = "failed")]
    Failed(CacheError),
    /// The scrub was stopped before its end.
    #[strum(serialize = "stopped")]
    Stopped,
}

impl ScrubOutcome {
    /// Its name in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

impl Cache {
    /// Marks a blob as suspect because reading it failed with `error`. The next use opens its file again. Readers keep their
    /// open file, but do not protect the blob against eviction any more. Never blocks.
    ///
    /// Returns whether the caller should [verify](Cache::verify) the blob: only the first call for a blob returns `true`, and
    /// only if `error` is about the blob's file.
    pub fn mark_suspect(&self, entry: &Entry, error: &io::Error) -> bool {
        is_of_file(error) && self.store.index().mark_suspect(entry.digest(), entry.blob())
    }

    /// The blobs that are to be hashed next, at most `most`: unverified ones, then those that were hashed at least `interval`
    /// ago, the oldest first.
    pub fn scrub_due(&self, interval: Duration, most: usize) -> Vec<Digest> {
        self.store.index().to_scrub(before(interval), most)
    }

    /// Hashes a blob again, as fast as the disk allows. Moves it to quarantine if it is corrupt or unreadable. Blocks.
    pub fn verify(&self, digest: &Digest) -> ScrubOutcome {
        self.verify_watched(digest, &mut |_| ControlFlow::Continue(()))
    }

    /// The same with progress: calls `watch` after each piece with the number of bytes hashed so far. `watch` may stop it.
    pub fn verify_watched(&self, digest: &Digest, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> ScrubOutcome {
        self.scrub(digest, &mut |_, hashed| watch(hashed))
    }

    /// Hashes each blob once in `interval`, slowly, and unverified ones first; `None` disables that. In between it saves the
    /// records of blobs and probes the directory. Runs on a thread of its own, until the sender of `stop` is dropped; then it
    /// saves the records once more.
    pub fn scrub_loop(&self, interval: Option<Duration>, stop: &Receiver<Infallible>) {
        let rest = |time| match stop.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        };
        let (mut due, mut saved) = (VecDeque::new(), None::<Instant>);
        while rest(Duration::ZERO).is_continue() {
            if saved.is_none_or(|saved| saved.elapsed() >= TICK) {
                self.store.save_uses(USES_AGE);
                saved = Some(Instant::now());
            }
            if self.store.health.begin_probe() {
                // The store keeps and logs its result.
                let _ = self.store.probe();
            }
            let Some(interval) = interval else {
                let _ = rest(TICK);
                continue;
            };
            if due.is_empty() {
                due.extend(self.scrub_due(interval, BATCH));
            }
            match due.pop_front() {
                // A fill may have hashed it since.
                Some(digest) if !self.store.index().is_to_scrub(&digest, before(interval)) => {}
                // It was unverified, and its seal has verified it.
                Some(digest) if self.is_proven_by_seal(&digest) => {}
                Some(digest) => drop(self.scrub(&digest, &mut |worked, _| rest(worked * REST))),
                None => drop(rest(TICK)),
            }
        }
        // The drop of the cache would be too late: other threads may keep it until the process exits.
        self.store.save_uses(Duration::ZERO);
    }

    /// Hashes a blob again. After each piece calls `pace` with the time it took and the number of bytes hashed so far.
    pub(super) fn scrub(
        &self,
        digest: &Digest,
        pace: &mut dyn FnMut(Duration, u64) -> ControlFlow<()>,
    ) -> ScrubOutcome {
        let Some((size, serial)) = self.store.index().peek(digest) else { return ScrubOutcome::Missing };
        let path = self.store.dir.blob(digest);
        let hashed = self.store.dir.fault_point("hash", &path).and_then(|()| Dir::open(&path)).and_then(|file| {
            // Before the file is hashed, so that the hash proves what the seal protects.
            self.seal_unsealed(digest, &file);
            let verity = self.store.sealer.measure(&file);
            let mut read = || {
                let identity = self.store.identity_of(digest, &file)?;
                let found = hash(&file, size, pace)?;
                let proof = Proof { file: identity, at: SystemTime::now(), verity };
                let is_same =
                    Identity::of(&file)? == identity || self.store.is_changed_by_seal(digest, &identity, &file);
                Ok((proof, found, is_same))
            };
            read().map_err(CacheError::io("read", &path))
        });
        let outcome = match hashed {
            Ok((_, None, _)) => return ScrubOutcome::Stopped,
            // Its name was removed.
            Ok((_, _, false)) if !path.exists() => {
                self.store.forget(digest, serial);
                ScrubOutcome::Missing
            }
            Ok((_, _, false)) => {
                let error = io::Error::other("the file was changed while it was hashed");
                ScrubOutcome::Failed(CacheError::io("read", &path)(error))
            }
            Ok((proof, Some(verifier), true)) => match verifier.verify(digest) {
                Ok(_) => {
                    self.store.prove(digest, serial, proof, None);
                    ScrubOutcome::Verified
                }
                Err(found) => {
                    self.discard(digest, serial, ScrubOutcome::Corrupt, &format!("its bytes have the digest {found}"))
                }
            },
            Err(error) if error.is_missing() || error.is_irregular() => {
                self.store.forget(digest, serial);
                ScrubOutcome::Missing
            }
            Err(error) if error.is_short() => {
                self.discard(digest, serial, ScrubOutcome::Corrupt, "its file is too short")
            }
            // If writing fails too, the whole disk has failed. Its blobs may be good when it works again, and must not be
            // discarded one by one.
            Err(error) if error.is_of_block() && self.store.probe().is_ok() => {
                self.discard(digest, serial, ScrubOutcome::Unreadable, &error_chain(&error).to_string())
            }
            Err(error) => {
                warn!(%digest, error = %error_chain(&error), "scrub failed");
                ScrubOutcome::Failed(error)
            }
        };
        // Also if it failed, so that the next blob gets its turn.
        self.store.index().set_scrubbed(digest, SystemTime::now());
        debug!(%digest, size, outcome = outcome.as_str(), "blob scrubbed");
        counter!("bootdepot_scrub_blobs_total", "outcome" => outcome.as_str()).increment(1);
        outcome
    }

    /// Moves a bad blob to quarantine.
    fn discard(&self, digest: &Digest, serial: u64, outcome: ScrubOutcome, why: &str) -> ScrubOutcome {
        if !self.store.quarantine(digest, Some(serial)) {
            return ScrubOutcome::Missing;
        }
        warn!(%digest, outcome = outcome.as_str(), reason = why, "blob quarantined");
        outcome
    }
}

/// A blob is due if it was last hashed at this time or earlier.
fn before(interval: Duration) -> SystemTime {
    SystemTime::now().checked_sub(interval).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Hashes a file that should be `size` bytes long. `None` if `pace` stops it. Leaves the page cache as it was: pages that
/// were not in it are dropped, and so the scrub does not displace others.
fn hash(
    file: &File,
    size: u64,
    pace: &mut dyn FnMut(Duration, u64) -> ControlFlow<()>,
) -> io::Result<Option<Verifier>> {
    // No readahead: its pages would look like pages that were in memory before.
    let _ = fadvise(file, 0, None, Advice::Random);
    let length = file.metadata()?.len();
    if length < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut verifier = Verifier::new();
    let mut buffer = vec![0; PIECE];
    while verifier.length() < length {
        let began = Instant::now();
        let at = verifier.length();
        let piece = &mut buffer[..PIECE.min(usize::try_from(length - at).unwrap_or(PIECE))];
        let resident = rustix::io::preadv2(file, &mut [IoSliceMut::new(piece)], at, ReadWriteFlags::NOWAIT);
        if resident != Ok(piece.len()) {
            file.read_exact_at(piece, at)?;
            let _ = fadvise(file, at, NonZeroU64::new(piece.len() as u64), Advice::DontNeed);
        }
        verifier.update(piece);
        if pace(began.elapsed(), verifier.length()).is_break() && verifier.length() < length {
            return Ok(None);
        }
    }
    Ok(Some(verifier))
}
