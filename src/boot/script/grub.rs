//! GRUB's language: how values, words and URLs look in it.
//!
//! It is like a shell's (GRUB manual 2.06, 15.1 Writing full configuration files): nothing is special within single quotes,
//! and within double quotes `\` takes the meaning from `\`, `$` and `"`. There is no `&&` and no `||`.

use url::{Host, Url};

use super::Unspeakable;
use crate::boot::template::Piece;

/// Where in a line of GRUB's language a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Words,
    Single,
    Double,
    Comment,
}

/// One word, whatever is in it.
pub(super) fn word(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,=+@%()".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The configuration that the pieces make: each value is quoted as the place wants where the operator's text puts it.
pub(super) fn script(pieces: &[Piece]) -> Result<String, Unspeakable> {
    let mut script = String::new();
    let mut within = Within::Words;
    for piece in pieces {
        match piece {
            Piece::Literal(text) => {
                within = after(text, within, script.ends_with([' ', '\t', '\n', ';']) || script.is_empty());
                script.push_str(text);
            }
            Piece::Value(text) => script.push_str(&value(text, within)?),
            Piece::Data(json) => script.push_str(super::scalar(json)?),
        }
    }
    Ok(script)
}

fn value(text: &str, within: Within) -> Result<String, Unspeakable> {
    super::speakable(text)?;
    Ok(match within {
        Within::Words => format!("'{}'", text.replace('\'', r"'\''")),
        Within::Single => text.replace('\'', r"'\''"),
        Within::Double => text.replace('\\', r"\\").replace('"', "\\\"").replace('$', "\\$"),
        Within::Comment => text.to_owned(),
    })
}

/// Where one is after the operator's `text`; `fresh`: a word may begin at its beginning.
fn after(text: &str, mut within: Within, mut fresh: bool) -> Within {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        within = match (within, character) {
            (Within::Words, '\'') => Within::Single,
            (Within::Words, '"') => Within::Double,
            (Within::Words, '#') if fresh => Within::Comment,
            (Within::Single, '\'') | (Within::Double, '"') | (Within::Comment, '\n') => Within::Words,
            (Within::Words | Within::Double, '\\') => {
                characters.next();
                within
            }
            _ => within,
        };
        fresh = matches!(character, ' ' | '\t' | '\n' | ';' | '{' | '}');
    }
    within
}

/// How GRUB names what is at the HTTP URL `url`: `(http,HOST:PORT)/PATH`. GRUB speaks no HTTPS.
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
