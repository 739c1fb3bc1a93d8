//! `bootdepot pin`: holds assets in the cache.

use std::process::ExitCode;

use serde_json::json;

use super::deeds::{Deed, chosen, each};
use super::words::bytes;
use super::worker::Worker;
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let worker = Worker::of_what_is_there(&self.flags)?;
        let names = chosen(&self.names, &worker, |_| true)?;
        each(&names, "there is no asset", self.json, |name| {
            Ok(worker.pin(name)?.map(|asset| Deed { said: said(&asset), told: json!({ "asset": asset }) }))
        })
    }
}

fn said(asset: &AssetView) -> String {
    match asset.state {
        AssetState::Proven => format!("pinned {} ({})", asset.name, bytes(asset.bytes)),
        AssetState::Filling => format!("pinned {}, which is on its way here", asset.name),
        AssetState::Missing => {
            format!("pinned {}, which is not here yet: preload it, or it comes when asked for", asset.name)
        }
    }
}
