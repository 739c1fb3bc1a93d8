//! Operators' pins: assets that stay in the cache until an operator unpins them.
//!
//! `DIR/pins.json` stores them by name, with the digest that each name last had, so that a pin survives a restart and a
//! catalog that drops the name for a while.

pub(super) mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{error, info, warn};

use self::file::{PinFile, PinnedDigests};
use super::retention::{Retention, RetentionReason, Retentions};
use crate::asset::Digest;
use crate::catalog::{Asset, Catalog};

/// The pin file in the cache directory.
pub const PINS_FILE: &str = "pins.json";

/// Returns the current catalog.
type CurrentCatalog<'a> = &'a dyn Fn() -> Arc<Catalog>;

/// One pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The asset's name.
    pub name: String,
    /// The digest that is retained.
    pub digest: Digest,
    /// Whether the catalog has the name. If not, the pin retains the digest that the name last had.
    pub known: bool,
}

/// Why a pin was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The catalog has no such asset, and no pin has this name.
    #[error("the catalog has no asset {0:?}")]
    Unknown(String),
    /// The file cannot be written, so the pin would be lost at the next restart.
    #[error("nothing was changed: cannot write {path}: {error}")]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The file's content is invalid, and is not overwritten.
    #[error("nothing was changed: cannot read the pins in {path}: {reason}; repair the file, or move it away")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
}

/// The pins and their file.
pub(super) struct Pins {
    pub(super) file: PinFile,
    retentions: Arc<Retentions>,
    state: Mutex<State>,
    /// Serializes changes of the file.
    changing: Mutex<()>,
}

#[derive(Default)]
struct State {
    pinned: BTreeMap<String, (PinnedDigests, Retention)>,
    /// Why the file could not be read.
    unreadable: Option<String>,
    /// The file does not have the latest digests yet.
    stale: bool,
}

impl Pins {
    /// No pins. [`Pins::load`] reads those in `path`.
    pub(super) fn new(path: PathBuf, retentions: Arc<Retentions>) -> Self {
        Self { file: PinFile::new(path), retentions, state: Mutex::default(), changing: Mutex::default() }
    }

    /// All pins, by name.
    pub(super) fn list(&self, catalog: &Catalog) -> Vec<Pin> {
        let status = |(name, (pin, _)): (&String, &(PinnedDigests, Retention))| Pin {
            name: name.clone(),
            digest: pin.digest,
            known: catalog.by_name(name).is_some(),
        };
        self.state.lock().pinned.iter().map(status).collect()
    }

    /// Why pins cannot be changed, as one sentence; `None` if they can.
    pub(super) fn problem(&self) -> Option<String> {
        let reason = self.state.lock().unreadable.clone()?;
        Some(self.unreadable(reason).to_string())
    }

    fn unreadable(&self, reason: String) -> PinError {
        PinError::Unreadable { path: self.file.path().to_owned(), reason }
    }

    /// Pins or unpins `name`: in the file first, then in memory. Returns whether that changed anything. Blocks.
    pub(super) fn change(&self, name: &str, pin: bool, catalog: CurrentCatalog<'_>) -> Result<bool, PinError> {
        let _changing = self.changing.lock();
        if self.state.lock().unreadable.is_some() {
            // An operator may have repaired the file.
            self.load(catalog);
        }
        let asset = catalog().by_name(name).or_else(|| self.retentions.by_name(name));
        if asset.is_none() && (pin || !self.state.lock().pinned.contains_key(name)) {
            return Err(PinError::Unknown(name.to_owned()));
        }
        let target = asset.filter(|_| pin).map(|asset| PinnedDigests::from(&*asset));
        let mut all = {
            let state = self.state.lock();
            if let Some(reason) = state.unreadable.clone() {
                return Err(self.unreadable(reason));
            }
            state.all()
        };
        if all.get(name).copied() == target {
            return Ok(false);
        }
        let changed = all.contains_key(name) != target.is_some();
        match target {
            Some(pin) => all.insert(name.to_owned(), pin),
            None => all.remove(name),
        };
        let written = self.file.write(&all);
        written.map_err(|error| PinError::Unwritten { path: self.file.path().to_owned(), error })?;
        let previous = {
            let mut state = self.state.lock();
            // A reload may have replaced the catalog, and updated the pins, while the file was written.
            let current = target.map(|pin| catalog().by_name(name).map_or(pin, |asset| PinnedDigests::from(&*asset)));
            state.stale |= current != target;
            match current {
                Some(pin) => state.pinned.insert(name.to_owned(), (pin, self.retain(pin))),
                None => state.pinned.remove(name),
            }
        };
        // Dropped without the lock.
        drop(previous);
        if changed {
            info!(asset = name, "{}", if pin { "asset pinned" } else { "asset unpinned" });
        }
        Ok(changed)
    }

