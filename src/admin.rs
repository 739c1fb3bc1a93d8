//! The admin server: the API that CLI commands and the dashboard call, metrics and health checks. It shows and controls the
//! server; it knows neither the configuration file nor the protocols that machines use.
//!
//! `server` reads a request, lets `guard` admit it (rate limit, `tokens`, `Host` and `Origin`), and passes it to `router`, which
//! assembles the routes of `api`, `probes` and `dashboard`. All handlers share the `state`. Every error is a problem document
//! (RFC 9457). `events` streams changes as they happen; `cache_snapshot` is the cache as operators see it.

mod api;
mod api_error;
mod cache_snapshot;
mod dashboard;
mod error;
mod events;
mod extract;
mod guard;
mod in_process;
mod machines;
mod probes;
mod rate_limit;
mod reload;
mod router;
mod server;
mod settings;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod tokens;

pub use error::AdminError;
pub use in_process::{ledger_router, router_without_guard};
pub use reload::{ReloadFailure, Reloading};
pub use server::AdminServer;
pub use settings::AdminSettings;
pub use state::{AdminParts, Metrics};
pub use tokens::{TokenError, check_token_files, plain_token};
