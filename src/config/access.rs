//! How the shared catalog is reached.

use std::path::PathBuf;

use super::shared::SharedCatalog;
use crate::origin::{OriginSettings, Timeouts};

/// Where the shared catalog is, and how it is reached.
pub struct CatalogAccess {
    /// Where it is.
    pub catalog: SharedCatalog,
    /// How origins are reached.
    pub origins: Vec<OriginSettings>,
    /// How long to wait for them.
    pub timeouts: Timeouts,
    /// The directory of the cache, where its copy is.
    pub dir: PathBuf,
}
