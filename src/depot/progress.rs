//! The progress of one fill: which bytes are written, which are being fetched, which are verified, and which readers wait
//! for which.
//!
//! Pure: no IO and no clock. The fill's tasks and its readers share it under one lock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ReadError;
use super::range_set::RangeSet;
use crate::asset::{BlockList, ByteRange, Verifier};

/// Held back from the end of a requested range until its bytes are verified: 64 KiB, or all of a shorter range. A client
/// that was sent a length cannot mistake a transfer without its end for a complete one.
pub(super) const HELD_TAIL: u64 = 64 << 10;

/// Identifies a reader that waits for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaiterId(u64);

/// Bytes that a reader may send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// These bytes, verified by the block list: they stay valid whatever happens to the fill.
    Verified(ByteRange),
    /// These bytes of this generation, not yet verified.
    Unverified(ByteRange, u64),
    /// Nothing yet.
    Nothing,
}

/// The progress of one fill.
#[derive(Default)]
pub(super) struct FillProgress {
    size: u64,
    /// Bytes of one ranged request.
    part_size: u64,
    /// Bytes of one chunk: the unit in which the partial blob records what is written.
    chunk_size: u64,
    /// How often all unverified bytes were discarded; bytes of an older generation may be wrong.
    generation: u64,
    /// Why the previous generation was discarded.
    fault: Option<ReadError>,
    written: RangeSet,
    /// Bytes that are being written to the partial blob.
    writing: RangeSet,
    claimed: RangeSet,
    verified: RangeSet,
    /// The hash of the longest prefix that was hashed in this generation.
    hashed: Verifier,
    block_list: Option<Arc<BlockList>>,
    waiters: BTreeMap<WaiterId, ByteRange>,
    next_waiter: u64,
    /// The waiter whose bytes were claimed last; the next claim is for the one after it.
    last_served: Option<WaiterId>,
}

impl FillProgress {
    /// Starts with the size of the blob, of its parts and of the partial's chunks, and with the chunks that an earlier run
    /// wrote. State recorded under a different size is discarded.
    pub(super) fn start(
        &mut self,
        size: u64,
        part_size: u64,
        block_list: Option<Arc<BlockList>>,
        (chunk_size, written_chunks): (u64, &[bool]),
    ) {
        (self.size, self.part_size, self.chunk_size) = (size, part_size.max(1), chunk_size.max(1));
        (self.written, self.writing, self.claimed, self.verified, self.hashed) = Default::default();
        self.block_list = block_list.filter(|list| list.size() == size);
        for (index, _) in written_chunks.iter().enumerate().filter(|(_, written)| **written) {
            self.written.insert(self.nth_range(index as u64, self.chunk_size));
        }
    }

    /// The generation of the written bytes.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Why bytes of `generation` were discarded; `None` if it is the current one.
    pub(super) fn fault_since(&self, generation: u64) -> Option<ReadError> {
        self.fault.clone().filter(|_| generation != self.generation)
    }

    /// The block list, if the asset has one.
    pub(super) fn block_list(&self) -> Option<&Arc<BlockList>> {
        self.block_list.as_ref()
    }

    /// The runs of `range` that are not written.
    pub(super) fn missing(&self, range: ByteRange) -> Vec<ByteRange> {
        gaps(&self.written, range)
    }

    /// How many bytes are written.
    pub(super) fn written(&self) -> u64 {
        self.written.total()
    }

    /// Whether every byte is written and, with a block list, every block is verified.
    pub(super) fn is_complete(&self) -> bool {
        let whole = ByteRange::whole(self.size);
        if self.block_list.is_some() { self.verified.covers(whole) } else { self.written.covers(whole) }
    }

    /// The end of the prefix that may be hashed: its bytes will not be replaced within this generation.
    pub(super) fn stable_prefix(&self) -> u64 {
        if self.block_list.is_some() { self.verified.run_from(0) } else { self.written.run_from(0) }
    }

    /// Records the hash of a prefix of the bytes of `generation`.
    pub(super) fn set_hashed(&mut self, prefix: &Verifier, generation: u64) {
        if generation == self.generation && prefix.length() > self.hashed.length() {
            self.hashed = prefix.clone();
        }
    }

    /// The hash of the longest prefix that was hashed.
    pub(super) fn hashed(&self) -> &Verifier {
        &self.hashed
    }

    /// Adds a reader that waits for `range`.
    pub(super) fn add_waiter(&mut self, range: ByteRange) -> WaiterId {
        let id = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        self.waiters.insert(id, range);
        id
    }

    /// Records that a reader has reached `offset`.
    pub(super) fn advance_waiter(&mut self, id: WaiterId, offset: u64) {
        if let Some(range) = self.waiters.get_mut(&id) {
            *range = ByteRange::new(offset, range.end.max(offset));
        }
    }

    /// Removes a reader.
    pub(super) fn remove_waiter(&mut self, id: WaiterId) {
        self.waiters.remove(&id);
    }

