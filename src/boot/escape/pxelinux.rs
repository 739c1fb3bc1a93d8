//! Escaping for configurations of PXELINUX.
//!
//! A line is a keyword and the rest of the line as it stands, so that only a line break could add a command
//! (<https://wiki.syslinux.org/wiki/index.php?title=Config>).

use super::rules::{EscapeError, reject_control, scalar};
use crate::boot::piece::Piece;

/// Joins the pieces of a configuration.
pub(in crate::boot) fn script(pieces: &[Piece]) -> Result<String, EscapeError> {
    let mut script = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => script.push_str(text),
            Piece::Value(text) | Piece::Quoted(_, text) => {
                reject_control(text)?;
                script.push_str(text);
            }
            Piece::Data(json) => script.push_str(scalar(json)?),
        }
    }
    Ok(script)
}

/// Whether a file's name can be written: a list of initrds is divided at commas, and a name ends at a space.
pub(in crate::boot) fn is_file_name(name: &str) -> bool {
    !name.contains([' ', ',']) && reject_control(name).is_ok()
}
