//! Source URLs: where an asset's bytes may be fetched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One place an asset can be fetched from.
///
/// Written `s3://BUCKET/KEY[?versionId=…]`, `https://…`, `http://…` or `file:///…`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceUrl {
    text: String,
    target: SourceTarget,
}

/// What a source URL points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceTarget {
    /// An object in a bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The object's key, exactly as S3 knows it.
        key: String,
        /// The object's version, where one is named.
        version: Option<String>,
    },
    /// An `http://` or `https://` URL, presigned ones included.
    Http(url::Url),
    /// A file of this machine.
    File(PathBuf),
}

/// Why a text is not a source URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No `scheme://`.
    #[error("a source is written s3://BUCKET/KEY, https://…, http://… or file:///PATH")]
    NoScheme,
    /// A scheme that is not fetched from.
    #[error("sources of the scheme {0:?} are not known; use s3, https, http or file")]
    Scheme(String),
    /// No bucket or no key.
    #[error("an S3 source names a bucket and a key: s3://BUCKET/KEY")]
    S3Parts,
    /// A query other than `versionId`.
    #[error("an S3 source takes no query but ?versionId=…, this has {0:?}")]
    S3Query(String),
    /// A relative path, or a host.
    #[error("a file source names an absolute path: file:///PATH")]
    FilePath,
    /// What is no URL.
    #[error("this is not a URL: {0}")]
    Url(String),
}

impl SourceUrl {
    /// Where it points.
    pub fn target(&self) -> &SourceTarget {
        &self.target
    }

    /// As it was written, presigned secrets included: for matching and fetching, not for logs. Logs use `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The file, for a `file://` source.
    pub fn as_file(&self) -> Option<&Path> {
        match &self.target {
            SourceTarget::File(path) => Some(path),
            _ => None,
        }
    }
}

impl FromStr for SourceUrl {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (scheme, rest) = text.split_once("://").ok_or(SourceError::NoScheme)?;
        let target = match scheme {
            "s3" => s3(rest)?,
            "http" | "https" => {
                let url = url::Url::parse(text).map_err(|e| SourceError::Url(e.to_string()))?;
                SourceTarget::Http(url)
            }
            "file" if rest.starts_with('/') => SourceTarget::File(PathBuf::from(rest)),
            "file" => return Err(SourceError::FilePath),
            other => return Err(SourceError::Scheme(other.to_owned())),
        };
        Ok(Self { text: text.to_owned(), target })
    }
}

fn s3(rest: &str) -> Result<SourceTarget, SourceError> {
    let (path, version) = match rest.split_once('?') {
        None => (rest, None),
        Some((path, query)) => match query.strip_prefix("versionId=") {
            Some(version) if !version.is_empty() && !version.contains('&') => (path, Some(version.to_owned())),
            _ => return Err(SourceError::S3Query(query.to_owned())),
        },
    };
    match path.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok(SourceTarget::S3 { bucket: bucket.to_owned(), key: key.to_owned(), version })
        }
        _ => Err(SourceError::S3Parts),
    }
}

impl fmt::Display for SourceUrl {
    /// Without user names, passwords and queries, in which secrets travel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            SourceTarget::Http(url) => {
                let mut shown = url.clone();
                let had_query = url.query().is_some();
                shown.set_query(None);
                shown.set_fragment(None);
                // These fail only for URLs without a host, which http(s) URLs have.
                let _ = shown.set_username("");
                let _ = shown.set_password(None);
                write!(f, "{shown}{}", if had_query { "?…" } else { "" })
            }
            _ => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind() {
        let source: SourceUrl = "s3://bucket/a/b c.img?versionId=xyz".parse().unwrap();
        assert_eq!(
            source.target(),
            &SourceTarget::S3 { bucket: "bucket".into(), key: "a/b c.img".into(), version: Some("xyz".into()) }
        );
        let source: SourceUrl = "file:///srv/a.img".parse().unwrap();
        assert_eq!(source.as_file(), Some(Path::new("/srv/a.img")));
        assert!(matches!("https://h/x".parse::<SourceUrl>().unwrap().target(), SourceTarget::Http(_)));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("bucket/key", "a source is written s3://BUCKET/KEY, https://…, http://… or file:///PATH"),
            ("ftp://h/x", "sources of the scheme \"ftp\" are not known; use s3, https, http or file"),
            ("s3://bucket", "an S3 source names a bucket and a key: s3://BUCKET/KEY"),
            ("s3://bucket/", "an S3 source names a bucket and a key: s3://BUCKET/KEY"),
            ("s3://b/k?acl", "an S3 source takes no query but ?versionId=…, this has \"acl\""),
            ("file://host/x", "a file source names an absolute path: file:///PATH"),
            ("https://", "this is not a URL: empty host"),
        ] {
            assert_eq!(text.parse::<SourceUrl>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn shows_no_secret() {
        let source: SourceUrl = "https://user:pass@h/x?X-Amz-Signature=abc#f".parse().unwrap();
        assert_eq!(source.to_string(), "https://h/x?…");
        assert_eq!(format!("{source:?}"), "SourceUrl(https://h/x?…)");
    }
}
