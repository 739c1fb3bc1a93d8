//! Block lists. Each is an asset of its own, with its digest in the catalog, and is cached like any other.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;
use tracing::warn;

use super::error::ReadError;
use super::facade::Depot;
use super::settings::Delivery;
use crate::asset::{AssetName, BlockList, ByteRange};
use crate::catalog::{Asset, BlockListSource};
use crate::task::blocking;

/// How long a fill waits for its block list before it continues without: machines wait for the fill.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest block list that is read, in bytes: 64 MiB list about a million blocks, 4 TiB in blocks of 4 MiB.
const MAX_SIZE: u64 = 64 << 20;

impl Depot {
    /// The asset's block list. `None` if it has none, or if it cannot be read in time.
    ///
    /// Boxed, because reading a block list is itself a read of an asset.
    pub(super) fn block_list(self, asset: Arc<Asset>) -> BoxFuture<'static, Option<Arc<BlockList>>> {
        Box::pin(async move {
            let source = asset.blocks.as_ref()?;
            let snapshot = self.snapshot();
            let key = snapshot.source_key(&source.digest, std::slice::from_ref(&source.source));
            if let Some(cached) = snapshot.replies.block_lists.get(&key) {
                return cached;
            }
            let list = match self.read_block_list(&asset, source).await {
                Ok(list) => Some(Arc::new(list)),
                Err(error) => {
                    warn!(asset = %asset.name, source = %source.source, error, "block list not readable: continuing without");
                    None
                }
            };
            snapshot.replies.block_lists.insert(key, list.clone());
            list
        })
    }

    async fn read_block_list(&self, asset: &Asset, source: &BlockListSource) -> Result<BlockList, String> {
        let fetched = tokio::time::timeout(TIMEOUT, self.fetch_block_list(asset, source)).await;
        let bytes = fetched.map_err(|_| format!("no complete reply within {} s", TIMEOUT.as_secs()))?;
        let bytes = bytes.map_err(|error| error.to_string())?;
        let (trusted, digest) = (source.digest, asset.digest);
        let parsed = blocking(move || BlockList::parse(&bytes, &trusted, &digest)).await;
        parsed.map_err(|error| error.to_string())
    }

    async fn fetch_block_list(&self, asset: &Asset, list: &BlockListSource) -> Result<Bytes, ReadError> {
        // Only logs show this name. If the suffix makes it too long, the asset's own name is used.
        let name = AssetName::parse(&format!("{}.blocks", asset.name)).unwrap_or_else(|_| asset.name.clone());
        let list = Asset::new(name, list.digest, vec![list.source.clone()]);
        let reader = self.read(&Arc::new(list)).await?;
        if reader.size() > MAX_SIZE {
            return Err(ReadError::WrongBytes(format!("the block list has {} bytes", reader.size())));
        }
        let mut stream = reader.stream(ByteRange::whole(reader.size()), Delivery::Copied).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?.read()?);
        }
        Ok(bytes.freeze())
    }
}