    /// Claims the next bytes to fetch, at most one part: first what readers wait for, each reader in turn, then the rest in
    /// order. The bytes stay claimed until [`FillProgress::release`]. Returns `None` if nothing is left to claim.
    pub(super) fn claim(&mut self) -> Option<ByteRange> {
        let taken = self.written.union(&self.writing).union(&self.claimed);
        let after = |id: &WaiterId| self.last_served.is_none_or(|served| *id > served);
        let mut in_turn =
            self.waiters.iter().filter(|(id, _)| after(id)).chain(self.waiters.iter().filter(|(id, _)| !after(id)));
        let awaited = in_turn.find_map(|(id, range)| Some((*id, self.gap(&taken, *range)?)));
        let range = match awaited {
            Some((id, range)) => {
                self.last_served = Some(id);
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
        // Requests start at the start of a part if that is missing too, so that they cover whole parts.
        let part = self.nth_range(missing.start / self.part_size, self.part_size);
        let from = taken.first_gap(ByteRange::new(part.start, missing.start + 1))?;
        let start = if from.end > missing.start { from.start } else { missing.start };
        taken.first_gap(ByteRange::new(start, part.end))
    }

    /// Releases a claim.
    pub(super) fn release(&mut self, range: ByteRange) {
        self.claimed.remove(range);
    }

    /// Claims `range`, which is being fetched already.
    pub(super) fn claim_range(&mut self, range: ByteRange) {
        self.claimed.insert(range);
    }

    /// Reserves the bytes of `range` that are neither written nor being written, for a write. Two connections may bring the
    /// same bytes; those that are written may be hashed already and are never replaced.
    pub(super) fn reserve_write(&mut self, range: ByteRange) -> Vec<ByteRange> {
        let taken = self.written.union(&self.writing);
        let gaps = gaps(&taken, range);
        for gap in &gaps {
            self.writing.insert(*gap);
        }
        gaps
    }

    /// Records that these bytes are written. Returns the chunks that are now complete.
    pub(super) fn write(&mut self, range: ByteRange) -> Vec<usize> {
        let touched = range.start / self.chunk_size..range.end.div_ceil(self.chunk_size);
        let incomplete: Vec<u64> =
            touched.filter(|index| !self.written.covers(self.nth_range(*index, self.chunk_size))).collect();
        self.written.insert(range);
        self.writing.remove(range);
        let complete =
            incomplete.into_iter().filter(|index| self.written.covers(self.nth_range(*index, self.chunk_size)));
        // A file with more chunks than a usize counts does not fit this machine.
        complete.filter_map(|index| usize::try_from(index).ok()).collect()
    }

    /// The `index`th run of `length` bytes of the blob.
    fn nth_range(&self, index: u64, length: u64) -> ByteRange {
        let start = index.saturating_mul(length).min(self.size);
        ByteRange::new(start, start.saturating_add(length).min(self.size))
    }

    /// A block that is written but not verified; first those that readers wait for.
    pub(super) fn next_unverified_block(&self) -> Option<usize> {
        let list = self.block_list.as_ref()?;
        let is_written = |index: &usize| self.written.covers(list.range(*index));
        let awaited = self.waiters.values().filter_map(|range| {
            let gap = self.verified.first_gap(range.intersect(&ByteRange::whole(self.size)))?;
            usize::try_from(gap.start / list.block_size()).ok()
        });
        // In each written run, the first unverified block: if that one is not written as a whole, no block of the run is.
        let rest = self.written.runs().filter_map(|run| {
            let first_whole = run.start.div_ceil(list.block_size()).saturating_mul(list.block_size());
            let gap = self.verified.first_gap(ByteRange::new(first_whole, run.end))?;
            usize::try_from(gap.start / list.block_size()).ok()
        });
        awaited.chain(rest).find(is_written)
    }

    /// Records the result of hashing a block: a valid block is verified, the bytes of an invalid one are missing again.
    pub(super) fn record_block(&mut self, index: usize, valid: bool) {
        let Some(range) = self.block_list.as_ref().map(|list| list.range(index)) else { return };
        if valid {
            self.verified.insert(range);
        } else {
            self.written.remove(range);
        }
    }

    /// Discards every unverified byte because of `fault`, with `discard_verified` the verified ones too, and starts a new
    /// generation.
    pub(super) fn reset(&mut self, discard_verified: bool, fault: ReadError) {
        self.generation += 1;
        self.fault = Some(fault);
        if discard_verified {
            self.verified.clear();
        }
        self.written = self.verified.clone();
        self.hashed = Verifier::new();
        self.writing.clear();
        self.claimed.clear();
    }

    /// The bytes for a reader that requested `range` and has reached `offset`. `tail` bytes before its end are held back until
    /// they are verified; with `whole_only`, all bytes are.
    ///
    /// A reader that begins in the hashed prefix gets hashed bytes only: if the disk fails, that hash proves what was sent.
    pub(super) fn readable(&self, range: ByteRange, offset: u64, tail: u64, whole_only: bool) -> Readable {
        let end = range.end;
        if whole_only {
            return Readable::Nothing;
        }
        let verified = self.verified.run_from(offset).min(end);
        if verified > offset {
            return Readable::Verified(ByteRange::new(offset, verified));
        }
        if self.block_list.is_some() {
            return Readable::Nothing;
        }
        let hashed = self.hashed.length();
        let limit = if range.start <= hashed { hashed } else { u64::MAX };
        let written = self.written.run_from(offset).min(end.saturating_sub(tail)).min(limit);
        if written > offset {
            Readable::Unverified(ByteRange::new(offset, written), self.generation)
        } else {
            Readable::Nothing
        }
    }
}

/// The runs of `range` that are not in `set`.
fn gaps(set: &RangeSet, range: ByteRange) -> Vec<ByteRange> {
    let mut gaps = Vec::new();
    let mut rest = range;
    while let Some(gap) = set.first_gap(rest) {
        rest = ByteRange::new(gap.end, range.end);
        gaps.push(gap);
    }
    gaps
}

#[cfg(test)]
mod tests;
