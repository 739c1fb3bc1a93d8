//! Resolves names: assets of the catalog at once, those of collections by a look at their objects.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tracing::{info, warn};

use super::acceptance::{AcceptError, Accepted};
use super::collections::{Change, Load, Pending, SharedAcceptance, SharedLookup};
use super::error::ReadError;
use super::facade::Depot;
use super::first_use::{Object, PartsDigest};
use super::lookup_error::{unavailable, undecided, unreadable, unrecorded};
use super::snapshot::Snapshot;
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Asset, ChangePolicy, Collection, DigestSource, MissingDigest};
use crate::collection::{Binding, Finder, Look, ObjectVersion, Verdict};
use crate::origin::Stat;
use crate::task;

/// How long a request for known bytes waits to learn whether the object has changed: machines do not wait for a slow store to
/// get what is cached.
const PATIENCE: Duration = Duration::from_secs(2);

/// One lookup.
struct Lookup {
    snapshot: Arc<Snapshot>,
    collection: Arc<Collection>,
    load: Arc<Load>,
    name: AssetName,
    source: SourceUrl,
    by: Asker,
}

/// On whose behalf a lookup is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A machine.
    Machine,
    /// An operator, who may have changed a document just now.
    Operator,
    /// An operator who takes what the object is now.
    Acceptor,
}

/// A lookup in progress, whose entry is removed with it, also if it panics.
struct LookupEntry {
    depot: Depot,
    name: AssetName,
    _pending: Pending,
}

impl Drop for LookupEntry {
    fn drop(&mut self) {
        self.depot.shared.collections.lookups().remove(&self.name);
    }
}

/// An acceptance in progress, whose entry is removed with it.
struct AcceptanceEntry {
    depot: Depot,
    name: String,
}

impl Drop for AcceptanceEntry {
    fn drop(&mut self) {
        self.depot.shared.collections.acceptances().remove(&self.name);
    }
}

impl Depot {
    /// The asset with this name: from the catalog, from a retention, or from a collection, whose source is asked about the object
    /// unless a lookup was recent. `None` if there is none. A known asset of a collection is returned also if the source cannot be
    /// asked.
    pub async fn resolve(&self, name: &str) -> Result<Option<Arc<Asset>>, ReadError> {
        self.resolve_for(name, Asker::Machine).await
    }

    /// The same for an operator: what was remembered of earlier lookups does not count.
    pub async fn resolve_now(&self, name: &str) -> Result<Option<Arc<Asset>>, ReadError> {
        self.resolve_for(name, Asker::Operator).await
    }

    async fn resolve_for(&self, name: &str, by: Asker) -> Result<Option<Arc<Asset>>, ReadError> {
        if !self.is_member(name) {
            return Ok(self.find(name));
        }
        Box::pin(self.resolve_member(name, by)).await
    }

    /// Whether the name can only be an asset of a collection. Memory only.
    pub fn is_member(&self, name: &str) -> bool {
        let snapshot = self.snapshot();
        let catalog = &snapshot.catalog;
        !catalog.collections().is_empty()
            && catalog.declared(name).is_none()
            && AssetName::parse(name).is_ok_and(|name| catalog.member(&name).is_some())
    }

    async fn resolve_member(&self, name: &str, by: Asker) -> Result<Option<Arc<Asset>>, ReadError> {
        let Some(lookup) = AssetName::parse(name).ok().and_then(|name| self.lookup_of(name, by)) else {
            return Ok(self.find(name));
        };
        let recent = lookup.snapshot.replies.lookups.get(&lookup.name).filter(|_| by == Asker::Machine);
        let known = self.find(name);
        let (load, ttl) = (Arc::clone(&lookup.load), lookup.snapshot.settings.negative_ttl);
        let result = match (recent, &known) {
            (Some(result), _) => result,
            (None, Some(_)) if by == Asker::Machine => match self.join_lookup(lookup) {
                Ok(running) => {
                    let patience = if load.is_slow() { Duration::ZERO } else { PATIENCE };
                    timeout(patience, running).await.unwrap_or_else(|_| {
                        // For some time, no other request waits in vain.
                        if !patience.is_zero() {
                            load.set_slow(ttl);
                        }
                        Ok(())
                    })
                }
                Err(refused) => Err(refused),
            },
            (None, _) => match self.join_lookup(lookup) {
                Ok(running) => running.await,
                Err(refused) => Err(refused),
            },
        };
        match (self.find(name), result) {
            (Some(asset), Ok(())) => Ok(Some(asset)),
            (Some(asset), Err(_)) if by == Asker::Machine || self.is_cached(&asset.digest) => Ok(Some(asset)),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Ok(None),
        }
    }

