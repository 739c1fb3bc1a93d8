//! The record of active and live releases, which restores them after a restart: a small JSON file in the cache's
//! directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::durable_file::{DurableFile, read_regular};

/// The version of the file format.
const VERSION: u32 = 1;

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// The state of each channel.
    pub(super) channels: BTreeMap<String, ChannelRecord>,
    /// The state of each release without a channel.
    pub(super) alone: BTreeMap<String, ChannelRecord>,
    /// When each replaced release is no longer kept, in seconds since 1970.
    kept: BTreeMap<String, u64>,
}

/// The state of one channel, or of one release without a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelRecord {
    /// The active release.
    #[serde(rename = "wanted")]
    pub(super) active: Option<String>,
    /// The live release.
    pub(super) live: Option<String>,
    /// The release that the configuration activated when this was written.
    #[serde(rename = "settings")]
    pub(super) configured: Option<String>,
}

impl ChannelRecord {
    /// Whether no release is active or live.
    fn is_idle(&self) -> bool {
        self.active.is_none() && self.live.is_none()
    }
}

impl Default for Record {
    /// An empty record.
    fn default() -> Self {
        Self { version: VERSION, channels: BTreeMap::new(), alone: BTreeMap::new(), kept: BTreeMap::new() }
    }
}

impl Record {
    /// Adds replaced releases and when they are no longer kept.
    pub(super) fn keep<'k>(&mut self, kept: impl IntoIterator<Item = (&'k String, &'k SystemTime)>) {
        let seconds = |at: &SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.kept.extend(kept.into_iter().map(|(name, until)| (name.clone(), seconds(until))));
    }

    /// Removes idle channels and releases, and replaces the kept releases.
    pub(super) fn rest<'k>(mut self, kept: impl IntoIterator<Item = (&'k String, &'k SystemTime)>) -> Self {
        self.channels.retain(|_, channel| !channel.is_idle());
        self.alone.retain(|_, channel| !channel.is_idle());
        self.kept.clear();
        self.keep(kept);
        self
    }

    /// Returns the replaced releases and when they are no longer kept.
    pub(super) fn kept(&self) -> BTreeMap<String, SystemTime> {
        let at = |seconds: u64| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        self.kept.iter().filter_map(|(name, until)| Some((name.clone(), at(*until)?))).collect()
    }

    /// Reads the record at `path`. Returns an empty record if there is none, or if it cannot be read; then the configuration
    /// alone decides. An invalid file is renamed, so that it can be examined. Blocks.
    pub(super) fn read(path: &Path) -> Self {
        let text = match read_regular(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                let path = path.display();
                warn!(%path, %error, "releases record unreadable; using the configuration alone");
                return Self::default();
            }
        };
        let reason = match serde_json::from_slice::<Self>(&text) {
            Ok(record) if record.version == VERSION => return record,
            Ok(record) => format!("the file has version {}, and this program reads version {VERSION}", record.version),
            Err(error) => error.to_string(),
        };
        let renamed = with_suffix(path, ".bad");
        let result = fs::rename(path, &renamed);
        let (path, renamed) = (path.display(), renamed.display());
        match result {
            Ok(()) => {
                warn!(%path, reason, %renamed, "releases record invalid; renamed it, using the configuration alone");
            }
            Err(error) => {
                warn!(%path, reason, %error, "releases record invalid; using the configuration alone");
            }
        }
        Self::default()
    }

    /// Replaces the record at `path` atomically. Blocks.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        DurableFile::new(path).replace(&text)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let kept = BTreeMap::from([("okd-4.18".to_owned(), UNIX_EPOCH + Duration::from_secs(1_700_000_000))]);
        let channel = ChannelRecord {
            active: Some("okd-4.20".to_owned()),
            live: Some("okd-4.19".to_owned()),
            configured: Some("okd-4.19".to_owned()),
        };
        let mut record = Record::default();
        record.keep(&kept);
        record.channels.insert("okd".to_owned(), channel);
        record.alone.insert("tools".to_owned(), ChannelRecord::default());
        record
    }

    #[test]
    fn record_round_trips_through_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("releases.json");
        assert_eq!(Record::read(&path), Record::default());
        record().write(&path).unwrap();
        assert_eq!(Record::read(&path), record());
        assert_eq!(record().kept()["okd-4.18"], UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["releases.json"], "no temporary file is left");
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r#"
        {
          "version": 1,
          "channels": {
            "okd": {
              "wanted": "okd-4.20",
              "live": "okd-4.19",
              "settings": "okd-4.19"
            }
          },
          "alone": {
            "tools": {
              "wanted": null,
              "live": null,
              "settings": null
            }
          },
          "kept": {
            "okd-4.18": 1700000000
          }
        }
        "#);
    }

    #[test]
    fn record_invalid_file_is_renamed() {
        for bad in ["", "{", "[]", r#"{"version":1}"#, r#"{"version":2,"channels":{},"alone":{},"kept":{}}"#, "\u{0}"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("releases.json");
            fs::write(&path, bad).unwrap();
            assert_eq!(Record::read(&path), Record::default(), "{bad:?}");
            assert!(!path.exists());
            assert_eq!(fs::read_to_string(dir.path().join("releases.json.bad")).unwrap(), bad);
        }
    }

    #[test]
    fn record_time_out_of_range_is_ignored() {
        let text = r#"{"version":1,"channels":{},"alone":{},"kept":{"a":18446744073709551615}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert!(record.kept().is_empty());
    }
}
