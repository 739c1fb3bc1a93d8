//! The pieces of a rendered template.

use super::syntax::Syntax;

/// One piece of a rendered template, by its origin. Values must be escaped for the place where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The operator's own text, and values that are safe as they are: our own URLs.
    Literal(String),
    /// A string value.
    Value(String),
    /// A number, flag, list or map value, as JSON.
    Data(String),
    /// A value that a filter has quoted: finished in this syntax, and a text like others in any other.
    Quoted(Syntax, String),
}
