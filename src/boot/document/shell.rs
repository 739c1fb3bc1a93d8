//! Scripts for a POSIX shell (POSIX.1-2024, 2.2 Quoting and 2.7.4 Here-Document).

use super::error::{DocumentError, scalar};
use crate::boot::piece::Piece;
use crate::boot::syntax::Syntax;

/// The quoting that is open at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    None,
    Single,
    Double,
    Comment,
    /// In one of the parentheses of an arithmetic expression, where `<<` shifts.
    Arithmetic,
    /// In a substitution in backquotes.
    Backquotes,
    /// In a here-document, whose delimiter is quoted or not.
    Here {
        quoted: bool,
    },
}

/// The rules for double quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A shell: a dollar sign and a backquote are special.
    Shell,
    /// Python's `shlex`, which expands nothing.
    Words,
}

/// Reads a script up to a value, and escapes the value for its place.
#[derive(Debug)]
pub(super) struct Scanner {
    dialect: Dialect,
    /// The open quoting, and around it those of the substitutions that it is in.
    open: Vec<Quoting>,
    /// Whether a word may begin at the next character.
    fresh: bool,
    /// The delimiters of the here-documents that begin in the next line, the last first: tabs are stripped, quoted, delimiter.
    awaited: Vec<(bool, bool, String)>,
    /// The delimiter of the open here-document, and whether tabs before it are stripped.
    delimiter: Option<(bool, String)>,
    /// The line of the here-document so far.
    line: String,
}

/// Quotes a text as one word. A single quote inside ends the quoting, is escaped, and opens it again.
pub(in crate::boot) fn quoted(text: &str) -> Result<String, DocumentError> {
    if text.contains('\0') {
        Err(DocumentError::Value("a word of a shell cannot contain NUL"))
    } else {
        Ok(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

/// Joins the pieces. Values are quoted where the operator's text does not quote them, unless they are plain words.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut script = String::new();
    let mut scanner = Scanner::new(Dialect::Shell);
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                scanner.read(text);
                script.push_str(text);
            }
            piece => script.push_str(&scanner.escape(piece)?),
        }
    }
    Ok(script)
}

