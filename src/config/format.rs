//! Formats of text values, each known by the name that the JSON Schema gives it as `format`.
//!
//! One list serves three purposes: parsing a value, describing what was expected, and explaining a key's type.

use std::net::SocketAddr;
use std::time::Duration;

use super::size::Size;
use super::span::Span;
use super::written::Format;
use super::zone::zoned_address;
use crate::asset::{
    AssetName, Digest, SourcePrefix, SourcePrefixError, SourceTarget, SourceUrl, SourceUrlError, has_ipv6_zone,
};
use crate::boot::{Mac, Uuid};
use crate::secret::{Secret, VaultPath};

/// Description of a format for validation and explanation.
pub(super) struct FormatInfo {
    pub(super) number: bool,
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
    pub(super) check: fn(&str) -> Result<(), String>,
}

impl FormatInfo {
    const fn of<F: Format>() -> Self {
        Self { number: F::NUMBER, name: F::NAME, expected: F::EXPECTED, check: |text| F::read(text).map(drop) }
    }

    /// The format of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }
}

static FORMATS: &[FormatInfo] = &[
    FormatInfo::of::<Size>(),
    FormatInfo::of::<Span>(),
    FormatInfo::of::<Timeout>(),
    FormatInfo::of::<SpanOrOff>(),
    FormatInfo::of::<Address>(),
    FormatInfo::of::<AddressOrOff>(),
    FormatInfo::of::<FilePath>(),
    FormatInfo::of::<Directory>(),
    FormatInfo::of::<HostName>(),
    FormatInfo::of::<Sha256>(),
    FormatInfo::of::<Name>(),
    FormatInfo::of::<Label>(),
    FormatInfo::of::<Source>(),
    FormatInfo::of::<CatalogUrl>(),
    FormatInfo::of::<SourcePrefix>(),
    FormatInfo::of::<Endpoint>(),
    FormatInfo::of::<BaseUrl>(),
    FormatInfo::of::<Proxy>(),
    FormatInfo::of::<SecretText>(),
    FormatInfo::of::<VaultSecret>(),
    FormatInfo::of::<MediaType>(),
    FormatInfo::of::<MacAddress>(),
    FormatInfo::of::<SmbiosUuid>(),
];

impl Format for Size {
    type Value = Self;
    const NAME: &'static str = "size";
    const EXPECTED: &'static str = "a size such as \"8 MiB\", or a number of bytes";
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl Format for Span {
    type Value = Duration;
    const NAME: &'static str = "time-span";
    const EXPECTED: &'static str = "a duration such as \"30s\", \"5m\" or \"1h30m\"";

    fn read(text: &str) -> Result<Duration, String> {
        text.parse().map(|Self(span)| span)
    }
}

/// A duration greater than zero.
pub(super) enum Timeout {}

impl Format for Timeout {
    type Value = Duration;
    const NAME: &'static str = "timeout";
    const EXPECTED: &'static str = "a duration above zero, such as \"500ms\", \"30s\" or \"5m\"";

    fn read(text: &str) -> Result<Duration, String> {
        match Span::read(text)? {
            Duration::ZERO => Err("it is zero".to_owned()),
            span => Ok(span),
        }
    }
}

/// A duration greater than zero, or `off`.
pub(super) enum SpanOrOff {}

impl Format for SpanOrOff {
    type Value = Option<Duration>;
    const NAME: &'static str = "time-span-or-off";
    const EXPECTED: &'static str = "a duration such as \"7d\", or \"off\"";

    fn read(text: &str) -> Result<Option<Duration>, String> {
        if text == "off" { Ok(None) } else { Timeout::read(text).map(Some) }
    }
}

/// An IP address and a port.
pub(super) enum Address {}

impl Format for Address {
    type Value = SocketAddr;
    const NAME: &'static str = "socket-address";
    const EXPECTED: &'static str = "an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\"";

    fn read(text: &str) -> Result<SocketAddr, String> {
        text.parse().or_else(|_| zoned_address(text))
    }
}

/// An IP address and a port, or `off`.
pub(super) enum AddressOrOff {}

impl Format for AddressOrOff {
    type Value = Option<SocketAddr>;
    const NAME: &'static str = "socket-address-or-off";
    const EXPECTED: &'static str = "an IP address and a port, such as \"127.0.0.1:8081\", or \"off\"";

