//! The pieces of a rendered template.

/// One piece of a rendered template, by its origin. Values must be escaped for the place where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The operator's own text, and values that are safe as they are: our own URLs, and the output of quoting filters.
    Literal(String),
    /// A string value.
    Value(String),
    /// A number, flag, list or map value, as JSON.
    Data(String),
}
