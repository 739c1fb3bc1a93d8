//! The file of the pins: read as a whole, and written so that after a crash at any instant it is the old one or the new.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::is_name;
use crate::asset::Digest;

/// The version of the form in which it is written.
const VERSION: u32 = 1;

/// What a name was when it was last seen in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) digest: Digest,
    pub(super) blocks: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    pins: BTreeMap<String, WrittenPin>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPin {
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks_sha256: Option<String>,
}

/// Where the pins are.
pub(super) struct PinFile {
    path: PathBuf,
    /// Taken before each change of the disk; tests cut the power here.
    step: Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>,
}

impl PinFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self::with_steps(path, Box::new(|_| Ok(())))
    }

    pub(super) fn with_steps(path: PathBuf, step: Box<dyn Fn(&'static str) -> io::Result<()> + Send + Sync>) -> Self {
        Self { path, step }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in the file; nothing where there is none. Blocks.
    ///
    /// What cannot be read is an error, in words, and never taken for no pins.
    pub(super) fn read(&self) -> Result<BTreeMap<String, Pinned>, String> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.to_string()),
        };
        let written: Written = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if written.version != VERSION {
            return Err(format!("it is of version {}, and this program knows version {VERSION}", written.version));
        }
        let pinned = |(name, pin): (String, WrittenPin)| {
            if !is_name(&name) {
                return Err(format!("{name:?} is no asset's name"));
            }
            let digest = |text: &str| text.parse::<Digest>().map_err(|error| format!("{name}: {error}"));
            let blocks = pin.blocks_sha256.as_deref().map(digest).transpose()?;
            let digest = digest(&pin.sha256)?;
            Ok((name, Pinned { digest, blocks }))
        };
        written.pins.into_iter().map(pinned).collect()
    }

    /// Writes all pins, whole or not at all; when this returns well they are on the disk. Blocks.
    pub(super) fn write(&self, all: &BTreeMap<String, Pinned>) -> io::Result<()> {
        let pin = |pinned: &Pinned| WrittenPin {
            sha256: pinned.digest.to_string(),
            blocks_sha256: pinned.blocks.map(|digest| digest.to_string()),
        };
        let pins = all.iter().map(|(name, pinned)| (name.clone(), pin(pinned))).collect();
        let mut text = serde_json::to_vec_pretty(&Written { version: VERSION, pins })?;
        text.push(b'\n');
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        (self.step)("create")?;
        let mut file = File::create(&new)?;
        // In two writes in the tests' eyes: a file cut in its middle is the crash that must not count.
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
