//! Why a file cannot be written.

/// Why a file cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::boot) enum DocumentError {
    /// A list, map or null inside a text.
    #[error("a list or a map is inside a text; write {{{{ value | json }}}} outside of quotes")]
    Structure,
    /// A value that its place cannot hold.
    #[error("{0}")]
    Value(&'static str),
    /// The result does not parse.
    #[error("the result is not valid {syntax}: {reason}; values are escaped inside quotes, and quoted elsewhere")]
    Invalid {
        /// The syntax.
        syntax: &'static str,
        /// The parser's reason.
        reason: String,
    },
}

impl DocumentError {
    /// The result is not valid in `syntax`.
    pub(super) fn invalid(syntax: &'static str, reason: &impl std::fmt::Display) -> Self {
        Self::Invalid { syntax, reason: reason.to_string().trim().replace('\n', " ") }
    }
}

/// Returns a number or flag as text. Fails for lists, maps and null.
pub(super) fn scalar(json: &str) -> Result<&str, DocumentError> {
    if json.starts_with(['[', '{']) || json == "null" { Err(DocumentError::Structure) } else { Ok(json) }
}
