//! SHA-256 checksums that a source declares in header fields.

use http::header::HeaderMap;

use crate::asset::{CompositeDigest, Digest};

/// The digest of the whole object that a source declares in its reply head. A claim: it is not verified here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// The digest.
    pub digest: Digest,
    /// The name of the header field that holds it.
    pub header: &'static str,
}

impl Checksum {
    /// Returns the checksums in a reply head: S3's own if it covers the whole object, then the user metadata `sha256` that the
    /// uploader wrote.
    pub(super) fn all_from_head(headers: &HeaderMap) -> Vec<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let parsed = |header: &'static str, parse: &dyn Fn(&str) -> Option<Digest>| {
            Some(Self { digest: parse(text(header)?.trim())?, header })
        };
        // S3 has no SHA-256 of the whole for an object that was uploaded in parts. Some servers label the checksum of the parts'
        // checksums FULL_OBJECT, or do not label it, so the type alone proves nothing.
        let in_parts = headers.contains_key("x-amz-mp-parts-count")
            || ["etag", "x-amz-checksum-sha256"].into_iter().filter_map(text).any(counts_parts);
        let own = parsed("x-amz-checksum-sha256", &Digest::from_base64)
            .filter(|_| !in_parts)
            .filter(|_| text("x-amz-checksum-type").is_none_or(|kind| kind.eq_ignore_ascii_case("FULL_OBJECT")));
        own.into_iter().chain(parsed("x-amz-meta-sha256", &|text| text.parse().ok())).collect()
    }
}

/// The digest of the object's parts in a reply head.
pub(super) fn composite(headers: &HeaderMap) -> Option<CompositeDigest> {
    CompositeDigest::parse(headers.get("x-amz-checksum-sha256")?.to_str().ok()?.trim())
}

/// Whether an `ETag` or checksum ends in `-N`, as that of an object of N parts does.
fn counts_parts(value: &str) -> bool {
    let value = value.trim().trim_end_matches('"');
    value.rsplit_once('-').is_some_and(|(_, parts)| !parts.is_empty() && parts.bytes().all(|b| b.is_ascii_digit()))
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
            Checksum::all_from_head(&fields).first().map(|checksum| (checksum.digest, checksum.header))
        };
        let (checksum, meta) = ("x-amz-checksum-sha256", "x-amz-meta-sha256");
        assert_eq!(parse(&[(checksum, &base64)]), Some((digest, checksum)));
        assert_eq!(parse(&[(checksum, &base64), ("x-amz-checksum-type", "FULL_OBJECT")]), Some((digest, checksum)));
        assert_eq!(parse(&[(meta, &hex)]), Some((digest, meta)));
        assert_eq!(parse(&[(checksum, &base64), ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(parse(&[(checksum, &format!("{base64}-3")), (meta, &hex)]), Some((digest, meta)));
        // Servers that lose or mislabel the type: the ETag or the number of parts shows that there are parts.
        let (kind, etag) = ("x-amz-checksum-type", "etag");
        for parts in [
            &[(etag, "\"9b2cf535f27731c974343645a3985328-2\"")][..],
            &[(etag, "\"9b2cf535f27731c974343645a3985328-2\""), (kind, "FULL_OBJECT")],
            &[(etag, "9b2cf535f27731c974343645a3985328-10000"), (kind, "FULL_OBJECT")],
            &[("x-amz-mp-parts-count", "2"), (kind, "FULL_OBJECT")],
        ] {
            let fields = [parts, &[(checksum, base64.as_str())]].concat();
            assert_eq!(parse(&fields), None, "{fields:?}");
            // The uploader's own statement stays.
            assert_eq!(parse(&[fields, vec![(meta, hex.as_str())]].concat()), Some((digest, meta)));
        }
        let single = [(etag, "\"9b2cf535f27731c974343645a3985328\""), (checksum, base64.as_str())];
        assert_eq!(parse(&single), Some((digest, checksum)));
        for invalid in ["", "abc", &base64[1..]] {
            assert_eq!(parse(&[(checksum, invalid), (meta, invalid)]), None, "{invalid:?}");
        }
    }
    #[test]
    fn both_checksums_are_declared() {
        let (own, meta) = (Digest::of(b"own"), Digest::of(b"meta"));
        let fields = [("x-amz-meta-sha256", meta.to_string()), ("x-amz-checksum-sha256", own.to_base64())];
        let fields = fields.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let found: Vec<_> = Checksum::all_from_head(&fields.into_iter().collect()).iter().map(|it| it.digest).collect();
        assert_eq!(found, [own, meta]);
    }
}
