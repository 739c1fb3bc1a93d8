//! Escaping for the kernel command line.
//!
//! Linux splits it at white space outside double quotes, and a word cannot contain a double quote (`next_arg` in
//! `lib/cmdline.c`).

use super::rules::{EscapeError, reject_control, reject_expansion_at, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Splits the pieces into words. Only white space in the operator's own text separates words; white space in values does
/// not.
pub(in crate::boot) fn words(pieces: &[Piece]) -> Result<Vec<String>, EscapeError> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut in_quotes = false;
    for piece in pieces {
        let before = word.len();
        match piece {
            Piece::Literal(text) | Piece::Quoted(Syntax::Kernel | Syntax::Ipxe, text) => {
                for character in text.chars() {
                    match character {
                        '"' => (in_quotes, begun) = (!in_quotes, true),
                        c if c.is_ascii_whitespace() && !in_quotes => {
                            if std::mem::take(&mut begun) {
                                words.push(std::mem::take(&mut word));
                            }
                        }
                        c if c.is_control() => return Err(EscapeError::Control(c)),
                        c => {
                            word.push(c);
                            begun = true;
                        }
                    }
                }
            }
            Piece::Value(text) | Piece::Quoted(_, text) => {
                reject_control(text)?;
                if text.contains("${") {
                    return Err(EscapeError::Expansion);
                }
                word.push_str(one_word(text)?);
                begun |= !text.is_empty();
            }
            Piece::Data(json) => {
                word.push_str(scalar(json)?);
                begun = true;
            }
        }
        reject_expansion_at(&word, before)?;
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// Quotes `value` as one word, or as the value of one.
pub(in crate::boot) fn quoted(value: &str) -> Result<String, EscapeError> {
    reject_control(value)?;
    let value = one_word(value)?;
    Ok(if value.contains(' ') { format!("\"{value}\"") } else { value.to_owned() })
}

/// Returns `value`. Fails if no quoting can keep it one word.
fn one_word(value: &str) -> Result<&str, EscapeError> {
    if value.contains('"') {
        return Err(EscapeError::Quote);
    }
    // The kernel's `isspace` reads Latin-1, where the byte 0xa0 is a space; in UTF-8 it is the last byte of "à" and others.
    match value.chars().find(|c| c.encode_utf8(&mut [0; 4]).bytes().any(|byte| byte == 0xa0)) {
        Some(character) => Err(EscapeError::Space(character)),
        None => Ok(value),
    }
}

/// Quotes a word for the kernel if it contains spaces; only the part after `=` if it has one.
pub(in crate::boot) fn quoted_word(word: &str) -> String {
    match word.split_once('=') {
        _ if !word.contains(' ') => word.to_owned(),
        Some((key, value)) if !key.contains(' ') => format!("{key}=\"{value}\""),
        _ => format!("\"{word}\""),
    }
}
