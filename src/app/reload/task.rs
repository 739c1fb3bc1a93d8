//! The task that reloads: on request, or when the shared catalog changes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::diff::ReloadDiff;
use super::status::ReloadStatus;
use crate::admin::ReloadFailure;
use crate::api::{ReloadOutcome, ReloadTrigger, ReloadView};
use crate::app::catalog::{self, CatalogCheck, Loaded};
use crate::app::service;
use crate::backoff::{Backoff, BackoffPolicy};
use crate::boot::Boot;
use crate::config::{CatalogAccess, CatalogText, Config, ConfigErrors, Inputs, SharedCatalog, Summary, copy_path};
use crate::depot::DepotConfig;
use crate::dhcp::NbpTable;
use crate::origin::Origins;
use crate::task::blocking;

/// The share of a delay that is random, so that nodes do not check at the same time.
const JITTER: f64 = 0.1;
/// Checks of a shared catalog without a copy. Half of `catalog_poll` replaces the longest delay.
const FIRST_CHECKS: BackoffPolicy =
    BackoffPolicy { first: Duration::from_secs(1), max: Duration::from_hours(24), jitter: JITTER };

/// How often to check that the copy of the shared catalog still exists.
const COPY_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// A reload request, and where its result goes.
pub(super) type Request = (ReloadTrigger, oneshot::Sender<Result<ReloadView, ReloadFailure>>);

/// The parts of a configuration that are kept after the rooms have taken it.
struct LoadedState {
    summary: Arc<Summary>,
    shared: Option<SharedCatalog>,
    text: Option<Arc<CatalogText>>,
    partial: bool,
    /// The network boot programs that DHCP replies name, if DHCP is on. They depend on the catalog.
    firmware: Option<NbpTable>,
}

/// The initial state of reloading.
pub(in crate::app) struct InitialState {
    inputs: Inputs,
    memory: LoadedState,
    check: Option<CatalogCheck>,
    status: ReloadStatus,
}

/// The task that reloads.
pub(in crate::app) struct ReloadTask {
    requests: mpsc::UnboundedReceiver<Request>,
    status: Arc<ReloadStatus>,
    in_force: Arc<ArcSwap<Summary>>,
    boot: Boot,
    origins: Origins,
    inputs: Inputs,
    /// The configuration at the start: some keys apply only after a restart.
    started: Arc<Summary>,
    /// The network boot programs that DHCP replies name until the next start.
    firmware: Option<NbpTable>,
    current: LoadedState,
    /// Validator of the version of the shared catalog that was last read, valid or not.
    pub(super) seen: Option<String>,
    /// Why the last reload failed, if it did. Polling retries it, but reports the same errors only once.
    refused: Option<(ReloadTrigger, Vec<String>)>,
    /// The last warning about the shared catalog, which is not repeated at every check.
    last_warning: Option<String>,
    /// The delays between checks while no version of the shared catalog is available.
    backoff: Backoff,
}

impl LoadedState {
    fn of(config: &Config) -> Self {
        Self {
            summary: Arc::new(Summary::of(config)),
            shared: config.shared.clone(),
            text: config.text().cloned(),
            partial: config.partial,
            firmware: config.dhcp.as_ref().map(|dhcp| dhcp.nbps.clone()),
        }
    }
}

impl InitialState {
    pub(in crate::app) fn of(loaded: &Loaded) -> Self {
        Self {
            inputs: loaded.config.inputs().clone(),
            memory: LoadedState::of(&loaded.config),
            check: loaded.check.clone(),
            status: ReloadStatus::new(loaded),
        }
    }
}
impl ReloadTask {
    /// Creates the task of a server that runs on this configuration.
    pub(super) fn new(
        initial: InitialState,
        boot: Boot,
        origins: Origins,
        requests: mpsc::UnboundedReceiver<Request>,
    ) -> Self {
        let summary = &initial.memory.summary;
        let task = Self {
            requests,
            status: Arc::new(initial.status),
            in_force: Arc::new(ArcSwap::new(Arc::clone(summary))),
            origins,
            inputs: initial.inputs,
            started: Arc::clone(summary),
            firmware: initial.memory.firmware.clone(),
            seen: initial.check.as_ref().and_then(|check| check.validator.clone()),
            refused: None,
            last_warning: initial.check.as_ref().and_then(|check| check.error.clone()),
            current: initial.memory,
            backoff: Backoff::new(FIRST_CHECKS),
            boot,
        };
        task.report_missing_catalog(initial.check.and_then(|check| check.error).as_deref());
        task
    }

