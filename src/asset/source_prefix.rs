//! The `match` of an origin: which source URLs it covers, compared as parsed.
//!
//! Secret header fields and signatures go where a prefix says, so a doubtful spelling is never covered.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode;
use url::Url;

use super::source::{SourceTarget, SourceUrl, decode_key, has_ipv6_zone};

/// A scheme, a host with its port (for S3 a bucket), and the first segments of the path. A scheme alone covers every host.
///
/// Scheme, host and port are compared as parsed, the path by whole segments: `https://h/a` covers `https://H:443/a/b`, but not
/// `https://h/ab`. With a slash at its end it covers only what is below: `https://h/a/` does not cover `https://h/a`.
///
/// ```
/// use bootdepot::asset::{SourcePrefix, SourceUrl};
///
/// let prefix: SourcePrefix = "https://mirror.lab/private/".parse()?;
/// assert!(prefix.covers(&"https://MIRROR.lab:443/%70rivate/a.img".parse::<SourceUrl>()?));
/// assert!(!prefix.covers(&"https://mirror.lab/private/..%2Fother/a.img".parse::<SourceUrl>()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePrefix {
    text: String,
    authority: Authority,
    /// The path's segments in canonical spelling, without an empty one at the end.
    segments: Vec<String>,
    /// Whether the path ends with a slash.
    below: bool,
}

/// The server or the bucket that holds the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Authority {
    /// A web server.
    Server { scheme: String, host: String, port: u16 },
    /// One bucket, at the endpoint of the origin.
    Bucket(String),
    /// Every server of this scheme, or every bucket at the endpoint of the origin (`s3`).
    Any { scheme: String },
}

/// Why a text is not a usable prefix. The messages say what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourcePrefixError {
    /// The scheme is not one of those that need an origin.
    #[error("the scheme is s3, https or http")]
    Scheme,
    /// It has a path without a host.
    #[error("it names no host; write https://HOST/PATH, or s3://BUCKET/PREFIX")]
    NoHost,
    /// It has user information.
    #[error("it has a user name or a password; send them with `headers`, such as Authorization")]
    UserInfo,
    /// It has a query or a fragment.
    #[error("it has a query or a fragment, which is not compared; leave out everything from {0:?} on")]
    Query(char),
    /// It has a wildcard.
    #[error("'*' stands for itself, not for any name; add one [[origin]] for each host, and end a path with '/'")]
    Wildcard,
    /// The path has more than one reading.
    #[error("its path has a '.' or '..' segment, a backslash, or an encoded '/'; write the plain path")]
    Path,
    /// The host is an IPv6 address with a zone.
    #[error("a URL cannot have an IPv6 zone (%eth0); use a host name, or an address that is not link-local")]
    Zone,
    /// It is not a URL.
    #[error("this is not a URL: {0}")]
    Url(String),
}

impl SourcePrefix {
    /// The prefix `s3://`, which covers every bucket.
    pub fn any_bucket() -> Self {
        let authority = Authority::Any { scheme: "s3".to_owned() };
        Self { text: "s3://".to_owned(), authority, segments: Vec::new(), below: false }
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one spelling of all prefixes that cover the same sources.
    pub fn canonical(&self) -> String {
        let mut canonical = match &self.authority {
            Authority::Server { scheme, host, port } => format!("{scheme}://{host}:{port}"),
            Authority::Bucket(bucket) => format!("s3://{bucket}"),
            Authority::Any { scheme } => format!("{scheme}://"),
        };
        for segment in &self.segments {
            canonical.push('/');
            canonical.push_str(segment);
        }
        canonical + if self.below { "/" } else { "" }
    }

    /// Whether requests for `source` may carry the secrets of this prefix.
    pub fn covers(&self, source: &SourceUrl) -> bool {
        match source.target() {
            SourceTarget::Http(url) => self.covers_url(url),
            SourceTarget::S3 { bucket, key, .. } => match &self.authority {
                Authority::Bucket(name) => name == bucket && self.covers_path(key, str::to_owned),
                Authority::Any { scheme } => scheme == "s3",
                Authority::Server { .. } => false,
            },
            SourceTarget::File(_) => false,
        }
    }

    /// Whether a request to `url`, the target of a redirect for example, may carry the secrets of this prefix.
    pub fn covers_url(&self, url: &Url) -> bool {
        match &self.authority {
            Authority::Server { scheme, host, port } => {
                url.scheme() == scheme
                    && host_of(url).is_some_and(|other| other == *host)
                    && url.port_or_known_default() == Some(*port)
                    && self.covers_path(url.path().strip_prefix('/').unwrap_or_default(), canonical_segment)
            }
            Authority::Any { scheme } => url.scheme() == scheme,
            Authority::Bucket(_) => false,
        }
    }

    /// Whether it covers objects of S3 buckets.
    pub fn is_s3(&self) -> bool {
        match &self.authority {
            Authority::Bucket(_) => true,
            Authority::Any { scheme } => scheme == "s3",
            Authority::Server { .. } => false,
        }
    }

    /// Whether it covers every web server, so that no secret may be sent to what it covers.
    pub fn covers_any_server(&self) -> bool {
        matches!(self.authority, Authority::Any { .. }) && !self.is_s3()
    }

    /// The longest of `prefixes` that covers `source`.
    pub fn longest<'p>(prefixes: impl Iterator<Item = &'p Self>, source: &SourceUrl) -> Option<&'p Self> {
        prefixes.filter(|prefix| prefix.covers(source)).max_by_key(|prefix| prefix.rank())
    }

    /// Orders the prefixes that cover the same source: the most specific one is the greatest.
    pub fn rank(&self) -> (bool, usize, bool) {
        (!matches!(self.authority, Authority::Any { .. }), self.segments.len(), self.below)
    }

    /// Compares a path without its leading slash. `canonical` spells one segment as [`Self::segments`] are spelled.
    fn covers_path(&self, path: &str, canonical: impl Fn(&str) -> String) -> bool {
        if self.segments.is_empty() {
            return true;
        }
        let mut rest = Some(path);
        for segment in &self.segments {
            let Some(path) = rest else { return false };
            let (first, others) = path.split_once('/').map_or((path, None), |(first, others)| (first, Some(others)));
            if canonical(first) != *segment {
                return false;
            }
            rest = others;
        }
        match rest {
            Some(rest) => stays_below(rest),
            None => !self.below,
        }
    }
}

