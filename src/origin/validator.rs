//! Validators: identify one state of an object (RFC 9110 8.8).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use http::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED,
};

/// Identifies one state of an object: a strong `ETag`, else `Last-Modified` (RFC 9110 8.8); for a file its device, inode,
/// length and modification time. Opaque text, so that a partial fill can store it across a restart.
///
/// It includes the object's length: `Last-Modified` counts in seconds, and some servers keep an `ETag` over a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(String);

impl Validator {
    /// Restores a validator from the text of [`Validator::as_str`].
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the validator in a reply head for an object of `total` bytes. A weak `ETag` does not count: it may stay
    /// the same while the bytes change (RFC 9110 8.8.1).
    pub(super) fn from_head(headers: &HeaderMap, total: u64) -> Option<Self> {
        if let Some(tag) = strong_etag(headers) {
            return Some(Self(format!("etag {total} {tag}")));
        }
        let modified = headers.get(LAST_MODIFIED)?.to_str().ok()?;
        httpdate::parse_http_date(modified).ok()?;
        Some(Self(format!("modified {total} {modified}")))
    }

    /// Describes it for messages: the field and its value.
    pub(super) fn describe(&self) -> String {
        let mut words = self.0.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("etag"), _, Some(tag)) => format!("ETag {tag}"),
            (Some("modified"), _, Some(date)) => format!("Last-Modified {date}"),
            _ => self.0.clone(),
        }
    }

    /// Describes a reply with the validator `found` where an earlier reply had `expected`.
    pub(super) fn difference(expected: Option<&Self>, found: Option<&Self>) -> String {
        let describe = |validator: Option<&Self>| validator.map_or_else(|| "no validator".to_owned(), Self::describe);
        format!("{}, and before {}", describe(found), describe(expected))
    }

    /// Returns the validator of a file: device, inode, length, and modification time in nanoseconds.
    pub(super) fn from_file(file: &Metadata) -> Self {
        let (dev, ino, size) = (file.dev(), file.ino(), file.size());
        Self(format!("file {size} {dev}:{ino} {}.{:09}", file.mtime(), file.mtime_nsec()))
    }

    /// Returns the header field that requires this state (RFC 9110 13.1.1, 13.1.4). `None` if the text is not a validator
    /// of an HTTP source, which matches no reply either.
    pub(super) fn if_match(&self) -> Option<(HeaderName, HeaderValue)> {
        self.condition(IF_MATCH, IF_UNMODIFIED_SINCE)
    }

    /// Returns the header field that requires any other state (RFC 9110 13.1.2, 13.1.3). `None` as in `if_match`.
    pub(super) fn if_none_match(&self) -> Option<(HeaderName, HeaderValue)> {
        self.condition(IF_NONE_MATCH, IF_MODIFIED_SINCE)
    }

    fn condition(&self, tag_field: HeaderName, date_field: HeaderName) -> Option<(HeaderName, HeaderValue)> {
        let mut words = self.0.splitn(3, ' ');
        let (kind, _length, value) = (words.next()?, words.next()?, words.next()?);
        let name = match kind {
            "etag" => tag_field,
            "modified" => date_field,
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
    fn strong_etag_precedes_last_modified() {
        let validator = Validator::from_head(&head(&[("etag", "\"a b-2\""), ("last-modified", DATE)]), 7).unwrap();
        assert_eq!(validator.as_str(), "etag 7 \"a b-2\"");
        assert_eq!(validator.if_match(), Some((IF_MATCH, HeaderValue::from_static("\"a b-2\""))));
        assert_eq!(validator.if_none_match(), Some((IF_NONE_MATCH, HeaderValue::from_static("\"a b-2\""))));
    }

    #[test]
    fn weak_or_malformed_etag_is_ignored() {
        for tag in ["W/\"a\"", "a", "\"", ""] {
            let validator = Validator::from_head(&head(&[("etag", tag), ("last-modified", DATE)]), 7).unwrap();
            assert_eq!(validator.as_str(), format!("modified 7 {DATE}"));
            assert_eq!(validator.if_match(), Some((IF_UNMODIFIED_SINCE, HeaderValue::from_static(DATE))));
            assert_eq!(Validator::from_head(&head(&[("etag", tag)]), 7), None);
        }
        assert_eq!(Validator::from_head(&head(&[("last-modified", "yesterday")]), 7), None);
    }

    #[test]
    fn length_change_changes_validator() {
        let fields = head(&[("etag", "\"a\"")]);
        assert_ne!(Validator::from_head(&fields, 7), Validator::from_head(&fields, 8));
    }

    #[test]
    fn unknown_text_gives_no_condition() {
        for text in ["", "etag", "etag 7", "file 7 1:2 3.4", "etag 7 \"\n\""] {
            let validator = Validator::from_text(text);
            assert_eq!((validator.if_match(), validator.if_none_match()), (None, None), "{text:?}");
        }
    }
}
