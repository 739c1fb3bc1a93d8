//! Asset names.

use std::fmt;
use std::sync::Arc;

/// The name of an asset, such as `okd/4.19/rootfs.img`: the part of a URL after `/assets/`, and the file name of a TFTP
/// request.
///
/// It consists of segments separated by slashes. No segment is empty, `.` or `..`. It has at most
/// [`AssetName::MAX_LENGTH`] bytes of UTF-8 without control characters or backslashes. A name is a key for look-ups and
/// never part of a file system path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetName(Arc<str>);

/// Why a text is not a valid asset name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssetNameError {
    /// It is empty.
    #[error("an asset name must not be empty")]
    Empty,
    /// It has more than [`AssetName::MAX_LENGTH`] bytes.
    #[error("an asset name has at most {max} bytes, this has {0}", max = AssetName::MAX_LENGTH)]
    Length(usize),
    /// It has a leading, trailing or doubled slash.
    #[error("an asset name must not begin or end with '/', nor contain '//'")]
    EmptySegment,
    /// It has a `.` or `..` segment.
    #[error("an asset name must not contain a '.' or '..' segment")]
    DotSegment,
    /// It has a control character or a backslash.
    #[error("an asset name must not contain {0:?}")]
    Character(char),
}

impl AssetName {
    /// The longest name in bytes: the limit of S3 for a key.
    pub const MAX_LENGTH: usize = 1024;

    /// Validates `text`.
    pub fn parse(text: &str) -> Result<Self, AssetNameError> {
        if text.is_empty() {
            return Err(AssetNameError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(AssetNameError::Length(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| c.is_control() || *c == '\\') {
            return Err(AssetNameError::Character(bad));
        }
        for segment in text.split('/') {
            match segment {
                "" => return Err(AssetNameError::EmptySegment),
                "." | ".." => return Err(AssetNameError::DotSegment),
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
    fn common_names_are_valid() {
        for name in ["vmlinuz", "okd/4.19/rootfs.img", "isos/Fedora 42 (x86_64).iso", "ünï/cödé", "a/...", ".treeinfo"]
        {
            assert_eq!(AssetName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn unsafe_names_are_rejected() {
        for (text, error) in [
            ("", AssetNameError::Empty),
            ("/etc/passwd", AssetNameError::EmptySegment),
            ("a//b", AssetNameError::EmptySegment),
            ("a/", AssetNameError::EmptySegment),
            ("a/../b", AssetNameError::DotSegment),
            ("..", AssetNameError::DotSegment),
            ("a/./b", AssetNameError::DotSegment),
            ("a\\b", AssetNameError::Character('\\')),
            ("a\0b", AssetNameError::Character('\0')),
            ("a\nb", AssetNameError::Character('\n')),
        ] {
            assert_eq!(AssetName::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(AssetName::parse(&"x".repeat(1025)), Err(AssetNameError::Length(1025)));
    }

    proptest! {
        #[test]
        fn valid_name_is_unchanged_and_has_no_parent(text in "[.a]{1,3}(/[.a]{1,3}){0,3}|\\PC{0,40}|[./a\\\\]{0,12}") {
            let segments: Vec<&str> = text.split('/').collect();
            if let Ok(name) = AssetName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                let joined = std::path::Path::new("/root").join(name.as_str());
                prop_assert_eq!(joined.components().count(), segments.len() + 2);
                prop_assert!(joined.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert!(joined.starts_with("/root"));
            } else {
                let is_bad = |segment: &&str| ["", ".", ".."].contains(segment) || segment.contains('\\');
                prop_assert!(segments.iter().any(is_bad), "{:?} is valid", text);
            }
        }
    }
}
