//! The work of a job: its items, in order.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::CheckTask;
use super::error::StartError;
use super::item::Item;
use super::selection::Selection;
use super::status::JobKind;
use super::task::Task;
use crate::asset::Digest;
use crate::boot::Boot;
use crate::catalog::Asset;
use crate::depot::Depot;

/// The work of a job.
pub(super) struct Work {
    pub(super) kind: JobKind,
    /// The selection, as text.
    pub(super) what: String,
    pub(super) verify: bool,
    pub(super) keep_going: bool,
    pub(super) items: Vec<Item>,
    /// The scope of a check. `None` for other work.
    pub(super) check: Option<CheckTask>,
}

impl Work {
    /// The work of `task` with the current catalog and cache. Memory only.
    pub(super) fn new(task: Task, boot: &Boot) -> Result<Self, StartError> {
        let depot = boot.depot();
        let item = |asset: Arc<Asset>| {
            let size = depot.known_size(&asset);
            Item::new(asset.name.to_string(), asset.digest, Some(asset), size)
        };
        Ok(match task {
            Task::Preload { selection, verify, keep_going } => {
                let items = selection.resolve(boot)?.into_iter().map(item).collect();
                Self { kind: JobKind::Preload, what: selection.describe(), verify, keep_going, items, check: None }
            }
            Task::Verify { assets } => {
                let selection = Selection::of_assets(assets);
                let named = |asset: &Asset| selection.assets.iter().any(|name| name == asset.name.as_str());
                let resolved = selection.resolve(boot)?.into_iter();
                let is_on_disk = |asset: &Asset| depot.is_cached(&asset.digest) || depot.is_unverified(&asset.digest);
                let wanted = resolved.filter(|asset| is_on_disk(asset) || named(asset));
                let items = wanted.map(item).collect();
                Self {
                    kind: JobKind::Verify,
                    what: selection.describe(),
                    verify: true,
                    keep_going: true,
                    items,
                    check: None,
                }
            }
            Task::Scrub => Self {
                kind: JobKind::Scrub,
                what: "all blobs".to_owned(),
                verify: true,
                keep_going: true,
                items: all_blobs(depot),
                check: None,
            },
            Task::Check(task) => Self {
                kind: JobKind::Check,
                what: task.describe(),
                verify: false,
                keep_going: true,
                items: Vec::new(),
                check: Some(task),
            },
        })
    }
}

/// Every blob of the cache, named after an asset if one has its digest. Unverified ones come first, then those verified longest ago.
fn all_blobs(depot: &Depot) -> Vec<Item> {
    let catalog = depot.catalog();
    let block_lists: HashMap<Digest, String> = catalog
        .assets()
        .filter_map(|asset| Some((asset.blocks.as_ref()?.digest, format!("{} (block list)", asset.name))))
        .collect();
    let mut blobs = depot.cache().list();
    blobs.sort_unstable_by_key(|blob| (blob.verified, blob.digest));
    let item = |blob: &crate::cache::BlobInfo| {
        let name = match catalog.by_digest(&blob.digest).first() {
            Some(asset) => asset.name.to_string(),
            None => block_lists.get(&blob.digest).cloned().unwrap_or_else(|| blob.digest.to_string()),
        };
        Item::new(name, blob.digest, None, Some(blob.size))
    };
    blobs.iter().map(item).collect()
}
