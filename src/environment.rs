//! Environment variables and other values that operators set outside of the configuration file. A blank value counts as not
//! set, and white space around a value is removed: a value that comes from a file often ends with a line end.

/// Returns `text` without surrounding white space. `None` if nothing else is in it.
pub(crate) fn not_blank(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Returns the value of a variable. `None` if it is not set, is blank, or is not UTF-8.
pub(crate) fn variable(name: &str) -> Option<String> {
    not_blank(&std::env::var(name).ok()?).map(str::to_owned)
}

/// Returns all variables that [`variable`] returns, with their names.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let value = value.into_string().ok()?;
        Some((name.into_string().ok()?, not_blank(&value)?.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_counts_as_unset() {
        for blank in ["", " ", "\n", "\r\n\t "] {
            assert_eq!(not_blank(blank), None, "{blank:?}");
        }
        assert_eq!(not_blank(" a b\r\n"), Some("a b"));
    }

    #[test]
    fn variables_have_trimmed_values() {
        assert_eq!(variable("CARGO_PKG_NAME").as_deref(), Some("bootdepot"));
        assert_eq!(variable("BOOTDEPOT_TEST_NO_SUCH_VARIABLE"), None);
        assert!(variables().all(|(name, value)| variable(&name) == Some(value)));
    }
}
