//! The negative cache: sources that do not have a blob, or have other bytes, so that they are not asked again at once.
//!
//! An entry is about one source. A source that could not be read (a timeout, 503, a refused connection) has no entry: it may
//! have the blob a moment later, and only if every source has an entry is the asset known to be unavailable.

use std::time::Duration;

use super::source_key::SourceKey;
use crate::asset::{Digest, SourceUrl};
use crate::origin::OriginError;

/// Entries: more than a catalog has assets, with a few sources each.
const MAX_ENTRIES: u64 = 200_000;

/// Why a source is not asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Negative {
    /// It reported that there is no such object; with the text of its error.
    Missing(String),
    /// It sent other bytes than the digest says; with the reason.
    WrongBytes(String),
}

/// Entries of all sources. They expire after `negative_ttl`.
#[derive(Clone)]
pub(super) struct NegativeCache(moka::sync::Cache<SourceKey, Negative>);

/// The entries of one blob's sources.
#[derive(Clone)]
pub(super) struct NegativeEntries {
    cache: NegativeCache,
    /// Differs for each set of origins.
    epoch: u64,
    digest: Digest,
}

impl NegativeCache {
    pub(super) fn new(ttl: Duration) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(ttl).build())
    }

    /// The entries of the blob with this digest.
    pub(super) fn of(&self, epoch: u64, digest: &Digest) -> NegativeEntries {
        NegativeEntries { cache: self.clone(), epoch, digest: *digest }
    }
}

impl NegativeEntries {
    /// The entry of one source.
    pub(super) fn get(&self, source: &SourceUrl) -> Option<Negative> {
        self.cache.0.get(&self.key(source))
    }

    /// Remembers the error of a source if it says that the source does not have the object.
    pub(super) fn add_error(&self, source: &SourceUrl, error: &OriginError) {
        if error.is_not_found() {
            self.cache.0.insert(self.key(source), Negative::Missing(error.to_string()));
        }
    }

    /// Remembers that a source has other bytes.
    pub(super) fn add_wrong_bytes(&self, source: &SourceUrl, reason: &str) {
        self.cache.0.insert(self.key(source), Negative::WrongBytes(reason.to_owned()));
    }

    /// Removes the entries of these sources.
    pub(super) fn forget(&self, sources: &[SourceUrl]) {
        for source in sources {
            self.cache.0.invalidate(&self.key(source));
        }
    }

    fn key(&self, source: &SourceUrl) -> SourceKey {
        SourceKey::new(self.epoch, &self.digest, std::slice::from_ref(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> [SourceUrl; 2] {
        ["s3://b/one", "s3://b/two"].map(|text| text.parse().unwrap())
    }

    fn missing(source: &SourceUrl) -> OriginError {
        OriginError::NotFound { source_url: source.to_string(), answer: None }
    }

    #[test]
    fn unreachable_source_gives_no_entry() {
        let [one, two] = sources();
        let entries = NegativeCache::new(Duration::from_mins(1)).of(0, &Digest::of(b"a"));
        let stalled = OriginError::Stalled { source_url: two.to_string(), after: Duration::from_secs(1) };
        let throttled = OriginError::Throttled {
            host: "h".into(),
            answer: crate::origin::Answer::from_code("503"),
            retry_after: None,
        };
        entries.add_error(&one, &missing(&one));
        entries.add_error(&two, &stalled);
        entries.add_error(&two, &throttled);
        assert_eq!((entries.get(&one), entries.get(&two)), (Some(Negative::Missing(missing(&one).to_string())), None));
        entries.forget(&[one.clone(), two]);
        assert_eq!(entries.get(&one), None);
    }

    #[test]
    fn entry_is_about_one_digest_and_epoch() {
        let [one, _] = sources();
        let cache = NegativeCache::new(Duration::from_mins(1));
        cache.of(0, &Digest::of(b"a")).add_wrong_bytes(&one, "another digest");
        assert!(cache.of(0, &Digest::of(b"a")).get(&one).is_some());
        assert!(cache.of(0, &Digest::of(b"b")).get(&one).is_none(), "other assets have the right bytes there");
        assert!(cache.of(1, &Digest::of(b"a")).get(&one).is_none(), "other credentials may see the object");
    }
}