/// Whether no server could read `path` as one that leaves the directory it is relative to. Servers differ in what they decode
/// (once, twice, not at all), and in how they read backslashes, doubled slashes and parameters (`..;x`); every reading counts.
fn stays_below(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    loop {
        if may_leave(&path) {
            return false;
        }
        let decoded: Vec<u8> = percent_decode(&path).collect();
        if decoded == path {
            return true;
        }
        path = decoded;
    }
}

fn may_leave(path: &[u8]) -> bool {
    // Some servers cut names at control characters, and some take overlong UTF-8 (0xC0, 0xC1), which is never valid, for dots.
    if path.iter().any(|byte| matches!(byte, 0..=0x1f | 0x7f | 0xc0 | 0xc1)) {
        return true;
    }
    let mut depth = 0_usize;
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// The host without the dot that ends an absolute name.
fn host_of(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    Some(host.strip_suffix('.').unwrap_or(host)).filter(|host| !host.is_empty() && !host.ends_with('.'))
}

/// Decodes what RFC 3986 6.2.2.2 leaves unencoded, and spells other escapes in upper case.
fn canonical_segment(segment: &str) -> String {
    let mut canonical = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, escape)) = rest.split_once('%') {
        canonical.push_str(before);
        let digits = escape.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if let Some(byte) = byte {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => canonical.push(byte.into()),
                other => canonical.extend(['%', hex_digit(other >> 4), hex_digit(other & 0xf)]),
            }
            &escape[2..]
        } else {
            canonical.push('%');
            escape
        };
    }
    canonical + rest
}

/// The upper-case hexadecimal digit of a value below 16.
fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

impl FromStr for SourcePrefix {
    type Err = SourcePrefixError;

    fn from_str(text: &str) -> Result<Self, SourcePrefixError> {
        let (scheme, rest) = text.split_once("://").ok_or(SourcePrefixError::Scheme)?;
        let (authority, path) = match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket(rest)?,
            scheme @ ("http" | "https") if rest.is_empty() => {
                (Authority::Any { scheme: scheme.to_owned() }, String::new())
            }
            "http" | "https" => server(text, rest)?,
            _ => return Err(SourcePrefixError::Scheme),
        };
        let mut segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        // "" and "/" are the whole host, "a/" is what is below a.
        let ends_with_slash = segments.last().is_some_and(String::is_empty);
        if ends_with_slash {
            segments.pop();
        }
        if matches!(authority, Authority::Server { .. }) {
            segments = segments.iter().map(|segment| canonical_segment(segment)).collect();
        }
        let below = ends_with_slash && !segments.is_empty();
        Ok(Self { text: text.to_owned(), authority, segments, below })
    }
}

/// The bucket, and the beginning of its keys.
fn bucket(rest: &str) -> Result<(Authority, String), SourcePrefixError> {
    if rest.contains('?') {
        return Err(SourcePrefixError::Query('?'));
    }
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = match bucket {
        "" if rest.is_empty() => Authority::Any { scheme: "s3".to_owned() },
        "" => return Err(SourcePrefixError::NoHost),
        bucket => Authority::Bucket(bucket.to_owned()),
    };
    if bucket.contains('*') || key.ends_with('*') {
        return Err(SourcePrefixError::Wildcard);
    }
    // Such keys cannot be requested.
    if key.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(SourcePrefixError::Path);
    }
    Ok((authority, decode_key(key)))
}

/// The server, and the beginning of its paths.
fn server(text: &str, rest: &str) -> Result<(Authority, String), SourcePrefixError> {
    if rest.starts_with('/') {
        return Err(SourcePrefixError::NoHost);
    }
    if has_ipv6_zone(text) {
        return Err(SourcePrefixError::Zone);
    }
    let url = Url::parse(text).map_err(|error| SourcePrefixError::Url(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourcePrefixError::UserInfo);
    }
    if let Some(delimiter) = text.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(SourcePrefixError::Query(delimiter));
    }
    let host = host_of(&url).ok_or(SourcePrefixError::NoHost)?.to_owned();
    let port = url.port_or_known_default().ok_or(SourcePrefixError::NoHost)?;
    let written = rest.split_once('/').map_or("", |(_, path)| path);
    if host.contains('*') || written.ends_with('*') {
        return Err(SourcePrefixError::Wildcard);
    }
    let is_dots = |segment: &str| matches!(canonical_segment(segment).as_str(), "." | "..");
    let has_escape = |escape| written.to_ascii_uppercase().contains(escape);
    let has_control = text.contains(|c: char| c.is_control() || c == '\\');
    if has_control || has_escape("%2F") || has_escape("%5C") || written.split('/').any(is_dots) || !stays_below(written)
    {
        return Err(SourcePrefixError::Path);
    }
    let scheme = url.scheme().to_owned();
    let path = url.path().strip_prefix('/').unwrap_or_default().to_owned();
    Ok((Authority::Server { scheme, host, port }, path))
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
