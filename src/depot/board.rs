//! The books of one fill: which bytes are here, which are being fetched, which are proven, and who waits for which.
//!
//! Pure: no IO and no clock. The fill's tasks and its readers share it under one lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ReadError;
use super::ranges::RangeSet;
use crate::asset::{BlockList, ByteRange};

/// Held back from what a reader asked for until its bytes are proven: 64 KiB, or all of a shorter range. A client that
/// was promised a length cannot take a transfer for whole that lacks its end.
pub(super) const TAIL: u64 = 64 << 10;

/// What a reader waits for; named so that it can say it waits no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WantId(u64);

/// What a reader at some offset may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// These bytes, proven by the block list: they stay right whatever happens to the fill.
    Proven(ByteRange),
    /// These bytes of this generation, not proven yet.
    Unproven(ByteRange, u64),
    /// Nothing yet.
    Wait,
}

/// The books of one fill.
#[derive(Debug, Default)]
pub(super) struct Board {
    size: u64,
    part_size: u64,
    /// Bytes of which the partial knows whether they are here.
    grain: u64,
    /// Counts how often all unproven bytes were thrown away; bytes of an older generation may be wrong.
    generation: u64,
    /// Why the last of them ended.
    fault: Option<ReadError>,
    written: RangeSet,
    claimed: RangeSet,
    proven: RangeSet,
    blocks: Option<Arc<BlockList>>,
    wants: BTreeMap<WantId, ByteRange>,
    next_want: u64,
    /// The want that was served last, so that all have their turn.
    served: Option<WantId>,
}

impl Board {
    /// Sets the size of the blob, of its parts and of the grains that its partial knows, and which grains are here from an
    /// earlier run. Of what was here before under another size nothing is.
    pub(super) fn begin(
        &mut self,
        size: u64,
        part_size: u64,
        blocks: Option<Arc<BlockList>>,
        (grain, grains): (u64, &[bool]),
    ) {
        (self.size, self.part_size, self.grain) = (size, part_size.max(1), grain.max(1));
        (self.written, self.claimed, self.proven) = Default::default();
        self.blocks = blocks.filter(|list| list.size() == size);
        for (index, _) in grains.iter().enumerate().filter(|(_, here)| **here) {
            self.written.insert(self.nth(index as u64, self.grain));
        }
    }

    /// The generation of the bytes that are here.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Why bytes of an older generation than this one were thrown away.
    pub(super) fn fault_since(&self, generation: u64) -> Option<ReadError> {
        self.fault.clone().filter(|_| generation != self.generation)
    }

    /// The block list, where there is one.
    pub(super) fn blocks(&self) -> Option<&Arc<BlockList>> {
        self.blocks.as_ref()
    }

    /// The bytes of `range` that are not here.
    pub(super) fn missing(&self, range: ByteRange) -> Vec<ByteRange> {
        let mut gaps = Vec::new();
        let mut rest = range;
        while let Some(gap) = self.written.first_gap(rest) {
            rest = ByteRange::new(gap.end, range.end);
            gaps.push(gap);
        }
        gaps
    }

    /// How many bytes are here.
    pub(super) fn written(&self) -> u64 {
        self.written.total()
    }

    /// Whether every byte is here and, with a block list, every block is proven.
    pub(super) fn is_full(&self) -> bool {
        let whole = ByteRange::whole(self.size);
        if self.blocks.is_some() { self.proven.covers(whole) } else { self.written.covers(whole) }
    }

    /// Up to where the bytes from the start on may be hashed: those that will not be replaced any more.
    pub(super) fn front(&self) -> u64 {
        if self.blocks.is_some() { self.proven.run_from(0) } else { self.written.run_from(0) }
    }

    /// Notes who waits for which bytes.
    pub(super) fn want(&mut self, range: ByteRange) -> WantId {
        let id = WantId(self.next_want);
        self.next_want += 1;
        self.wants.insert(id, range);
        id
    }

    /// A reader has come as far as `offset`.
    pub(super) fn advance(&mut self, id: WantId, offset: u64) {
        if let Some(range) = self.wants.get_mut(&id) {
            *range = ByteRange::new(offset, range.end.max(offset));
        }
    }

    /// A reader waits no more.
    pub(super) fn unwant(&mut self, id: WantId) {
        self.wants.remove(&id);
    }

