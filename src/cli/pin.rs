//! `bootdepot pin`: pins assets in the cache.

use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemResult, for_each, item, select};
use super::format::bytes;
use crate::api::{AssetState, AssetView};
use crate::config::Flags;

/// Pin assets: they are not evicted until they are unpinned
///
/// An asset can be pinned before it is cached; a pin fetches nothing (see `preload`). Pins survive restarts. Asks the running
/// server (`admin.listen`). If none runs, opens the cache itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot pin okd/4.19/rootfs.img\n  bootdepot pin 'boot/*'")]
pub struct PinCommand {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything
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
                for_each(&names, "no asset matches", self.json, pin).await
            })
            .await
    }
}

fn text(asset: &AssetView) -> String {
    match asset.state {
        AssetState::Cached => format!("pinned {} ({})", asset.name, bytes(asset.bytes)),
        AssetState::Unverified => {
            format!("pinned {} ({}), which is hashed before it is used", asset.name, bytes(asset.bytes))
        }
        AssetState::Filling => format!("pinned {}, which is being fetched", asset.name),
        AssetState::Missing => {
            format!("pinned {}, which is not cached: preload it, or it is fetched on the first request", asset.name)
        }
    }
}
