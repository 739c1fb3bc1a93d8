//! Validators: what names one state of an object.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use http::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED,
};

/// What names one state of an object: a strong `ETag`, else `Last-Modified` (RFC 9110 8.8); for a file its identity,
/// length and time. Opaque; written as text so that a partial fill can remember it over a restart.
///
/// The object's length is part of it: `Last-Modified` counts in seconds, and not every server's `ETag` is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// The validator whose text (as from [`Validator::as_str`]) this is.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The validator that the head of a reply gives an object of `total` bytes. A weak `ETag` is none: it may stay the
    /// same while the bytes change (RFC 9110 8.8.1).
    pub(super) fn of_head(headers: &HeaderMap, total: u64) -> Option<Self> {
        if let Some(tag) = strong_etag(headers) {
            return Some(Self(format!("etag {total} {tag}")));
        }
        let modified = headers.get(LAST_MODIFIED)?.to_str().ok()?;
        httpdate::parse_http_date(modified).ok()?;
        Some(Self(format!("modified {total} {modified}")))
    }

    /// The validator of a file: device, inode, length, and modification time with nanoseconds.
    pub(super) fn of_file(file: &Metadata) -> Self {
        let (dev, ino, size) = (file.dev(), file.ino(), file.size());
        Self(format!("file {size} {dev}:{ino} {}.{:09}", file.mtime(), file.mtime_nsec()))
    }

    /// The header field that asks for this state alone (RFC 9110 13.1.1, 13.1.4). None for a text that is no validator
    /// of an HTTP source: it fits no reply either.
    pub(super) fn precondition(&self) -> Option<(HeaderName, HeaderValue)> {
        self.condition(IF_MATCH, IF_UNMODIFIED_SINCE)
    }

    /// The header field that asks for any other state than this (RFC 9110 13.1.2, 13.1.3); none as above.
    pub(super) fn exclusion(&self) -> Option<(HeaderName, HeaderValue)> {
        self.condition(IF_NONE_MATCH, IF_MODIFIED_SINCE)
    }

    fn condition(&self, of_tag: HeaderName, of_date: HeaderName) -> Option<(HeaderName, HeaderValue)> {
        let mut words = self.0.splitn(3, ' ');
        let (kind, _length, value) = (words.next()?, words.next()?, words.next()?);
        let name = match kind {
            "etag" => of_tag,
            "modified" => of_date,
            _ => return None,
        };
        Some((name, HeaderValue::from_str(value).ok()?))
    }
}

fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    (tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    const DATE: &str = "Tue, 15 Nov 1994 12:45:26 GMT";

    #[test]
    fn a_strong_etag_goes_before_a_date() {
        let validator = Validator::of_head(&head(&[("etag", "\"a b-2\""), ("last-modified", DATE)]), 7).unwrap();
        assert_eq!(validator.as_str(), "etag 7 \"a b-2\"");
        assert_eq!(validator.precondition(), Some((IF_MATCH, HeaderValue::from_static("\"a b-2\""))));
        assert_eq!(validator.exclusion(), Some((IF_NONE_MATCH, HeaderValue::from_static("\"a b-2\""))));
    }

    #[test]
    fn a_weak_or_broken_etag_is_none() {
        for tag in ["W/\"a\"", "a", "\"", ""] {
            let validator = Validator::of_head(&head(&[("etag", tag), ("last-modified", DATE)]), 7).unwrap();
            assert_eq!(validator.as_str(), format!("modified 7 {DATE}"));
            assert_eq!(validator.precondition(), Some((IF_UNMODIFIED_SINCE, HeaderValue::from_static(DATE))));
            assert_eq!(Validator::of_head(&head(&[("etag", tag)]), 7), None);
        }
        assert_eq!(Validator::of_head(&head(&[("last-modified", "yesterday")]), 7), None);
    }

    #[test]
    fn the_length_is_part_of_it() {
        let fields = head(&[("etag", "\"a\"")]);
        assert_ne!(Validator::of_head(&fields, 7), Validator::of_head(&fields, 8));
    }

    #[test]
    fn foreign_text_asks_for_nothing() {
        for text in ["", "etag", "etag 7", "file 7 1:2 3.4", "etag 7 \"\n\""] {
            let validator = Validator::from_text(text);
            assert_eq!((validator.precondition(), validator.exclusion()), (None, None), "{text:?}");
        }
    }
}
