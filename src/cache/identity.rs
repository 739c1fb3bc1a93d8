//! The identity of a file: it shows, without a read of its bytes, whether this is still the file whose bytes were hashed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, statx};
use serde::{Deserialize, Serialize};

/// The identity of a file, as `statx(2)` reports it. Any change of its bytes through the file system changes it, and so do a
/// copy, a restored backup and another file under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The major and minor number of the file system's device. `None` if they are assigned when it is mounted (btrfs
    /// subvolumes, overlay, NFS, FUSE) and so identify nothing.
    #[serde(rename = "dev")]
    device: Option<(u32, u32)>,
    #[serde(rename = "ino")]
    inode: u64,
    /// The length in bytes.
    pub(super) size: u64,
    #[serde(rename = "mtime")]
    modified: Time,
    #[serde(rename = "ctime")]
    changed: Time,
}

/// Seconds and nanoseconds since 1970, as file systems count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Time(i64, u32);

impl Identity {
    /// The identity of an open file. Blocks on a network file system, which asks its server.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&file.metadata()?))
    }

    /// The identity of the file at `path`, which need not be readable.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&path.symlink_metadata()?))
    }

    /// Whether an open file has this identity, as the system has it in memory. Never blocks.
    pub(super) fn is_of(&self, file: &File) -> io::Result<bool> {
        Ok(status(file)?.0 == *self)
    }

    /// Whether an open file, which had this identity, still has the same bytes: it has the same identity, or was removed
    /// from its directory and is the same otherwise. Never blocks.
    pub(super) fn holds_for(&self, file: &File) -> io::Result<bool> {
        let (found, links) = status(file)?;
        Ok(found == *self || (links == 0 && Self { changed: self.changed, ..found } == *self))
    }

    /// Whether this is `other` but for the inode and device numbers. No change of a file leaves its `ctime` as it was, so
    /// that these numbers are not stable on this file system. Unknown, and so false, where the times have no nanoseconds.
    pub(super) fn is_renumbered(&self, other: &Self) -> bool {
        let numbers = |it: &Self| (it.device, it.inode);
        let rest = |it: &Self| (it.size, it.modified, it.changed);
        numbers(self) != numbers(other) && rest(self) == rest(other) && self.changed.1 != 0
    }

    /// Whether this is `other` but for the times: the same file, with the same length.
    pub(super) fn is_same_but_times(&self, other: &Self) -> bool {
        Self { modified: other.modified, changed: other.changed, ..*self } == *other
    }

    /// When the file was last written.
    pub(super) fn modified(&self) -> SystemTime {
        let Time(seconds, nanoseconds) = self.modified;
        let since = u64::try_from(seconds).map(|seconds| Duration::new(seconds, nanoseconds)).unwrap_or_default();
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The identity of some file of this length.
    #[cfg(test)]
    pub(super) fn of_size(size: u64) -> Self {
        Self::new((8, 1), 1, size, Time(1, 1), Time(1, 1))
    }

    /// Sets the inode number.
    #[cfg(test)]
    pub(super) fn set_inode(&mut self, inode: u64) {
        self.inode = inode;
    }

    fn new(device: (u32, u32), inode: u64, size: u64, modified: Time, changed: Time) -> Self {
        // Major number 0 is for devices without hardware, whose minor numbers are assigned at mount.
        Self { device: Some(device).filter(|(major, _)| *major != 0), inode, size, modified, changed }
    }
}

/// The identity of an open file, and how many names it has, as the system has them in memory.
fn status(file: &File) -> io::Result<(Identity, u64)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match statx(file, c"", flags, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok((Identity::from(&found), found.stx_nlink.into())),
        // An old kernel, or a filter of system calls.
        Err(_) => file.metadata().map(|found| (Identity::from(&found), found.nlink())),
    }
}

impl From<&Statx> for Identity {
    fn from(it: &Statx) -> Self {
        let time = |time: StatxTimestamp| Time(time.tv_sec, time.tv_nsec);
        Self::new((it.stx_dev_major, it.stx_dev_minor), it.stx_ino, it.stx_size, time(it.stx_mtime), time(it.stx_ctime))
    }
}

