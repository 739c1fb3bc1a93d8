//! The `Range` field (RFC 9110 14): what a request asks for, and which bytes of an asset answer it. Pure; it knows
//! neither requests nor bodies.

use crate::asset::ByteRange;

/// The most ranges that one request is served; a request for more gets the whole asset. The contract's number, against
/// answers that are mostly part headers.
pub const MAX_RANGES: usize = 16;

/// Which bytes of an asset answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them, as if no range had been asked: 200.
    Whole,
    /// One part: 206 with `Content-Range`.
    One(ByteRange),
    /// Two or more parts, none of which share a byte: 206 with `multipart/byteranges`.
    Many(Vec<ByteRange>),
    /// None of what was asked for exists: 416.
    Unsatisfiable,
}

/// One asked-for range, before the asset's size is known (RFC 9110 14.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// From the first offset to the last, both included; without a last, to the end.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Suffix(u64),
}

/// Chooses the bytes that answer a request whose `Range` field is `field`, of an asset of `size` bytes.
///
/// A field that is malformed, of another unit, or asks for more than [`MAX_RANGES`] is ignored, as RFC 9110 14.2 lets a
/// server do: firmware does send `bytes=u-u`. Ranges that share bytes become one (RFC 9110 15.3.7.2), so that no
/// request is answered with more than the asset; the others are served in the order they were asked in.
pub fn select(field: &[u8], size: u64) -> Selection {
    let Some(specs) = parse(field) else { return Selection::Whole };
    if specs.len() > MAX_RANGES {
        return Selection::Whole;
    }
    if size == 0 && specs.iter().any(|spec| matches!(spec, Spec::Suffix(1..))) {
        // Satisfiable by RFC 9110 14.1.2, but `Content-Range` cannot name a part of nothing.
        return Selection::Whole;
    }
    let mut parts = Vec::with_capacity(specs.len());
    for spec in specs {
        if let Some(range) = spec.of(size) {
            add(&mut parts, range);
        }
    }
    match parts.as_slice() {
        [] => Selection::Unsatisfiable,
        [only] => Selection::One(*only),
        _ => Selection::Many(parts),
    }
}

/// The ranges that `field` asks for; `None` where it is to be ignored. Never empty.
fn parse(field: &[u8]) -> Option<Vec<Spec>> {
    let field = std::str::from_utf8(field).ok()?;
    let (unit, set) = field.trim_matches(OWS).split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::with_capacity(1);
    // RFC 9110 5.6.1.2: empty elements of a list are passed over.
    for spec in set.split(',').map(|spec| spec.trim_matches(OWS)).filter(|spec| !spec.is_empty()) {
        specs.push(Spec::parse(spec)?);
    }
    if specs.is_empty() { None } else { Some(specs) }
}

/// Optional white space (RFC 9110 5.6.3).
const OWS: [char; 2] = [' ', '\t'];

impl Spec {
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

    /// The bytes it means of an asset of `size` bytes; `None` if there are none.
    fn of(self, size: u64) -> Option<ByteRange> {
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

/// A number of any length: what does not fit is as good as the largest that does (RFC 9110 14.1.1 warns of overflows).
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Adds `range` to `parts`, becoming one with those that it shares bytes with, at the place of the first of them.
fn add(parts: &mut Vec<ByteRange>, range: ByteRange) {
    let meets = |a: &ByteRange, b: &ByteRange| !a.intersect(b).is_empty();
    let Some(at) = parts.iter().position(|part| meets(part, &range)) else {
        parts.push(range);
        return;
    };
    let mut merged = range;
    // The parts share no byte among themselves, so one pass finds all that the new range joins.
    parts.retain(|part| {
        let joins = meets(part, &range);
        if joins {
            merged = ByteRange::new(merged.start.min(part.start), merged.end.max(part.end));
        }
        !joins
    });
    parts.insert(at, merged);
}

#[cfg(test)]
mod tests;
