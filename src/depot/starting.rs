//! Starting and joining fills: one fill per digest at a time.

use std::sync::Arc;

use super::cache_state::CacheState;
use super::error::ReadError;
use super::facade::Depot;
use super::fill::Fill;
use super::fill_state::FillState;
use super::fill_task::FillTask;
use super::interest::InterestKind;
use crate::catalog::Asset;
use crate::task::blocking;

/// The registration of a fill in the map of active fills. Ends when the fill's task ends, in any way.
struct Registration {
    depot: Depot,
    fill: Arc<Fill>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let digest = self.fill.asset().digest;
        if let FillState::NotStored(_) = self.fill.state() {
            self.depot.shared.no_space.insert(digest, ());
        }
        let mut fills = self.depot.active_fills();
        // A new fill may have replaced one that was cancelled.
        if fills.get(&digest).is_some_and(|registered| Arc::ptr_eq(registered, &self.fill)) {
            fills.remove(&digest);
        }
    }
}

impl Depot {
    /// Joins the active fill of this asset, or starts one. Returns `None` if the blob is already cached.
    pub(super) fn join_fill(
        &self,
        asset: &Arc<Asset>,
        interest: InterestKind,
    ) -> Result<Option<(Arc<Fill>, CacheState)>, ReadError> {
        let shared = &self.shared;
        let mut fills = self.active_fills();
        // A fill that is cancelled or has failed is about to leave the map; the new one waits for its end.
        let (active, previous) = match fills.get(&asset.digest).cloned() {
            Some(fill) if fill.stop().is_cancelled() || fill.has_failed() => (None, Some(fill)),
            active => (active, None),
        };
        if let Some(fill) = active {
            fill.interest().add(interest);
            return Ok(Some((fill, CacheState::Join)));
        }
        // A complete fill leaves the map only after its blob is in the cache.
        if self.is_cached(&asset.digest) {
            return Ok(None);
        }
        if shared.stop.is_cancelled() {
            return Err(ReadError::Closing);
        }
        let fill = Arc::new(Fill::new(Arc::clone(asset), shared.stop.child_token()));
        fill.interest().add(interest);
        fills.insert(asset.digest, Arc::clone(&fill));
        drop(fills);
        self.spawn_fill(Arc::clone(&fill), previous);
        Ok(Some((fill, CacheState::Miss)))
    }

    fn spawn_fill(&self, fill: Arc<Fill>, previous: Option<Arc<Fill>>) {
        let (shared, snapshot) = (&self.shared, self.snapshot());
        let task = FillTask {
            sources: snapshot.sources(fill.asset()),
            fill: Arc::clone(&fill),
            origins: snapshot.origins.clone(),
            negative: snapshot.negative(&fill.asset().digest),
            cache: shared.cache.clone(),
            settings: snapshot.settings.clone(),
            permits: Arc::clone(&snapshot.fill_permits),
            hash_permits: Arc::clone(&shared.hash_permits),
            stop: shared.stop.clone(),
            history: Arc::clone(&shared.history),
            collections: Arc::clone(&shared.collections),
            previous,
        };
        let registration = Registration { depot: self.clone(), fill };
        shared.tasks.spawn(async move {
            let block_list = registration.depot.clone().block_list(Arc::clone(registration.fill.asset()));
            Box::pin(task.run(block_list)).await;
            let (depot, asset) = (registration.depot.clone(), Arc::clone(registration.fill.asset()));
            drop(registration);
            // No reader waits for the records.
            blocking(move || {
                depot.shared.cache.save_records();
                depot.shared.collections.record_seen(&asset.name);
            })
            .await;
        });
    }
}
