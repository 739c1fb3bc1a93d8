//! `bootdepot health`: a health check, for containers that have no other program for it.

use std::process::ExitCode;

use super::{discover, print};
use crate::config::Flags;

/// Check whether the running server is alive
///
/// Requests /healthz or /readyz from the admin listener; neither needs a token. Exits with status 1 if the server is not healthy
/// or does not answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot health\n  bootdepot health --ready")]
pub struct HealthCommand {
    /// Check whether it is ready: it listens, its cache is writable, and machines can boot from every channel with an active release
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    flags: Flags,
}

impl HealthCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let client = discover::server_by_admin_section(&self.flags).await?;
        let (good, text) = client.probe(if self.ready { "/readyz" } else { "/healthz" }).await?;
        print(&format!("{}\n", text.trim_end()))?;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
