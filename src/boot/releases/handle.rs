//! The handle to the releases: resolves references to live assets, and activates releases.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};
use strum::IntoEnumIterator as _;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::channels::{ChannelStatus, Channels};
use super::error::ActivateError;
use super::record::Record;
use super::release_status::{ReleaseState, ReleaseStatus};
use super::settings::ReconcileSettings;
use crate::asset::AssetName;
use crate::boot::not_live::NotLive;
use crate::catalog::{Asset, Release};
use crate::depot::{Depot, Retention};
use crate::task;

/// The file in the cache's directory that stores which releases are live.
pub const RECORD_FILE: &str = "releases.json";

/// The releases, and which of them is live in each channel. Cheap to clone; all clones share the same state.
#[derive(Clone)]
pub struct Releases {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) depot: Depot,
    /// The file that stores the state; `None` stores it nowhere.
    record: Option<PathBuf>,
    pub(super) settings: ReconcileSettings,
    state: Mutex<State>,
    /// Wakes the reconciler after the active releases changed.
    pub(super) changed: Notify,
    /// Held while the record is written, so that the newest state is written last. The writing thread holds it, because the
    /// task that waits for the thread may be cancelled.
    pub(super) writing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) channels: Channels,
    /// Pins the assets of each held release in the cache.
    holds: HashMap<String, Vec<Retention>>,
    /// Why the last fetch of an asset failed.
    pub(super) failures: HashMap<AssetName, String>,
    /// Whether the state differs from the record.
    pub(super) unrecorded: bool,
    /// Why the last write of the record failed.
    write_error: Option<String>,
}

impl State {
    /// Handles the result of writing the record. Each error is logged once, until it changes.
    fn recorded(&mut self, path: &Path, result: io::Result<()>) {
        let error = result.err().map(|error| error.to_string());
        let before = std::mem::replace(&mut self.write_error, error.clone());
        match (error, before) {
            (None, None) => {}
            (None, Some(_)) => info!(path = %path.display(), "releases record written again"),
            (Some(error), before) => {
                self.unrecorded = true;
                if before.as_ref() != Some(&error) {
                    warn!(path = %path.display(), error, "releases record failed; a restart would lose activations");
                }
            }
        }
    }
}

impl Releases {
    /// No releases: every asset of the catalog is live.
    pub fn empty(depot: Depot) -> Self {
        Self::with(depot, None, ReconcileSettings::default())
    }

    /// Opens these releases over the assets of `depot`. Their state comes from the file `record`, which may be missing, and
    /// from the configuration. Releases that are cached completely are live at once; [`Releases::reconcile`] fetches the
    /// others. Blocks on disk IO for the record.
    pub fn open(releases: Vec<Release>, depot: Depot, record: PathBuf) -> Self {
        Self::open_with(releases, depot, record, ReconcileSettings::default())
    }

    pub(super) fn open_with(
        releases: Vec<Release>,
        depot: Depot,
        record: PathBuf,
        settings: ReconcileSettings,
    ) -> Self {
        let opened = Self::with(depot, Some(record), settings);
        opened.replace(releases);
        let mut state = opened.state();
        // Written at once, so that a crash does not lose what the configuration activates today.
        if let Some(path) = opened.shared.record.as_deref().filter(|_| !state.channels.is_empty()) {
            state.unrecorded = false;
            let result = state.channels.record().write(path);
            state.recorded(path, result);
        }
        drop(state);
        opened
    }

    /// Replaces the releases, over the current assets of the depot. The first call with releases blocks on disk IO for the
    /// record.
    ///
    /// As over a restart, an activation by command lasts until the configuration activates another release than before. A
    /// live release that is removed from the configuration stays live until the active release of its channel is cached.
    /// Afterwards, or if no release is active, it is kept for machines that began with it, and its assets stay resolvable.
    pub fn replace(&self, releases: Vec<Release>) {
        let now = SystemTime::now();
        let mut state = self.state();
        // Without releases there is nothing to record; an existing record is kept in case they come back.
        let record = match &self.shared.record {
            Some(path) if state.channels.is_empty() && !releases.is_empty() => Record::read(path),
            _ => state.channels.record(),
        };
        state.channels.replace(releases, record, now);
        // Assets of the same name may have other bytes now. Those of removed releases are known only by their holds.
        let mut before = std::mem::take(&mut state.holds);
        let gone: Vec<_> = state.channels.held().filter(|it| !state.channels.has(&it.name)).cloned().collect();
        state.holds = gone.iter().filter_map(|it| before.remove_entry(&it.name)).collect();
        state.failures.clear();
        self.advance(&mut state, now);
        // Dropped last, so that blobs which both states hold are never unpinned.
        drop(before);
        state.unrecorded = self.shared.record.is_some();
        drop(state);
        self.shared.changed.notify_one();
    }

