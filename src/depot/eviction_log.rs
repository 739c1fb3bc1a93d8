//! The log line of an eviction, with the names of the assets, which the cache does not know.

use tracing::info;

use crate::asset::Digest;
use crate::catalog::Catalog;

/// Logs that the blob with this digest, of this size in bytes, was evicted.
pub(super) fn log(catalog: &Catalog, digest: &Digest, bytes: u64) {
    let names = names(catalog, digest);
    info!(target: "bootdepot::eviction", asset = names.as_deref(), %digest, bytes, "blob evicted");
}

/// The names of the assets with this digest. `None` if the catalog does not have it any more.
fn names(catalog: &Catalog, digest: &Digest) -> Option<String> {
    let assets = catalog.by_digest(digest);
    let names: Vec<_> = assets.iter().map(|asset| asset.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetName;
    use crate::catalog::Asset;

    #[test]
    fn eviction_names_all_assets_of_blob() {
        let asset = |name, text: &[u8]| Asset::new(AssetName::parse(name).unwrap(), Digest::of(text), Vec::new());
        let catalog = Catalog::new(vec![asset("a", b"1"), asset("b", b"2"), asset("c", b"1")]).unwrap();
        assert_eq!(names(&catalog, &Digest::of(b"1")).as_deref(), Some("a, c"));
        assert_eq!(names(&catalog, &Digest::of(b"3")), None);
    }
}
