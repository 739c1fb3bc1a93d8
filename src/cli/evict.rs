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
/// What is pinned, needed by a release, or being read stays, and is said to. What is evicted is fetched again when it is next
/// asked for. Asks the running server (`admin.listen`), or, where none runs, works on the cache by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot evict okd/4.18/rootfs.img\n  bootdepot evict 'okd/4.18/*'")]
pub struct EvictCommand {
    /// Assets, or globs of their names: `*` stands for anything but a slash, `**` for anything
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
                let cached = |asset: &AssetView| asset.state == AssetState::Cached && digests.insert(asset.digest);
                let names = select(&self.names, client, cached).await?;
                let evict = async |name: &str| {
                    let freed = item(client.evict(name).await)?;
                    Ok(freed.map(|freed| ItemResult {
                        text: format!("evicted {name} ({})", bytes(freed)),
                        json: json!({ "freed": freed }),
                    }))
                };
                for_each(&names, "nothing is in the cache", self.json, evict).await
            })
            .await
    }
}
