//! `debian-installer`: netboot files of the Debian installer. `InRelease` of the suite signs the `SHA256SUMS` of each build.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

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

/// Checks that the time until which the index is valid has not passed, if it has one. A mirror that returns an old index, with its
/// right signature, hides newer builds.
pub fn check_current(document: &Document, now: Timestamp) -> Result<(), DocumentError> {
    // The fields end with the first list of files.
    let mut fields = document.lines().take_while(|(_, line)| !line.starts_with([' ', '\t']));
    // The case of names does not matter (Debian Policy 5.1).
    let is_named = |name: &str| name.eq_ignore_ascii_case("Valid-Until");
    let valid_until = fields.find_map(|(number, line)| {
        let (name, value) = line.split_once(':')?;
        is_named(name).then_some((number, value.trim()))
    });
    let Some((number, text)) = valid_until else { return Ok(()) };
    // The format of RFC 5322 with the zone "UTC", which that does not know.
    let until = rfc2822::parse(&text.replace("UTC", "+0000"));
    let until =
        until.map_err(|_| document.error_at(number, "a date such as \"Sat, 01 Aug 2026 00:00:00 UTC\"", text))?;
    if until.timestamp() < now {
        let expected = "a date to come: use another mirror of Debian, which a snapshot of its archive is not, or correct this machine's \
                        clock";
        return Err(document.error_at(number, expected, text));
    }
    Ok(())
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
    fn outdated_index_is_refused() {
        let check = |text: &str| {
            let document = Document::new(INDEX, format!("Origin: Debian\n{text}\nSHA256:\n Valid-Until: x\n"));
            check_current(&document, "2026-07-11T12:00:00Z".parse().unwrap()).map_err(|error| error.to_string())
        };
        // As the index of trixie-updates has it.
        assert_eq!(check("Valid-Until: Sat, 18 Jul 2026 08:14:44 UTC"), Ok(()));
        assert_eq!(check("Date: Sat, 11 Jul 2026 08:14:44 UTC"), Ok(()), "a stable suite has no such field");
        let error = check("Valid-Until: Sat, 11 Jul 2026 08:14:44 UTC").unwrap_err();
        assert!(
            error.starts_with("InRelease, line 2: expected a date to come: use another mirror of Debian"),
            "{error}"
        );
        assert!(check("Valid-Until: tomorrow").unwrap_err().contains("found \"tomorrow\""));
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
