//! The scheme by which published files get their keys.

use std::str::FromStr;

/// The scheme if none is given.
pub const DEFAULT_SCHEME: &str = "{category}/{version}/{file}";

/// A key with placeholders: `{category}`, `{version}` and `{file}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyScheme(String);

/// Why a text is no scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySchemeError {
    /// It has no `{file}`.
    #[error("a key scheme needs {{file}}, else all files have one key")]
    NoFile,
    /// It has another placeholder.
    #[error("{0:?} is not a placeholder of a key scheme; use {{category}}, {{version}} and {{file}}")]
    Unknown(String),
}

impl Default for KeyScheme {
    fn default() -> Self {
        Self(DEFAULT_SCHEME.to_owned())
    }
}

impl FromStr for KeyScheme {
    type Err = KeySchemeError;

    fn from_str(text: &str) -> Result<Self, KeySchemeError> {
        let bare =
            ["{category}", "{version}", "{file}"].iter().fold(text.to_owned(), |rest, known| rest.replace(known, ""));
        if let Some(start) = bare.find(['{', '}']) {
            let end = bare[start..].find('}').map_or(bare.len(), |end| start + end + 1);
            return Err(KeySchemeError::Unknown(bare[start..end].to_owned()));
        }
        if text.contains("{file}") { Ok(Self(text.to_owned())) } else { Err(KeySchemeError::NoFile) }
    }
}

impl KeyScheme {
    /// The key of `file` below `prefix`. Segments that are empty are left out.
    pub fn key(&self, prefix: &str, category: &str, version: &str, file: &str) -> String {
        let segments = self.0.split('/').map(|segment| {
            // The file last: its name may look like a placeholder.
            segment.replace("{category}", category).replace("{version}", version).replace("{file}", file)
        });
        let segments: Vec<_> = std::iter::once(prefix.to_owned()).chain(segments).collect();
        let segments: Vec<_> =
            segments.iter().map(|text| text.trim_matches('/')).filter(|text| !text.is_empty()).collect();
        segments.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_segments_are_left_out() {
        let scheme = KeyScheme::default();
        assert_eq!(scheme.key("", "okd", "4.19", "kernel"), "okd/4.19/kernel");
        assert_eq!(scheme.key("okd/", "", "4.19", "kernel"), "okd/4.19/kernel");
        assert_eq!(scheme.key("/images/", "okd/next", "", "kernel"), "images/okd/next/kernel");
        assert_eq!(scheme.key("", "", "", "{version}"), "{version}");
    }

    #[test]
    fn scheme_needs_file_and_known_names() {
        let scheme: KeyScheme = "{category}-{version}/{file}.img".parse().unwrap();
        assert_eq!(scheme.key("", "okd", "4", "a"), "okd-4/a.img");
        assert_eq!("{version}".parse::<KeyScheme>(), Err(KeySchemeError::NoFile));
        assert_eq!("{arch}/{file}".parse::<KeyScheme>(), Err(KeySchemeError::Unknown("{arch}".to_owned())));
        assert_eq!("{file}{".parse::<KeyScheme>(), Err(KeySchemeError::Unknown("{".to_owned())));
    }
}
