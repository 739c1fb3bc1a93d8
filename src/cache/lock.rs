//! The lock on the directory: one process at a time, and it says who.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::CacheError;

/// How often, and after which pauses, the lock is tried again: a second in all. A server that was killed a moment ago
/// holds it until the system has closed its files, and a child holds what it inherited until it has become its program.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The held lock. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Whether the pid could be written: a read-only directory is locked all the same, for those who read it.
    named: bool,
}

impl Lock {
    /// Takes the lock at `path` for the cache in `dir`, and writes this process's pid into it.
    ///
    /// [`CacheError::Locked`] where another holds it; [`CacheError::Io`] where there is no such file and none can be made.
    pub(super) fn take(path: &Path, dir: &Path) -> Result<Self, CacheError> {
        let writable = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let (file, named) = match writable {
            Ok(file) => (file, true),
            Err(error) => (File::open(path).map_err(|_| CacheError::io("lock", path)(error))?, false),
        };
        let mut locked = file.try_lock();
        for _ in 0..TRIES {
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(PAUSE);
            locked = file.try_lock();
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CacheError::Locked { dir: dir.to_owned(), pid: holder(file) }),
            Err(TryLockError::Error(error)) => return Err(CacheError::io("lock", path)(error)),
        }
        if named {
            name_holder(&file).map_err(CacheError::io("write", path))?;
        }
        Ok(Self { file, named })
    }

    /// Whether the lock still stands for what is at `path`: nobody replaced the directory under it. Writes the pid where
    /// that could not be done before.
    pub(super) fn is_current(&mut self, path: &Path) -> bool {
        let (Ok(held), Ok(there)) = (self.file.metadata(), fs::metadata(path)) else { return false };
        let current = (held.dev(), held.ino()) == (there.dev(), there.ino());
        if current && !self.named {
            let writable = OpenOptions::new().write(true).open(path);
            self.named = writable.and_then(|file| name_holder(&file)).is_ok();
        }
        current
    }
}

/// The pid that the holder of the lock at `path` gives, if another process holds it. Takes nothing.
pub(super) fn seen(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    // Shared: two who look at one time do not take each other for the holder.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| holder(file))
}

fn name_holder(file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
}

/// The pid in the lock file. The holder writes it a moment after it took the lock.
fn holder(file: File) -> String {
    let mut text = String::new();
    // Twenty bytes hold any pid; the file is another process's, so no more than that is believed.
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
    fn writes_its_pid_and_lets_go_when_dropped() {
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
    fn sees_that_the_directory_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut lock = Lock::take(&path, dir.path()).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!lock.is_current(&path));
        fs::write(&path, "").unwrap();
        assert!(!lock.is_current(&path));
    }

    #[test]
    fn is_held_against_another_process_until_that_dies() {
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
