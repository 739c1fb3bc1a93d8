//! Formats of text values, each known by the name that the JSON Schema gives it as `format`.
//!
//! One list serves three purposes: parsing a value, describing what was expected, and explaining a key's type.

use std::net::SocketAddr;
use std::time::Duration;

pub(super) use super::bucket_format::{BucketName, DaysOrOff, Folder};
use super::collection_format::{NamePrefix, SourceFolder};
use super::mirror_format::{CatalogTarget, Sha512, StorePrefix, Upstream};
use super::size::Size;
use super::span::Span;
pub(super) use super::url_format::{BaseUrl, CatalogUrl, Endpoint, Proxy, Source};
use super::written::Format;
use super::zone::zoned_address;
use crate::address_share::{AddressRange, RangeError};
use crate::asset::{AssetName, Digest, SourcePrefix};
use crate::boot::{Mac, Uuid};
use crate::secret::{Secret, VaultPath};

/// Description of a format for validation and explanation.
pub(super) struct FormatInfo {
    pub(super) number: bool,
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
    pub(super) check: fn(&str) -> Result<(), String>,
    shown: fn(&str) -> String,
}

impl FormatInfo {
    const fn of<F: Format>() -> Self {
        let check = |text: &str| F::read(text).map(drop);
        Self { number: F::NUMBER, name: F::NAME, expected: F::EXPECTED, check, shown: F::shown }
    }

    /// The format of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The displayed form of a text of this format: secrets, and what carries them, are removed.
    pub(super) fn shown(&self, text: &str) -> String {
        (self.shown)(text)
    }
}

static FORMATS: &[FormatInfo] = &[
    FormatInfo::of::<Size>(),
    FormatInfo::of::<Span>(),
    FormatInfo::of::<Timeout>(),
    FormatInfo::of::<SpanOrOff>(),
    FormatInfo::of::<DaysOrOff>(),
    FormatInfo::of::<Address>(),
    FormatInfo::of::<AddressOrOff>(),
    FormatInfo::of::<Addresses>(),
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
    FormatInfo::of::<BucketName>(),
    FormatInfo::of::<Folder>(),
    FormatInfo::of::<BaseUrl>(),
    FormatInfo::of::<Proxy>(),
    FormatInfo::of::<SecretText>(),
    FormatInfo::of::<VaultSecret>(),
    FormatInfo::of::<MediaType>(),
    FormatInfo::of::<MacAddress>(),
    FormatInfo::of::<SmbiosUuid>(),
    FormatInfo::of::<NamePrefix>(),
    FormatInfo::of::<SourceFolder>(),
    FormatInfo::of::<Upstream>(),
    FormatInfo::of::<StorePrefix>(),
    FormatInfo::of::<CatalogTarget>(),
    FormatInfo::of::<Sha512>(),
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

/// An IP address, or a network.
pub(super) enum Addresses {}

impl Format for Addresses {
    type Value = AddressRange;
    const NAME: &'static str = "ip-addresses";
    const EXPECTED: &'static str = "an IP address or a network, such as \"10.0.0.5\" or \"10.1.0.0/16\"";

    fn read(text: &str) -> Result<AddressRange, String> {
        text.parse().map_err(|error: RangeError| error.to_string())
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

    fn shown(text: &str) -> String {
        match text.split_once(':') {
            // A reference to a secret is not secret.
            Some(("env" | "file" | "vault", _)) => text.to_owned(),
            _ => "(secret)".to_owned(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secret_references_are_shown_in_full() {
        assert_eq!(SecretText::shown("hunter2"), "(secret)");
        assert_eq!(SecretText::shown("env:KEY"), "env:KEY");
        assert_eq!(SecretText::shown("file:/run/key"), "file:/run/key");
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

    #[test]
    fn url_formats_hide_secrets() {
        let urls: Vec<_> = FORMATS.iter().filter(|format| format.name.ends_with("url")).collect();
        assert!(urls.len() >= 5, "the names have changed");
        for format in urls {
            assert_eq!(format.shown("https://user:hunter2@h/x?sig=hunter2"), "https://…@h/x?…", "{}", format.name);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_format_panic(text in "\\PC{0,30}|(https|s3|socks5|file|env)://?[a-z@:?#/]{0,12}") {
            for format in FORMATS {
                let _ = (format.check)(&text);
                let _ = format.shown(&text);
            }
        }
    }
}
