//! The books of one job: its items, how each stands, and the sums. Pure: it does nothing and reads no clock.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{AssetCounts, ByteCounts, ItemState, ItemStatus};
use crate::asset::Digest;
use crate::catalog::Asset;

/// One asset of a job, or a blob that the catalog does not have.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) digest: Digest,
    /// While there is something to do with it.
    pub(super) asset: Option<Arc<Asset>>,
    size: Option<u64>,
    state: ItemState,
    bytes: u64,
    error: Option<String>,
    rotted: bool,
    /// Its bytes are not those of an item before it.
    counts: bool,
    /// How many bytes were hashed, while that is what is being done.
    pub(super) hashed: Option<Arc<AtomicU64>>,
}

/// All items of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    list: Vec<Item>,
    running: BTreeSet<usize>,
    counts: AssetCounts,
    /// Bytes that are done, and those there are, of items that count; and of how many that is not known.
    done: u64,
    total: u64,
    unknown: usize,
}

impl Item {
    /// An item that nothing was done of yet.
    pub(super) fn new(name: String, digest: Digest, asset: Option<Arc<Asset>>, size: Option<u64>) -> Self {
        let (state, error) = (ItemState::Waiting, None);
        Self { name, digest, asset, size, state, bytes: 0, error, rotted: false, counts: true, hashed: None }
    }

    /// As operators see it.
    pub(super) fn view(&self) -> ItemStatus {
        ItemStatus {
            name: self.name.clone(),
            state: self.state,
            bytes: self.bytes,
            size: self.size,
            error: self.error.clone(),
            rotted: self.rotted,
        }
    }
}

impl Items {
    /// These items, in this order.
    pub(super) fn new(list: Vec<Item>) -> Self {
        let mut items = Self { counts: AssetCounts { total: list.len(), ..AssetCounts::default() }, ..Self::default() };
        let mut seen = HashSet::new();
        for mut item in list {
            item.counts = seen.insert(item.digest);
            if item.counts {
                items.total += item.size.unwrap_or(0);
                items.unknown += usize::from(item.size.is_none());
            }
            items.list.push(item);
        }
        items
    }

    /// All of them.
    pub(super) fn list(&self) -> &[Item] {
        &self.list
    }

    /// Those whose turn has not come, in order.
    pub(super) fn waiting(&self) -> Vec<usize> {
        let waiting = self.list.iter().enumerate().filter(|(_, item)| item.state == ItemState::Waiting);
        waiting.map(|(index, _)| index).collect()
    }

    /// Those that are being worked on.
    pub(super) fn running(&self) -> Vec<usize> {
        self.running.iter().copied().collect()
    }

    /// How many there are, are done, and failed.
    pub(super) fn assets(&self) -> AssetCounts {
        self.counts
    }

    /// How many bytes there are and are done.
    pub(super) fn bytes(&self) -> ByteCounts {
        ByteCounts { total: (self.unknown == 0).then_some(self.total), done: self.done }
    }

    /// Its turn has come.
    pub(super) fn begin(&mut self, index: usize) {
        self.list[index].state = ItemState::Running;
        self.running.insert(index);
    }

    /// It is being hashed from now on, as `hashed` tells; or no longer.
    pub(super) fn hashing(&mut self, index: usize, hashed: Option<Arc<AtomicU64>>) {
        self.list[index].hashed = hashed;
        self.progress(index, 0, None);
    }

    /// What was here of it is no good, and it is fetched again.
    pub(super) fn rotted(&mut self, index: usize) {
        self.list[index].rotted = true;
    }

    /// So many of its bytes are done, of so many where that is known.
    pub(super) fn progress(&mut self, index: usize, bytes: u64, size: Option<u64>) {
        let item = &mut self.list[index];
        let before = std::mem::replace(&mut item.bytes, bytes);
        if item.counts {
            self.done = self.done - before + bytes;
        }
        if let Some(size) = size {
            let before = item.size.replace(size);
            if item.counts {
                self.total = self.total - before.unwrap_or(0) + size;
                self.unknown -= usize::from(before.is_none());
            }
        }
    }

    /// It is done, and as large as this.
    pub(super) fn done(&mut self, index: usize, size: Option<u64>) {
        let size = size.or(self.list[index].size);
        self.progress(index, size.unwrap_or(0), size);
        self.settle(index, ItemState::Done);
        self.counts.done += 1;
    }

    /// It failed.
    pub(super) fn fail(&mut self, index: usize, error: String) {
        self.list[index].error = Some(error);
        self.settle(index, ItemState::Failed);
        self.counts.failed += 1;
    }

    /// What is not settled will not be done any more. Returns what was being worked on.
    pub(super) fn cancel_rest(&mut self) -> Vec<usize> {
        let cut = self.running();
        for index in 0..self.list.len() {
            if matches!(self.list[index].state, ItemState::Waiting | ItemState::Running) {
                self.settle(index, ItemState::Cancelled);
            }
        }
        cut
    }

    fn settle(&mut self, index: usize, state: ItemState) {
        self.running.remove(&index);
        let item = &mut self.list[index];
        (item.state, item.hashed, item.asset) = (state, None, None);
    }

    /// Forgets all but what failed. The sums stay.
    pub(super) fn forget(&mut self) {
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
        fn the_sums_are_those_of_the_items(
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
                    Op::Progress(bytes, size) if state == ItemState::Running => items.progress(index, bytes, size),
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
