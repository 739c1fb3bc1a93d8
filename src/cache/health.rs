//! Whether the cache's directory can be written, and if not, why. Callers read a stored result; probes refresh it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tracing::{info, warn};

use super::CacheError;
use super::dir::Dir;
use super::lock::Lock;
use crate::error_chain::error_chain;

/// How long a probe's result is used before the next probe.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// The least time between two log events about a directory that cannot be written.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The state of the directory.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lock: Option<Lock>,
    problem: Option<String>,
    /// The shortage of the disk, as one sentence.
    shortage: Option<String>,
    probed: Option<Instant>,
    logged: Option<Instant>,
    /// When a failure of a single path was last logged.
    path_logged: Option<Instant>,
    probing: bool,
}

impl Health {
    /// Why nothing can be added, as one sentence. `None` if blobs can be added, as of the last probe or write.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// Why blobs cannot be added although the directory can be written: the disk has too little space. As one sentence.
    pub(super) fn shortage(&self) -> Option<String> {
        self.state().shortage.clone()
    }

    /// Notes that the disk has too little space, or that it has enough again.
    pub(super) fn set_shortage(&self, root: &Path, error: Option<&CacheError>) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.shortage, error.map(|error| sentence(root, error)));
        match (&state.shortage, before) {
            (Some(reason), None) => {
                warn!(dir = %root.display(), reason, "disk full; assets are streamed without being stored");
            }
            (None, Some(_)) => info!(dir = %root.display(), "disk has space again"),
            _ => {}
        }
    }

    /// Returns whether it is time for a probe. If so, the caller must probe, and call [`Health::end_probe`] when done.
    pub(super) fn begin_probe(&self) -> bool {
        let mut state = self.state();
        let due = !state.probing && state.probed.is_none_or(|probed| probed.elapsed() >= PROBE_INTERVAL);
        state.probing |= due;
        due
    }

    /// Notes that a probe ended.
    pub(super) fn end_probe(&self) {
        let mut state = self.state();
        state.probing = false;
        state.probed = Some(Instant::now());
    }

    /// Notes that the directory can be written.
    pub(super) fn mark_writable(&self, root: &Path) {
        if self.state().problem.take().is_some() {
            info!(dir = %root.display(), "cache writable again");
        }
    }

    /// Notes that blobs cannot be added because of `error`.
    pub(super) fn mark_failed(&self, root: &Path, error: &CacheError) {
        let mut state = self.state();
        let sentence = sentence(root, error);
        if state.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            warn!(dir = %root.display(), %error, reason = sentence, "cache not writable; assets are streamed without being stored");
            state.logged = Some(Instant::now());
        }
        state.problem = Some(sentence);
    }

    /// Logs that an operation on one path failed while the cache as a whole can be written.
    pub(super) fn log_bad_path(&self, error: &CacheError) {
        let mut state = self.state();
        if state.path_logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            warn!(error = %error_chain(error), "cache file not usable");
            state.path_logged = Some(Instant::now());
        }
    }

    /// Whether this process holds the directory's lock.
    pub(super) fn is_locked(&self) -> bool {
        self.state().lock.is_some()
    }

    /// Takes the lock, unless it is held and current. Returns whether it was taken by this call.
    pub(super) fn relock(&self, dir: &Dir) -> Result<bool, CacheError> {
        let mut state = self.state();
        let path = dir.lock_file();
        if state.lock.as_mut().is_some_and(|lock| lock.is_current(&path)) {
            return Ok(false);
        }
        state.lock = None;
        state.lock = Some(Lock::take(&path, dir.root())?);
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// The problem in one sentence, for operators.
fn sentence(root: &Path, error: &CacheError) -> String {
    let dir = root.display();
    match error {
        CacheError::NoSpace { reason, .. } => format!("[cache] dir {dir} is full: {reason}"),
        CacheError::Io { error, .. } => format!("[cache] dir {dir} cannot be written: {}", without_number(error)),
        other => other.to_string(),
    }
}

/// The system's message without the error number that Rust appends.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_is_one_sentence() {
        let health = Health::default();
        let root = Path::new("/x");
        assert_eq!(health.problem(), None);
        health.mark_failed(
            root,
            &CacheError::io("create", Path::new("/x/partial"))(io::Error::from_raw_os_error(libc::EROFS)),
        );
        assert_eq!(health.problem().unwrap(), "[cache] dir /x cannot be written: Read-only file system");
        health.mark_writable(root);
        assert_eq!(health.problem(), None);
        let full = CacheError::NoSpace { wanted: 1, reason: "3 bytes are free".to_owned() };
        health.set_shortage(root, Some(&full));
        assert_eq!(health.shortage().unwrap(), "[cache] dir /x is full: 3 bytes are free");
        assert_eq!(health.problem(), None, "assets are streamed through");
        health.set_shortage(root, None);
        assert_eq!(health.shortage(), None);
    }

    #[test]
    fn one_probe_at_a_time_then_none_due() {
        let health = Health::default();
        assert!(health.begin_probe());
        assert!(!health.begin_probe());
        health.end_probe();
        assert!(!health.begin_probe());
    }
}
