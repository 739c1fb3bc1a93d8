//! `github-release`: releases of a GitHub repository, as its API lists them.

use serde::Deserialize;

use super::release::{Release, UpstreamFile};
use super::version::Version;
use crate::asset::Digest;
use crate::proof::Expected;
use crate::proof::sums::file_path;
use crate::proof::{Document, DocumentError};

/// Suffixes of detached signatures beside an asset.
const SIGNATURES: [&str; 4] = [".minisig", ".sig", ".asc", ".gpg"];
/// Names of files with the digests of all assets.
const SUMS: [&str; 4] = ["sha256sum.txt", "SHA256SUMS", "sha256sums.txt", "checksums.txt"];

#[derive(Deserialize)]
struct ApiRelease {
    tag_name: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    assets: Vec<ApiAsset>,
}

#[derive(Deserialize)]
struct ApiAsset {
    name: String,
    size: u64,
    browser_download_url: String,
    /// `sha256:HEX`; null for assets older than June 2025.
    #[serde(default)]
    digest: Option<String>,
}

/// Reads the answer of `/repos/OWNER/REPO/releases`, or of one release. Drafts are left out.
pub fn parse(document: &Document) -> Result<Vec<Release>, DocumentError> {
    // By its first character: an untagged enum would have errors without lines.
    let releases = if document.text.trim_start().starts_with('[') {
        document.json::<Vec<ApiRelease>>("a list of GitHub releases")?
    } else {
        vec![document.json::<ApiRelease>("a GitHub release")?]
    };
    releases.into_iter().filter(|release| !release.draft).map(|release| of_api(document, &release)).collect()
}

/// The asset that lists the digests of the others, if there is one.
pub fn sums_file(release: &Release) -> Option<&UpstreamFile> {
    release.files.iter().find(|file| SUMS.contains(&file.name.as_str()))
}

fn of_api(document: &Document, release: &ApiRelease) -> Result<Release, DocumentError> {
    let signature = |name: &str| {
        let of = |suffix: &&str| release.assets.iter().find(|asset| asset.name == format!("{name}{suffix}"));
        SIGNATURES.iter().find_map(of).map(|asset| asset.browser_download_url.clone())
    };
    let mut files = Vec::new();
    for asset in &release.assets {
        let name = file_path(&asset.name).filter(|name| !name.contains('/')).ok_or_else(|| {
            document.error(format!("a file name in release {}", release.tag_name), format!("{:?}", asset.name))
        })?;
        let sha256 = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
        let sha256 = sha256.map(str::parse::<Digest>).transpose().map_err(|error| {
            document.error(
                format!("the digest of {name}"),
                format!("{:?} ({error})", asset.digest.as_deref().unwrap_or_default()),
            )
        })?;
        let expected = Expected { size: Some(asset.size), sha256, sha512: None };
        let file = UpstreamFile::new(name, &*asset.browser_download_url, expected);
        files.push(UpstreamFile { signature_url: signature(name), ..file });
    }
    let version = Version::new(&*release.tag_name);
    Ok(Release { prerelease: release.prerelease, version, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASES: &str = r#"[
      { "tag_name": "v1.10.0-beta.0", "draft": false, "prerelease": true, "assets": [] },
      { "tag_name": "v1.9.5", "draft": false, "prerelease": false, "assets": [
        { "name": "vmlinuz-amd64", "size": 18200000, "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
          "browser_download_url": "https://github.com/siderolabs/talos/releases/download/v1.9.5/vmlinuz-amd64" },
        { "name": "vmlinuz-amd64.sig", "size": 96, "digest": null,
          "browser_download_url": "https://github.com/siderolabs/talos/releases/download/v1.9.5/vmlinuz-amd64.sig" },
        { "name": "sha256sum.txt", "size": 300, "digest": null,
          "browser_download_url": "https://github.com/siderolabs/talos/releases/download/v1.9.5/sha256sum.txt" }
      ] },
      { "tag_name": "v9", "draft": true, "prerelease": false, "assets": [] }
    ]"#;

    #[test]
    fn releases_have_digests_and_signatures() {
        let releases = parse(&Document::new("releases", RELEASES)).unwrap();
        assert_eq!(
            releases.iter().map(|it| (it.version.as_str(), it.prerelease)).collect::<Vec<_>>(),
            [("v1.10.0-beta.0", true), ("v1.9.5", false)]
        );
        let kernel = &releases[1].files[0];
        assert_eq!(kernel.expected.size, Some(18_200_000));
        assert!(kernel.expected.sha256.is_some());
        assert!(kernel.signature_url.as_deref().unwrap().ends_with("/vmlinuz-amd64.sig"));
        assert_eq!(releases[1].files[2].expected.sha256, None);
        assert_eq!(sums_file(&releases[1]).unwrap().name, "sha256sum.txt");
    }

    #[test]
    fn single_release_is_read_too() {
        let one = r#"{ "tag_name": "v2.0.0", "assets": [] }"#;
        assert_eq!(parse(&Document::new("latest", one)).unwrap()[0].version.as_str(), "v2.0.0");
    }

    #[test]
    fn answer_of_other_kind_is_error() {
        let limit = "{\n \"message\": \"API rate limit exceeded\" }";
        let error = parse(&Document::new("releases", limit)).unwrap_err();
        assert!(
            error.to_string().starts_with("releases, line 2: expected a GitHub release, found missing field"),
            "{error}"
        );
        let odd = RELEASES.replace("\"vmlinuz-amd64\"", "\"../vmlinuz\"");
        assert!(
            parse(&Document::new("releases", odd)).unwrap_err().to_string().contains("a file name in release v1.9.5")
        );
    }
}
