//! Text from a remote server, made safe to show: one line of bounded length, without the credentials that servers quote.

/// Words before a `=` or `:` whose value is a credential.
const CREDENTIAL_NAMES: [&str; 9] =
    ["signature", "token", "password", "passwd", "secret", "apikey", "api-key", "api_key", "authorization"];

/// Authentication schemes, after which the credential follows as a word of its own (RFC 9110 11.4).
const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "aws4-hmac-sha256"];

/// Characters that are kept of most texts at most: a sentence or two.
pub(super) const MAX_TEXT: usize = 200;

/// Returns `text` on one line, with at most `max` characters. URL queries and credentials are replaced by `…`.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_invisible(*c)).collect();
    let mut line = String::new();
    let mut is_credential = false;
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&if is_credential { "…".to_owned() } else { without_credentials(word) });
        is_credential = SCHEMES.iter().any(|scheme| word.trim_end_matches(':').eq_ignore_ascii_case(scheme))
            || CREDENTIAL_NAMES.iter().any(|name| {
                word.ends_with(['=', ':']) && word.to_ascii_lowercase().trim_end_matches(['=', ':']).ends_with(name)
            });
    }
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Characters that change the order of others or that are not drawn: they could make a log line look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn without_credentials(word: &str) -> String {
    if let Some((before, query)) = word.split_once('?')
        && query.contains('=')
    {
        return format!("{before}?…");
    }
    let lower = word.to_ascii_lowercase();
    let value = CREDENTIAL_NAMES.iter().filter_map(|name| {
        let after = lower.find(name)? + name.len();
        lower[after..].starts_with(['=', ':']).then_some(after + 1)
    });
    match value.min() {
        Some(at) if at < word.len() => format!("{}…", &word[..at]),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn remote_text_becomes_one_line() {
        assert_eq!(one_line(" A\n\u{1b}B\tC ", 100), "A B C");
        assert_eq!(one_line("a\u{202e}b\u{200b}c", 100), "abc");
        assert_eq!(one_line("ünïcödé text", 7), "ünïcödé…");
        assert_eq!(one_line("", 7), "");
    }

    #[test]
    fn credentials_in_remote_text_are_hidden() {
        for (text, shown) in [
            ("see https://h/k?X-Amz-Signature=hush now", "see https://h/k?… now"),
            ("X-Amz-Signature=hush is wrong", "X-Amz-Signature=… is wrong"),
            ("Authorization: Bearer hush is wrong", "Authorization: … … is wrong"),
            ("basic aHVzaA== refused", "basic … refused"),
            ("the token hush", "the token hush"),
            ("session_token:hush", "session_token:…"),
            ("what? a=b", "what? a=b"),
        ] {
            assert_eq!(one_line(text, 100), shown);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_bounded(text in "\\PC{0,80}", max in 0_usize..40) {
            prop_assert!(one_line(&text, max).chars().count() <= max + 1);
        }
    }
}
