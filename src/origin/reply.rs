//! What the head of a reply promises, checked against what was asked. Pure: headers in, a promise or a fault out.

use std::time::SystemTime;

use http::StatusCode;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LAST_MODIFIED,
};

use super::Validator;
use crate::asset::ByteRange;

/// What was asked of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The range; none: the whole object.
    pub(super) range: Option<ByteRange>,
    /// The state that the object must be in.
    pub(super) expect: Option<&'a Validator>,
    /// The state in which it is not wanted again.
    pub(super) unless: Option<&'a Validator>,
    /// `Content-Encoding` is taken for a note of whoever stored the object. An S3 store returns the bytes as stored and
    /// encodes nothing on the way, whatever that note says; of a web server it means that these are other bytes.
    pub(super) stored_encoding: bool,
}

/// What a good head promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) range: ByteRange,
    pub(super) total: u64,
    pub(super) validator: Option<Validator>,
    pub(super) last_modified: Option<SystemTime>,
    pub(super) ignored_range: bool,
}

/// Why a head is not to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is of another object than the one that was begun.
    Changed,
    /// It does not fit what was asked: why, as the end of a sentence.
    Bad(String),
}

impl Asked<'_> {
    /// The range to send, which holds at least one byte: RFC 9110 14.1.2 cannot write an empty one.
    pub(super) fn on_the_wire(&self) -> Option<ByteRange> {
        self.range.map(|range| ByteRange::new(range.start, range.end.max(range.start.saturating_add(1))))
    }
}

/// Checks the head of a 200, 206 or 416. `stated_size` is the length that an S3 error document names, if one came with a 416.
pub(super) fn check(
    asked: &Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    stated_size: Option<u64>,
) -> Result<Head, Fault> {
    let (range, total) = match (status, asked.on_the_wire()) {
        (StatusCode::OK, _) => {
            let total =
                content_length(headers)?.ok_or_else(|| bad("it does not say its length (no Content-Length)"))?;
            (ByteRange::whole(total), total)
        }
        (StatusCode::PARTIAL_CONTENT, Some(wire)) => {
            let (sent, total) = partial(headers, wire)?;
            // Differs from what was sent only for an asked range of no bytes.
            (asked.range.unwrap_or(sent).intersect(&sent), total)
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(wire)) => {
            let total = unsatisfiable(headers, wire, stated_size)?;
            (ByteRange::new(total, total), total)
        }
        (status, None) => return Err(Fault::Bad(format!("it answered {} though no range was asked", status.as_u16()))),
        (status, Some(_)) => return Err(Fault::Bad(format!("it answered {}", status.as_u16()))),
    };
    if status != StatusCode::RANGE_NOT_SATISFIABLE {
        check_encoding(asked, headers)?;
    }
    let validator = Validator::of_head(headers, total);
    if asked.expect.is_some() && asked.expect != validator.as_ref() {
        return Err(Fault::Changed);
    }
    let last_modified =
        headers.get(LAST_MODIFIED).and_then(|v| v.to_str().ok()).and_then(|v| httpdate::parse_http_date(v).ok());
    let ignored_range = status == StatusCode::OK && asked.range.is_some();
    Ok(Head { range, total, validator, last_modified, ignored_range })
}

/// The range and the total of a 206 that was asked for `wire` (RFC 9110 15.3.7).
fn partial(headers: &HeaderMap, wire: ByteRange) -> Result<(ByteRange, u64), Fault> {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.get(..21).is_some_and(|start| start.eq_ignore_ascii_case("multipart/byteranges;"))
        || kind.eq_ignore_ascii_case("multipart/byteranges")
    {
        return Err(bad("it sent multipart/byteranges though one range was asked"));
    }
    let text = single(headers, &CONTENT_RANGE)?.ok_or_else(|| bad("it answered 206 without Content-Range"))?;
    let unfit = || Fault::Bad(format!("its Content-Range {text:?} does not fit the asked bytes {wire}"));
    let Some(ContentRange::Sent { first, last, total }) = ContentRange::parse(text) else { return Err(unfit()) };
    let sent = ByteRange::new(first, last.saturating_add(1));
    if sent != wire.intersect(&ByteRange::whole(total)) || sent.is_empty() {
        return Err(unfit());
    }
    match content_length(headers)? {
        Some(length) if length != sent.len() => {
            Err(Fault::Bad(format!("its Content-Length {length} contradicts its Content-Range {text:?}")))
        }
        _ => Ok((sent, total)),
    }
}

/// The total of a 416 that was asked for `wire` (RFC 9110 15.5.17).
fn unsatisfiable(headers: &HeaderMap, wire: ByteRange, stated_size: Option<u64>) -> Result<u64, Fault> {
    let total = match single(headers, &CONTENT_RANGE)? {
        Some(text) => match ContentRange::parse(text) {
            Some(ContentRange::Unsatisfied { total }) => Some(total),
            _ => return Err(Fault::Bad(format!("it answered 416 with the Content-Range {text:?}"))),
        },
        None => stated_size,
    };
    match total {
        Some(total) if wire.start >= total => Ok(total),
        Some(total) => Err(Fault::Bad(format!("it answered 416 to the bytes {wire} of its {total}"))),
        // Only the empty object has no byte 0.
        None if wire.start == 0 => Ok(0),
        None => Err(Fault::Bad(format!("it answered 416 to the bytes {wire} without saying its length"))),
    }
}

/// A `Content-Range` in bytes (RFC 9110 14.4) whose total is known.
enum ContentRange {
    Sent { first: u64, last: u64, total: u64 },
    Unsatisfied { total: u64 },
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.split_once(' ')?;
        let (span, total) = rest.split_once('/')?;
        let total = number(total)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            None
        } else if span == "*" {
            Some(Self::Unsatisfied { total })
        } else {
            let (first, last) = span.split_once('-')?;
            Some(Self::Sent { first: number(first)?, last: number(last)?, total })
        }
    }
}

fn check_encoding(asked: &Asked<'_>, headers: &HeaderMap) -> Result<(), Fault> {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|value| !asked.stored_encoding && !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    match encoded {
        None => Ok(()),
        Some(value) => Err(Fault::Bad(format!("it encoded the bytes (Content-Encoding {value:?}) though unasked"))),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(text) = single(headers, &CONTENT_LENGTH)? else { return Ok(None) };
    number(text).map(Some).ok_or_else(|| Fault::Bad(format!("its Content-Length {text:?} is no number")))
}

/// The only value of a header field, `None` where there is none.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| Fault::Bad(format!("its {name} is not text: {value:?}")))
        }
        (Some(_), Some(_)) => Err(Fault::Bad(format!("it has more than one {name}"))),
    }
}

/// Digits alone: `str::parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn bad(reason: &str) -> Fault {
    Fault::Bad(reason.to_owned())
}

#[cfg(test)]
mod tests;
