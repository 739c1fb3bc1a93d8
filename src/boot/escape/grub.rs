//! Escaping for GRUB configurations.
//!
//! The language resembles a shell's (GRUB manual 2.06, 15.1 Writing full configuration files): no character is special in
//! single quotes; in double quotes, `\` escapes `\`, `$` and `"`. There is no `&&` and no `||`.

use url::{Host, Url};

use super::rules::{EscapeError, plain_text, reject_control, scalar};
use crate::boot::piece::Piece;

/// The quoting that is open at a position in a configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Unquoted,
    Single,
    Double,
    Comment,
}

/// Quotes a text as one word.
pub(in crate::boot) fn word(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,=+@%()".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Joins the pieces of a configuration. Each value is escaped for the quoting that the operator's text opened around it.
pub(in crate::boot) fn script(pieces: &[Piece]) -> Result<String, EscapeError> {
    let mut script = String::new();
    let mut quoting = Quoting::Unquoted;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                quoting = after(text, quoting, script.ends_with([' ', '\t', '\n', ';']) || script.is_empty());
                script.push_str(text);
            }
            Piece::Value(text) | Piece::Quoted(_, text) => script.push_str(&escape(text, quoting)?),
            Piece::Data(json) => script.push_str(scalar(json)?),
        }
    }
    Ok(plain_text(&script))
}

fn escape(text: &str, quoting: Quoting) -> Result<String, EscapeError> {
    reject_control(text)?;
    Ok(match quoting {
        Quoting::Unquoted => format!("'{}'", text.replace('\'', r"'\''")),
        Quoting::Single => text.replace('\'', r"'\''"),
        Quoting::Double => text.replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$"),
        Quoting::Comment => text.to_owned(),
    })
}

/// Returns the quoting that is open after the operator's `text`. `fresh`: a word may begin at the start of `text`.
fn after(text: &str, mut quoting: Quoting, mut fresh: bool) -> Quoting {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        quoting = match (quoting, character) {
            (Quoting::Unquoted, '\'') => Quoting::Single,
            (Quoting::Unquoted, '"') => Quoting::Double,
            (Quoting::Unquoted, '#') if fresh => Quoting::Comment,
            (Quoting::Single, '\'') | (Quoting::Double, '"') | (Quoting::Comment, '\n') => Quoting::Unquoted,
            (Quoting::Unquoted | Quoting::Double, '\\') => {
                characters.next();
                quoting
            }
            _ => quoting,
        };
        fresh = matches!(character, ' ' | '\t' | '\n' | ';' | '{' | '}');
    }
    quoting
}

/// Converts an HTTP URL to a GRUB path, `(http,HOST:PORT)/PATH`; `None` for other schemes. GRUB does not support HTTPS.
pub(in crate::boot) fn path(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let host = match url.host()? {
        Host::Ipv6(address) => format!("[{address}]"),
        host => host.to_string(),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("(http,{host}{port}){}{query}", url.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_path_supports_http_only() {
        for (url, expected) in [
            ("http://10.0.0.1:8080/assets/a%20b", Some("(http,10.0.0.1:8080)/assets/a%20b")),
            ("http://boot.lab/grub.cfg?mac=1", Some("(http,boot.lab)/grub.cfg?mac=1")),
            ("http://[fd00::1]:8080/x", Some("(http,[fd00::1]:8080)/x")),
            ("https://boot.lab/x", None),
            ("", None),
        ] {
            assert_eq!(path(url).as_deref(), expected, "{url}");
        }
    }
}