    fn retain(&self, pin: PinnedDigests) -> Retention {
        let digests = [pin.digest].into_iter().chain(pin.block_list).collect();
        self.retentions.retain_digests(digests, RetentionReason::Operator)
    }

    /// Reads the file and retains what its pins name. Blocks.
    pub(super) fn load(&self, catalog: CurrentCatalog<'_>) {
        match self.file.read() {
            Ok(all) => {
                let pinned = all.into_iter().map(|(name, pin)| (name, (pin, self.retain(pin)))).collect();
                let previous = std::mem::replace(&mut *self.state.lock(), State { pinned, ..State::default() });
                // Dropped without the lock.
                drop(previous);
                self.follow(catalog);
            }
            Err(reason) => {
                let path = self.file.path().display();
                error!(%path, error = reason, "pins not loaded: pinned assets may be evicted; repair the file, or move it away");
                self.state.lock().unreadable = Some(reason);
            }
        }
    }

    /// Makes each pin retain what its name resolves to in the catalog. A name that is not in the catalog keeps the digest
    /// that it last had. Memory only.
    pub(super) fn follow(&self, catalog: CurrentCatalog<'_>) {
        let mut released = Vec::new();
        let mut state = self.state.lock();
        // Under the lock, so that the last of several concurrent calls applies the newest catalog.
        let catalog = catalog();
        for (name, pinned) in &mut state.pinned {
            match catalog.by_name(name).map(|asset| PinnedDigests::from(&*asset)) {
                None => {
                    warn!(asset = name, "pinned asset not in catalog: its last blob stays cached until it is unpinned");
                }
                Some(pin) if pin != pinned.0 => {
                    released.push(std::mem::replace(pinned, (pin, self.retain(pin))));
                }
                Some(_) => {}
            }
        }
        state.stale |= !released.is_empty();
        drop(state);
        // Dropped without the lock.
        drop(released);
    }

    /// Writes the file if it does not have the latest digests, or if it was deleted with the cache directory. Does nothing
    /// while that directory is missing. If the write fails, the next call tries again. Blocks.
    pub(super) fn save_if_stale(&self, cache_exists: bool) {
        if !cache_exists {
            return;
        }
        let _changing = self.changing.lock();
        let (stale, all) = {
            let mut state = self.state.lock();
            if state.unreadable.is_some() {
                return;
            }
            (std::mem::take(&mut state.stale), state.all())
        };
        if (stale || (!all.is_empty() && !self.file.path().exists()))
            && let Err(error) = self.file.write(&all)
        {
            self.state.lock().stale = true;
            // The file still has the names, and the next start resolves them again.
            warn!(path = %self.file.path().display(), %error, "pin digests not saved");
        }
    }
}

impl State {
    /// All pins, in the form of the file.
    fn all(&self) -> BTreeMap<String, PinnedDigests> {
        self.pinned.iter().map(|(name, (pin, _))| (name.clone(), *pin)).collect()
    }
}

impl From<&Asset> for PinnedDigests {
    fn from(asset: &Asset) -> Self {
        Self { digest: asset.digest, block_list: asset.blocks.as_ref().map(|list| list.digest) }
    }
}
