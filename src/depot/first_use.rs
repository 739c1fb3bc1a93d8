//! Reads an object of a collection to learn its digest. Its bytes are stored at the same time, so that its source sends them once.

use tracing::{debug, info};

use super::collections::Load;
use super::error::ReadError;
use super::facade::Depot;
use super::lookup_error::{unavailable, unreadable};
use super::snapshot::Snapshot;
use super::source_hash::learn_digest;
use super::stored_bytes::StoredBytes;
use crate::asset::{AssetName, CompositeDigest, Digest, SourceUrl};
use crate::collection::ObjectVersion;
use crate::error_chain::error_chain;
use crate::origin::{Origins, Stat};
use crate::task::blocking;

/// An object of a collection.
#[derive(Clone, Copy)]
pub(super) struct Object<'o> {
    pub(super) snapshot: &'o Snapshot,
    /// The load of the collection's source.
    pub(super) load: &'o Load,
    pub(super) name: &'o AssetName,
    pub(super) source: &'o SourceUrl,
    /// The object as it was found.
    pub(super) version: &'o ObjectVersion,
}

/// The digest of the parts in which an object was uploaded, which all but the last have one size in bytes: as good as a block list.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartsDigest {
    digest: CompositeDigest,
    part_size: u64,
}

/// An object that was read.
pub(super) struct ReadObject {
    pub(super) digest: Digest,
    /// Its bytes, if they were stored.
    stored: Option<StoredBytes>,
}

impl PartsDigest {
    /// The one that the store of an object says. `None` if it says none, or none that can be compared with the bytes.
    pub(super) async fn of(origins: &Origins, source: &SourceUrl, stat: &Stat) -> Result<Option<Self>, ReadError> {
        let Some(digest) = stat.composite else { return Ok(None) };
        let part_size = match origins.first_part_size(source).await {
            Ok(size) => size,
            // Not known for now, which is no reason to do without the comparison.
            Err(error) if error.is_transient() => return Err(unreadable(&error)),
            Err(error) => {
                info!(%source, %error, "size of parts unknown; their checksum is not compared");
                None
            }
        };
        Ok(part_size.filter(|size| digest.fits(stat.size, *size)).map(|part_size| Self { digest, part_size }))
    }
}

impl Depot {
    /// Reads an object to learn its digest, and compares the bytes with the digest of its parts, if there is one. `stores`: also
    /// stores the bytes, if the disk has space for them.
    pub(super) async fn learn(
        &self,
        object: Object<'_>,
        parts: Option<PartsDigest>,
        stores: bool,
    ) -> Result<ReadObject, ReadError> {
        let Object { snapshot, load, name, source, version } = object;
        let _permit = load.first_uses.acquire().await;
        let stored = if stores { self.reserve(version.size).await } else { None };
        let (read, retries) = ((source, Some(version.size)), snapshot.settings.retries);
        let learned =
            learn_digest(&snapshot.origins, name, read, retries, (parts.map(|parts| parts.part_size), stored)).await;
        let learned = learned.map_err(|error| unreadable(&error))?;
        if let Some(page) = learned.page {
            return Err(ReadError::NotFound(format!("{source}: {page} is there in place of a file")));
        }
        let after = snapshot.origins.stat(source).await.stat.map_err(|error| unreadable(&error))?;
        if learned.size != version.size || ObjectVersion::of(&after) != *version {
            return Err(unavailable(format!("{source}: it has changed while it was read to learn its digest")));
        }
        let expected = parts.map(|parts| parts.digest);
        if learned.composite != expected {
            let text = |digest: Option<CompositeDigest>| digest.map_or_else(String::new, |digest| digest.to_string());
            // Remembered for a while, as the next read of the whole object would find the same.
            return Err(ReadError::NotFound(format!(
                "{source}: its parts have the SHA-256 {}, but the store says {}; upload it again, in parts of one size, or remove \
                 \"s3-checksum\" from the collection's digest_from",
                text(learned.composite),
                text(expected)
            )));
        }
        Ok(ReadObject { digest: learned.digest, stored: learned.stored })
    }

    /// Leaves the bytes of an object that was read to its next fill, which verifies them.
    pub(super) async fn keep(&self, read: ReadObject, part_size: u64) {
        let ReadObject { digest, stored: Some(stored) } = read else { return };
        if let Err(error) = blocking(move || stored.name(&digest, part_size)).await {
            debug!(%digest, error = %error_chain(&error), "bytes not kept; the next fill reads them again");
        }
    }

    async fn reserve(&self, size: u64) -> Option<StoredBytes> {
        let cache = self.shared.cache.clone();
        let reserved = blocking(move || cache.unnamed_partial(size)).await;
        let reserved =
            reserved.inspect_err(|error| debug!(size, error = %error_chain(error), "no space to store bytes"));
        reserved.ok().map(StoredBytes::new)
    }
}
