//! A fetched document, and errors that name it, the line, and what was expected there.

use std::fmt;

use serde::de::DeserializeOwned;

/// The text of a fetched document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it came from, as shown in errors: a URL without secrets, or `standard input`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A document does not have the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{document}{}: expected {expected}, found {found}", AtLine(*.line))]
pub struct DocumentError {
    /// The document.
    pub document: String,
    /// The line, counted from 1. `None` if the error concerns the whole document.
    pub line: Option<usize>,
    /// The expected content.
    pub expected: String,
    /// The content that was found.
    pub found: String,
}

struct AtLine(Option<usize>);

impl fmt::Display for AtLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// The longest excerpt of a document in an error.
const EXCERPT: usize = 80;

impl Document {
    /// A document with this text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The lines with their numbers, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// An error at a line.
    pub fn error_at(&self, line: usize, expected: impl Into<String>, found: &str) -> DocumentError {
        let found = format!("{:?}", found.chars().take(EXCERPT).collect::<String>());
        DocumentError { document: self.name.clone(), line: Some(line), expected: expected.into(), found }
    }

    /// An error about the whole document.
    pub fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> DocumentError {
        DocumentError { document: self.name.clone(), line: None, expected: expected.into(), found: found.into() }
    }

    /// Parses it as JSON. `expected` names the kind of document.
    pub fn json<T: DeserializeOwned>(&self, expected: &str) -> Result<T, DocumentError> {
        serde_json::from_str(&self.text).map_err(|error| DocumentError {
            document: self.name.clone(),
            line: Some(error.line()),
            expected: expected.to_owned(),
            found: error.to_string(),
        })
    }

    /// Parses it as YAML. `expected` names the kind of document.
    pub fn yaml<T: DeserializeOwned>(&self, expected: &str) -> Result<T, DocumentError> {
        serde_saphyr::from_str(&self.text).map_err(|error| DocumentError {
            document: self.name.clone(),
            line: error.location().map(|location| usize::try_from(location.line()).unwrap_or(usize::MAX)),
            expected: expected.to_owned(),
            found: error.to_string().lines().next().unwrap_or_default().to_owned(),
        })
    }
}
