//! `treeinfo`: installation trees of Fedora, CentOS, RHEL, Alma and Rocky, described by their `.treeinfo`.

use ini::Ini;

use super::release::{Release, UpstreamFile};
use super::url_path::join;
use super::version::Version;
use crate::asset::Digest;
use crate::proof::sums::file_path;
use crate::proof::{Document, DocumentError};
use crate::proof::{Expected, Sha512Digest};

/// The description of a tree, at its root.
pub const TREEINFO: &str = ".treeinfo";

/// Reads the release and the files with checksums. The version is the one of the distribution with the time of the build
/// after it (`9.4.1714986000`), because trees such as CentOS Stream's change under the same version. Boot loaders below
/// `EFI/BOOT` are not listed by upstreams.
pub fn parse(document: &Document, tree: &str) -> Result<Release, DocumentError> {
    let ini = Ini::load_from_str_noescape(&document.text)
        .map_err(|error| document.error_at(error.line, "a section or KEY = VALUE", &error.msg))?;
    let get = |section: &str, key: &str| ini.get_from(Some(section), key).filter(|value| !value.is_empty());
    let number = get("release", "version").or_else(|| get("general", "version"));
    let number = number.ok_or_else(|| document.error("a version in [release] or [general]", "none"))?;
    let built = get("tree", "build_timestamp").or_else(|| get("general", "timestamp"));
    // Some are fractions of a second.
    let built = built.and_then(|built| built.split('.').next());
    let version = built.map_or_else(|| number.to_owned(), |built| format!("{number}.{built}"));
    let checksums = ini.section(Some("checksums")).ok_or_else(|| document.error("a section [checksums]", "none"))?;
    let mut files = Vec::new();
    for (path, checksum) in checksums {
        let line = || document.lines().find(|(_, line)| line.starts_with(path)).map_or(0, |(number, _)| number);
        let name = file_path(path).ok_or_else(|| document.error_at(line(), "the path of a file in the tree", path))?;
        let expected = expected(checksum)
            .ok_or_else(|| document.error_at(line(), format!("{path} = sha256:DIGEST or sha512:DIGEST"), checksum))?;
        files.push(UpstreamFile::new(name, join(tree, name), expected));
    }
    Ok(Release { version: Version::new(version), prerelease: false, files })
}

/// Weak digests give no digest.
fn expected(checksum: &str) -> Option<Expected> {
    let (algorithm, hex) = checksum.split_once(':')?;
    match algorithm {
        "sha256" => Some(Expected { sha256: Some(hex.parse::<Digest>().ok()?), ..Expected::default() }),
        "sha512" => Some(Expected { sha512: Some(hex.parse::<Sha512Digest>().ok()?), ..Expected::default() }),
        "md5" | "sha1" | "sha" => Some(Expected::default()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of Rocky's and CentOS's `.treeinfo`.
    const TREE: &str = "\
[checksums]
images/boot.iso = sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
images/efiboot.img = sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
images/install.img = sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
images/pxeboot/initrd.img = sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
images/pxeboot/vmlinuz = sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
arch = x86_64
family = Rocky Linux
timestamp = 1714986000
version = 9.4

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[release]
name = Rocky Linux
short = Rocky
version = 9.4

[tree]
arch = x86_64
build_timestamp = 1714986000.5
platforms = x86_64,xen
variants = BaseOS
";

    #[test]
    fn tree_lists_files_with_checksums() {
        let release = parse(&Document::new(TREEINFO, TREE), "https://h/9/BaseOS/x86_64/os/").unwrap();
        assert_eq!(release.version.as_str(), "9.4.1714986000");
        assert_eq!(release.files.len(), 5);
        let kernel = release.files.iter().find(|file| file.name == "images/pxeboot/vmlinuz").unwrap();
        assert_eq!(kernel.url, "https://h/9/BaseOS/x86_64/os/images/pxeboot/vmlinuz");
        assert!(kernel.expected.sha256.is_some());
    }

    #[test]
    fn damaged_tree_names_line() {
        let damaged = TREE.replace("images/install.img = sha256:e3", "images/install.img = sha256:zz");
        let error = parse(&Document::new(TREEINFO, damaged), "https://h").unwrap_err();
        assert!(
            error.to_string().starts_with(".treeinfo, line 4: expected images/install.img = sha256:DIGEST"),
            "{error}"
        );
        let error = parse(&Document::new(TREEINFO, "[general]\nversion = 9\n"), "https://h").unwrap_err();
        assert_eq!(error.to_string(), ".treeinfo: expected a section [checksums], found none");
        assert!(parse(&Document::new(TREEINFO, "<html>\n</html>"), "https://h").is_err());
    }
}
