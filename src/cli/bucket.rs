//! `bootdepot bucket`: sets buckets up, lists and prunes them, and signs URLs.

mod access;
mod init;
mod list;
mod load;
mod presign;
mod prune;
mod target;
mod usage;

use std::process::ExitCode;

use clap::Subcommand;

/// Set up the buckets of the settings, list and prune them, and sign URLs
#[derive(Debug, clap::Args)]
pub struct BucketCommand {
    #[command(subcommand)]
    command: Command,
}

// Each command's help is at its own type.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitCommand),
    List(list::ListCommand),
    Prune(prune::PruneCommand),
    Presign(presign::PresignCommand),
    Policy(access::PolicyCommand),
}

impl BucketCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init(command) => command.run().await,
            Command::List(command) => command.run().await,
            Command::Prune(command) => command.run().await,
            Command::Presign(command) => command.run().await,
            Command::Policy(command) => command.run(),
        }
    }
}
