//! Keeps files in the cache owned by the service's user when root runs a command.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use super::say;

/// Changes the owner of root's files in a directory to the owner of the directory: now, and when dropped. Otherwise an
/// unprivileged service could neither write nor remove them.
pub(super) struct Owner {
    dir: PathBuf,
    user: u32,
    group: u32,
}

impl Owner {
    /// The owner of a directory. `None` unless this process is root's and the owner is another user.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let found = fs::metadata(dir).ok().filter(|found| rustix::process::geteuid().is_root() && found.uid() != 0)?;
        let owner = Self { dir: dir.to_owned(), user: found.uid(), group: found.gid() };
        owner.take();
        Some(owner)
    }

    fn take(&self) {
        if let Err(error) = self.take_in(&self.dir) {
            let (dir, user) = (self.dir.display(), self.user);
            say(format_args!(
                "bootdepot: files that root made in {dir} cannot be given to their user: {error}; run chown -R {user} {dir}/"
            ));
        }
    }

    fn take_in(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let found = match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            if found.is_dir() {
                self.take_in(&path)?;
            }
            if found.uid() == 0 {
                lchown(&path, Some(self.user), Some(self.group))?;
            }
        }
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.take();
    }
}
