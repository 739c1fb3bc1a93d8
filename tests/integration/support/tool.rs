//! External clients: found in PATH and run with an end to our patience, or the test that needs one is named as skipped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use super::PATIENCE;

/// A program of another house.
pub(crate) struct Tool {
    path: PathBuf,
}

impl Tool {
    /// The program of this name. Without it the test is over (`None`): skipped, or failed where `CI` is set.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Daemons such as dnsmasq live where a plain user's PATH does not look.
        let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
        if found.is_none() {
            skip(&format!("{name} is not installed"));
        }
        Some(Self { path: found? })
    }

    /// A file that a package brings. Without it the test is over, as above.
    pub(crate) fn file(path: &str) -> Option<&Path> {
        if !Path::new(path).is_file() {
            skip(&format!("{path} is not installed"));
            return None;
        }
        Some(Path::new(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A command line that begins with the program.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Runs it to its end; whatever its status. Fails the test when that takes too long.
    pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> Output {
        let mut command = self.command();
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        ended.recv_timeout(PATIENCE).map_or_else(
            |_| {
                // It may have ended in this very moment.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                panic!("{command:?} did not end in {PATIENCE:?}: {:?}", ended.recv());
            },
            |output| output.expect("a program's output can be read"),
        )
    }

    /// Runs it to its end, which must be a success, and returns what it printed.
    pub(crate) fn succeed<I: IntoIterator<Item: AsRef<OsStr>>>(&self, args: I) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{} ended with {}:\n{out}{err}", self.path.display(), output.status);
        out.into_owned()
    }
}

/// Names the running test as skipped; where `CI` is set, fails it instead.
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{reason}, and in CI nothing is skipped");
    super::skip::note(reason);
}
