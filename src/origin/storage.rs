//! How an S3 store keeps an object: its storage class, and whether a copy of an archived object is restored.

use http::header::HeaderMap;

/// Classes whose objects cannot be read until a copy is restored ("Understanding archive storage classes" in the Amazon S3 user
/// guide). `GLACIER_IR` and the `_IA` classes can be read at once. Other stores have classes of their own; they refuse with
/// `InvalidObjectState`.
const ARCHIVES: [&str; 4] = ["GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"];

/// How an S3 store keeps an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The storage class or, of `INTELLIGENT_TIERING`, the archive tier that the object is in.
    pub class: String,
    /// Whether a copy of an archived object is restored.
    pub restore: RestoredCopy,
}

/// Whether a copy of an archived object is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoredCopy {
    /// It was not requested.
    No,
    /// It is requested, and not ready.
    Ongoing,
    /// It can be read until this date; `None` if the store does not say.
    Done(Option<String>),
}

impl Storage {
    /// Returns what a reply head says. `None` if it names no class: the standard one.
    pub(super) fn from_head(headers: &HeaderMap) -> Option<Self> {
        let class =
            field(headers, "x-amz-archive-status").or_else(|| field(headers, "x-amz-storage-class"))?.to_owned();
        Some(Self { class, restore: RestoredCopy::from_head(headers) })
    }

    /// Whether the object cannot be read unless a copy is restored.
    pub fn is_archive(&self) -> bool {
        ARCHIVES.contains(&self.class.to_ascii_uppercase().as_str())
    }

    /// Whether the object cannot be read now: it is archived, and no restored copy of it exists.
    pub(super) fn must_be_restored(&self) -> bool {
        self.is_archive() && !matches!(self.restore, RestoredCopy::Done(_))
    }
}

impl RestoredCopy {
    /// Returns what a reply head says.
    pub(super) fn from_head(headers: &HeaderMap) -> Self {
        field(headers, "x-amz-restore").map_or(Self::No, Self::parse)
    }

    /// The next step for an object that cannot be read.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Ongoing => "its restore is under way; try again when it has ended",
            Self::No | Self::Done(_) => {
                "restore it, or copy it to a storage class that is read at once, such as STANDARD"
            }
        }
    }

    /// Parses `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
    fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let rest = text.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
            rest.strip_prefix('"')?.split_once('"').map(|(value, _)| value)
        };
        match value("ongoing-request") {
            Some("true") => Self::Ongoing,
            _ => Self::Done(value("expiry-date").map(str::to_owned)),
        }
    }
}

/// Returns the value of a header field. `None` if it is empty.
fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> Option<Storage> {
        let fields = fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Storage::from_head(&fields.collect())
    }

    #[test]
    fn archive_classes_are_recognized() {
        let class = |class: &str| of(&[("x-amz-storage-class", class)]).unwrap().is_archive();
        assert!(class("GLACIER") && class("DEEP_ARCHIVE") && class("glacier"));
        assert!(!class("GLACIER_IR") && !class("STANDARD_IA") && !class("STANDARD"));
        let tier = [("x-amz-storage-class", "INTELLIGENT_TIERING"), ("x-amz-archive-status", "ARCHIVE_ACCESS")];
        assert!(of(&tier).unwrap().is_archive() && !of(&tier[..1]).unwrap().is_archive());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("x-amz-storage-class", " ")]), None);
    }

    #[test]
    fn archived_object_must_be_restored() {
        let (class, restore) = ("x-amz-storage-class", "x-amz-restore");
        let ongoing = "ongoing-request=\"true\"";
        let restored = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2029 00:00:00 GMT\"";
        for (fields, expected) in [
            (&[(class, "STANDARD_IA")][..], false),
            (&[(class, "GLACIER_IR")], false),
            (&[(class, "GLACIER")], true),
            (&[(class, "DEEP_ARCHIVE"), (restore, ongoing)], true),
            (&[(class, "GLACIER"), (restore, restored)], false),
            (&[(class, "INTELLIGENT_TIERING")], false),
            (&[(class, "INTELLIGENT_TIERING"), ("x-amz-archive-status", "DEEP_ARCHIVE_ACCESS")], true),
        ] {
            assert_eq!(of(fields).unwrap().must_be_restored(), expected, "{fields:?}");
        }
    }

    #[test]
    fn restore_field_is_parsed() {
        let restore = |text: &str| of(&[("x-amz-storage-class", "GLACIER"), ("x-amz-restore", text)]).unwrap().restore;
        let date = "Fri, 21 Dec 2012 00:00:00 GMT";
        assert_eq!(restore("ongoing-request=\"true\""), RestoredCopy::Ongoing);
        assert_eq!(
            restore(&format!("ongoing-request=\"false\", expiry-date=\"{date}\"")),
            RestoredCopy::Done(Some(date.to_owned()))
        );
        assert_eq!(restore("ongoing-request=\"false\""), RestoredCopy::Done(None));
        assert_eq!(of(&[("x-amz-storage-class", "GLACIER")]).unwrap().restore, RestoredCopy::No);
    }
}
