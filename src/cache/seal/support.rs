//! Whether the file system of a cache can seal files with fs-verity; if not, why, and what to do about it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::file::{SealError, Seals};

/// Whether the file system of a cache can seal blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealSupport {
    /// It can: a file was sealed there.
    Supported,
    /// It cannot. The reason and the remedy, for operators.
    Unsupported(String),
    /// It is not known, because no file could be created and sealed. The reason.
    Unknown(String),
}

/// The file system of a directory, as the kernel lists it.
#[derive(Debug, PartialEq, Eq)]
struct FileSystem {
    kind: String,
    source: String,
}

impl SealSupport {
    /// Seals a file in `dir`, and removes it again. Blocks.
    pub fn probe(dir: &Path) -> Self {
        Self::of(dir, &Seals::Kernel)
    }

    /// The same with the seals of a cache.
    pub(in crate::cache) fn of(dir: &Path, seals: &Seals) -> Self {
        let path = dir.join(format!("seal-probe.{}", std::process::id()));
        let sealed = seal_probe(&path, seals);
        // It fails if the file could not be created, and then there is nothing to remove.
        let _ = fs::remove_file(&path);
        match sealed {
            Ok(()) => Self::Supported,
            Err(SealError::Unsupported) => {
                let file_system = FileSystem::of(dir);
                let kernel = file_system.as_ref().is_none_or(FileSystem::kernel_supports_seals);
                Self::Unsupported(remedy(file_system.as_ref(), kernel))
            }
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

fn seal_probe(path: &Path, seals: &Seals) -> Result<(), SealError> {
    // A sealed file, which a killed process left, cannot be written again.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    writer.write_all(b"bootdepot")?;
    drop(writer);
    seals.seal(&File::open(path)?)
}

impl FileSystem {
    /// The file system of `dir`: of the deepest mount point above it, the last one mounted there. `None` if the kernel does
    /// not show its mounts.
    fn of(dir: &Path) -> Option<Self> {
        let dir = dir.canonicalize().ok()?;
        let mounts = procfs::process::Process::myself().and_then(|me| me.mountinfo()).ok()?;
        let above = mounts.into_iter().filter(|mount| dir.starts_with(&mount.mount_point));
        let mount = above.max_by_key(|mount| mount.mount_point.components().count())?;
        Some(Self { kind: mount.fs_type, source: mount.mount_source.unwrap_or_default() })
    }

    /// Whether the kernel can seal files of this kind of file system, on a disk with the feature: the kernel lists what it
    /// was built with in this directory.
    fn kernel_supports_seals(&self) -> bool {
        Path::new("/sys/fs").join(&self.kind).join("features/verity").exists()
    }
}

/// Says why a file system cannot seal files, and what to do. `kernel` is whether the kernel supports it.
fn remedy(file_system: Option<&FileSystem>, kernel: bool) -> String {
    let Some(FileSystem { kind, source }) = file_system else {
        return "the file system has no fs-verity; ext4, btrfs and f2fs have".to_owned();
    };
    match (kind.as_str(), kernel) {
        ("ext4" | "btrfs" | "f2fs", false) => {
            format!("the kernel has no fs-verity for {kind}; boot one that was built with CONFIG_FS_VERITY")
        }
        ("ext4", true) => {
            format!(
                "the ext4 file system on {source} does not have the feature verity; unmount it and run: tune2fs -O verity {source}"
            )
        }
        ("f2fs", true) => format!(
            "the f2fs file system on {source} does not have the feature verity; create it with: mkfs.f2fs -O verity {source}"
        ),
        _ => format!(
            "the file system {kind} has no fs-verity; use ext4 (with the feature verity), btrfs or f2fs for the cache"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_names_kernel_or_file_system() {
        let file_system = |kind: &str| FileSystem { kind: kind.to_owned(), source: "/dev/sdb1".to_owned() };
        for (kind, kernel, expected) in [
            ("ext4", true, "run: tune2fs -O verity /dev/sdb1"),
            ("ext4", false, "CONFIG_FS_VERITY"),
            ("f2fs", true, "mkfs.f2fs -O verity /dev/sdb1"),
            ("btrfs", false, "the kernel has no fs-verity for btrfs"),
            ("xfs", false, "the file system xfs has no fs-verity; use ext4"),
            ("tmpfs", true, "the file system tmpfs has no fs-verity"),
        ] {
            let said = remedy(Some(&file_system(kind)), kernel);
            assert!(said.contains(expected), "{kind}: {said}");
        }
        assert!(remedy(None, true).contains("ext4, btrfs and f2fs"));
    }

    #[test]
    fn file_system_of_proc_is_found() {
        let found = FileSystem::of(Path::new("/proc/self")).unwrap();
        assert_eq!((found.kind.as_str(), found.kernel_supports_seals()), ("proc", false));
    }

    #[test]
    fn missing_directory_leaves_support_unknown() {
        assert!(matches!(SealSupport::of(Path::new("/nowhere/at/all"), &Seals::Kernel), SealSupport::Unknown(_)));
    }

    #[test]
    fn tmpfs_does_not_support_seals() {
        let shared = Path::new("/dev/shm");
        if FileSystem::of(shared).is_none_or(|found| found.kind != "tmpfs") {
            bootdepot_test_support::skip::note("/dev/shm is not a tmpfs");
            return;
        }
        let dir = tempfile::tempdir_in(shared).unwrap();
        let SealSupport::Unsupported(reason) = SealSupport::of(dir.path(), &Seals::Kernel) else {
            panic!("a tmpfs seals no files")
        };
        assert!(reason.contains("the file system tmpfs has no fs-verity"), "{reason}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is removed");
    }
}
