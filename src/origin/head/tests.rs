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
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(5), Some(5), false));
    assert_eq!(found.validator.unwrap().as_str(), "etag 5 \"a\"");
    assert_eq!(found.last_modified, Some(httpdate::parse_http_date(LAST_MODIFIED_DATE).unwrap()));
}

#[test]
fn range_is_cut_to_object_end() {
    let fields = head(&[("content-range", "bytes 4-9/10"), ("content-length", "6")]);
    let found = check(&request(Some((4, 100))), StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(4, 10), Some(10), false));
    assert_eq!((found.validator, found.last_modified), (None, None));
}

#[test]
fn empty_range_requests_one_byte() {
    let empty = request(Some((4, 4)));
    assert_eq!(empty.wire_range(), Some(ByteRange::new(4, 5)));
    let fields = head(&[("content-range", "Bytes 4-4/10")]);
    let found = check(&empty, StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total), (ByteRange::new(4, 4), Some(10)));
}

#[test]
fn ignored_range_gives_whole_object() {
    let found = check(&request(Some((4, 8))), StatusCode::OK, &head(&[("content-length", "10")]), None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(10), Some(10), true));
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
        assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(total, total), Some(total), false));
    }
}

#[test]
fn invalid_head_names_reason() {
    let (whole, part) = (&request(None), &request(Some((4, 8))));
    for (request, status, fields, reason) in [
        (whole, 200, &[("content-length", "-1")][..], "its Content-Length \"-1\" is not a number"),
        (whole, 200, &[("content-length", "1"), ("content-length", "2")], "it has more than one content-length"),
        (whole, 200, &[("content-length", "1, 2")], "its Content-Length \"1, 2\" is not a number"),
        (whole, 416, &[], "it answered 416 to a request without a range"),
        (part, 206, &[], "it answered 206 without Content-Range"),
        (
            part,
            206,
            &[("content-range", "bytes 4-7/10"), ("content-range", "bytes 4-7/11")],
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
            &[("content-range", "bytes 2-7/10"), ("content-length", "2")],
            "its Content-Length 2 contradicts its Content-Range \"bytes 2-7/10\"",
        ),
        (part, 416, &[], "it answered 416 to bytes 4-7 without the object's length"),
        (part, 416, &[("content-range", "bytes */5")], "it answered 416 to bytes 4-7 of 5"),
        (part, 416, &[("content-range", "bytes 4-7/10")], "it answered 416 with the Content-Range \"bytes 4-7/10\""),
    ] {
        assert_eq!(invalid_reason(request, status, fields), reason);
    }
    for range in [
        "bytes 5-7/10",
        "bytes 0-3/10",
        "bytes 7-4/10",
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
fn odd_ranges_are_taken_as_sent() {
    for (field, length, range, total, ignored) in [
        ("bytes 4-5/10", None, (4, 6), Some(10), false),
        ("bytes 2-8/10", None, (2, 9), Some(10), false),
        ("bytes 4-7/*", None, (4, 8), None, false),
        ("bytes 0-9/10", None, (0, 10), Some(10), true),
        ("bytes 4-7/10", Some("3"), (4, 7), Some(10), false),
        ("bytes 4-7/10", Some("5"), (4, 8), Some(10), false),
    ] {
        let mut fields = head(&[("content-range", field), ("content-range", field)]);
        if let Some(length) = length {
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let found = check(&request(Some((4, 8))), StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
        let expected = (ByteRange::new(range.0, range.1), total, ignored);
        assert_eq!((found.range, found.total, found.ignored_range), expected, "{field}");
    }
    let fields = head(&[("content-range", "bytes 0-4/5")]);
    let found = check(&request(None), StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(5), Some(5), false));
}

#[test]
fn equal_content_lengths_are_one() {
    let two = head(&[("content-length", "5"), ("content-length", "5")]);
    for fields in [two, head(&[("content-length", "5, 5")])] {
        assert_eq!(check(&request(None), StatusCode::OK, &fields, None).unwrap().total, Some(5));
    }
}

#[test]
fn missing_or_suspicious_length_is_unknown() {
    let found = check(&request(None), StatusCode::OK, &HeaderMap::new(), None).unwrap();
    assert_eq!((found.range, found.total), (ByteRange::whole(u64::MAX), None));
    // A server that sends the range and calls it 200.
    let found = check(&request(Some((0, 4))), StatusCode::OK, &head(&[("content-length", "4")]), None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(4), None, true));
}

#[test]
fn content_encoding_is_label_where_digest_decides() {
    let fields = head(&[("content-length", "5"), ("content-encoding", "gzip")]);
    assert!(check(&request(None), StatusCode::OK, &fields, None).is_ok());
    let undigested = Request { digest_decides: false, ..request(None) };
    let Err(HeadError::Invalid(reason)) = check(&undigested, StatusCode::OK, &fields, None) else { panic!() };
    assert_eq!(reason, "it sent the Content-Encoding \"gzip\", which was not requested");
    let stored = Request { digest_decides: false, ..Request::get(&S3) };
    assert!(check(&stored, StatusCode::OK, &fields, None).is_ok());
    let identity = head(&[("content-length", "5"), ("content-encoding", "Identity")]);
    assert!(check(&undigested, StatusCode::OK, &identity, None).is_ok());
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
        assert!(matches!(status(fields), Err(HeadError::Changed(_))), "{fields:?}");
    }
    let ignored = check(&part, StatusCode::OK, &head(&[("content-length", "10"), ("etag", "\"b\"")]), None);
    assert!(matches!(ignored, Err(HeadError::Changed(_))));
    let shrunk = check(&part, StatusCode::RANGE_NOT_SATISFIABLE, &head(&[("content-range", "bytes */2")]), None);
    assert!(matches!(shrunk, Err(HeadError::Changed(_))));
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
        prop_assert_eq!(found.total, Some(total));
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
            prop_assert!(content.is_none_or(|content| content >= found.range.len()));
            if status == StatusCode::OK {
                prop_assert_eq!(found.range, ByteRange::whole(content.unwrap_or(u64::MAX)));
                prop_assert_eq!(found.total, content.filter(|content| *content != length));
            } else {
                prop_assert_eq!((found.range.start, found.total), (first, Some(total)));
                prop_assert!(found.range.end <= last + 1 && last < total);
                prop_assert!(found.range.start <= start && start < found.range.end);
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
