//! Whether the cache's directory can be written, and why not: asked by many, looked at now and then, logged seldom.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::CacheError;
use super::dir::Dir;
use super::lock::Lock;

/// How long an answer is taken for granted before the directory is looked at again.
const FRESH: Duration = Duration::from_secs(3);
/// The least time between two lines of the log about one trouble.
const QUIET: Duration = Duration::from_mins(1);

/// The state of the directory.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lock: Option<Lock>,
    trouble: Option<String>,
    looked: Option<Instant>,
    logged: Option<Instant>,
    looking: bool,
}

impl Health {
    /// Why nothing can be added, as of the last look.
    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Whether it is time to look again. Who is told so looks, and says [`Health::looked`] when done.
    pub(super) fn is_due(&self) -> bool {
        let mut state = self.state();
        let due = !state.looking && state.looked.is_none_or(|looked| looked.elapsed() >= FRESH);
        state.looking |= due;
        due
    }

    pub(super) fn looked(&self) {
        let mut state = self.state();
        state.looking = false;
        state.looked = Some(Instant::now());
    }

    /// All is well again.
    pub(super) fn heal(&self, root: &Path) {
        if self.state().trouble.take().is_some() {
            info!(dir = %root.display(), "the cache can be written again");
        }
    }

    /// Something went wrong that keeps blobs from being added.
    pub(super) fn worsen(&self, root: &Path, error: &CacheError) {
        let mut state = self.state();
        let sentence = sentence(root, error);
        if state.logged.is_none_or(|logged| logged.elapsed() >= QUIET) {
            warn!(%error, "{sentence}; assets go through unstored until that is mended");
            state.logged = Some(Instant::now());
        }
        state.trouble = Some(sentence);
    }

    /// Whether this process holds the directory's lock.
    pub(super) fn is_locked(&self) -> bool {
        self.state().lock.is_some()
    }

    /// Takes the lock, unless it is held and current. Returns whether it is another than before.
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operator should know, in one sentence.
fn sentence(root: &Path, error: &CacheError) -> String {
    let dir = root.display();
    match error {
        CacheError::NoSpace { reason, .. } => format!("[cache] dir {dir} is full: {reason}"),
        CacheError::Io { error, .. } => format!("[cache] dir {dir} cannot be written: {}", words(error)),
        other => other.to_string(),
    }
}

/// The system's words without the number that Rust adds to them.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_in_one_sentence() {
        let health = Health::default();
        let root = Path::new("/x");
        assert_eq!(health.trouble(), None);
        health.worsen(
            root,
            &CacheError::io("create", Path::new("/x/partial"))(io::Error::from_raw_os_error(libc::EROFS)),
        );
        assert_eq!(health.trouble().unwrap(), "[cache] dir /x cannot be written: Read-only file system");
        health.worsen(root, &CacheError::NoSpace { wanted: 1, reason: "3 bytes are free".to_owned() });
        assert_eq!(health.trouble().unwrap(), "[cache] dir /x is full: 3 bytes are free");
        health.heal(root);
        assert_eq!(health.trouble(), None);
    }

    #[test]
    fn one_looks_at_a_time_and_then_it_is_not_due() {
        let health = Health::default();
        assert!(health.is_due());
        assert!(!health.is_due());
        health.looked();
        assert!(!health.is_due());
    }
}
