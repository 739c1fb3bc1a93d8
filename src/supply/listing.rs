//! Listings of a bucket, page by page.

use super::error::StoreError;
use super::store::Store;
use super::xml::{self, ListObjects};
use crate::origin::Call;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its `ETag`, quotes included.
    pub etag: Option<String>,
    /// When it was last modified (RFC 3339), as written.
    pub last_modified: Option<String>,
    /// Its storage class. `None`: the standard one.
    pub storage_class: Option<String>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The objects, by key.
    pub objects: Vec<ListedObject>,
    /// What lies below a delimiter: each prefix once.
    pub prefixes: Vec<String>,
    /// Where the next page begins. `None`: this is the last one.
    pub next: Option<String>,
}

impl Store {
    /// Lists a page of at most 1,000 objects whose key begins with `prefix` (`ListObjectsV2`). With a delimiter, keys that have it
    /// after the prefix are grouped in [`ListPage::prefixes`]. `from` is the [`ListPage::next`] of the page before.
    pub async fn list_page(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        from: Option<&str>,
    ) -> Result<ListPage, StoreError> {
        let mut call = Call::new(http::Method::GET, "").query("list-type", "2").query("prefix", prefix);
        if let Some(delimiter) = delimiter {
            call = call.query("delimiter", delimiter);
        }
        if let Some(from) = from {
            call = call.query("continuation-token", from);
        }
        let reply = self.send(call).await?;
        let list: ListObjects = xml::parse(&self.url(""), &reply.body)?;
        Ok(list.into_page())
    }

    /// Lists all objects whose key begins with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ListedObject>, StoreError> {
        let mut page = self.list_page(prefix, None, None).await?;
        let mut objects = page.objects;
        while let Some(from) = page.next {
            page = self.list_page(prefix, None, Some(&from)).await?;
            objects.append(&mut page.objects);
        }
        Ok(objects)
    }
}
