//! Reads that bypass the cache.

use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::bypass_reader::BypassReader;
use super::bypasses::BypassTarget;
use super::facade::Depot;
use crate::asset::ByteRange;
use crate::catalog::Asset;

impl Depot {
    /// Prepares a read of `range` of an asset of `size` bytes that bypasses the cache.
    pub(super) fn bypass(&self, asset: &Arc<Asset>, size: u64, range: ByteRange) -> BoxFuture<'static, BypassReader> {
        let (depot, asset) = (self.clone(), Arc::clone(asset));
        Box::pin(async move {
            let block_list = depot.clone().block_list(Arc::clone(&asset)).await;
            let target = BypassTarget { snapshot: depot.snapshot(), asset, block_list, size };
            BypassReader::new(depot.shared.bypasses.clone(), target, range)
        })
    }
}
