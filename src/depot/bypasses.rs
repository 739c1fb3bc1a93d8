//! The reads that bypass the cache now, by digest.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bypass::Bypass;
use super::bypass_window::ReaderId;
use super::not_stored::Remains;
use super::shared_bypass::SharedBypass;
use super::snapshot::Snapshot;
use crate::asset::{BlockList, ByteRange, Digest};
use crate::catalog::Asset;

/// An asset to read around the cache.
pub(super) struct BypassTarget {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) asset: Arc<Asset>,
    pub(super) block_list: Option<Arc<BlockList>>,
    /// The asset's size in bytes.
    pub(super) size: u64,
}

/// The active reads by digest. Cheap to clone; all clones are one set.
#[derive(Clone)]
pub(super) struct Bypasses {
    active: Arc<Mutex<HashMap<Digest, Vec<Arc<SharedBypass>>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A reader of a shared read. Leaves it when dropped.
pub(super) struct Membership {
    pub(super) read: Arc<SharedBypass>,
    pub(super) id: ReaderId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.read.leave(self.id);
    }
}

impl Bypasses {
    pub(super) fn new(tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { active: Arc::default(), tasks, stop }
    }

    /// Joins an active read that still has the first byte of `range`, or begins one. With `remains`, the read compares its
    /// bytes with what is left of that fill.
    pub(super) fn join(&self, target: &BypassTarget, range: ByteRange, remains: Option<&Arc<Remains>>) -> Membership {
        let block_list = target.block_list.as_ref().filter(|list| list.size() == target.size);
        let by_blocks = block_list.is_some();
        let digest = target.asset.digest;
        let mut active = self.active.lock();
        let reads = active.entry(digest).or_default();
        let joined = reads.iter().find_map(|read| Some((read, read.join(range, by_blocks, remains)?)));
        if let Some((read, id)) = joined {
            return Membership { read: Arc::clone(read), id };
        }
        // Without blocks the whole is hashed, from its first byte.
        let start = block_list.map_or(0, |list| range.start / list.block_size() * list.block_size());
        let (read, id) = SharedBypass::new(start, by_blocks, remains.cloned(), range);
        let read = Arc::new(read);
        reads.push(Arc::clone(&read));
        drop(active);
        let bypass = {
            let (snapshot, asset) = (Arc::clone(&target.snapshot), Arc::clone(&target.asset));
            let (block_list, range, size) = (block_list.cloned(), ByteRange::new(start, target.size), target.size);
            async move { Bypass::new(&snapshot, asset, block_list, range, size).await }
        };
        let (running, this) = (Arc::clone(&read), self.clone());
        self.tasks.spawn(async move {
            this.stop.run_until_cancelled(Box::pin(running.run(bypass))).await;
            this.remove(&digest, &running);
        });
        Membership { read, id }
    }

    fn remove(&self, digest: &Digest, ended: &Arc<SharedBypass>) {
        let mut active = self.active.lock();
        if let Some(reads) = active.get_mut(digest) {
            reads.retain(|read| !Arc::ptr_eq(read, ended));
            if reads.is_empty() {
                active.remove(digest);
            }
        }
    }
}
