//! Compares an object at its source with the catalog.

use super::advice::{Scope, Subject, Trouble};
use super::outcome::Outcome;
use crate::asset::{BlockList, Digest, SourceTarget, SourceUrl};
use crate::cli::format::bytes;
use crate::origin::{OriginError, Origins, Stat};

/// The longest block list that is read, as when a fill reads one.
const LONGEST_LIST: u64 = 64 << 20;

/// The bucket that a source is in; nothing for what has none.
pub(super) fn bucket(source: &SourceUrl) -> &str {
    match source.target() {
        SourceTarget::S3 { bucket, .. } => bucket,
        _ => "",
    }
}

/// Compares an asset's object with the catalog.
pub(super) fn compare(subject: &Subject<'_>, stat: &Stat) -> Outcome {
    let asset = subject.asset;
    if let Some(size) = asset.size.filter(|size| *size != stat.size) {
        return wrong(
            "wrong size",
            format!("it is {} bytes long there, and {size} in the catalog", stat.size),
            format!("upload the right object; if it is the right one, {} and `sha256`", subject.mend_asset("size")),
        );
    }
    checksum(subject, stat, &asset.digest, "sha256")
}

/// Compares the checksum that a source reports with the setting `key`.
fn checksum(subject: &Subject<'_>, stat: &Stat, digest: &Digest, key: &str) -> Outcome {
    let size = bytes(stat.size);
    match &stat.checksum {
        Some(told) if told.digest != *digest => wrong(
            "wrong checksum",
            format!("it has the SHA-256 {} there ({}), and {digest} in the catalog", told.digest, told.header),
            format!("upload the right object; if it is the right one, {}", subject.mend_asset(key)),
        ),
        Some(told) => Outcome::Good {
            size: stat.size,
            checksum: true,
            found: format!("{size}, and the right checksum ({})", told.header),
        },
        None => Outcome::Good { size: stat.size, checksum: false, found: format!("{size}; it tells no checksum") },
    }
}

/// Reads a block list and compares it with the catalog: it is small, and without it cold ranges wait for the whole.
pub(super) async fn block_list(subject: &Subject<'_>, origins: &Origins, source: &SourceUrl, stat: &Stat) -> Outcome {
    let asset = subject.asset;
    let Some(blocks) = &asset.blocks else { return checksum(subject, stat, &asset.digest, "sha256") };
    let remedy = |key: &str| {
        format!("make the list anew from the right object; if it is the right list, {}", subject.mend_asset(key))
    };
    if stat.size > LONGEST_LIST {
        let found = format!("it is {} long, and no list is longer than {}", bytes(stat.size), bytes(LONGEST_LIST));
        return wrong("wrong block list", found, remedy("blocks"));
    }
    let text = match read(origins, source).await {
        Ok(text) => text,
        Err(error) => return Outcome::Bad(subject.trouble(&error)),
    };
    match BlockList::parse(&text, &blocks.digest, &asset.digest) {
        Err(error) => wrong("wrong block list", error.to_string(), remedy("blocks_sha256")),
        Ok(list) => match asset.size.filter(|size| *size != list.size()) {
            Some(size) => {
                let found = format!("it is of {} bytes, and the asset has {size} in the catalog", list.size());
                wrong("wrong block list", found, remedy("size"))
            }
            None => Outcome::Good {
                size: stat.size,
                checksum: true,
                found: format!("{} blocks of {}, verified", list.count(), bytes(list.block_size())),
            },
        },
    }
}

async fn read(origins: &Origins, source: &SourceUrl) -> Result<Vec<u8>, OriginError> {
    let mut reply = origins.read(source, None, None).await?;
    let mut text = Vec::new();
    while let Some(piece) = reply.body.chunk().await? {
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

fn wrong(kind: &'static str, found: String, remedy: String) -> Outcome {
    Outcome::Bad(Trouble { kind, found, remedy, scope: Scope::Object })
}
