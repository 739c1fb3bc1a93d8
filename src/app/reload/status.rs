//! Status of the catalog, readable during a reload.

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use crate::admin::ReloadFailure;
use crate::api::{
    CatalogView, LastReload, LastReloadOutcome, ReloadOutcome, ReloadTrigger, ReloadView, SourceKind, SourceView,
};
use crate::app::catalog::{CatalogCheck, Loaded};
use crate::clock;
use crate::config::Config;

/// Status of the catalog.
pub(super) struct ReloadStatus(Mutex<State>);

#[derive(Clone)]
pub(super) struct State {
    assets: usize,
    releases: usize,
    hosts: usize,
    loaded: Timestamp,
    generation: u64,
    files: Vec<String>,
    url: Option<String>,
    check: Option<CatalogCheck>,
    last: Option<LastReload>,
}

impl ReloadStatus {
    /// The status at the start of the server.
    pub(super) fn new(loaded: &Loaded) -> Self {
        let now = clock::now();
        let outcome = if loaded.errors.is_empty() { LastReloadOutcome::Ok } else { LastReloadOutcome::Failed };
        let last = LastReload { at: now, outcome, trigger: ReloadTrigger::Start, errors: loaded.errors.clone() };
        let mut state = State::of(&loaded.config, now, 1);
        (state.check, state.last) = (loaded.check.clone(), Some(last));
        Self(Mutex::new(state))
    }

    pub(super) fn view(&self) -> CatalogView {
        let state = self.state().clone();
        let file = |place: String| SourceView {
            kind: SourceKind::File,
            place,
            etag: None,
            checked: Some(state.loaded),
            error: None,
        };
        let check = state.check;
        let url = state.url.map(|place| SourceView {
            kind: SourceKind::Url,
            place,
            etag: check.as_ref().and_then(|check| check.validator.as_deref()).map(tag),
            checked: check.as_ref().map(|check| check.at),
            error: check.and_then(|check| check.error),
        });
        CatalogView {
            assets: state.assets,
            releases: state.releases,
            hosts: state.hosts,
            loaded: state.loaded,
            generation: state.generation,
            sources: state.files.into_iter().map(file).chain(url).collect(),
            last_reload: state.last,
        }
    }

    /// Records a check of the shared catalog: its result, or `None` if nothing changed.
    pub(super) fn record_check(&self, found: Option<CatalogCheck>) {
        let mut state = self.state();
        match (found, &mut state.check) {
            (Some(check), before) => *before = Some(check),
            // A version that is invalid stays invalid.
            (None, Some(check)) => check.at = clock::now(),
            (None, None) => {}
        }
    }

    /// The status that applies once this configuration is in use.
    pub(super) fn prepare(&self, config: &Config, new: bool) -> State {
        let state = self.state();
        State::of(config, clock::now(), state.generation + u64::from(new))
    }

    /// The configuration is in use.
    pub(super) fn apply(&self, taken: State) {
        let mut state = self.state();
        let check = state.check.take().filter(|_| taken.url.is_some());
        let last = state.last.take();
        *state = State { check, last, ..taken };
    }

    /// A reload has ended.
    pub(super) fn record_reload(&self, trigger: ReloadTrigger, outcome: &Result<ReloadView, ReloadFailure>) {
        let (outcome, errors) = match outcome {
            Ok(ReloadView { outcome: ReloadOutcome::Ok, .. }) => (LastReloadOutcome::Ok, Vec::new()),
            Ok(ReloadView { outcome: ReloadOutcome::Unchanged, .. }) => (LastReloadOutcome::Unchanged, Vec::new()),
            Err(failure) => (LastReloadOutcome::Failed, failure.errors.clone()),
        };
        self.state().last = Some(LastReload { at: clock::now(), outcome, trigger, errors });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// The origin's version of an object: a validator without its kind and length.
fn tag(validator: &str) -> String {
    validator.splitn(3, ' ').nth(2).unwrap_or(validator).to_owned()
}

impl State {
    fn of(config: &Config, loaded: Timestamp, generation: u64) -> Self {
        Self {
            assets: config.catalog.len(),
            releases: config.releases.len(),
            hosts: config.roster.hosts().len(),
            loaded,
            generation,
            files: config.files().map(|path| path.display().to_string()).collect(),
            url: config.shared.as_ref().map(|shared| shared.url.to_string()),
            check: None,
            last: None,
        }
    }
}
