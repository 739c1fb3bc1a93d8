//! Media types by suffix, for assets without a configured one.

/// The media type of an asset by the suffix of its name. The case of the suffix is ignored.
///
/// The suffixes that firmware boots come first: UEFI HTTP Boot selects the image type by `Content-Type` (UEFI 2.10, 24.7).
/// An `.img` is an initrd or a root file system here, so that it must not have the type of an EFI image.
pub fn content_type(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    let suffix = file.rsplit_once('.').map_or("", |(_, suffix)| suffix).to_ascii_lowercase();
    match suffix.as_str() {
        "efi" => "application/efi",
        "iso" => "application/vnd.efi-iso",
        "img" => "application/octet-stream",
        "ipxe" | "ks" | "cfg" => "text/plain; charset=utf-8",
        "ign" | "json" => "application/json",
        other => mime_guess::from_ext(other).first_raw().unwrap_or("application/octet-stream"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_determines_content_type() {
        for (name, media_type) in [
            ("boot/snponly.efi", "application/efi"),
            ("BOOT/BOOTX64.EFI", "application/efi"),
            ("isos/agent.x86_64.iso", "application/vnd.efi-iso"),
            ("okd/4.19/rootfs.img", "application/octet-stream"),
            ("menu.ipxe", "text/plain; charset=utf-8"),
            ("worker.ks", "text/plain; charset=utf-8"),
            ("worker.ign", "application/json"),
            ("index.html", "text/html"),
            ("openshift-install-linux.tar.gz", "application/gzip"),
            ("okd/4.19/kernel", "application/octet-stream"),
            ("v1.iso/kernel", "application/octet-stream"),
            (".treeinfo", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), media_type, "{name}");
        }
    }
}
