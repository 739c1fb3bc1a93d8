//! Which assets are live: releases go live whole, and only when every blob is proven.
//!
//! `standing` is the pure part: which release of each channel is wanted, which is live, and what is kept for machines
//! that began with an older one. `keeper` brings the blobs into the cache, `record` remembers the standing across
//! restarts, and `view` is what operators see of it all.

mod keeper;
mod record;
mod standing;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tracing::{info, warn};

pub use view::{ReleaseState, ReleaseStatus};

use self::keeper::Pace;
use self::record::Record;
use self::standing::{InChannel, Standing};
use super::ReferenceError;
use crate::asset::AssetName;
use crate::catalog::{Asset, Release};
use crate::depot::{Depot, Hold};

/// The file in the cache's directory that remembers which releases are live.
pub const RECORD_FILE: &str = "releases.json";

/// Why a reference names no asset now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// There is no such asset, channel, or asset in the channel.
    #[error("the catalog has no asset {0:?}")]
    Unknown(String),
    /// It means nothing in the settings as they are.
    #[error(transparent)]
    Meaningless(#[from] ReferenceError),
    /// No release of the channel is active.
    #[error("no release of the channel {0} is active; activate one")]
    Inactive(String),
    /// The release that is to be live is not proven yet, and none before it is live.
    #[error("the release {release} is not here yet: {proven} of {total} assets are proven")]
    Fetching {
        /// The release.
        release: String,
        /// Its assets whose blobs are in the cache.
        proven: usize,
        /// All of its assets.
        total: usize,
    },
}

/// Why a release cannot be activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivateError {
    /// There is none of this name.
    #[error("there is no release {name:?}; {}", in_words(.known))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

fn in_words(known: &[String]) -> String {
    if known.is_empty() { "the settings have none".to_owned() } else { format!("there are {}", known.join(", ")) }
}

/// The releases, and which of them is live in each channel. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Releases {
    shared: Arc<Shared>,
}

struct Shared {
    depot: Depot,
    /// Where the standing is recorded; none: nowhere.
    record: Option<PathBuf>,
    pace: Pace,
    state: Mutex<State>,
    /// Wakes the keeper: what is wanted has changed.
    kick: Notify,
    /// Held while the record is written, so that the last one written is the last one there was. The writing thread holds
    /// it: whoever waits for the thread may go away before it is done.
    writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    standing: Standing,
    /// What keeps the assets of each held release in the cache.
    holds: HashMap<String, Vec<Hold>>,
    /// Why assets could not be fetched when that was last tried.
    failures: HashMap<AssetName, String>,
    /// The record does not say all of it yet.
    unrecorded: bool,
    /// Why the record could not be written when that was last tried, if it could not.
    trouble: Option<String>,
}

impl State {
    /// The record was written, or was not. What is wrong is told once, until it is something else or nothing.
    fn recorded(&mut self, path: &Path, result: io::Result<()>) {
        let trouble = result.err().map(|error| error.to_string());
        let before = std::mem::replace(&mut self.trouble, trouble.clone());
        match (trouble, before) {
            (None, None) => {}
            (None, Some(_)) => info!("which releases are live is kept for a restart again"),
            (Some(error), before) => {
                self.unrecorded = true;
                if before.as_ref() != Some(&error) {
                    warn!(path = %path.display(), error, "which releases are live cannot be kept for a restart yet");
                }
            }
        }
    }
}

impl Releases {
    /// No releases: every asset of the catalog is live.
    pub fn none(depot: Depot) -> Self {
        Self::with(depot, None, Standing::default(), Pace::default())
    }

    /// These releases over the assets of `depot`, standing as `record` (a file that need not be there) and the settings
    /// say. What is proven already is live at once; the rest is fetched by [`Releases::keep`]. Blocks for the record.
    pub fn open(releases: Vec<Release>, depot: Depot, record: PathBuf) -> Self {
        Self::open_with(releases, depot, record, Pace::default())
    }

    fn open_with(releases: Vec<Release>, depot: Depot, record: PathBuf, pace: Pace) -> Self {
        let opened = Self::with(depot, Some(record), Standing::default(), pace);
        opened.set(releases);
        let mut state = opened.state();
        // Now, so that what the settings said today is known whatever comes.
        if let Some(path) = opened.shared.record.as_deref().filter(|_| !state.standing.is_empty()) {
            state.unrecorded = false;
            let result = state.standing.record().write(path);
            state.recorded(path, result);
        }
        drop(state);
        opened
    }

