//! Statements of documents about the digest of an object beside them. Pure.

use serde_json::Value;

use crate::asset::Digest;
use crate::proof::{Document, DocumentError, sums};

/// The statement of a document about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sha256: Digest,
    /// Its length in bytes, if the document says it.
    pub(super) size: Option<u64>,
}

/// The statement of `KEY.sha256`: a digest alone, or a line of `sha256sum` for `file`.
pub(super) fn of_sidecar(document: &Document, file: &str) -> Result<Statement, DocumentError> {
    if let Ok(sha256) = document.text.trim().parse() {
        return Ok(Statement { sha256, size: None });
    }
    of_signed_sidecar(document, file)
}

/// The statement of a signed `KEY.sha256`: a line of `sha256sum` for `file`. A digest alone proves nothing: a person who can write
/// to the source could put the signed file of another object there.
pub(super) fn of_signed_sidecar(document: &Document, file: &str) -> Result<Statement, DocumentError> {
    let missing = || document.error(format!("the SHA-256 of {file}"), "no line for it");
    of_sums(document, file)?.ok_or_else(missing)
}

/// The statement of `SHA256SUMS` about `file`. `None` if it has no line for it.
pub(super) fn of_sums(document: &Document, file: &str) -> Result<Option<Statement>, DocumentError> {
    let line = sums::parse(document)?.into_iter().find(|line| line.path == file);
    let expected = line.map(|line| line.expected);
    Ok(expected.and_then(|expected| Some(Statement { sha256: expected.sha256?, size: expected.size })))
}

/// The statement of `metadata.json` about `file`. `None` if it says nothing about it.
pub(super) fn of_metadata(document: &Document, file: &str) -> Result<Option<Statement>, DocumentError> {
    let metadata: Value = document.json("an object with \"files\"")?;
    let files = match metadata.as_object().map(|metadata| metadata.get("files")) {
        Some(None) => return Ok(None),
        Some(Some(Value::Object(files))) => files,
        _ => return Err(document.error("an object with \"files\"", "another form")),
    };
    let Some(text) = files.get(file).and_then(|entry| entry.get("sha256")) else { return Ok(None) };
    let sha256 = text.as_str().and_then(|text| text.parse().ok());
    let sha256 = sha256.ok_or_else(|| document.error(format!("the SHA-256 of {file}"), text.to_string()))?;
    Ok(Some(Statement { sha256, size: files[file]["size"].as_u64() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn document(text: &str) -> Document {
        Document::new("s3://b/x", text)
    }

    #[test]
    fn sidecar_is_digest_or_line() {
        for text in [A.to_owned(), format!("{A}\n"), format!("{A}  a.iso\n"), format!("{A} *./a.iso\n")] {
            assert_eq!(of_sidecar(&document(&text), "a.iso").unwrap().sha256, A.parse().unwrap(), "{text}");
        }
        let error = of_sidecar(&document(&format!("{A}  b.iso\n")), "a.iso").unwrap_err();
        assert_eq!(error.to_string(), "s3://b/x: expected the SHA-256 of a.iso, found no line for it");
        assert!(of_sidecar(&document("<html>"), "a.iso").is_err());
    }

    #[test]
    fn signed_sidecar_names_its_object() {
        let named = document(&format!("{A}  a.iso\n"));
        assert_eq!(of_signed_sidecar(&named, "a.iso").unwrap().sha256, A.parse().unwrap());
        assert!(of_signed_sidecar(&named, "b.iso").is_err());
        assert!(of_signed_sidecar(&document(A), "a.iso").is_err(), "it could be of any object");
    }

    #[test]
    fn sums_speak_of_their_directory() {
        let text = format!("{A}  a.iso\n{A}  sub/b.iso\n");
        assert!(of_sums(&document(&text), "a.iso").unwrap().is_some());
        assert_eq!(of_sums(&document(&text), "b.iso").unwrap(), None);
        let md5 = "900150983cd24fb0d6963f7d28e17f72  a.iso\n".to_owned() + &format!("{A}  b.iso\n");
        assert_eq!(of_sums(&document(&md5), "a.iso").unwrap(), None, "a weak digest says nothing");
    }

    #[test]
    fn metadata_says_digest_and_size() {
        let text = format!(r#"{{"owner": "x", "files": {{"a.iso": {{"sha256": "{A}", "size": 3}}, "b": {{}}}}}}"#);
        let found = of_metadata(&document(&text), "a.iso").unwrap();
        assert_eq!(found, Some(Statement { sha256: A.parse().unwrap(), size: Some(3) }));
        for other in ["b", "c"] {
            assert_eq!(of_metadata(&document(&text), other).unwrap(), None);
        }
        assert_eq!(of_metadata(&document("{}"), "a").unwrap(), None);
        for wrong in ["[]", "text", r#"{"files": {"a": {"sha256": "x"}}}"#] {
            assert!(of_metadata(&document(wrong), "a").is_err(), "{wrong}");
        }
    }
}
