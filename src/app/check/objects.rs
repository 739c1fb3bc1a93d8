//! Compares an object at its source with the catalog.

use super::advice::{Scope, Subject, Trouble};
use super::outcome::{Outcome, Seen};
use super::placeholder::is_placeholder;
use crate::app::catalog::{CatalogError, fetch};
use crate::asset::{BlockList, SourceTarget, SourceUrl};
use crate::catalog::Asset;
use crate::depot::{Hashed, SourceProbe, SourceReads};
use crate::origin::{OriginError, Origins, RestoredCopy, Stat, Storage};
use crate::units::bytes;

/// The longest block list that is read, as when a fill reads one.
const LONGEST_LIST: u64 = 64 << 20;

/// The bucket that a source is in; nothing for what has none.
pub(super) fn bucket(source: &SourceUrl) -> &str {
    match source.target() {
        SourceTarget::S3 { bucket, .. } => bucket,
        _ => "",
    }
}

/// The trouble that an object which cannot be read is, with what the store says of its storage class.
pub(super) fn unreadable(subject: &Subject<'_>, error: &OriginError, storage: Option<&Storage>) -> Trouble {
    let OriginError::Archived { class, .. } = error else { return subject.trouble(error) };
    let class = storage.map(|storage| storage.class.as_str()).or(class.as_deref());
    let class = class.map_or_else(String::new, |class| format!(" in the class {class}"));
    let state = match storage.map(|storage| &storage.restore) {
        Some(RestoredCopy::Ongoing) => "a copy of it is being restored, and is not ready",
        Some(RestoredCopy::Done(_)) => "the restored copy of it cannot be read",
        Some(RestoredCopy::No) | None => "no copy of it is restored",
    };
    Trouble {
        kind: "archived",
        found: format!("it is archived{class}, where fills cannot read it; {state}"),
        remedy: format!(
            "copy it to a class that can be read at once (STANDARD), or restore it; else {}",
            subject.mend_asset("sources")
        ),
        scope: Scope::Object,
    }
}

/// Compares what a source says of an asset's object with the catalog.
pub(super) fn compare(
    subject: &Subject<'_>,
    asset: &Asset,
    probe: SourceProbe,
    stat: Option<&Stat>,
    storage: Option<&Storage>,
) -> Outcome {
    let SourceProbe { size, reads, page } = probe;
    let reads = Some(reads);
    if let (Some(expected), Some(size)) = (asset.size, size)
        && size != expected
    {
        return wrong(
            "wrong size",
            format!("it is {size} bytes long there, and {expected} in the catalog"),
            format!("upload the right object; if it is the right one, {} and `sha256`", subject.mend_asset("size")),
        );
    }
    let seen = |found| Seen { size, reads, found, warning: expiry(subject, storage).or_else(|| html(subject, page)) };
    let length = length(size);
    if is_placeholder(&asset.digest) {
        return Outcome::Unverified(seen(format!("{length}; its digest in the catalog is a placeholder")));
    }
    // The checksum of another version that was uploaded since says nothing.
    let checksum =
        stat.filter(|stat| size.is_none_or(|size| size == stat.size)).and_then(|stat| stat.checksums.first().copied());
    match checksum {
        Some(advertised) if advertised.digest != asset.digest => wrong(
            "wrong checksum",
            format!(
                "it has the SHA-256 {} there ({}), and {} in the catalog",
                advertised.digest, advertised.header, asset.digest
            ),
            format!("upload the right object; if it is the right one, {}", subject.mend_asset("sha256")),
        ),
        Some(advertised) => Outcome::Right(seen(format!("{length}, and the right checksum ({})", advertised.header))),
        None if size.is_some() && asset.size.is_some() => {
            Outcome::Unverified(seen(format!("{length}, the right size; the source reports no digest to compare")))
        }
        None => Outcome::Unverified(seen(format!("{length}; neither its size nor a digest can be compared"))),
    }
}

/// The outcome for an object that was hashed, after what the source said of it.
pub(super) fn hashed(
    subject: &Subject<'_>,
    asset: &Asset,
    said: Outcome,
    reads: SourceReads,
    hashed: &Hashed,
) -> Outcome {
    let (size, reads) = (Some(hashed.size), Some(reads));
    let text = format!("{}, hashed", length(size));
    match (hashed.digest, said) {
        (Ok(()), Outcome::Bad(said)) => {
            let remedy = "nothing for fills, which do not use it; correct the checksum at the store".to_owned();
            let found = format!("{text}: the right digest");
            let warning = Trouble { found: format!("{found}, although the source reports another"), remedy, ..said };
            Outcome::Right(Seen { size, reads, found, warning: Some(warning) })
        }
        (Ok(()), Outcome::Right(seen) | Outcome::Unverified(seen)) => {
            Outcome::Right(Seen { size, found: format!("{text}: the right digest"), ..seen })
        }
        (Err(found), Outcome::Right(seen) | Outcome::Unverified(seen)) if is_placeholder(&asset.digest) => {
            let found = format!("{text}: its SHA-256 is {found}; its digest in the catalog is a placeholder");
            Outcome::Unverified(Seen { size, found, ..seen })
        }
        (Err(found), Outcome::Right(_) | Outcome::Unverified(_) | Outcome::Bad(_)) => wrong(
            "wrong bytes",
            format!("its {} bytes have the SHA-256 {found}, and {} in the catalog", hashed.size, asset.digest),
            format!("upload the right object; if it is the right one, {}", subject.mend_asset("sha256")),
        ),
        (_, not_asked @ Outcome::NotAsked(_)) => not_asked,
    }
}

