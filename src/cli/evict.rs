//! `bootdepot evict`: removes assets from the cache.

use std::collections::HashSet;
use std::process::ExitCode;

use serde_json::json;

use super::deeds::{Deed, chosen, each};
use super::words::bytes;
use super::worker::Worker;
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let worker = Worker::of_what_is_there(&self.flags)?;
        // Two names may stand for the same bytes, which go once.
        let mut bytes_of = HashSet::new();
        let here = |asset: &AssetView| asset.state == AssetState::Proven && bytes_of.insert(asset.digest);
        let names = chosen(&self.names, &worker, here)?;
        each(&names, "nothing is in the cache", self.json, |name| {
            let said = |freed| format!("evicted {name} ({})", bytes(freed));
            Ok(worker.evict(name)?.map(|freed| Deed { said: said(freed), told: json!({ "freed": freed }) }))
        })
    }
}
