//! The state that all handlers of the admin server share.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::events::EventRing;
use super::reload::Reloading;
use crate::api::Listener;
use crate::boot::Boot;
use crate::jobs::Jobs;

/// Renders all metrics in the Prometheus text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The parts of the server that the admin API shows and controls.
pub struct AdminParts {
    /// Machines, releases and assets.
    pub boot: Boot,
    /// Renders the metrics.
    pub metrics: Metrics,
    /// The catalog's status, and how to reload it.
    pub reloading: Reloading,
    /// Preload, verify and scrub jobs.
    pub jobs: Jobs,
    /// The addresses of all listeners.
    pub listeners: Vec<Listener>,
    /// When the server started.
    pub started: Timestamp,
}

/// The state that all handlers share. A clone costs three reference counts.
#[derive(Clone)]
pub(super) struct AdminState {
    parts: Arc<AdminParts>,
    pub(super) events: Arc<EventRing>,
    pub(super) stop: CancellationToken,
}

impl AdminState {
    /// Event streams end at `stop`.
    pub(super) fn new(parts: AdminParts, stop: CancellationToken) -> Self {
        Self { parts: Arc::new(parts), events: Arc::new(EventRing::new()), stop }
    }
}

impl Deref for AdminState {
    type Target = AdminParts;

    fn deref(&self) -> &AdminParts {
        &self.parts
    }
}
