//! The files of a mirror at the store: finds them, and makes proven ones visible.

use bytes::Bytes;

use super::error::MirrorError;
use super::transfer::Sealed;
use crate::asset::{AssetName, Digest};
use crate::supply::{CatalogEntry, Condition, ObjectHead, ObjectHeaders, Store};

/// The asset of an object: the one that a catalog names if the object has its length, else one made of what the store says, if
/// the object has the digest `expected`.
pub(super) async fn find(
    store: &Store,
    key: &str,
    name: AssetName,
    known: Option<CatalogEntry>,
    expected: Option<Digest>,
) -> Result<Option<CatalogEntry>, MirrorError> {
    let Some(head) = store.head(key).await? else { return Ok(None) };
    if let Some(known) = known {
        return Ok(Some(known).filter(|known| known.size == head.size));
    }
    let Some(sha256) = expected else { return Ok(None) };
    if digest_of(store, key, &head).await? != Some(sha256) {
        return Ok(None);
    }
    let blocks_key = blocks_key(key);
    let blocks = store.get(&blocks_key).await?.map(|(list, _)| (store.url(&blocks_key), Digest::of(&list)));
    Ok(Some(CatalogEntry { name, source: store.url(key), sha256, size: head.size, blocks }))
}

/// Makes a proven file visible, with its block list and its digest beside it. An object that has the same digest already stays.
/// Returns whether the object is new.
pub(super) async fn finish(
    store: &Store,
    sealed: Sealed,
    name: AssetName,
) -> Result<(CatalogEntry, bool), MirrorError> {
    let Sealed { mut upload, key, hashed, .. } = sealed;
    let (condition, is_new) = match store.head(&key).await? {
        None => (Condition::Absent, true),
        Some(head) => match digest_of(store, &key, &head).await? {
            Some(digest) if digest == hashed.digest && head.size == hashed.size => (Condition::Always, false),
            Some(digest) => {
                upload.abort().await?;
                let (found, expected) = (digest.to_string(), hashed.digest.to_string());
                return Err(MirrorError::Occupied { url: store.url(&key), found, expected });
            }
            // Nothing says what it is: a transfer that was interrupted.
            None => (head.etag.map_or(Condition::Always, Condition::Matches), true),
        },
    };
    if is_new {
        upload.finish(&condition).await?;
    } else {
        upload.abort().await?;
    }
    let blocks = Bytes::from(hashed.block_list());
    let blocks_digest = Digest::of(&blocks);
    let base = key.rsplit('/').next().unwrap_or(&key);
    let line = Bytes::from(format!("{}  {base}\n", hashed.digest));
    put(store, &blocks_key(&key), blocks, "application/json").await?;
    put(store, &digest_key(&key), line, "text/plain").await?;
    let blocks = Some((store.url(&blocks_key(&key)), blocks_digest));
    let source = store.url(&key);
    Ok((CatalogEntry { name, source, sha256: hashed.digest, size: hashed.size, blocks }, is_new))
}

async fn put(store: &Store, key: &str, body: Bytes, kind: &str) -> Result<(), MirrorError> {
    let headers = ObjectHeaders { content_type: Some(kind.to_owned()), metadata: Vec::new() };
    store.put(key, body, &headers, &Condition::Always).await?;
    Ok(())
}

/// The digest that the store, or the file beside the object, says. A claim.
async fn digest_of(store: &Store, key: &str, head: &ObjectHead) -> Result<Option<Digest>, MirrorError> {
    if let Some(digest) = head.digest() {
        return Ok(Some(digest));
    }
    let beside = store.get(&digest_key(key)).await?;
    Ok(beside.and_then(|(line, _)| std::str::from_utf8(&line).ok()?.get(..64)?.parse().ok()))
}

/// The key of the block list of an object.
fn blocks_key(key: &str) -> String {
    format!("{key}.blocks")
}

/// The key of the file with the digest of an object.
fn digest_key(key: &str) -> String {
    format!("{key}.sha256")
}
