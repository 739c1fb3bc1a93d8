//! A check that blobs can be stored: writes, syncs and renames a file as an admission does, in the same directories, and removes
//! it. It takes no lock: a server may be using the cache.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::{fs, process, thread};

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::CacheError;
use super::dir::Dir;
use crate::fault_points::FaultPoints;

/// A user and a group, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteUser {
    /// The user's id.
    pub user: u32,
    /// The group's id.
    pub group: u32,
}

/// Stores a file below `partial/` and `blobs/` of the cache in `dir`, and removes it: as this process, or as another user if
/// `user` is given, which only root may do. If the cache does not exist yet, the nearest existing directory above it is tried
/// instead. Blocks.
pub fn check_writes(dir: &Path, user: Option<WriteUser>) -> Result<(), CacheError> {
    let Some(user) = user else { return store(dir) };
    // The identity of a thread cannot be taken back, so it is that of a thread of its own.
    let work = || {
        let group = Gid::from_raw(user.group);
        let become_user = set_thread_groups(&[group])
            .and_then(|()| set_thread_gid(group))
            .and_then(|()| set_thread_uid(Uid::from_raw(user.user)));
        become_user.map_err(|error| CacheError::io("become the owner of", dir)(error.into()))?;
        store(dir)
    };
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(payload) => std::panic::resume_unwind(payload),
    })
}

fn store(root: &Path) -> Result<(), CacheError> {
    let dir = Dir::new(root.to_owned(), FaultPoints::default());
    let name = format!("check-{}-{:016x}", process::id(), fastrand::u64(..));
    for path in [root.join("blobs"), dir.blobs(), dir.partials()] {
        if path.exists() && !path.is_dir() {
            return Err(CacheError::io("open", &path)(std::io::ErrorKind::NotADirectory.into()));
        }
    }
    if dir.partials().is_dir() && dir.blobs().is_dir() {
        return admit(&dir, &dir.partials().join(&name), &dir.blobs(), &name);
    }
    // The server would make the directories.
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    let trial = Dir::new(existing.join(format!(".bootdepot-{name}")), FaultPoints::default());
    let stored = trial.ensure().and_then(|()| admit(&trial, &trial.partials().join(&name), &trial.blobs(), &name));
    let removed = match fs::remove_dir_all(trial.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CacheError::io("remove", trial.root())(error))
        }
        _ => Ok(()),
    };
    stored.and(removed)
}

/// Writes `partial`, moves it below `blobs` in a directory of its own as blobs have, and removes both.
fn admit(dir: &Dir, partial: &Path, blobs: &Path, name: &str) -> Result<(), CacheError> {
    let below: PathBuf = blobs.join(name);
    let blob = below.join(name);
    let steps = || {
        let file = dir.create(partial)?;
        dir.write(&file, partial, 0, &mut [IoSlice::new(b"bootdepot check\n")])?;
        dir.sync(&file, partial)?;
        dir.make_dir(&below)?;
        dir.rename(partial, &blob)?;
        dir.sync_dir(&below)
    };
    let stored = steps();
    let removed = dir.remove(partial).and_then(|()| dir.remove(&blob)).and_then(|()| match fs::remove_dir(&below) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CacheError::io("remove", &below)(error)),
        _ => Ok(()),
    });
    stored.and(removed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

    use super::*;

    fn entries(dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn existing() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::new(temp.path().join("cache"), FaultPoints::default());
        dir.ensure().unwrap();
        (temp, dir)
    }

    #[test]
    fn write_check_leaves_nothing_behind() {
        let (temp, dir) = existing();
        check_writes(dir.root(), None).unwrap();
        assert_eq!((entries(&dir.partials()), entries(&dir.blobs())), (Vec::new(), Vec::new()));
        check_writes(&temp.path().join("not/yet"), None).unwrap();
        assert_eq!(entries(temp.path()), [dir.root()]);
    }

    #[test]
    fn file_in_blobs_place_fails() {
        let (_temp, dir) = existing();
        fs::remove_dir(dir.blobs()).unwrap();
        fs::write(dir.blobs(), "").unwrap();
        let error = check_writes(dir.root(), None).unwrap_err();
        assert!(matches!(&error, CacheError::Io { path, .. } if *path == dir.blobs()), "{error}");
    }

    #[test]
    fn other_user_fails_on_roots_directory() {
        if !rustix::process::geteuid().is_root() {
            return bootdepot_test_support::skip::note("only root can become another user");
        }
        let (temp, dir) = existing();
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let user = WriteUser { user: 4321, group: 4321 };
        let error = check_writes(dir.root(), Some(user)).unwrap_err();
        assert!(error.to_string().starts_with("create "), "{error}");
        for path in [dir.partials(), dir.blobs()] {
            chown(&path, Some(4321), Some(4321)).unwrap();
        }
        check_writes(dir.root(), Some(user)).unwrap();
        assert_eq!(fs::metadata(dir.partials()).unwrap().uid(), 4321);
        assert!(rustix::process::geteuid().is_root(), "the process keeps its user");
    }
}
