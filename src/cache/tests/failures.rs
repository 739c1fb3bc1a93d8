//! Directories that are read-only, full, or deleted.

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::*;

/// A tmpfs of its own. `None` if this machine does not allow mounts.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let temp = tempfile::tempdir().unwrap();
        // By system call: a mount(8) process would inherit the files that other tests have open while it starts.
        let size = std::ffi::CString::new(format!("size={size}")).unwrap();
        match mount("tmpfs", temp.path(), "tmpfs", MountFlags::empty(), size.as_c_str()) {
            Ok(()) => Some(Self(temp)),
            Err(error) => {
                bootdepot_test_support::skip::note(&format!("no tmpfs can be mounted here: {error}"));
                None
            }
        }
    }

    fn remount(&self, flags: MountFlags) {
        mount_remount(self.0.path(), flags, c"").unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[test]
fn read_only_cache_serves_and_recovers() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let dir = disk.0.path().join("cache");
    let (cached, new) = (blob(1, 2_000), blob(2, 2_000));
    fill(&open(&dir, 1 << 20), &cached).unwrap();
    disk.remount(MountFlags::RDONLY);
    let cache = open(&dir, 1 << 20);
    let sentence = format!("[cache] dir {} cannot be written: Read-only file system", dir.display());
    assert_eq!(cache.writable(), Err(sentence.clone()));
    assert_eq!(read(&cache.get(&Digest::of(&cached)).unwrap()), cached);
    let error = fill(&cache, &new).unwrap_err();
    assert!(matches!(&error, CacheError::Io { error, .. } if error.raw_os_error() == Some(libc::EROFS)), "{error}");
    assert_eq!(cache.stats().partial_entries, 0);
    assert!(Cache::open(settings(&dir, 1 << 20)).is_err(), "it is locked nevertheless");
    disk.remount(MountFlags::empty());
    fill(&cache, &new).unwrap();
    assert_eq!(cache.writable(), Ok(()));
    assert_eq!(fs::read_to_string(dir.join("lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn missing_directory_on_read_only_disk() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    disk.remount(MountFlags::RDONLY);
    let dir = disk.0.path().join("cache");
    let cache = open(&dir, 1 << 20);
    assert_eq!(
        cache.writable(),
        Err(format!("[cache] dir {} cannot be written: Read-only file system", dir.display()))
    );
    assert!(cache.list().is_empty());
    disk.remount(MountFlags::empty());
    assert_eq!(cache.probe(), Ok(()));
}

#[test]
fn full_disk_evicts_before_no_space() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let cache = Cache::open(CacheSettings { dir: disk.0.path().into(), max_size: 1 << 30, min_free: 100_000, seal: SealPolicy::Off }).unwrap();
    let (first, second) = (blob(1, 500_000), blob(2, 600_000));
    fill(&cache, &first).unwrap();
    fill(&cache, &second).unwrap();
    assert!(cache.size_of(&Digest::of(&first)).is_none(), "the disk is too small for both");
    cache.pin(&Digest::of(&second));
    let error = fill(&cache, &first).unwrap_err();
    assert!(matches!(error, CacheError::NoSpace { wanted: 500_000, .. }), "{error}");
    assert_eq!(cache.probe(), Ok(()), "smaller blobs still fit");

    // A file of another program takes the rest.
    fs::write(disk.0.path().join("foreign"), vec![0; 350_000]).unwrap();
    let error = cache.partial(&Digest::of(b""), 10, PART).unwrap_err();
    assert!(error.to_string().starts_with("no space for 10 bytes: "), "{error}");
    let sentence = cache.writable().unwrap_err();
    let full = format!("[cache] dir {} is full: ", disk.0.path().display());
    assert!(sentence.starts_with(&full) && sentence.contains("min_free keeps 100000 of them free"), "{sentence}");
    cache.unpin(&Digest::of(&second));
    fill(&cache, &first).unwrap();
    assert_eq!(cache.probe(), Ok(()));
    assert_consistent(&cache);
}

#[test]
fn failed_allocation_evicts_again() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), 10_000), faults.clone()).unwrap();
    let (old, new) = (blob(1, 2_000), blob(2, 2_000));
    fill(&cache, &old).unwrap();
    // The second fault point is the allocation, which a quota forbids.
    faults.fail(1..2, libc::EDQUOT);
    fill(&cache, &new).unwrap();
    assert!(cache.size_of(&Digest::of(&old)).is_none());
    let held = cache.get(&Digest::of(&new)).unwrap();
    faults.fail(1..2, libc::ENOSPC);
    let error = fill(&cache, &old).unwrap_err();
    assert!(matches!(error, CacheError::NoSpace { wanted: 2_000, .. }), "{error}");
    assert_eq!(read(&held), new);
    assert_eq!(cache.stats().partial_entries, 0);
    assert_consistent(&cache);
}

#[test]
fn impossible_directory_recovers_when_possible() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let dir = file.join("cache");
    let cache = open(&dir, 1 << 20);
    assert_eq!(cache.writable(), Err(format!("[cache] dir {} cannot be written: Not a directory", dir.display())));
    assert!(matches!(fill(&cache, b"bytes"), Err(CacheError::Io { .. })));
    fs::remove_file(&file).unwrap();
    fill(&cache, b"bytes").unwrap();
    assert_eq!(cache.writable(), Ok(()));
    assert_consistent(&cache);
}

#[test]
fn deleted_directory_is_created_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("cache");
    let cache = open(&dir, 1 << 20);
    let (held, idle) = (blob(1, 2_000), blob(2, 2_000));
    let reader = fill(&cache, &held).unwrap();
    fill(&cache, &idle).unwrap();
    let in_progress = cache.partial(&Digest::of(b"in progress"), 2_000, PART).unwrap();
    drop(cache.partial(&Digest::of(b"left"), 2_000, PART).unwrap());
    fs::remove_dir_all(&dir).unwrap();
    fill(&cache, b"bytes").unwrap();
    assert_eq!(cache.writable(), Ok(()));
    assert_eq!(read(&reader), held);
    assert!(cache.get(&Digest::of(&held)).is_none() && cache.get(&Digest::of(&idle)).is_none());
    in_progress.write_at(0, &[Bytes::from_static(b"written to a deleted file")]).unwrap();
    assert_eq!(cache.stats().partial_bytes, 2_000);
    drop(in_progress);
    drop(cache.partial(&Digest::of(b"in progress"), 2_000, PART).unwrap());
    assert_consistent(&cache);
    assert!(Cache::open(settings(&dir, 1 << 20)).is_err(), "the new directory is locked, too");
}

#[test]
fn restored_directory_is_scanned_again() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, away) = (temp.path().join("cache"), temp.path().join("away"));
    let bytes = blob(1, 2_000);
    let cache = open(&dir, 1 << 20);
    fill(&cache, &bytes).unwrap();
    fs::rename(&dir, &away).unwrap();
    assert_eq!(cache.probe(), Ok(()));
    assert!(cache.list().is_empty());
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&away, &dir).unwrap();
    assert_eq!(cache.probe(), Ok(()));
    assert_eq!(read(&cache.get(&Digest::of(&bytes)).unwrap()), bytes);
}

#[test]
fn foreign_files_are_kept() {
    let temp = tempfile::tempdir().unwrap();
    drop(open(temp.path(), 1 << 20));
    let foreign = temp.path().join("partial/notes.txt");
    fs::write(&foreign, "mine").unwrap();
    let cache = open(temp.path(), 100);
    drop(cache.partial(&Digest::of(b""), 100, PART).unwrap());
    assert_eq!(fs::read_to_string(foreign).unwrap(), "mine");
}
