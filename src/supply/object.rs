//! Objects of a bucket as HEAD describes them, and the description that a write gives them.

use http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED};

use super::error::StoreError;
use crate::asset::Digest;

/// The prefix of the header fields of user metadata.
const META: &str = "x-amz-meta-";

/// The checksum header field.
pub(super) const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// What HEAD says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length in bytes.
    pub size: u64,
    /// Its `ETag`, quotes included.
    pub etag: Option<String>,
    /// The SHA-256 checksum that the server keeps, as written: base64, with `-N` after it for an object of N parts.
    pub checksum: Option<String>,
    /// Its version. `None` in a bucket without versions.
    pub version: Option<String>,
    /// When it was last modified, as written (RFC 9110 5.6.7).
    pub last_modified: Option<String>,
    /// Its user metadata, by name without `x-amz-meta-`.
    pub metadata: Vec<(String, String)>,
}

/// The description that a write gives an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectHeaders {
    /// Its media type. `None`: the server's default.
    pub content_type: Option<String>,
    /// User metadata, by name without `x-amz-meta-`. ASCII only.
    pub metadata: Vec<(String, String)>,
}

/// What a store says of an object that it has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its `ETag`, quotes included.
    pub etag: Option<String>,
    /// Its version. `None` in a bucket without versions.
    pub version: Option<String>,
}

impl ObjectHead {
    /// Parses the header fields of a reply. `url` is the object, as shown.
    pub(super) fn parse(url: &str, fields: &HeaderMap) -> Result<Self, StoreError> {
        let text = |name: &str| fields.get(name)?.to_str().ok().map(str::to_owned);
        let size = text("content-length").and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| StoreError::BadReply {
            url: url.to_owned(),
            reason: "it does not say how long the object is".to_owned(),
        })?;
        let metadata = fields.iter().filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix(META)?.to_owned(), value.to_str().ok()?.to_owned()))
        });
        Ok(Self {
            size,
            etag: text(ETAG.as_str()),
            checksum: text(CHECKSUM.as_str()),
            version: text("x-amz-version-id").filter(|version| version != "null"),
            last_modified: text(LAST_MODIFIED.as_str()),
            metadata: metadata.collect(),
        })
    }

    /// Whether the object was uploaded in parts, so that its checksum is not that of its bytes.
    pub fn has_parts(&self) -> bool {
        let counts_parts = |value: &str| {
            let parts = value.trim_end_matches('"').rsplit_once('-').map(|(_, parts)| parts);
            parts.is_some_and(|parts| !parts.is_empty() && parts.bytes().all(|byte| byte.is_ascii_digit()))
        };
        [&self.etag, &self.checksum].into_iter().flatten().any(|value| counts_parts(value))
    }

    /// The digest of the whole object, if the server or the uploader says it: the server's checksum of an object without
    /// parts, else the user metadata `sha256`. A claim.
    pub fn digest(&self) -> Option<Digest> {
        let kept = self.checksum.as_deref().filter(|_| !self.has_parts()).and_then(Digest::from_base64);
        kept.or_else(|| self.metadata.iter().find(|(name, _)| name == "sha256")?.1.parse().ok())
    }
}

impl ObjectHeaders {
    /// Adds the header fields. Fails with a sentence if a value cannot be sent.
    pub(super) fn add_to(&self, fields: &mut HeaderMap) -> Result<(), String> {
        if let Some(kind) = &self.content_type {
            let value = HeaderValue::try_from(kind);
            fields.insert(CONTENT_TYPE, value.map_err(|_| format!("{kind:?} is not a media type"))?);
        }
        for (name, value) in &self.metadata {
            let bad =
                || format!("the metadata {name:?} cannot be sent: use letters, digits and '-' in its name, and ASCII");
            let field = HeaderName::try_from(format!("{META}{name}")).map_err(|_| bad())?;
            let value = HeaderValue::try_from(value).ok().filter(|value| value.to_str().is_ok()).ok_or_else(bad)?;
            fields.insert(field, value);
        }
        Ok(())
    }
}

impl Stored {
    pub(super) fn parse(fields: &HeaderMap) -> Self {
        let text = |name: &str| fields.get(name)?.to_str().ok().map(str::to_owned);
        Self { etag: text("etag"), version: text("x-amz-version-id").filter(|version| version != "null") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> ObjectHead {
        let fields = fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        ObjectHead::parse("s3://b/k", &fields.collect()).unwrap()
    }

    #[test]
    fn checksum_of_parts_is_no_digest() {
        let (digest, other) = (Digest::of(b"abc"), Digest::of(b"d"));
        let base64 = digest.to_base64();
        let whole = head(&[("content-length", "3"), ("x-amz-checksum-sha256", &base64), ("etag", "\"ab\"")]);
        assert_eq!((whole.digest(), whole.has_parts()), (Some(digest), false));
        let parts = head(&[("content-length", "3"), ("x-amz-checksum-sha256", &base64), ("etag", "\"ab-2\"")]);
        assert_eq!((parts.digest(), parts.has_parts()), (None, true));
        let meta = other.to_string();
        let named = head(&[("content-length", "3"), ("etag", "\"ab-2\""), ("x-amz-meta-sha256", &meta)]);
        assert_eq!(named.digest(), Some(other));
    }

    #[test]
    fn metadata_becomes_header_fields() {
        let headers = ObjectHeaders {
            content_type: Some("text/plain".to_owned()),
            metadata: vec![("server-id".to_owned(), "r1".to_owned())],
        };
        let mut fields = HeaderMap::new();
        headers.add_to(&mut fields).unwrap();
        assert_eq!(
            (fields["content-type"].as_bytes(), fields["x-amz-meta-server-id"].as_bytes()),
            (&b"text/plain"[..], &b"r1"[..])
        );
        for (name, value) in [("a b", "x"), ("a", "ü\n")] {
            let headers = ObjectHeaders { metadata: vec![(name.to_owned(), value.to_owned())], ..headers.clone() };
            assert!(headers.add_to(&mut HeaderMap::new()).is_err());
        }
    }
}
