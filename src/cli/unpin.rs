//! `bootdepot unpin`: lets go of assets that an operator pinned.

use std::process::ExitCode;

use serde_json::json;

use super::deeds::{Deed, chosen, each};
use super::worker::Worker;
use crate::admin::AssetView;
use crate::config::Flags;

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
        let by_operator = |asset: &AssetView| asset.pinned_by.iter().any(|by| by == "operator");
        let names = chosen(&self.names, &worker, by_operator)?;
        each(&names, "no operator pinned anything", self.json, |name| {
            Ok(worker.unpin(name)?.map(|asset| Deed { said: said(&asset), told: json!({ "asset": asset }) }))
        })
    }
}

fn said(asset: &AssetView) -> String {
    match asset.pinned_by.as_slice() {
        [] => format!("unpinned {}", asset.name),
        others => format!("unpinned {}; it is still held by: {}", asset.name, others.join(", ")),
    }
}
