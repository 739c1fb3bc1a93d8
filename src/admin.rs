//! The admin listener: the API that operators' commands and the dashboard ask, metrics and health checks. It knows what the
//! server does and how to say it; it knows no settings file, and nothing of how machines are served.
//!
//! A request's way: `server` asks `guard` whether it is let in at all (by `tokens`, from where, at what `pace`), reads what
//! content it has, and hands it to the routes of `api`, `probes` and `dashboard`. What is refused anywhere is a [`crate::api::Problem`]. `events`
//! tells what happens while it happens; `cache_snapshot` is assets as operators see them.

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
