//! A set of byte offsets, stored as ranges that neither overlap nor touch.

use std::collections::BTreeMap;

use crate::asset::ByteRange;

/// A set of byte offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// Start to end of each range.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds the bytes of `range`.
    pub(super) fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Every range that overlaps or touches the new one begins at or before its end; the last such may begin first.
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back() {
            if to < start {
                break;
            }
            self.ranges.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
    }

    /// Removes the bytes of `range`.
    pub(super) fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        while let Some((&from, &to)) = self.ranges.range(..range.end).next_back() {
            if to <= range.start {
                break;
            }
            self.ranges.remove(&from);
            if to > range.end {
                self.ranges.insert(range.end, to);
            }
            if from < range.start {
                self.ranges.insert(from, range.start);
            }
        }
    }

    /// Removes all bytes.
    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The end of the contiguous run of bytes that starts at `offset`; `offset` itself if that byte is not in the set.
    pub(super) fn run_from(&self, offset: u64) -> u64 {
        match self.ranges.range(..=offset).next_back() {
            Some((_, &to)) if to > offset => to,
            _ => offset,
        }
    }

    /// Whether all bytes of `range` are in the set.
    pub(super) fn covers(&self, range: ByteRange) -> bool {
        range.is_empty() || self.run_from(range.start) >= range.end
    }

    /// The first run of bytes within `range` that are not in the set.
    pub(super) fn first_gap(&self, range: ByteRange) -> Option<ByteRange> {
        let start = self.run_from(range.start);
        if start >= range.end {
            return None;
        }
        let end = self.ranges.range(start..range.end).next().map_or(range.end, |(&from, _)| from);
        Some(ByteRange::new(start, end))
    }

    /// The runs of bytes, in order.
    pub(super) fn runs(&self) -> impl Iterator<Item = ByteRange> {
        self.ranges.iter().map(|(&from, &to)| ByteRange::new(from, to))
    }

    /// How many bytes are in the set.
    pub(super) fn total(&self) -> u64 {
        self.ranges.iter().map(|(from, to)| to - from).sum()
    }

    /// The union of both sets.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (&from, &to) in &other.ranges {
            both.insert(ByteRange::new(from, to));
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 40;

    /// The same set as a flag for each byte.
    fn naive(set: &RangeSet) -> Vec<bool> {
        (0..SPAN).map(|at| set.covers(ByteRange::new(at, at + 1))).collect()
    }

    proptest! {
        #[test]
        fn range_set_matches_byte_model(
            steps in proptest::collection::vec((any::<bool>(), 0..SPAN, 0..SPAN), 0..30),
            (from, to) in (0..SPAN, 0..SPAN),
        ) {
            let (mut set, mut model) = (RangeSet::default(), vec![false; usize::try_from(SPAN).unwrap()]);
            for (add, from, to) in steps {
                let range = ByteRange::new(from, to);
                if add { set.insert(range) } else { set.remove(range) }
                for at in range.start..range.end {
                    model[usize::try_from(at).unwrap()] = add;
                }
            }
            prop_assert_eq!(naive(&set), model.clone());
            prop_assert_eq!(set.total(), model.iter().filter(|b| **b).count() as u64);
            let ends: Vec<_> = set.ranges.iter().collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges neither overlap nor touch");

            let asked = ByteRange::new(from, to);
            let missing: Vec<u64> = (asked.start..asked.end).filter(|at| !model[usize::try_from(*at).unwrap()]).collect();
            let gap = set.first_gap(asked);
            prop_assert_eq!(gap.map(|g| g.start), missing.first().copied());
            if let Some(gap) = gap {
                prop_assert!((gap.start..gap.end).all(|at| missing.contains(&at)));
                prop_assert!(gap.end == asked.end || !missing.contains(&gap.end));
            }
            let run = (from..SPAN).take_while(|at| model[usize::try_from(*at).unwrap()]).count() as u64;
            prop_assert_eq!(set.run_from(from), from + run);
        }
    }
}
