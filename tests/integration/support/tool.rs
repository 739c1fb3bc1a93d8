//! External programs: found in PATH and run with a deadline. A test that needs a missing one is reported as skipped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::CommandExt;

/// An external program.
pub(crate) struct Tool {
    path: PathBuf,
}

impl Tool {
    /// Finds the program of this name. `None` if it is not installed: the test is reported as skipped, and must return. It fails
    /// instead if `CI` is set.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A plain user's PATH lacks the directories of daemons such as dnsmasq.
        let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
        if found.is_none() {
            skip(&format!("{name} is not installed"));
        }
        Some(Self { path: found? })
    }

    /// Finds a file of a package. `None` if it is not installed, as for [`find`](Self::find).
    pub(crate) fn file(path: &str) -> Option<&Path> {
        if !Path::new(path).is_file() {
            skip(&format!("{path} is not installed"));
            return None;
        }
        Some(Path::new(path))
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a command line that begins with the program.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Runs it to its end, whatever its status. Fails the test if it takes too long.
    pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Output {
        self.command().args(args).run_to_end()
    }

    /// Runs it to its end and returns its standard output. Fails the test if it fails.
    pub(crate) fn succeed<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} ended with {}:\n{out}{err}", self.path.display(), output.status);
        out.into_owned()
    }
}

/// Reports the running test as skipped. Fails it instead if `CI` is set.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{reason}, and in CI nothing is skipped");
    super::skip::note(reason);
}