    fn read(text: &str) -> Result<Option<SocketAddr>, String> {
        if text == "off" { Ok(None) } else { Address::read(text).map(Some) }
    }
}

/// A path on this machine.
pub(super) enum FilePath {}

impl Format for FilePath {
    type Value = std::path::PathBuf;
    const NAME: &'static str = "path";
    const EXPECTED: &'static str = "a path on this machine";

    fn read(text: &str) -> Result<Self::Value, String> {
        match text {
            "" => Err("it is empty".to_owned()),
            text if text.contains('\0') => Err("it contains a NUL character".to_owned()),
            text => Ok(text.into()),
        }
    }
}

/// A directory on this machine.
pub(super) enum Directory {}

impl Format for Directory {
    type Value = std::path::PathBuf;
    const NAME: &'static str = "directory";
    const EXPECTED: &'static str = "the absolute path of a directory such as \"/srv/assets\"";

    fn read(text: &str) -> Result<Self::Value, String> {
        let path = FilePath::read(text)?;
        if !path.is_absolute() {
            return Err("it is not absolute".to_owned());
        }
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err("it has a '..' segment".to_owned());
        }
        Ok(path)
    }
}

/// A host name.
pub(super) enum HostName {}

impl Format for HostName {
    type Value = String;
    const NAME: &'static str = "host-name";
    const EXPECTED: &'static str = "a name without scheme and port, such as \"boot.lab\"";

    fn read(text: &str) -> Result<String, String> {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match text.find(|c| !known(c)) {
            _ if text.trim_matches('.').is_empty() => Err("it is empty".to_owned()),
            Some(at) => Err(format!("{:?} is not allowed in a name", text[at..].chars().next().unwrap_or_default())),
            None => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        }
    }
}

/// A SHA-256 digest.
pub(super) enum Sha256 {}

impl Format for Sha256 {
    type Value = Digest;
    const NAME: &'static str = "sha256";
    const EXPECTED: &'static str = "64 hexadecimal digits, as sha256sum prints them";

    fn read(text: &str) -> Result<Digest, String> {
        text.parse().map_err(|error| match error {
            crate::asset::DigestError::Length(1) => "this has 1 character".to_owned(),
            crate::asset::DigestError::Length(length) => format!("this has {length} characters"),
            crate::asset::DigestError::Character(character) => format!("{character:?} is not a hexadecimal digit"),
        })
    }
}

/// An asset's name.
pub(super) enum Name {}

impl Format for Name {
    type Value = AssetName;
    const NAME: &'static str = "asset-name";
    const EXPECTED: &'static str = "an asset's name such as \"okd/4.19/rootfs.img\"";

    fn read(text: &str) -> Result<AssetName, String> {
        AssetName::parse(text).map_err(|error| error.to_string())
    }
}

/// A name that commands and URLs use: of a release or a channel.
pub(super) enum Label {}

impl Format for Label {
    type Value = String;
    const NAME: &'static str = "label";
    const EXPECTED: &'static str = "a name of letters, digits, '.', '_' and '-' such as \"okd-4.19\"";

    fn read(text: &str) -> Result<String, String> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match text.find(|c| !known(c)) {
            _ if text.is_empty() => Err("it is empty".to_owned()),
            _ if text.len() > 64 => Err("it has more than 64 characters".to_owned()),
            _ if text.starts_with(['.', '-']) => Err("it must begin with a letter, a digit or '_'".to_owned()),
            Some(at) => Err(format!("{:?} is not allowed", text[at..].chars().next().unwrap_or_default())),
            None => Ok(text.to_owned()),
        }
    }
}

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

/// A secret, or a reference to one.
pub(super) enum SecretText {}

impl Format for SecretText {
    type Value = Secret;
    const NAME: &'static str = "secret";
    const EXPECTED: &'static str = "the secret itself, \"env:NAME\", \"file:/path\" or \"vault:MOUNT/PATH#FIELD\"";

    fn read(text: &str) -> Result<Secret, String> {
        Secret::check(text)?;
        Ok(Secret::new(text))
    }
}

