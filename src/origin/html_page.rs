//! HTML pages in place of an object: login pages, captive portals, consoles, and the error pages of proxies.

use std::fmt;

use super::remote_text::one_line;

/// An HTML page, named by its title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtmlPage {
    title: Option<String>,
}

impl HtmlPage {
    /// Bytes from the start of a page that are enough for its title.
    pub const ENOUGH: usize = 16 << 10;

    /// Characters of a title that are kept at most.
    const MAX_TITLE: usize = 120;

    /// Recognises a page by its first bytes. Returns `None` if they are not HTML.
    pub fn parse(start: &[u8]) -> Option<Self> {
        let start = &start[..start.len().min(Self::ENOUGH)];
        // Most bodies end here.
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace())?;
        if !matches!(first, b'<' | 0xef) {
            return None;
        }
        let text = String::from_utf8_lossy(start);
        // ASCII only, so that offsets stay the same.
        let lower = text.to_ascii_lowercase();
        let begins = ["<!doctype html", "<html", "<head", "<title"];
        let from = skip_prolog(&lower);
        if !begins.iter().any(|tag| lower[from..].starts_with(tag)) {
            return None;
        }
        let title = ["title", "h1"].iter().find_map(|tag| element(&text, &lower, tag));
        Some(Self { title })
    }
}

impl fmt::Display for HtmlPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.title {
            Some(title) => write!(f, "an HTML page with the title \"{title}\""),
            None => f.write_str("an HTML page without a title"),
        }
    }
}

/// Returns the offset after a byte order mark, white space, comments and an XML declaration.
fn skip_prolog(lower: &str) -> usize {
    let mut rest = lower;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let end = match rest {
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<?xml") => "?>",
            _ => return lower.len() - rest.len(),
        };
        match rest.find(end) {
            Some(at) => rest = &rest[at + end.len()..],
            None => return lower.len(),
        }
    }
}

/// Returns the text of the first element `tag`.
fn element(text: &str, lower: &str, tag: &str) -> Option<String> {
    let open = lower.find(&format!("<{tag}"))?;
    let start = open + lower[open..].find('>')? + 1;
    let end = lower[start..].find('<').map_or(lower.len(), |length| start + length);
    let title = one_line(&unescape(&text[start..end]), HtmlPage::MAX_TITLE).replace('"', "'");
    Some(title).filter(|title| !title.is_empty())
}

/// Replaces the character references that titles use.
fn unescape(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (reference, character)| text.replace(reference, character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(start: &str) -> Option<String> {
        HtmlPage::parse(start.as_bytes()).map(|page| page.to_string())
    }

    #[test]
    fn html_page_is_named_by_title() {
        for (start, title) in [
            ("<html><title>Sign in</title></html>", "Sign in"),
            ("\u{feff}\r\n<!DOCTYPE HTML PUBLIC \"x\">\n<HTML><HEAD><TITLE>302 Found</TITLE>", "302 Found"),
            ("<?xml version=\"1.0\"?><!-- a proxy --><!doctype html><title lang=en> A &amp; B\n C ", "A & B C"),
            ("<html><body><h1>Welcome to the \"guest\" network</h1>", "Welcome to the 'guest' network"),
        ] {
            assert_eq!(shown(start), Some(format!("an HTML page with the title \"{title}\"")));
        }
        assert_eq!(shown("<html><body>x"), Some("an HTML page without a title".to_owned()));
        let long = format!("<html><title>{}</title>", "x".repeat(900));
        assert!(shown(&long).unwrap().len() < 200);
    }

    #[test]
    fn other_content_is_no_page() {
        for start in ["", "\u{7f}ELF<html>", "<Error><Code>NoSuchKey</Code></Error>", "<?xml", "#!ipxe\n<html>"] {
            assert_eq!(shown(start), None, "{start:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_parse_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), page in "<html[<>a-zA-Z/&; é-]{0,60}") {
            HtmlPage::parse(&bytes);
            HtmlPage::parse(page.as_bytes());
        }
    }
}
