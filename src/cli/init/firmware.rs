//! The network boot programs of Debian's packages that are installed on this machine.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::NodeArgs;
use super::dialog::{Dialog, Question};
use crate::asset::Digest;
use crate::task::blocking;

const FIRMWARE: Question = Question { flag: "--firmware", text: "" };

/// A file of a package.
struct Known {
    asset: &'static str,
    /// The names that firmware and boot programs request.
    names: &'static [&'static str],
    /// Its path, without the slash at the beginning.
    path: &'static str,
    purpose: &'static str,
}

/// The files, as config/firmware/debian.toml has them (Debian 12; `ipxe-arm64.efi` is of Debian 13).
const KNOWN: [Known; 9] = [
    Known {
        asset: "firmware/undionly.kpxe",
        names: &["undionly.kpxe"],
        path: "usr/lib/ipxe/undionly.kpxe",
        purpose: "iPXE for BIOS",
    },
    Known {
        asset: "firmware/snponly.efi",
        names: &["snponly.efi"],
        path: "usr/lib/ipxe/snponly.efi",
        purpose: "iPXE for UEFI on x86-64",
    },
    Known {
        asset: "firmware/ipxe.efi",
        names: &["ipxe.efi"],
        path: "usr/lib/ipxe/ipxe.efi",
        purpose: "iPXE with its own network drivers",
    },
    Known {
        asset: "firmware/ipxe-arm64.efi",
        names: &["snponly-arm64.efi", "ipxe-arm64.efi"],
        path: "usr/lib/ipxe/ipxe-arm64.efi",
        purpose: "iPXE for UEFI on ARM64",
    },
    Known {
        asset: "firmware/shimx64.efi",
        names: &["shimx64.efi"],
        path: "usr/lib/shim/shimx64.efi.signed",
        purpose: "shim, for Secure Boot",
    },
    Known {
        asset: "firmware/mmx64.efi",
        names: &["mmx64.efi"],
        path: "usr/lib/shim/mmx64.efi.signed",
        purpose: "MokManager, which shim starts",
    },
    Known {
        asset: "firmware/grubx64.efi",
        names: &["grubx64.efi", "grubnetx64.efi"],
        path: "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
        purpose: "GRUB, which shim starts",
    },
    Known {
        asset: "firmware/shimaa64.efi",
        names: &["shimaa64.efi"],
        path: "usr/lib/shim/shimaa64.efi.signed",
        purpose: "shim on ARM64",
    },
    Known {
        asset: "firmware/grubaa64.efi",
        names: &["grubaa64.efi"],
        path: "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
        purpose: "GRUB on ARM64",
    },
];

/// An installed boot program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BootProgram {
    /// The name of its asset.
    pub(super) asset: String,
    /// Its names over TFTP.
    pub(super) names: Vec<String>,
    /// Its `file://` URL.
    pub(super) source: String,
    /// Its digest, read from the file.
    pub(super) sha256: String,
    pub(super) purpose: String,
}

/// Finds those that are installed, and asks whether to serve them.
pub(super) async fn ask(dialog: &mut Dialog, flags: &NodeArgs) -> anyhow::Result<Vec<BootProgram>> {
    let read = |text: &str| match text {
        "installed" => Ok(true),
        "none" => Ok(false),
        _ => Err("expected installed or none".to_owned()),
    };
    let given = match flags.firmware.as_deref() {
        Some(given) => Some(dialog.answer(FIRMWARE, Some(given), None, read).await?),
        None => None,
    };
    if given == Some(false) {
        return Ok(Vec::new());
    }
    let root = std::path::absolute(&flags.firmware_root)?;
    let programs = blocking(move || installed(&root)).await;
    if programs.is_empty() {
        dialog.say(
            "No network boot program is installed here. On Debian: apt install ipxe (and shim-signed grub-efi-amd64-signed for \
             Secure Boot). docs/firmware.md lists other sources.",
        );
        return Ok(programs);
    }
    let lines = programs.iter().map(|program| format!("  {}  {}", program.source, program.purpose));
    dialog.say(&format!("\nNetwork boot programs on this machine:\n{}", lines.collect::<Vec<_>>().join("\n")));
    let serves = match given {
        Some(given) => given,
        None => dialog.confirm("Serve them?", true).await?,
    };
    Ok(if serves { programs } else { Vec::new() })
}

/// The programs below `root`, with the digests of their bytes. A file that cannot be read is left out. Blocks.
fn installed(root: &Path) -> Vec<BootProgram> {
    KNOWN.iter().filter_map(|known| found(known, root.join(known.path))).collect()
}

fn found(known: &Known, path: PathBuf) -> Option<BootProgram> {
    let bytes = std::fs::read(&path).ok()?;
    Some(BootProgram {
        asset: known.asset.to_owned(),
        names: known.names.iter().map(|&name| name.to_owned()).collect(),
        source: url::Url::from_file_path(path).ok()?.to_string(),
        sha256: Digest::of(&bytes).to_string(),
        purpose: known.purpose.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_programs_have_their_digests() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("usr/lib/ipxe");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("snponly.efi"), b"abc").unwrap();
        let found = installed(root.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].sha256, Digest::of(b"abc").to_string());
        assert_eq!(found[0].source, format!("file://{}/usr/lib/ipxe/snponly.efi", root.path().display()));
    }

    #[test]
    fn known_programs_include_debian_catalog() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firmware/debian.toml");
        let catalog: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        for asset in catalog["asset"].as_array().unwrap() {
            let (name, source) = (text(&asset["name"]), text(&asset["sources"][0]));
            let is_it = |known: &&Known| known.asset == name && source == format!("file:///{}", known.path);
            assert!(KNOWN.iter().any(|known| is_it(&known)), "{name} from {source}");
        }
        for (file, asset) in catalog["tftp"]["files"].as_table().unwrap() {
            let asset = text(asset);
            assert!(KNOWN.iter().any(|known| known.asset == asset && known.names.contains(&file.as_str())), "{file}");
        }
    }
}
