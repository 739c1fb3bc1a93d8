//! The scrub: every blob is hashed again now and then, from its bytes and never from a flag.

use std::convert::Infallible;
use std::fs::{File, FileTimes};
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
use super::{Cache, CacheError, Entry};
use crate::asset::{Digest, Verifier};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// The scrub rests so many times as long as it works: at a quarter of a core, and of the disk, nobody feels it.
const REST: u32 = 3;
/// The longest the loop sleeps before it looks after the cache again.
const TICK: Duration = Duration::from_mins(1);
/// How old the disk's knowledge of a blob's last use may get while the cache is open.
const USES_AGE: Duration = Duration::from_hours(1);

/// What hashing a blob again came to.
#[derive(Debug)]
pub enum ScrubOutcome {
    /// Its bytes have its digest.
    Proven,
    /// Its bytes have another digest, or are not all here. It went to quarantine.
    Rotted,
    /// The disk gives up on some of its bytes. It went to quarantine, as those who ask for it would be cut off there; a
    /// new copy takes another place.
    Unreadable,
    /// It is not here (any more): it went before its turn came, or somebody removed its file.
    Gone,
    /// It could not be looked at. It stays.
    Failed(CacheError),
    /// The scrub was told to stop before the end.
    Stopped,
}

impl ScrubOutcome {
    /// The word for it in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Rotted => "rotted",
            Self::Unreadable => "unreadable",
            Self::Gone => "gone",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl Cache {
    /// Says that this blob could not be read: who asks for it next has its file opened anew. Returns whether it should be
    /// [verified](Cache::verify), which the first one to say so is told, and nobody where `error` says nothing of the blob.
    /// From then on those who have it open do not hold it against eviction; what they can read stays so. Never blocks.
    pub fn doubt(&self, entry: &Entry, error: &io::Error) -> bool {
        is_of_file(error) && self.store.index().doubt(entry.digest(), entry.blob())
    }

    /// The blob whose bytes were last hashed the longest ago, if that is `interval` or more.
    pub fn scrub_due(&self, interval: Duration) -> Option<Digest> {
        let (digest, verified) = self.store.index().longest_unverified()?;
        let age = SystemTime::now().duration_since(verified).unwrap_or_default();
        (age >= interval).then_some(digest)
    }

    /// Hashes a blob again, as fast as the disk allows; one that rotted or cannot be read goes to quarantine. Blocks.
    pub fn verify(&self, digest: &Digest) -> ScrubOutcome {
        self.verify_watched(digest, &mut |_| ControlFlow::Continue(()))
    }

    /// The same for whoever wants to see how many bytes are hashed, or to stop it: `watch` is told after each piece.
    pub fn verify_watched(&self, digest: &Digest, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> ScrubOutcome {
        self.scrub(digest, &mut |_, hashed| watch(hashed))
    }

    /// Hashes each blob once in `interval` (none at all without one), slowly; meanwhile keeps the blobs' last uses on the
    /// disk and looks whether the directory can be written. For a thread of its own: returns when the sender of `stop`,
    /// through which nothing can be sent, is dropped.
    pub fn scrub_loop(&self, interval: Option<Duration>, stop: &Receiver<Infallible>) {
        let rest = |time| match stop.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        };
        while rest(Duration::ZERO).is_continue() {
            self.store.save_uses(USES_AGE);
            if self.store.health.is_due() {
                // Its answer is kept and logged there.
                let _ = self.store.probe();
            }
            match interval.and_then(|interval| self.scrub_due(interval)) {
                Some(digest) => drop(self.scrub(&digest, &mut |worked, _| rest(worked * REST))),
                None => drop(rest(TICK)),
            }
        }
    }

    /// Hashes a blob again, and calls `pace` after each piece with the time that took and how many bytes are hashed.
    pub(super) fn scrub(
        &self,
        digest: &Digest,
        pace: &mut dyn FnMut(Duration, u64) -> ControlFlow<()>,
    ) -> ScrubOutcome {
        let Some((size, serial)) = self.store.index().peek(digest) else { return ScrubOutcome::Gone };
        let path = self.store.dir.blob(digest);
        let hashed = self.store.dir.step("hash", &path).and_then(|()| Dir::open(&path)).and_then(|file| {
            let found = hash(&file, size, pace).map_err(CacheError::io("read", &path))?;
            Ok((file, found))
        });
        let outcome = match hashed {
            Ok((_, None)) => return ScrubOutcome::Stopped,
            Ok((file, Some(verifier))) => match verifier.prove(digest) {
                Ok(_) => {
                    // A read-only disk does not keep it, and is scrubbed again after a restart.
                    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
                    ScrubOutcome::Proven
                }
                Err(found) => {
                    self.lost(digest, serial, ScrubOutcome::Rotted, &format!("its bytes have the digest {found}"))
                }
            },
            Err(error) if error.is_absent() => {
                self.store.forget(digest, serial);
                ScrubOutcome::Gone
            }
            Err(error) if is_short(&error) => {
                self.lost(digest, serial, ScrubOutcome::Rotted, "its file is shorter than it was")
            }
            // A disk that takes nothing either is in trouble as a whole: what it holds may be as good as ever when it is
            // back, and one by one the blobs would be thrown away over it.
            Err(error) if is_unreadable(&error) && self.store.probe().is_ok() => {
                self.lost(digest, serial, ScrubOutcome::Unreadable, &error.to_string())
            }
            Err(error) => {
                warn!(%digest, %error, "a blob could not be scrubbed");
                ScrubOutcome::Failed(error)
            }
        };
        // One that cannot be looked at has its turn again, too, but not at once.
        self.store.index().verified(digest, SystemTime::now());
        debug!(%digest, size, outcome = outcome.as_str(), "scrubbed");
        counter!("bootdepot_scrub_blobs_total", "outcome" => outcome.as_str()).increment(1);
        outcome
    }

    /// Puts a blob whose bytes are not (all) to be had away.
    fn lost(&self, digest: &Digest, serial: u64, outcome: ScrubOutcome, why: &str) -> ScrubOutcome {
        if !self.store.quarantine(digest, Some(serial)) {
            return ScrubOutcome::Gone;
        }
        let word = outcome.as_str();
        warn!(%digest, outcome = word, "a blob was lost: {why}; it is in quarantine, and is fetched again when it is asked for");
        outcome
    }
}

/// Whether a file ended before its end.
fn is_short(error: &CacheError) -> bool {
    matches!(error, CacheError::Io { error, .. } if error.kind() == io::ErrorKind::UnexpectedEof)
}

/// Whether an error says that the disk (or a file system with checksums of its own) gives up on a block, rather than that
/// the system has trouble.
fn is_unreadable(error: &CacheError) -> bool {
    matches!(error, CacheError::Io { error, .. } if is_of_block(error))
}

fn is_of_block(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN))
}

/// Whether an error of reading an open file is that file's own: a bad block, an end that comes too early, or that the
/// server of a network file system does not know it any more.
fn is_of_file(error: &io::Error) -> bool {
    is_of_block(error) || error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error() == Some(libc::ESTALE)
}

/// Hashes all of a file that should be `size` bytes long; `None` when told to stop. Leaves the page cache as it was: what
/// was not in it does not stay, and what is hot is not pushed out.
fn hash(
    file: &File,
    size: u64,
    pace: &mut dyn FnMut(Duration, u64) -> ControlFlow<()>,
) -> io::Result<Option<Verifier>> {
    // No readahead: what it brings in would look as if it had been there.
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
        let at_hand = rustix::io::preadv2(file, &mut [IoSliceMut::new(piece)], at, ReadWriteFlags::NOWAIT);
        if at_hand != Ok(piece.len()) {
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
