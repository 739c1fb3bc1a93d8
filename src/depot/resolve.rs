//! Resolves names: assets of the catalog at once, those of collections by a look at their objects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tracing::{info, warn};

use super::collections::{Change, SharedLookup};
use super::error::ReadError;
use super::facade::Depot;
use super::snapshot::Snapshot;
use super::source_failures::{RETRY_AFTER, SourceFailures};
use super::source_hash::learn_digest;
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Asset, ChangePolicy, Collection, DigestSource, MissingDigest};
use crate::collection::{Binding, FindError, ReadDocumentError};
use crate::origin::{OriginError, Stat};
use crate::task;

/// How long a request for known bytes waits to learn whether the object has changed: machines do not wait for a slow store to
/// get what is cached.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names that are looked up at a time. More are refused, so that requests for many names do not fill the memory.
const MAX_PENDING: usize = 4_096;

/// One lookup.
struct Lookup {
    snapshot: Arc<Snapshot>,
    collection: Arc<Collection>,
    name: AssetName,
    source: SourceUrl,
    /// Whether other bytes than the known ones are taken.
    follow: bool,
    /// Whether the digest is looked for even if the record is of this object.
    ignores_record: bool,
}

/// The entry of a lookup in progress, which is removed with it, also if it panics.
struct LookupEntry {
    depot: Depot,
    name: AssetName,
}

impl Drop for LookupEntry {
    fn drop(&mut self) {
        self.depot.shared.collections.lookups().remove(&self.name);
    }
}

/// Why a changed asset was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// It belongs to no collection.
    #[error("{0} belongs to no collection; only assets of collections change by themselves")]
    NoMember(String),
    /// Its object cannot be read, or has no digest.
    #[error("{name} stays as it is: {source}")]
    Read {
        /// The asset.
        name: String,
        /// The reason.
        source: ReadError,
    },
}

impl Depot {
    /// The asset with this name: from the catalog, from a retention, or from a collection, whose source is asked about the object
    /// unless a lookup was recent. `None` if there is none. A known asset of a collection is returned also if the source cannot be
    /// asked.
    pub async fn resolve(&self, name: &str) -> Result<Option<Arc<Asset>>, ReadError> {
        if !self.is_member(name) {
            return Ok(self.find(name));
        }
        Box::pin(self.resolve_member(name)).await
    }

    /// Whether the name can only be an asset of a collection. Memory only.
    pub fn is_member(&self, name: &str) -> bool {
        let snapshot = self.snapshot();
        let catalog = &snapshot.catalog;
        !catalog.collections().is_empty()
            && catalog.declared(name).is_none()
            && AssetName::parse(name).is_ok_and(|name| catalog.member(&name).is_some())
    }

    async fn resolve_member(&self, name: &str) -> Result<Option<Arc<Asset>>, ReadError> {
        let snapshot = self.snapshot();
        let parsed = AssetName::parse(name).ok();
        let member = parsed.and_then(|name| Some((snapshot.catalog.member(&name)?, name)));
        let Some(((collection, source), name)) = member else { return Ok(self.find(name)) };
        let recent = snapshot.replies.lookups.get(&snapshot.lookup_key(&source));
        let known = self.find(name.as_str());
        let result = match (recent, &known) {
            (Some(result), _) => result,
            (None, known) => {
                let follow = collection.on_change == ChangePolicy::Follow;
                let lookup = self.lookup(Lookup {
                    snapshot,
                    collection,
                    name: name.clone(),
                    source,
                    follow,
                    ignores_record: false,
                })?;
                match known {
                    Some(_) => timeout(PATIENCE, lookup).await.unwrap_or(Ok(())),
                    None => lookup.await,
                }
            }
        };
        match (self.find(name.as_str()), result) {
            (Some(asset), _) => Ok(Some(asset)),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(None),
        }
    }

    /// Takes the bytes that the object of this name has now, and returns the asset. They are on record when this returns.
    pub async fn accept(&self, name: &str) -> Result<Arc<Asset>, AcceptError> {
        let snapshot = self.snapshot();
        let no_member = || AcceptError::NoMember(name.to_owned());
        let parsed = AssetName::parse(name).map_err(|_| no_member())?;
        if snapshot.catalog.declared(name).is_some() {
            return Err(no_member());
        }
        let (collection, source) = snapshot.catalog.member(&parsed).ok_or_else(no_member)?;
        let lookup = Lookup { snapshot, collection, name: parsed, source, follow: true, ignores_record: true };
        let failed = |source| AcceptError::Read { name: name.to_owned(), source };
        Box::pin(self.look_at(&lookup)).await.map_err(failed)?;
        self.find(name).ok_or_else(no_member)
    }

    /// Assets of collections whose objects have other bytes now, which wait for [`Depot::accept`].
    pub fn changes(&self) -> Vec<(AssetName, Change)> {
        self.shared.collections.changes()
    }

    /// Joins the lookup of this name, or starts it. It goes on if no request waits any more.
    fn lookup(&self, lookup: Lookup) -> Result<SharedLookup, ReadError> {
        let mut running = self.shared.collections.lookups();
        if let Some(other) = running.get(&lookup.name) {
            return Ok(other.clone());
        }
        if running.len() >= MAX_PENDING {
            let reason = format!("{MAX_PENDING} names of collections are being looked up already");
            return Err(ReadError::Unavailable { reason, retry_after: RETRY_AFTER });
        }
        let (depot, name) = (self.clone(), lookup.name.clone());
        let entry = LookupEntry { depot: self.clone(), name: lookup.name.clone() };
        let task = self.shared.tasks.spawn(async move {
            let _entry = entry;
            let result = depot.shared.stop.run_until_cancelled(Box::pin(depot.look_at(&lookup))).await;
            let result = result.unwrap_or(Err(ReadError::Closing));
            // A source that could not be asked is asked again at once.
            if matches!(result, Ok(()) | Err(ReadError::NotFound(_))) {
                let key = lookup.snapshot.lookup_key(&lookup.source);
                lookup.snapshot.replies.lookups.insert(key, result.clone());
            }
            result
        });
        let shared = async move { task::join(task).await? }.boxed().shared();
        running.insert(name, shared.clone());
        Ok(shared)
    }

