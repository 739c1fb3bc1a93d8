//! The content of the bucket, as far as its listing shows it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::format::{bytes, count};
use crate::cli::table::Table;
use crate::origin::ListPage;

/// The key of a shared catalog, as the documentation has it.
pub(super) const CATALOG_KEY: &str = "catalog.toml";
/// Rows of the table: a screen has 24 lines.
const MOST_ROWS: usize = 15;

/// The content of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Contents {
    /// Whether the bucket exists.
    pub(super) exists: bool,
    pub(super) objects: usize,
    pub(super) bytes: u64,
    /// Whether there are more objects than were listed.
    pub(super) is_partial: bool,
    /// The first level: folders, which end with a slash, and objects.
    pub(super) entries: Vec<Entry>,
}

/// A folder with all that is below it, or an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) objects: usize,
    pub(super) bytes: u64,
}

impl Contents {
    /// The content by the first page of the listing.
    pub(super) fn of(page: &ListPage) -> Self {
        let mut entries: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for object in &page.objects {
            let end = object.key.find('/').map_or(object.key.len(), |slash| slash + 1);
            let (objects, bytes) = entries.entry(&object.key[..end]).or_default();
            *objects += 1;
            *bytes += object.size;
        }
        let entry = |(name, (objects, bytes)): (&str, (usize, u64))| Entry { name: name.to_owned(), objects, bytes };
        Self {
            exists: true,
            objects: page.objects.len(),
            bytes: page.objects.iter().map(|object| object.size).sum(),
            is_partial: page.next.is_some(),
            entries: entries.into_iter().map(entry).collect(),
        }
    }

    /// Whether there is a catalog where nodes look for the shared one.
    pub(super) fn has_catalog(&self) -> bool {
        self.entries.iter().any(|entry| entry.name == CATALOG_KEY)
    }

    /// The content of the bucket of this name, for people.
    pub(super) fn text(&self, bucket: &str) -> String {
        if !self.exists {
            return format!("The bucket {bucket} does not exist yet.");
        }
        if self.objects == 0 {
            return format!("The bucket {bucket} is empty.");
        }
        let mut table = Table::new(&["KEY", ">OBJECTS", ">SIZE"]);
        for entry in self.entries.iter().take(MOST_ROWS) {
            table.row([entry.name.clone(), entry.objects.to_string(), bytes(entry.bytes)]);
        }
        let rest = self.entries.len().saturating_sub(MOST_ROWS);
        let rest = if rest > 0 { format!("  and {rest} more\n") } else { String::new() };
        let more = if self.is_partial { "at least " } else { "" };
        let total = format!("{more}{} ({})", count(self.objects, "object"), bytes(self.bytes));
        format!("The bucket {bucket} has {total}:\n{}{rest}", table.print("  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::ListedObject;

    fn page(keys: &[&str], next: Option<&str>) -> ListPage {
        let object = |key: &&str| ListedObject {
            key: (*key).to_owned(),
            size: 2048,
            etag: None,
            last_modified: None,
            storage_class: None,
        };
        let next = next.map(str::to_owned);
        ListPage { objects: keys.iter().map(object).collect(), prefixes: Vec::new(), next }
    }

    #[test]
    fn contents_are_grouped_by_folder() {
        let contents = Contents::of(&page(&["catalog.toml", "okd/4.19/kernel", "okd/4.20/kernel", "x"], None));
        assert!(contents.has_catalog());
        insta::assert_snapshot!(contents.text("boot"), @r"
        The bucket boot has 4 objects (8.0 KiB):
          KEY           OBJECTS     SIZE
          catalog.toml        1  2.0 KiB
          okd/                2  4.0 KiB
          x                   1  2.0 KiB
        ");
    }

    #[test]
    fn long_listing_is_cut_and_said() {
        let names: Vec<String> = (10..30).map(|number| format!("{number}/a")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = Contents::of(&page(&keys, Some("next"))).text("boot");
        assert!(text.starts_with("The bucket boot has at least 20 objects"), "{text}");
        assert!(text.ends_with("  and 5 more\n"), "{text}");
        assert_eq!(Contents::of(&page(&[], None)).text("boot"), "The bucket boot is empty.");
        assert_eq!(Contents::default().text("boot"), "The bucket boot does not exist yet.");
    }
}