    /// The status that this task keeps up to date.
    pub(super) fn status(&self) -> Arc<ReloadStatus> {
        Arc::clone(&self.status)
    }

    /// The configuration in use.
    pub(super) fn in_force(&self) -> Arc<ArcSwap<Summary>> {
        Arc::clone(&self.in_force)
    }

    /// Reloads on each request and whenever the shared catalog changes, until `stop`.
    pub(in crate::app) async fn run(mut self, stop: CancellationToken) {
        let mut next = Instant::now() + self.poll_delay();
        let mut copy = tokio::time::interval(COPY_CHECK_INTERVAL);
        copy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => break,
                request = self.requests.recv() => request,
                () = tokio::time::sleep_until(next), if self.current.shared.is_some() => None,
                _ = copy.tick(), if self.current.text.is_some() => {
                    self.keep_copy().await;
                    continue;
                }
            };
            let work = async {
                match request {
                    Some(request) => self.answer(request).await,
                    None => self.check_catalog().await,
                }
            };
            // A reload that `stop` interrupts has applied nothing yet. Boxed: the future is large and rare.
            if stop.run_until_cancelled(Box::pin(work)).await.is_none() {
                break;
            }
            next = Instant::now() + self.poll_delay();
        }
        self.keep_copy().await;
    }

    /// Writes the copy of the shared catalog again if it vanished with the cache directory, once the cache has created
    /// another.
    pub(super) async fn keep_copy(&self) {
        let Some(text) = self.current.text.clone() else { return };
        let cache = self.boot.depot().cache();
        let looked = cache.clone();
        let gone = blocking(move || looked.is_available() && !copy_path(looked.dir()).exists());
        if gone.await {
            catalog::keep(cache.dir(), text).await;
        }
    }

    /// The delay before the next check of the shared catalog, with jitter between nodes.
    fn poll_delay(&mut self) -> Duration {
        let poll =
            self.current.shared.as_ref().map_or(Duration::MAX, |shared| shared.poll).min(Duration::from_hours(24));
        if self.current.partial {
            // At least every half interval: the server is not ready without its catalog.
            self.backoff.set_max((poll / 2).max(poll.min(FIRST_CHECKS.first)));
            return self.backoff.next_delay();
        }
        self.backoff.reset();
        poll.mul_f64(1.0 - JITTER * fastrand::f64())
    }

    /// Reloads for `first` and all requests that have arrived by now.
    async fn answer(&mut self, first: Request) {
        let trigger = first.0;
        let mut waiting = vec![first.1];
        while let Ok((_, answer)) = self.requests.try_recv() {
            waiting.push(answer);
        }
        let outcome = self.reload(trigger, None).await;
        for answer in waiting {
            // The requester may have dropped its receiver.
            let _ = answer.send(outcome.clone());
        }
    }

    /// Checks whether the shared catalog has changed, and reloads if so.
    pub(super) async fn check_catalog(&mut self) {
        let Some(shared) = self.current.shared.clone() else { return };
        let found = catalog::fetch(&self.origins, &shared.url, self.seen.as_deref()).await;
        let text = match found {
            Ok(None) => return self.unchanged(),
            Ok(Some(text)) => text,
            Err(error) => return self.warn_once(&error.to_string()),
        };
        self.seen.clone_from(&text.validator);
        if self.current.text.as_ref().is_some_and(|current| current.text == text.text) {
            self.last_warning = None;
            return self.good(&text);
        }
        // `reload` reports the errors. The cause may be a local file, and nothing announces its correction.
        if self.reload(ReloadTrigger::Poll, Some(text)).await.is_err() {
            self.seen = self.current.text.as_ref().and_then(|current| current.validator.clone());
        }
    }

    /// The shared catalog has the validator that was last read.
    fn unchanged(&mut self) {
        if self.last_warning.take().is_some() {
            info!("shared catalog available again");
        }
        match self.current.text.clone() {
            Some(text) if text.validator == self.seen => self.good(&text),
            // Reads it again, so that its errors are reported again.
            _ => self.seen = None,
        }
    }

    /// The shared catalog is the one in use.
    fn good(&mut self, text: &CatalogText) {
        self.status.record_check(Some(CatalogCheck::good(text)));
        if self.refused.take_if(|(trigger, _)| *trigger == ReloadTrigger::Poll).is_some() {
            info!("shared catalog unchanged again");
            self.status.record_reload(ReloadTrigger::Poll, &Ok(ReloadView::unchanged()));
        }
    }

    /// Warns that the shared catalog cannot be fetched: once, until the reason changes or it can be fetched.
    fn warn_once(&mut self, error: &str) {
        self.status.record_check(Some(CatalogCheck::failed(error.to_owned(), self.seen.clone())));
        if self.last_warning.as_deref() != Some(error) {
            warn!(error, "shared catalog unavailable");
            self.last_warning = Some(error.to_owned());
        }
        self.report_missing_catalog(Some(error));
    }

    /// The one path of all reloads, whatever triggered them.
    pub(super) async fn reload(
        &mut self,
        trigger: ReloadTrigger,
        found: Option<Arc<CatalogText>>,
    ) -> Result<ReloadView, ReloadFailure> {
        let notification = service::reloading();
        let outcome = self.load(trigger, found).await;
        drop(notification);
        let before = self.refused.take();
        if let Err(failure) = &outcome {
            let told = before.as_ref().is_some_and(|(_, errors)| *errors == failure.errors);
            self.refused = Some((trigger, failure.errors.clone()));
            if trigger == ReloadTrigger::Poll && told {
                return outcome;
            }
        }
        let word = match &outcome {
            Ok(ReloadView { outcome: ReloadOutcome::Ok, .. }) => "ok",
            Ok(ReloadView { outcome: ReloadOutcome::Unchanged, .. }) => "unchanged",
            Err(failure) => {
                for reason in &failure.errors {
                    error!(trigger = trigger.as_str(), reason, "reload failed");
                }
                "failed"
            }
        };
        metrics::counter!("bootdepot_reload_total", "outcome" => word).increment(1);
        self.status.record_reload(trigger, &outcome);
        outcome
    }

    async fn load(
        &mut self,
        trigger: ReloadTrigger,
        found: Option<Arc<CatalogText>>,
    ) -> Result<ReloadView, ReloadFailure> {
        let draft = catalog::read(&self.inputs).await.map_err(|errors| failure(&errors))?;
        let mut warnings = Vec::new();
        let reach = draft.catalog_access();
        let origins = match &reach {
            Some(reach) => Some(catalog::origins_of(reach).await.map_err(|error| failed(&error))?),
            None => None,
        };
        let text = match (&reach, &origins) {
            (Some(reach), Some(origins)) => self.text_of(reach, origins, found, &mut warnings).await,
            _ => None,
        };
        let config = catalog::complete(&Arc::new(draft), text.clone()).await.map_err(|errors| {
            if let Some(text) = text.as_ref().filter(|text| !self.is_in_force(text)) {
                // Errors of local files are no errors of the catalog.
                let of_it = errors.iter().map(ToString::to_string).filter(|error| error.contains(&text.url));
                let error = of_it.collect::<Vec<_>>().join("\n");
                if !error.is_empty() {
                    self.status.record_check(Some(CatalogCheck::failed(error, text.validator.clone())));
                }
            }
            failure(&errors)
        })?;
        if config.partial && !self.current.partial {
            return Err(ReloadFailure { errors: warnings });
        }
        // Rebuilt even if the settings are equal: certificates in files may have changed.
        let origins = if let Some(origins) = origins {
            origins
        } else {
            let (settings, timeouts) = (config.origins.clone(), config.timeouts);
            blocking(move || Origins::new(settings, timeouts)).await.map_err(|error| failed(&error))?
        };
        let origins = origins.with_health_of(&self.origins);
        if let (Some(reach), Some(text)) = (&reach, text.filter(|text| !self.is_in_force(text))) {
            catalog::keep(&reach.dir, text).await;
        }
        Ok(self.apply(config, origins, warnings, trigger).await)
    }

    /// Applies a loaded configuration.
    async fn apply(
        &mut self,
        config: Config,
        origins: Origins,
        mut warnings: Vec<String>,
        trigger: ReloadTrigger,
    ) -> ReloadView {
        warnings.extend(config.warnings.iter().cloned());
        let memory = LoadedState::of(&config);
        let same = self.current.summary.is_same(&memory.summary) && self.current.partial == memory.partial;
        let waiting = self.started.waiting(&memory.summary);
        warnings.extend(waiting.iter().map(|key| format!("{key} applies after a restart")));
        if self.firmware.is_some() && memory.firmware.is_some() && self.firmware != memory.firmware {
            warnings.push("DHCP replies name the network boot programs of the new catalog after a restart".to_owned());
        }
        let changes = ReloadDiff::between(&self.current.summary, &memory.summary);
        let status = self.status.prepare(&config, !same);
        let stock = DepotConfig { catalog: config.catalog, origins: Some(origins.clone()), settings: config.fill };
        let (boot, releases, roster) = (self.boot.clone(), config.releases, config.roster);
        blocking(move || boot.reconfigure(stock, releases, roster)).await;
        self.status.apply(status);
        self.in_force.store(Arc::clone(&memory.summary));
        (self.origins, self.current) = (origins, memory);
        self.report_missing_catalog(self.last_warning.as_deref());
        for warning in &warnings {
            warn!("{warning}");
        }
        if same {
            info!(trigger = trigger.as_str(), "reload: no changes");
        } else {
            info!(trigger = trigger.as_str(), %changes, "reload complete");
        }
        let outcome = if same { ReloadOutcome::Unchanged } else { ReloadOutcome::Ok };
        changes.view(outcome, warnings)
    }

    /// The current text of the shared catalog, or the previous one if it cannot be fetched.
    async fn text_of(
        &mut self,
        reach: &CatalogAccess,
        origins: &Origins,
        found: Option<Arc<CatalogText>>,
        warnings: &mut Vec<String>,
    ) -> Option<Arc<CatalogText>> {
        let url = &reach.catalog.url;
        let here = |text: &Arc<CatalogText>| text.url == url.to_string();
        if let Some(found) = found.filter(here) {
            self.last_warning = None;
            self.status.record_check(Some(CatalogCheck::good(&found)));
            return Some(found);
        }
        let before = match self.current.text.clone().filter(here) {
            Some(text) => Some(text),
            None => catalog::copy(reach).await,
        };
        let known = before.as_ref().and_then(|text| text.validator.as_deref());
        match catalog::fetch(origins, url, known).await {
            Ok(found) => {
                let text = found.or(before)?;
                self.last_warning = None;
                self.seen.clone_from(&text.validator);
                self.status.record_check(Some(CatalogCheck::good(&text)));
                Some(text)
            }
            Err(error) => {
                self.warn_once(&error.to_string());
                let instead = if before.is_some() { "as it was last read" } else { "of which there is no copy" };
                warnings.push(format!("the shared catalog, {instead}, cannot be read: {error}"));
                before
            }
        }
    }

    fn is_in_force(&self, text: &Arc<CatalogText>) -> bool {
        self.current.text.as_ref().is_some_and(|current| Arc::ptr_eq(current, text))
    }

    /// A server without its shared catalog is not ready.
    fn report_missing_catalog(&self, error: Option<&str>) {
        let why = error.unwrap_or("it was not read yet");
        let missing = || format!("the shared catalog is missing, and there is no copy of it: {why}");
        self.boot.set_config_problem(self.current.partial.then(missing));
    }
}

fn failure(errors: &ConfigErrors) -> ReloadFailure {
    ReloadFailure { errors: errors.iter().map(ToString::to_string).collect() }
}

fn failed(error: &dyn std::fmt::Display) -> ReloadFailure {
    ReloadFailure { errors: vec![error.to_string()] }
}
