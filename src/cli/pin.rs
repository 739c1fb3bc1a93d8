//! `bootdepot pin`: holds assets in the cache.

use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemResult, for_each, item, select};
use super::format::bytes;
use crate::api::{AssetState, AssetView};
use crate::config::Flags;

/// Hold assets in the cache until they are unpinned
///
/// A pin holds whether the asset is here already or not; it fetches nothing (see `preload`) and outlives restarts. Asks the
/// running server (`admin.listen`), or, where none runs, works on the cache by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot pin okd/4.19/rootfs.img\n  bootdepot pin 'boot/*'")]
pub struct PinCommand {
    /// Assets, or globs of their names: `*` stands for anything but a slash, `**` for anything
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl PinCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        backend
            .run(async |client| {
                let names = select(&self.names, client, |_| true).await?;
                let pin = async |name: &str| {
                    let pinned = item(client.pin(name).await)?;
                    Ok(pinned.map(|asset| ItemResult { text: text(&asset), json: json!({ "asset": asset }) }))
                };
                for_each(&names, "there is no asset", self.json, pin).await
            })
            .await
    }
}

fn text(asset: &AssetView) -> String {
    match asset.state {
        AssetState::Cached => format!("pinned {} ({})", asset.name, bytes(asset.bytes)),
        AssetState::Filling => format!("pinned {}, which is on its way here", asset.name),
        AssetState::Missing => {
            format!("pinned {}, which is not here yet: preload it, or it comes when asked for", asset.name)
        }
    }
}
