//! Obstructions in the cache's directory: a directory in a blob's place, a FIFO, a symbolic link. Each is
//! moved aside, because it may be an operator's; only an empty directory is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

/// The ending of what was moved.
const FOREIGN: &str = "foreign";

/// The kind of file that the cache needs at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// A regular file, or nothing.
    File,
    /// A directory, also behind a symbolic link, or nothing.
    Directory,
}

/// Clears `path` of what is not `needed` there: moves it into the directory `aside`, which is created if necessary, or
/// removes it if it is an empty directory. Does nothing if nothing is in the way.
pub(super) fn clear(path: &Path, needed: Needed, aside: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    let fits = match needed {
        Needed::File => found.is_file(),
        Needed::Directory => path.is_dir(),
    };
    if fits {
        return Ok(());
    }
    // Fails unless it is empty.
    if found.is_dir() && fs::remove_dir(path).is_ok() {
        warn!(path = %path.display(), "empty directory in the cache removed");
        return Ok(());
    }
    fs::create_dir_all(aside)?;
    let to = unused_name(path, aside)?;
    fs::rename(path, &to)?;
    warn!(path = %path.display(), moved_to = %to.display(), "foreign file in the cache moved aside");
    Ok(())
}

/// Whether a file in quarantine was moved there because it was in the way.
pub(super) fn was_moved(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| extension.starts_with(FOREIGN))
}

/// A name in `aside` that nothing has: `NAME.foreign`, or `NAME.foreign-2` and so on.
fn unused_name(path: &Path, aside: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let candidates =
        std::iter::once(format!("{name}.{FOREIGN}")).chain((2..100).map(|n| format!("{name}.{FOREIGN}-{n}")));
    let is_unused =
        |path: &PathBuf| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    candidates.map(|name| aside.join(name)).find(is_unused).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn obstructions_are_moved_and_never_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let (path, aside) = (temp.path().join("HEX"), temp.path().join("quarantine"));
        for n in 0..2 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("notes"), n.to_string()).unwrap();
            clear(&path, Needed::File, &aside).unwrap();
            assert!(!path.exists());
        }
        assert_eq!(fs::read(aside.join("HEX.foreign/notes")).unwrap(), b"0");
        assert_eq!(fs::read(aside.join("HEX.foreign-2/notes")).unwrap(), b"1");
        symlink("/nowhere", &path).unwrap();
        clear(&path, Needed::File, &aside).unwrap();
        assert_eq!(fs::read_link(aside.join("HEX.foreign-3")).unwrap(), Path::new("/nowhere"));
        fs::write(&path, "a file in the place of a directory").unwrap();
        clear(&path, Needed::Directory, &aside).unwrap();
        assert!(!path.exists() && aside.join("HEX.foreign-4").is_file());
        assert!(was_moved(&aside.join("HEX.foreign-4")) && !was_moved(&aside.join("HEX")));
    }

    #[test]
    fn empty_directory_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        let (path, aside) = (temp.path().join("HEX"), temp.path().join("quarantine"));
        fs::create_dir(&path).unwrap();
        clear(&path, Needed::File, &aside).unwrap();
        assert!(!path.exists() && !aside.exists());
    }

    #[test]
    fn needed_kinds_stay() {
        let temp = tempfile::tempdir().unwrap();
        let (file, dir, aside) = (temp.path().join("file"), temp.path().join("dir"), temp.path().join("quarantine"));
        fs::write(&file, "bytes").unwrap();
        fs::create_dir(&dir).unwrap();
        let link = temp.path().join("link");
        symlink(&dir, &link).unwrap();
        clear(&file, Needed::File, &aside).unwrap();
        clear(&dir, Needed::Directory, &aside).unwrap();
        clear(&link, Needed::Directory, &aside).unwrap();
        clear(&temp.path().join("missing"), Needed::File, &aside).unwrap();
        assert!(file.is_file() && dir.is_dir() && link.is_symlink() && !aside.exists());
    }
}
