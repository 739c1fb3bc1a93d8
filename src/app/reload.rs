//! Reloads configuration and catalog in a running server: on request, or when the shared catalog changes. The new
//! configuration is validated as a whole and applied atomically, or not at all.
//!
//! One task reloads, one reload at a time. Requests that arrive during a reload are answered together by the next one.

mod diff;
mod status;
mod task;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use self::status::ReloadStatus;
use self::task::Request;
pub(super) use self::task::{InitialState, ReloadTask};
use crate::admin::{ReloadFailure, Reloading};
use crate::api::{CatalogView, ReloadTrigger, ReloadView};
use crate::boot::Boot;
use crate::config::Summary;
use crate::origin::Origins;

/// Requests reloads and reports their status. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    requests: mpsc::UnboundedSender<Request>,
    status: Arc<ReloadStatus>,
    /// The configuration in use.
    in_force: Arc<ArcSwap<Summary>>,
}
impl Reloader {
    /// Creates both ends for a server that runs on this configuration.
    pub(super) fn new(initial: InitialState, boot: Boot, origins: Origins) -> (Self, ReloadTask) {
        let (sender, requests) = mpsc::unbounded_channel();
        let task = ReloadTask::new(initial, boot, origins, requests);
        (Self { requests: sender, status: task.status(), in_force: task.in_force() }, task)
    }

    /// Reloads configuration and catalog. A failure changes nothing.
    ///
    /// One reload runs at a time; requests that arrive in the meantime are answered by the next one.
    pub async fn reload(&self, trigger: ReloadTrigger) -> Result<ReloadView, ReloadFailure> {
        let stopping = || ReloadFailure { errors: vec!["the server is stopping".to_owned()] };
        let (answer, answered) = oneshot::channel();
        self.requests.send((trigger, answer)).map_err(|_| stopping())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The status, from memory alone.
    pub fn status(&self) -> CatalogView {
        self.status.view()
    }

    /// A digest of the configuration in use.
    pub(super) fn in_force(&self) -> Arc<ArcSwap<Summary>> {
        Arc::clone(&self.in_force)
    }

    /// Both operations, for the admin API.
    pub fn reloading(&self) -> Reloading {
        let (reloader, status) = (self.clone(), Arc::clone(&self.status));
        Reloading {
            reload: Arc::new(move || {
                let reloader = reloader.clone();
                Box::pin(async move { reloader.reload(ReloadTrigger::Api).await })
            }),
            standing: Arc::new(move || status.view()),
        }
    }
}
#[cfg(test)]
mod tests;
