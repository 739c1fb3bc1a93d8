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
    let cache = Cache::open(CacheSettings {
        dir: disk.0.path().into(),
        max_size: 1 << 30,
        min_free: 100_000,
        seal: SealPolicy::Off,
    })
    .unwrap();
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
    assert_eq!(cache.writable(), Ok(()), "assets are streamed through");
    let sentence = cache.shortage().unwrap();
    let full = format!("[cache] dir {} is full: ", disk.0.path().display());
    assert!(sentence.starts_with(&full) && sentence.contains("min_free keeps 100000 of them free"), "{sentence}");
    cache.unpin(&Digest::of(&second));
    fill(&cache, &first).unwrap();
    assert_eq!((cache.probe(), cache.shortage()), (Ok(()), None));
    fs::remove_file(disk.0.path().join("foreign")).unwrap();
    assert_consistent(&cache);
}

#[test]
fn min_free_is_kept_when_others_write() {
    let Some(disk) = Tmpfs::mount("1m") else { return };
    let settings =
        CacheSettings { dir: disk.0.path().join("cache"), max_size: 1 << 30, min_free: 300_000, seal: SealPolicy::Off };
    let cache = Cache::open(settings).unwrap();
    let blobs: Vec<_> = (0..5).map(|seed| blob(seed, 100_000)).collect();
    for bytes in &blobs {
        fill(&cache, bytes).unwrap();
    }
    fs::write(disk.0.path().join("foreign"), vec![0; 350_000]).unwrap();
    assert_eq!((cache.probe(), cache.shortage()), (Ok(()), None));
    assert!(cache.free() >= 300_000, "{} bytes are free", cache.free());
    let cached = |n: usize| cache.size_of(&Digest::of(&blobs[n])).is_some();
    assert!(!cached(0) && cached(4), "the least recently used are evicted");

    // No eviction makes up for this.
    cache.pin(&Digest::of(&blobs[4]));
    let entries = cache.stats().blob_entries;
    fs::write(disk.0.path().join("more"), vec![0; 600_000]).unwrap_err();
    assert_eq!(cache.probe(), Ok(()));
    assert!(cache.shortage().unwrap().contains("min_free keeps 300000 of them free"));
    assert_eq!(cache.stats().blob_entries, entries, "evicting would not help");
    fs::remove_file(disk.0.path().join("more")).unwrap();
    assert_eq!((cache.probe(), cache.shortage()), (Ok(()), None));
}

#[test]
fn no_inodes_left_evicts_blobs() {
    let Some(disk) = Tmpfs::mount("8m,nr_inodes=40") else { return };
    let cache = open(&disk.0.path().join("cache"), 1 << 30);
    for seed in 0..60 {
        let bytes = blob(seed, 2_000);
        let entry = fill(&cache, &bytes).unwrap_or_else(|error| panic!("blob {seed}: {error}"));
        assert_eq!(read(&entry), bytes);
    }
    assert_eq!((cache.probe(), cache.shortage()), (Ok(()), None));
    assert!(cache.stats().blob_entries > 5, "only what is necessary is evicted");
    assert_consistent(&cache);
}

#[test]
fn inodes_of_other_files_are_shortage() {
    let Some(disk) = Tmpfs::mount("8m,nr_inodes=30") else { return };
    let cache = open(&disk.0.path().join("cache"), 1 << 30);
    let taken = (0..1000).take_while(|n| fs::write(disk.0.path().join(n.to_string()), "").is_ok()).count();
    assert!(fill(&cache, b"bytes").is_err());
    assert_eq!(cache.probe(), Ok(()), "assets are streamed through");
    assert!(cache.shortage().unwrap().contains("No space left on device"), "{:?}", cache.shortage());
    for n in 0..taken {
        fs::remove_file(disk.0.path().join(n.to_string())).unwrap();
    }
    assert_eq!((cache.probe(), cache.shortage()), (Ok(()), None));
    fill(&cache, b"bytes").unwrap();
}

/// The immutable flag binds root too, unlike permissions.
fn make_immutable(path: &Path, immutable: bool) -> bool {
    let flag = if immutable { "+i" } else { "-i" };
    let changed = std::process::Command::new("chattr").arg(flag).arg(path).output();
    let changed = changed.is_ok_and(|output| output.status.success());
    if !changed {
        bootdepot_test_support::skip::note("chattr(1) cannot make a directory immutable here");
    }
    changed
}

