//! YAML 1.2, written so that readers of YAML 1.1 see the same.

mod scanner;
#[cfg(test)]
mod tests;

use serde::de::IgnoredAny;

use self::scanner::{Place, Scanner};
use super::error::{DocumentError, scalar};
use super::json;
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Plain words that are no texts in YAML 1.1 or 1.2.
const RESERVED: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Returns a value, given as JSON, in YAML's flow style. JSON is that already, except for characters that YAML does not print,
/// and those that YAML 1.1 takes for line breaks (YAML 1.1, 5.1 and 5.4).
pub(in crate::boot) fn flow(json: &str) -> String {
    let is_plain =
        |c: char| !matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if json.chars().all(is_plain) {
        return json.to_owned();
    }
    let mut flow = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) {
            flow.push(character);
        } else {
            flow.extend(["\\u", &format!("{:04x}", u32::from(character))]);
        }
    }
    flow
}

/// Joins the pieces: a value that is a whole scalar is quoted where it must be, and a value in a part of one is escaped.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut yaml = String::new();
    let mut scanner = Scanner::default();
    for (index, piece) in pieces.iter().enumerate() {
        if let Piece::Literal(text) = piece {
            scanner.read(text);
            yaml.push_str(text);
            continue;
        }
        let is_whole = scanner.ends_scalar(&pieces[index + 1..]);
        let text = escape(piece, &scanner.place(), is_whole)?;
        scanner.value(&text);
        yaml.push_str(&text);
    }
    match serde_saphyr::from_multiple::<IgnoredAny>(&yaml) {
        Ok(_) => Ok(yaml),
        Err(error) => {
            let line = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column()));
            let reason = error.without_snippet().to_string();
            Err(DocumentError::invalid(
                "YAML",
                &format!("{reason}{}", line.filter(|at| !reason.contains(at.as_str())).unwrap_or_default()),
            ))
        }
    }
}

/// Escapes a value for its place. `is_whole`: the scalar ends after it.
fn escape(piece: &Piece, place: &Place, is_whole: bool) -> Result<String, DocumentError> {
    let (text, is_finished) = match piece {
        Piece::Quoted(Syntax::Json | Syntax::Yaml, text) => (text.as_str(), true),
        Piece::Data(data) => (data.as_str(), true),
        Piece::Literal(text) | Piece::Value(text) | Piece::Quoted(_, text) => (text.as_str(), false),
    };
    let inside = || if let Piece::Data(data) = piece { scalar(data) } else { Ok(text) };
    match place {
        Place::Start { .. } if is_whole && is_finished => Ok(flow(text)),
        Place::Start { .. } if is_whole && is_plain(text) => Ok(text.to_owned()),
        Place::Start { .. } if is_whole => Ok(flow(&format!("\"{}\"", json::escaped(text)?))),
        Place::Start { in_flow } | Place::Inside { in_flow } => {
            let text = inside()?;
            let begins = matches!(place, Place::Start { .. });
            if fits(text, *in_flow, begins) { Ok(text.to_owned()) } else { Err(UNQUOTED) }
        }
        Place::Double => Ok(flow(&json::escaped(inside()?)?)),
        Place::Single => match inside()? {
            text if text.contains(char::is_control) => Err(DocumentError::Value(
                "a value in single quotes has a line break or a control character; use double quotes",
            )),
            text => Ok(text.replace('\'', "''")),
        },
        Place::Comment => Ok(text.replace(char::is_control, " ")),
        Place::Block { indent } => indented(inside()?, *indent),
    }
}

/// A value in the middle of a plain scalar would begin something else there.
const UNQUOTED: DocumentError = DocumentError::Value(
    "a value in the middle of a text without quotes has a character that YAML reads as syntax; write the whole text in double quotes",
);

/// Whether YAML reads a text without quotes as this text.
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_-./@+".contains(&b))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether a text can be a part of a plain scalar (YAML 1.2, 7.3.3): its beginning if `begins`.
fn fits(text: &str, in_flow: bool, begins: bool) -> bool {
    const INDICATORS: &str = "-?:,[]{}#&*!|>'\"%@` ";
    let ends_word = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    let is_syntax = text.contains(|c: char| c.is_control() || (in_flow && "[]{},".contains(c)))
        || text.match_indices(':').any(|(at, _)| ends_word(&text[at + 1..]))
        || text.match_indices('#').any(|(at, _)| at == 0 || text[..at].ends_with(' '))
        || (begins && text.starts_with(|c: char| INDICATORS.contains(c)));
    !is_syntax
}

/// A text in a block scalar whose lines are indented by `indent`. A text that is indented already stays as it is.
fn indented(text: &str, indent: usize) -> Result<String, DocumentError> {
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(DocumentError::Value(
            "a value in a block of YAML has a control character; write {{ value | json }} instead of a block",
        ));
    }
    let margin = " ".repeat(indent);
    let is_inside = |line: &str| line.trim().is_empty() || line.starts_with(&margin);
    if text.lines().skip(1).all(is_inside) {
        Ok(text.to_owned())
    } else {
        Ok(text.replace('\n', &format!("\n{margin}")))
    }
}
