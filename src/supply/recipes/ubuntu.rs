//! `ubuntu`: a directory of `releases.ubuntu.com`, with `SHA256SUMS` and its detached signature.

use super::release::{Release, UpstreamFile};
use super::sums::{self, Line};
use super::version::version_in;
use crate::proof::{Document, DocumentError};

/// The file with the digests of all files of a directory.
pub const SUMS: &str = "SHA256SUMS";
/// Its detached signature.
pub const SIGNATURE: &str = "SHA256SUMS.gpg";

/// The release that the lines of `SHA256SUMS` describe. The loose files of the directory `netboot` are not listed; the
/// archive that holds them is, so that its members are mirrored. Names do not have the version in them, so that they are the
/// same in each release: `live-server-amd64.iso`.
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

    /// The form of `releases.ubuntu.com/24.04/SHA256SUMS`.
    const SUMS_TEXT: &str = "\
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *ubuntu-24.04.2-desktop-amd64.iso\n\
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *ubuntu-24.04.3-live-server-amd64.iso\n\
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 *ubuntu-24.04.3-netboot-amd64.tar.gz\n";

    #[test]
    fn newest_point_release_is_offered() {
        let document = Document::new(SUMS, SUMS_TEXT);
        let release =
            release(&document, sums::parse(&document).unwrap(), "https://releases.ubuntu.com/24.04/").unwrap();
        assert_eq!(release.version.as_str(), "24.04.3");
        assert_eq!(release.files.len(), 2);
        let iso = (release.files[0].name.as_str(), release.files[0].label.as_str());
        assert_eq!(iso, ("live-server-amd64.iso", "ubuntu-24.04.3-live-server-amd64.iso"));
        assert_eq!(release.files[0].url, "https://releases.ubuntu.com/24.04/ubuntu-24.04.3-live-server-amd64.iso");
        assert_eq!(release.files.iter().map(|file| file.is_archive).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn sums_without_version_are_error() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  linux\n";
        let document = Document::new(SUMS, text);
        let error = release(&document, sums::parse(&document).unwrap(), "https://h/").unwrap_err();
        assert!(error.to_string().starts_with("SHA256SUMS: expected file names with a version"), "{error}");
    }
}
