//! `[[collection]]`.

use crate::catalog::{ChangePolicy, Collection, DigestSource, MissingDigest, NameFilter};
use crate::config::raw;
use crate::proof::KeySource;

/// The collection. `None` if a glob is not valid, which the rules have reported.
pub(super) fn collection(raw: raw::Collection) -> Option<Collection> {
    Some(Collection {
        filter: NameFilter::new(&raw.include, &raw.exclude).ok()?,
        prefix: raw.prefix.value,
        source: raw.source.value,
        digest_from: raw
            .digest_from
            .map_or_else(|| places(!raw.keys.is_empty()), |places| places.into_iter().map(place).collect()),
        keys: raw.keys.into_iter().map(KeySource::new).collect(),
        listing: raw.listing,
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

/// Where digests are looked for by default. A collection with keys trusts nothing that is not signed.
fn places(has_keys: bool) -> Vec<DigestSource> {
    if has_keys {
        return vec![DigestSource::SignedSidecar, DigestSource::SignedSums];
    }
    vec![
        DigestSource::Sidecar,
        DigestSource::Sums,
        DigestSource::Sha256Metadata,
        DigestSource::S3Checksum,
        DigestSource::MetadataJson,
    ]
}

fn place(place: raw::DigestFrom) -> DigestSource {
    match place {
        raw::DigestFrom::SignedSidecar => DigestSource::SignedSidecar,
        raw::DigestFrom::SignedSums => DigestSource::SignedSums,
        raw::DigestFrom::Sidecar => DigestSource::Sidecar,
        raw::DigestFrom::Sums => DigestSource::Sums,
        raw::DigestFrom::Sha256Metadata => DigestSource::Sha256Metadata,
        raw::DigestFrom::S3Checksum => DigestSource::S3Checksum,
        raw::DigestFrom::MetadataJson => DigestSource::MetadataJson,
    }
}
