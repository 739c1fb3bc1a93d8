//! Directories that cannot be written, are full, or go away.

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::*;

/// A file system of its own in memory, as far as this machine lets us.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let temp = tempfile::tempdir().unwrap();
        // By system call: while a mount(8) is being started it holds whatever files the other tests have open.
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
fn what_is_read_only_is_served_and_heals_when_it_can_be_written() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let dir = disk.0.path().join("cache");
    let (here, new) = (blob(1, 2_000), blob(2, 2_000));
    fill(&open(&dir, 1 << 20), &here).unwrap();
    disk.remount(MountFlags::RDONLY);
    let cache = open(&dir, 1 << 20);
    let sentence = format!("[cache] dir {} cannot be written: Read-only file system", dir.display());
    assert_eq!(cache.writable(), Err(sentence.clone()));
    assert_eq!(read(&cache.get(&Digest::of(&here)).unwrap()), here);
    let error = fill(&cache, &new).unwrap_err();
    assert!(matches!(&error, CacheError::Io { error, .. } if error.raw_os_error() == Some(libc::EROFS)), "{error}");
    assert_eq!(cache.stats().partial_entries, 0);
    assert!(Cache::open(settings(&dir, 1 << 20)).is_err(), "it is locked all the same");
    disk.remount(MountFlags::empty());
    fill(&cache, &new).unwrap();
    assert_eq!(cache.writable(), Ok(()));
    assert_eq!(fs::read_to_string(dir.join("lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn an_unmade_directory_on_a_read_only_disk_opens_empty() {
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
fn a_full_disk_evicts_and_then_says_that_there_is_no_room() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let cache = Cache::open(CacheSettings { dir: disk.0.path().into(), max_size: 1 << 30, min_free: 100_000 }).unwrap();
    let (first, second) = (blob(1, 500_000), blob(2, 600_000));
    fill(&cache, &first).unwrap();
    fill(&cache, &second).unwrap();
    assert!(cache.size_of(&Digest::of(&first)).is_none(), "the disk is too small for both");
    cache.pin(&Digest::of(&second));
    let error = fill(&cache, &first).unwrap_err();
    assert!(matches!(error, CacheError::NoSpace { wanted: 500_000, .. }), "{error}");
    assert_eq!(cache.probe(), Ok(()), "there is room for smaller ones");

    // Another's file takes the rest.
    fs::write(disk.0.path().join("foreign"), vec![0; 350_000]).unwrap();
    let error = cache.partial(&Digest::of(b""), 10, PART).unwrap_err();
    assert!(error.to_string().starts_with("no room for 10 bytes: "), "{error}");
    let sentence = cache.writable().unwrap_err();
    let full = format!("[cache] dir {} is full: ", disk.0.path().display());
    assert!(sentence.starts_with(&full) && sentence.contains("min_free keeps 100000 of them"), "{sentence}");
    cache.unpin(&Digest::of(&second));
    fill(&cache, &first).unwrap();
    assert_eq!(cache.probe(), Ok(()));
    assert_consistent(&cache);
}

#[test]
fn a_disk_that_fills_up_unseen_evicts_once_more() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), 10_000), faults.clone()).unwrap();
    let (old, new) = (blob(1, 2_000), blob(2, 2_000));
    fill(&cache, &old).unwrap();
    // create, then the allocation, which a quota forbids.
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
fn a_directory_that_cannot_be_opens_and_heals_when_it_can() {
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
fn a_directory_that_vanishes_is_made_again_and_loses_no_reader() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("cache");
    let cache = open(&dir, 1 << 20);
    let (held, idle) = (blob(1, 2_000), blob(2, 2_000));
    let reader = fill(&cache, &held).unwrap();
    fill(&cache, &idle).unwrap();
    let under_way = cache.partial(&Digest::of(b"under way"), 2_000, PART).unwrap();
    drop(cache.partial(&Digest::of(b"left"), 2_000, PART).unwrap());
    fs::remove_dir_all(&dir).unwrap();
    fill(&cache, b"bytes").unwrap();
    assert_eq!(cache.writable(), Ok(()));
    assert_eq!(read(&reader), held);
    assert!(cache.get(&Digest::of(&held)).is_none() && cache.get(&Digest::of(&idle)).is_none());
    under_way.write_at(0, &[Bytes::from_static(b"goes nowhere, and does no harm")]).unwrap();
    assert_eq!(cache.stats().partial_bytes, 2_000);
    drop(under_way);
    drop(cache.partial(&Digest::of(b"under way"), 2_000, PART).unwrap());
    assert_consistent(&cache);
    assert!(Cache::open(settings(&dir, 1 << 20)).is_err(), "the new directory is locked, too");
}

#[test]
fn a_directory_that_comes_back_is_read_again() {
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
fn strangers_are_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(open(temp.path(), 1 << 20));
    let stranger = temp.path().join("partial/notes.txt");
    fs::write(&stranger, "mine").unwrap();
    let cache = open(temp.path(), 100);
    drop(cache.partial(&Digest::of(b""), 100, PART).unwrap());
    assert_eq!(fs::read_to_string(stranger).unwrap(), "mine");
}
