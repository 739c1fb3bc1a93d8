//! The pin file: read as a whole, and replaced so that after a crash at any instant either the old or the new file exists.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::asset::{AssetName, Digest};

/// The version of the file's format.
const VERSION: u32 = 1;

/// What a pinned name resolved to when the catalog last had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::depot) struct Pin {
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
pub(in crate::depot) struct PinFile {
    path: PathBuf,
    /// Called before each change of the disk; tests simulate a power cut here.
    step: Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>,
}

impl PinFile {
    pub(in crate::depot) fn new(path: PathBuf) -> Self {
        Self::with_steps(path, Box::new(|_| Ok(())))
    }

    pub(in crate::depot) fn with_steps(
        path: PathBuf,
        step: Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>,
    ) -> Self {
        Self { path, step }
    }

    pub(in crate::depot) fn path(&self) -> &Path {
        &self.path
    }

    /// The pins in the file; empty if there is no file. Blocks.
    ///
    /// Fails, with a text, if the file is invalid; an invalid file is never read as an empty one.
    pub(in crate::depot) fn read(&self) -> Result<BTreeMap<String, Pin>, String> {
        let text = match fs::read(&self.path) {
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
            Ok((name, Pin { digest, block_list }))
        };
        written.pins.into_iter().map(pinned).collect()
    }

    /// Replaces the file. The pins are on disk when this returns `Ok`. Blocks.
    pub(in crate::depot) fn write(&self, all: &BTreeMap<String, Pin>) -> io::Result<()> {
        let stored = |pin: &Pin| StoredPin {
            sha256: pin.digest.to_string(),
            blocks_sha256: pin.block_list.map(|digest| digest.to_string()),
        };
        let pins = all.iter().map(|(name, pin)| (name.clone(), stored(pin))).collect();
        let mut text = serde_json::to_vec_pretty(&StoredPins { version: VERSION, pins })?;
        text.push(b'\n');
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        (self.step)("create")?;
        let mut file = File::create(&new)?;
        // In two writes for the crash test: a half-written file must never be read.
        let (first, second) = text.split_at(text.len() / 2);
        (self.step)("write")?;
        file.write_all(first)?;
        (self.step)("write")?;
        file.write_all(second)?;
        (self.step)("fsync")?;
        file.sync_all()?;
        (self.step)("rename")?;
        fs::rename(&new, &self.path)?;
        (self.step)("fsync directory")?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}
