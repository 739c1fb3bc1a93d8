//! Whether an object holds certain bytes: by what the store says of it, else by reading it.

use super::hashed::{Hashed, Hasher};
use super::input::{Input, InputError};
use super::object::ObjectHead;
use super::part_plan::PartPlan;
use super::publish_error::PublishError;
use super::sidecars::parse_sha256_line;
use super::store::Store;
use crate::asset::{Digest, SourceUrl, Verifier};
use crate::origin::{OriginError, Origins};
use crate::task::blocking;

/// The bytes of an object that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Existing {
    /// Those that were looked for.
    Same,
    /// Others: their digest or their length.
    Other(String),
}

/// Compares the object `key` with bytes: by size, then by the first of checksum, user metadata and `KEY.sha256` that says
/// something, else by reading it.
pub(super) async fn compare(
    origins: &Origins,
    store: &Store,
    key: &str,
    file: &str,
    head: &ObjectHead,
    hashed: &Hashed,
) -> Result<Existing, PublishError> {
    let by_digest = |found: Digest| {
        if found == hashed.digest { Existing::Same } else { Existing::Other(format!("SHA-256 {found}")) }
    };
    if head.size != hashed.size {
        return Ok(Existing::Other(format!("{} bytes", head.size)));
    }
    if head.checksum.as_deref().is_some_and(|kept| hashed.matches_checksum(kept) == Some(true)) {
        return Ok(Existing::Same);
    }
    if let Some(found) = head.digest() {
        return Ok(by_digest(found));
    }
    if let Some((line, _)) = store.get(&format!("{key}.sha256")).await?
        && let Some(found) = std::str::from_utf8(&line).ok().and_then(|line| parse_sha256_line(line, file))
    {
        return Ok(by_digest(found));
    }
    Ok(by_digest(read(origins, store, key).await?))
}

/// Reads the object `key` and compares its digest.
pub(super) async fn verify(origins: &Origins, store: &Store, key: &str, hashed: &Hashed) -> Result<(), PublishError> {
    let found = read(origins, store, key).await?;
    if found == hashed.digest {
        return Ok(());
    }
    Err(PublishError::WrongBytes { url: store.url(key), expected: hashed.digest, found })
}

/// The digest of an object that is read as a whole.
async fn read(origins: &Origins, store: &Store, key: &str) -> Result<Digest, PublishError> {
    let url = store.url(key);
    let failed = |source| PublishError::ReadBack { url: url.clone(), source: Box::new(source) };
    let source = SourceUrl::s3(store.bucket(), key).map_err(|error| {
        failed(OriginError::BadReply { source_url: url.clone(), reason: error.to_string(), source: None })
    })?;
    let mut reply = origins.read(&source, None, None).await.map_err(failed)?;
    let mut verifier = Verifier::new();
    while let Some(piece) = reply.body.chunk().await.map_err(failed)? {
        verifier.update(&piece);
    }
    Ok(verifier.digest())
}

/// Hashes an input without sending it.
pub(super) async fn hash(input: &Input, plan: PartPlan) -> Result<Hashed, InputError> {
    let mut reader = input.read()?;
    let mut hasher = Hasher::new(plan, reader.identity().map(|file| file.size));
    while let Some(piece) = reader.next().await? {
        hasher = blocking(move || {
            hasher.update(&piece);
            hasher
        })
        .await;
    }
    Ok(hasher.finish())
}
