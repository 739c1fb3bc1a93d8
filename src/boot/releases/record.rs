//! What is recorded of the releases' standing, so that a restart changes nothing: a small JSON file in the cache's
//! directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

/// The version of the form in which it is written.
const VERSION: u32 = 1;

/// The standing as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// Each channel's.
    pub(super) channels: BTreeMap<String, TrackRecord>,
    /// That of each release without a channel.
    pub(super) alone: BTreeMap<String, TrackRecord>,
    /// Until when releases are kept that were live: seconds since 1970.
    kept: BTreeMap<String, u64>,
}

/// What is recorded of one channel, or of one release without a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackRecord {
    /// The release that is to be live.
    pub(super) wanted: Option<String>,
    /// The one that is.
    pub(super) live: Option<String>,
    /// The one that the settings wanted live when this was written.
    pub(super) settings: Option<String>,
}

impl TrackRecord {
    /// Nothing is or was to be live.
    fn is_idle(&self) -> bool {
        self.wanted.is_none() && self.live.is_none()
    }
}

impl Default for Record {
    /// A record of nothing.
    fn default() -> Self {
        Self { version: VERSION, channels: BTreeMap::new(), alone: BTreeMap::new(), kept: BTreeMap::new() }
    }
}

impl Record {
    /// Records until when releases are kept that were live.
    pub(super) fn keep<'k>(&mut self, kept: impl IntoIterator<Item = (&'k String, &'k SystemTime)>) {
        let seconds = |at: &SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.kept.extend(kept.into_iter().map(|(name, until)| (name.clone(), seconds(until))));
    }

    /// What is left of it when all is taken out that stands for nothing, and nothing is kept but this.
    pub(super) fn rest<'k>(mut self, kept: impl IntoIterator<Item = (&'k String, &'k SystemTime)>) -> Self {
        self.channels.retain(|_, track| !track.is_idle());
        self.alone.retain(|_, track| !track.is_idle());
        self.kept.clear();
        self.keep(kept);
        self
    }

    /// Until when releases are kept that were live.
    pub(super) fn kept(&self) -> BTreeMap<String, SystemTime> {
        let at = |seconds: u64| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        self.kept.iter().filter_map(|(name, until)| Some((name.clone(), at(*until)?))).collect()
    }

    /// Reads the record at `path`; an empty one where there is none. Blocks.
    ///
    /// A file that cannot be made sense of is set aside under another name for whoever wants to know why, and counts as
    /// none: then the settings' word is all there is.
    pub(super) fn read(path: &Path) -> Self {
        let nothing = Self::default;
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing(),
            Err(error) => {
                let path = path.display();
                warn!(%path, %error, "which releases were live cannot be read; going by the settings");
                return nothing();
            }
        };
        let reason = match serde_json::from_slice::<Self>(&text) {
            Ok(record) if record.version == VERSION => return record,
            Ok(record) => format!("it is of version {}, and this program knows version {VERSION}", record.version),
            Err(error) => error.to_string(),
        };
        let aside = with_suffix(path, ".bad");
        let moved = fs::rename(path, &aside);
        let (path, aside) = (path.display(), aside.display());
        match moved {
            Ok(()) => {
                warn!(%path, reason, "which releases were live is no longer legible; going by the settings, and keeping the file as {aside}");
            }
            Err(error) => {
                warn!(%path, reason, %error, "which releases were live is no longer legible; going by the settings");
            }
        }
        nothing()
    }

    /// Writes the record to `path`, whole or not at all. Blocks.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let new = with_suffix(path, ".new");
        let mut file = File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
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
        let track = TrackRecord {
            wanted: Some("okd-4.20".to_owned()),
            live: Some("okd-4.19".to_owned()),
            settings: Some("okd-4.19".to_owned()),
        };
        let mut record = Record::default();
        record.keep(&kept);
        record.channels.insert("okd".to_owned(), track);
        record.alone.insert("tools".to_owned(), TrackRecord::default());
        record
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("releases.json");
        assert_eq!(Record::read(&path), Record::default());
        record().write(&path).unwrap();
        assert_eq!(Record::read(&path), record());
        assert_eq!(record().kept()["okd-4.18"], UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["releases.json"], "nothing is left beside it");
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
    fn what_cannot_be_read_is_set_aside_and_not_lost() {
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
    fn a_time_beyond_all_clocks_is_no_panic() {
        let text = r#"{"version":1,"channels":{},"alone":{},"kept":{"a":18446744073709551615}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert!(record.kept().is_empty());
    }
}
