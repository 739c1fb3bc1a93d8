//! Source URLs: where an asset can be fetched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// A URL from which an asset can be fetched.
///
/// Its forms are `s3://BUCKET/KEY[?versionId=…]`, `https://…`, `http://…` or `file:///…`. A key is written as it is, except
/// that a question mark in it is `%3F` (and what would read as such an escape has one more `25`: the key `a%3Fb` is
/// `a%253Fb`).
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
    /// See [`SourceUrl::confined_to`].
    directory: Option<Arc<Path>>,
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
    #[error(
        "an S3 source may only have the query ?versionId=…, this has {0:?}; a question mark in a key is written %3F"
    )]
    S3Query(String),
    /// It has a user name or a password.
    #[error(
        "a source has no user name and no password; send them with `headers` (Authorization) of the [[origin]] that matches it"
    )]
    UserInfo,
    /// Its host is an IPv6 address with a zone.
    #[error("a URL cannot have an IPv6 zone (%eth0); use a host name, or an address that is not link-local")]
    Zone,
    /// It has a relative path or a host.
    #[error("a file source needs an absolute path: file:///PATH")]
    FilePath,
    /// It is not a valid URL.
    #[error("this is not a URL: {0}")]
    Url(String),
}

impl SourceUrl {
    /// The current version of an object in a bucket. Fails if the bucket or the key is empty.
    pub fn s3(bucket: &str, key: &str) -> Result<Self, SourceUrlError> {
        format!("s3://{bucket}/{}", encode_key(key)).parse()
    }

    /// The target of the reference.
    pub fn target(&self) -> &SourceTarget {
        &self.target
    }

    /// The original text, including the secrets of a presigned URL: for matching and fetching. Logs use `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same source for an author who may read files below `directory` only: no symbolic link out of it is followed.
    #[must_use]
    pub fn confined_to(self, directory: &Path) -> Self {
        Self { directory: Some(directory.into()), ..self }
    }

    /// The directory that the file of this source must not leave.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
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
        let target = match scheme.to_ascii_lowercase().as_str() {
            "s3" => s3(rest)?,
            "http" | "https" => SourceTarget::Http(web(text)?),
            "file" if rest.starts_with('/') => SourceTarget::File(PathBuf::from(rest)),
            "file" => return Err(SourceUrlError::FilePath),
            _ => return Err(SourceUrlError::Scheme(scheme.to_owned())),
        };
        Ok(Self { text: text.to_owned(), target, directory: None })
    }
}

fn web(text: &str) -> Result<url::Url, SourceUrlError> {
    if has_ipv6_zone(text) {
        return Err(SourceUrlError::Zone);
    }
    let url = url::Url::parse(text).map_err(|e| SourceUrlError::Url(e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceUrlError::UserInfo);
    }
    Ok(url)
}

/// Whether the host of a URL is an IPv6 address with a zone (RFC 6874): `http://[fe80::1%25eth0]/`. URL parsers refuse zones,
/// and no client of an origin can pass one on.
pub fn has_ipv6_zone(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[').and_then(|host| host.split_once(']')).is_some_and(|(host, _)| host.contains('%'))
}

/// Decodes a key as written in a source URL: `%3F` is a question mark. Every other character stands for itself.
pub(super) fn decode_key(written: &str) -> String {
    let mut key = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, escape)) = rest.split_once('%') {
        key.push_str(before);
        let inner = escape.trim_start_matches("25");
        let is_escape = inner.get(..2).is_some_and(|digits| digits.eq_ignore_ascii_case("3f"));
        (key, rest) = match (is_escape, escape.strip_prefix("25")) {
            (true, None) => (key + "?", &inner[2..]),
            (true, Some(fewer)) => (key + "%" + &fewer[..fewer.len() - inner.len() + 2], &inner[2..]),
            (false, _) => (key + "%", escape),
        };
    }
    key + rest
}

