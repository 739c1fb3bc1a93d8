//! Files that are read again when they change, such as certificates and token lists. It does not know what is in them.
//!
//! Changes are found by polling `stat(2)`: that works on every file system, through symbolic links, and in containers
//! where files are mounted.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::task;

/// The identity and state of a file: it differs after the file was written, replaced, or its symbolic link was changed.
/// Only the metadata are compared, not the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFingerprint {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the change time, which unlike the modification time cannot be set back.
    changed: (i64, i64),
}

impl FileFingerprint {
    /// The fingerprint of the file at `path` now. `None` if it does not exist or its metadata cannot be read. Blocks.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), length: meta.len(), changed })
    }
}

/// One or more files that are read together, and read again when any of them changes.
#[derive(Debug)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    /// Fingerprints from before the last successful read.
    good: Vec<Option<FileFingerprint>>,
    /// Fingerprints from before the last read, if it failed.
    failed: Option<Vec<Option<FileFingerprint>>>,
}

impl WatchedFiles {
    /// Reads the files at `paths` by calling `read`. Fails if `read` fails. Blocks.
    pub fn open<T, E>(
        paths: impl IntoIterator<Item = PathBuf>,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<(Self, T), E> {
        let paths: Vec<_> = paths.into_iter().collect();
        // Before the read: a change during the read is found by the next call of `reload`.
        let good = fingerprints(&paths);
        let value = read()?;
        Ok((Self { paths, good, failed: None }, value))
    }

    /// Calls `read` if a file changed since the last successful read. Blocks.
    ///
    /// Returns `None` if there is nothing new: no file changed, or reading fails and that was returned already. A failed
    /// read is tried again at each call even if the files stay as they are, because the reason may lie elsewhere (no
    /// free file descriptor, say).
    pub fn reload<T, E>(&mut self, read: impl FnOnce() -> Result<T, E>) -> Option<Result<T, E>> {
        let found = fingerprints(&self.paths);
        if self.failed.is_none() && found == self.good {
            return None;
        }
        match read() {
            Ok(value) => {
                (self.good, self.failed) = (found, None);
                Some(Ok(value))
            }
            Err(error) => {
                let known = self.failed.as_ref() == Some(&found);
                self.failed = Some(found);
                (!known).then_some(Err(error))
            }
        }
    }
}

fn fingerprints(paths: &[PathBuf]) -> Vec<Option<FileFingerprint>> {
    paths.iter().map(|path| FileFingerprint::of(path)).collect()
}

/// Runs `poll` on a blocking thread every `period` until `stop` is cancelled. If it panics, only that run is lost.
pub async fn poll_until(period: Duration, stop: CancellationToken, poll: impl Fn() + Send + Sync + 'static) {
    let poll = Arc::new(poll);
    // A blocking thread does not inherit the subscriber of the calling thread, which tests set.
    let subscriber = tracing::dispatcher::get_default(Clone::clone);
    let polling = async {
        loop {
            tokio::time::sleep(period).await;
            let (poll, subscriber) = (Arc::clone(&poll), subscriber.clone());
            // The panic hook has logged a panic; the next run does not depend on this one.
            let _ = task::try_blocking(move || tracing::dispatcher::with_default(&subscriber, || poll())).await;
        }
    };
    stop.run_until_cancelled(polling).await;
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct TestFile {
        _dir: tempfile::TempDir,
        path: PathBuf,
        watched: WatchedFiles,
    }

    impl TestFile {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            fs::write(&path, "first").unwrap();
            let (watched, text) = WatchedFiles::open([path.clone()], || fs::read_to_string(&path)).unwrap();
            assert_eq!(text, "first");
            Self { _dir: dir, path, watched }
        }

        fn replace(&self, text: &str) {
            let new = self.path.with_extension("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, &self.path).unwrap();
        }

        /// Reads again; a text that begins with `bad` is an error.
        fn reload(&mut self) -> Option<Result<String, String>> {
            let path = &self.path;
            self.watched.reload(|| match fs::read_to_string(path) {
                Ok(text) if text.starts_with("bad") => Err(text),
                read => read.map_err(|error| error.to_string()),
            })
        }
    }

    #[test]
    fn unchanged_file_is_not_read() {
        let mut file = TestFile::new();
        assert_eq!(file.watched.reload(|| -> Result<(), ()> { panic!("it was read") }), None);
        assert_eq!(file.reload(), None);
    }

    #[test]
    fn replaced_file_is_read_once() {
        let mut file = TestFile::new();
        file.replace("other");
        assert_eq!(file.reload(), Some(Ok("other".to_owned())));
        assert_eq!(file.reload(), None);
    }

    #[test]
    fn each_failure_is_returned_once() {
        let mut file = TestFile::new();
        file.replace("bad");
        assert_eq!(file.reload(), Some(Err("bad".to_owned())));
        assert_eq!(file.reload(), None);
        file.replace("bad too");
        assert_eq!(file.reload(), Some(Err("bad too".to_owned())));
        file.replace("good");
        assert_eq!(file.reload(), Some(Ok("good".to_owned())));
        assert_eq!(file.reload(), None);
    }

    #[test]
    fn missing_file_fails_once_and_recovers() {
        let mut file = TestFile::new();
        fs::remove_file(&file.path).unwrap();
        assert!(matches!(file.reload(), Some(Err(_))));
        assert_eq!(file.reload(), None);
        file.replace("back");
        assert_eq!(file.reload(), Some(Ok("back".to_owned())));
    }

    #[test]
    fn transient_failure_is_retried_without_change() {
        let mut file = TestFile::new();
        file.replace("new");
        assert_eq!(file.watched.reload(|| Err::<(), _>("no file descriptor")), Some(Err("no file descriptor")));
        assert_eq!(file.watched.reload(|| Err::<(), _>("no file descriptor")), None);
        assert_eq!(file.reload(), Some(Ok("new".to_owned())));
        assert_eq!(file.reload(), None);
    }

    #[test]
    fn any_of_several_files_triggers_read() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().join("cert"), dir.path().join("key")];
        for path in &paths {
            fs::write(path, "1").unwrap();
        }
        let (mut watched, ()) = WatchedFiles::open(paths.clone(), || Ok::<_, ()>(())).unwrap();
        for path in &paths {
            fs::write(path, "22").unwrap();
            assert_eq!(watched.reload(|| Ok::<_, ()>(())), Some(Ok(())), "{}", path.display());
            assert_eq!(watched.reload(|| Ok::<_, ()>(())), None);
        }
    }

    #[test]
    fn fingerprint_follows_symbolic_links() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, link) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("link"));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "2").unwrap();
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert_eq!(FileFingerprint::of(&link), FileFingerprint::of(&one));
        fs::remove_file(&link).unwrap();
        assert_eq!(FileFingerprint::of(&link), None);
        std::os::unix::fs::symlink(&two, &link).unwrap();
        assert_eq!(FileFingerprint::of(&link), FileFingerprint::of(&two));
        assert_ne!(FileFingerprint::of(&one), FileFingerprint::of(&two));
    }

    #[tokio::test]
    async fn polling_survives_panic_and_stops() {
        let (runs, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (counted, stopped) = (Arc::clone(&runs), stop.clone());
        let poll = move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 => std::panic::resume_unwind(Box::new("the first run")),
            1 => {}
            _ => stopped.cancel(),
        };
        poll_until(Duration::from_millis(1), stop, poll).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
