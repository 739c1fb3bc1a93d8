//! The marks around values in rendered text, by which they are separated from the operator's own text.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// Unicode noncharacters (Unicode 23.7): no legitimate text contains them.
const MARKS: RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';
const TEXT: char = '\u{fdd0}';
const DATA: char = '\u{fdd1}';
const END: char = '\u{fdd2}';
/// Written between two characters that would otherwise begin a comment.
pub(super) const GAP: char = '\u{fdd3}';
/// The first mark of quoted values; one for each syntax follows, in the order of [`Syntax::ALL`].
const QUOTED: char = '\u{fdd4}';

/// Marks a string value.
pub(super) fn text(text: &str) -> String {
    format!("{TEXT}{}{END}", unmarked(text))
}

/// Marks a number, flag, list or map, as JSON.
pub(super) fn data(json: &str) -> String {
    format!("{DATA}{}{END}", unmarked(json))
}

/// Marks a value that is quoted in `syntax`.
pub(super) fn quoted(syntax: Syntax, text: &str) -> String {
    let index = Syntax::ALL.iter().position(|&other| other == syntax).unwrap_or_default();
    let mark = (QUOTED..=*MARKS.end()).nth(index).unwrap_or(TEXT);
    format!("{mark}{}{END}", unmarked(text))
}

/// Returns the text without marks: all of it is one value, also if parts of it were rendered before.
pub(super) fn unmarked(text: &str) -> Cow<'_, str> {
    let marked = |c: char| MARKS.contains(&c);
    if text.contains(marked) { Cow::Owned(text.replace(marked, "")) } else { Cow::Borrowed(text) }
}

/// Splits rendered text into pieces. Inside of a value, marks of other values have no meaning.
pub(super) fn pieces(rendered: &str) -> Vec<Piece> {
    let opens = |c: char| MARKS.contains(&c) && c != END && c != GAP;
    let mut pieces = Vec::new();
    let mut rest = rendered;
    while let Some(at) = rest.find(opens) {
        let (literal, marked) = rest.split_at(at);
        push_literal(&mut pieces, literal);
        let mut characters = marked.chars();
        let mark = characters.next().unwrap_or(TEXT);
        let inside = characters.as_str();
        let mut depth = 1;
        let end = inside.char_indices().find(|(_, c)| {
            depth += i32::from(opens(*c)) - i32::from(*c == END);
            depth == 0
        });
        let (value, after) = end.map_or((inside, ""), |(at, end)| (&inside[..at], &inside[at + end.len_utf8()..]));
        let value = unmarked(value).into_owned();
        pieces.push(match mark {
            TEXT => Piece::Value(value),
            DATA => Piece::Data(value),
            mark => match Syntax::ALL.get((mark as usize).saturating_sub(QUOTED as usize)) {
                Some(&syntax) => Piece::Quoted(syntax, value),
                None => Piece::Value(value),
            },
        });
        rest = after;
    }
    push_literal(&mut pieces, rest);
    pieces
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(unmarked(text).into_owned()));
    }
}
