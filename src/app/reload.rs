//! Settings and catalog under a running server: loaded again when somebody says so or the shared catalog has changed, checked
//! as a whole, and exchanged at once, or not at all.
//!
//! One task does it, one after the other. Whoever asks while it is at work is answered by the next one, all together.

mod news;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::news::News;
use self::standing::Standing;
use super::catalog::{self, Loaded, Look};
use super::service;
use crate::admin::{ReloadFailure, Reloading};
use crate::api::{CatalogView, ReloadOutcome, ReloadTrigger, ReloadView};
use crate::boot::Boot;
use crate::config::{CatalogAccess, CatalogText, Config, ConfigErrors, Inputs, SharedCatalog, Summary, copy_path};
use crate::depot::DepotConfig;
use crate::dhcp::NbpTable;
use crate::origin::Origins;
use crate::task::blocking;

/// The first pause before a shared catalog is looked for again that could not be had and has no copy; it doubles up to
/// `catalog_poll`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How often to look whether the copy of the shared catalog is still there.
const LOOK: Duration = Duration::from_secs(5);

/// One who wants settings and catalog loaded again, and where to tell how that went.
type Request = (ReloadTrigger, oneshot::Sender<Result<ReloadView, ReloadFailure>>);

/// Has settings and catalog loaded again, and says how they stand. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    requests: mpsc::UnboundedSender<Request>,
    standing: Arc<Standing>,
}

/// What of the settings is remembered when the rooms have taken them.
struct Memory {
    summary: Summary,
    shared: Option<SharedCatalog>,
    text: Option<Arc<CatalogText>>,
    partial: bool,
    /// What DHCP clients are told, where they are told anything: it goes by the catalog, too.
    firmware: Option<NbpTable>,
}

/// The settings that a server starts with, as far as it takes to load them again.
pub(super) struct Seed {
    inputs: Inputs,
    memory: Memory,
    look: Option<Look>,
    standing: Standing,
}

/// Loads settings and catalog again.
pub(super) struct Reloads {
    requests: mpsc::UnboundedReceiver<Request>,
    standing: Arc<Standing>,
    boot: Boot,
    origins: Origins,
    inputs: Inputs,
    /// The settings at the start: of some keys the values hold until the next.
    started: Summary,
    /// What DHCP clients are told until the next start.
    firmware: Option<NbpTable>,
    current: Memory,
    /// The state of the shared catalog that was last read, whether it could be taken or not.
    seen: Option<String>,
    /// Why the last load failed, if it did. A look tries what it finds until it can be taken, and tells the same once.
    refused: Option<(ReloadTrigger, Vec<String>)>,
    /// The last complaint about it, which is not repeated at every look.
    complaint: Option<String>,
    /// The pause before the next look while nothing of it is here.
    pause: Duration,
}

impl Memory {
    fn of(config: &Config) -> Self {
        Self {
            summary: Summary::of(config),
            shared: config.shared.clone(),
            text: config.text().cloned(),
            partial: config.partial,
            firmware: config.dhcp.as_ref().map(|dhcp| dhcp.nbps.clone()),
        }
    }
}

impl Seed {
    pub(super) fn of(loaded: &Loaded) -> Self {
        Self {
            inputs: loaded.config.inputs().clone(),
            memory: Memory::of(&loaded.config),
            look: loaded.look.clone(),
            standing: Standing::new(loaded),
        }
    }
}

impl Reloader {
    /// Of a server that runs on these settings.
    pub(super) fn new(seed: Seed, boot: Boot, origins: Origins) -> (Self, Reloads) {
        let (sender, requests) = mpsc::unbounded_channel();
        let standing = Arc::new(seed.standing);
        let reloads = Reloads {
            requests,
            standing: Arc::clone(&standing),
            origins,
            inputs: seed.inputs,
            started: seed.memory.summary.clone(),
            firmware: seed.memory.firmware.clone(),
            seen: seed.look.as_ref().and_then(|look| look.validator.clone()),
            refused: None,
            complaint: seed.look.as_ref().and_then(|look| look.error.clone()),
            current: seed.memory,
            pause: FIRST_PAUSE,
            boot,
        };
        reloads.tell_boot(seed.look.and_then(|look| look.error).as_deref());
        (Self { requests: sender, standing }, reloads)
    }