#[test]
fn bad_shard_is_no_bad_cache() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    let shard = cache.store.dir.blob(&Digest::of(&bytes)).parent().unwrap().to_owned();
    fs::create_dir(&shard).unwrap();
    if !make_immutable(&shard, true) {
        return;
    }
    let partial = cache.partial(&Digest::of(&bytes), 2_000, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    let error = partial.admit(verified(&bytes)).unwrap_err();
    assert!(matches!(&error, CacheError::Io { action: "rename to", .. }), "{error}");
    assert_eq!(cache.writable(), Ok(()));
    let entry = partial.open_not_kept().unwrap();
    assert_eq!(read(&entry), bytes);
    assert_eq!(entry.map(ByteRange::new(5, 1_999)).unwrap().read().unwrap(), bytes[5..1_999]);
    assert!(entry.map_resident(ByteRange::new(5, 9)).is_none() && entry.read_resident(ByteRange::new(5, 9)).is_none());
    assert_eq!(cache.stats().partial_entries, 0);
    assert!(fs::read_dir(temp.path().join("partial")).unwrap().next().is_none(), "its space is free again");
    make_immutable(&shard, false);
    fill(&cache, &bytes).unwrap();
    assert_consistent(&cache);
}

#[test]
fn blob_on_bad_inode_is_unverified() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 5_000);
    let digest = Digest::of(&bytes);
    drop(fill(&open(temp.path(), 1 << 20), &bytes).unwrap());
    let hex = digest.to_string();
    let faults = FaultPoints::with_hook(move |action, path| {
        let fails = action == "open" && path.ends_with(&hex);
        if fails { Err(std::io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    });
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults).unwrap();
    assert_eq!(cache.size_of(&digest), Some(5_000));
    assert!(cache.get(&digest).is_none());
    assert_eq!((cache.size_of(&digest), cache.unverified_size_of(&digest)), (None, Some(5_000)), "it is fetched again");
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_eq!(cache.size_of(&digest), Some(5_000));
}

#[test]
fn immutable_partials_make_cache_unwritable() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    if !make_immutable(&temp.path().join("partial"), true) {
        return;
    }
    fill(&cache, b"bytes").unwrap_err();
    let sentence = format!("[cache] dir {} cannot be written: Operation not permitted", temp.path().display());
    assert_eq!(cache.writable(), Err(sentence));
    make_immutable(&temp.path().join("partial"), false);
    fill(&cache, b"bytes").unwrap();
    assert_eq!(cache.writable(), Ok(()));
}

#[test]
fn obstructions_are_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let (dir, partials) = (&cache.store.dir, temp.path().join("partial"));
    let obstruct: [fn(&Path); 4] = [
        |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("notes"), "mine").unwrap();
        },
        |path| fs::create_dir(path).unwrap(),
        |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
        |path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap(),
    ];
    for (seed, obstruct) in (0..).zip(obstruct) {
        for place in 0..4 {
            let bytes = blob(seed * 4 + place, 2_000);
            let digest = Digest::of(&bytes);
            let blob = dir.blob(&digest);
            fs::create_dir_all(blob.parent().unwrap()).unwrap();
            let path = match place {
                0 => blob,
                1 => dir.partial(&digest),
                2 => dir.log(&digest),
                _ => {
                    // A name that no other blob of this test shares is likely.
                    let shard = blob.parent().unwrap().to_owned();
                    if fs::remove_dir(&shard).is_err() || seed == 1 {
                        continue;
                    }
                    shard
                }
            };
            obstruct(&path);
            let entry = fill(&cache, &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(read(&entry), bytes, "{}", path.display());
            assert_eq!(read(&cache.get(&digest).unwrap()), bytes);
        }
    }
    assert_eq!(cache.writable(), Ok(()));
    assert!(fs::read_dir(&partials).unwrap().next().is_none());
    let aside: Vec<_> = fs::read_dir(temp.path().join("quarantine")).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(aside.iter().all(|path| path.to_string_lossy().contains(".foreign")), "{aside:?}");
    assert_eq!(aside.iter().filter(|path| path.join("notes").exists()).count(), 3, "nothing of an operator is deleted");
}

#[test]
fn removed_blob_directories_are_created_again() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    let partial = cache.partial(&Digest::of(&bytes), 2_000, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    fs::remove_dir_all(temp.path().join("blobs")).unwrap();
    let entry = partial.admit(verified(&bytes)).unwrap();
    assert_eq!(read(&entry), bytes);
    assert_consistent(&cache);
}

/// The file of a partial that cannot be removed is not written to while it is read.
#[test]
fn unremovable_partial_stays_busy_while_read() {
    let temp = tempfile::tempdir().unwrap();
    let (faults, bytes) = (FaultPoints::default(), blob(1, 2_000));
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults.clone()).unwrap();
    let partial = cache.partial(&Digest::of(&bytes), 2_000, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.fail(0..1000, libc::EROFS);
    assert!(partial.admit(verified(&bytes)).is_err());
    assert_eq!(read(&partial.open_not_kept().unwrap()), bytes);
    faults.heal();
    assert!(matches!(cache.partial(&Digest::of(&bytes), 2_000, PART), Err(CacheError::Busy(_))));
    drop(partial);
    fill(&cache, &bytes).unwrap();
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
    cache.save_records();
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
