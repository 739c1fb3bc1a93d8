use std::sync::LazyLock;

use http::header::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::asset::SourceUrl;

const LAST_MODIFIED_DATE: &str = "Tue, 15 Nov 1994 12:45:26 GMT";

static WEB: LazyLock<SourceUrl> = LazyLock::new(|| "http://web.lab/image".parse().expect("a URL"));
static S3: LazyLock<SourceUrl> = LazyLock::new(|| "s3://bucket/image".parse().expect("a URL"));

fn request(range: Option<(u64, u64)>) -> Request<'static> {
    let range = range.map(|(start, end)| ByteRange::new(start, end));
    Request { range, ..Request::get(&WEB) }
}

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a test's header value"))
    };
    fields.iter().map(field).collect()
}

fn invalid_reason(request: &Request<'_>, status: u16, fields: &[(&'static str, &str)]) -> String {
    match check(request, StatusCode::from_u16(status).unwrap(), &head(fields), None) {
        Err(HeadError::Invalid(reason)) => reason,
        other => panic!("an invalid head was expected, not {other:?}"),
    }
}

#[test]
fn whole_object_head_is_accepted() {
    let fields = head(&[("content-length", "5"), ("etag", "\"a\""), ("last-modified", LAST_MODIFIED_DATE)]);
    let found = check(&request(None), StatusCode::OK, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(5), 5, false));
    assert_eq!(found.validator.unwrap().as_str(), "etag 5 \"a\"");
    assert_eq!(found.last_modified, Some(httpdate::parse_http_date(LAST_MODIFIED_DATE).unwrap()));
}

#[test]
fn range_is_cut_to_object_end() {
    let fields = head(&[("content-range", "bytes 4-9/10"), ("content-length", "6")]);
    let found = check(&request(Some((4, 100))), StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(4, 10), 10, false));
    assert_eq!((found.validator, found.last_modified), (None, None));
}

#[test]
fn empty_range_requests_one_byte() {
    let empty = request(Some((4, 4)));
    assert_eq!(empty.wire_range(), Some(ByteRange::new(4, 5)));
    let fields = head(&[("content-range", "Bytes 4-4/10")]);
    let found = check(&empty, StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total), (ByteRange::new(4, 4), 10));
}

#[test]
fn ignored_range_gives_whole_object() {
    let found = check(&request(Some((4, 8))), StatusCode::OK, &head(&[("content-length", "10")]), None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(10), 10, true));
}

#[test]
fn range_past_end_reports_length() {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    for (range, field, stated, total) in [
        ((0, 1), Some("bytes */0"), None, 0),
        ((0, 8), None, None, 0),
        ((0, 8), None, Some(0), 0),
        ((10, 20), Some("bytes */10"), None, 10),
        ((10, 20), None, Some(7), 7),
    ] {
        let fields = field.map(|field| head(&[("content-range", field)])).unwrap_or_default();
        let found = check(&request(Some(range)), status, &fields, stated).unwrap();
        assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(total, total), total, false));
    }
}

#[test]
fn invalid_head_names_reason() {
    let (whole, part) = (&request(None), &request(Some((4, 8))));
    for (request, status, fields, reason) in [
        (whole, 200, &[][..], "it has no Content-Length"),
        (whole, 200, &[("content-length", "-1")], "its Content-Length \"-1\" is not a number"),
        (whole, 200, &[("content-length", "1"), ("content-length", "2")], "it has more than one content-length"),
        (whole, 206, &[("content-range", "bytes 0-4/5")], "it answered 206 to a request without a range"),
        (whole, 416, &[], "it answered 416 to a request without a range"),
        (part, 206, &[], "it answered 206 without Content-Range"),
        (
            part,
            206,
            &[("content-range", "bytes 4-7/10"), ("content-range", "bytes 4-7/10")],
            "it has more than one content-range",
        ),
        (
            part,
            206,
            &[("content-type", "Multipart/ByteRanges; boundary=x")],
            "it sent multipart/byteranges to a request for one range",
        ),
        (
            part,
            206,
            &[("content-range", "bytes 4-7/10"), ("content-length", "5")],
            "its Content-Length 5 contradicts its Content-Range \"bytes 4-7/10\"",
        ),
        (
            part,
            206,
            &[("content-range", "bytes 4-7/10"), ("content-encoding", "gzip")],
            "it sent the Content-Encoding \"gzip\", which was not requested",
        ),
        (part, 416, &[], "it answered 416 to bytes 4-7 without the object's length"),
        (part, 416, &[("content-range", "bytes */5")], "it answered 416 to bytes 4-7 of 5"),
        (part, 416, &[("content-range", "bytes 4-7/10")], "it answered 416 with the Content-Range \"bytes 4-7/10\""),
    ] {
        assert_eq!(invalid_reason(request, status, fields), reason);
    }
    for range in [
        "bytes 3-7/10",
        "bytes 4-6/10",
        "bytes 4-8/10",
        "bytes 4-7/*",
        "bytes */10",
        "bytes 4-7/7",
        "bytes 4-7/4",
        "bytes +4-7/10",
        "bytes 4-7/10,",
        "bytes=4-7/10",
        "items 4-7/10",
        "bytes 4-18446744073709551616/10",
        "",
    ] {
        let reason = format!("its Content-Range {range:?} does not match the requested bytes 4-7");
        assert_eq!(invalid_reason(part, 206, &[("content-range", range)]), reason);
    }
}

