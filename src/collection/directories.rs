//! Listings of the sources of collections, by directory.

use std::sync::Arc;
use std::time::Duration;

use super::document::SIGNATURES;
use crate::catalog::Collection;
use crate::origin::{DirectoryListing, OriginError, Origins};

/// Listings that are kept. Each has 1 MB at most.
const MAX_LISTINGS: u64 = 16;

/// Lists directories of collections. Keeps listings, so that many requests cost the store one.
#[derive(Clone)]
pub struct Directories {
    /// By prefix of the collection and path. `None` for a web server, which cannot be listed.
    listings: moka::future::Cache<(String, String), Option<Arc<DirectoryListing>>>,
}

impl Directories {
    /// Keeps listings for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        Self { listings: moka::future::Cache::builder().max_capacity(MAX_LISTINGS).time_to_live(ttl).build() }
    }

    /// The objects of a directory that belong to the collection, without the documents that speak of them. `path` is below the
    /// collection's source: empty, or ending with a slash. `None` if the source cannot be listed.
    pub async fn list(
        &self,
        origins: &Origins,
        collection: &Collection,
        path: &str,
    ) -> Result<Option<Arc<DirectoryListing>>, Arc<OriginError>> {
        let key = (collection.prefix.clone(), path.to_owned());
        let list = async {
            let Some(mut listing) = origins.list(&collection.source, path).await? else { return Ok(None) };
            listing
                .files
                .retain(|file| !is_document(&file.name) && collection.filter.takes(&format!("{path}{}", file.name)));
            Ok(Some(Arc::new(listing)))
        };
        self.listings.try_get_with(key, Box::pin(list)).await
    }
}

/// Whether a file of this name speaks of other files, such as `SHA256SUMS.gpg` or `a.iso.sha256`.
fn is_document(name: &str) -> bool {
    let name = SIGNATURES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    name == "SHA256SUMS" || name == "metadata.json" || name.ends_with(".sha256") || name.ends_with(".blocks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_from_objects() {
        for name in
            ["SHA256SUMS", "SHA256SUMS.gpg", "metadata.json", "a.iso.sha256", "a.iso.sha256.asc", "a.iso.blocks"]
        {
            assert!(is_document(name), "{name}");
        }
        for name in ["a.iso", "a.iso.sig", "kernel", "blocks", "SHA256SUMS.iso"] {
            assert!(!is_document(name), "{name}");
        }
    }
}