/// A warning of an archived object that can be read only until its restored copy expires.
fn expiry(subject: &Subject<'_>, storage: Option<&Storage>) -> Option<Trouble> {
    let Storage { class, restore: RestoredCopy::Done(until) } = storage.filter(|storage| storage.is_archive())? else {
        return None;
    };
    let until = until.as_deref().map_or_else(String::new, |until| format!(" until {until}"));
    Some(Trouble {
        kind: "archived",
        found: format!("it is archived in the class {class}; a restored copy can be read{until}"),
        remedy: format!(
            "copy it to a class that can be read at once (STANDARD), or fetch it now: `bootdepot preload {}`",
            subject.role.name()
        ),
        scope: Scope::Object,
    })
}

/// A warning of a source that sends an HTML page, unless the asset's name says that it is one.
fn html(subject: &Subject<'_>, page: Option<String>) -> Option<Trouble> {
    let is_page = subject.role.name().rsplit('.').next().is_some_and(|end| matches!(end, "html" | "htm" | "xhtml"));
    let page = page.filter(|_| !is_page)?;
    Some(Trouble {
        kind: "HTML page",
        found: format!("it begins with {page}, perhaps of a proxy or a login in place of the object"),
        remedy: format!("open the URL; if that is not the object, {}", subject.mend_asset("sources")),
        scope: Scope::Object,
    })
}

/// Reads a block list and compares it with the catalog: it is small, and without it cold ranges wait for the whole.
pub(super) async fn block_list(
    subject: &Subject<'_>,
    asset: &Asset,
    origins: &Origins,
    source: &SourceUrl,
    probe: SourceProbe,
) -> Outcome {
    let Some(blocks) = &asset.blocks else { return Outcome::NotAsked("the asset has no block list".to_owned()) };
    let SourceProbe { size, reads, .. } = probe;
    let reads = Some(reads);
    let remedy = |key: &str| {
        format!("make a new list from the right object; if it is the right list, {}", subject.mend_asset(key))
    };
    if let Some(size) = size.filter(|size| *size > LONGEST_LIST) {
        let found = format!("it is {} long, and no list is longer than {}", bytes(size), bytes(LONGEST_LIST));
        return wrong("wrong block list", found, remedy("blocks"));
    }
    let text = match read(origins, source, LONGEST_LIST).await {
        Ok(Some(text)) => text,
        Ok(None) => {
            let found = format!("it is longer than {}, and no list is", bytes(LONGEST_LIST));
            return wrong("wrong block list", found, remedy("blocks"));
        }
        Err(error) => return Outcome::Bad(subject.trouble(&error)),
    };
    let seen = |found| Seen { size, reads, found, warning: None };
    if is_placeholder(&blocks.digest) || is_placeholder(&asset.digest) {
        return Outcome::Unverified(seen(format!("{}; a digest in the catalog is a placeholder", length(size))));
    }
    match BlockList::parse(&text, &blocks.digest, &asset.digest) {
        Err(error) => wrong("wrong block list", error.to_string(), remedy("blocks_sha256")),
        Ok(list) => match asset.size.filter(|size| *size != list.size()) {
            Some(size) => {
                let found = format!("it is of {} bytes, and the asset has {size} in the catalog", list.size());
                wrong("wrong block list", found, remedy("size"))
            }
            None => Outcome::Right(seen(format!("{} blocks of {}, verified", list.count(), bytes(list.block_size())))),
        },
    }
}

/// Reads the shared catalog. Whether it is valid was found with the settings.
pub(super) async fn catalog(subject: &Subject<'_>, origins: &Origins, url: &SourceUrl) -> Outcome {
    match fetch(origins, url, None).await {
        Ok(text) => {
            let size = text.map(|text| text.text.len() as u64);
            Outcome::Right(Seen {
                size,
                reads: None,
                found: format!("{}; it can be read", length(size)),
                warning: None,
            })
        }
        Err(CatalogError::Origin(error)) => Outcome::Bad(subject.trouble(&error)),
        Err(error) => wrong("bad catalog", error.to_string(), format!("see the store, or {}", subject.mend_asset(""))),
    }
}

/// Reads all of a source. `None` if it is longer than `limit`, in bytes, whatever it said of its length.
async fn read(origins: &Origins, source: &SourceUrl, limit: u64) -> Result<Option<Vec<u8>>, OriginError> {
    let mut reply = origins.read(source, None, None).await?;
    let mut text = Vec::new();
    while let Some(piece) = reply.body.chunk().await? {
        if (text.len() + piece.len()) as u64 > limit {
            return Ok(None);
        }
        text.extend_from_slice(&piece);
    }
    Ok(Some(text))
}

fn length(size: Option<u64>) -> String {
    size.map_or_else(|| "of unknown length".to_owned(), bytes)
}

fn wrong(kind: &'static str, found: String, remedy: String) -> Outcome {
    Outcome::Bad(Trouble { kind, found, remedy, scope: Scope::Object })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::tests::origin::{FakeOrigin, Fault};
    use crate::origin::Timeouts;

    #[tokio::test]
    async fn longer_text_than_limit_is_dropped() {
        let origin = FakeOrigin::start(vec![7; 100], &[Fault::NoLength]).await;
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let source = origin.url("disk.img");
        assert_eq!(read(&origins, &source, 100).await.unwrap(), Some(vec![7; 100]));
        assert_eq!(read(&origins, &source, 99).await.unwrap(), None);
    }
}
