//! Reads a document of YAML up to a value: which kind of scalar the value stands in.

use crate::boot::piece::Piece;

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A scalar may begin here.
    Start {
        /// In brackets or braces.
        in_flow: bool,
    },
    /// In the middle of a plain scalar.
    Inside {
        /// In brackets or braces.
        in_flow: bool,
    },
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// In a comment.
    Comment,
    /// In a block scalar.
    Block {
        /// The spaces before its lines.
        indent: usize,
    },
}

/// The open construct, outside of block scalars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Single,
    Double,
    Comment,
    /// A tag, an anchor or an alias.
    Property,
}

/// Reads a document.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact about the characters before, independent of the others"
)]
pub(super) struct Scanner {
    open: Open,
    /// Whether a scalar may begin at the next character.
    fresh: bool,
    after_space: bool,
    /// Whether a quoted scalar ended just before.
    after_quote: bool,
    /// How many brackets and braces are open.
    flow: usize,
    /// The column of the next character.
    column: usize,
    /// The spaces at the start of the line; all of the line so far if `in_margin`.
    margin: usize,
    in_margin: bool,
    /// The column of the entry of the line: its key, or its last dash.
    entry: usize,
    /// Whether the next character that is neither space nor dash begins the entry.
    after_dash: bool,
    /// The entry whose block scalar begins in the next line.
    header: Option<usize>,
    /// The entry whose block scalar is open: its lines are indented more.
    block: Option<usize>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            open: Open::Nothing,
            fresh: true,
            after_space: true,
            after_quote: false,
            flow: 0,
            column: 0,
            margin: 0,
            in_margin: true,
            entry: 0,
            after_dash: false,
            header: None,
            block: None,
        }
    }
}

impl Scanner {
    /// The place of the next character, if a value begins there.
    pub(super) fn place(&self) -> Place {
        let in_flow = self.flow > 0;
        match self.open {
            Open::Single => Place::Single,
            Open::Double => Place::Double,
            Open::Comment => Place::Comment,
            Open::Nothing | Open::Property => match self.block {
                Some(entry) if self.margin > entry || !self.in_margin => Place::Block { indent: self.margin },
                _ if self.fresh && self.open == Open::Nothing => Place::Start { in_flow },
                _ => Place::Inside { in_flow },
            },
        }
    }

    /// Whether the scalar that begins here ends after one value, before `rest`.
    pub(super) fn ends_scalar(&self, rest: &[Piece]) -> bool {
        let is_empty = |piece: &&Piece| matches!(piece, Piece::Literal(text) if text.is_empty());
        let Some(next) = rest.iter().find(|piece| !is_empty(piece)) else { return true };
        let Piece::Literal(text) = next else { return false };
        let after = text.trim_start_matches([' ', '\t']);
        let spaced = after.len() < text.len();
        after.is_empty() && rest.len() == 1
            || after.starts_with(['\n', '\r'])
            || (after.starts_with('#') && spaced)
            || (after.starts_with([',', ']', '}']) && self.flow > 0)
            || after.strip_prefix(':').is_some_and(|rest| rest.starts_with([' ', '\n', '\r']))
    }

    /// A value was written here.
    pub(super) fn value(&mut self, text: &str) {
        if std::mem::take(&mut self.in_margin) {
            self.block = self.block.filter(|entry| self.margin > *entry);
        }
        self.after_quote = text.ends_with('"');
        if self.after_dash || self.column == self.margin {
            self.entry = self.column;
        }
        (self.fresh, self.after_space, self.after_dash) = (false, false, false);
        self.column += text.chars().count();
    }

    /// Reads the operator's text.
    pub(super) fn read(&mut self, text: &str) {
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            if self.step(character, next) {
                characters.next();
                self.column += 1;
            }
        }
    }

    /// Reads one character. Returns whether the next one belongs to it.
    fn step(&mut self, character: char, next: Option<char>) -> bool {
        if character == '\n' {
            self.end_line();
            return false;
        }
        let column = self.column;
        self.column += 1;
        match (self.open, character) {
            (Open::Single, '\'') if next == Some('\'') => return true,
            (Open::Single, '\'') | (Open::Double, '"') => {
                self.open = Open::Nothing;
                self.after_quote = true;
                return false;
            }
            (Open::Double, '\\') => return next.is_some_and(|next| next != '\n'),
            (Open::Property, ' ' | '\t') => {
                self.open = Open::Nothing;
                self.fresh = true;
                self.after_space = true;
                return false;
            }
            (Open::Single | Open::Double | Open::Comment | Open::Property, _) => return false,
            (Open::Nothing, _) => {}
        }
        if self.in_margin {
            if character == ' ' {
                self.margin += 1;
                return false;
            }
            self.in_margin = false;
            self.entry = column;
            self.block = self.block.filter(|entry| self.margin > *entry);
        }
        if self.block.is_none() {
            self.token(character, next, column);
        }
        false
    }

    /// Reads a character outside of quotes, comments and block scalars.
    fn token(&mut self, character: char, next: Option<char>, column: usize) {
        let in_flow = self.flow > 0;
        let ends_word = next.is_some_and(|next| matches!(next, ' ' | '\t' | '\n' | '\r'));
        let (fresh, after_quote) = (self.fresh, std::mem::take(&mut self.after_quote));
        let after_space = std::mem::replace(&mut self.after_space, matches!(character, ' ' | '\t'));
        if matches!(character, ' ' | '\t' | '\r') {
            return;
        }
        if fresh && !in_flow && character == '-' && ends_word {
            (self.entry, self.after_dash) = (column, true);
            return;
        }
        let is_header = fresh && !in_flow && matches!(character, '|' | '>');
        if std::mem::take(&mut self.after_dash) && !is_header {
            self.entry = column;
        }
        self.fresh = match character {
            '#' if after_space => {
                self.open = Open::Comment;
                fresh
            }
            '"' if fresh => {
                self.open = Open::Double;
                false
            }
            '\'' if fresh => {
                self.open = Open::Single;
                false
            }
            '&' | '*' | '!' if fresh => {
                self.open = Open::Property;
                false
            }
            '[' | '{' if fresh => {
                self.flow += 1;
                true
            }
            ']' | '}' if in_flow => {
                self.flow -= 1;
                false
            }
            '|' | '>' if is_header => {
                self.header = Some(self.entry);
                false
            }
            ',' if in_flow => true,
            ':' => ends_word || (in_flow && after_quote),
            '?' if fresh => ends_word,
            _ => false,
        };
    }

    fn end_line(&mut self) {
        (self.column, self.margin, self.in_margin, self.after_dash) = (0, 0, true, false);
        if matches!(self.open, Open::Single | Open::Double) {
            return;
        }
        self.open = Open::Nothing;
        self.after_space = true;
        if let Some(entry) = self.header.take() {
            self.block = Some(entry);
        }
        // In a flow, a scalar goes on after a line break.
        self.fresh |= self.flow == 0;
    }
}
