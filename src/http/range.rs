//! The `Range` field (RFC 9110 14): parses it and selects the bytes of an asset that answer it. Pure; it knows neither
//! requests nor bodies.

use crate::asset::ByteRange;

/// The most ranges that one response has; a request with more gets the whole asset. The limit, which the contract fixes,
/// prevents responses that consist mostly of part headers.
pub const MAX_RANGES: usize = 16;

/// The bytes of an asset that answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeSelection {
    /// The whole asset, as without a `Range` field: 200.
    Whole,
    /// One part: 206 with `Content-Range`.
    One(ByteRange),
    /// Two or more disjoint parts: 206 with `multipart/byteranges`.
    Many(Vec<ByteRange>),
    /// No requested byte exists: 416.
    Unsatisfiable,
}

/// One requested range, not yet resolved against the asset's size (RFC 9110 14.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeSpec {
    /// From the first offset to the last, both inclusive; `None`: to the end.
    From(u64, Option<u64>),
    /// The last bytes, as many as given.
    Suffix(u64),
}

/// Selects the bytes of an asset of `size` bytes that answer a request with the `Range` field `field`.
///
/// A field that is malformed, has another unit, or lists more than [`MAX_RANGES`] ranges is ignored, as RFC 9110 14.2
/// permits: some firmware sends `bytes=u-u`. Overlapping ranges are merged (RFC 9110 15.3.7.2), so that no response is
/// larger than the asset; the others keep the order of the request.
pub fn select(field: &[u8], size: u64) -> RangeSelection {
    let Some(specs) = parse(field) else { return RangeSelection::Whole };
    if specs.len() > MAX_RANGES {
        return RangeSelection::Whole;
    }
    if size == 0 && specs.iter().any(|spec| matches!(spec, RangeSpec::Suffix(1..))) {
        // Satisfiable by RFC 9110 14.1.2, but `Content-Range` cannot describe a part of an empty asset.
        return RangeSelection::Whole;
    }
    let mut parts = Vec::with_capacity(specs.len());
    for spec in specs {
        if let Some(range) = spec.resolve(size) {
            add(&mut parts, range);
        }
    }
    match parts.as_slice() {
        [] => RangeSelection::Unsatisfiable,
        [only] => RangeSelection::One(*only),
        _ => RangeSelection::Many(parts),
    }
}

/// Returns the ranges that `field` lists, at least one; `None` if the field is to be ignored.
fn parse(field: &[u8]) -> Option<Vec<RangeSpec>> {
    let field = std::str::from_utf8(field).ok()?;
    let (unit, set) = field.trim_matches(OWS).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::with_capacity(1);
    // RFC 9110 5.6.1.2: empty list elements are ignored.
    for spec in set.split(',').map(|spec| spec.trim_matches(OWS)).filter(|spec| !spec.is_empty()) {
        specs.push(RangeSpec::parse(spec)?);
    }
    if specs.is_empty() { None } else { Some(specs) }
}

/// Optional white space (RFC 9110 5.6.3).
const OWS: [char; 2] = [' ', '\t'];

impl RangeSpec {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        if last.is_empty() {
            return Some(Self::From(first, None));
        }
        let last = number(last)?;
        if last < first { None } else { Some(Self::From(first, Some(last))) }
    }

    /// Returns the bytes of an asset of `size` bytes that it selects; `None` if there are none.
    fn resolve(self, size: u64) -> Option<ByteRange> {
        let range = match self {
            Self::From(first, last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                ByteRange::new(first.min(size), end)
            }
            Self::Suffix(length) => ByteRange::new(size.saturating_sub(length), size),
        };
        if range.is_empty() { None } else { Some(range) }
    }
}

/// Parses a number of any length; saturates at the largest `u64` (RFC 9110 14.1.1 warns of overflows).
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Adds `range` to `parts`; merges it with all parts that it overlaps, at the position of the first of them.
fn add(parts: &mut Vec<ByteRange>, range: ByteRange) {
    let overlaps = |a: &ByteRange, b: &ByteRange| !a.intersect(b).is_empty();
    let Some(at) = parts.iter().position(|part| overlaps(part, &range)) else {
        parts.push(range);
        return;
    };
    let mut merged = range;
    // The parts are disjoint, so that one pass finds all that the new range overlaps.
    parts.retain(|part| {
        let joins = overlaps(part, &range);
        if joins {
            merged = ByteRange::new(merged.start.min(part.start), merged.end.max(part.end));
        }
        !joins
    });
    parts.insert(at, merged);
}

#[cfg(test)]
mod tests;
