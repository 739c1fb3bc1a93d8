//! The result of one row.

use serde_json::json;

/// The result of one row.
pub(crate) enum Outcome {
    /// It works. With a few words about how, or empty.
    Yes(String),
    /// The server does not have what the row needs. With the reason.
    NotSupported(String),
    /// The program failed. With the reason.
    Failed(String),
}

/// A row that works.
pub(crate) const YES: Outcome = Outcome::Yes(String::new());

impl Outcome {
    /// Whether the program failed.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// The line of the row.
    pub(crate) fn json(&self, row: &str) -> String {
        let (word, detail) = match self {
            Self::Yes(detail) => ("yes", detail),
            Self::NotSupported(detail) => ("not supported by this server", detail),
            Self::Failed(detail) => ("no", detail),
        };
        let detail = detail.split_whitespace().collect::<Vec<_>>().join(" ");
        let result = if detail.is_empty() { word.to_owned() } else { format!("{word}: {detail}") };
        json!({ "row": row, "result": result }).to_string()
    }
}
