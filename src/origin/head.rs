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
    /// The range in the body.
    pub(super) range: ByteRange,
    /// The object's length.
    pub(super) total: u64,
    pub(super) validator: Option<Validator>,
    pub(super) last_modified: Option<SystemTime>,
    /// The whole object is sent although a range was requested.
    pub(super) ignored_range: bool,
}

/// Why a head is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeadError {
    /// The object has changed since the read began.
    Changed,
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
    let (range, total) = match (status, request.wire_range()) {
        (StatusCode::OK, _) => {
            let total = content_length(headers)?.ok_or_else(|| invalid("it has no Content-Length"))?;
            (ByteRange::whole(total), total)
        }
        (StatusCode::PARTIAL_CONTENT, Some(wire)) => {
            let (sent, total) = partial(headers, wire)?;
            // They differ only if the requested range is empty.
            (request.range.unwrap_or(sent).intersect(&sent), total)
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(wire)) => {
            let total = unsatisfiable(headers, wire, stated_size)?;
            (ByteRange::new(total, total), total)
        }
        (status, None) => {
            return Err(HeadError::Invalid(format!("it answered {} to a request without a range", status.as_u16())));
        }
        (status, Some(_)) => return Err(HeadError::Invalid(format!("it answered {}", status.as_u16()))),
    };
    if status != StatusCode::RANGE_NOT_SATISFIABLE {
        check_encoding(request, headers)?;
    }
    let validator = Validator::from_head(headers, total);
    if request.if_match.is_some() && request.if_match != validator.as_ref() {
        return Err(HeadError::Changed);
    }
    let last_modified =
        headers.get(LAST_MODIFIED).and_then(|v| v.to_str().ok()).and_then(|v| httpdate::parse_http_date(v).ok());
    let ignored_range = status == StatusCode::OK && request.range.is_some();
    Ok(Head { range, total, validator, last_modified, ignored_range })
}

/// Returns the range and the total of a 206 to a request for `wire` (RFC 9110 15.3.7).
fn partial(headers: &HeaderMap, wire: ByteRange) -> Result<(ByteRange, u64), HeadError> {
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
    let sent = ByteRange::new(first, last.saturating_add(1));
    if sent != wire.intersect(&ByteRange::whole(total)) || sent.is_empty() {
        return Err(mismatch());
    }
    match content_length(headers)? {
        Some(length) if length != sent.len() => {
            Err(HeadError::Invalid(format!("its Content-Length {length} contradicts its Content-Range {text:?}")))
        }
        _ => Ok((sent, total)),
    }
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

/// A `Content-Range` in bytes (RFC 9110 14.4) with a known total.
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

fn check_encoding(request: &Request<'_>, headers: &HeaderMap) -> Result<(), HeadError> {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|value| !request.stored_encoding() && !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    match encoded {
        None => Ok(()),
        Some(value) => {
            Err(HeadError::Invalid(format!("it sent the Content-Encoding {value:?}, which was not requested")))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, HeadError> {
    let Some(text) = single(headers, &CONTENT_LENGTH)? else { return Ok(None) };
    number(text).map(Some).ok_or_else(|| HeadError::Invalid(format!("its Content-Length {text:?} is not a number")))
}

/// Returns the value of a header field, `None` if it is absent. Fails if it is repeated.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, HeadError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| HeadError::Invalid(format!("its {name} is not text: {value:?}")))
        }
        (Some(_), Some(_)) => Err(HeadError::Invalid(format!("it has more than one {name}"))),
    }
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
