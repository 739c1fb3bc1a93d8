//! The lock of the directory: one process at a time may hold it, and the lock file contains its pid.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::CacheError;
use crate::durable_file::open_regular;

/// Retries, and the pause before each: a second in all. A server that was just killed holds the lock until the kernel has
/// closed its files, and a child process holds inherited files until its `exec`.
const RETRIES: u32 = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The held lock. The kernel releases it when the process ends, even if it is killed.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Whether the pid could be written. On a read-only file system the lock is taken without it.
    has_pid: bool,
}

impl Lock {
    /// Takes the lock at `path` for the cache in `dir`, and writes this process's pid into it.
    ///
    /// Fails with [`CacheError::Locked`] if another process holds it, and with [`CacheError::Io`] if the file does not exist
    /// and cannot be created.
    pub(super) fn take(path: &Path, dir: &Path) -> Result<Self, CacheError> {
        let writable = open_regular(path, OpenOptions::new().read(true).write(true).create(true).truncate(false), 0);
        let (file, has_pid) = match writable {
            Ok(file) => (file, true),
            Err(error) => (open_to_read(path).map_err(|_| CacheError::io("lock", path)(error))?, false),
        };
        let mut locked = file.try_lock();
        for _ in 0..RETRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(RETRY_PAUSE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CacheError::Locked { dir: dir.to_owned(), pid: read_pid(file) });
            }
            Err(TryLockError::Error(error)) => return Err(CacheError::io("lock", path)(error)),
        }
        if has_pid {
            write_pid(&file).map_err(CacheError::io("write", path))?;
        }
        Ok(Self { file, has_pid })
    }

    /// Whether the locked file is still the one at `path`, so that the directory was not replaced. Writes the pid if that
    /// was not possible before.
    pub(super) fn is_current(&mut self, path: &Path) -> bool {
        let (Ok(locked), Ok(found)) = (self.file.metadata(), fs::symlink_metadata(path)) else { return false };
        let current = (locked.dev(), locked.ino()) == (found.dev(), found.ino());
        if current && !self.has_pid {
            let writable = open_regular(path, OpenOptions::new().write(true), 0);
            self.has_pid = writable.and_then(|file| write_pid(&file)).is_ok();
        }
        current
    }
}

/// The pid of the process that holds the lock at `path`. `None` if no process holds it. Does not take the lock.
pub(super) fn holder(path: &Path) -> Option<String> {
    let file = open_to_read(path).ok()?;
    // A shared lock, so that two processes that check at the same time do not see each other as the holder.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| read_pid(file))
}

fn open_to_read(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true), 0)
}

fn write_pid(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
}

/// The pid in the lock file, or `unknown`: the holder writes it a moment after it took the lock.
fn read_pid(file: File) -> String {
    let mut text = String::new();
    // Twenty bytes are enough for any pid. Another process writes the file, so no more than that is read.
    let read = file.take(20).read_to_string(&mut text);
    match text.trim() {
        pid if read.is_ok() && !pid.is_empty() => pid.to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn lock_writes_pid_and_drop_releases() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut lock = Lock::take(&path, dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(lock.is_current(&path));
        let error = Lock::take(&path, dir.path()).unwrap_err();
        assert!(matches!(&error, CacheError::Locked { pid, .. } if *pid == std::process::id().to_string()));
        drop(lock);
        Lock::take(&path, dir.path()).unwrap();
    }

    #[test]
    fn link_in_place_of_lock_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("lock"), dir.path().join("target"));
        fs::write(&target, "of somebody else").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(Lock::take(&path, dir.path()), Err(CacheError::Io { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "of somebody else");
        assert_eq!(holder(&path), None);
    }

    #[test]
    fn replaced_lock_file_is_not_current() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut lock = Lock::take(&path, dir.path()).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!lock.is_current(&path));
        fs::write(&path, "").unwrap();
        assert!(!lock.is_current(&path));
    }

    #[test]
    fn lock_excludes_other_process_until_exit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // util-linux's flock(1) holds the lock as long as the shell under it lives: until its input ends.
        let mut holder = Command::new("flock")
            .args([path.as_os_str(), "sh".as_ref(), "-c".as_ref(), "echo $$ > \"$0\"; echo $$; read end".as_ref()])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let error = Lock::take(&path, Path::new("/c")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the cache /c is in use by process {}; stop it, or give this one another [cache] dir", pid.trim())
        );
        holder.stdin.take().unwrap().write_all(b"\n").unwrap();
        holder.wait().unwrap();
        Lock::take(&path, dir.path()).unwrap();
    }
}