#[test]
fn s3_content_encoding_is_metadata() {
    let fields = head(&[("content-length", "5"), ("content-encoding", "gzip")]);
    assert!(check(&request(None), StatusCode::OK, &fields, None).is_err());
    let stored = Request::get(&S3);
    assert!(check(&stored, StatusCode::OK, &fields, None).is_ok());
    let identity = head(&[("content-length", "5"), ("content-encoding", "Identity")]);
    assert!(check(&request(None), StatusCode::OK, &identity, None).is_ok());
}

#[test]
fn validator_mismatch_is_changed() {
    let expected = Validator::from_text("etag 10 \"a\"");
    let part = Request { if_match: Some(&expected), ..request(Some((4, 8))) };
    let status = |fields: &[(&'static str, &str)]| check(&part, StatusCode::PARTIAL_CONTENT, &head(fields), None);
    assert!(status(&[("content-range", "bytes 4-7/10"), ("etag", "\"a\"")]).is_ok());
    for fields in [
        &[("content-range", "bytes 4-7/10"), ("etag", "\"b\"")][..],
        &[("content-range", "bytes 4-7/11"), ("etag", "\"a\"")],
        &[("content-range", "bytes 4-7/10"), ("etag", "W/\"a\"")],
        &[("content-range", "bytes 4-7/10")],
    ] {
        assert_eq!(status(fields), Err(HeadError::Changed), "{fields:?}");
    }
    let ignored = check(&part, StatusCode::OK, &head(&[("content-length", "10"), ("etag", "\"b\"")]), None);
    assert_eq!(ignored, Err(HeadError::Changed));
    let shrunk = check(&part, StatusCode::RANGE_NOT_SATISFIABLE, &head(&[("content-range", "bytes */2")]), None);
    assert_eq!(shrunk, Err(HeadError::Changed));
}

proptest! {
    #[test]
    fn correct_reply_to_any_range_is_accepted(start in 0u64..40, length in 0u64..40, total in 0u64..60) {
        let request = request(Some((start, start + length)));
        let wire = request.wire_range().unwrap();
        let (status, field) = if wire.start < total {
            let sent = wire.intersect(&ByteRange::whole(total));
            (StatusCode::PARTIAL_CONTENT, format!("bytes {sent}/{total}"))
        } else {
            (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{total}"))
        };
        let found = check(&request, status, &head(&[("content-range", &field)]), None).unwrap();
        prop_assert_eq!(found.total, total);
        prop_assert_eq!(found.range.len(), request.range.unwrap().intersect(&ByteRange::whole(total)).len());
    }

    #[test]
    fn accepted_head_matches_request(
        start in 0u64..6, length in 1u64..6,
        first in 0u64..12, last in 0u64..12, total in 0u64..12, content in proptest::option::of(0u64..12),
        status in prop_oneof![Just(StatusCode::OK), Just(StatusCode::PARTIAL_CONTENT), Just(StatusCode::RANGE_NOT_SATISFIABLE)],
    ) {
        let request = request(Some((start, start + length)));
        let mut fields = head(&[("content-range", &format!("bytes {first}-{last}/{total}"))]);
        if let Some(content) = content {
            fields.insert(CONTENT_LENGTH, content.into());
        }
        if let Ok(found) = check(&request, status, &fields, None) {
            prop_assert!(status != StatusCode::RANGE_NOT_SATISFIABLE);
            prop_assert!(content.is_none_or(|content| content == found.range.len()));
            if found.ignored_range {
                prop_assert_eq!(found.range, ByteRange::whole(found.total));
            } else {
                prop_assert_eq!(found.range, ByteRange::new(first, last + 1));
                prop_assert_eq!(found.range, request.range.unwrap().intersect(&ByteRange::whole(total)));
                prop_assert!(!found.range.is_empty());
            }
        }
    }

    #[test]
    fn arbitrary_content_range_never_panics(text in "(bytes )?[0-9*/ -]{0,30}|\\PC{0,20}") {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let fields = HeaderMap::from_iter([(CONTENT_RANGE, value)]);
            let _ = check(&request(Some((0, 4))), StatusCode::PARTIAL_CONTENT, &fields, None);
            let _ = check(&request(Some((u64::MAX, u64::MAX))), StatusCode::RANGE_NOT_SATISFIABLE, &fields, None);
        }
    }
}
