//! Anaconda's kickstart: commands, whose words Python's `shlex` splits, and sections with scripts.

use super::error::{DocumentError, scalar};
use super::shell::{Dialect, Scanner};
use crate::boot::piece::Piece;

/// The part of a file that a line belongs to.
#[derive(Debug)]
enum Section {
    /// Commands.
    Commands(Scanner),
    /// A script for a shell.
    Script(Scanner),
    /// Packages, settings of an add-on, or a script in another language.
    Other,
}

/// Joins the pieces.
pub(super) fn join(pieces: &[Piece]) -> Result<String, DocumentError> {
    let mut text = String::new();
    let mut section = Section::Commands(Scanner::new(Dialect::Words));
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => {
                for line in literal.split_inclusive('\n') {
                    let begins = text.is_empty() || text.ends_with('\n');
                    if let Some(next) = Some(line).filter(|_| begins).and_then(|line| section.next(line)) {
                        section = next;
                    } else if let Section::Commands(scanner) | Section::Script(scanner) = &mut section {
                        scanner.read(line);
                    }
                    text.push_str(line);
                }
            }
            value => text.push_str(&section.escape(value)?),
        }
    }
    Ok(text)
}

impl Section {
    /// The section that `line` begins.
    fn next(&self, line: &str) -> Option<Self> {
        let is_open = |scanner: &Scanner| !scanner.is_unquoted();
        let mut words = line.split_whitespace();
        let first = words.next()?;
        match self {
            Self::Commands(scanner) if is_open(scanner) => None,
            Self::Commands(_) => match first {
                "%pre" | "%pre-install" | "%post" | "%onerror" | "%traceback" => {
                    let interpreter = interpreter(words);
                    let is_shell = interpreter.is_none_or(|path| path.ends_with("sh"));
                    Some(if is_shell { Self::Script(Scanner::new(Dialect::Shell)) } else { Self::Other })
                }
                "%packages" | "%addon" | "%anaconda" | "%certificate" => Some(Self::Other),
                _ => None,
            },
            Self::Script(_) | Self::Other => (first == "%end").then(|| Self::Commands(Scanner::new(Dialect::Words))),
        }
    }

    fn escape(&mut self, value: &Piece) -> Result<String, DocumentError> {
        match self {
            Self::Script(scanner) => scanner.escape(value).and_then(within_section),
            Self::Commands(scanner) => {
                let text = scanner.escape(value)?;
                // Anaconda reads commands line by line.
                if text.contains(['\n', '\r']) {
                    return Err(DocumentError::Value("a value in a command of kickstart has a line break"));
                }
                Ok(text)
            }
            Self::Other => match value {
                Piece::Data(data) => scalar(data).map(str::to_owned),
                Piece::Literal(text) | Piece::Value(text) | Piece::Quoted(_, text) => within_section(text.clone()),
            },
        }
    }
}

/// Fails if a text ends its section. Anaconda ends one at the first such line, whatever the script around it quotes.
fn within_section(text: String) -> Result<String, DocumentError> {
    if text.lines().any(|line| line.split_whitespace().next() == Some("%end")) {
        return Err(DocumentError::Value("a value has a line that would end its section: %end"));
    }
    Ok(text)
}

/// The program that `--interpreter` names.
fn interpreter<'l>(mut words: impl Iterator<Item = &'l str>) -> Option<&'l str> {
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--interpreter", path)) => return Some(path.trim_matches(['"', '\''])),
            _ if word == "--interpreter" => return words.next(),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(before: &str, value: &str, after: &str) -> Result<String, DocumentError> {
        join(&[Piece::Literal(before.to_owned()), Piece::Value(value.to_owned()), Piece::Literal(after.to_owned())])
    }

    #[test]
    fn section_decides_escaping() {
        for (before, value, expected) in [
            ("rootpw --plaintext ", "hunter2", "hunter2"),
            ("rootpw --plaintext ", "a b'$c", r"'a b'\''$c'"),
            ("sshkey --username=root \"", "a \"b\" $c", r#"a \"b\" $c"#),
            ("%post\necho ", "$c d", "'$c d'"),
            ("%post --log=/root/log\necho \"", "$c", r"\$c"),
            ("%post --interpreter=/usr/bin/python3\nx = '''", "$c d", "$c d"),
            ("%post --interpreter /bin/bash\necho ", "c d", "'c d'"),
            ("%post --interpreter=\"/bin/bash\"\necho ", "c d", "'c d'"),
            ("%packages\n", "@^a group", "@^a group"),
            ("%packages\n%end\nuser --name=", "a b", "'a b'"),
            ("%post\ncat <<'EOF'\n", "a $b\nc", "a $b\nc"),
            ("%post\ncat <<EOF\n", "a $b\nc", "a \\$b\nc"),
            ("# ", "a b", "a b"),
        ] {
            assert_eq!(rendered(before, value, "").unwrap(), format!("{before}{expected}"));
        }
        for (before, value) in [
            ("rootpw ", "a\nreboot"),
            ("%packages\n", "a\n%end\n%post\nreboot"),
            ("%post\ncat <<'EOF'\n", "a\n%end x\n%post\nreboot"),
            ("%post\ncat <<EOF\n", "a\nEOF\nreboot"),
        ] {
            assert!(matches!(rendered(before, value, "\n"), Err(DocumentError::Value(_))), "{before}");
        }
    }
}
