//! The head of a reply, checked against its request. Pure: headers in, a head or an error out.

use std::time::SystemTime;

use http::StatusCode;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, LAST_MODIFIED,
};

use super::request::Request;
use super::validator::Validator;
use crate::asset::ByteRange;

/// The head of a valid reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The range in the body. Its end is `u64::MAX` if it is not known.
    pub(super) range: ByteRange,
    /// The object's length. `None` if the reply does not say.
    pub(super) total: Option<u64>,
    pub(super) validator: Option<Validator>,
    pub(super) last_modified: Option<SystemTime>,
    /// The whole object is sent although a range was requested.
    pub(super) ignored_range: bool,
}

/// Why a head is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadError {
    /// The object has another validator than was required: this one.
    Changed(Option<Validator>),
    /// The head does not match the request. The text completes "… sent an invalid reply:".
    Invalid(String),
}

/// Checks the head of a 200, 206 or 416. `stated_size` is the object's length in the S3 error document of a 416.
pub(super) fn check(
    request: &Request<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    stated_size: Option<u64>,
) -> Result<Head, HeadError> {
    let wire = request.wire_range();
    let (range, total) = match (status, wire) {
        (StatusCode::OK, _) => whole(headers, wire)?,
        (StatusCode::PARTIAL_CONTENT, _) => {
            let (sent, total) = partial(headers, wire.unwrap_or(ByteRange::whole(u64::MAX)))?;
            (
                if request.range.is_some_and(|range| range.is_empty()) {
                    ByteRange::new(sent.start, sent.start)
                } else {
                    sent
                },
                total,
            )
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(wire)) => {
            let total = unsatisfiable(headers, wire, stated_size)?;
            (ByteRange::new(total, total), Some(total))
        }
        (status, None) => {
            return Err(HeadError::Invalid(format!("it answered {} to a request without a range", status.as_u16())));
        }
        (status, Some(_)) => return Err(HeadError::Invalid(format!("it answered {}", status.as_u16()))),
    };
    if status != StatusCode::RANGE_NOT_SATISFIABLE {
        check_encoding(request, headers)?;
    }
    let validator = Validator::from_head(headers, total.unwrap_or_default());
    if request.if_match.is_some() && request.if_match != validator.as_ref() {
        return Err(HeadError::Changed(validator));
    }
    let last_modified =
        headers.get(LAST_MODIFIED).and_then(|v| v.to_str().ok()).and_then(|v| httpdate::parse_http_date(v).ok());
    let is_whole = range.start == 0 && total.is_none_or(|total| range.end == total);
    let wanted = wire.map(|wire| wire.intersect(&ByteRange::whole(total.unwrap_or(u64::MAX))));
    // Some servers send the whole as a 206.
    let ignored_range = match status {
        StatusCode::OK => request.range.is_some(),
        StatusCode::PARTIAL_CONTENT => total.is_some() && is_whole && wanted.is_some_and(|wanted| wanted != range),
        _ => false,
    };
    Ok(Head { range, total, validator, last_modified, ignored_range })
}

/// Returns the range and the total of a 200 to a request for `wire`.
fn whole(headers: &HeaderMap, wire: Option<ByteRange>) -> Result<(ByteRange, Option<u64>), HeadError> {
    let length = content_length(headers)?;
    // Some servers send the requested range and call it 200. A length that is that of the range is not taken for the
    // object's.
    let total = length.filter(|length| wire.is_none_or(|wire| wire.len() != *length));
    Ok((ByteRange::whole(length.unwrap_or(u64::MAX)), total))
}

