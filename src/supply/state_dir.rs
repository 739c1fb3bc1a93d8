//! The directory in which commands keep what they need again: uploads to resume, and what endpoints support.

use std::path::PathBuf;

use crate::asset::Digest;
use crate::environment;

/// The user's state directory of bootdepot. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `$XDG_STATE_HOME/bootdepot`, else `~/.local/state/bootdepot` (XDG Base Directory Specification 0.8). `None` if the
    /// environment names neither.
    pub fn of_user() -> Option<Self> {
        let absolute = |name| environment::variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(Self::at(base.join("bootdepot")))
    }

    /// The directory at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The file with what an endpoint supports for a bucket.
    pub(super) fn endpoint(&self, endpoint: &str, bucket: &str) -> PathBuf {
        self.0.join("endpoints").join(name(&[endpoint, bucket], "json"))
    }

    /// The file with an upload that can be resumed.
    pub(super) fn upload(&self, endpoint: &str, bucket: &str, key: &str) -> PathBuf {
        self.0.join("uploads").join(name(&[endpoint, bucket, key], "jsonl"))
    }
}

/// A file name for these parts. They may have any character.
fn name(parts: &[&str], extension: &str) -> String {
    let digest = Digest::of(parts.join("\n").as_bytes()).to_string();
    format!("{}.{extension}", &digest[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_has_own_file() {
        let dir = StateDir::at("/state");
        let upload = dir.upload("https://s3.lab", "b", "a/../k");
        assert_ne!(upload, dir.upload("https://s3.lab", "b", "k"));
        assert_eq!(upload.parent(), Some(std::path::Path::new("/state/uploads")));
        assert_eq!(upload.extension().unwrap(), "jsonl");
    }
}
