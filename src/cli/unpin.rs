//! `bootdepot unpin`: removes operators' pins.

use std::process::ExitCode;

use serde_json::json;

use super::backend::Backend;
use super::batch::{ItemResult, for_each, item, select};
use crate::api::AssetView;
use crate::config::Flags;
use crate::depot::RetentionReason;

/// Remove the pins that `pin` has set
///
/// The assets stay in the cache until their space is needed. Assets that the settings pin or a release needs stay pinned. Asks
/// the running server (`admin.listen`). If none runs, opens the cache itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot unpin okd/4.19/rootfs.img\n  bootdepot unpin '**'")]
pub struct UnpinCommand {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl UnpinCommand {
    /// Runs it, printing to standard output.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let backend = Backend::cache(&self.flags).await?;
        backend
            .run(async |client| {
                let names = select(&self.names, client, is_pinned).await?;
                let unpin = async |name: &str| {
                    // The catalog may not have the name any more, and the pin is there all the same.
                    let before = item(client.asset(name).await)?.ok();
                    let was_pinned = before.is_none_or(|asset| is_pinned(&asset));
                    let unpinned = item(client.unpin(name).await)?;
                    Ok(unpinned.map(|asset| ItemResult {
                        text: text(&asset, was_pinned),
                        json: json!({ "asset": asset, "was_pinned": was_pinned }),
                    }))
                };
                for_each(&names, "no matching asset is pinned by an operator", self.json, unpin).await
            })
            .await
    }
}

/// Whether an operator pinned it.
fn is_pinned(asset: &AssetView) -> bool {
    asset.pinned_by.contains(&RetentionReason::Operator)
}

fn text(asset: &AssetView, was_pinned: bool) -> String {
    let name = &asset.name;
    let done = if was_pinned { format!("unpinned {name}") } else { format!("{name} was not pinned by an operator") };
    match asset.pinned_by.as_slice() {
        [] => done,
        others => {
            let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{done}; it is still held by: {others}")
        }
    }
}
