//! The sources that are checked, and the purpose of each.

use std::sync::Arc;

use crate::asset::SourceUrl;
use crate::catalog::Asset;

/// The purpose of a source.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// An asset's bytes.
    Asset(Arc<Asset>),
    /// An asset's block list.
    Blocks(Arc<Asset>),
    /// The shared catalog.
    Catalog,
}

/// One source.
pub(super) struct Item {
    pub(super) role: Role,
    pub(super) source: SourceUrl,
}

impl Role {
    /// The name of what the source is for. All sources of one thing have the same.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Asset(asset) => asset.name.to_string(),
            Self::Blocks(asset) => format!("{} (block list)", asset.name),
            Self::Catalog => "shared catalog".to_owned(),
        }
    }
}
