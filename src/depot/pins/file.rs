//! The pin file: read as a whole, and replaced so that after a crash at any instant either the old or the new file exists.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::asset::{AssetName, Digest};
use crate::durable_file::{DurableFile, read_regular};
#[cfg(test)]
use crate::fault_points::FaultPoints;

/// The version of the file's format.
const VERSION: u32 = 1;

/// The asset of a pinned name when the catalog last had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::depot) struct PinnedDigests {
    pub(in crate::depot) digest: Digest,
    pub(in crate::depot) block_list: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPins {
    version: u32,
    pins: BTreeMap<String, StoredPin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPin {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks_sha256: Option<String>,
}

/// The pin file.
pub(in crate::depot) struct PinFile(DurableFile);

impl PinFile {
    pub(in crate::depot) fn new(path: PathBuf) -> Self {
        Self(DurableFile::new(path))
    }

    /// The same with fault points that a test controls.
    #[cfg(test)]
    pub(in crate::depot) fn with_faults(self, faults: FaultPoints) -> Self {
        Self(self.0.with_faults(faults))
    }

    pub(in crate::depot) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The pins in the file; empty if there is no file. Blocks.
    ///
    /// Fails, with a text, if the file is invalid; an invalid file is never read as an empty one.
    pub(in crate::depot) fn read(&self) -> Result<BTreeMap<String, PinnedDigests>, String> {
        let text = match read_regular(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.to_string()),
        };
        let written: StoredPins = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if written.version != VERSION {
            return Err(format!("its version is {}, this program supports version {VERSION}", written.version));
        }
        let pinned = |(name, pin): (String, StoredPin)| {
            if AssetName::parse(&name).is_err() {
                return Err(format!("{name:?} is not a valid asset name"));
            }
            let digest = |text: &str| text.parse::<Digest>().map_err(|error| format!("{name}: {error}"));
            let block_list = pin.blocks_sha256.as_deref().map(digest).transpose()?;
            let digest = digest(&pin.sha256)?;
            Ok((name, PinnedDigests { digest, block_list }))
        };
        written.pins.into_iter().map(pinned).collect()
    }

    /// Replaces the file. The pins are on disk when this returns `Ok`. Blocks.
    pub(in crate::depot) fn write(&self, all: &BTreeMap<String, PinnedDigests>) -> io::Result<()> {
        let stored = |pin: &PinnedDigests| StoredPin {
            sha256: pin.digest.to_string(),
            blocks_sha256: pin.block_list.map(|digest| digest.to_string()),
        };
        let pins = all.iter().map(|(name, pin)| (name.clone(), stored(pin))).collect();
        let mut text = serde_json::to_vec_pretty(&StoredPins { version: VERSION, pins })?;
        text.push(b'\n');
        self.0.replace(&text)
    }
}
