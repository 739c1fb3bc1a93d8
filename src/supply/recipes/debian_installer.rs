//! `debian-installer`: netboot files of the Debian installer. `InRelease` of the suite signs the `SHA256SUMS` of each build.

use super::version::Version;
use crate::proof::Expected;
use crate::proof::{Document, DocumentError};

/// The signed index of a suite.
pub const INDEX: &str = "InRelease";

/// One build of the installer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its directory, such as `20230607+deb12u15`.
    pub version: Version,
    /// Path of its directory of images below the suite.
    pub directory: String,
    /// The length and digest of `SHA256SUMS` in that directory, from the index.
    pub sums: Expected,
}

/// Reads the builds for an architecture from the text of `InRelease`. The directory `current`, which moves to newer builds,
/// is left out if one of the others has the same files.
pub fn builds(document: &Document, arch: &str) -> Result<Vec<Build>, DocumentError> {
    let start = format!("main/installer-{arch}/");
    let mut builds: Vec<Build> = Vec::new();
    let (mut has_section, mut in_section) = (false, false);
    for (number, line) in document.lines() {
        if !line.starts_with(' ') {
            in_section = line.trim_end() == "SHA256:";
            has_section |= in_section;
            continue;
        }
        let mut fields = line.split_ascii_whitespace();
        let (true, Some(digest), Some(size), Some(path)) = (in_section, fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let build = path.strip_prefix(&start).and_then(|rest| rest.strip_suffix("/images/SHA256SUMS"));
        let Some(build) = build.filter(|build| !build.contains('/') && !build.is_empty() && *build != "..") else {
            continue;
        };
        let sums = digest.parse().ok().zip(size.parse().ok()).map(|(sha256, size)| Expected {
            size: Some(size),
            sha256: Some(sha256),
            sha512: None,
        });
        let sums = sums.ok_or_else(|| document.error_at(number, "\"SHA-256 SIZE PATH\"", line))?;
        builds.push(Build { version: Version::new(build), directory: format!("{start}{build}/images"), sums });
    }
    if !has_section {
        return Err(document.error("the index of a Debian suite with a section \"SHA256:\"", "no such section"));
    }
    let is_copy = |build: &Build| {
        build.version.as_str() == "current" && builds.iter().filter(|it| it.sums == build.sums).count() > 1
    };
    let kept: Vec<_> = builds.iter().filter(|build| !is_copy(build)).cloned().collect();
    if kept.is_empty() {
        return Err(document.error(format!("{start}BUILD/images/SHA256SUMS"), "no installer for this architecture"));
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of bookworm's index of July 2026.
    const INDEX_TEXT: &str = "Origin: Debian\nSuite: oldstable\nMD5Sum:\n \
        8bda4ce4f0530ae601d1d7a7c47eb927    78509 main/installer-amd64/current/images/SHA256SUMS\nSHA256:\n \
        a65fb5ab4c6e8b9d158bf2fe07df6052d3e5ace94e75b0a0dec82cf0f9ca7bba    58561 main/installer-amd64/20230607+deb12u15/images/MD5SUMS\n \
        8e0a94d8488f7c60f5fe6723e69b450ec5d7000f592ccdb169481f4bfe863b62    78509 main/installer-amd64/20230607+deb12u15/images/SHA256SUMS\n \
        fbf9b5a60c8315abbfdf94935bdfce3b16089639f0c2c2a3aca5e1e94d8b8503    78509 main/installer-amd64/20230607/images/SHA256SUMS\n \
        8e0a94d8488f7c60f5fe6723e69b450ec5d7000f592ccdb169481f4bfe863b62    78509 main/installer-amd64/current/images/SHA256SUMS\n";

    #[test]
    fn current_is_resolved_to_its_build() {
        let found = builds(&Document::new(INDEX, INDEX_TEXT), "amd64").unwrap();
        let versions: Vec<_> = found.iter().map(|build| build.version.as_str()).collect();
        assert_eq!(versions, ["20230607+deb12u15", "20230607"]);
        assert_eq!(found[0].directory, "main/installer-amd64/20230607+deb12u15/images");
        assert_eq!(found[0].sums.size, Some(78_509));
        assert!(found[0].sums.sha256.unwrap().to_string().starts_with("8e0a94d8"));
    }

    #[test]
    fn lone_current_is_kept() {
        let lone: Vec<_> = INDEX_TEXT.lines().filter(|line| !line.contains("20230607")).collect();
        let found = builds(&Document::new(INDEX, lone.join("\n")), "amd64").unwrap();
        assert_eq!(found[0].version.as_str(), "current");
    }

    #[test]
    fn damaged_index_names_line() {
        let damaged = INDEX_TEXT.replace("fbf9b5a6", "zbf9b5a6");
        let error = builds(&Document::new(INDEX, damaged), "amd64").unwrap_err();
        assert!(error.to_string().starts_with("InRelease, line 8: expected \"SHA-256 SIZE PATH\""), "{error}");
        let error = builds(&Document::new(INDEX, INDEX_TEXT), "riscv64").unwrap_err();
        assert!(error.to_string().ends_with("found no installer for this architecture"), "{error}");
        assert!(builds(&Document::new(INDEX, "<html>"), "amd64").unwrap_err().to_string().contains("no such section"));
    }
}