    /// The next bytes to fetch, at most one part: what readers wait for first, each reader in turn, then the rest in
    /// order. They count as being fetched until [`Board::release`].
    pub(super) fn claim(&mut self) -> Option<ByteRange> {
        let taken = self.written.union(&self.claimed);
        let after = |id: &WantId| self.served.is_none_or(|served| *id > served);
        let mut turn =
            self.wants.iter().filter(|(id, _)| after(id)).chain(self.wants.iter().filter(|(id, _)| !after(id)));
        let wanted = turn.find_map(|(id, range)| Some((*id, self.gap(&taken, *range)?)));
        let range = match wanted {
            Some((id, range)) => {
                self.served = Some(id);
                range
            }
            None => self.gap(&taken, ByteRange::whole(self.size))?,
        };
        self.claimed.insert(range);
        Some(range)
    }

    /// The first missing run of bytes of the parts that `range` touches, within one part.
    fn gap(&self, taken: &RangeSet, range: ByteRange) -> Option<ByteRange> {
        let range = range.intersect(&ByteRange::whole(self.size));
        let missing = taken.first_gap(range)?;
        // Whole parts make whole requests: from the start of the part on, if that is missing too.
        let part = self.nth(missing.start / self.part_size, self.part_size);
        let from = taken.first_gap(ByteRange::new(part.start, missing.start + 1))?;
        let start = if from.end > missing.start { from.start } else { missing.start };
        taken.first_gap(ByteRange::new(start, part.end))
    }

    /// What was claimed is no longer being fetched.
    pub(super) fn release(&mut self, range: ByteRange) {
        self.claimed.remove(range);
    }

    /// Nothing is being fetched any more.
    pub(super) fn release_all(&mut self) {
        self.claimed.clear();
    }

    /// Claims `range`, which is being fetched already.
    pub(super) fn claim_range(&mut self, range: ByteRange) {
        self.claimed.insert(range);
    }

    /// These bytes are here now. Returns the grains that became whole by them.
    pub(super) fn write(&mut self, range: ByteRange) -> Vec<usize> {
        let touched = range.start / self.grain..range.end.div_ceil(self.grain);
        let open: Vec<u64> = touched.filter(|index| !self.written.covers(self.nth(*index, self.grain))).collect();
        self.written.insert(range);
        let whole = open.into_iter().filter(|index| self.written.covers(self.nth(*index, self.grain)));
        // A file with more grains than a usize counts does not fit this machine.
        whole.filter_map(|index| usize::try_from(index).ok()).collect()
    }

    /// One of the runs of `length` bytes that the blob is made of.
    fn nth(&self, index: u64, length: u64) -> ByteRange {
        let start = index.saturating_mul(length).min(self.size);
        ByteRange::new(start, start.saturating_add(length).min(self.size))
    }

    /// A block that is here and not proven yet; those that readers wait for first.
    pub(super) fn unproven_block(&self) -> Option<usize> {
        let list = self.blocks.as_ref()?;
        let here = |index: &usize| self.written.covers(list.range(*index));
        let wanted = self.wants.values().filter_map(|range| {
            let gap = self.proven.first_gap(range.intersect(&ByteRange::whole(self.size)))?;
            usize::try_from(gap.start / list.block_size()).ok()
        });
        // In each run that is here the first block that is not proven: if that one is not here as a whole, none of the
        // run is.
        let rest = self.written.runs().filter_map(|run| {
            let first_whole = run.start.div_ceil(list.block_size()).saturating_mul(list.block_size());
            let gap = self.proven.first_gap(ByteRange::new(first_whole, run.end))?;
            usize::try_from(gap.start / list.block_size()).ok()
        });
        wanted.chain(rest).find(here)
    }

    /// A block was hashed: it is proven, or else its bytes are not here after all.
    pub(super) fn judge_block(&mut self, index: usize, right: bool) {
        let Some(range) = self.blocks.as_ref().map(|list| list.range(index)) else { return };
        if right {
            self.proven.insert(range);
        } else {
            self.written.remove(range);
        }
    }

    /// Throws away every byte that no block list has proven (`all`: those too), because of `fault`, and begins a new
    /// generation.
    pub(super) fn reset(&mut self, all: bool, fault: ReadError) {
        self.generation += 1;
        self.fault = Some(fault);
        if all {
            self.proven.clear();
        }
        self.written = self.proven.clone();
        self.claimed.clear();
    }

    /// What may be given to a reader that asked for bytes up to `end` and has come to `offset`.
    pub(super) fn grant(&self, offset: u64, end: u64, tail: u64, whole_only: bool) -> Grant {
        if whole_only {
            return Grant::Wait;
        }
        let proven = self.proven.run_from(offset).min(end);
        if proven > offset {
            return Grant::Proven(ByteRange::new(offset, proven));
        }
        if self.blocks.is_some() {
            return Grant::Wait;
        }
        let here = self.written.run_from(offset).min(end.saturating_sub(tail));
        if here > offset { Grant::Unproven(ByteRange::new(offset, here), self.generation) } else { Grant::Wait }
    }
}

#[cfg(test)]
mod tests;
