//! Releases: which assets scripts name. A release goes live as a whole, once every asset of it is cached.
//!
//! `channels` is the state machine: which release of each channel is active, which is live, and which are kept for machines
//! that began to boot from an older one. `reconciler` fetches the assets, `record` stores the state across restarts, `release_status`
//! is the report for operators, and `handle` combines them.

mod channels;
mod error;
mod handle;
mod reconciler;
mod record;
mod release_status;
mod settings;
#[cfg(test)]
mod tests;

pub use error::ActivateError;
pub use handle::{RECORD_FILE, Releases};
pub use release_status::{ReleaseState, ReleaseStatus};
