//! Listings of a bucket: what is in a page.

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
    /// The prefixes up to a delimiter, each once.
    pub prefixes: Vec<String>,
    /// Where the next page begins. `None`: this is the last one.
    pub next: Option<String>,
}
