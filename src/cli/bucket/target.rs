//! A bucket or a prefix of one, as an argument.

use std::str::FromStr;

use crate::asset::{SourceTarget, SourceUrl};

/// `BUCKET`, `s3://BUCKET` or `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The bucket's name.
    pub(super) bucket: String,
    /// The prefix of the keys. Empty: all.
    pub(super) prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            if text.is_empty() || text.contains('/') {
                return Err("use the bucket's name, or s3://BUCKET/PREFIX".to_owned());
            }
            return Ok(Self { bucket: text.to_owned(), prefix: String::new() });
        };
        if let Some(bucket) = Some(rest.trim_end_matches('/')).filter(|bucket| !bucket.contains('/')) {
            return Self::from_str(bucket);
        }
        match text.parse::<SourceUrl>().map_err(|error| error.to_string())?.target() {
            SourceTarget::S3 { bucket, key, version: None } => Ok(Self { bucket: bucket.clone(), prefix: key.clone() }),
            _ => Err("a prefix has no version".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_bucket_or_prefix() {
        let target = |bucket: &str, prefix: &str| Ok(Target { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        assert_eq!("isos".parse(), target("isos", ""));
        assert_eq!("s3://isos".parse(), target("isos", ""));
        assert_eq!("s3://isos/".parse(), target("isos", ""));
        assert_eq!("s3://isos/okd/4.20/".parse(), target("isos", "okd/4.20/"));
        for bad in ["", "isos/okd", "s3://", "s3://b/k?versionId=1", "s3://b/k?x"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
