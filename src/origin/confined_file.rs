//! Opens a file below a directory, whatever symbolic links are on the way.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open as open_path, openat2};
use rustix::io::Errno;

/// Opens `path` for reading. Fails with an error that [`is_outside`] recognizes if it leads out of `directory`. Blocks.
pub(super) fn open(directory: &Path, path: &Path) -> io::Result<File> {
    let outside = || io::Error::from(Errno::XDEV);
    let below = path.strip_prefix(directory).map_err(|_| outside())?;
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let root = open_path(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, below, flags(), Mode::empty(), resolve) {
        // Linux before 5.6, or a filter of system calls.
        Err(Errno::NOSYS | Errno::PERM) => open_resolved(directory, path),
        opened => Ok(File::from(opened?)),
    }
}

/// The same without `openat2`: resolves the path first. Only a process that can rename directories could change the
/// result in between, and it could place files in them anyway.
fn open_resolved(directory: &Path, path: &Path) -> io::Result<File> {
    let (directory, path) = (directory.canonicalize()?, path.canonicalize()?);
    if !path.starts_with(&directory) {
        return Err(Errno::XDEV.into());
    }
    let opened = rustix::fs::openat(CWD, &path, flags() | OFlags::NOFOLLOW, Mode::empty())?;
    Ok(File::from(opened))
}

/// NONBLOCK: opening a pipe without a writer must not block the thread forever.
fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC
}

/// Whether the file leads out of its directory.
pub(super) fn is_outside(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::XDEV | Errno::LOOP))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_out_of_directory_are_refused() {
        let site = tempfile::tempdir().unwrap();
        let root = site.path().join("srv");
        std::fs::create_dir_all(root.join("deep")).unwrap();
        std::fs::write(site.path().join("secret"), "hush").unwrap();
        std::fs::write(root.join("a"), "asset").unwrap();
        symlink("../a", root.join("deep/inside")).unwrap();
        symlink("../../secret", root.join("deep/outside")).unwrap();
        symlink(site.path().join("secret"), root.join("absolute")).unwrap();
        symlink(site.path(), root.join("up")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for open in [open, open_resolved] {
            let read = |name: &str| {
                let mut text = String::new();
                open(&root, &root.join(name)).and_then(|mut file| file.read_to_string(&mut text)).map(|_| text)
            };
            assert_eq!(read("a").unwrap(), "asset");
            assert_eq!(read("deep/inside").unwrap(), "asset");
            for name in ["deep/outside", "absolute", "up/secret", "loop", "deep/../../secret"] {
                assert!(is_outside(&read(name).unwrap_err()), "{name}");
            }
            assert_eq!(read("none").unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(is_outside(&open(&root, &site.path().join("secret")).unwrap_err()));
        }
    }
}
