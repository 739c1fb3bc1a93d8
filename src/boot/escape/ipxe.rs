//! Escaping for iPXE scripts.
//!
//! iPXE has no quoting. A line is split at white space; a word that begins with `#` starts a comment, the words `||`, `&&`
//! and `;` separate commands, a leading colon makes a label, and a trailing backslash joins the next line. Afterwards
//! `${name}` is expanded in each word, repeatedly until none is left, so a literal `${` cannot be written
//! (`src/core/exec.c`, `src/image/script.c` and `expand_settings` in `src/core/settings.c`).

use super::rules::{EscapeError, plain_text, reject_control, reject_expansion_at, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Expands to one space after the line has been split.
const SPACE: &str = "${sp:string}";
/// Defines the setting that [`SPACE`] expands.
const SET_SPACE: &str = "set sp:hex 20\n";
/// An unset setting. It expands to nothing, and prevents the adjacent character from being parsed as syntax.
const EMPTY: &str = "${nil}";
/// The first line of every script.
const MAGIC: &str = "#!ipxe\n";
/// The words that may begin a script (`script_probe` in `src/image/script.c`): the second is that of iPXE's predecessor.
const MAGIC_WORDS: [&str; 2] = ["#!ipxe", "#!gpxe"];

/// Escapes `value` as part of one word.
pub(in crate::boot) fn value(value: &str) -> Result<String, EscapeError> {
    reject_control(value)?;
    if value.contains("${") {
        return Err(EscapeError::Expansion);
    }
    Ok(inert(value))
}

/// Escapes one word, in which the operator's `${…}` stays.
pub(in crate::boot) fn word(word: &str) -> String {
    inert(&super::kernel::quoted_word(word))
}

/// Escapes a text so that iPXE parses it only as part of a word.
fn inert(text: &str) -> String {
    let before = if text.starts_with(['#', '|', '&', ';', ':']) { EMPTY } else { "" };
    let after = if text.ends_with('\\') { EMPTY } else { "" };
    format!("{before}{}{after}", text.replace(' ', SPACE))
}

/// Joins the pieces of a script and escapes its values.
pub(in crate::boot) fn script(pieces: &[Piece]) -> Result<String, EscapeError> {
    let mut script = String::new();
    for piece in pieces {
        let before = script.len();
        match piece {
            Piece::Literal(text) | Piece::Quoted(Syntax::Ipxe, text) => script.push_str(text),
            Piece::Value(text) | Piece::Quoted(_, text) => script.push_str(&value(text)?),
            Piece::Data(json) => script.push_str(scalar(json)?),
        }
        reject_expansion_at(&script, before)?;
    }
    let script = plain_text(&script);
    let (first, rest) = script.trim_start().split_once('\n').unwrap_or((script.trim(), ""));
    if !first.split_whitespace().next().is_some_and(|word| MAGIC_WORDS.contains(&word)) {
        return Err(EscapeError::Magic);
    }
    let mut script = MAGIC.to_owned() + rest;
    if script.contains(SPACE) {
        script.insert_str(MAGIC.len(), SET_SPACE);
    }
    Ok(script)
}
