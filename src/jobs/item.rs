//! The items of one job, their states, and their totals. Pure: no IO and no clock.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::status::{AssetCounts, ByteCounts, ItemState, ItemStatus};
use crate::asset::Digest;
use crate::catalog::Asset;

/// One asset of a job, or a blob that is not in the catalog.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) digest: Digest,
    /// `None` once the item has ended, and for blobs that are not in the catalog.
    pub(super) asset: Option<Arc<Asset>>,
    size: Option<u64>,
    state: ItemState,
    bytes: u64,
    error: Option<String>,
    /// Whether the cached blob was corrupt, so that it is fetched again.
    corrupt: bool,
    /// Whether its bytes count in the totals: no earlier item has the same digest.
    counts: bool,
    /// The number of hashed bytes, while the item is being verified.
    pub(super) hashed: Option<Arc<AtomicU64>>,
}

/// All items of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    list: Vec<Item>,
    running: BTreeSet<usize>,
    counts: AssetCounts,
    /// Bytes of items that count: those done, and all with a known size.
    done: u64,
    total: u64,
    /// Items that count whose size is not known.
    unknown_sizes: usize,
}

impl Item {
    /// A waiting item.
    pub(super) fn new(name: String, digest: Digest, asset: Option<Arc<Asset>>, size: Option<u64>) -> Self {
        let (state, error) = (ItemState::Waiting, None);
        Self { name, digest, asset, size, state, bytes: 0, error, corrupt: false, counts: true, hashed: None }
    }

    /// The item as operators see it.
    pub(super) fn view(&self) -> ItemStatus {
        ItemStatus {
            name: self.name.clone(),
            state: self.state,
            bytes: self.bytes,
            size: self.size,
            error: self.error.clone(),
            rotted: self.corrupt,
        }
    }
}

impl Items {
    /// Waiting items in this order.
    pub(super) fn new(list: Vec<Item>) -> Self {
        let mut items = Self { counts: AssetCounts { total: list.len(), ..AssetCounts::default() }, ..Self::default() };
        let mut seen = HashSet::new();
        for mut item in list {
            item.counts = seen.insert(item.digest);
            if item.counts {
                items.total += item.size.unwrap_or(0);
                items.unknown_sizes += usize::from(item.size.is_none());
            }
            items.list.push(item);
        }
        items
    }

    /// All items.
    pub(super) fn list(&self) -> &[Item] {
        &self.list
    }

    /// The indices of the waiting items, in order.
    pub(super) fn waiting(&self) -> Vec<usize> {
        let waiting = self.list.iter().enumerate().filter(|(_, item)| item.state == ItemState::Waiting);
        waiting.map(|(index, _)| index).collect()
    }

    /// The indices of the running items, in order.
    pub(super) fn running(&self) -> Vec<usize> {
        self.running.iter().copied().collect()
    }

    /// The numbers of items: all, done, failed.
    pub(super) fn assets(&self) -> AssetCounts {
        self.counts
    }

    /// The bytes of the items: all, done.
    pub(super) fn bytes(&self) -> ByteCounts {
        ByteCounts { total: (self.unknown_sizes == 0).then_some(self.total), done: self.done }
    }

    /// Starts an item.
    pub(super) fn begin(&mut self, index: usize) {
        self.list[index].state = ItemState::Running;
        self.running.insert(index);
    }

    /// Starts verifying an item; `hashed` is its progress. With `None`, ends it.
    pub(super) fn hashing(&mut self, index: usize, hashed: Option<Arc<AtomicU64>>) {
        self.list[index].hashed = hashed;
        self.set_progress(index, 0, None);
    }

    /// Records that the cached blob was corrupt or unreadable.
    pub(super) fn set_corrupt(&mut self, index: usize) {
        self.list[index].corrupt = true;
    }

    /// Sets how many bytes of an item are done, and its size if that is known.
    pub(super) fn set_progress(&mut self, index: usize, bytes: u64, size: Option<u64>) {
        let item = &mut self.list[index];
        let before = std::mem::replace(&mut item.bytes, bytes);
        if item.counts {
            self.done = self.done - before + bytes;
        }
        if let Some(size) = size {
            let before = item.size.replace(size);
            if item.counts {
                self.total = self.total - before.unwrap_or(0) + size;
                self.unknown_sizes -= usize::from(before.is_none());
            }
        }
    }

    /// Ends an item successfully; `size` is its size if that is known.
    pub(super) fn done(&mut self, index: usize, size: Option<u64>) {
        let size = size.or(self.list[index].size);
        self.set_progress(index, size.unwrap_or(0), size);
        self.finish(index, ItemState::Done);
        self.counts.done += 1;
    }

    /// Ends an item with an error.
    pub(super) fn fail(&mut self, index: usize, error: String) {
        self.list[index].error = Some(error);
        self.finish(index, ItemState::Failed);
        self.counts.failed += 1;
    }

    /// Cancels all items that have not ended. Returns the indices of those that were running.
    pub(super) fn cancel_rest(&mut self) -> Vec<usize> {
        let running = self.running();
        for index in 0..self.list.len() {
            if matches!(self.list[index].state, ItemState::Waiting | ItemState::Running) {
                self.finish(index, ItemState::Cancelled);
            }
        }
        running
    }

    fn finish(&mut self, index: usize, state: ItemState) {
        self.running.remove(&index);
        let item = &mut self.list[index];
        (item.state, item.hashed, item.asset) = (state, None, None);
    }

    /// Drops all items that did not fail. The totals stay.
    pub(super) fn drop_all_but_failed(&mut self) {
        self.list.retain(|item| item.state == ItemState::Failed);
        self.list.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Begin,
        Progress(u64, Option<u64>),
        Done(Option<u64>),
        Fail,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            Just(Op::Begin),
            (0u64..100, prop::option::of(1u64..100)).prop_map(|(bytes, size)| Op::Progress(bytes, size)),
            prop::option::of(1u64..100).prop_map(Op::Done),
            Just(Op::Fail),
        ]
    }

    proptest! {
        #[test]
        fn totals_match_items(
            items in prop::collection::vec((0u8..4, prop::option::of(1u64..100)), 1..8),
            ops in prop::collection::vec((0usize..8, op()), 0..60),
        ) {
            let list = items.iter().map(|(name, size)| {
                Item::new(name.to_string(), Digest::from_bytes([*name; 32]), None, *size)
            });
            let mut items = Items::new(list.collect());
            for (index, op) in ops {
                let index = index % items.list.len();
                let state = items.list[index].state;
                match op {
                    Op::Begin if state == ItemState::Waiting => items.begin(index),
                    Op::Progress(bytes, size) if state == ItemState::Running => items.set_progress(index, bytes, size),
                    Op::Done(size) if state == ItemState::Running => items.done(index, size),
                    Op::Fail if state == ItemState::Running => items.fail(index, "x".to_owned()),
                    _ => {}
                }
                let counting = || items.list.iter().filter(|item| item.counts);
                let total: Option<u64> = counting().map(|item| item.size).sum();
                prop_assert_eq!(items.bytes(), ByteCounts { total, done: counting().map(|item| item.bytes).sum() });
                let of = |state| items.list.iter().filter(|item| item.state == state).count();
                let assets = AssetCounts { total: items.list.len(), done: of(ItemState::Done), failed: of(ItemState::Failed) };
                prop_assert_eq!(items.assets(), assets);
                prop_assert_eq!(items.running().len(), of(ItemState::Running));
            }
            items.cancel_rest();
            prop_assert!(items.running().is_empty() && items.waiting().is_empty());
        }
    }
}
