//! `bootdepot unpin`: lets go of assets that an operator pinned.

use std::process::ExitCode;

use serde_json::json;

use super::deeds::{Deed, chosen, each};
use super::worker::Worker;
use crate::api::AssetView;
use crate::config::Flags;
use crate::depot::RetentionReason;

/// Let go of assets that an operator pinned
///
/// They stay in the cache until their room is needed. What the settings pin or a release needs is held all the same. Asks
/// the running server (`admin.listen`), or, where none runs, works on the cache by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  bootdepot unpin okd/4.19/rootfs.img\n  bootdepot unpin '**'")]
pub struct UnpinCommand {
    /// Assets, or globs of their names: `*` stands for anything but a slash, `**` for anything
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let worker = Worker::of_what_is_there(&self.flags)?;
        let names = chosen(&self.names, &worker, is_pinned)?;
        each(&names, "no operator pinned anything", self.json, |name| {
            let was_pinned = worker.asset(name)?.is_none_or(|asset| is_pinned(&asset));
            let told = |asset: &AssetView| json!({ "asset": asset, "was_pinned": was_pinned });
            Ok(worker.unpin(name)?.map(|asset| Deed { said: said(&asset, was_pinned), told: told(&asset) }))
        })
    }
}

/// Whether an operator pinned it.
fn is_pinned(asset: &AssetView) -> bool {
    asset.pinned_by.contains(&RetentionReason::Operator)
}

fn said(asset: &AssetView, was_pinned: bool) -> String {
    let name = &asset.name;
    let done = if was_pinned { format!("unpinned {name}") } else { format!("no operator had pinned {name}") };
    match asset.pinned_by.as_slice() {
        [] => done,
        others => {
            let others = others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("{done}; it is still held by: {others}")
        }
    }
}