    /// Goes over to these releases, over the assets that the depot has now. The first ones block for the record.
    ///
    /// What was activated since the settings last changed their mind stays so, as over a restart. A release that the
    /// settings have no more stays live until one that is wanted in its place is proven; where none is, and after that, it is
    /// kept for machines that began with it like any that was replaced, its assets by their names as well.
    pub fn set(&self, releases: Vec<Release>) {
        let now = SystemTime::now();
        let mut state = self.state();
        // Without releases nothing is to be remembered, and an old record is left for when they come back.
        let record = match &self.shared.record {
            Some(path) if state.standing.is_empty() && !releases.is_empty() => Record::read(path),
            _ => state.standing.record(),
        };
        state.standing.replace(releases, record, now);
        // Assets of the same name may have other bytes now. Of what the settings have no more, only what is held is known.
        let mut before = std::mem::take(&mut state.holds);
        let gone: Vec<_> = state.standing.held().filter(|it| !state.standing.has(&it.name)).cloned().collect();
        state.holds = gone.iter().filter_map(|it| before.remove_entry(&it.name)).collect();
        state.failures.clear();
        self.advance(&mut state, now);
        // Not sooner: what both hold is never loose.
        drop(before);
        state.unrecorded = self.shared.record.is_some();
        drop(state);
        self.shared.kick.notify_one();
    }

    fn with(depot: Depot, record: Option<PathBuf>, standing: Standing, pace: Pace) -> Self {
        let state = Mutex::new(State { standing, ..State::default() });
        let (kick, writing) = (Notify::new(), Arc::default());
        Self { shared: Arc::new(Shared { depot, record, pace, state, kick, writing }) }
    }

    /// The asset that `reference` means for a new script: an asset's NAME, or CHANNEL:SHORT, which is the asset SHORT of
    /// the release that is live in CHANNEL.
    ///
    /// A NAME that only releases have which are to be live and are not yet is [`NotLive::Fetching`]; one in no such release
    /// is always there, and is fetched when a machine asks for it.
    pub fn find(&self, reference: &str) -> Result<Arc<Asset>, NotLive> {
        let unknown = || NotLive::Unknown(reference.to_owned());
        let depot = &self.shared.depot;
        if let Some(asset) = depot.find(reference) {
            let state = self.state();
            let having = || state.standing.active().filter(|release| release.assets.contains(&asset.name));
            return match having().next() {
                Some(first) if !having().any(|release| state.standing.is_live(release)) => Err(self.fetching(first)),
                _ => Ok(asset),
            };
        }
        let (channel, short) = reference.split_once(':').ok_or_else(unknown)?;
        let state = self.state();
        match state.standing.channel(channel).ok_or_else(unknown)? {
            InChannel { live: Some(live), wanted } => {
                let found = live.by_short_name(short).and_then(|name| depot.find(name.as_str()));
                // One that the settings have no more may lack what they speak of.
                let later = || wanted.filter(|wanted| wanted.name != live.name);
                found.ok_or_else(|| later().map_or_else(unknown, |wanted| self.fetching(wanted)))
            }
            InChannel { wanted: Some(wanted), .. } => Err(self.fetching(wanted)),
            InChannel { .. } => Err(NotLive::Inactive(channel.to_owned())),
        }
    }

    /// The asset that `reference` will mean once everything that is active is live.
    pub fn find_coming(&self, reference: &str) -> Result<Arc<Asset>, NotLive> {
        let unknown = || NotLive::Unknown(reference.to_owned());
        let depot = &self.shared.depot;
        if let Some(asset) = depot.find(reference) {
            return Ok(asset);
        }
        let (channel, short) = reference.split_once(':').ok_or_else(unknown)?;
        let state = self.state();
        let InChannel { live, wanted } = state.standing.channel(channel).ok_or_else(unknown)?;
        let coming = wanted.or(live).ok_or_else(|| NotLive::Inactive(channel.to_owned()))?;
        coming.by_short_name(short).and_then(|name| depot.find(name.as_str())).ok_or_else(unknown)
    }

    /// The names of a release's assets; `None` where there is no such release.
    pub fn assets_of(&self, name: &str) -> Option<Vec<AssetName>> {
        self.state().standing.all().find(|release| release.name == name).map(|release| release.assets.clone())
    }

    fn fetching(&self, release: &Release) -> NotLive {
        let proven = self.assets(release).filter(|asset| self.shared.depot.is_proven(&asset.digest)).count();
        NotLive::Fetching { release: release.name.clone(), proven, total: release.assets.len() }
    }

    /// What stands in the way of every active release being proven, a sentence for each asset.
    pub fn troubles(&self) -> Vec<String> {
        let depot = &self.shared.depot;
        let mut troubles = Vec::new();
        let state = self.state();
        for release in state.standing.wanted() {
            let missing: Vec<_> = self.assets(release).filter(|asset| !depot.is_proven(&asset.digest)).collect();
            let (proven, total) = (release.assets.len() - missing.len(), release.assets.len());
            let trouble = |asset: &Arc<Asset>| {
                let why = state.failures.get(&asset.name).map(|why| format!(": {why}")).unwrap_or_default();
                format!("release {}: {} is not proven ({proven} of {total}){why}", release.name, asset.name)
            };
            troubles.extend(missing.iter().map(trouble));
        }
        troubles
    }

