//! SHA-256 checksums that a source declares in header fields.

use http::header::HeaderMap;

use crate::asset::Digest;

/// The digest of the whole object that a source declares in its reply head. A claim: it is not verified here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// The digest.
    pub digest: Digest,
    /// The name of the header field that holds it.
    pub header: &'static str,
}

impl Checksum {
    /// Returns the checksum in a reply head: S3's own if it covers the whole object, else the user metadata `sha256`
    /// that the uploader wrote.
    pub(super) fn from_head(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let parsed = |header: &'static str, parse: &dyn Fn(&str) -> Option<Digest>| {
            Some(Self { digest: parse(text(header)?.trim())?, header })
        };
        // The checksum of a multipart upload's part checksums ends in `-N`. It is not a digest of the object.
        parsed("x-amz-checksum-sha256", &Digest::from_base64)
            .filter(|_| text("x-amz-checksum-type").is_none_or(|kind| kind.eq_ignore_ascii_case("FULL_OBJECT")))
            .or_else(|| parsed("x-amz-meta-sha256", &|text| text.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn only_whole_object_checksums_count() {
        let digest = Digest::of(b"abc");
        let (base64, hex) = (digest.to_base64(), digest.to_string());
        let parse = |fields: &[(&'static str, &str)]| {
            let fields =
                fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            Checksum::from_head(&fields).map(|checksum| (checksum.digest, checksum.header))
        };
        let (checksum, meta) = ("x-amz-checksum-sha256", "x-amz-meta-sha256");
        assert_eq!(parse(&[(checksum, &base64)]), Some((digest, checksum)));
        assert_eq!(parse(&[(checksum, &base64), ("x-amz-checksum-type", "FULL_OBJECT")]), Some((digest, checksum)));
        assert_eq!(parse(&[(meta, &hex)]), Some((digest, meta)));
        assert_eq!(parse(&[(checksum, &base64), ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(parse(&[(checksum, &format!("{base64}-3")), (meta, &hex)]), Some((digest, meta)));
        for invalid in ["", "abc", &base64[1..]] {
            assert_eq!(parse(&[(checksum, invalid), (meta, invalid)]), None, "{invalid:?}");
        }
    }
}