    fn with(depot: Depot, record: Option<PathBuf>, settings: ReconcileSettings) -> Self {
        let (changed, writing) = (Notify::new(), Arc::default());
        Self { shared: Arc::new(Shared { depot, record, settings, state: Mutex::default(), changed, writing }) }
    }

    /// Resolves `reference` for a new script: an asset's NAME, or CHANNEL:SHORT, the asset SHORT of the release that is live
    /// in CHANNEL.
    ///
    /// Returns [`NotLive::Fetching`] for a NAME that belongs only to active releases that are not live yet. A NAME in no
    /// active release always resolves, and is fetched when a machine requests it.
    pub fn resolve(&self, reference: &str) -> Result<AssetName, NotLive> {
        let unknown = || NotLive::Unknown(reference.to_owned());
        let depot = &self.shared.depot;
        if let Some(asset) = depot.find(reference) {
            let state = self.state();
            let containing = || state.channels.active_or_live().filter(|release| release.assets.contains(&asset.name));
            return match containing().next() {
                Some(first) if !containing().any(|release| state.channels.is_live(release)) => {
                    Err(self.fetching(first))
                }
                _ => Ok(asset.name.clone()),
            };
        }
        if let Some(name) = self.member(reference) {
            return Ok(name);
        }
        let (channel, short) = reference.split_once(':').ok_or_else(unknown)?;
        let state = self.state();
        match state.channels.channel(channel).ok_or_else(unknown)? {
            ChannelStatus { live: Some(live), active } => {
                let found = live.by_short_name(short).and_then(|name| depot.find(name.as_str()));
                // A release removed from the configuration may lack an asset that its successor has.
                let successor = || active.filter(|active| active.name != live.name);
                found
                    .map(|asset| asset.name.clone())
                    .ok_or_else(|| successor().map_or_else(unknown, |active| self.fetching(active)))
            }
            ChannelStatus { active: Some(active), .. } => Err(self.fetching(active)),
            ChannelStatus { .. } => Err(NotLive::Inactive(channel.to_owned())),
        }
    }

    /// Resolves `reference` as if every active release were live.
    pub fn resolve_planned(&self, reference: &str) -> Result<AssetName, NotLive> {
        let unknown = || NotLive::Unknown(reference.to_owned());
        let depot = &self.shared.depot;
        if let Some(asset) = depot.find(reference) {
            return Ok(asset.name.clone());
        }
        if let Some(name) = self.member(reference) {
            return Ok(name);
        }
        let (channel, short) = reference.split_once(':').ok_or_else(unknown)?;
        let state = self.state();
        let ChannelStatus { live, active } = state.channels.channel(channel).ok_or_else(unknown)?;
        let planned = active.or(live).ok_or_else(|| NotLive::Inactive(channel.to_owned()))?;
        let found = planned.by_short_name(short).and_then(|name| depot.find(name.as_str()));
        found.map(|asset| asset.name.clone()).ok_or_else(unknown)
    }

    /// The name as an asset of a collection, which need not exist.
    fn member(&self, reference: &str) -> Option<AssetName> {
        AssetName::parse(reference).ok().filter(|name| self.shared.depot.is_member(name.as_str()))
    }

    /// Returns the names of a release's assets; `None` if there is no such release.
    pub fn assets_of(&self, name: &str) -> Option<Vec<AssetName>> {
        self.state().channels.all().find(|release| release.name == name).map(|release| release.assets.clone())
    }

    fn fetching(&self, release: &Release) -> NotLive {
        let cached = self.assets(release).filter(|asset| self.shared.depot.is_cached(&asset.digest)).count();
        NotLive::Fetching { release: release.name.clone(), cached, total: release.assets.len() }
    }

