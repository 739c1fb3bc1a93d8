//! `bootdepot forget`: removes machines and their boots from the ledger.

use std::process::ExitCode;

use super::batch::item;
use super::discover;
use super::{print, say};
use crate::config::Flags;

/// Forget machines and their boots
///
/// For machines that were switched off, moved or removed: they stop counting as failed or stuck. A machine is recorded again when
/// it boots. Needs the running server (`admin.listen`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot forget r630-01\n  bootdepot forget 24:6e:96:00:00:01 192.0.2.7")]
pub struct ForgetCommand {
    /// Host names, MACs, addresses, UUIDs, serial numbers or asset tags, in any spelling
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

impl ForgetCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let client = discover::server(&self.flags).await?;
        let mut status = ExitCode::SUCCESS;
        for host in &self.hosts {
            match item(client.forget(host).await)? {
                Ok(1) => print(&format!("forgot {host}\n"))?,
                Ok(machines) => print(&format!("forgot {host}: {machines} machines\n"))?,
                Err(reason) => {
                    say(format_args!("bootdepot: {host}: {reason}"));
                    status = ExitCode::FAILURE;
                }
            }
        }
        Ok(status)
    }
}
