//! Media types by suffix, for assets whose type nobody gave.

/// The media type of an asset by the suffix of its name, whatever the suffix's case.
///
/// What firmware boots comes first: UEFI HTTP Boot takes an image for what its `Content-Type` says (UEFI 2.10, 24.7).
/// An `.img` is an initrd or a root file system here, so it must not be called an EFI image.
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
    fn firmware_is_told_what_it_boots() {
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
