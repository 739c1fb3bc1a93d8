//! Lists a directory of assets: the assets that are known, and the other files that the source of a collection has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::error::ReadError;
use super::facade::Depot;
use super::lookup_error::{unavailable, unreadable};
use crate::asset::AssetName;
use crate::catalog::{Asset, Catalog, Collection};
use crate::origin::DirectoryListing;
use crate::task::blocking;

/// The content of a directory of assets, without that of its directories.
#[derive(Debug, Clone)]
pub struct Directory {
    /// The names of directories in it, without a slash at the end.
    pub directories: Vec<String>,
    /// The files in it, by name.
    pub files: Vec<DirectoryFile>,
    /// Whether these are all: not if there are too many, or the source cannot be listed.
    pub is_complete: bool,
}

/// A file in a directory of assets.
#[derive(Debug, Clone)]
pub struct DirectoryFile {
    /// Its name, without the directory.
    pub name: String,
    /// Its length in bytes, if it is known.
    pub size: Option<u64>,
    /// When it was last modified, if it is known.
    pub modified: Option<SystemTime>,
    /// The asset. `None` if its digest is not known yet: it was not requested so far.
    pub asset: Option<Arc<Asset>>,
}

impl Depot {
    /// The collection that a directory belongs to, if `directory` ends with a slash. Memory only.
    pub fn collection_of(&self, directory: &str) -> Option<Arc<Collection>> {
        let is_directory = directory.strip_suffix('/').is_some_and(|path| AssetName::parse(path).is_ok());
        let catalog = self.catalog();
        let mut covering = catalog.collections().iter().filter(|it| directory.starts_with(&it.prefix));
        covering.next().filter(|_| is_directory).cloned()
    }

    /// The content of a directory of a collection. `None` if it belongs to no collection, or nothing is in it.
    pub async fn directory(&self, directory: &str) -> Result<Option<Directory>, ReadError> {
        let Some(collection) = self.collection_of(directory) else { return Ok(None) };
        let snapshot = self.snapshot();
        let path = directory.strip_prefix(&collection.prefix).unwrap_or_default();
        let load = self.shared.collections.load(&collection);
        let Some(_pending) = load.begin() else {
            return Err(unavailable(format!("too many directories below {} are being listed", collection.prefix)));
        };
        let _permit = load.unknown.acquire().await;
        let listed = Box::pin(snapshot.replies.directories.list(&snapshot.origins, &collection, path)).await;
        let listed = match listed {
            Err(error) if error.is_not_found() => None,
            listed => listed.map_err(|error| unreadable(&error))?,
        };
        let (depot, directory) = (self.clone(), directory.to_owned());
        // A catalog may have 100,000 assets.
        Ok(blocking(move || depot.merge(&snapshot.catalog, &directory, listed.as_deref())).await)
    }

    /// The listing of a directory together with its assets. `None` if nothing is in it.
    fn merge(&self, catalog: &Catalog, directory: &str, listed: Option<&DirectoryListing>) -> Option<Directory> {
        let is_name = |name: &str| AssetName::parse(name).is_ok();
        let is_complete = listed.is_some_and(|listed| listed.is_complete);
        let mut directories: Vec<String> = listed.iter().flat_map(|listed| listed.directories.clone()).collect();
        directories.retain(|name| is_name(name));
        let mut files: BTreeMap<String, DirectoryFile> = BTreeMap::new();
        for file in listed.iter().flat_map(|listed| &listed.files).filter(|file| is_name(&file.name)) {
            let (name, size, modified) = (file.name.clone(), Some(file.size), file.modified);
            files.insert(name.clone(), DirectoryFile { name, size, modified, asset: None });
        }
        for asset in catalog.assets() {
            match asset.name.as_str().strip_prefix(directory).map(|path| path.split_once('/').ok_or(path)) {
                Some(Ok((below, _))) => directories.push(below.to_owned()),
                Some(Err(name)) => {
                    let name = name.to_owned();
                    let (size, modified) = (self.known_size(&asset).or(asset.size), Some(asset.last_modified));
                    files.insert(name.clone(), DirectoryFile { name, size, modified, asset: Some(asset) });
                }
                None => {}
            }
        }
        directories.sort_unstable();
        directories.dedup();
        let files: Vec<_> = files.into_values().collect();
        let is_empty = directories.is_empty() && files.is_empty();
        (!is_empty).then_some(Directory { directories, files, is_complete })
    }
}