impl Scanner {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            open: vec![Quoting::None],
            fresh: true,
            awaited: Vec::new(),
            delimiter: None,
            line: String::new(),
        }
    }

    /// Whether no quoting is open.
    pub(super) fn is_unquoted(&self) -> bool {
        matches!(self.quoting(), Quoting::None | Quoting::Comment)
    }

    fn quoting(&self) -> Quoting {
        self.open.last().copied().unwrap_or(Quoting::None)
    }

    fn set(&mut self, quoting: Quoting) {
        if let Some(last) = self.open.last_mut() {
            *last = quoting;
        }
    }

    /// Reads the operator's text.
    pub(super) fn read(&mut self, text: &str) {
        let mut at = 0;
        while let Some(character) = text[at..].chars().next() {
            at += self.step(character, &text[at..]).max(character.len_utf8());
        }
    }

    /// Reads one character of `rest`, or more. Returns the number of bytes.
    fn step(&mut self, character: char, rest: &str) -> usize {
        let fresh = std::mem::replace(&mut self.fresh, matches!(character, ' ' | '\t' | '\n' | ';' | '&' | '|' | '('));
        let substitutes = self.dialect == Dialect::Shell;
        match (self.quoting(), character) {
            (Quoting::Here { .. }, _) => self.read_here(character),
            (Quoting::None | Quoting::Double | Quoting::Backquotes, '\\') => {
                return 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            (Quoting::None | Quoting::Double | Quoting::Arithmetic, '$') if substitutes && rest.starts_with("$((") => {
                self.open.extend([Quoting::Arithmetic; 2]);
                return 3;
            }
            (Quoting::None, '(') if substitutes && fresh && rest.starts_with("((") => {
                self.open.extend([Quoting::Arithmetic; 2]);
                return 2;
            }
            (Quoting::Arithmetic, '(') => self.open.push(Quoting::Arithmetic),
            (Quoting::Arithmetic, ')') | (Quoting::Backquotes, '`') => drop(self.open.pop()),
            (Quoting::None | Quoting::Double, '`') if substitutes => self.open.push(Quoting::Backquotes),
            (Quoting::None | Quoting::Double | Quoting::Arithmetic, '$') if substitutes && rest.starts_with("$(") => {
                self.open.push(Quoting::None);
                self.fresh = true;
                return 2;
            }
            (Quoting::None, '(') if substitutes => self.open.push(Quoting::None),
            (Quoting::None, ')') if self.open.len() > 1 => drop(self.open.pop()),
            (Quoting::None, '\'') => self.set(Quoting::Single),
            (Quoting::None, '"') => self.set(Quoting::Double),
            (Quoting::None, '#') if fresh => self.set(Quoting::Comment),
            (Quoting::None, '<') if substitutes && rest.starts_with("<<<") => return 3,
            (Quoting::None, '<') if substitutes && rest.starts_with("<<") => return self.await_here(rest),
            (Quoting::Single, '\'') | (Quoting::Double, '"') => self.set(Quoting::None),
            (Quoting::None | Quoting::Comment, '\n') => self.end_line(),
            _ => {}
        }
        0
    }

    /// Reads the operator `<<` and the delimiter after it.
    fn await_here(&mut self, rest: &str) -> usize {
        let strips = rest.starts_with("<<-");
        let start = if strips { 3 } else { 2 };
        let word = rest[start..].trim_start_matches([' ', '\t']);
        let end = word.find([' ', '\t', '\n', ';', '&', '|', ')', '>', '<']).unwrap_or(word.len());
        let delimiter = &word[..end];
        let is_quote = |c: char| matches!(c, '\'' | '"' | '\\');
        self.awaited.insert(0, (strips, delimiter.contains(is_quote), delimiter.replace(is_quote, "")));
        rest.len() - word.len() + end
    }

    /// A line ends, after which an awaited here-document begins.
    fn end_line(&mut self) {
        self.set(Quoting::None);
        if let Some((strips, quoted, delimiter)) = self.awaited.pop() {
            self.delimiter = Some((strips, delimiter));
            self.line.clear();
            self.open.push(Quoting::Here { quoted });
        }
    }

    fn read_here(&mut self, character: char) {
        if character != '\n' {
            return self.line.push(character);
        }
        let line = std::mem::take(&mut self.line);
        let ends = self.delimiter.as_ref().is_some_and(|(strips, delimiter)| {
            let line = if *strips { line.trim_start_matches('\t') } else { &line };
            line == delimiter
        });
        if ends {
            self.open.pop();
            self.fresh = true;
            self.end_line();
        }
    }

    /// Escapes a value for its place.
    pub(super) fn escape(&mut self, value: &Piece) -> Result<String, DocumentError> {
        self.fresh = false;
        let (text, is_finished) = match value {
            Piece::Literal(text) | Piece::Quoted(Syntax::Shell, text) => (text.as_str(), true),
            Piece::Value(text) | Piece::Quoted(_, text) => (text.as_str(), false),
            Piece::Data(data) if data.starts_with(['[', '{']) => (data.as_str(), false),
            Piece::Data(data) => (scalar(data)?, true),
        };
        let special: &[char] = match (self.quoting(), self.dialect) {
            (Quoting::Double, Dialect::Words) => &['\\', '"'],
            (Quoting::Double, Dialect::Shell) => &['\\', '"', '$', '`'],
            _ => &['\\', '$', '`'],
        };
        let escaped = match self.quoting() {
            _ if is_finished => text.to_owned(),
            _ if text.contains('\0') => return Err(DocumentError::Value("a word of a shell cannot contain NUL")),
            Quoting::None | Quoting::Arithmetic | Quoting::Backquotes if is_plain(text) => text.to_owned(),
            Quoting::Arithmetic => {
                return Err(DocumentError::Value("a value in an arithmetic expression is no number"));
            }
            Quoting::Backquotes => return Err(SUBSTITUTED),
            Quoting::Here { quoted: false } if self.is_substituted() && !is_plain(text) => return Err(SUBSTITUTED),
            Quoting::None => quoted(text)?,
            Quoting::Single => text.replace('\'', r"'\''"),
            Quoting::Comment => text.replace(['\n', '\r'], " "),
            Quoting::Double | Quoting::Here { quoted: false } => escape_characters(text, special),
            Quoting::Here { quoted: true } => text.to_owned(),
        };
        if matches!(self.quoting(), Quoting::Here { .. }) {
            self.check_here(&escaped)?;
        }
        Ok(escaped)
    }

    /// Whether the line of a here-document so far has an open substitution.
    fn is_substituted(&self) -> bool {
        let count = |text: &str| self.line.matches(text).count();
        count("$(") > count(")") || count("`") % 2 == 1
    }

    /// Fails if a value ends the here-document that it stands in.
    fn check_here(&mut self, text: &str) -> Result<(), DocumentError> {
        self.line.push_str(text);
        let delimiter = self.delimiter.as_ref().map_or("", |(_, delimiter)| delimiter);
        if self.line.lines().any(|line| line.trim_start_matches('\t') == delimiter) {
            return Err(DocumentError::Value("a value has a line that would end the here-document that it stands in"));
        }
        if let Some((_, last)) = self.line.rsplit_once('\n') {
            self.line = last.to_owned();
        }
        Ok(())
    }
}

