//! The cache's directory: where everything lies, and the single calls that change it. It knows no accounting: what may
//! be removed, and in which order things happen, is decided above.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FallocateFlags;

use super::CacheError;
use crate::asset::Digest;
use crate::fault_points::FaultPoints;

/// What `writev(2)` takes at once (`IOV_MAX` of `<linux/uio.h>`).
const MAX_PIECES: usize = 1024;

/// The cache's directory. Every call blocks.
#[derive(Debug)]
pub(super) struct Dir {
    root: PathBuf,
    faults: FaultPoints,
}

impl Dir {
    pub(super) fn new(root: PathBuf, faults: FaultPoints) -> Self {
        Self { root, faults }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The directory that holds one directory of blobs for each first byte of a digest.
    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let mut path = self.blobs();
        path.push(&name[..2]);
        path.push(name);
        path
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(super) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(digest.to_string())
    }

    /// The log of what of a partial is here.
    pub(super) fn log(&self, digest: &Digest) -> PathBuf {
        self.partials().join(format!("{digest}.map"))
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn quarantined(&self, digest: &Digest) -> PathBuf {
        self.quarantine().join(digest.to_string())
    }

    /// Makes the directory and those in it, where they are not there.
    pub(super) fn ensure(&self) -> Result<(), CacheError> {
        if !self.root.is_dir() {
            self.step("create", &self.root)?;
            fs::create_dir_all(&self.root).map_err(CacheError::io("create", &self.root))?;
        }
        for path in [self.root.join("blobs"), self.blobs(), self.partials(), self.quarantine()] {
            self.make_dir(&path)?;
        }
        Ok(())
    }

    /// Makes one directory, unless it is there, so that it survives a power cut.
    pub(super) fn make_dir(&self, path: &Path) -> Result<(), CacheError> {
        if path.is_dir() {
            return Ok(());
        }
        self.step("create", path)?;
        fs::DirBuilder::new().mode(0o755).create(path).map_err(CacheError::io("create", path))?;
        self.sync_dir(path.parent().unwrap_or(&self.root))
    }

    /// Shows that files can be made and filled here, by doing so.
    pub(super) fn probe(&self) -> Result<(), CacheError> {
        let path = self.root.join("probe");
        let file = self.create(&path)?;
        let written = self.write(&file, &path, 0, &mut [IoSlice::new(b"bootdepot")]);
        self.remove(&path)?;
        written
    }

    /// A new file, or an emptied one, to read and write.
    pub(super) fn create(&self, path: &Path) -> Result<File, CacheError> {
        self.step("create", path)?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)
            .map_err(CacheError::io("create", path))
    }

    /// Opens what is there to read and write, even where a crash in the midst of its admission left it read-only.
    pub(super) fn reopen(path: &Path) -> Result<File, CacheError> {
        let action = CacheError::io("open", path);
        let open = || {
            if fs::metadata(path)?.mode() & 0o200 == 0 {
                fs::set_permissions(path, Permissions::from_mode(0o644))?;
            }
            OpenOptions::new().read(true).write(true).open(path)
        };
        open().map_err(action)
    }

    /// Opens a file to read, so that reading leaves its access time (which keeps the last use) alone.
    pub(super) fn open(path: &Path) -> Result<File, CacheError> {
        let quiet = OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path);
        match quiet {
            // Only a file's owner may ask for that (open(2)).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
            other => other,
        }
        .map_err(CacheError::io("open", path))
    }

    /// Sets `size` bytes of the disk aside, and returns how many of them the file system did not really set aside.
    pub(super) fn allocate(&self, file: &File, path: &Path, size: u64) -> Result<u64, CacheError> {
        self.step("allocate", path)?;
        let allocated = match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.max(1)) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => other.map_err(io::Error::from),
        };
        allocated.and_then(|()| file.set_len(size)).map_err(CacheError::io("allocate", path))?;
        Self::missing(file, path)
    }

    pub(super) fn length(file: &File, path: &Path) -> Result<u64, CacheError> {
        Ok(file.metadata().map_err(CacheError::io("stat", path))?.len())
    }

    /// How many of a file's bytes have no place on the disk yet.
    pub(super) fn missing(file: &File, path: &Path) -> Result<u64, CacheError> {
        let meta = file.metadata().map_err(CacheError::io("stat", path))?;
        // st_blocks counts 512-byte units whatever the file system's block is (stat(2)).
        Ok(meta.len().saturating_sub(meta.blocks().saturating_mul(512)))
    }

    /// Writes all of `pieces` one after the other from `offset` on.
    pub(super) fn write(
        &self,
        file: &File,
        path: &Path,
        mut offset: u64,
        mut pieces: &mut [IoSlice<'_>],
    ) -> Result<(), CacheError> {
        self.step("write", path)?;
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let batch = &pieces[..pieces.len().min(MAX_PIECES)];
            match rustix::io::pwritev(file, batch, offset) {
                Ok(0) => return Err(CacheError::io("write", path)(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut pieces, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(CacheError::io("write", path)(error.into())),
            }
        }
        Ok(())
    }

    /// Brings a file's bytes to the disk. After an error nobody knows which of them got there.
    pub(super) fn sync_data(&self, file: &File, path: &Path) -> Result<(), CacheError> {
        self.step("fdatasync", path)?;
        file.sync_data().map_err(CacheError::io("fdatasync", path))
    }

    /// Brings a file's bytes and its attributes to the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), CacheError> {
        self.step("fsync", path)?;
        file.sync_all().map_err(CacheError::io("fsync", path))
    }

    /// Brings the names in a directory to the disk.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), CacheError> {
        self.step("fsync", path)?;
        File::open(path).and_then(|dir| dir.sync_all()).map_err(CacheError::io("fsync", path))
    }

    /// Makes a file read-only, last verified and last used `now`.
    pub(super) fn seal(&self, file: &File, path: &Path, now: SystemTime) -> Result<(), CacheError> {
        self.step("seal", path)?;
        file.set_permissions(Permissions::from_mode(0o444))
            .and_then(|()| file.set_times(FileTimes::new().set_accessed(now).set_modified(now)))
            .map_err(CacheError::io("seal", path))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), CacheError> {
        self.step("rename", to)?;
        fs::rename(from, to).map_err(CacheError::io("rename to", to))
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, path: &Path) -> Result<(), CacheError> {
        self.step("remove", path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes a partial and its log. The log goes first: bytes without a log are a leftover, a log without them a lie.
    pub(super) fn remove_partial(&self, digest: &Digest) -> Result<(), CacheError> {
        self.remove(&self.log(digest))?;
        self.remove(&self.partial(digest))
    }

    /// Bytes that this process may still take of the file system; `u64::MAX` where it does not say.
    pub(super) fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.root).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Fills `buffer` from `offset` on.
    pub(super) fn read(file: &File, path: &Path, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        file.read_exact_at(buffer, offset).map_err(CacheError::io("read", path))
    }

    /// Takes a step that tests may have fail.
    pub(super) fn step(&self, action: &'static str, path: &Path) -> Result<(), CacheError> {
        self.faults.pass(action, path).map_err(CacheError::io(action, path))
    }
}