    /// Asks the source about the object, and binds the name to its digest if that is new.
    async fn look_at(&self, lookup: &Lookup) -> Result<(), ReadError> {
        let Lookup { snapshot, collection, name, source, follow, ignores_record } = lookup;
        let collections = &self.shared.collections;
        let known = collections.binding(name).filter(|known| known.source == *source);
        let (stat, stated) = {
            let _permit = collections.permits.acquire().await;
            let stat = snapshot.origins.stat(source).await.stat.map_err(|error| unreadable(&error))?;
            // A document may have been of another object when it was read. Until bytes with its digest were seen, it is read again.
            let is_sure = |known: &Binding| !known.from.is_document() || self.is_cached(&known.sha256);
            if !ignores_record && known.as_ref().is_some_and(|known| known.is_of(&stat) && is_sure(known)) {
                collections.clear_change(name);
                return Ok(());
            }
            let stated = snapshot.replies.finder.find(&snapshot.origins, collection, name, &stat).await;
            (stat, stated.map_err(|error| undecided(&error))?)
        };
        let new = match (stated, &known) {
            (Some(stated), _) => Some(stated),
            (None, Some(_)) if !follow => None,
            (None, _) if collection.on_missing_digest == MissingDigest::TrustFirstUse => {
                Some((self.first_digest(lookup, &stat).await?, DigestSource::FirstUse))
            }
            (None, _) => return Err(ReadError::NotFound(no_digest(source))),
        };
        match (known, new) {
            (Some(known), new) if !follow && new.is_none_or(|(digest, _)| digest != known.sha256) => {
                self.hold_change(name, &known, new.map(|(digest, _)| digest));
                Ok(())
            }
            // The object is another, and the document beside it says the same digest: perhaps it is written next. The record keeps the
            // old object, so that the document is read again.
            (Some(known), Some((digest, from)))
                if from.is_document() && digest == known.sha256 && !known.is_of(&stat) =>
            {
                collections.clear_change(name);
                Ok(())
            }
            (known, Some((digest, from))) => {
                let binding = Binding::new(name.clone(), source.clone(), &stat, digest, from);
                collections.bind(binding).await.map_err(|error| unrecorded(&error))?;
                log_binding(name, known.as_ref(), &digest, from);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// Reads the object to learn the digest that it has at its first use.
    async fn first_digest(&self, lookup: &Lookup, stat: &Stat) -> Result<Digest, ReadError> {
        let Lookup { snapshot, name, source, .. } = lookup;
        let _permit = snapshot.fill_permits.acquire().await;
        let (object, retries) = ((source, Some(stat.size)), snapshot.settings.retries);
        let learned = learn_digest(&snapshot.origins, name, object, retries).await;
        let (size, digest) = learned.map_err(|error| unreadable(&error))?;
        if size == stat.size {
            return Ok(digest);
        }
        let reason = format!("{source}: it had {} bytes, and {size} were read; it has changed in between", stat.size);
        Err(ReadError::Unavailable { reason, retry_after: RETRY_AFTER })
    }

    fn hold_change(&self, name: &AssetName, known: &Binding, found: Option<Digest>) {
        if self.shared.collections.note_change(name, Change { known: known.sha256, found }) {
            let found = found.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string());
            metrics::counter!("bootdepot_collection_changes_total", "outcome" => "held").increment(1);
            warn!(asset = %name, known = %known.sha256, found, "changed object not served until it is accepted");
        }
    }
}

fn log_binding(name: &AssetName, known: Option<&Binding>, digest: &Digest, from: DigestSource) {
    if let Some(known) = known.filter(|known| known.sha256 != *digest) {
        metrics::counter!("bootdepot_collection_changes_total", "outcome" => "taken").increment(1);
        info!(asset = %name, known = %known.sha256, sha256 = %digest, from = %from, "changed object is served");
    } else {
        info!(asset = %name, sha256 = %digest, from = %from, "digest of asset recorded");
    }
}

fn no_digest(source: &SourceUrl) -> String {
    format!(
        "{source}: it exists, but nothing says its digest; put it there with `bootdepot publish`, add a .sha256 file beside it, or \
         set on_missing_digest = \"trust-first-use\" in the collection"
    )
}

pub(super) fn unreadable(error: &OriginError) -> ReadError {
    let mut failures = SourceFailures::default();
    failures.add_error(error);
    failures.into_outcome().1
}

fn undecided(error: &FindError) -> ReadError {
    match error {
        FindError::Document(ReadDocumentError::Origin(error)) => unreadable(error),
        // Like an object whose digest nothing says: nothing that counts says it.
        FindError::Document(error @ ReadDocumentError::Unsigned(_)) => ReadError::NotFound(error.to_string()),
        FindError::Document(_) | FindError::Statement(_) | FindError::Size { .. } => unavailable(error.to_string()),
    }
}

fn unrecorded(error: &crate::collection::BindingsError) -> ReadError {
    unavailable(format!("its digest cannot be recorded: {error}"))
}

fn unavailable(reason: String) -> ReadError {
    ReadError::Unavailable { reason, retry_after: RETRY_AFTER }
}
