use http::header::HeaderValue;
use proptest::prelude::*;

use super::*;

const LAST_MODIFIED_DATE: &str = "Tue, 15 Nov 1994 12:45:26 GMT";

fn asked(range: Option<(u64, u64)>) -> Asked<'static> {
    let range = range.map(|(start, end)| ByteRange::new(start, end));
    Asked { range, expect: None, unless: None, stored_encoding: false }
}

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a test's header value"))
    };
    fields.iter().map(field).collect()
}

fn fault(asked: &Asked<'_>, status: u16, fields: &[(&'static str, &str)]) -> String {
    match check(asked, StatusCode::from_u16(status).unwrap(), &head(fields), None) {
        Err(Fault::Bad(reason)) => reason,
        other => panic!("a bad reply was expected, not {other:?}"),
    }
}

#[test]
fn a_whole_object() {
    let fields = head(&[("content-length", "5"), ("etag", "\"a\""), ("last-modified", LAST_MODIFIED_DATE)]);
    let found = check(&asked(None), StatusCode::OK, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(5), 5, false));
    assert_eq!(found.validator.unwrap().as_str(), "etag 5 \"a\"");
    assert_eq!(found.last_modified, Some(httpdate::parse_http_date(LAST_MODIFIED_DATE).unwrap()));
}

#[test]
fn a_range_is_cut_to_the_end() {
    let fields = head(&[("content-range", "bytes 4-9/10"), ("content-length", "6")]);
    let found = check(&asked(Some((4, 100))), StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(4, 10), 10, false));
    assert_eq!((found.validator, found.last_modified), (None, None));
}

#[test]
fn a_range_of_no_bytes_is_asked_as_one() {
    let empty = asked(Some((4, 4)));
    assert_eq!(empty.on_the_wire(), Some(ByteRange::new(4, 5)));
    let fields = head(&[("content-range", "Bytes 4-4/10")]);
    let found = check(&empty, StatusCode::PARTIAL_CONTENT, &fields, None).unwrap();
    assert_eq!((found.range, found.total), (ByteRange::new(4, 4), 10));
}

#[test]
fn a_range_may_be_ignored() {
    let found = check(&asked(Some((4, 8))), StatusCode::OK, &head(&[("content-length", "10")]), None).unwrap();
    assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::whole(10), 10, true));
}

#[test]
fn a_range_past_the_end_tells_the_length() {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    for (range, field, stated, total) in [
        ((0, 1), Some("bytes */0"), None, 0),
        ((0, 8), None, None, 0),
        ((0, 8), None, Some(0), 0),
        ((10, 20), Some("bytes */10"), None, 10),
        ((10, 20), None, Some(7), 7),
    ] {
        let fields = field.map(|field| head(&[("content-range", field)])).unwrap_or_default();
        let found = check(&asked(Some(range)), status, &fields, stated).unwrap();
        assert_eq!((found.range, found.total, found.ignored_range), (ByteRange::new(total, total), total, false));
    }
}

#[test]
fn says_what_is_wrong_with_a_head() {
    let part = asked(Some((4, 8)));
    for (asked, status, fields, reason) in [
        (asked(None), 200, &[][..], "it does not say its length (no Content-Length)"),
        (asked(None), 200, &[("content-length", "-1")], "its Content-Length \"-1\" is no number"),
        (asked(None), 200, &[("content-length", "1"), ("content-length", "2")], "it has more than one content-length"),
        (asked(None), 206, &[("content-range", "bytes 0-4/5")], "it answered 206 though no range was asked"),
        (asked(None), 416, &[], "it answered 416 though no range was asked"),
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
            "it sent multipart/byteranges though one range was asked",
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
            "it encoded the bytes (Content-Encoding \"gzip\") though unasked",
        ),
        (part, 416, &[], "it answered 416 to the bytes 4-7 without saying its length"),
        (part, 416, &[("content-range", "bytes */5")], "it answered 416 to the bytes 4-7 of its 5"),
        (part, 416, &[("content-range", "bytes 4-7/10")], "it answered 416 with the Content-Range \"bytes 4-7/10\""),
    ] {
        assert_eq!(fault(&asked, status, fields), reason);
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
        let reason = format!("its Content-Range {range:?} does not fit the asked bytes 4-7");
        assert_eq!(fault(&part, 206, &[("content-range", range)]), reason);
    }
}

