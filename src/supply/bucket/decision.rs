//! The decision about one document of a bucket's settings.

use std::borrow::Cow;

use quick_xml::escape::escape;
use serde::de::DeserializeOwned;

/// The namespace of S3 documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The decision about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The server has what is wanted.
    Same,
    /// Write this document.
    Write(String),
    /// Delete it.
    Delete,
    /// An earlier run wrote it, and the server left out the part that counts.
    NotKept,
}

/// Writes a document with this root element and content.
pub(super) fn document(root: &str, content: &str) -> String {
    format!("<{root} xmlns=\"{NAMESPACE}\">{content}</{root}>")
}

/// Writes an element with a text.
pub(super) fn element(name: &str, text: &str) -> String {
    let text: Cow<'_, str> = escape(text);
    format!("<{name}>{text}</{name}>")
}

/// Parses a document. Fails with a sentence.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    quick_xml::de::from_str(text).map_err(|error| format!("the server's XML cannot be read: {error}"))
}
