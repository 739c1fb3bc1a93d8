//! `list`: files that the settings name, with their digests.

use super::release::{Release, UpstreamFile};
use super::url_path::last_segment;
use super::version::Version;
use crate::proof::Expected;

/// A file of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its URL.
    pub url: String,
    /// Its name in the mirror. `None`: the last segment of the URL.
    pub name: Option<String>,
    /// Its digests and length.
    pub expected: Expected,
    /// The URL of its detached signature.
    pub signature_url: Option<String>,
}

/// The release that the settings describe.
pub fn release(version: &str, files: &[ListedFile]) -> Release {
    let files = files.iter().map(|file| {
        let name = file.name.clone().unwrap_or_else(|| last_segment(&file.url).to_owned());
        let listed = UpstreamFile::new(name, &*file.url, file.expected);
        UpstreamFile { signature_url: file.signature_url.clone(), ..listed }
    });
    Release { version: Version::new(version), prerelease: false, files: files.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_defaults_to_last_segment() {
        let file = |name: Option<&str>| ListedFile {
            url: "https://h/a/b.iso?token=x".to_owned(),
            name: name.map(str::to_owned),
            expected: Expected::default(),
            signature_url: None,
        };
        let release = release("1", &[file(None), file(Some("c.iso"))]);
        assert_eq!(release.files.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["b.iso", "c.iso"]);
    }
}
