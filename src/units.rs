//! Amounts with their units, as people read them: bytes, counts, spans of time.

use std::fmt;

use jiff::SignedDuration;

/// A time span in its largest unit: `4 min`.
pub(crate) fn span(span: SignedDuration) -> String {
    match span.as_secs() {
        seconds @ ..60 => format!("{} s", seconds.max(0)),
        seconds @ ..3_600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A number of bytes: `512 B`, `48.2 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        // Truncated, not rounded: never more than there is.
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A number with its noun: `1 asset`, `3 assets`.
pub(crate) fn count<N: fmt::Display + PartialEq + From<u8> + Copy>(number: N, noun: &str) -> String {
    if number == N::from(1) { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// How one clock compares to another: `3 min ahead of`; `the same as` below one second.
pub(crate) fn spread(ahead: SignedDuration) -> String {
    match ahead.as_secs() {
        0 => "the same as".to_owned(),
        1.. => format!("{} ahead of", span(ahead)),
        _ => format!("{} behind", span(ahead.abs())),
    }
}
