//! `ocp-mirror`: directories of `mirror.openshift.com`, with `sha256sum.txt` and, for clients, `release.txt`.

use super::sums::Line;
use super::url_path::{last_segment, parent};
use super::version::{Version, version_in};
use crate::proof::{Document, DocumentError};

/// The file with the version and the image of a client release.
pub const RELEASE: &str = "release.txt";
/// The file with the digests of all files of a directory.
pub const SUMS: &str = "sha256sum.txt";
/// Its detached signature.
pub const SIGNATURE: &str = "sha256sum.txt.gpg";

/// Reads the version from `release.txt`.
pub fn version(document: &Document) -> Result<Version, DocumentError> {
    let name = |(number, line): (usize, &str)| Some((number, line.strip_prefix("Name:")?.trim().to_owned()));
    match document.lines().find_map(name) {
        Some((_, name)) if name.starts_with(|c: char| c.is_ascii_digit()) => Ok(Version::new(name)),
        Some((number, name)) => Err(document.error_at(number, "\"Name: VERSION\" such as 4.20.1", &name)),
        None => Err(document.error("a line \"Name: VERSION\"", "none")),
    }
}

/// Finds the version of a directory without `release.txt` (RHCOS) in the names of its files.
pub fn version_of_names(document: &Document, lines: &[Line]) -> Result<Version, DocumentError> {
    let newest = lines.iter().filter_map(|line| version_in(&line.path)).max();
    newest.ok_or_else(|| {
        document.error("file names with a version, such as rhcos-4.20.0-x86_64-live-iso.x86_64.iso", "none")
    })
}

/// The directory of `version`, for a directory such as `latest` or `stable-4.20`, which moves to newer versions.
pub fn pinned(directory: &str, version: &Version) -> String {
    if last_segment(directory) == version.as_str() {
        directory.trim_end_matches('/').to_owned()
    } else {
        format!("{}/{version}", parent(directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::recipes::sums;

    const RELEASE_TXT: &str = "Client tools for OpenShift\n--------------------------\n\nName:           4.18.3\n\
        Digest:         sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
        Pull From: quay.io/openshift-release-dev/ocp-release@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";

    #[test]
    fn moving_directory_is_pinned_to_version() {
        let version = version(&Document::new(RELEASE, RELEASE_TXT)).unwrap();
        assert_eq!(version.as_str(), "4.18.3");
        let base = "https://mirror.openshift.com/pub/openshift-v4/clients/ocp";
        assert_eq!(pinned(&format!("{base}/stable-4.18/"), &version), format!("{base}/4.18.3"));
        assert_eq!(pinned(&format!("{base}/4.18.3/"), &version), format!("{base}/4.18.3"));
    }

    #[test]
    fn version_of_rhcos_is_in_names() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let text = format!("{digest}  rhcos-4.20.0-x86_64-live-kernel.x86_64\n{digest}  rhcos-live-kernel.x86_64\n");
        let document = Document::new(SUMS, text);
        let lines = sums::parse(&document).unwrap();
        assert_eq!(version_of_names(&document, &lines).unwrap().as_str(), "4.20.0");
        assert!(version_of_names(&document, &lines[1..]).is_err());
    }

    #[test]
    fn release_without_version_is_error() {
        let error = version(&Document::new(RELEASE, "<html>")).unwrap_err();
        assert_eq!(error.to_string(), "release.txt: expected a line \"Name: VERSION\", found none");
        let error = version(&Document::new(RELEASE, "x\nName: error")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "release.txt, line 2: expected \"Name: VERSION\" such as 4.20.1, found \"error\""
        );
    }
}