/// Writes a key so that [`decode_key`] returns it.
fn encode_key(key: &str) -> String {
    let mut written = String::with_capacity(key.len());
    for (index, character) in key.char_indices() {
        match character {
            '?' => written.push_str("%3F"),
            '%' => {
                let after = key[index + 1..].trim_start_matches("25");
                let reads_as_escape = after.get(..2).is_some_and(|digits| digits.eq_ignore_ascii_case("3f"));
                written.push_str(if reads_as_escape { "%25" } else { "%" });
            }
            other => written.push(other),
        }
    }
    written
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
            Ok(SourceTarget::S3 { bucket: bucket.to_owned(), key: decode_key(key), version })
        }
        _ => Err(SourceUrlError::S3Parts),
    }
}

impl fmt::Display for SourceUrl {
    /// Without query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            SourceTarget::Http(url) => {
                let mut public = url.clone();
                let had_query = url.query().is_some();
                public.set_query(None);
                public.set_fragment(None);
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
            (
                "s3://b/k?acl",
                "an S3 source may only have the query ?versionId=…, this has \"acl\"; a question mark in a key is written %3F",
            ),
            ("file://host/x", "a file source needs an absolute path: file:///PATH"),
            ("https://", "this is not a URL: empty host"),
        ] {
            assert_eq!(text.parse::<SourceUrl>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn user_information_is_refused_unseen() {
        for text in [
            "https://user:hunter2@h/x",
            "http://hunter2@h/",
            "HTTPS://:hunter2@h",
            "http://good@evil/",
            "http://a:b@c@h/",
        ] {
            let error = text.parse::<SourceUrl>().unwrap_err();
            assert_eq!(error, SourceUrlError::UserInfo, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        // Empty user information says nothing, and a backslash or slash ends the host before it.
        for (text, host) in [("http://@h/", "h"), ("http://evil\\@good/", "evil"), ("http://evil/@good", "evil")] {
            let source: SourceUrl = text.parse().unwrap();
            let SourceTarget::Http(url) = source.target() else { panic!("{text} is a web source") };
            assert_eq!(url.host_str(), Some(host), "{text}");
        }
    }

    #[test]
    fn question_mark_in_key_is_escaped() {
        for (written, key) in [
            ("a%3Fb", "a?b"),
            ("a%3fb%3F", "a?b?"),
            ("a%253Fb", "a%3Fb"),
            ("a%25253fb", "a%253fb"),
            ("100%.img", "100%.img"),
            ("100%25.img", "100%25.img"),
            ("a%20b%2F%", "a%20b%2F%"),
            ("%2525", "%2525"),
            ("ü%3Fü%", "ü?ü%"),
        ] {
            let source: SourceUrl = format!("s3://b/{written}?versionId=7").parse().unwrap();
            let expected = SourceTarget::S3 { bucket: "b".into(), key: key.into(), version: Some("7".into()) };
            assert_eq!(source.target(), &expected, "{written}");
        }
    }

    #[test]
    fn written_key_reads_as_itself() {
        for key in ["a b", "a?b", "%3F", "a%3fb", "%253F?", "%25253f%", "100%.img", "%", "?versionId=1", "%%3F"] {
            let source = SourceUrl::s3("b", key).unwrap();
            let expected = SourceTarget::S3 { bucket: "b".into(), key: key.into(), version: None };
            assert_eq!(source.target(), &expected, "{source}");
        }
        assert_eq!(SourceUrl::s3("b", ""), Err(SourceUrlError::S3Parts));
    }

    #[test]
    fn ipv6_zone_is_refused() {
        for text in ["http://[fe80::1%25eth0]/x", "https://[fe80::1%eth0]:8443/x", "http://u@[fe80::1%1]"] {
            assert_eq!(text.parse::<SourceUrl>().unwrap_err(), SourceUrlError::Zone, "{text}");
        }
        assert!("http://[fe80::1]/a%25b]".parse::<SourceUrl>().is_ok());
    }

    #[test]
    fn display_hides_secrets() {
        let source: SourceUrl = "https://h/x?X-Amz-Signature=abc#f".parse().unwrap();
        assert_eq!(source.to_string(), "https://h/x?…");
        assert_eq!(format!("{source:?}"), "SourceUrl(https://h/x?…)");
    }
}
