//! Formats of values of `[[mirror]]`.

use super::format::Source;
use super::written::Format;
use crate::asset::{SourceTarget, SourceUrl};
use crate::proof::Sha512Digest;
use crate::supply::mirror::{Destination, UpstreamUrl};

/// Where an upstream says what it publishes.
pub(super) enum Upstream {}

impl Format for Upstream {
    type Value = UpstreamUrl;
    const NAME: &'static str = "upstream-url";
    const EXPECTED: &'static str =
        "a URL: https://…, http://…, s3://BUCKET/KEY or file:///PATH, or \"-\" for standard input";

    fn read(text: &str) -> Result<UpstreamUrl, String> {
        if text == "-" { Ok(UpstreamUrl::Stdin) } else { Source::read(text).map(UpstreamUrl::Url) }
    }

    fn shown(text: &str) -> String {
        Source::shown(text)
    }
}

/// A bucket and the start of keys in it.
pub(super) enum StorePrefix {}

impl Format for StorePrefix {
    type Value = Destination;
    const NAME: &'static str = "store-prefix";
    const EXPECTED: &'static str = "a bucket and a prefix such as \"s3://harmony-assets/scos\"";

    fn read(text: &str) -> Result<Destination, String> {
        let text = text.trim_end_matches('/');
        // A key is added, so that a bucket alone is valid.
        let source = format!("{text}/key").parse::<SourceUrl>().map_err(|_| String::new())?;
        let SourceTarget::S3 { bucket, key, version: None } = source.target() else { return Err(String::new()) };
        let prefix = key.strip_suffix("key").unwrap_or_default().trim_end_matches('/');
        let is_wrong = |segment: &str| matches!(segment, "" | "." | "..");
        if !prefix.is_empty() && prefix.split('/').any(is_wrong) {
            return Err("it has an empty segment, or '.' or '..'".to_owned());
        }
        Ok(Destination { bucket: bucket.clone(), prefix: prefix.to_owned() })
    }
}

/// A catalog that can be written: an object in S3 or a file.
pub(super) enum CatalogTarget {}

impl Format for CatalogTarget {
    type Value = String;
    const NAME: &'static str = "catalog-target";
    const EXPECTED: &'static str = "s3://BUCKET/KEY, or the path of a file";

    fn read(text: &str) -> Result<String, String> {
        match text.split_once("://") {
            Some(("s3", _)) => Source::read(text).map(|_| text.to_owned()),
            Some((scheme, _)) => Err(format!("a catalog cannot be written over {scheme}://")),
            None if text.is_empty() => Err("it is empty".to_owned()),
            None => Ok(text.to_owned()),
        }
    }
}

/// A SHA-512 digest.
pub(super) enum Sha512 {}

impl Format for Sha512 {
    type Value = Sha512Digest;
    const NAME: &'static str = "sha512";
    const EXPECTED: &'static str = "128 hexadecimal digits, as sha512sum prints them";

    fn read(text: &str) -> Result<Sha512Digest, String> {
        text.parse().map_err(|_| String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_bucket_and_start_of_keys() {
        let read = |text| StorePrefix::read(text).map(|to| (to.bucket, to.prefix));
        assert_eq!(read("s3://b/a/b/"), Ok(("b".to_owned(), "a/b".to_owned())));
        assert_eq!(read("s3://b"), Ok(("b".to_owned(), String::new())));
        for wrong in ["b/a", "https://h/a", "s3://", "s3://b/../a", "s3://b//a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn catalog_is_written_to_s3_or_file() {
        assert!(CatalogTarget::read("s3://b/catalog.toml").is_ok() && CatalogTarget::read("catalog.d/x.toml").is_ok());
        assert!(CatalogTarget::read("https://h/catalog.toml").is_err() && CatalogTarget::read("s3://b").is_err());
    }
}
