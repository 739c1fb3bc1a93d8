//! The content behind a requested file name: an asset, or a boot script that is generated for the request.

use std::sync::Arc;

use crate::asset::{AssetName, canonical_name};
use crate::boot::{NamedFile, RequestContext, RequestedScript};
use crate::catalog::Asset;

/// The content of a transfer.
pub(super) enum Content {
    /// An asset.
    Asset(Arc<Asset>),
    /// A name that can only be an asset of a collection, whose source is asked.
    Member(AssetName),
    /// A script, generated for this request.
    Script(RequestedScript, RequestContext),
    /// A file of a host, and its name in the log.
    HostFile(NamedFile, String, RequestContext),
}

impl Content {
    /// Its name in the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Asset(asset) => asset.name.as_str(),
            Self::Member(name) => name.as_str(),
            Self::Script(script, _) => script.name(),
            Self::HostFile(_, name, _) => name,
        }
    }
}

/// Normalizes a file name as firmware writes it: `\` becomes `/`, and the path its canonical form.
pub(super) fn normalize_name(name: &str) -> String {
    // GRUB says more about its machine in a query, in which nothing is a path.
    let (path, query) = name.split_at(name.find('?').unwrap_or(name.len()));
    canonical_name(&path.replace('\\', "/")).into_owned() + query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_file_names_are_normalized() {
        for (requested, name) in [
            ("boot/x.efi", "boot/x.efi"),
            ("/boot/x.efi", "boot/x.efi"),
            ("//x", "x"),
            ("\\Boot\\BCD", "Boot/BCD"),
            ("boot\\..\\.\\x", "x"),
            ("boot/../debian/linux", "debian/linux"),
            ("./grub.cfg?mac=a&serial=..//b", "grub.cfg?mac=a&serial=..//b"),
            ("/", ""),
        ] {
            assert_eq!(normalize_name(requested), name);
        }
    }
}
