//! `netbootxyz`: kernels and images that netboot.xyz builds, as `endpoints.yml` lists them. They are assets of GitHub
//! releases, whose digests are in GitHub's API.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::release::{Release, UpstreamFile};
use super::url_path::join;
use super::version::Version;
use crate::proof::Expected;
use crate::proof::sums::file_path;
use crate::proof::{Document, DocumentError};

/// Where the paths of `endpoints.yml` begin.
const FILES: &str = "https://github.com/netbootxyz";
const API: &str = "https://api.github.com/repos/netbootxyz";

#[derive(Deserialize)]
struct Endpoints {
    endpoints: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    files: Vec<String>,
}

/// One endpoint: a system that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, such as `debian-12-netboot`.
    pub name: String,
    /// Its files, without digests. The version is the tag of the GitHub release.
    pub release: Release,
    /// The URL of GitHub's description of the release.
    pub api_url: String,
}

/// Reads `endpoints.yml`. Labels are `ENDPOINT/FILE`. Endpoints that are not assets of a GitHub release are left out.
pub fn parse(document: &Document) -> Result<Vec<Endpoint>, DocumentError> {
    let parsed: Endpoints = document.yaml("the endpoints of netboot.xyz")?;
    let mut endpoints = Vec::new();
    for (name, entry) in parsed.endpoints {
        let mut segments = entry.path.trim_matches('/').split('/');
        let (Some(repository), Some("releases"), Some("download"), Some(tag), None) =
            (segments.next(), segments.next(), segments.next(), segments.next(), segments.next())
        else {
            continue;
        };
        let directory = join(FILES, &format!("{repository}/releases/download/{tag}"));
        let mut files = Vec::new();
        for file in &entry.files {
            let file =
                file_path(file).ok_or_else(|| document.error(format!("a file name of {name}"), format!("{file:?}")))?;
            let url = join(&directory, file);
            files.push(UpstreamFile::new(file, url, Expected::default()).labelled(format!("{name}/{file}")));
        }
        let release = Release { version: Version::new(tag), prerelease: false, files };
        endpoints.push(Endpoint { name, release, api_url: join(API, &format!("{repository}/releases/tags/{tag}")) });
    }
    if endpoints.is_empty() {
        return Err(document.error("endpoints with a path /REPO/releases/download/TAG/", "none"));
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: &str = "\
endpoints:
  debian-12-netboot:
    path: /debian-squash/releases/download/12.0.0-ab12/
    files:
    - initrd
    - vmlinuz
    os: debian
    version: '12'
  memtest:
    path: /utils/memtest/
    files: []
";

    #[test]
    fn endpoint_names_release_and_files() {
        let endpoints = parse(&Document::new("endpoints.yml", ENDPOINTS)).unwrap();
        assert_eq!(endpoints.len(), 1);
        let endpoint = &endpoints[0];
        assert_eq!(endpoint.api_url, "https://api.github.com/repos/netbootxyz/debian-squash/releases/tags/12.0.0-ab12");
        assert_eq!(endpoint.release.version.as_str(), "12.0.0-ab12");
        let kernel = &endpoint.release.files[1];
        assert_eq!(kernel.label, "debian-12-netboot/vmlinuz");
        assert_eq!(kernel.url, "https://github.com/netbootxyz/debian-squash/releases/download/12.0.0-ab12/vmlinuz");
    }

    #[test]
    fn damaged_endpoints_name_line() {
        let error =
            parse(&Document::new("endpoints.yml", ENDPOINTS.replace("    path: /utils/memtest/\n", ""))).unwrap_err();
        assert!(error.to_string().contains("path") && error.line.is_some(), "{error}");
        let error =
            parse(&Document::new("endpoints.yml", ENDPOINTS.replace("- initrd", "- ../../initrd"))).unwrap_err();
        assert!(error.to_string().contains("a file name of debian-12-netboot"), "{error}");
    }
}
