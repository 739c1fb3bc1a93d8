//! How an object is cut into the parts of an upload.

/// The size of the blocks of a block list.
pub(super) const BLOCK: u64 = 4 << 20;

/// The most parts of an upload ("Amazon S3 multipart upload limits").
const MAX_PARTS: u64 = 10_000;

/// The usual size of a part: the least that S3 takes, so that many can be sent at a time from little memory, and little is lost
/// with an interrupted one.
const USUAL: u64 = 5 << 20;

/// Larger parts are multiples of it.
const UNIT: u64 = 1 << 20;

/// The largest part: 5 GiB ("Amazon S3 multipart upload limits").
const LARGEST: u64 = 5 << 30;

/// In a stream of unknown length, the parts up to this number have the usual size (24 GiB in all).
const STEADY: u32 = 5_000;

/// Above [`STEADY`], the parts double after each so many.
const STEP: u32 = 1_000;

/// The sizes of the parts of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    size: u64,
    /// Whether the parts grow, because the length of the object is not known.
    grows: bool,
}

impl PartPlan {
    /// The plan for an object of `length` bytes. `None`: unknown; then parts begin small and grow, up to an object of 327 GiB.
    /// Returns `None` if the object is larger than an upload can be.
    pub fn new(length: Option<u64>) -> Option<Self> {
        let Some(length) = length else { return Some(Self { size: USUAL, grows: true }) };
        let size = length.div_ceil(MAX_PARTS).next_multiple_of(UNIT).max(USUAL);
        (size <= LARGEST).then_some(Self { size, grows: false })
    }

    /// The plan of an upload that was begun with parts of `size` bytes.
    pub fn of_size(size: u64) -> Self {
        Self { size, grows: false }
    }

    /// The size of part `number`, from 1, in bytes; the last one may be shorter. `None` if there can be no such part.
    pub fn part_size(&self, number: u32) -> Option<u64> {
        if u64::from(number) > MAX_PARTS {
            return None;
        }
        let doublings = if self.grows { number.saturating_sub(STEADY).div_ceil(STEP) } else { 0 };
        Some(self.size << doublings)
    }

    /// The size of the first part in bytes.
    pub fn first(&self) -> u64 {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn usual_object_has_small_parts() {
        for length in [0, 1, USUAL, 4 * GIB, USUAL * MAX_PARTS] {
            assert_eq!(PartPlan::new(Some(length)).unwrap().part_size(1), Some(USUAL), "{length}");
        }
    }

    #[test]
    fn large_object_has_larger_parts() {
        let plan = PartPlan::new(Some(USUAL * MAX_PARTS + 1)).unwrap();
        assert_eq!((plan.part_size(1), plan.part_size(10_000)), (Some(USUAL + UNIT), Some(USUAL + UNIT)));
        assert_eq!(PartPlan::new(Some(50_000 * GIB + 1)), None);
    }

    #[test]
    fn unknown_length_makes_parts_grow() {
        let plan = PartPlan::new(None).unwrap();
        let sizes = [1, 5_000, 5_001, 6_000, 6_001, 10_000].map(|number| plan.part_size(number).unwrap() / USUAL);
        assert_eq!(sizes, [1, 1, 2, 2, 4, 32]);
        assert_eq!(plan.part_size(10_001), None);
        let most: u64 = (1..=10_000).map(|number| plan.part_size(number).unwrap()).sum();
        assert_eq!(most / GIB, 327);
    }

    proptest! {
        #[test]
        fn parts_hold_any_object(length in 0..=50_000 * GIB) {
            let size = PartPlan::new(Some(length)).unwrap().first();
            prop_assert!(size * MAX_PARTS >= length && size.is_multiple_of(UNIT));
            prop_assert!(size == USUAL || (size - UNIT) * MAX_PARTS < length, "no larger than needed");
        }
    }
}