    /// Returns a sentence for each asset that machines boot from and that is not cached and verified: of a live release, and of
    /// an active one in whose channel none is live.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state();
        let named = |release: &Release| format!("release {}", release.name);
        state.channels.serving().flat_map(|release| self.missing(&state, release, &named(release))).collect()
    }

    /// Returns a sentence for each asset that keeps an active release from replacing the live one, which machines go on to boot.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state();
        let named = |active: &Release, live: &Release| {
            format!("release {} is not live yet, and {} stays live", active.name, live.name)
        };
        state.channels.coming().flat_map(|(active, live)| self.missing(&state, active, &named(active, live))).collect()
    }

    /// Returns a sentence that begins with `subject` for each asset of a release that is not cached and verified.
    fn missing(&self, state: &State, release: &Release, subject: &str) -> Vec<String> {
        let depot = &self.shared.depot;
        let missing: Vec<_> = self.assets(release).filter(|asset| !depot.is_cached(&asset.digest)).collect();
        let (cached, total) = (release.assets.len() - missing.len(), release.assets.len());
        let sentence = |asset: &Arc<Asset>| {
            let why = state.failures.get(&asset.name).map(|why| format!(": {why}")).unwrap_or_default();
            let state = if depot.is_unverified(&asset.digest) { "not verified yet" } else { "not cached" };
            format!("{subject}: {} is {state} ({cached} of {total}){why}", asset.name)
        };
        missing.iter().map(sentence).collect()
    }

    /// Counts the releases by state, each state once.
    pub(in crate::boot) fn count(&self) -> Vec<(ReleaseState, u32)> {
        let list = self.list();
        let count = |state| list.iter().map(|release| u32::from(release.state == state)).sum();
        ReleaseState::iter().map(|state| (state, count(state))).collect()
    }

    /// Activates the release `name` in its channel. This overrides the configuration until the configuration activates
    /// another release than it does now.
    ///
    /// New scripts switch to the release as a whole when its last asset is cached: at once, if all are. Until then the
    /// earlier release stays live. Rolling back works the same way. When this returns, the activation is recorded for a
    /// restart; if writing fails, it is recorded as soon as the cache's directory is writable.
    pub async fn activate(&self, name: &str) -> Result<ReleaseStatus, ActivateError> {
        {
            let mut state = self.state();
            let Some(release) = state.channels.activate(name) else {
                let known = state.channels.all().map(|release| release.name.clone()).collect();
                return Err(ActivateError::Unknown { name: name.to_owned(), known });
            };
            info!(release = name, channel = release.channel, "release activated");
            release.assets.iter().for_each(|asset| drop(state.failures.remove(asset)));
            state.unrecorded = self.shared.record.is_some();
            self.advance(&mut state, SystemTime::now());
        }
        self.shared.changed.notify_one();
        self.write_record().await;
        let view = self.list().into_iter().find(|view| view.name == name);
        view.ok_or_else(|| ActivateError::Unknown { name: name.to_owned(), known: Vec::new() })
    }

    /// Returns the releases that contain each asset, by the asset's name.
    pub fn by_asset(&self) -> HashMap<AssetName, Vec<String>> {
        let releases: Vec<_> = self.state().channels.all().cloned().collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for release in releases {
            for asset in &release.assets {
                found.entry(asset.clone()).or_default().push(release.name.clone());
            }
        }
        found
    }

    /// Returns all releases in the order of the configuration, and then those removed from it that are still live.
    pub fn list(&self) -> Vec<ReleaseStatus> {
        let state = self.state();
        let views = state.channels.all().chain(state.channels.former()).map(|release| {
            let assets = self.assets(release).map(|asset| {
                let failure = state.failures.get(&asset.name).map(|reason| format!("{}: {reason}", asset.name));
                (self.shared.depot.progress(&asset), failure)
            });
            ReleaseStatus::of(release, &state.channels, assets)
        });
        views.collect()
    }

    /// Makes active releases live that are cached completely, and updates which blobs are pinned.
    pub(super) fn advance(&self, state: &mut State, now: SystemTime) {
        let is_cached =
            |release: &Release| self.assets(release).all(|asset| self.shared.depot.is_cached(&asset.digest));
        let expiry = state.channels.next_expiry();
        let switched = state.channels.advance(is_cached, now);
        for release in &switched {
            info!(release = release.name, channel = release.channel, "release live");
        }
        if self.shared.record.is_some() && (!switched.is_empty() || expiry != state.channels.next_expiry()) {
            state.unrecorded = true;
        }
        let held: HashSet<&str> = state.channels.held().map(|release| release.name.as_str()).collect();
        state.holds.retain(|name, _| held.contains(name.as_str()));
        for release in state.channels.held() {
            let holder = state.channels.holder(release);
            if let Some(holds) = state.holds.get_mut(&release.name) {
                for hold in holds {
                    hold.set_reason(&holder);
                }
            } else {
                let holds =
                    self.assets(release).map(|asset| self.shared.depot.retain(&asset, holder.clone())).collect();
                state.holds.insert(release.name.clone(), holds);
            }
        }
    }

    /// Writes the record if the state changed or the file is missing. The reconciler retries a failed write. The write
    /// completes even if this future is dropped.
    pub(super) async fn write_record(&self) {
        let Some(path) = self.shared.record.clone() else { return };
        let writing = Arc::clone(&self.shared.writing).lock_owned().await;
        let releases = self.clone();
        let write = move || {
            let _writing = writing;
            let (changed, record, empty) = {
                let mut state = releases.state();
                let empty = state.channels.is_empty();
                (std::mem::take(&mut state.unrecorded), state.channels.record(), empty)
            };
            // The file may have been removed with its directory. Without releases there is nothing to record.
            if (changed || !path.exists()) && !empty {
                let result = record.write(&path);
                releases.state().recorded(&path, result);
            }
        };
        // A panic is in the log.
        let _ = task::try_blocking(write).await;
    }

    /// Returns the assets of a release.
    pub(super) fn assets<'r>(&'r self, release: &'r Release) -> impl Iterator<Item = Arc<Asset>> + 'r {
        // The catalog has every asset of a configured release; assets of removed releases are held.
        release.assets.iter().filter_map(|name| self.shared.depot.find(name.as_str()))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }
}