    /// Wants the release `name` live in its channel from now on, whatever the settings say, until they say something
    /// else than they do now.
    ///
    /// New scripts go over to it, all of it at once, when its last blob is proven: now, if they all are. Until then the
    /// one before stays live. That is how to go back, too. What takes the choice across a restart is written when this
    /// returns, or else as soon as the cache's directory can be written.
    pub async fn activate(&self, name: &str) -> Result<ReleaseStatus, ActivateError> {
        {
            let mut state = self.state();
            let Some(release) = state.standing.activate(name) else {
                let known = state.standing.all().map(|release| release.name.clone()).collect();
                return Err(ActivateError::Unknown { name: name.to_owned(), known });
            };
            info!(release = name, channel = release.channel, "activated");
            release.assets.iter().for_each(|asset| drop(state.failures.remove(asset)));
            state.unrecorded = self.shared.record.is_some();
            self.advance(&mut state, SystemTime::now());
        }
        self.shared.kick.notify_one();
        self.write_record().await;
        let view = self.list().into_iter().find(|view| view.name == name);
        view.ok_or_else(|| ActivateError::Unknown { name: name.to_owned(), known: Vec::new() })
    }

    /// Which releases each asset is of, by the asset's name.
    pub fn by_asset(&self) -> HashMap<AssetName, Vec<String>> {
        let releases: Vec<_> = self.state().standing.all().cloned().collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for release in releases {
            for asset in &release.assets {
                found.entry(asset.clone()).or_default().push(release.name.clone());
            }
        }
        found
    }

    /// All releases, in the order of the settings, and then what they have no more and is still live.
    pub fn list(&self) -> Vec<ReleaseStatus> {
        let state = self.state();
        let views = state.standing.all().chain(state.standing.former()).map(|release| {
            let assets = self.assets(release).map(|asset| {
                let failure = state.failures.get(&asset.name).map(|reason| format!("{}: {reason}", asset.name));
                (self.shared.depot.progress(&asset), failure)
            });
            ReleaseStatus::of(release, &state.standing, assets)
        });
        views.collect()
    }

    /// Makes live what is wanted and proven, and holds what must stay.
    fn advance(&self, state: &mut State, now: SystemTime) {
        let is_proven =
            |release: &Release| self.assets(release).all(|asset| self.shared.depot.is_proven(&asset.digest));
        let ends = state.standing.next_end();
        let switched = state.standing.advance(is_proven, now);
        for release in &switched {
            info!(release = release.name, channel = release.channel, "live: new scripts name its assets");
        }
        if self.shared.record.is_some() && (!switched.is_empty() || ends != state.standing.next_end()) {
            state.unrecorded = true;
        }
        let held: HashSet<&str> = state.standing.held().map(|release| release.name.as_str()).collect();
        state.holds.retain(|name, _| held.contains(name.as_str()));
        for release in state.standing.held() {
            let holder = state.standing.holder(release);
            if let Some(holds) = state.holds.get_mut(&release.name) {
                for hold in holds {
                    hold.rename(&holder);
                }
            } else {
                let holds = self.assets(release).map(|asset| self.shared.depot.hold(&asset, holder.clone())).collect();
                state.holds.insert(release.name.clone(), holds);
            }
        }
    }

    /// Writes the record, if there is something new to say or it is gone. What cannot be written now is tried again by the
    /// keeper. The writing goes on to its end when this is dropped.
    async fn write_record(&self) {
        let Some(path) = self.shared.record.clone() else { return };
        let writing = Arc::clone(&self.shared.writing).lock_owned().await;
        let releases = self.clone();
        let write = move || {
            let _writing = writing;
            let (changed, record, empty) = {
                let mut state = releases.state();
                let empty = state.standing.is_empty();
                (std::mem::take(&mut state.unrecorded), state.standing.record(), empty)
            };
            // It may have gone with the directory. Without releases nothing is to be remembered.
            if (changed || !path.exists()) && !empty {
                let result = record.write(&path);
                releases.state().recorded(&path, result);
            }
        };
        // It does not panic; it is aborted only when there is no next time.
        let _ = tokio::task::spawn_blocking(write).await;
    }

    /// The assets of a release.
    fn assets<'r>(&'r self, release: &'r Release) -> impl Iterator<Item = Arc<Asset>> + 'r {
        // The settings name none that the catalog lacks, and of others the assets are held.
        release.assets.iter().filter_map(|name| self.shared.depot.find(name.as_str()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
