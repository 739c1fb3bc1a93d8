//! A file that is replaced as a whole: after a crash or a power cut at any instant it holds its old bytes or the new
//! ones, never a mixture. It does not know what is in the file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::fault_points::FaultPoints;

/// Opens the file at `path` with these options and flags of `open(2)`. Does not wait for a writer of a FIFO.
///
/// Fails with [`io::ErrorKind::InvalidInput`] if there is something else than a regular file. A symbolic link counts as
/// something else: it may lead anywhere.
pub fn open_regular(path: &Path, options: &OpenOptions, flags: i32) -> io::Result<File> {
    let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    let opened = options.clone().custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | flags).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // A symbolic link; a directory; a socket, or a FIFO without a reader (open(2)).
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => not_regular(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The bytes of the regular file at `path`; see [`open_regular`].
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path, OpenOptions::new().read(true), 0)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The mode of a new file before the umask, as `open(2)` and most programs have it.
const DEFAULT_MODE: u32 = 0o666;

/// A small file that is replaced as a whole.
#[derive(Debug, Clone)]
pub struct DurableFile {
    path: PathBuf,
    mode: u32,
    faults: FaultPoints,
}

impl DurableFile {
    /// The file at `path`. It need not exist; its directory must when it is replaced.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: DEFAULT_MODE, faults: FaultPoints::default() }
    }

    /// The same with these permission bits for what is written, before the umask: `0o600` for a file with secrets.
    #[must_use]
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// The same with fault points that a test controls.
    pub(crate) fn with_faults(self, faults: FaultPoints) -> Self {
        Self { faults, ..self }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the new bytes are written before they replace the old ones: beside the file, with `.new` appended to its
    /// name. A crash may leave it; the next [`DurableFile::replace`] removes it.
    pub fn temporary(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".new");
        path.into()
    }

    /// Replaces what is in the file by `bytes`. When this returns `Ok` they are on the disk. If it fails, the file holds
    /// its old bytes or, if only the directory could not be synced, the new ones. Blocks.
    ///
    /// Calls for one path must not overlap: they would write to the same temporary file.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.temporary();
        self.faults.pass("create", &new)?;
        // A leftover is removed, never written to: it may be a link.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(self.mode).open(&new)?;
        // In two writes, so that the crash tests also see a temporary file that is cut in its middle.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        self.faults.pass("write", &new)?;
        file.write_all(first)?;
        self.faults.pass("write", &new)?;
        file.write_all(second)?;
        // Before the rename: else the new name may be on the disk earlier than the bytes.
        self.faults.pass("fsync", &new)?;
        file.sync_all()?;
        self.faults.pass("rename", &self.path)?;
        fs::rename(&new, &self.path)?;
        let directory = self.path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.faults.pass("fsync", directory)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const OLD: &[u8] = b"the old bytes";
    const NEW: &[u8] = b"the new bytes, which are longer";

    fn file(dir: &tempfile::TempDir) -> DurableFile {
        DurableFile::new(dir.path().join("state.json"))
    }

    #[test]
    fn replace_writes_bytes_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        for bytes in [OLD, NEW, b"", b"x"] {
            file.replace(bytes).unwrap();
            assert_eq!(fs::read(file.path()).unwrap(), bytes);
        }
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["state.json"]);
    }

    #[test]
    fn crash_at_any_step_leaves_old_or_new() {
        let mut crashes = 0;
        for step in 0.. {
            let dir = tempfile::tempdir().unwrap();
            file(&dir).replace(OLD).unwrap();
            let faults = FaultPoints::default();
            faults.fail(step..usize::MAX, libc::EIO);
            let crashed = file(&dir).with_faults(faults.clone()).replace(NEW);
            let found = fs::read(file(&dir).path()).unwrap();
            // Leftovers of the crash do not block the next replace.
            file(&dir).replace(NEW).unwrap();
            assert_eq!(fs::read(file(&dir).path()).unwrap(), NEW);
            if crashed.is_ok() {
                assert_eq!(found, NEW);
                assert_eq!(faults.record().len(), crashes, "each step was cut once");
                break;
            }
            let last = faults.record().swap_remove(step);
            let renamed = last == format!("fsync {}", dir.path().display());
            assert_eq!(found, if renamed { NEW } else { OLD }, "before {last}");
            crashes += 1;
        }
        assert_eq!(crashes, 6);
    }

    #[test]
    fn fsync_precedes_rename() {
        let dir = tempfile::tempdir().unwrap();
        let faults = FaultPoints::default();
        let file = file(&dir).with_faults(faults.clone());
        file.replace(NEW).unwrap();
        let (new, path) = (file.temporary(), file.path());
        let step = |action: &str, path: &Path| format!("{action} {}", path.display());
        assert_eq!(
            faults.record(),
            [
                step("create", &new),
                step("write", &new),
                step("write", &new),
                step("fsync", &new),
                step("rename", path),
                step("fsync", dir.path()),
            ]
        );
    }

    #[test]
    fn slow_or_failing_disk_can_be_simulated() {
        let dir = tempfile::tempdir().unwrap();
        let full = |action: &'static str, _: &Path| match action {
            "write" => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            _ => Ok(()),
        };
        let error = file(&dir).with_faults(FaultPoints::with_hook(full)).replace(NEW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!file(&dir).path().exists());
    }

    #[test]
    fn mode_applies_to_new_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir);
        file.replace(OLD).unwrap();
        file.clone().with_mode(0o600).replace(NEW).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), OLD).unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("broken")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read_regular(&at("file")).unwrap(), OLD);
        for name in ["link", "broken", "dir", "fifo", "socket"] {
            for options in [OpenOptions::new().read(true), OpenOptions::new().append(true)] {
                let error = open_regular(&at(name), options, 0).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
            }
        }
        assert_eq!(read_regular(&at("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_in_place_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (file(&dir), dir.path().join("elsewhere"));
        fs::write(&elsewhere, OLD).unwrap();
        for path in [file.path().to_owned(), file.temporary()] {
            std::os::unix::fs::symlink(&elsewhere, path).unwrap();
        }
        file.replace(NEW).unwrap();
        assert_eq!((fs::read(file.path()).unwrap(), fs::read(&elsewhere).unwrap()), (NEW.to_vec(), OLD.to_vec()));
        fs::hard_link(&elsewhere, file.temporary()).unwrap();
        file.replace(b"x").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), OLD);
        assert!(!fs::symlink_metadata(file.path()).unwrap().is_symlink());
    }

    #[test]
    fn missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = DurableFile::new(dir.path().join("none/state.json")).replace(NEW).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
