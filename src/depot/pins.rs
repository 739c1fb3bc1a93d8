//! Operators' pins: assets that stay in the cache until an operator lets go of them. Kept by name in `DIR/pins.json`,
//! beside the digest that each name last had, so that a pin outlives a restart and a catalog that forgets the name for a
//! while.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::file::{PinFile, Pinned};
use super::{Depot, Hold, Holder};
use crate::asset::{AssetName, Digest};
use crate::catalog::Asset;
use crate::task::blocking;

/// The file in the cache's directory that has the pins.
pub const PINS_FILE: &str = "pins.json";

/// How often to look whether the file is still there: no longer than it takes somebody to empty a directory and start the
/// server again. It costs a look at one name.
const LOOK: Duration = Duration::from_secs(5);

/// One pin, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The asset's name.
    pub name: String,
    /// The digest that is held.
    pub digest: Digest,
    /// Whether the catalog has the name. Where it has not, the pin stays, and holds what the name last was.
    pub known: bool,
}

/// Why a pin was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The catalog has no such asset, and nothing of this name is pinned.
    #[error("the catalog has no asset {0:?}")]
    Unknown(String),
    /// The file cannot be written: what would be lost at the next restart is not promised.
    #[error("nothing was changed: {path} cannot be written: {error}")]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// What is in the file cannot be made sense of, and is not overwritten.
    #[error("nothing was changed: the pins in {path} cannot be read: {reason}; mend the file, or move it away")]
    Illegible {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The pins, and the file that they are in.
pub(super) struct Pins {
    file: PinFile,
    state: Mutex<State>,
    /// Held while a change goes to the disk, so that changes come one after the other.
    changing: Mutex<()>,
}

#[derive(Default)]
struct State {
    pinned: BTreeMap<String, (Pinned, Hold)>,
    /// Why the file could not be read.
    illegible: Option<String>,
    /// The file does not say all of it yet.
    unwritten: bool,
}

impl Pins {
    /// No pins yet; those in `path` are read by [`Depot::read_pins`].
    pub(super) fn new(path: PathBuf) -> Self {
        Self { file: PinFile::new(path), state: Mutex::default(), changing: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Depot {
    /// Operators' pins, by name.
    pub fn pins(&self) -> Vec<Pin> {
        let catalog = self.catalog();
        let view = |(name, (pinned, _)): (&String, &(Pinned, Hold))| Pin {
            name: name.clone(),
            digest: pinned.digest,
            known: catalog.by_name(name).is_some(),
        };
        self.shared.pins.state().pinned.iter().map(view).collect()
    }

    /// Why operators' pins cannot be kept, if that is so, as one sentence.
    pub fn pin_trouble(&self) -> Option<String> {
        let reason = self.shared.pins.state().illegible.clone()?;
        Some(PinError::Illegible { path: self.shared.pins.file.path().to_owned(), reason }.to_string())
    }

    /// Holds the asset of this name in the cache from now on, whether it is here or not, until [`Depot::unpin`]. When this
    /// returns well the disk has it. Returns whether it was news.
    pub async fn pin(&self, name: &str) -> Result<bool, PinError> {
        self.change_pins(name.to_owned(), true).await
    }

    /// Takes an operator's pin off; the name need not be in the catalog. When this returns well the disk has it. Returns
    /// whether there was one.
    pub async fn unpin(&self, name: &str) -> Result<bool, PinError> {
        self.change_pins(name.to_owned(), false).await
    }

    /// Makes `name` pinned, or not: on the disk first, then here. Goes on to its end when this is dropped.
    async fn change_pins(&self, name: String, pin: bool) -> Result<bool, PinError> {
        let depot = self.clone();
        blocking(move || depot.change_now(&name, pin)).await
    }

    /// Blocks.
    fn change_now(&self, name: &str, pin: bool) -> Result<bool, PinError> {
        let pins = &self.shared.pins;
        let _changing = pins.changing();
        if pins.state().illegible.is_some() {
            // It may have been mended meanwhile.
            self.read_pins();
        }
        let asset = self.find(name);
        if asset.is_none() && (pin || !pins.state().pinned.contains_key(name)) {
            return Err(PinError::Unknown(name.to_owned()));
        }
        let to = asset.filter(|_| pin).map(|asset| Pinned::of(&asset));
        let mut all = {
            let state = pins.state();
            if let Some(reason) = state.illegible.clone() {
                return Err(PinError::Illegible { path: pins.file.path().to_owned(), reason });
            }
            state.all()
        };
        if all.get(name).copied() == to {
            return Ok(false);
        }
        let news = all.contains_key(name) != to.is_some();
        match to {
            Some(pinned) => all.insert(name.to_owned(), pinned),
            None => all.remove(name),
        };
        let written = pins.file.write(&all);
        written.map_err(|error| PinError::Unwritten { path: pins.file.path().to_owned(), error })?;
        let before = {
            let mut state = pins.state();
            // The catalog may have become another meanwhile, and looked at the pins already.
            let now = to.map(|to| self.catalog().by_name(name).map_or(to, |asset| Pinned::of(asset)));
            state.unwritten |= now != to;
            match now {
                Some(now) => state.pinned.insert(name.to_owned(), (now, self.hold_pin(now))),
                None => state.pinned.remove(name),
            }
        };
        // Not under the lock.
        drop(before);
        if news {
            info!(asset = name, "{}", if pin { "pinned" } else { "unpinned" });
        }
        Ok(news)
    }

    fn hold_pin(&self, pinned: Pinned) -> Hold {
        self.hold_digests([pinned.digest].into_iter().chain(pinned.blocks).collect(), Holder::Operator)
    }

    /// Holds what the catalog and the operators pin, and lets go of what an earlier catalog pinned. To be called whenever the
    /// catalog has changed, and [`Depot::keep_pins`] after it. Memory only.
    pub(super) fn apply_pins(&self) {
        let catalog = self.catalog();
        metrics::gauge!("bootdepot_catalog_assets").set(u32::try_from(catalog.len()).unwrap_or(u32::MAX));
        let pinned = catalog.assets().filter(|asset| asset.pin);
        let holds = pinned.map(|asset| self.hold(asset, Holder::Settings)).collect();
        let before = std::mem::replace(&mut *self.shared.pinned.lock().unwrap_or_else(PoisonError::into_inner), holds);
        drop(before);
        self.follow_names();
    }

    /// Reads the pins and holds what they name. Blocks.
    pub(super) fn read_pins(&self) {
        let pins = &self.shared.pins;
        match pins.file.read() {
            Ok(all) => {
                let held = all.into_iter().map(|(name, pinned)| (name, (pinned, self.hold_pin(pinned)))).collect();
                *pins.state() = State { pinned: held, ..State::default() };
                self.follow_names();
            }
            Err(reason) => {
                let path = pins.file.path().display();
                error!(%path, reason, "operators' pins cannot be read: what they pinned may be evicted until the file is mended");
                pins.state().illegible = Some(reason);
            }
        }
    }

    /// Makes each pin hold what its name is in the catalog; a name that is not there holds what it last was. Memory only.
    fn follow_names(&self) {
        let mut released = Vec::new();
        let mut state = self.shared.pins.state();
        // Under the lock: of two who do this the last one follows the newest catalog.
        let catalog = self.catalog();
        for (name, held) in &mut state.pinned {
            match catalog.by_name(name).map(|asset| Pinned::of(asset)) {
                None => {
                    warn!(
                        asset = name,
                        "an asset is pinned that the catalog does not have; what it last was stays until it is unpinned"
                    );
                }
                Some(now) if now != held.0 => {
                    released.push(std::mem::replace(held, (now, self.hold_pin(now))));
                }
                Some(_) => {}
            }
        }
        state.unwritten |= !released.is_empty();
        drop(state);
        // Not under the lock.
        drop(released);
    }

    /// Keeps the pins' file, until `stop`: where it goes with the cache's directory, it is written again once the cache has
    /// made another. What is pinned is in the file when this returns.
    pub async fn keep(&self, stop: CancellationToken) {
        self.keep_looking(LOOK, stop).await;
    }

    async fn keep_looking(&self, pause: Duration, stop: CancellationToken) {
        let mut ending = false;
        while !ending {
            ending = stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            let depot = self.clone();
            blocking(move || depot.keep_pins()).await;
        }
    }

    /// Brings the pins' file up to date where names lead to other bytes than it says, or it has gone with the cache's
    /// directory; while that cannot be written, it is left for the next time. Blocks: nobody who serves clients may wait
    /// for it.
    pub fn keep_pins(&self) {
        let pins = &self.shared.pins;
        if !self.shared.cache.is_available() {
            return;
        }
        let _changing = pins.changing();
        let (unwritten, all) = {
            let mut state = pins.state();
            if state.illegible.is_some() {
                return;
            }
            (std::mem::take(&mut state.unwritten), state.all())
        };
        if (unwritten || (!all.is_empty() && !pins.file.path().exists()))
            && let Err(error) = pins.file.write(&all)
        {
            pins.state().unwritten = true;
            // The names are what counts, and they are there; the next start follows them again.
            warn!(path = %pins.file.path().display(), %error, "the digests of what is pinned cannot be kept");
        }
    }
}

impl State {
    /// All pins, as the file has them.
    fn all(&self) -> BTreeMap<String, Pinned> {
        self.pinned.iter().map(|(name, (pinned, _))| (name.clone(), *pinned)).collect()
    }
}

impl Pinned {
    fn of(asset: &Asset) -> Self {
        Self { digest: asset.digest, blocks: asset.blocks.as_ref().map(|list| list.digest) }
    }
}

/// Whether a name may be pinned at all: what is in the file was a name once.
fn is_name(name: &str) -> bool {
    AssetName::parse(name).is_ok()
}
