//! Block lists: each is an asset of its own, with its digest in the catalog, and so comes through the cache like any other.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;
use tracing::warn;

use super::{Delivery, Depot, ReadError};
use crate::asset::{AssetName, BlockList, ByteRange};
use crate::catalog::{Asset, BlockListSource};
use crate::task::blocking;

/// How long a fill waits for its block list before it goes on without: a machine waits for the fill.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// The longest block list that is read: 64 MiB name about a million blocks, 4 TiB in blocks of 4 MiB.
const LONGEST_BLOCK_LIST: u64 = 64 << 20;

impl Depot {
    /// The asset's block list, if it has one that can be had before a fill has waited too long for it.
    pub(super) fn block_list(self, asset: Arc<Asset>) -> BoxFuture<'static, Option<Arc<BlockList>>> {
        Box::pin(async move {
            let source = asset.blocks.as_ref()?;
            let supply = self.supply();
            let whence = supply.whence(&source.digest, std::slice::from_ref(&source.source));
            if let Some(remembered) = supply.memory.lists.get(&whence) {
                return remembered;
            }
            let fetching = tokio::time::timeout(LIST_PATIENCE, self.fetch_block_list(&asset, source));
            let list = match fetching.await {
                Ok(Ok(bytes)) => {
                    let (trusted, digest) = (source.digest, asset.digest);
                    let parsed = blocking(move || BlockList::parse(&bytes, &trusted, &digest)).await;
                    parsed.map_err(|error| error.to_string())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("it did not come within {} s", LIST_PATIENCE.as_secs())),
            };
            let list = list.map(Arc::new).inspect_err(|reason| {
                warn!(asset = %asset.name, source = %source.source, reason, "going on without the block list");
            });
            let list = list.ok();
            supply.memory.lists.insert(whence, list.clone());
            list
        })
    }

    async fn fetch_block_list(&self, asset: &Asset, list: &BlockListSource) -> Result<Bytes, ReadError> {
        // Only the log shows this name; one that is too long by it stays the asset's.
        let name = AssetName::parse(&format!("{}.blocks", asset.name)).unwrap_or_else(|_| asset.name.clone());
        let list = Asset::new(name, list.digest, vec![list.source.clone()]);
        let reader = self.read(&Arc::new(list)).await?;
        if reader.size() > LONGEST_BLOCK_LIST {
            return Err(ReadError::WrongBytes(format!("the block list is {} bytes long", reader.size())));
        }
        let mut stream = reader.stream(ByteRange::whole(reader.size()), Delivery::Copied).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }
}
