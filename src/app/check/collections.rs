//! Checks that the sources of collections can be listed and that their keys can be read.

use futures_util::future::join_all;

use crate::asset::DirectoryTarget;
use crate::catalog::Collection;
use crate::config::Config;
use crate::jobs::{CheckResult, CheckRow, Finding};
use crate::origin::{OriginError, Origins};
use crate::proof::TrustedKeys;
use crate::task::blocking;
use crate::units::count;

/// Lists the source of each collection. Returns `None` if there are none.
pub(super) async fn check(config: &Config, origins: &Origins) -> Option<CheckRow> {
    let collections = config.catalog.collections();
    if collections.is_empty() {
        return None;
    }
    let findings: Vec<_> = join_all(collections.iter().map(|collection| one(collection, origins))).await;
    let bad = findings.iter().filter(|finding| finding.result == CheckResult::Failed).count();
    let summary = match bad {
        0 => count(findings.len(), "collection"),
        bad => format!("{bad} of {} cannot be used", count(findings.len(), "collection")),
    };
    Some(CheckRow { check: "collections", place: "[[collection]]".to_owned(), summary, findings })
}

async fn one(collection: &Collection, origins: &Origins) -> Finding {
    let (prefix, source) = (collection.prefix.as_str(), &collection.source);
    let keys = collection.keys.clone();
    if let Err(error) = blocking(move || TrustedKeys::read(&keys)).await {
        let remedy = format!("correct `keys` of [[collection]] {prefix:?}");
        return Finding::failed(prefix, "no key", format!("{error}; no signature can be checked"), remedy);
    }
    match origins.list(source, "").await {
        Ok(None) => Finding::unverified(prefix, format!("{source} cannot be listed, because it is a web server")),
        Ok(Some(listing)) if listing.files.is_empty() && listing.directories.is_empty() => Finding::warning(
            prefix,
            "empty",
            format!("nothing is in {source}"),
            format!("put files there, or correct `source` of [[collection]] {prefix:?}"),
        ),
        Ok(Some(listing)) => {
            let more = if listing.is_complete { "" } else { " or more" };
            let (files, directories) = (listing.files.len(), listing.directories.len());
            let directories = match directories {
                0 => String::new(),
                1 => " and 1 directory".to_owned(),
                many => format!(" and {many} directories"),
            };
            Finding::ok(prefix, format!("{source} has {}{more}{directories}", count(files, "file")))
        }
        // Reading objects needs no right to list them.
        Err(error @ OriginError::AccessDenied { .. })
            if matches!(source.directory(""), DirectoryTarget::Bucket { .. }) =>
        {
            Finding::warning(
                prefix,
                "not listed",
                error.to_string(),
                "allow s3:ListBucket, without which a missing object is refused like a forbidden one",
            )
        }
        Err(error) => {
            let remedy = format!("correct `source` of [[collection]] {prefix:?}, or its [[origin]]");
            Finding::failed(prefix, "no source", error.to_string(), remedy)
        }
    }
}
