//! Statements of documents about the digest of an object beside them. Pure.

use std::collections::HashMap;

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
    Statements::of_sums(document)?.about(file)?.ok_or_else(missing)
}

/// The statements of a document about several objects.
#[derive(Debug)]
pub(super) struct Statements {
    /// The URL of the document.
    pub(super) document: String,
    files: HashMap<String, Entry>,
}

/// A document's entry for a file: a statement, or the start of the text in its place.
type Entry = Result<Statement, Box<str>>;

/// The bytes of a text that is no digest which an error shows, at most.
const MAX_FOUND: usize = 80;

impl Statements {
    /// The statements of `SHA256SUMS`. Blocks for as long as a large one is parsed.
    pub(super) fn of_sums(document: &Document) -> Result<Self, DocumentError> {
        let lines = sums::parse(document)?.into_iter().filter_map(|line| {
            let statement = Statement { sha256: line.expected.sha256?, size: line.expected.size };
            Some((line.path, Ok(statement)))
        });
        Ok(Self { document: document.name.clone(), files: lines.collect() })
    }

    /// The statements of `metadata.json`. Blocks like [`Statements::of_sums`].
    pub(super) fn of_metadata(document: &Document) -> Result<Self, DocumentError> {
        let metadata: Value = document.json("an object with \"files\"")?;
        let files = match metadata.as_object().map(|metadata| metadata.get("files")) {
            Some(None) => None,
            Some(Some(Value::Object(files))) => Some(files),
            _ => return Err(document.error("an object with \"files\"", "another form")),
        };
        let statement = |(file, entry): (&String, &Value)| {
            let text = entry.get("sha256")?;
            let sha256 = text.as_str().and_then(|text| text.parse().ok());
            let statement = |sha256| Statement { sha256, size: entry["size"].as_u64() };
            Some((file.clone(), sha256.map(statement).ok_or_else(|| start(&text.to_string()))))
        };
        let files = files.into_iter().flatten().filter_map(statement).collect();
        Ok(Self { document: document.name.clone(), files })
    }

    /// The statement about `file`. `None` if there is none.
    pub(super) fn about(&self, file: &str) -> Result<Option<Statement>, DocumentError> {
        let wrong = |found: &str| Document::new(&self.document, "").error(format!("the SHA-256 of {file}"), found);
        let entry = self.files.get(file).map(|entry| entry.as_ref().copied().map_err(|found| wrong(found)));
        entry.transpose()
    }

    /// The memory that they take, in bytes, approximately.
    pub(super) fn weight(&self) -> usize {
        // The strings on the heap, and the table, of which up to half may be empty.
        let text = |(file, entry): (&String, &Entry)| file.len() + entry.as_ref().err().map_or(0, |found| found.len());
        self.files.iter().map(text).sum::<usize>() + self.files.capacity() * size_of::<(String, Entry)>()
    }
}

fn start(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(MAX_FOUND)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn document(text: &str) -> Document {
        Document::new("s3://b/x", text)
    }

    fn of_sums(text: &str, file: &str) -> Option<Statement> {
        Statements::of_sums(&document(text)).unwrap().about(file).unwrap()
    }

    fn of_metadata(text: &str, file: &str) -> Result<Option<Statement>, DocumentError> {
        Statements::of_metadata(&document(text))?.about(file)
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
        assert!(of_sums(&text, "a.iso").is_some());
        assert_eq!(of_sums(&text, "b.iso"), None);
        let md5 = "900150983cd24fb0d6963f7d28e17f72  a.iso\n".to_owned() + &format!("{A}  b.iso\n");
        assert_eq!(of_sums(&md5, "a.iso"), None, "a weak digest says nothing");
    }

    #[test]
    fn metadata_says_digest_and_size() {
        let text = format!(r#"{{"owner": "x", "files": {{"a.iso": {{"sha256": "{A}", "size": 3}}, "b": {{}}}}}}"#);
        let found = of_metadata(&text, "a.iso").unwrap();
        assert_eq!(found, Some(Statement { sha256: A.parse().unwrap(), size: Some(3) }));
        for other in ["b", "c"] {
            assert_eq!(of_metadata(&text, other).unwrap(), None);
        }
        assert_eq!(of_metadata("{}", "a").unwrap(), None);
        for wrong in ["[]", "text", r#"{"files": {"a": {"sha256": "x"}}}"#] {
            assert!(of_metadata(wrong, "a").is_err(), "{wrong}");
        }
    }
}