    /// Loads settings and catalog again. A failure changes nothing.
    ///
    /// One at a time: who asks while another is at work is answered by the next.
    pub async fn reload(&self, trigger: ReloadTrigger) -> Result<ReloadView, ReloadFailure> {
        let stopping = || ReloadFailure { errors: vec!["the server is stopping".to_owned()] };
        let (answer, answered) = oneshot::channel();
        self.requests.send((trigger, answer)).map_err(|_| stopping())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// How they stand. Memory only.
    pub fn standing(&self) -> CatalogView {
        self.standing.view()
    }

    /// The same two for the admin API.
    pub fn reloading(&self) -> Reloading {
        let (reloader, standing) = (self.clone(), Arc::clone(&self.standing));
        Reloading {
            reload: Arc::new(move || {
                let reloader = reloader.clone();
                Box::pin(async move { reloader.reload(ReloadTrigger::Api).await })
            }),
            standing: Arc::new(move || standing.view()),
        }
    }
}

impl Reloads {
    /// Loads again whenever somebody asks or the shared catalog has changed, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut next = Instant::now() + self.patience();
        let mut copy = tokio::time::interval(LOOK);
        copy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let request = tokio::select! {
                // A load that is under way is broken off: it has exchanged nothing yet.
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
                    None => self.look().await,
                }
            };
            // Boxed: it is large, and rare.
            if stop.run_until_cancelled(Box::pin(work)).await.is_none() {
                break;
            }
            next = Instant::now() + self.patience();
        }
        self.keep_copy().await;
    }

    /// Writes the copy of the shared catalog again where it went with the cache's directory, once the cache has made another.
    async fn keep_copy(&self) {
        let Some(text) = self.current.text.clone() else { return };
        let cache = self.boot.depot().cache();
        let looked = cache.clone();
        let gone = blocking(move || looked.is_available() && !copy_path(looked.dir()).exists());
        if gone.await {
            catalog::keep(cache.dir(), text).await;
        }
    }

    /// How long to wait before the next look at the shared catalog. Not the same for every node that looks at it.
    fn patience(&mut self) -> Duration {
        let poll =
            self.current.shared.as_ref().map_or(Duration::MAX, |shared| shared.poll).min(Duration::from_hours(24));
        let wait = if self.current.partial {
            self.pause = (self.pause * 2).min(poll.max(FIRST_PAUSE));
            (self.pause / 2).min(poll)
        } else {
            self.pause = FIRST_PAUSE;
            poll
        };
        wait.mul_f64(1.0 - fastrand::f64() / 10.0)
    }

    /// Loads again for `first` and all who ask by now.
    async fn answer(&mut self, first: Request) {
        let trigger = first.0;
        let mut waiting = vec![first.1];
        while let Ok((_, answer)) = self.requests.try_recv() {
            waiting.push(answer);
        }
        let outcome = self.reload(trigger, None).await;
        for answer in waiting {
            // Who went away meanwhile has lost nothing.
            let _ = answer.send(outcome.clone());
        }
    }

    /// Looks whether the shared catalog has changed, and loads again if so.
    async fn look(&mut self) {
        let Some(shared) = self.current.shared.clone() else { return };
        let found = catalog::fetch(&self.origins, &shared.url, self.seen.as_deref()).await;
        let text = match found {
            Ok(None) => return self.unchanged(),
            Ok(Some(text)) => text,
            Err(error) => return self.complain(&error.to_string()),
        };
        self.seen.clone_from(&text.validator);
        if self.current.text.as_ref().is_some_and(|current| current.text == text.text) {
            self.complaint = None;
            return self.good(&text);
        }
        // What is wrong is told there. It may be in a file of this node, which nobody has to tell of when it is mended.
        if self.reload(ReloadTrigger::Poll, Some(text)).await.is_err() {
            self.seen = self.current.text.as_ref().and_then(|current| current.validator.clone());
        }
    }

    /// The shared catalog is what was last read of it.
    fn unchanged(&mut self) {
        if self.complaint.take().is_some() {
            info!("the shared catalog can be read again");
        }
        match self.current.text.clone() {
            Some(text) if text.validator == self.seen => self.good(&text),
            // Read again, so that what is wrong with it is told again.
            _ => self.seen = None,
        }
    }

    /// The shared catalog is the one that is in force.
    fn good(&mut self, text: &CatalogText) {
        self.standing.looked(Some(Look::good(text)));
        if self.refused.take_if(|(trigger, _)| *trigger == ReloadTrigger::Poll).is_some() {
            info!("the shared catalog is again the one that is in force");
            self.standing.ended(ReloadTrigger::Poll, &Ok(ReloadView::unchanged()));
        }
    }

    /// Says that the shared catalog cannot be had; once, until something else is wrong or nothing.
    fn complain(&mut self, error: &str) {
        self.standing.looked(Some(Look::failed(error.to_owned(), self.seen.clone())));
        if self.complaint.as_deref() != Some(error) {
            warn!(error, "the shared catalog cannot be read; what is in force stays so");
            self.complaint = Some(error.to_owned());
        }
        self.tell_boot(Some(error));
    }

    /// The one way in which settings are loaded again: every trigger comes through here.
    async fn reload(
        &mut self,
        trigger: ReloadTrigger,
        found: Option<Arc<CatalogText>>,
    ) -> Result<ReloadView, ReloadFailure> {
        let telling = service::reloading();
        let outcome = self.load(trigger, found).await;
        drop(telling);
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
                    error!(trigger = trigger.as_str(), reason, "settings and catalog stay as they were");
                }
                "failed"
            }
        };
        metrics::counter!("bootdepot_reload_total", "outcome" => word).increment(1);
        self.standing.ended(trigger, &outcome);
        outcome
    }

    async fn load(
        &mut self,
        trigger: ReloadTrigger,
        found: Option<Arc<CatalogText>>,
    ) -> Result<ReloadView, ReloadFailure> {
        let draft = catalog::read(&self.inputs).await.map_err(|errors| failure(&errors))?;
        let mut warnings = Vec::new();
        let reach = draft.reach();
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
                // What is wrong with this node's own files is none of its trouble.
                let of_it = errors.iter().map(ToString::to_string).filter(|error| error.contains(&text.url));
                let error = of_it.collect::<Vec<_>>().join("\n");
                if !error.is_empty() {
                    self.standing.looked(Some(Look::failed(error, text.validator.clone())));
                }
            }
            failure(&errors)
        })?;
        if config.partial && !self.current.partial {
            return Err(ReloadFailure { errors: warnings });
        }
        // Even with the same settings: certificates in files may be others.
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
        Ok(self.take(config, origins, warnings, trigger).await)
    }

    /// Puts what was loaded into force.
    async fn take(
        &mut self,
        config: Config,
        origins: Origins,
        mut warnings: Vec<String>,
        trigger: ReloadTrigger,
    ) -> ReloadView {
        warnings.extend(config.warnings.iter().cloned());
        let memory = Memory::of(&config);
        let same = self.current.summary.is_same(&memory.summary) && self.current.partial == memory.partial;
        let waiting = self.started.waiting(&memory.summary);
        warnings.extend(waiting.iter().map(|key| format!("{key} is taken when the server starts again")));
        if self.firmware.is_some() && memory.firmware.is_some() && self.firmware != memory.firmware {
            warnings.push(
                "DHCP clients are told of the boot files that are in the catalog now when the server starts again"
                    .to_owned(),
            );
        }
        let news = News::between(&self.current.summary, &memory.summary);
        let standing = self.standing.taking(&config, !same);
        let stock = DepotConfig { catalog: config.catalog, origins: Some(origins.clone()), settings: config.fill };
        let (boot, releases, roster) = (self.boot.clone(), config.releases, config.roster);
        blocking(move || boot.reconfigure(stock, releases, roster)).await;
        self.standing.took(standing);
        (self.origins, self.current) = (origins, memory);
        self.tell_boot(self.complaint.as_deref());
        for warning in &warnings {
            warn!("{warning}");
        }
        if same {
            info!(trigger = trigger.as_str(), "settings and catalog are what they were");
        } else {
            info!(trigger = trigger.as_str(), "settings and catalog are loaded again: {news}");
        }
        let outcome = if same { ReloadOutcome::Unchanged } else { ReloadOutcome::Ok };
        news.view(outcome, warnings)
    }

    /// The text of the shared catalog as it is now; where it cannot be had, as it was.
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
            self.complaint = None;
            self.standing.looked(Some(Look::good(&found)));
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
                self.complaint = None;
                self.seen.clone_from(&text.validator);
                self.standing.looked(Some(Look::good(&text)));
                Some(text)
            }
            Err(error) => {
                self.complain(&error.to_string());
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
    fn tell_boot(&self, error: Option<&str>) {
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

#[cfg(test)]
mod tests;
