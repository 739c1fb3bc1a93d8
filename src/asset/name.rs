//! The names under which assets are served.

use std::fmt;
use std::sync::Arc;

/// The name of an asset, such as `okd/4.19/rootfs.img`: what follows `/assets/` in a URL, and what TFTP clients ask for.
///
/// Slash-separated segments, none of them empty, `.` or `..`; at most [`AssetName::MAX_LENGTH`] bytes of UTF-8
/// without control characters or backslashes. A name is a key for look-ups and never part of a file system path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetName(Arc<str>);

/// Why a text is not an asset name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing at all.
    #[error("an asset name must not be empty")]
    Empty,
    /// More than [`AssetName::MAX_LENGTH`] bytes.
    #[error("an asset name has at most {max} bytes, this has {0}", max = AssetName::MAX_LENGTH)]
    Length(usize),
    /// A leading, trailing or doubled slash.
    #[error("an asset name must not begin or end with '/', nor hold '//'")]
    EmptySegment,
    /// A `.` or `..` segment.
    #[error("an asset name must not hold a '.' or '..' segment")]
    DotSegment,
    /// A control character or a backslash.
    #[error("an asset name must not hold {0:?}")]
    Character(char),
}

impl AssetName {
    /// The longest name, in bytes: what S3 allows for a key.
    pub const MAX_LENGTH: usize = 1024;

    /// Checks `text` and takes it as a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(NameError::Length(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || *c == '\\') {
            return Err(NameError::Character(bad));
        }
        for segment in text.split('/') {
            match segment {
                "" => return Err(NameError::EmptySegment),
                "." | ".." => return Err(NameError::DotSegment),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetName({:?})", self.as_str())
    }
}

impl std::borrow::Borrow<str> for AssetName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_the_names_that_people_use() {
        for name in ["vmlinuz", "okd/4.19/rootfs.img", "isos/Fedora 42 (x86_64).iso", "ünï/cödé", "a/...", ".treeinfo"]
        {
            assert_eq!(AssetName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_what_could_walk_or_hide() {
        for (text, error) in [
            ("", NameError::Empty),
            ("/etc/passwd", NameError::EmptySegment),
            ("a//b", NameError::EmptySegment),
            ("a/", NameError::EmptySegment),
            ("a/../b", NameError::DotSegment),
            ("..", NameError::DotSegment),
            ("a/./b", NameError::DotSegment),
            ("a\\b", NameError::Character('\\')),
            ("a\0b", NameError::Character('\0')),
            ("a\nb", NameError::Character('\n')),
        ] {
            assert_eq!(AssetName::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(AssetName::parse(&"x".repeat(1025)), Err(NameError::Length(1025)));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_kept_as_it_was_and_stays_below_its_root(text in "\\PC{0,40}|[./a\\\\]{0,12}") {
            if let Ok(name) = AssetName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                let joined = std::path::Path::new("/root").join(name.as_str());
                prop_assert!(joined.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert!(joined.starts_with("/root"));
            }
        }
    }
}
