//! `[[collection]]`.

use crate::catalog::{ChangePolicy, Collection, DigestSource, MissingDigest, NameFilter};
use crate::config::raw;

/// The collection. `None` if a glob is not valid, which the rules have reported.
pub(super) fn collection(raw: raw::Collection) -> Option<Collection> {
    Some(Collection {
        filter: NameFilter::new(&raw.include, &raw.exclude).ok()?,
        prefix: raw.prefix.value,
        source: raw.source.value,
        digest_from: raw.digest_from.into_iter().map(place).collect(),
        on_missing_digest: match raw.on_missing_digest {
            raw::OnMissingDigest::Refuse => MissingDigest::Refuse,
            raw::OnMissingDigest::TrustFirstUse => MissingDigest::TrustFirstUse,
        },
        on_change: match raw.on_change {
            raw::OnChange::Keep => ChangePolicy::Keep,
            raw::OnChange::Follow => ChangePolicy::Follow,
        },
    })
}

fn place(place: raw::DigestFrom) -> DigestSource {
    match place {
        raw::DigestFrom::Sidecar => DigestSource::Sidecar,
        raw::DigestFrom::Sums => DigestSource::Sums,
        raw::DigestFrom::Sha256Metadata => DigestSource::Sha256Metadata,
        raw::DigestFrom::S3Checksum => DigestSource::S3Checksum,
        raw::DigestFrom::MetadataJson => DigestSource::MetadataJson,
    }
}
