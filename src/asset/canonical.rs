//! The canonical form of a requested name.

use std::borrow::Cow;

/// Returns the canonical form of a name that a client requested: without dot segments (RFC 3986 5.2.4), with repeated slashes as
/// one, and without a leading slash. A trailing slash stays: it marks a directory. Clients join paths carelessly, and what leads
/// above the root stays at the root.
pub fn canonical_name(requested: &str) -> Cow<'_, str> {
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if requested.strip_suffix('/').unwrap_or(requested).split('/').all(is_plain) {
        return Cow::Borrowed(requested);
    }
    let mut segments = Vec::new();
    for segment in requested.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments.retain(|segment| !segment.is_empty());
    let mut name = segments.join("/");
    if !name.is_empty() && !requested.rsplit('/').next().is_some_and(is_plain) {
        name.push('/');
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asset::AssetName;

    #[test]
    fn dot_segments_resolve_as_rfc_3986() {
        for (requested, name) in [
            ("a/b", "a/b"),
            ("a/b/", "a/b/"),
            ("/a/b", "a/b"),
            ("//a///b", "a/b"),
            ("./Packages", "Packages"),
            ("a/./b", "a/b"),
            ("a/b/../c", "a/c"),
            ("a/b/..", "a/"),
            ("a/b/.", "a/b/"),
            ("../../a", "a"),
            // The example of RFC 3986 5.2.4, and an empty segment, which is one of those that ".." removes.
            ("/a/b/c/./../../g", "a/g"),
            ("a//../b", "a/b"),
            ("...", "..."),
            ("a/..", ""),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(canonical_name(requested), name, "{requested}");
        }
    }

    proptest! {
        #[test]
        fn canonical_name_is_valid_and_stable(requested in "[./ab]{0,16}") {
            let name = canonical_name(&requested).into_owned();
            prop_assert_eq!(canonical_name(&name), name.as_str());
            let file = name.trim_end_matches('/');
            prop_assert!(file.is_empty() || AssetName::parse(file).is_ok(), "{}", name);
        }

        #[test]
        fn canonical_name_agrees_with_url_crate(requested in "[.ab]{1,3}(/[.ab]{1,3}){0,5}") {
            let url = url::Url::parse(&format!("http://b/{requested}")).unwrap();
            prop_assert_eq!(canonical_name(&requested), url.path().trim_start_matches('/'));
        }
    }
}
