//! TOML 1.1.

use super::error::{DocumentError, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// The place of a position in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Bare,
    Comment,
    /// In a text, in which a backslash escapes.
    Basic,
    /// In a text without escapes.
    Literal,
    /// In such texts that span lines.
    LongBasic,
    LongLiteral,
}

/// Returns a value, given as JSON, as TOML on one line. Fails for null, which TOML does not have.
pub(in crate::boot) fn value(json: &str) -> Result<String, DocumentError> {
    let value: toml::Value = serde_json::from_str(json).map_err(|_| {
        DocumentError::Value("TOML cannot hold this value: it has no null, and numbers of 64 bits at most")
    })?;
    Ok(value.to_string())
}

/// Escapes a text that stands in double quotes: as JSON does, and DEL.
fn escaped(text: &str) -> Result<String, DocumentError> {
    Ok(super::json::escaped(text)?.replace('\u{7f}', "\\u007f"))
}

/// Joins the pieces.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut toml = String::new();
    let mut place = Place::Bare;
    for piece in pieces {
        match (piece, place) {
            (Piece::Literal(text), _) => {
                place = after(text, place);
                toml.push_str(text);
            }
            (Piece::Data(data), Place::Bare) => toml.push_str(&value(data)?),
            (Piece::Data(data), _) => toml.push_str(scalar(data)?),
            (Piece::Quoted(Syntax::Toml, text), Place::Bare) => toml.push_str(text),
            (Piece::Value(text) | Piece::Quoted(_, text), place) => toml.push_str(&in_place(text, place)?),
        }
    }
    match toml.parse::<toml::Table>() {
        Ok(_) => Ok(toml),
        // Without the line itself, which may hold a secret.
        Err(error) => {
            let before = error.span().and_then(|span| toml.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Err(DocumentError::invalid("TOML", &format!("line {line}: {}", error.message())))
        }
    }
}

fn in_place(text: &str, place: Place) -> Result<String, DocumentError> {
    let control = |c: char| c.is_control() && c != '\t';
    match place {
        Place::Bare => Ok(format!("\"{}\"", escaped(text)?)),
        Place::Basic | Place::LongBasic => escaped(text),
        Place::Comment => Ok(text.replace(control, " ")),
        Place::Literal | Place::LongLiteral if text.contains('\'') || text.contains(control) => {
            Err(DocumentError::Value(
                "TOML cannot escape a value in single quotes, and this one has such a quote or a control character; use double quotes",
            ))
        }
        Place::Literal | Place::LongLiteral => Ok(text.to_owned()),
    }
}

/// Returns the place after the operator's `text`.
fn after(text: &str, mut place: Place) -> Place {
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let long = |quote: &str| rest.starts_with(quote);
        let (next, length) = match (place, character) {
            (Place::Bare, '"') if long("\"\"\"") => (Place::LongBasic, 3),
            (Place::Bare, '\'') if long("'''") => (Place::LongLiteral, 3),
            (Place::Bare, '"') => (Place::Basic, 1),
            (Place::Bare, '\'') => (Place::Literal, 1),
            (Place::Bare, '#') => (Place::Comment, 1),
            (Place::LongBasic, '"') if long("\"\"\"") => (Place::Bare, 3),
            (Place::LongLiteral, '\'') if long("'''") => (Place::Bare, 3),
            (Place::Basic, '"') | (Place::Literal, '\'') | (Place::Comment, '\n') => (Place::Bare, 1),
            (Place::Basic | Place::LongBasic, '\\') => (place, 1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
            _ => (place, character.len_utf8()),
        };
        place = next;
        rest = &rest[length..];
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    #[test]
    fn value_cannot_leave_its_place() {
        for text in ["plain", "\"\nx = \"", "\"\"\"", "\\", "a\nb\t\u{1}\u{7f}", "]\n[b]", "'''", "# ä 🦀"] {
            let value = Piece::Value(text.to_owned());
            let pieces = [
                literal("# "),
                value.clone(),
                literal("\na = "),
                value.clone(),
                literal("\nb = \"it's "),
                value.clone(),
                literal("\\\"\"\nc = \"\"\"\n"),
                value.clone(),
                literal("\"\"\"\nd = ["),
                Piece::Data("{\"x\":[1,\"y\"]}".to_owned()),
                literal(", "),
                value.clone(),
                literal("]\n"),
            ];
            let toml = join(&pieces).unwrap();
            let parsed: toml::Table = toml.parse().unwrap();
            assert_eq!(parsed.len(), 4, "{toml}");
            assert_eq!(parsed["a"].as_str(), Some(text), "{toml}");
            assert_eq!(parsed["b"].as_str(), Some(format!("it's {text}\"").as_str()));
            assert_eq!(parsed["c"].as_str(), Some(text));
            assert_eq!((parsed["d"][0]["x"][1].as_str(), parsed["d"][1].as_str()), (Some("y"), Some(text)));
        }
    }

    #[test]
    fn single_quotes_take_plain_values_only() {
        let with = |text: &str| join(&[literal("a = '"), Piece::Value(text.to_owned()), literal("'\n")]);
        assert_eq!(with("b \\ \"c\"").unwrap(), "a = 'b \\ \"c\"'\n");
        for text in ["it's", "a\nb"] {
            assert!(matches!(with(text), Err(DocumentError::Value(_))), "{text}");
        }
        assert!(matches!(join(&[literal("a = b\n")]), Err(DocumentError::Invalid { syntax: "TOML", .. })));
        let error = join(&[literal("b = 1\na = s3cret x\n")]).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("s3cret"), "{error}");
        assert!(matches!(join(&[literal("a = "), Piece::Data("null".to_owned())]), Err(DocumentError::Value(_))));
    }
}