const SUBSTITUTED: DocumentError = DocumentError::Value(
    "a value in backquotes, or in a substitution in a here-document, is no plain word; write $(…), or assign it to a variable before",
);

/// Whether a text is one word without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:,=+@%".contains(&b))
}

fn escape_characters(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(&character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script `before`, then the value, then `after`, as a shell's output.
    fn output(before: &str, value: &str, after: &str) -> String {
        let pieces = [before, value, after].map(str::to_owned);
        let [before, value, after] = pieces;
        let script = join(&[Piece::Literal(before), Piece::Value(value), Piece::Literal(after)]).unwrap();
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{script}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn substitution_takes_plain_values_only() {
        for (before, after) in [
            ("x=$((1 << ", "))"),
            ("x=`echo ", "`"),
            ("cat <<EOF\n$(echo ", ")\nEOF\n"),
            ("cat <<EOF\n`echo ", "`\nEOF\n"),
        ] {
            let with = |value: &str| {
                join(&[
                    Piece::Literal(before.to_owned()),
                    Piece::Value(value.to_owned()),
                    Piece::Literal(after.to_owned()),
                ])
            };
            assert_eq!(with("2").unwrap(), format!("{before}2{after}"));
            assert!(matches!(with("a; reboot"), Err(DocumentError::Value(_))), "{before}");
        }
    }

    #[test]
    fn value_stays_one_word_of_shell() {
        for value in
            ["plain", "two words", "$HOME `id` $(id)", "it's \"x\"", "a\\b\\", "#x", "", "a\nb", "*", "; id", "ä 🦀"]
        {
            for (before, after) in [
                ("printf %s ", ""),
                ("printf %s \"", "\""),
                ("printf %s '", "'"),
                ("# it's \"\nprintf %s ", " # it's"),
                ("x=\"$(printf %s ", ")\"; printf %s \"$x\""),
                ("x=\"$(printf %s \"", "\")\"; printf %s \"$x\""),
                ("(printf %s ", ")"),
                ("x=", "\nprintf %s \"$x\""),
                ("[ ${#} -eq 0 ] || exit 1; printf %s ", ""),
                ("x=$(( (1 << 2) + $(echo 3) ))\nprintf %s ", ""),
                ("x=\"$((1 << 2))\"; printf %s '", "'"),
                ("x=`echo 'a'`; printf %s \"", "\""),
            ] {
                assert_eq!(output(before, value, after), value, "{before}");
            }
            let ends_with_newline = format!("{value}\n");
            for before in ["cat <<EOF\n", "cat <<'EOF'\n", "cat <<\\EOF\n", "cat <<-EOF; true\n"] {
                assert_eq!(output(before, value, "\nEOF\n"), ends_with_newline, "{before}");
            }
            assert_eq!(output("cat <<A <<B\nx\nA\n", value, "\nB\nprintf x"), format!("{value}\nx"));
        }
    }

    #[test]
    fn value_cannot_end_here_document() {
        for (before, value) in
            [("cat <<EOF\n", "EOF\nid"), ("cat <<EOF\nE", "OF\nid"), ("cat <<-'EOF'\n", "a\n\tEOF\nid")]
        {
            let pieces = [Piece::Literal(before.to_owned()), Piece::Value(value.to_owned())];
            assert!(matches!(join(&pieces), Err(DocumentError::Value(_))), "{before}");
        }
    }

    #[test]
    fn other_quoting_is_text_in_shell() {
        let script = join(&[
            Piece::Literal("echo ".to_owned()),
            Piece::Quoted(Syntax::Json, "{\"a\":1}".to_owned()),
            Piece::Literal(" ".to_owned()),
            Piece::Quoted(Syntax::Shell, "'b c'".to_owned()),
            Piece::Literal(" ".to_owned()),
            Piece::Data("[1]".to_owned()),
            Piece::Data("2".to_owned()),
        ]);
        assert_eq!(script.unwrap(), "echo '{\"a\":1}' 'b c' '[1]'2");
    }
}
