//! The system calls that seal one file with fs-verity, and measure its seal. They do not decide which files are sealed, or
//! when.
//!
//! Linux describes fs-verity in Documentation/filesystems/fsverity.rst.

use std::fs::File;
use std::io;

use composefs_ioctls::fsverity::{EnableVerityError, MeasureVerityError, fs_ioc_enable_verity, fs_ioc_measure_verity};

#[cfg(test)]
pub(in crate::cache) use fake::FakeSeals;

use crate::asset::Digest;

/// `FS_VERITY_HASH_ALG_SHA256` of `<linux/fsverity.h>`.
const SHA256: u8 = 1;

/// The fs-verity digest of a sealed file: a SHA-256 over the file's size and the root of its Merkle tree. It is not the
/// SHA-256 of the file's bytes.
pub(in crate::cache) type SealDigest = Digest;

/// Why a file was not sealed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cache) enum SealError {
    /// The kernel or the file system has no fs-verity, or not for such a file.
    #[error("the kernel or the file system does not support fs-verity")]
    Unsupported,
    /// The file is open for writing.
    #[error("the file is open for writing")]
    Busy,
    /// The disk is full, read-only, or failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The seals of files.
#[derive(Debug, Clone, Default)]
pub(in crate::cache) enum Seals {
    /// Those of the kernel.
    #[default]
    Kernel,
    /// Simulated ones.
    #[cfg(test)]
    Fake(FakeSeals),
}

impl Seals {
    /// Seals a file, which must be open to read only, and which its permissions must allow to write. ext4 sets its mtime
    /// and its ctime. Does nothing if it is sealed already. Reads all of it to build its Merkle tree, which takes a 127th of the file's size
    /// on the disk in addition. Blocks for as long as that takes.
    pub(in crate::cache) fn seal(&self, file: &File) -> Result<(), SealError> {
        if self.measure(file)?.is_some() {
            return Ok(());
        }
        match self {
            Self::Kernel => enable(file),
            #[cfg(test)]
            Self::Fake(fake) => fake.seal(file),
        }
    }

    /// The digest of a file's seal; `None` if it is not sealed, or with another algorithm than SHA-256. Reads no contents.
    pub(in crate::cache) fn measure(&self, file: &File) -> io::Result<Option<SealDigest>> {
        match self {
            Self::Kernel => measure(file),
            #[cfg(test)]
            Self::Fake(fake) => fake.measure(file),
        }
    }
}

fn enable(file: &File) -> Result<(), SealError> {
    match fs_ioc_enable_verity(file, SHA256, block_size(file)?) {
        Ok(()) | Err(EnableVerityError::AlreadyEnabled) => Ok(()),
        Err(EnableVerityError::FilesystemNotSupported) => Err(SealError::Unsupported),
        Err(EnableVerityError::FileOpenedForWrite) => Err(SealError::Busy),
        // The blocks of the file system have a size that the kernel does not support.
        Err(EnableVerityError::Io(error)) if error.kind() == io::ErrorKind::InvalidInput => Err(SealError::Unsupported),
        Err(EnableVerityError::Io(error)) => Err(SealError::Io(error)),
        // The kernel accepts only files with a signature (fs.verity.require_signatures).
        Err(error @ EnableVerityError::SignatureVerificationFailed) => {
            Err(SealError::Io(io::Error::new(io::ErrorKind::PermissionDenied, error)))
        }
    }
}

fn measure(file: &File) -> io::Result<Option<SealDigest>> {
    match fs_ioc_measure_verity::<32>(file, SHA256) {
        Ok(digest) => Ok(Some(SealDigest::from_bytes(digest))),
        Err(MeasureVerityError::Io(error)) => Err(error),
        Err(
            MeasureVerityError::VerityMissing
            | MeasureVerityError::FilesystemNotSupported
            | MeasureVerityError::InvalidDigestAlgorithm { .. }
            | MeasureVerityError::InvalidDigestSize { .. },
        ) => Ok(None),
    }
}

/// The block size of the Merkle tree in bytes: a page or a block of the file system, whichever is smaller. Linux before 6.3
/// supports only pages, and only file systems with blocks of that size.
fn block_size(file: &File) -> io::Result<u32> {
    let block = rustix::fs::fstatvfs(file)?.f_bsize;
    let page = rustix::param::page_size() as u64;
    Ok(u32::try_from(block.min(page)).unwrap_or(4096))
}

#[cfg(test)]
mod fake {
    use std::collections::HashMap;
    use std::fmt;
    use std::fs::{File, FileTimes};
    use std::io::{self, Read};
    use std::os::unix::fs::MetadataExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use parking_lot::Mutex;

    use super::{SealDigest, SealError};

    /// Simulated seals, for tests of what a cache does with them: this machine's kernel may have none. They do not protect a
    /// file against writes.
    #[derive(Clone, Default)]
    pub(in crate::cache) struct FakeSeals {
        /// By inode and its time of creation: inodes are used again.
        sealed: Arc<Mutex<HashMap<(u64, SystemTime), SealDigest>>>,
        /// How many times files are open for writing elsewhere.
        busy: Arc<AtomicUsize>,
        /// Runs in the middle of each seal.
        during: Arc<Mutex<Option<During>>>,
    }

    type During = Box<dyn Fn() + Send>;

    impl fmt::Debug for FakeSeals {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("FakeSeals")
        }
    }

    impl FakeSeals {
        /// Lets the next `times` seals find the file open for writing.
        pub(in crate::cache) fn set_busy(&self, times: usize) {
            self.busy.store(times, Ordering::Relaxed);
        }

        /// Runs `run` in the middle of each seal.
        pub(in crate::cache) fn set_during(&self, run: impl Fn() + Send + 'static) {
            *self.during.lock() = Some(Box::new(run));
        }

        pub(super) fn seal(&self, file: &File) -> Result<(), SealError> {
            let meta = file.metadata()?;
            if meta.mode() & 0o200 == 0 {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            if self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(SealError::Busy);
            }
            let mut bytes = b"the seal of ".to_vec();
            let mut reader = file;
            reader.read_to_end(&mut bytes)?;
            // As ext4 does.
            file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
            if let Some(run) = &*self.during.lock() {
                run();
            }
            self.sealed.lock().insert((meta.ino(), meta.created()?), SealDigest::of(&bytes));
            Ok(())
        }

        pub(super) fn measure(&self, file: &File) -> io::Result<Option<SealDigest>> {
            let meta = file.metadata()?;
            Ok(self.sealed.lock().get(&(meta.ino(), meta.created()?)).copied())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsealed_file_has_no_measure() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Seals::Kernel.measure(&File::open(temp.path()).unwrap()).unwrap(), None);
    }

    #[test]
    fn file_open_for_writing_is_not_sealed() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        // While the handle in `temp` can write, no kernel seals the file, whether it supports seals or not.
        let error = Seals::Kernel.seal(&File::open(temp.path()).unwrap()).unwrap_err();
        assert!(matches!(error, SealError::Busy | SealError::Unsupported), "{error}");
    }
}