impl From<&Metadata> for Identity {
    fn from(it: &Metadata) -> Self {
        let time = |seconds, nanoseconds| Time(seconds, u32::try_from(nanoseconds).unwrap_or_default());
        let device = (rustix::fs::major(it.dev()), rustix::fs::minor(it.dev()));
        Self::new(device, it.ino(), it.len(), time(it.mtime(), it.mtime_nsec()), time(it.ctime(), it.ctime_nsec()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, FileTimes};
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;

    type Change<'a> = (&'a str, &'a dyn Fn(&File));

    fn file(dir: &tempfile::TempDir) -> File {
        let path = dir.path().join("file");
        fs::write(&path, "some bytes").unwrap();
        // As after an admission: a write in the same tick of the clock changes the mtime, whatever the ctime is.
        let file = File::options().read(true).write(true).open(path).unwrap();
        let earlier = SystemTime::now() - Duration::from_secs(1);
        file.set_times(FileTimes::new().set_modified(earlier)).unwrap();
        file
    }

    #[test]
    fn identity_is_equal_in_every_way() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        let identity = Identity::of(&file).unwrap();
        assert!(identity.is_of(&file).unwrap() && identity.holds_for(&file).unwrap());
        assert_eq!(identity, Identity::at(&dir.path().join("file")).unwrap());
        assert_eq!(identity.size, 10);
        assert_eq!(identity.modified(), file.metadata().unwrap().modified().unwrap());
        file.read_exact_at(&mut [0; 10], 0).unwrap();
        assert_eq!(
            Identity::of(&File::open(dir.path().join("file")).unwrap()).unwrap(),
            identity,
            "a read changes nothing"
        );
        let stored: Identity = serde_json::from_str(&serde_json::to_string(&identity).unwrap()).unwrap();
        assert_eq!(stored, identity);
    }

    #[test]
    fn every_change_changes_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let replace = |bytes: &str| {
            fs::write(dir.path().join("new"), bytes).unwrap();
            fs::rename(dir.path().join("new"), &path).unwrap();
        };
        let changes: [Change<'_>; 5] = [
            ("a write in place", &|file| file.write_all_at(b"S", 0).unwrap()),
            ("a truncation", &|file| file.set_len(3).unwrap()),
            ("another file", &|_| replace("some bytes")),
            ("a copy with its times", &|file| {
                let times = file.metadata().unwrap();
                replace("some bytes");
                let times = FileTimes::new().set_modified(times.modified().unwrap());
                File::open(&path).unwrap().set_times(times).unwrap();
            }),
            ("a write whose mtime is set back", &|file| {
                let modified = file.metadata().unwrap().modified().unwrap();
                std::thread::sleep(Duration::from_millis(20));
                file.write_all_at(b"S", 0).unwrap();
                file.set_times(FileTimes::new().set_modified(modified)).unwrap();
                file.set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
            }),
        ];
        for (name, change) in changes {
            let file = file(&dir);
            let identity = Identity::of(&file).unwrap();
            change(&file);
            assert_ne!(Identity::of(&File::open(&path).unwrap()).unwrap(), identity, "{name}");
        }
    }

    #[test]
    fn removed_file_keeps_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        let identity = Identity::of(&file).unwrap();
        assert!(identity.holds_for(&file).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        fs::remove_file(dir.path().join("file")).unwrap();
        assert_ne!(Identity::of(&file).unwrap(), identity);
        assert!(identity.holds_for(&file).unwrap());
        file.write_all_at(b"S", 0).unwrap();
        assert!(!identity.holds_for(&file).unwrap());
    }

    #[test]
    fn anonymous_devices_are_left_out() {
        let identity = |device| Identity::new(device, 7, 10, Time(1, 2), Time(3, 4));
        assert_eq!(identity((0, 31)), identity((0, 45)));
        assert_ne!(identity((8, 1)), identity((8, 2)));
    }

    #[test]
    fn renumbered_file_differs_in_numbers_only() {
        let identity = |inode, changed| Identity::new((8, 1), inode, 10, Time(1, 2), changed);
        let before = identity(7, Time(3, 4));
        assert!(identity(8, Time(3, 4)).is_renumbered(&before));
        assert!(!identity(7, Time(3, 4)).is_renumbered(&before), "the same");
        assert!(!identity(8, Time(3, 5)).is_renumbered(&before), "a copy");
        assert!(!identity(8, Time(3, 0)).is_renumbered(&identity(7, Time(3, 0))), "times of whole seconds");
    }
}
