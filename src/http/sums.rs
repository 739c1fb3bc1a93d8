//! `SHA256SUMS` of a directory of assets.

use std::fmt::Write as _;

use crate::catalog::Catalog;

/// The name of the file.
pub(super) const SUMS_FILE: &str = "SHA256SUMS";

/// The lines of a directory, which is empty or ends with a slash: the assets in it, not those of its directories. Without a
/// line break at the end. `None` if it has no assets.
pub(super) fn of_directory(catalog: &Catalog, directory: &str) -> Option<String> {
    let mut files: Vec<_> = catalog
        .assets()
        .filter_map(|asset| {
            let file = asset.name.as_str().strip_prefix(directory).filter(|file| !file.contains('/'))?;
            Some((file.to_owned(), asset.digest))
        })
        .collect();
    files.sort_unstable();
    let mut text = String::new();
    for (file, digest) in &files {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{digest}  {file}", if text.is_empty() { "" } else { "\n" });
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::{AssetName, Digest};
    use crate::catalog::Asset;

    #[test]
    fn directory_lists_its_own_files() {
        let asset = |name: &str| {
            Asset::new(AssetName::parse(name).unwrap(), Digest::of(name.as_bytes()), vec!["s3://b/k".parse().unwrap()])
        };
        let catalog = Catalog::new(["isos/b.iso", "isos/a.iso", "isos/sub/c.iso", "top"].map(asset).to_vec()).unwrap();
        let line = |name: &str, file: &str| format!("{}  {file}", Digest::of(name.as_bytes()));
        let isos = format!("{}\n{}", line("isos/a.iso", "a.iso"), line("isos/b.iso", "b.iso"));
        assert_eq!(of_directory(&catalog, "isos/"), Some(isos));
        assert_eq!(of_directory(&catalog, ""), Some(line("top", "top")));
        assert_eq!(of_directory(&catalog, "none/"), None);
    }
}
