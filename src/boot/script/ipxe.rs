//! iPXE's language: how values and words look in it.
//!
//! iPXE has no quoting. A line is split at white space; a word that begins with `#` ends it, the words `||`, `&&` and `;`
//! divide it into commands, a leading colon makes a label, and a backslash at its end joins the next line to it. Only
//! then `${name}` is expanded in each word, again and again while any is left, so nothing can stand for a `${` of its own
//! (`src/core/exec.c`, `src/image/script.c` and `expand_settings` in `src/core/settings.c`).

use super::Unspeakable;
use crate::boot::template::Piece;

/// Expands to one space, after the line was taken apart.
const SPACE: &str = "${sp:string}";
/// Sets what [`SPACE`] expands to.
const SET_SPACE: &str = "set sp:hex 20\n";
/// A setting that nobody sets: expands to nothing, and keeps what is beside it from being seen as more than text.
const NOTHING: &str = "${nil}";
/// What a script begins with.
pub(super) const MAGIC: &str = "#!ipxe\n";

/// `value` as a part of one word.
pub(in crate::boot) fn value(value: &str) -> Result<String, Unspeakable> {
    super::speakable(value)?;
    if value.contains("${") {
        return Err(Unspeakable::Expansion);
    }
    Ok(inert(value))
}

/// One word, in which `${…}` is the operator's own and stays.
pub(super) fn word(word: &str) -> String {
    inert(&super::kernel::quoted_word(word))
}

/// A text that iPXE takes for a part of a word and for nothing else.
fn inert(text: &str) -> String {
    let before = if text.starts_with(['#', '|', '&', ';', ':']) { NOTHING } else { "" };
    let after = if text.ends_with('\\') { NOTHING } else { "" };
    format!("{before}{}{after}", text.replace(' ', SPACE))
}

/// The script that the pieces make.
pub(super) fn script(pieces: &[Piece]) -> Result<String, Unspeakable> {
    let mut script = String::new();
    for piece in pieces {
        let before = script.len();
        match piece {
            Piece::Literal(text) => script.push_str(text),
            Piece::Value(text) => script.push_str(&value(text)?),
            Piece::Data(json) => script.push_str(super::scalar(json)?),
        }
        super::no_expansion_across(&script, before)?;
    }
    if !script.starts_with(MAGIC) {
        return Err(Unspeakable::Magic);
    }
    if script.contains(SPACE) {
        script.insert_str(MAGIC.len(), SET_SPACE);
    }
    Ok(script)
}
