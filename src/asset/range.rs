//! Half-open ranges of bytes.

use std::fmt;

/// The bytes from `start` up to, but not including, `end`.
///
/// ```
/// use bootdepot::asset::ByteRange;
///
/// let head = ByteRange::new(0, 1000);
/// let common = head.intersect(&ByteRange::new(900, 5000));
/// assert_eq!((common.len(), common.to_string().as_str()), (100, "900-999"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteRange {
    /// The offset of the first byte.
    pub start: u64,
    /// One past the offset of the last byte; never less than `start`.
    pub end: u64,
}

impl ByteRange {
    /// The range from `start` up to `end`. Empty if `end` is less than `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// All bytes of something with `size` bytes.
    pub const fn whole(size: u64) -> Self {
        Self { start: 0, end: size }
    }

    /// The number of bytes.
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether it has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes that are in both. Empty if they do not overlap.
    #[must_use]
    pub const fn intersect(&self, other: &Self) -> Self {
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end < other.end { self.end } else { other.end };
        Self::new(start, end)
    }
}

impl fmt::Display for ByteRange {
    /// As in RFC 9110 14.1.2: the first and the last byte, both included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { write!(f, "{}-(empty)", self.start) } else { write!(f, "{}-{}", self.start, self.end - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn display_includes_last_byte() {
        assert_eq!(ByteRange::new(0, 512).to_string(), "0-511");
        assert_eq!(ByteRange::new(7, 7).to_string(), "7-(empty)");
    }

    proptest! {
        #[test]
        fn intersection_has_common_bytes(a in 0u64..50, b in 0u64..50, c in 0u64..50, d in 0u64..50, at in 0u64..50) {
            let (left, right) = (ByteRange::new(a, b), ByteRange::new(c, d));
            let both = left.intersect(&right);
            let within = |r: &ByteRange| r.start <= at && at < r.end;
            prop_assert_eq!(within(&both), within(&left) && within(&right));
            prop_assert!(both.start <= both.end);
        }
    }
}
