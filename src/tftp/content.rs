//! The content behind a requested file name: an asset, or a boot script that is generated for the request.

use std::sync::Arc;

use crate::asset::AssetName;
use crate::boot::{Boot, Mac, Machine, RequestContext};
use crate::catalog::Asset;

/// The content of a transfer.
pub(super) enum Content {
    /// An asset.
    Asset(Arc<Asset>),
    /// A name that can only be an asset of a collection, whose source is asked.
    Member(AssetName),
    /// A script, generated for this request.
    Script(Script, RequestContext),
}

impl Content {
    /// Its name in the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Asset(asset) => asset.name.as_str(),
            Self::Member(name) => name.as_str(),
            Self::Script(script, _) => script.name(),
        }
    }
}

/// A script that a file name refers to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// The entry script of iPXE, under the requested name.
    Entry(&'static str),
    /// The GRUB configuration of a machine, of which the MAC address may be known.
    Grub(Box<Machine>),
}

impl Script {
    /// The script that `name` refers to, in any directory: iPXE requests `autoexec.ipxe` beside its own file, and GRUB
    /// requests `grub.cfg` below its prefix, first `grub.cfg-01-` followed by its MAC address.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name.rsplit('/').next()? {
            "autoexec.ipxe" => Some(Self::Entry("autoexec.ipxe")),
            "boot.ipxe" => Some(Self::Entry("boot.ipxe")),
            "grub.cfg" => Some(Self::Grub(Box::default())),
            file => {
                let mac = file.strip_prefix("grub.cfg-01-")?.parse::<Mac>().ok()?;
                Some(Self::Grub(Box::new(Machine { mac: Some(mac), ..Machine::default() })))
            }
        }
    }

    /// Generates its text for this request.
    pub(super) fn text(&self, boot: &Boot, visit: &RequestContext) -> String {
        match self {
            Self::Entry(_) => boot.ipxe_entry(visit),
            Self::Grub(machine) => boot.grub_config(machine, visit),
        }
    }

    /// Its name in the log, which holds no text of the client.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Entry(name) => name,
            Self::Grub(_) => "grub.cfg",
        }
    }
}

/// Normalizes a file name as firmware writes it: `\` becomes `/`, and leading slashes are removed.
pub(super) fn normalize_name(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_names_match_in_any_directory() {
        let no_mac = || Some(Script::Grub(Box::default()));
        let mac = Some("52:54:00:12:34:56".parse().unwrap());
        let with_mac = Some(Script::Grub(Box::new(Machine { mac, ..Machine::default() })));
        for (name, script) in [
            ("boot.ipxe", Some(Script::Entry("boot.ipxe"))),
            ("boot/autoexec.ipxe", Some(Script::Entry("autoexec.ipxe"))),
            ("grub/grub.cfg", no_mac()),
            ("grub/x86_64-efi/grub.cfg", no_mac()),
            ("grub/grub.cfg-01-52-54-00-12-34-56", with_mac),
            ("grub/grub.cfg-C0A80001", None),
            ("grub/x86_64-efi/command.lst", None),
            ("", None),
        ] {
            assert_eq!(Script::from_name(name), script, "{name}");
        }
    }

    #[test]
    fn firmware_file_names_are_normalized() {
        for (requested, name) in [
            ("boot/x.efi", "boot/x.efi"),
            ("/boot/x.efi", "boot/x.efi"),
            ("//x", "x"),
            ("\\Boot\\BCD", "Boot/BCD"),
            ("/", ""),
        ] {
            assert_eq!(normalize_name(requested), name);
        }
    }
}
