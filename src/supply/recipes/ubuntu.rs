//! `ubuntu`: a directory of `releases.ubuntu.com`, with `SHA256SUMS` and its detached signature.

use super::release::{Release, UpstreamFile};
use super::sums::{self, Line};
use super::version::version_in;
use crate::proof::{Document, DocumentError};

/// The file with the digests of all files of a directory.
pub const SUMS: &str = "SHA256SUMS";
/// Its detached signature.
pub const SIGNATURE: &str = "SHA256SUMS.gpg";

/// The release that the lines of `SHA256SUMS` describe. Neither the files of the directory `netboot` nor the archive that holds
/// them are listed for 24.04; members of an archive that is listed are mirrored. Names do not have the version in them, so that
/// they are the same in each release: `live-server-amd64.iso`.
pub fn release(document: &Document, lines: Vec<Line>, directory: &str) -> Result<Release, DocumentError> {
    let version = lines.iter().filter_map(|line| version_in(&line.path)).max();
    let version = version.ok_or_else(|| {
        document.error("file names with a version, such as ubuntu-24.04.3-live-server-amd64.iso", "none")
    })?;
    let current = |line: &Line| version_in(&line.path).is_none_or(|it| it == version);
    let files = sums::files(lines.into_iter().filter(current).collect(), directory);
    let is_netboot = |name: &str| name.contains("-netboot-") && name.ends_with(".tar.gz");
    let start = format!("ubuntu-{version}-");
    let files = files.into_iter().map(|file| UpstreamFile {
        is_archive: is_netboot(&file.name),
        name: file.name.strip_prefix(&start).unwrap_or(&file.name).to_owned(),
        ..file
    });
    let files = files.collect();
    Ok(Release { version, prerelease: false, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `releases.ubuntu.com/24.04/SHA256SUMS` of August 2026.
    const SUMS_TEXT: &str = "\
        faabcf33ae53976d2b8207a001ff32f4e5daae013505ac7188c9ea63988f8328 *ubuntu-24.04.3-desktop-amd64.iso\n\
        c3514bf0056180d09376462a7a1b4f213c1d6e8ea67fae5c25099c6fd3d8274b *ubuntu-24.04.3-live-server-amd64.iso\n\
        c74833a55e525b1e99e1541509c566bb3e32bdb53bf27ea3347174364a57f47c *ubuntu-24.04.3-wsl-amd64.wsl\n\
        3a4c9877b483ab46d7c3fbe165a0db275e1ae3cfe56a5657e5a47c2f99a99d1e *ubuntu-24.04.4-desktop-amd64.iso\n\
        e907d92eeec9df64163a7e454cbc8d7755e8ddc7ed42f99dbc80c40f1a138433 *ubuntu-24.04.4-live-server-amd64.iso\n\
        9b2f7730dc68227dd04a9f3e5eab86ad85caf556b8606ad94f1f29ff5c4fd3f5 *ubuntu-24.04.4-wsl-amd64.wsl\n";

    #[test]
    fn newest_point_release_is_offered() {
        let document = Document::new(SUMS, SUMS_TEXT);
        let release =
            release(&document, sums::parse(&document).unwrap(), "https://releases.ubuntu.com/24.04/").unwrap();
        assert_eq!(release.version.as_str(), "24.04.4");
        let names: Vec<_> = release.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["desktop-amd64.iso", "live-server-amd64.iso", "wsl-amd64.wsl"], "no netboot archive");
        assert_eq!(release.files[1].label, "ubuntu-24.04.4-live-server-amd64.iso");
        assert_eq!(release.files[1].url, "https://releases.ubuntu.com/24.04/ubuntu-24.04.4-live-server-amd64.iso");
        assert!(release.files.iter().all(|file| !file.is_archive));
    }

    #[test]
    fn listed_netboot_archive_has_members() {
        let text =
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *ubuntu-26.04-netboot-amd64.tar.gz\n";
        let document = Document::new(SUMS, text);
        let release = release(&document, sums::parse(&document).unwrap(), "https://h/").unwrap();
        assert_eq!((release.files[0].name.as_str(), release.files[0].is_archive), ("netboot-amd64.tar.gz", true));
    }

    #[test]
    fn sums_without_version_are_error() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  linux\n";
        let document = Document::new(SUMS, text);
        let error = release(&document, sums::parse(&document).unwrap(), "https://h/").unwrap_err();
        assert!(error.to_string().starts_with("SHA256SUMS: expected file names with a version"), "{error}");
    }
}
