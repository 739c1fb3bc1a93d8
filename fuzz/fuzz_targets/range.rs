//! Fuzzes the `Range` parser: the selected parts lie within the asset and do not overlap.
#![no_main]

use bootdepot::http::range::{MAX_RANGES, RangeSelection, select};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, field) = input;
    let parts = match select(field, size) {
        RangeSelection::One(part) => vec![part],
        RangeSelection::Many(parts) => parts,
        RangeSelection::Whole | RangeSelection::Unsatisfiable => return,
    };
    assert!(parts.len() <= MAX_RANGES);
    for (index, part) in parts.iter().enumerate() {
        assert!(!part.is_empty() && part.end <= size, "{part} of {size}");
        assert!(parts[..index].iter().all(|earlier| earlier.intersect(part).is_empty()), "{parts:?}");
    }
});
