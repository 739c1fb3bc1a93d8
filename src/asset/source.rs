//! Source URLs: where an asset can be fetched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A URL from which an asset can be fetched.
///
/// Its forms are `s3://BUCKET/KEY[?versionId=…]`, `https://…`, `http://…` or `file:///…`.
///
/// ```
/// use bootdepot::asset::{SourceTarget, SourceUrl};
///
/// let source: SourceUrl = "s3://boot/okd/4.20/kernel".parse()?;
/// assert!(matches!(source.target(), SourceTarget::S3 { bucket, key, .. } if bucket == "boot" && key == "okd/4.20/kernel"));
/// # Ok::<(), bootdepot::asset::SourceUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceUrl {
    text: String,
    target: SourceTarget,
}

/// A parsed source URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SourceTarget {
    /// An object in a bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The object's key, without any escaping.
        key: String,
        /// The object's version. `None` means the current one.
        version: Option<String>,
    },
    /// An `http://` or `https://` URL, presigned ones included.
    Http(url::Url),
    /// A local file.
    File(PathBuf),
}

/// Why a text is not a valid source URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceUrlError {
    /// It has no `scheme://`.
    #[error("a source URL has the form s3://BUCKET/KEY, https://…, http://… or file:///PATH")]
    NoScheme,
    /// The scheme is not supported.
    #[error("the scheme {0:?} is not supported; use s3, https, http or file")]
    Scheme(String),
    /// The bucket or the key is missing.
    #[error("an S3 source needs a bucket and a key: s3://BUCKET/KEY")]
    S3Parts,
    /// It has a query other than `versionId`.
    #[error("an S3 source may only have the query ?versionId=…, this has {0:?}")]
    S3Query(String),
    /// It has a relative path or a host.
    #[error("a file source needs an absolute path: file:///PATH")]
    FilePath,
    /// It is not a valid URL.
    #[error("this is not a URL: {0}")]
    Url(String),
}

impl SourceUrl {
    /// The target of the reference.
    pub fn target(&self) -> &SourceTarget {
        &self.target
    }

    /// The original text, including the secrets of a presigned URL: for matching and fetching. Logs use `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path of a `file://` source. `None` for other sources.
    pub fn as_file(&self) -> Option<&Path> {
        match &self.target {
            SourceTarget::File(path) => Some(path),
            _ => None,
        }
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, SourceUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(SourceUrlError::NoScheme)?;
        let target = match scheme {
            "s3" => s3(rest)?,
            "http" | "https" => {
                let url = url::Url::parse(text).map_err(|e| SourceUrlError::Url(e.to_string()))?;
                SourceTarget::Http(url)
            }
            "file" if rest.starts_with('/') => SourceTarget::File(PathBuf::from(rest)),
            "file" => return Err(SourceUrlError::FilePath),
            other => return Err(SourceUrlError::Scheme(other.to_owned())),
        };
        Ok(Self { text: text.to_owned(), target })
    }
}

fn s3(rest: &str) -> Result<SourceTarget, SourceUrlError> {
    let (path, version) = match rest.split_once('?') {
        None => (rest, None),
        Some((path, query)) => match query.strip_prefix("versionId=") {
            Some(version) if !version.is_empty() && !version.contains('&') => (path, Some(version.to_owned())),
            _ => return Err(SourceUrlError::S3Query(query.to_owned())),
        },
    };
    match path.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok(SourceTarget::S3 { bucket: bucket.to_owned(), key: key.to_owned(), version })
        }
        _ => Err(SourceUrlError::S3Parts),
    }
}

impl fmt::Display for SourceUrl {
    /// Without user name, password and query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            SourceTarget::Http(url) => {
                let mut public = url.clone();
                let had_query = url.query().is_some();
                public.set_query(None);
                public.set_fragment(None);
                // These fail only for URLs without a host, which http(s) URLs have.
                let _ = public.set_username("");
                let _ = public.set_password(None);
                write!(f, "{public}{}", if had_query { "?…" } else { "" })
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
    fn parse_accepts_each_scheme() {
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
    fn parse_error_names_problem() {
        for (text, message) in [
            ("bucket/key", "a source URL has the form s3://BUCKET/KEY, https://…, http://… or file:///PATH"),
            ("ftp://h/x", "the scheme \"ftp\" is not supported; use s3, https, http or file"),
            ("s3://bucket", "an S3 source needs a bucket and a key: s3://BUCKET/KEY"),
            ("s3://bucket/", "an S3 source needs a bucket and a key: s3://BUCKET/KEY"),
            ("s3://b/k?acl", "an S3 source may only have the query ?versionId=…, this has \"acl\""),
            ("file://host/x", "a file source needs an absolute path: file:///PATH"),
            ("https://", "this is not a URL: empty host"),
        ] {
            assert_eq!(text.parse::<SourceUrl>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn display_hides_secrets() {
        let source: SourceUrl = "https://user:pass@h/x?X-Amz-Signature=abc#f".parse().unwrap();
        assert_eq!(source.to_string(), "https://h/x?…");
        assert_eq!(format!("{source:?}"), "SourceUrl(https://h/x?…)");
    }
}
