//! JSON (RFC 8259).

use super::error::{DocumentError, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Quotes a text.
pub(in crate::boot) fn quoted(text: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(text)
}

/// Escapes a text that stands in quotes.
pub(super) fn escaped(text: &str) -> Result<String, DocumentError> {
    let quoted = quoted(text).map_err(|error| DocumentError::invalid("JSON", &error))?;
    Ok(quoted[1..quoted.len() - 1].to_owned())
}

/// Joins the pieces: escapes values in quotes, and quotes texts elsewhere.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut json = String::new();
    let mut in_text = false;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                let mut characters = text.chars();
                while let Some(character) = characters.next() {
                    match character {
                        '"' => in_text = !in_text,
                        '\\' if in_text => drop(characters.next()),
                        _ => {}
                    }
                }
                json.push_str(text);
            }
            Piece::Data(data) => json.push_str(if in_text { scalar(data)? } else { data }),
            Piece::Quoted(Syntax::Json, text) if !in_text => json.push_str(text),
            Piece::Value(text) | Piece::Quoted(_, text) => {
                let quote = if in_text { "" } else { "\"" };
                json.extend([quote, &escaped(text)?, quote]);
            }
        }
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(DocumentError::invalid("JSON", &error)),
    }
}
