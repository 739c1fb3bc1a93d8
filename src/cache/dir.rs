//! The cache's directory: its paths, and the system calls that change it. It does not decide what may be removed, or in
//! which order.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FallocateFlags;

use super::CacheError;
use super::obstruction::{self, Needed};
use crate::asset::Digest;
use crate::durable_file::{DurableFile, open_regular};
use crate::fault_points::FaultPoints;

/// The most buffers that `pwritev(2)` accepts (`IOV_MAX` of `<linux/uio.h>`).
const MAX_BUFFERS: usize = 1024;

/// The name of the file that a probe writes.
pub(super) const PROBE_NAME: &str = "probe";

/// How much older than its admission the mtime of a blob is. File systems count in steps of at most two seconds.
const SEALED_AGE: Duration = Duration::from_secs(10);

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

    /// The directory of the blobs, with one subdirectory for each first byte of a digest.
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

    /// The log of a partial's written parts.
    pub(super) fn log(&self, digest: &Digest) -> PathBuf {
        self.partials().join(format!("{digest}.map"))
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn quarantined(&self, digest: &Digest) -> PathBuf {
        self.quarantine().join(digest.to_string())
    }

    /// The records of the blobs.
    pub(super) fn records(&self) -> PathBuf {
        self.root.join("verified.log")
    }

    /// Creates the directory and its subdirectories if they do not exist.
    pub(super) fn ensure(&self) -> Result<(), CacheError> {
        if !self.root.is_dir() {
            self.fault_point("create", &self.root)?;
            fs::create_dir_all(&self.root).map_err(CacheError::io("create", &self.root))?;
        }
        for path in [self.root.join("blobs"), self.blobs(), self.partials(), self.quarantine()] {
            self.make_dir(&path)?;
        }
        Ok(())
    }

    /// Creates a directory if it does not exist, so that it survives a power cut.
    pub(super) fn make_dir(&self, path: &Path) -> Result<(), CacheError> {
        if path.is_dir() {
            return Ok(());
        }
        self.fault_point("create", path)?;
        if path != self.quarantine() {
            self.clear(path, Needed::Directory)?;
        }
        fs::DirBuilder::new().mode(0o755).create(path).map_err(CacheError::io("create", path))?;
        self.sync_dir(path.parent().unwrap_or(&self.root))
    }

    /// Checks that a fill can be stored: creates a file where partials are, writes it, and renames it to where blobs are.
    /// With `durable` it also waits until the file is on the disk. Only one thread may do so at a time.
    pub(super) fn probe(&self, durable: bool) -> Result<(), CacheError> {
        let (path, admitted) = (self.partials().join(PROBE_NAME), self.blobs().join(PROBE_NAME));
        let file = self.create(&path)?;
        let written = self.write(&file, &path, 0, &mut [IoSlice::new(b"bootdepot")]);
        let synced = written.and_then(|()| if durable { self.sync(&file, &path) } else { Ok(()) });
        let renamed = synced.and_then(|()| self.rename(&path, &admitted));
        self.remove(if renamed.is_ok() { &admitted } else { &path })?;
        renamed
    }

    /// Creates a file to read and write. A file of its name is removed first, never written to: it may be a link. Anything else
    /// of its name is moved aside.
    pub(super) fn create(&self, path: &Path) -> Result<File, CacheError> {
        self.fault_point("create", path)?;
        self.clear(path, Needed::File)?;
        let create = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path)
        };
        create().map_err(CacheError::io("create", path))
    }

    /// Opens an existing file to read and write, even if a crash during its admission left it read-only.
    pub(super) fn reopen(path: &Path) -> Result<File, CacheError> {
        let read_only = Self::open(path)?;
        let open = || {
            if read_only.metadata()?.mode() & 0o200 == 0 {
                read_only.set_permissions(Permissions::from_mode(0o644))?;
            }
            open_regular(path, OpenOptions::new().read(true).write(true), 0)
        };
        open().map_err(CacheError::io("open", path))
    }

    /// Opens a regular file to read. Fails with [`io::ErrorKind::InvalidInput`] if the name leads to anything else, such as
    /// a symbolic link. Reading does not change the file's access time.
    pub(super) fn open(path: &Path) -> Result<File, CacheError> {
        let open = |flags| open_regular(path, OpenOptions::new().read(true), flags);
        let file = match open(libc::O_NOATIME) {
            // Only the owner of a file may use O_NOATIME (open(2)).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(0),
            other => other,
        };
        file.map_err(CacheError::io("open", path))
    }

    /// Replaces a file as a whole, so that after a crash it has its old bytes or the new ones.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let file = DurableFile::new(path).with_mode(0o644).with_faults(self.faults.clone());
        file.replace(bytes).map_err(CacheError::io("replace", path))
    }

    /// Allocates `size` bytes on the disk. Returns how many of them the file system did not allocate.
    pub(super) fn allocate(&self, file: &File, path: &Path, size: u64) -> Result<u64, CacheError> {
        self.fault_point("allocate", path)?;
        let allocated = match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.max(1)) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => other.map_err(io::Error::from),
        };
        allocated.and_then(|()| file.set_len(size)).map_err(CacheError::io("allocate", path))?;
        Self::unallocated(file, path)
    }

    /// The length of a file in bytes.
    pub(super) fn length(file: &File, path: &Path) -> Result<u64, CacheError> {
        Ok(file.metadata().map_err(CacheError::io("stat", path))?.len())
    }

    /// How many of a file's bytes are not allocated on the disk.
    pub(super) fn unallocated(file: &File, path: &Path) -> Result<u64, CacheError> {
        let meta = file.metadata().map_err(CacheError::io("stat", path))?;
        // st_blocks counts units of 512 bytes, whatever the block size of the file system (stat(2)).
        Ok(meta.len().saturating_sub(meta.blocks().saturating_mul(512)))
    }

    /// Writes all of `pieces`, one after the other, beginning at `offset`.
    pub(super) fn write(
        &self,
        file: &File,
        path: &Path,
        mut offset: u64,
        mut pieces: &mut [IoSlice<'_>],
    ) -> Result<(), CacheError> {
        self.fault_point("write", path)?;
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let batch = &pieces[..pieces.len().min(MAX_BUFFERS)];
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

    /// Writes a file's data to the disk. After an error it is unknown which bytes were written.
    pub(super) fn sync_data(&self, file: &File, path: &Path) -> Result<(), CacheError> {
        self.fault_point("fdatasync", path)?;
        file.sync_data().map_err(CacheError::io("fdatasync", path))
    }

    /// Writes a file's data and metadata to the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), CacheError> {
        self.fault_point("fsync", path)?;
        file.sync_all().map_err(CacheError::io("fsync", path))
    }

    /// Writes the entries of a directory to the disk.
    pub(super) fn sync_dir(&self, path: &Path) -> Result<(), CacheError> {
        self.fault_point("fsync", path)?;
        File::open(path).and_then(|dir| dir.sync_all()).map_err(CacheError::io("fsync", path))
    }

    /// Sets a blob's permissions.
    ///
    /// Its mtime is set to an earlier time: the file system's clock ticks every few milliseconds, and a write in the same
    /// tick as the last step of an admission would leave the ctime, and an mtime of now, as they were.
    pub(super) fn seal(&self, file: &File, path: &Path, mode: u32, now: SystemTime) -> Result<(), CacheError> {
        self.fault_point("seal", path)?;
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.set_times(FileTimes::new().set_modified(now - SEALED_AGE)))
            .map_err(CacheError::io("seal", path))
    }

    /// Renames a file. Anything in the way that is no file is moved aside.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), CacheError> {
        self.fault_point("rename", to)?;
        self.clear(to, Needed::File)?;
        fs::rename(from, to).map_err(CacheError::io("rename to", to))
    }

    /// Clears a path of what the cache does not need there.
    fn clear(&self, path: &Path, needed: Needed) -> Result<(), CacheError> {
        obstruction::clear(path, needed, &self.quarantine()).map_err(CacheError::io("clear", path))
    }

    /// Removes a file. Succeeds if it does not exist. A directory in its place is moved aside.
    pub(super) fn remove(&self, path: &Path) -> Result<(), CacheError> {
        self.fault_point("remove", path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => self.clear(path, Needed::File),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CacheError::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes a partial and its log. The log is removed first: bytes without a log are recognized as a leftover, while a
    /// log without its bytes would claim parts that do not exist.
    pub(super) fn remove_partial(&self, digest: &Digest) -> Result<(), CacheError> {
        self.remove(&self.log(digest))?;
        self.remove(&self.partial(digest))
    }

    /// Removes a blob, and its subdirectory if that is empty now: each takes an inode.
    pub(super) fn remove_blob(&self, digest: &Digest) -> Result<(), CacheError> {
        let path = self.blob(digest);
        self.remove(&path)?;
        // Fails unless it is empty.
        let _ = path.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Bytes that are free on the file system for this process; `u64::MAX` if the system does not report it.
    pub(super) fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.root).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Reads into all of `buffer`, beginning at `offset`.
    pub(super) fn read(file: &File, path: &Path, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        file.read_exact_at(buffer, offset).map_err(CacheError::io("read", path))
    }

    /// Passes a fault point, which tests can make fail.
    pub(super) fn fault_point(&self, action: &'static str, path: &Path) -> Result<(), CacheError> {
        self.faults.pass(action, path).map_err(CacheError::io(action, path))
    }
}
