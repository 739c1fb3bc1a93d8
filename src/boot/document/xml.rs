//! XML 1.0 (fifth edition).

use roxmltree::{Document, ParsingOptions};

use super::error::{DocumentError, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Escapes a text for an element or an attribute. Fails if it has a character that XML has not (2.2).
pub(in crate::boot) fn escaped(text: &str) -> Result<String, DocumentError> {
    let is_character = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if !text.chars().all(is_character) {
        return Err(DocumentError::Value("a value has a control character that XML cannot hold"));
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A parser turns both into spaces in an attribute (3.3.3), and the second into a line break elsewhere (2.11).
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            character => escaped.push(character),
        }
    }
    Ok(escaped)
}

/// Joins the pieces.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut xml = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) | Piece::Quoted(Syntax::Xml, text) => xml.push_str(text),
            Piece::Data(data) => xml.push_str(scalar(data)?),
            Piece::Value(text) | Piece::Quoted(_, text) => xml.push_str(&in_place(&xml, text)?),
        }
    }
    match Document::parse_with_options(&xml, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }) {
        Ok(_) => Ok(xml),
        Err(error) => Err(DocumentError::invalid("XML", &error)),
    }
}

/// Escapes a text that follows `before`: a section of character data has no escapes, and ends at `]]>` alone (2.7).
fn in_place(before: &str, text: &str) -> Result<String, DocumentError> {
    let escaped = escaped(text)?;
    let is_open = |open: &str, close: &str| before.rfind(open).is_some_and(|at| !before[at..].contains(close));
    if is_open("<![CDATA[", "]]>") {
        return Ok(text.replace("]]>", "]]]]><![CDATA[>"));
    }
    // Two hyphens would end a comment (2.5).
    Ok(if is_open("<!--", "-->") { escaped.replace('-', "&#45;") } else { escaped })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Piece {
        Piece::Value(text.to_owned())
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    #[test]
    fn value_cannot_leave_its_place() {
        for text in ["plain", "</a><b c=\"d\">&", "]]>", "-->", "--", "'\"", "a\nb\r\tc", "&lt;", "ä 🦀"] {
            let pieces = [
                literal("<?xml version=\"1.0\"?>\n<!-- "),
                value(text),
                literal(" --><a b=\""),
                value(text),
                literal("\" c='"),
                value(text),
                literal("'><d>"),
                value(text),
                literal("</d><e><![CDATA["),
                value(text),
                literal("]]></e></a>"),
            ];
            let xml = join(&pieces).unwrap();
            let parsed = Document::parse(&xml).unwrap();
            let root = parsed.root_element();
            let texts: Vec<_> = root.children().map(|child| child.descendants().find_map(|it| it.text())).collect();
            assert_eq!(
                (root.attribute("b"), root.attribute("c")),
                (Some(text.replace('\t', " ").as_str()), Some(text.replace('\t', " ").as_str()))
            );
            assert_eq!(texts[0], Some(text), "{xml}");
            let unified = text.replace('\r', "\n");
            assert_eq!(texts[1].map(str::to_owned), Some(unified), "{xml}");
        }
        assert!(join(&[literal("<a>"), value("\u{1}"), literal("</a>")]).is_err());
    }

    #[test]
    fn invalid_xml_is_refused() {
        for text in ["<a>", "<a></b>", "", "<a/><b/>", "<a b=c/>", "<a>&nope;</a>", "a"] {
            assert!(matches!(join(&[literal(text)]), Err(DocumentError::Invalid { .. })), "{text}");
        }
        assert!(join(&[literal("<!DOCTYPE profile>\n<profile xmlns=\"a\"/>\n")]).is_ok());
        assert_eq!(
            join(&[literal("<a>"), Piece::Data("[1]".to_owned()), literal("</a>")]),
            Err(DocumentError::Structure)
        );
    }
}
