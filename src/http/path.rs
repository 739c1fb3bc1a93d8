//! Parses request paths into routes. Pure; names from a path are only keys for look-ups, never file paths.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::asset::{Digest, canonical_name};
use crate::boot::RequestedScript;

/// The resource that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/assets/NAME`, with the name percent-decoded and canonical.
    Asset(Cow<'a, str>),
    /// `/blobs/sha256/HEX`.
    Blob(Digest),
    /// `boot.ipxe`, `grub.cfg` and others, in any directory.
    Script(RequestedScript),
    /// `/ipxe`.
    Ipxe,
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
    /// Parses the path of a request target, and its query, which says more about a machine.
    ///
    /// The path is taken in its canonical form: firmware joins paths carelessly and does not follow redirects. Percent-encoding is
    /// decoded once, after the path is split, and the decoded name of an asset is brought to its canonical form too.
    pub(super) fn parse(path: &'a str, query: &str) -> Self {
        if !path.starts_with('/') {
            return Self::Unknown;
        }
        let plain = path.trim_start_matches('/');
        match canonical_name(plain) {
            Cow::Borrowed(_) => Self::parse_canonical(plain, query),
            Cow::Owned(path) => Route::parse_canonical(&path, query).into_owned(),
        }
    }

    fn parse_canonical(path: &'a str, query: &str) -> Self {
        if let Some(name) = path.strip_prefix("assets/") {
            return match percent_decode_str(name).decode_utf8() {
                Ok(Cow::Borrowed(name)) => Self::Asset(canonical_name(name)),
                Ok(Cow::Owned(name)) => Self::Asset(Cow::Owned(canonical_name(&name).into_owned())),
                Err(_) => Self::Unknown,
            };
        }
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            return hex.parse().map_or(Self::Unknown, Self::Blob);
        }
        if let Some((host, file)) = path.strip_prefix("hosts/").and_then(|rest| rest.split_once('/')) {
            return match (percent_decode_str(host).decode_utf8(), percent_decode_str(file).decode_utf8()) {
                (Ok(host), Ok(file)) => Self::HostFile { host, file },
                _ => Self::Unknown,
            };
        }
        match path {
            "ipxe" => Self::Ipxe,
            "healthz" => Self::Health,
            "readyz" => Self::Ready,
            _ => RequestedScript::find(path, query).map_or(Self::Unknown, Self::Script),
        }
    }

    fn into_owned<'b>(self) -> Route<'b> {
        match self {
            Self::Asset(name) => Route::Asset(Cow::Owned(name.into_owned())),
            Self::Blob(digest) => Route::Blob(digest),
            Self::Script(script) => Route::Script(script),
            Self::Ipxe => Route::Ipxe,
            Self::HostFile { host, file } => {
                Route::HostFile { host: Cow::Owned(host.into_owned()), file: Cow::Owned(file.into_owned()) }
            }
            Self::Health => Route::Health,
            Self::Ready => Route::Ready,
            Self::Unknown => Route::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Machine;
    use proptest::prelude::*;

    fn asset(name: &str) -> Route<'_> {
        Route::Asset(name.into())
    }

    fn entry(name: &'static str) -> Route<'static> {
        Route::Script(RequestedScript::IpxeEntry(name))
    }

    #[test]
    fn query_describes_machine_of_script() {
        let machine = Machine::from_query("mac=52:54:00:12:34:56");
        let script = Route::Script(RequestedScript::Grub(Box::new(machine)));
        assert_eq!(Route::parse("/grub/grub.cfg", "mac=52:54:00:12:34:56"), script);
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
            // Canonical, before and after it is decoded; what leads above the root stays there.
            ("/assets/a%2F%2Fb", asset("a/b")),
            ("/assets/%2e%2e/passwd", asset("passwd")),
            ("/assets/./Packages", asset("Packages")),
            ("/assets/debian/pool/../dists/./Release", asset("debian/dists/Release")),
            ("/assets/../../boot.ipxe", entry("boot.ipxe")),
            ("/assets/isos/", asset("isos/")),
            // Not a valid name; the look-up rejects it.
            ("/assets/", asset("")),
            ("/assets/%ff", Route::Unknown),
            ("/assets", Route::Unknown),
            (blob.as_str(), Route::Blob(digest)),
            ("/blobs/sha256/abc", Route::Unknown),
            ("/blobs/md5/abc", Route::Unknown),
            ("/boot.ipxe", entry("boot.ipxe")),
            ("//boot.ipxe", entry("boot.ipxe")),
            ("/boot/x/autoexec.ipxe", entry("autoexec.ipxe")),
            ("/ipxe", Route::Ipxe),
            ("/grub.cfg", Route::Script(RequestedScript::Grub(Box::default()))),
            ("/grub/grub.cfg-C0A80001", Route::Script(RequestedScript::Grub(Box::default()))),
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
            assert_eq!(Route::parse(path, ""), route, "{path}");
        }
    }

    proptest! {
        #[test]
        fn encoded_name_round_trips(name in "[a-zé %&?#+.-]{1,8}(/[a-z %.]{1,8}){0,3}") {
            let encoded: String = name.bytes().map(|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02X}") }).collect();
            let path = format!("/assets/{encoded}");
            let canonical = canonical_name(&name);
            prop_assert_eq!(Route::parse(&path, ""), asset(&canonical));
        }

        #[test]
        fn path_never_leaves_assets_by_encoded_dots(path in "(%2e|%2E|\\.|a|/|%2f){0,12}") {
            let encoded = path.replace('.', "%2e");
            let route = Route::parse(&format!("/assets/{encoded}"), "").into_owned();
            prop_assert!(matches!(route, Route::Asset(_)), "{:?}", route);
        }
    }
}
