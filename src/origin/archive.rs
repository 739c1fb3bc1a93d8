//! Archived objects: storage classes from which an object must be restored before it can be read.

use http::header::HeaderMap;

/// Classes that are not read at once ("Understanding archive storage classes" in the Amazon S3 user guide). `GLACIER_IR` is.
/// Other stores have classes of their own; they refuse with `InvalidObjectState`.
const ARCHIVED: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// The restore of an archived object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// Not requested, or its time is over.
    None,
    /// Under way (`x-amz-restore: ongoing-request="true"`).
    Ongoing,
}

impl Restore {
    /// The next step.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::None => "restore it, or copy it to a storage class that is read at once, such as STANDARD",
            Self::Ongoing => "its restore is under way; try again when it has ended",
        }
    }
}

/// Returns the storage class: of S3 Intelligent-Tiering its archive tier, such as `ARCHIVE_ACCESS`.
pub(super) fn class(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned());
    text("x-amz-archive-status").or_else(|| text("x-amz-storage-class")).filter(|class| !class.is_empty())
}

/// Returns the state of the object's restore.
pub(super) fn restore(headers: &HeaderMap) -> Restore {
    match headers.get("x-amz-restore").and_then(|value| value.to_str().ok()) {
        Some(text) if text.contains("ongoing-request=\"true\"") => Restore::Ongoing,
        _ => Restore::None,
    }
}

/// Returns the class and the restore of an object that cannot be read now, according to the head of a reply to HEAD. `None` for
/// an object that can be read: it is not archived, or a restored copy of it exists.
pub(super) fn archived(headers: &HeaderMap) -> Option<(String, Restore)> {
    let class = class(headers)?;
    let is_archived = ARCHIVED.contains(&class.as_str()) || headers.contains_key("x-amz-archive-status");
    // `ongoing-request="false", expiry-date="…"`: a copy exists until that date.
    let is_restored = headers.contains_key("x-amz-restore") && restore(headers) == Restore::None;
    (is_archived && !is_restored).then(|| (class, restore(headers)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn archived_class_needs_restore() {
        let ongoing = r#"ongoing-request="true""#;
        let restored = r#"ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT""#;
        let (class, restore, tier) = ("x-amz-storage-class", "x-amz-restore", "x-amz-archive-status");
        for (fields, expected) in [
            (&[][..], None),
            (&[(class, "STANDARD_IA")], None),
            (&[(class, "GLACIER_IR")], None),
            (&[(class, "GLACIER")], Some(("GLACIER", Restore::None))),
            (&[(class, "DEEP_ARCHIVE"), (restore, ongoing)], Some(("DEEP_ARCHIVE", Restore::Ongoing))),
            (&[(class, "GLACIER"), (restore, restored)], None),
            (&[(class, "INTELLIGENT_TIERING")], None),
            (
                &[(class, "INTELLIGENT_TIERING"), (tier, "DEEP_ARCHIVE_ACCESS")],
                Some(("DEEP_ARCHIVE_ACCESS", Restore::None)),
            ),
        ] {
            let headers =
                fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
            let expected = expected.map(|(class, restore)| (class.to_owned(), restore));
            assert_eq!(archived(&headers), expected, "{fields:?}");
        }
    }
}
