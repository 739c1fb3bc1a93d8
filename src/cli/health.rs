//! `bootdepot health`: whether the running server is alive or ready, for a container that has no other program to ask with.

use std::process::ExitCode;

use super::print;
use super::running::legible_server;
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
    /// Asks, and prints the answer.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // It is the server that is asked after, not the catalog on the disk.
        let (good, text) = legible_server(&self.flags)??.probe(if self.ready { "/readyz" } else { "/healthz" })?;
        print(&format!("{}\n", text.trim_end()))?;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
