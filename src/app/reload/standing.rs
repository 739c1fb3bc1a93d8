//! How the catalog stands, for whoever asks while it is being loaded again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::admin::ReloadFailure;
use crate::api::{
    CatalogView, LastReload, LastReloadOutcome, ReloadOutcome, ReloadTrigger, ReloadView, SourceKind, SourceView,
};
use crate::app::catalog::{Loaded, Look};
use crate::config::Config;

/// How the catalog stands.
pub(super) struct Standing(Mutex<State>);

#[derive(Clone)]
pub(super) struct State {
    assets: usize,
    releases: usize,
    hosts: usize,
    loaded: Timestamp,
    generation: u64,
    files: Vec<String>,
    url: Option<String>,
    look: Option<Look>,
    last: Option<LastReload>,
}

impl Standing {
    /// As a server starts.
    pub(super) fn new(loaded: &Loaded) -> Self {
        let now = Timestamp::now();
        let outcome = if loaded.errors.is_empty() { LastReloadOutcome::Ok } else { LastReloadOutcome::Failed };
        let last = LastReload { at: now, outcome, trigger: ReloadTrigger::Start, errors: loaded.errors.clone() };
        let mut state = State::of(&loaded.config, now, 1);
        (state.look, state.last) = (loaded.look.clone(), Some(last));
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
        let look = state.look;
        let url = state.url.map(|place| SourceView {
            kind: SourceKind::Url,
            place,
            etag: look.as_ref().and_then(|look| look.validator.as_deref()).map(tag),
            checked: look.as_ref().map(|look| look.at),
            error: look.and_then(|look| look.error),
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

    /// The shared catalog was looked at: this was found, or nothing new.
    pub(super) fn looked(&self, found: Option<Look>) {
        let mut state = self.state();
        match (found, &mut state.look) {
            (Some(look), before) => *before = Some(look),
            // What could not be taken is no better for being there still.
            (None, Some(look)) => look.at = Timestamp::now(),
            (None, None) => {}
        }
    }

    /// How it will stand with these settings.
    pub(super) fn taking(&self, config: &Config, new: bool) -> State {
        let state = self.state();
        State::of(config, Timestamp::now(), state.generation + u64::from(new))
    }

    /// They are in force.
    pub(super) fn took(&self, taken: State) {
        let mut state = self.state();
        let look = state.look.take().filter(|_| taken.url.is_some());
        let last = state.last.take();
        *state = State { look, last, ..taken };
    }

    /// Loading them again has ended.
    pub(super) fn ended(&self, trigger: ReloadTrigger, outcome: &Result<ReloadView, ReloadFailure>) {
        let (outcome, errors) = match outcome {
            Ok(ReloadView { outcome: ReloadOutcome::Ok, .. }) => (LastReloadOutcome::Ok, Vec::new()),
            Ok(ReloadView { outcome: ReloadOutcome::Unchanged, .. }) => (LastReloadOutcome::Unchanged, Vec::new()),
            Err(failure) => (LastReloadOutcome::Failed, failure.errors.clone()),
        };
        self.state().last = Some(LastReload { at: Timestamp::now(), outcome, trigger, errors });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an origin calls a state of an object, without what else a validator holds: its kind and the length.
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
            look: None,
            last: None,
        }
    }
}