/// A Vault path to a secret with several fields.
pub(super) enum VaultSecret {}

impl Format for VaultSecret {
    type Value = VaultPath;
    const NAME: &'static str = "vault-path";
    const EXPECTED: &'static str = "a Vault path MOUNT/PATH such as \"kv/bootdepot/s3\"";

    fn read(text: &str) -> Result<VaultPath, String> {
        Ok(VaultPath::parse(text)?)
    }
}

/// A media type.
pub(super) enum MediaType {}

impl Format for MediaType {
    type Value = Box<str>;
    const NAME: &'static str = "media-type";
    const EXPECTED: &'static str = "a media type such as \"application/octet-stream\"";

    fn read(text: &str) -> Result<Box<str>, String> {
        let token = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        // RFC 9110 8.3.1: type "/" subtype, then parameters.
        let essence = text.split(';').next().unwrap_or_default().trim_end();
        let well_formed = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
        let sendable = http::HeaderValue::from_str(text).is_ok();
        if well_formed && sendable { Ok(text.into()) } else { Err(String::new()) }
    }
}

/// A MAC address.
pub(super) enum MacAddress {}

impl Format for MacAddress {
    type Value = Mac;
    const NAME: &'static str = "mac-address";
    const EXPECTED: &'static str = "a MAC address such as \"24:6e:96:00:00:01\", in any spelling";

    fn read(text: &str) -> Result<Mac, String> {
        text.parse().map_err(|_| String::new())
    }
}

/// A UUID.
pub(super) enum SmbiosUuid {}

impl Format for SmbiosUuid {
    type Value = Uuid;
    const NAME: &'static str = "smbios-uuid";
    const EXPECTED: &'static str = "a UUID such as \"4c4c4544-0042-3110-8043-b2c04f564232\"";

    fn read(text: &str) -> Result<Uuid, String> {
        text.parse().map_err(|_| String::new())
    }
}

/// The displayed form of a text of this format: secrets, and what carries them, are removed.
pub(super) fn shown(format: &str, text: &str) -> String {
    match format {
        SecretText::NAME => match text.split_once(':') {
            // A reference to a secret is not secret.
            Some(("env" | "file" | "vault", _)) => text.to_owned(),
            _ => "(secret)".to_owned(),
        },
        Source::NAME | SourcePrefix::NAME | Endpoint::NAME | BaseUrl::NAME | Proxy::NAME => without_secrets(text),
        _ => text.to_owned(),
    }
}

/// A URL without user name, password and query, which may carry secrets. The text may be malformed.
fn without_secrets(text: &str) -> String {
    // A password with a '/', '?' or '#' makes another URL, or none, of what was meant.
    if let Some((scheme, rest)) = text.split_once("://")
        && url::Url::parse(text).is_err()
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        let (host, query) = host.split_at(host.find(['?', '#']).unwrap_or(host.len()));
        return format!("{scheme}://…@{host}{}", if query.is_empty() { "" } else { "?…" });
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
    use proptest::prelude::*;

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
        ] {
            assert_eq!(shown(Source::NAME, text), expected);
        }
        assert_eq!(shown(Proxy::NAME, "socks5://me:pw@p:1"), "socks5://…@p:1");
    }

    #[test]
    fn of_secrets_only_the_place_is_shown() {
        assert_eq!(shown(SecretText::NAME, "hunter2"), "(secret)");
        assert_eq!(shown(SecretText::NAME, "env:KEY"), "env:KEY");
        assert_eq!(shown(SecretText::NAME, "file:/run/key"), "file:/run/key");
    }

    #[test]
    fn media_types_are_checked() {
        for good in ["text/plain", "text/plain; charset=utf-8", "application/vnd.efi-iso", "application/x+y"] {
            assert!(MediaType::read(good).is_ok(), "{good}");
        }
        for bad in ["", "text", "text/", "/plain", "te xt/plain", "text/plain\r\nX: y"] {
            assert!(MediaType::read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_format_panic(text in "\\PC{0,30}|(https|s3|socks5|file|env)://?[a-z@:?#/]{0,12}") {
            for format in FORMATS {
                let _ = (format.check)(&text);
                let _ = shown(format.name, &text);
            }
        }
    }
}
