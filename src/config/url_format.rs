//! Formats of URLs.

use super::written::Format;
use crate::asset::{SourcePrefix, SourcePrefixError, SourceTarget, SourceUrl, SourceUrlError, has_ipv6_zone};

/// A source URL.
pub(super) enum Source {}

impl Format for Source {
    type Value = SourceUrl;
    const NAME: &'static str = "source-url";
    const EXPECTED: &'static str = "a source: s3://BUCKET/KEY, https://…, http://… or file:///PATH";

    fn read(text: &str) -> Result<SourceUrl, String> {
        text.parse().map_err(|error| match error {
            // The detail would repeat `EXPECTED`, or might reveal a secret.
            SourceUrlError::NoScheme => String::new(),
            SourceUrlError::S3Query(_) => {
                "the only query of an S3 source is ?versionId=…; a question mark in a key is written %3F".to_owned()
            }
            error => error.to_string(),
        })
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

/// The URL of a shared catalog.
pub(super) enum CatalogUrl {}

impl Format for CatalogUrl {
    type Value = SourceUrl;
    const NAME: &'static str = "catalog-url";
    const EXPECTED: &'static str = "the URL of the shared catalog: s3://BUCKET/KEY, https://… or file:///PATH";

    fn read(text: &str) -> Result<SourceUrl, String> {
        let source = Source::read(text)?;
        // No digest protects the catalog, and it decides what machines boot.
        match source.target() {
            SourceTarget::Http(url) if url.scheme() == "http" => {
                Err("anyone on the network path can change it over http://; use https://".to_owned())
            }
            _ => Ok(source),
        }
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

impl Format for SourcePrefix {
    type Value = Self;
    const NAME: &'static str = "source-prefix";
    const EXPECTED: &'static str = "a prefix of source URLs: s3://…, https://… or http://…";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| match error {
            // `EXPECTED` has the schemes.
            SourcePrefixError::Scheme => String::new(),
            error => error.to_string(),
        })
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

/// The URL of an S3 endpoint.
pub(super) enum Endpoint {}

impl Format for Endpoint {
    type Value = url::Url;
    const NAME: &'static str = "endpoint-url";
    const EXPECTED: &'static str = "a URL such as \"https://s3.lab:9000\"";

    fn read(text: &str) -> Result<url::Url, String> {
        let url = url(text, &["https", "http"])?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an endpoint has no query and no fragment".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user and password belong in credentials".to_owned());
        }
        Ok(url)
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

/// The base of this server's own URLs.
pub(super) enum BaseUrl {}

impl Format for BaseUrl {
    type Value = String;
    const NAME: &'static str = "base-url";
    const EXPECTED: &'static str = "a URL such as \"http://boot.lab:8080\"";

    fn read(text: &str) -> Result<String, String> {
        let url = Endpoint::read(text)?;
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

/// The URL of a proxy.
pub(super) enum Proxy {}

impl Format for Proxy {
    type Value = url::Url;
    const NAME: &'static str = "proxy-url";
    const EXPECTED: &'static str = "a proxy's URL such as \"http://127.0.0.1:4001\" or \"socks5://127.0.0.1:1080\"";

    fn read(text: &str) -> Result<url::Url, String> {
        url(text, &["http", "https", "socks4", "socks4a", "socks5", "socks5h"])
    }

    fn shown(text: &str) -> String {
        without_secrets(text)
    }
}

fn url(text: &str, schemes: &[&str]) -> Result<url::Url, String> {
    if has_ipv6_zone(text) {
        return Err(SourceUrlError::Zone.to_string());
    }
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    if !schemes.contains(&url.scheme()) {
        return Err(format!("the scheme is one of {}", schemes.join(", ")));
    }
    if url.has_host() { Ok(url) } else { Err("it has no host".to_owned()) }
}

/// A URL without user name, password and query, which may carry secrets. The text may be malformed.
fn without_secrets(text: &str) -> String {
    // A password with a '/', '?' or '#' makes another URL, or none, of what was meant.
    if url::Url::parse(text).is_err() || !text.contains("://") {
        let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
        if let Some((_, host)) = rest.rsplit_once('@') {
            let (host, query) = host.split_at(host.find(['?', '#']).unwrap_or(host.len()));
            return format!("{scheme}…@{host}{}", if query.is_empty() { "" } else { "?…" });
        }
    }
    let (before_query, query) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
    let query = match query.strip_prefix("?versionId=") {
        Some(version) if text.starts_with("s3://") && !version.contains('&') => query,
        _ if query.is_empty() => "",
        _ => "?…",
    };
    let (scheme, rest) = match before_query.split_once("://") {
        Some((scheme, rest)) if scheme != "s3" && scheme != "file" => (scheme, rest),
        _ => return format!("{before_query}{query}"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (text, expected) in [
            ("https://h/x?X-Amz-Signature=abc", "https://h/x?…"),
            ("https://user:pass@h:1/x", "https://…@h:1/x"),
            ("https://h/x#secret", "https://h/x?…"),
            ("s3://b/k?versionId=3", "s3://b/k?versionId=3"),
            ("s3://b/k?versionId=3&sig=4", "s3://b/k?…"),
            ("s3://b/a@b", "s3://b/a@b"),
            ("not a url", "not a url"),
            ("https://user:pa/ss@h/x?y", "https://…@h/x?…"),
            ("https://user:pa?ss@h/x", "https://…@h/x"),
            ("https://us\\er:pass@[h/x", "https://…@[h/x"),
            ("https:/user:pass@h/x", "…@h/x"),
            ("user:pass@h/x?y", "…@h/x?…"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
        assert_eq!(without_secrets("socks5://me:pw@p:1"), "socks5://…@p:1");
    }
}
