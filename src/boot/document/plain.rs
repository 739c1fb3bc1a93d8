//! Files of an unknown format: values as they are, lists and maps as JSON.

use super::error::DocumentError;
use crate::boot::piece::Piece;

/// Joins the pieces.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Data(json) if json == "null" => return Err(DocumentError::Structure),
            Piece::Literal(piece) | Piece::Value(piece) | Piece::Data(piece) | Piece::Quoted(_, piece) => {
                text.push_str(piece);
            }
        }
    }
    Ok(text)
}
