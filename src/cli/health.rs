//! `bootdepot health`: whether the running server is alive or ready, for a container that has no other program to ask with.

use std::process::ExitCode;

use super::{discover, print};
use crate::config::Flags;

/// Ask the running server whether it is alive
///
/// Asks the admin listener for /healthz or /readyz, which take no token. Exits with status 1 if it is not, or does not answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot health\n  bootdepot health --ready")]
pub struct HealthCommand {
    /// Whether it is ready: it listens, its cache can be written, and every live release is there
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
