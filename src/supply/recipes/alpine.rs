//! `alpine`: releases of Alpine Linux, as `latest-releases.yaml` lists them.

use serde::Deserialize;

use super::release::{Release, UpstreamFile};
use super::url_path::join;
use super::version::Version;
use crate::asset::Digest;
use crate::proof::sums::file_path;
use crate::proof::{Document, DocumentError};
use crate::proof::{Expected, Sha512Digest};

/// The list of releases in a directory `releases/ARCH`.
pub const LIST: &str = "latest-releases.yaml";

#[derive(Deserialize)]
struct Entry {
    flavor: String,
    file: String,
    version: String,
    size: Option<u64>,
    sha256: Option<String>,
    sha512: Option<String>,
}

/// Reads the list. Labels are the flavors, such as `alpine-netboot` and `alpine-standard`. Netboot files are members of an
/// archive, which is what upstream publishes digests and a signature of.
pub fn parse(document: &Document, directory: &str) -> Result<Vec<Release>, DocumentError> {
    let entries: Vec<Entry> = document.yaml("a list of Alpine releases")?;
    let mut releases: Vec<Release> = Vec::new();
    for entry in entries {
        let wrong = |key: &str, error: &dyn std::fmt::Display| {
            document.error(format!("a {key} of {}", entry.flavor), error.to_string())
        };
        let name = file_path(&entry.file).ok_or_else(|| wrong("file name", &format!("{:?}", entry.file)))?;
        let sha256 = entry.sha256.as_deref().map(str::parse::<Digest>).transpose();
        let sha512 = entry.sha512.as_deref().map(str::parse::<Sha512Digest>).transpose();
        let expected = Expected {
            size: entry.size,
            sha256: sha256.map_err(|error| wrong("sha256", &error))?,
            sha512: sha512.map_err(|error| wrong("sha512", &error))?,
        };
        let url = join(directory, name);
        let file = UpstreamFile::new(name, &*url, expected).labelled(&*entry.flavor).signed_at(format!("{url}.asc"));
        let file = UpstreamFile { is_archive: entry.flavor == "alpine-netboot", ..file };
        let version = Version::new(&*entry.version);
        match releases.iter_mut().find(|release| release.version == version) {
            Some(release) => release.files.push(file),
            None => releases.push(Release { prerelease: version.is_preliminary(), version, files: vec![file] }),
        }
    }
    if releases.is_empty() {
        return Err(document.error("a list of Alpine releases", "an empty list"));
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of `v3.20/releases/x86_64/latest-releases.yaml`.
    const LIST_TEXT: &str = "\
---
-
  title: \"Netboot\"
  desc: |
    Kernel, initramfs and modloop for
    netboot.
  branch: v3.20
  arch: x86_64
  version: 3.20.3
  flavor: alpine-netboot
  file: alpine-netboot-3.20.3-x86_64.tar.gz
  iso: alpine-netboot-3.20.3-x86_64.tar.gz
  date: 2024-09-06
  time: 11:55:40
  size: 230893281
  sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
  sha512: ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f
-
  title: \"Standard\"
  version: 3.20.3
  flavor: alpine-standard
  file: alpine-standard-3.20.3-x86_64.iso
  size: 219152384
  sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
";

    #[test]
    fn netboot_is_archive_with_digests() {
        let releases = parse(&Document::new(LIST, LIST_TEXT), "https://h/v3.20/releases/x86_64").unwrap();
        assert_eq!(releases.len(), 1);
        assert_eq!(releases[0].version.as_str(), "3.20.3");
        let netboot = &releases[0].files[0];
        assert!(netboot.is_archive && !releases[0].files[1].is_archive);
        assert_eq!((netboot.label.as_str(), netboot.expected.size), ("alpine-netboot", Some(230_893_281)));
        assert!(netboot.expected.sha512.is_some());
        let url = "https://h/v3.20/releases/x86_64/alpine-netboot-3.20.3-x86_64.tar.gz";
        assert_eq!((netboot.url.as_str(), netboot.signature_url.clone()), (url, Some(format!("{url}.asc"))));
    }

    #[test]
    fn damaged_list_names_line() {
        let error =
            parse(&Document::new(LIST, LIST_TEXT.replace("  flavor: alpine-standard\n", "")), "https://h").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 18), "{error}");
        let error = parse(&Document::new(LIST, LIST_TEXT.replace("e3b0", "zzb0")), "https://h").unwrap_err();
        assert!(error.to_string().contains("expected a sha256 of alpine-standard"), "{error}");
        assert!(parse(&Document::new(LIST, "<html>"), "https://h").is_err());
        assert!(parse(&Document::new(LIST, "[]"), "https://h").unwrap_err().to_string().ends_with("an empty list"));
    }
}