    /// Takes the bytes that the object of this name has now. They are on record when this returns. It goes on if the caller does
    /// not wait any more.
    pub async fn accept(&self, name: &str) -> Result<Accepted, AcceptError> {
        self.join_acceptance(name).await
    }

    fn join_acceptance(&self, name: &str) -> SharedAcceptance {
        let mut running = self.shared.collections.acceptances();
        if let Some(other) = running.get(name) {
            return other.clone();
        }
        let (depot, name) = (self.clone(), name.to_owned());
        let entry = AcceptanceEntry { depot: self.clone(), name: name.clone() };
        let task = self.shared.tasks.spawn(async move {
            let accepting = Box::pin(depot.accept_now(&entry.name));
            let closing = || AcceptError::Read { name: entry.name.clone(), source: ReadError::Closing };
            depot.shared.stop.run_until_cancelled(accepting).await.unwrap_or_else(|| Err(closing()))
        });
        let failed = {
            let name = name.clone();
            |source| AcceptError::Read { name, source }
        };
        let shared = async move { task::join(task).await.map_err(|error| failed(error.into()))? }.boxed().shared();
        running.insert(name, shared.clone());
        shared
    }

    async fn accept_now(&self, name: &str) -> Result<Accepted, AcceptError> {
        let no_member = || AcceptError::NoMember(name.to_owned());
        let parsed = AssetName::parse(name).map_err(|_| no_member())?;
        if self.snapshot().catalog.declared(name).is_some() {
            return Err(no_member());
        }
        let lookup = self.lookup_of(parsed, Asker::Acceptor).ok_or_else(no_member)?;
        let failed = |source| AcceptError::Read { name: name.to_owned(), source };
        match Box::pin(self.look_at(&lookup)).await {
            Ok(Verdict::Wait) => {
                let known = self.shared.collections.bindings().get(&lookup.name).ok_or_else(no_member)?;
                Err(AcceptError::LateDocument { name: name.to_owned(), from: known.from, digest: known.sha256 })
            }
            Ok(_) => self.find(name).map(Accepted::Asset).ok_or_else(no_member),
            Err(error @ ReadError::NotFound(_)) => {
                // Also if the object is there: then nothing says its digest, and it is refused.
                let is_gone = lookup.snapshot.origins.stat(&lookup.source).await.stat;
                let is_gone = is_gone.is_err_and(|error| error.is_not_found());
                let removed = is_gone
                    && self
                        .shared
                        .collections
                        .unbind(&lookup.name)
                        .await
                        .map_err(|error| failed(unrecorded(&error)))?;
                if removed {
                    self.follow_binding(&lookup.name);
                    info!(asset = %lookup.name, "digest of asset removed");
                    return Ok(Accepted::Removed);
                }
                Err(failed(error))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Assets of collections whose objects have other bytes now, which wait for [`Depot::accept`].
    pub fn changes(&self) -> Vec<(AssetName, Change)> {
        self.shared.collections.changes()
    }

    fn lookup_of(&self, name: AssetName, by: Asker) -> Option<Lookup> {
        let snapshot = self.snapshot();
        let (collection, source) = snapshot.catalog.member(&name)?;
        let load = self.shared.collections.load(&collection);
        Some(Lookup { snapshot, collection, load, name, source, by })
    }

    /// Joins the lookup of this name, or starts it. It goes on if no request waits any more.
    fn join_lookup(&self, lookup: Lookup) -> Result<SharedLookup, ReadError> {
        let mut running = self.shared.collections.lookups();
        if let Some(other) = running.get(&lookup.name) {
            return Ok(other.clone());
        }
        let Some(pending) = lookup.load.begin() else {
            let reason = format!("too many names below {} are being looked up", lookup.collection.prefix);
            return Err(unavailable(reason));
        };
        let (depot, name) = (self.clone(), lookup.name.clone());
        let entry = LookupEntry { depot: self.clone(), name: lookup.name.clone(), _pending: pending };
        let task = self.shared.tasks.spawn(async move {
            let _entry = entry;
            let result = depot.shared.stop.run_until_cancelled(Box::pin(depot.look_at(&lookup))).await;
            let result = result.unwrap_or(Err(ReadError::Closing)).map(drop);
            // A source that could not be asked is asked again at once.
            if matches!(result, Ok(()) | Err(ReadError::NotFound(_))) {
                lookup.snapshot.replies.lookups.insert(lookup.name.clone(), result.clone());
            }
            result
        });
        let shared = async move { task::join(task).await? }.boxed().shared();
        running.insert(name, shared.clone());
        Ok(shared)
    }

    /// Asks the source about the object, and binds the name to its digest if that is new.
    async fn look_at(&self, lookup: &Lookup) -> Result<Verdict, ReadError> {
        let Lookup { snapshot, collection, load, name, source, by } = lookup;
        let (collections, accept) = (&self.shared.collections, *by == Asker::Acceptor);
        let recorded = collections.bindings().get(name);
        let counts = |known: &&Binding| known.source.as_str() == source.as_str() && collection.trusts(known.from);
        // Seen bytes are recorded a little later.
        let is_seen = |known: &Binding| known.verified || collections.is_seen(name, &known.sha256);
        let known = recorded.as_ref().filter(counts);
        let known = known.map(|known| Binding { verified: is_seen(known), ..known.clone() });
        if !accept {
            collections.bindings().check_free(name).map_err(|error| unrecorded(&error))?;
        }
        let (now, stated, parts) = {
            let permits = if known.is_some() { &load.known } else { &load.unknown };
            let _permit = permits.acquire().await;
            let stat = snapshot.origins.stat(source).await.stat.map_err(|error| {
                if error.is_not_found() {
                    collections.clear_change(name);
                }
                unreadable(&error)
            })?;
            let now = ObjectVersion::of(&stat);
            // Most looks end here, without a look at documents.
            if !accept && known.as_ref().is_some_and(|known| known.verified && known.object == now) {
                collections.clear_change(name);
                return Ok(Verdict::Unchanged);
            }
            let stated = self.stated(lookup, &stat).await?;
            let asks_parts = stated.is_none() && collection.trusts(DigestSource::S3Checksum);
            let parts = if asks_parts { PartsDigest::of(&snapshot.origins, source, &stat).await? } else { None };
            (now, stated, parts)
        };
        let follow = accept || collection.on_change == ChangePolicy::Follow;
        let may_learn = parts.is_some() || collection.on_missing_digest == MissingDigest::TrustFirstUse;
        let look = Look { known: known.as_ref(), now: &now, stated, follow, accept, may_learn };
        let mut verdict = look.verdict();
        let object = Object { snapshot, load, name, source, version: &now };
        // The bytes that are served may have been written again.
        let is_as_long = known.as_ref().is_some_and(|known| known.object.size == now.size);
        let (mut read, mut learned_by) = (None, None);
        match (verdict, &known) {
            (Verdict::Learn, _) => {
                let from = if parts.is_some() { DigestSource::S3Checksum } else { DigestSource::FirstUse };
                // It may have been read before, and compared with the same.
                let found = collections.change(name).filter(|change| change.object == now);
                let found = found.filter(|change| change.learned == Some(from)).and_then(|change| change.found);
                let digest = if let Some(digest) = found {
                    digest
                } else {
                    let may_be_cached = is_as_long && known.as_ref().is_some_and(|it| self.is_cached(&it.sha256));
                    let stores = (known.is_none() || follow) && !may_be_cached;
                    read.insert(self.learn(object, parts, stores).await?).digest
                };
                (verdict, learned_by) = (look.learned(digest, from), Some(from));
            }
            (Verdict::Wait, Some(known)) if accept && is_as_long => {
                let digest = read.insert(self.learn(object, None, false).await?).digest;
                if digest == known.sha256 {
                    (verdict, learned_by) = (Verdict::Bind(digest, known.from), Some(known.from));
                }
            }
            _ => {}
        }
        match (verdict, &known) {
            (Verdict::Unknown | Verdict::Learn, _) => return Err(ReadError::NotFound(no_digest(source))),
            (Verdict::Hold(found), Some(known)) => {
                self.hold_change(name, Change { known: known.sha256, found, learned: learned_by, object: now });
            }
            (Verdict::Bind(digest, from), _) => {
                let (name, source) = (name.clone(), source.clone());
                let verified = learned_by.is_some();
                let binding = Binding { name, source, sha256: digest, object: now, from, verified };
                self.bind(binding, recorded.as_ref(), *by).await?;
                if let Some(read) = read {
                    self.keep(read, snapshot.settings.part_size).await;
                }
            }
            (Verdict::Unchanged | Verdict::Wait | Verdict::Hold(_), _) => collections.clear_change(name),
        }
        Ok(verdict)
    }

    /// The digest that a place says. Documents that were read before do not count for operators.
    async fn stated(&self, lookup: &Lookup, stat: &Stat) -> Result<Option<(Digest, DigestSource)>, ReadError> {
        let Lookup { snapshot, collection, name, .. } = lookup;
        let finder = match lookup.by {
            Asker::Machine => snapshot.replies.finder.clone(),
            Asker::Operator | Asker::Acceptor => Finder::new(snapshot.settings.negative_ttl),
        };
        finder.find(&snapshot.origins, collection, name, stat).await.map_err(|error| undecided(&error))
    }

    /// Binds a name in place of `known`. Does nothing if another lookup has bound it in between, unless an operator accepts it.
    async fn bind(&self, binding: Binding, known: Option<&Binding>, by: Asker) -> Result<(), ReadError> {
        let collections = &self.shared.collections;
        if known.is_some_and(|known| Binding { verified: binding.verified, ..known.clone() } == binding) {
            collections.clear_change(&binding.name);
            return Ok(());
        }
        let earlier = known.cloned();
        let expected = move |recorded: Option<&Binding>| {
            // That its bytes were seen may have been recorded in between.
            let plain = |binding: &Binding| Binding { verified: true, ..binding.clone() };
            by == Asker::Acceptor || earlier.as_ref().map(plain) == recorded.map(plain)
        };
        if !collections.bind(binding.clone(), expected).await.map_err(|error| unrecorded(&error))? {
            return Ok(());
        }
        self.follow_binding(&binding.name);
        let Binding { name, sha256, from, .. } = binding;
        match known {
            Some(known) if known.sha256 != sha256 => {
                metrics::counter!("bootdepot_collection_changes_total", "outcome" => "taken").increment(1);
                info!(asset = %name, known = %known.sha256, %sha256, %from, "changed object is served");
            }
            Some(_) => {}
            None => info!(asset = %name, %sha256, %from, "digest of asset recorded"),
        }
        Ok(())
    }

    fn hold_change(&self, name: &AssetName, change: Change) {
        let Change { known, found, .. } = change;
        // An operator may have accepted it in between.
        let is_bound = self.shared.collections.bindings().get(name).is_some_and(|now| now.sha256 == known);
        if is_bound && self.shared.collections.note_change(name, change) {
            let found = found.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string());
            metrics::counter!("bootdepot_collection_changes_total", "outcome" => "held").increment(1);
            warn!(asset = %name, %known, found, "changed object not served until it is accepted");
        }
    }
}

fn no_digest(source: &SourceUrl) -> String {
    format!(
        "{source}: it exists, but nothing says its digest; put it there with `bootdepot publish`, add a .sha256 file beside it, or \
         set on_missing_digest = \"trust-first-use\" in the collection"
    )
}
