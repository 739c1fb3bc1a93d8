//! The admin listener: the API that operators' commands and the dashboard ask, metrics and health checks. It knows what the
//! server does and how to say it; it knows no settings file, and nothing of how machines are served.
//!
//! A request's way: `server` asks `guard` whether it is let in at all (by `tokens`, from where, at what `pace`), reads what
//! content it has, and hands it to the routes of `api`, `probes` and `dashboard`. What is refused anywhere is a [`crate::api::Problem`]. `events`
//! tells what happens while it happens; `shelf` is assets as operators see them.

mod api;
mod cache_snapshot;
mod dashboard;
mod error;
mod events;
mod extract;
mod guard;
mod pace;
mod probes;
mod problem;
mod reload;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;

pub use error::AdminError;
pub use reload::{ReloadFailure, Reloading};
pub use server::{AdminParts, AdminServer, Metrics, ledger_router, router};
pub use settings::AdminSettings;
pub use tokens::{TokenError, plain_token};
