//! `bootdepot accept`: takes the new bytes of changed assets.

use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemResult, for_each, item};
use crate::config::Flags;

/// Accept that objects of collections have changed
///
/// If an object of a `[[collection]]` gets other bytes, machines are served those that were known, until you accept the new ones
/// with this command. /readyz and `bootdepot status` name the changed assets. Asks the running server (`admin.listen`). If none
/// runs, opens the cache itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot accept isos/worker-01.iso")]
pub struct AcceptCommand {
    /// Asset names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl AcceptCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        backend
            .run(async |client| {
                let accept = async |name: &str| {
                    let asset = item(client.accept(name).await)?;
                    Ok(asset.map(|asset| match asset {
                        Some(asset) => ItemResult {
                            text: format!("accepted {name} with SHA-256 {}", asset.digest),
                            json: json!({ "digest": asset.digest.to_string() }),
                        },
                        None => ItemResult {
                            text: format!("removed {name}: its source does not have it any more"),
                            json: json!({ "digest": null }),
                        },
                    }))
                };
                for_each(&self.names, "no asset is named", self.json, accept).await
            })
            .await
    }
}
