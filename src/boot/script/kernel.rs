//! A kernel's command line: words, each of which stays one whatever is in it.
//!
//! Linux splits it at white space outside of double quotes, and has no way to write a double quote within a word
//! (`next_arg` in `lib/cmdline.c`).

use super::Unspeakable;
use crate::boot::template::Piece;

/// The words that the pieces make: the operator's own white space divides, that of a value does not.
pub(super) fn words(pieces: &[Piece]) -> Result<Vec<String>, Unspeakable> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut in_quotes = false;
    for piece in pieces {
        let before = word.len();
        match piece {
            Piece::Literal(text) => {
                for character in text.chars() {
                    match character {
                        '"' => (in_quotes, begun) = (!in_quotes, true),
                        c if c.is_ascii_whitespace() && !in_quotes => {
                            if std::mem::take(&mut begun) {
                                words.push(std::mem::take(&mut word));
                            }
                        }
                        c if c.is_control() => return Err(Unspeakable::Control(c)),
                        c => {
                            word.push(c);
                            begun = true;
                        }
                    }
                }
            }
            Piece::Value(text) => {
                super::speakable(text)?;
                if text.contains("${") {
                    return Err(Unspeakable::Expansion);
                }
                word.push_str(one_word(text)?);
                begun |= !text.is_empty();
            }
            Piece::Data(json) => {
                word.push_str(super::scalar(json)?);
                begun = true;
            }
        }
        super::no_expansion_across(&word, before)?;
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// `value` as one word, or as the value of one.
pub(in crate::boot) fn quoted(value: &str) -> Result<String, Unspeakable> {
    super::speakable(value)?;
    let value = one_word(value)?;
    Ok(if value.contains(' ') { format!("\"{value}\"") } else { value.to_owned() })
}

/// `value`, unless no quoting could keep it one word.
fn one_word(value: &str) -> Result<&str, Unspeakable> {
    if value.contains('"') {
        return Err(Unspeakable::Quote);
    }
    // The kernel's `isspace` reads Latin-1, where this byte is a space; in UTF-8 it is the end of "à" and of others.
    match value.chars().find(|c| c.encode_utf8(&mut [0; 4]).bytes().any(|byte| byte == 0xa0)) {
        Some(character) => Err(Unspeakable::Space(character)),
        None => Ok(value),
    }
}

/// A word as the kernel wants it written: quoted where it holds spaces, after its `=` where it has one.
pub(super) fn quoted_word(word: &str) -> String {
    match word.split_once('=') {
        _ if !word.contains(' ') => word.to_owned(),
        Some((key, value)) if !key.contains(' ') => format!("{key}=\"{value}\""),
        _ => format!("\"{word}\""),
    }
}
