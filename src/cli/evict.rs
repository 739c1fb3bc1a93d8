//! `bootdepot evict`: removes assets from the cache.

use std::collections::HashSet;
use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemResult, for_each, item, select};
use super::format::bytes;
use crate::api::{AssetState, AssetView};
use crate::config::Flags;

/// Remove assets from the cache
///
/// An asset that is pinned, needed by a release or being read stays, and the command says why. An evicted asset is fetched
/// again on its next request. Asks the running server (`admin.listen`). If none runs, opens the cache itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot evict okd/4.18/rootfs.img\n  bootdepot evict 'okd/4.18/*'")]
pub struct EvictCommand {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl EvictCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        backend
            .run(async |client| {
                // Two names may stand for the same bytes, which are evicted once.
                let mut digests = HashSet::new();
                let cached = |asset: &AssetView| {
                    matches!(asset.state, AssetState::Cached | AssetState::Unverified) && digests.insert(asset.digest)
                };
                let names = select(&self.names, client, cached).await?;
                let evict = async |name: &str| {
                    let freed = item(client.evict(name).await)?;
                    Ok(freed.map(|freed| ItemResult {
                        text: format!("evicted {name} ({})", bytes(freed)),
                        json: json!({ "freed": freed }),
                    }))
                };
                for_each(&names, "no matching asset is cached", self.json, evict).await
            })
            .await
    }
}
