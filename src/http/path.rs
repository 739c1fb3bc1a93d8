//! Parses request paths into routes. Pure; names from a path are only keys for look-ups, never file paths.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::asset::Digest;

/// The resource that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/assets/NAME`, with the name percent-decoded.
    Asset(Cow<'a, str>),
    /// `/blobs/sha256/HEX`.
    Blob(Digest),
    /// `/boot.ipxe`.
    Entry,
    /// `/ipxe`.
    Ipxe,
    /// `/grub.cfg`.
    Grub,
    /// `/hosts/HOST/FILE`, both percent-decoded.
    HostFile {
        /// The name of the host.
        host: Cow<'a, str>,
        /// The name of the file.
        file: Cow<'a, str>,
    },
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// Any other path.
    Unknown,
}

impl<'a> Route<'a> {
    /// Parses the path of a request target, without its query.
    ///
    /// Repeated slashes count as one: firmware joins paths carelessly and does not follow redirects. Percent-encoding is
    /// decoded once, after the path is split, so that an encoded slash never starts a new segment.
    pub(super) fn parse(path: &'a str) -> Self {
        let path = collapse_slashes(path);
        match path {
            Cow::Borrowed(path) => Self::parse_collapsed(path),
            Cow::Owned(path) => Route::parse_collapsed(&path).into_owned(),
        }
    }

    fn parse_collapsed(path: &'a str) -> Self {
        if let Some(name) = path.strip_prefix("/assets/") {
            percent_decode_str(name).decode_utf8().map_or(Self::Unknown, Self::Asset)
        } else if let Some(hex) = path.strip_prefix("/blobs/sha256/") {
            hex.parse().map_or(Self::Unknown, Self::Blob)
        } else if let Some((host, file)) = path.strip_prefix("/hosts/").and_then(|rest| rest.split_once('/')) {
            match (percent_decode_str(host).decode_utf8(), percent_decode_str(file).decode_utf8()) {
                (Ok(host), Ok(file)) => Self::HostFile { host, file },
                _ => Self::Unknown,
            }
        } else {
            match path {
                "/boot.ipxe" => Self::Entry,
                "/ipxe" => Self::Ipxe,
                "/grub.cfg" => Self::Grub,
                "/healthz" => Self::Health,
                "/readyz" => Self::Ready,
                _ => Self::Unknown,
            }
        }
    }

    fn into_owned<'b>(self) -> Route<'b> {
        match self {
            Self::Asset(name) => Route::Asset(Cow::Owned(name.into_owned())),
            Self::Blob(digest) => Route::Blob(digest),
            Self::Entry => Route::Entry,
            Self::Ipxe => Route::Ipxe,
            Self::Grub => Route::Grub,
            Self::HostFile { host, file } => {
                Route::HostFile { host: Cow::Owned(host.into_owned()), file: Cow::Owned(file.into_owned()) }
            }
            Self::Health => Route::Health,
            Self::Ready => Route::Ready,
            Self::Unknown => Route::Unknown,
        }
    }
}

/// Replaces each run of slashes by one; borrows if there are no repeated slashes.
fn collapse_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut previous = None;
    Cow::Owned(path.chars().filter(|&c| previous.replace(c) != Some('/') || c != '/').collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asset(name: &str) -> Route<'_> {
        Route::Asset(name.into())
    }

    #[test]
    fn path_parses_into_route() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = hex.parse().unwrap();
        let blob = format!("/blobs/sha256/{hex}");
        for (path, route) in [
            ("/assets/vmlinuz", asset("vmlinuz")),
            ("/assets/okd/4.19/rootfs.img", asset("okd/4.19/rootfs.img")),
            ("//assets///okd//4.19/rootfs.img", asset("okd/4.19/rootfs.img")),
            ("/assets/Fedora%2042%20%28x86_64%29.iso", asset("Fedora 42 (x86_64).iso")),
            ("/assets/a+b", asset("a+b")),
            // Decoded once; a malformed escape is kept as it is.
            ("/assets/100%2525", asset("100%25")),
            ("/assets/100%", asset("100%")),
            ("/assets/%zz", asset("%zz")),
            // Not valid names; the look-up rejects them.
            ("/assets/a%2F%2Fb", asset("a//b")),
            ("/assets/%2e%2e/passwd", asset("../passwd")),
            ("/assets/", asset("")),
            ("/assets/%ff", Route::Unknown),
            ("/assets", Route::Unknown),
            (blob.as_str(), Route::Blob(digest)),
            ("/blobs/sha256/abc", Route::Unknown),
            ("/blobs/md5/abc", Route::Unknown),
            ("/boot.ipxe", Route::Entry),
            ("//boot.ipxe", Route::Entry),
            ("/ipxe", Route::Ipxe),
            ("/grub.cfg", Route::Grub),
            ("/hosts/r630-01/config.ign", Route::HostFile { host: "r630-01".into(), file: "config.ign".into() }),
            ("/hosts//a/cloud%2Fuser-data", Route::HostFile { host: "a".into(), file: "cloud/user-data".into() }),
            ("/hosts/a/cloud/user-data", Route::HostFile { host: "a".into(), file: "cloud/user-data".into() }),
            ("/hosts/a", Route::Unknown),
            ("/healthz", Route::Health),
            ("//readyz", Route::Ready),
            ("/metrics", Route::Unknown),
            ("/", Route::Unknown),
            ("*", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }

    proptest! {
        #[test]
        fn encoded_name_round_trips(name in "[a-zé %&?#+.-]{1,8}(/[a-z %.]{1,8}){0,3}") {
            let encoded: String = name.bytes().map(|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02X}") }).collect();
            let path = format!("/assets/{encoded}");
            prop_assert_eq!(Route::parse(&path), asset(&name));
        }

        #[test]
        fn collapse_removes_only_repeated_slashes(path in "[/a]{0,20}") {
            let short = collapse_slashes(&path);
            prop_assert!(!short.contains("//"));
            prop_assert_eq!(short.replace('/', ""), path.replace('/', ""));
            prop_assert_eq!(short.starts_with('/'), path.starts_with('/'));
            prop_assert_eq!(short.ends_with('/'), path.ends_with('/'));
        }
    }
}