#[test]
fn a_stores_note_of_an_encoding_is_no_encoding() {
    let fields = head(&[("content-length", "5"), ("content-encoding", "gzip")]);
    assert!(check(&asked(None), StatusCode::OK, &fields, None).is_err());
    let stored = Asked { stored_encoding: true, ..asked(None) };
    assert!(check(&stored, StatusCode::OK, &fields, None).is_ok());
    let identity = head(&[("content-length", "5"), ("content-encoding", "Identity")]);
    assert!(check(&asked(None), StatusCode::OK, &identity, None).is_ok());
}

#[test]
fn another_state_of_the_object_is_a_change() {
    let expected = Validator::from_text("etag 10 \"a\"");
    let part = Asked { expect: Some(&expected), ..asked(Some((4, 8))) };
    let status = |fields: &[(&'static str, &str)]| check(&part, StatusCode::PARTIAL_CONTENT, &head(fields), None);
    assert!(status(&[("content-range", "bytes 4-7/10"), ("etag", "\"a\"")]).is_ok());
    for fields in [
        &[("content-range", "bytes 4-7/10"), ("etag", "\"b\"")][..],
        &[("content-range", "bytes 4-7/11"), ("etag", "\"a\"")],
        &[("content-range", "bytes 4-7/10"), ("etag", "W/\"a\"")],
        &[("content-range", "bytes 4-7/10")],
    ] {
        assert_eq!(status(fields), Err(Fault::Changed), "{fields:?}");
    }
    let ignored = check(&part, StatusCode::OK, &head(&[("content-length", "10"), ("etag", "\"b\"")]), None);
    assert_eq!(ignored, Err(Fault::Changed));
    let shrunk = check(&part, StatusCode::RANGE_NOT_SATISFIABLE, &head(&[("content-range", "bytes */2")]), None);
    assert_eq!(shrunk, Err(Fault::Changed));
}

proptest! {
    #[test]
    fn a_right_reply_to_any_range_is_taken(start in 0u64..40, length in 0u64..40, total in 0u64..60) {
        let asked = asked(Some((start, start + length)));
        let wire = asked.on_the_wire().unwrap();
        let (status, field) = if wire.start < total {
            let sent = wire.intersect(&ByteRange::whole(total));
            (StatusCode::PARTIAL_CONTENT, format!("bytes {sent}/{total}"))
        } else {
            (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{total}"))
        };
        let found = check(&asked, status, &head(&[("content-range", &field)]), None).unwrap();
        prop_assert_eq!(found.total, total);
        prop_assert_eq!(found.range.len(), asked.range.unwrap().intersect(&ByteRange::whole(total)).len());
    }

    #[test]
    fn what_is_taken_is_what_was_asked(
        start in 0u64..6, length in 1u64..6,
        first in 0u64..12, last in 0u64..12, total in 0u64..12, content in proptest::option::of(0u64..12),
        status in prop_oneof![Just(StatusCode::OK), Just(StatusCode::PARTIAL_CONTENT), Just(StatusCode::RANGE_NOT_SATISFIABLE)],
    ) {
        let asked = asked(Some((start, start + length)));
        let mut fields = head(&[("content-range", &format!("bytes {first}-{last}/{total}"))]);
        if let Some(content) = content {
            fields.insert(CONTENT_LENGTH, content.into());
        }
        if let Ok(found) = check(&asked, status, &fields, None) {
            prop_assert!(status != StatusCode::RANGE_NOT_SATISFIABLE);
            prop_assert!(content.is_none_or(|content| content == found.range.len()));
            if found.ignored_range {
                prop_assert_eq!(found.range, ByteRange::whole(found.total));
            } else {
                prop_assert_eq!(found.range, ByteRange::new(first, last + 1));
                prop_assert_eq!(found.range, asked.range.unwrap().intersect(&ByteRange::whole(total)));
                prop_assert!(!found.range.is_empty());
            }
        }
    }

    #[test]
    fn survives_any_content_range(text in "(bytes )?[0-9*/ -]{0,30}|\\PC{0,20}") {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let fields = HeaderMap::from_iter([(CONTENT_RANGE, value)]);
            let _ = check(&asked(Some((0, 4))), StatusCode::PARTIAL_CONTENT, &fields, None);
            let _ = check(&asked(Some((u64::MAX, u64::MAX))), StatusCode::RANGE_NOT_SATISFIABLE, &fields, None);
        }
    }
}