/// Returns the range and the total of a 206 to a request for `wire` (RFC 9110 15.3.7). The range may be shorter or longer
/// than `wire`, but contains its first byte.
fn partial(headers: &HeaderMap, wire: ByteRange) -> Result<(ByteRange, Option<u64>), HeadError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.get(..21).is_some_and(|start| start.eq_ignore_ascii_case("multipart/byteranges;"))
        || kind.eq_ignore_ascii_case("multipart/byteranges")
    {
        return Err(invalid("it sent multipart/byteranges to a request for one range"));
    }
    let text = single(headers, &CONTENT_RANGE)?.ok_or_else(|| invalid("it answered 206 without Content-Range"))?;
    let mismatch =
        || HeadError::Invalid(format!("its Content-Range {text:?} does not match the requested bytes {wire}"));
    let Some(ContentRange::Sent { first, last, total }) = ContentRange::parse(text) else { return Err(mismatch()) };
    let is_sound = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
    if !is_sound || first > wire.start || last < wire.start {
        return Err(mismatch());
    }
    // A body that is shorter than the range gives its first bytes; one that is longer is cut.
    let length = content_length(headers)?.unwrap_or(u64::MAX).min(last + 1 - first);
    if first + length <= wire.start {
        return Err(HeadError::Invalid(format!("its Content-Length {length} contradicts its Content-Range {text:?}")));
    }
    Ok((ByteRange::new(first, first + length), total))
}

/// Returns the total of a 416 to a request for `wire` (RFC 9110 15.5.17).
fn unsatisfiable(headers: &HeaderMap, wire: ByteRange, stated_size: Option<u64>) -> Result<u64, HeadError> {
    let total = match single(headers, &CONTENT_RANGE)? {
        Some(text) => match ContentRange::parse(text) {
            Some(ContentRange::Unsatisfied { total }) => Some(total),
            _ => return Err(HeadError::Invalid(format!("it answered 416 with the Content-Range {text:?}"))),
        },
        None => stated_size,
    };
    match total {
        Some(total) if wire.start >= total => Ok(total),
        Some(total) => Err(HeadError::Invalid(format!("it answered 416 to bytes {wire} of {total}"))),
        // Only an empty object has no byte 0.
        None if wire.start == 0 => Ok(0),
        None => Err(HeadError::Invalid(format!("it answered 416 to bytes {wire} without the object's length"))),
    }
}

/// A `Content-Range` in bytes (RFC 9110 14.4).
enum ContentRange {
    /// The total is `None` if the server does not know it (`*`).
    Sent {
        first: u64,
        last: u64,
        total: Option<u64>,
    },
    Unsatisfied {
        total: u64,
    },
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.split_once(' ')?;
        let (span, total) = rest.split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            None
        } else if span == "*" {
            Some(Self::Unsatisfied { total: number(total)? })
        } else {
            let (first, last) = span.split_once('-')?;
            let total = if total == "*" { None } else { Some(number(total)?) };
            Some(Self::Sent { first: number(first)?, last: number(last)?, total })
        }
    }
}

fn check_encoding(request: &Request<'_>, headers: &HeaderMap) -> Result<(), HeadError> {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|value| !request.ignores_encoding() && !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    match encoded {
        None => Ok(()),
        Some(value) => {
            Err(HeadError::Invalid(format!("it sent the Content-Encoding {value:?}, which was not requested")))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let Some(text) = single(headers, &CONTENT_LENGTH)? else { return Ok(None) };
    // Two equal fields may arrive as one list (RFC 9112 6.3).
    let mut parts = text.split(',').map(str::trim);
    let first = parts.next().unwrap_or_default();
    parts
        .all(|part| part == first)
        .then(|| number(first))
        .flatten()
        .map(Some)
        .ok_or_else(|| HeadError::Invalid(format!("its Content-Length {text:?} is not a number")))
}

/// Returns the value of a header field, `None` if it is absent. Fails if it is repeated with another value.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, HeadError> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(HeadError::Invalid(format!("it has more than one {name}")));
    }
    first.to_str().map(Some).map_err(|_| HeadError::Invalid(format!("its {name} is not text: {first:?}")))
}

/// Parses digits only: `str::parse` would accept a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn invalid(reason: &str) -> HeadError {
    HeadError::Invalid(reason.to_owned())
}

#[cfg(test)]
mod tests;
