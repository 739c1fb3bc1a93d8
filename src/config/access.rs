//! How the shared catalog is reached.

use std::path::PathBuf;

use super::shared::SharedCatalog;
use crate::origin::{OriginSettings, Timeouts};

/// Location of the shared catalog, and what is needed to fetch it.
pub struct CatalogAccess {
    /// Its URL and polling interval.
    pub catalog: SharedCatalog,
    /// Settings of the origins.
    pub origins: Vec<OriginSettings>,
    /// Timeouts of origin requests.
    pub timeouts: Timeouts,
    /// The cache directory, which holds the local copy of the catalog.
    pub dir: PathBuf,
}
