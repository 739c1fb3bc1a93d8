//! `sums`: files of digests, as coreutils (`sha256sum`), BSD (`sha256 -r`) and the CHECKSUM files of Fedora write them.

use std::collections::HashMap;

use super::digests::{Expected, Sha512Digest};
use super::document::{Document, DocumentError};
use crate::asset::{AssetName, Digest};

const EXPECTED: &str = "\"DIGEST  NAME\" or \"SHA256 (NAME) = DIGEST\" with a SHA-256 or SHA-512 digest in hexadecimal";

/// A line of a file of digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The path of the file.
    pub path: String,
    /// Its digests, and its length if the file says it.
    pub expected: Expected,
}

/// Reads the lines. Digests of a path in several lines, such as SHA-256 and SHA-512, are put together; MD5 and SHA-1 prove
/// nothing and are left out.
pub fn parse(document: &Document) -> Result<Vec<Line>, DocumentError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for (number, text) in document.lines() {
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        let Some((path, expected)) = (match text.strip_prefix('#') {
            Some(comment) => match size(comment) {
                Some((name, size)) => Some((name.to_owned(), Expected { size: Some(size), ..Expected::default() })),
                None => continue,
            },
            None => digest(text),
        }) else {
            return Err(document.error_at(number, EXPECTED, text));
        };
        let Some(path) = file_path(&path) else {
            return Err(document.error_at(number, "the path of a file below this directory", &path));
        };
        if let Some(known) = index.get(path) {
            let line = &mut lines[*known];
            line.expected = line.expected.and(expected).ok_or_else(|| {
                document.error_at(number, format!("the digest that an earlier line gives to {path}"), text)
            })?;
        } else {
            index.insert(path.to_owned(), lines.len());
            lines.push(Line { path: path.to_owned(), expected });
        }
    }
    lines.retain(|line| line.expected.has_digest());
    if lines.is_empty() {
        return Err(document.error(EXPECTED, "no such line"));
    }
    Ok(lines)
}

/// Returns the path of a file in a document without a leading `./` or `*`. `None` if it leads out of the tree, or is not a
/// valid name.
pub fn file_path(text: &str) -> Option<&str> {
    let path = text.strip_prefix("./").unwrap_or(text);
    AssetName::parse(path).is_ok().then_some(path)
}

/// `# NAME: SIZE bytes`, as in Fedora's CHECKSUM files.
fn size(comment: &str) -> Option<(&str, u64)> {
    let (name, size) = comment.trim().strip_suffix("bytes")?.rsplit_once(':')?;
    Some((name.trim(), size.trim().parse().ok()?))
}

/// A line with a digest. Weak digests give a path without a digest.
fn digest(text: &str) -> Option<(String, Expected)> {
    // A backslash before the line says that the name is escaped (coreutils, sha256sum).
    let (text, is_escaped) = match text.strip_prefix('\\') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let coreutils = || {
        let (hex, name) = text.split_once(' ')?;
        // The second character is a space for text and an asterisk for binary files.
        Some((name.strip_prefix([' ', '*']).unwrap_or(name).trim_start(), hex))
    };
    let (name, hex) = bsd(text).or_else(coreutils)?;
    let name = if is_escaped { unescape(name)? } else { name.to_owned() };
    let expected = match hex.len() {
        64 => Expected { sha256: Some(hex.parse::<Digest>().ok()?), ..Expected::default() },
        128 => Expected { sha512: Some(hex.parse::<Sha512Digest>().ok()?), ..Expected::default() },
        // MD5, SHA-1, SHA-224 and SHA-384.
        32 | 40 | 56 | 96 if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => Expected::default(),
        _ => return None,
    };
    Some((name, expected))
}

/// `SHA256 (NAME) = DIGEST`.
fn bsd(text: &str) -> Option<(&str, &str)> {
    let (algorithm, rest) = text.split_once(" (")?;
    let is_name = algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'/');
    let (name, hex) = rest.rsplit_once(") = ")?;
    is_name.then_some((name, hex))
}

fn unescape(name: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const B: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn paths(text: &str) -> Result<Vec<String>, String> {
        let lines = parse(&Document::new("SHA256SUMS", text)).map_err(|error| error.to_string())?;
        Ok(lines.into_iter().map(|line| line.path).collect())
    }

    #[test]
    fn path_out_of_tree_is_refused() {
        assert_eq!(file_path("./netboot/linux"), Some("netboot/linux"));
        for path in ["../x", "a/../../b", "/etc/passwd", "a//b", "", "./", "a\\b", "a\nb"] {
            assert_eq!(file_path(path), None, "{path:?}");
        }
    }

    #[test]
    fn each_form_of_line_is_read() {
        let text =
            format!("{A}  plain\n{A} *binary.iso\n{A}  ./netboot/linux\nSHA256 (bsd (1).iso) = {B}\n\n# comment\n");
        assert_eq!(paths(&text).unwrap(), ["plain", "binary.iso", "netboot/linux", "bsd (1).iso"]);
        assert_eq!(paths(&format!("{A}  windows.iso\r\n")).unwrap(), ["windows.iso"]);
    }

    #[test]
    fn escaped_names_are_unescaped_or_refused() {
        let escaped = digest(&format!("\\{A}  a\\\\b\\nc")).unwrap();
        assert_eq!(escaped.0, "a\\b\nc");
        let error = paths(&format!("\\{A}  a\\\\b")).unwrap_err();
        assert_eq!(error, r#"SHA256SUMS, line 1: expected the path of a file below this directory, found "a\\b""#);
        assert!(paths(&format!("\\{A}  a\\qb")).is_err());
        assert!(paths(&format!("{A}  ../../etc/passwd")).is_err());
    }

    #[test]
    fn fedora_checksum_gives_sizes() {
        let text = format!("# Rocky-9.4-boot.iso: 1028653056 bytes\nSHA256 (Rocky-9.4-boot.iso) = {A}\n");
        let lines = parse(&Document::new("CHECKSUM", text)).unwrap();
        assert_eq!(lines[0].expected.size, Some(1_028_653_056));
        assert_eq!(lines[0].expected.sha256, Some(A.parse().unwrap()));
    }

    #[test]
    fn weak_digests_prove_nothing() {
        let text =
            format!("900150983cd24fb0d6963f7d28e17f72  md5only\n{A}  good\n900150983cd24fb0d6963f7d28e17f72  good\n");
        assert_eq!(paths(&text).unwrap(), ["good"]);
    }

    #[test]
    fn two_digests_of_path_are_error() {
        let error = paths(&format!("{A}  x\n{B}  x\n")).unwrap_err();
        assert!(
            error.starts_with("SHA256SUMS, line 2: expected the digest that an earlier line gives to x"),
            "{error}"
        );
    }

    #[test]
    fn page_in_place_of_sums_names_line() {
        let error = paths("<html>\n<title>Login</title>\n").unwrap_err();
        assert!(error.starts_with("SHA256SUMS, line 1: expected \"DIGEST  NAME\""), "{error}");
        assert!(error.ends_with("found \"<html>\""), "{error}");
        assert!(paths("# nothing\n").unwrap_err().ends_with("found no such line"));
    }
}
