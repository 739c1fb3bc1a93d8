//! `flatcar`: directories of `*.release.flatcar-linux.net`, such as `https://stable.release.flatcar-linux.net/amd64-usr/current/`.

use super::release::{Release, UpstreamFile};
use super::url_path::join;
use super::version::Version;
use crate::proof::Expected;
use crate::proof::{Document, DocumentError};

/// The file with the version.
pub const VERSION: &str = "version.txt";
/// Files of a release that machines boot or install from. The first two are what netbooting takes.
pub const FILES: [&str; 4] = [
    "flatcar_production_pxe.vmlinuz",
    "flatcar_production_pxe_image.cpio.gz",
    "flatcar_production_iso_image.iso",
    "flatcar_production_image.bin.bz2",
];

/// Reads the version of a directory.
pub fn version(document: &Document) -> Result<Version, DocumentError> {
    let value = |(_, line): (usize, &str)| {
        line.strip_prefix("FLATCAR_VERSION=").map(|value| value.trim().trim_matches('"').to_owned())
    };
    let version = document.lines().find_map(value);
    let version = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains('/'));
    version.map(Version::new).ok_or_else(|| document.error("a line FLATCAR_VERSION=NUMBER", "none"))
}

/// The files of a release. Each has a detached signature, and a list of digests at [`digests_url`].
pub fn release(version: Version, directory: &str) -> Release {
    let file = |name: &str| {
        let url = join(directory, name);
        UpstreamFile::new(name, &*url, Expected::default()).signed_at(format!("{url}.sig"))
    };
    Release { version, prerelease: false, files: FILES.map(file).into() }
}

/// The list of digests of a file, in the form of [`sums`](super::sums). It has SHA-512, and no SHA-256.
pub fn digests_url(file: &UpstreamFile) -> String {
    format!("{}.DIGESTS", file.url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::recipes::{ocp_mirror, sums};

    const VERSION_TEXT: &str = "FLATCAR_BUILD=4081\nFLATCAR_BRANCH=2\nFLATCAR_PATCH=0\nFLATCAR_VERSION=4081.2.0\nFLATCAR_VERSION_ID=4081.2.0\n";
    const DIGESTS: &str = "\
# MD5 HASH
900150983cd24fb0d6963f7d28e17f72  flatcar_production_pxe.vmlinuz
# SHA1 HASH
a9993e364706816aba3e25717850c26c9cd0d89d  flatcar_production_pxe.vmlinuz
# SHA512 HASH
ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f  flatcar_production_pxe.vmlinuz
";

    #[test]
    fn current_is_pinned_to_version() {
        let version = version(&Document::new(VERSION, VERSION_TEXT)).unwrap();
        let base = "https://stable.release.flatcar-linux.net/amd64-usr";
        let release = release(version.clone(), &ocp_mirror::pinned(&format!("{base}/current/"), &version));
        let kernel = &release.files[0];
        assert_eq!(kernel.url, format!("{base}/4081.2.0/flatcar_production_pxe.vmlinuz"));
        assert_eq!(kernel.signature_url.as_deref(), Some(&*format!("{}.sig", kernel.url)));
        assert_eq!(digests_url(kernel), format!("{}.DIGESTS", kernel.url));
    }

    #[test]
    fn digests_give_sha512_alone() {
        let lines = sums::parse(&Document::new("DIGESTS", DIGESTS)).unwrap();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].expected.sha512.is_some() && lines[0].expected.sha256.is_none());
    }

    #[test]
    fn version_that_is_no_number_is_error() {
        for text in ["", "<html>", "FLATCAR_VERSION=../../x", "FLATCAR_VERSION=1/2"] {
            let error = version(&Document::new(VERSION, text)).unwrap_err();
            assert_eq!(error.to_string(), "version.txt: expected a line FLATCAR_VERSION=NUMBER, found none");
        }
    }
}
