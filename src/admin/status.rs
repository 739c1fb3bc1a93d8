//! Collects the status of the server: version, listeners, cache, transfers, fills and origins.

use super::state::AdminState;
use crate::api::{Active, Amount, CacheView, OriginView, SealView, Status, Totals};
use crate::cache::{Cache, CacheStats, SealSupport};
use crate::clock;

/// Returns the current status. Blocks for one system call, which does not return while the disk hangs.
pub(super) fn current_status(state: &AdminState) -> Status {
    let (boot, depot) = (&state.boot, state.boot.depot());
    let cache = depot.cache();
    let (cache_stats, writable) = (cache.stats(), cache.writable());
    let amount = |bytes, entries: usize| Amount { bytes, entries: entries as u64 };
    let (totals, troubles) = (depot.transfer_totals(), boot.problems());
    let origins: Vec<OriginView> = depot.origins().into_iter().map(Into::into).collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("BOOTDEPOT_REVISION").unwrap_or("unknown").to_owned(),
        started: state.started,
        now: clock::now(),
        ready: troubles.is_empty(),
        troubles: troubles.into_iter().chain(boot.warnings()).chain(depot.pin_problem()).collect(),
        listeners: state.listeners.clone(),
        cache: CacheView {
            dir: cache.dir().display().to_string(),
            limit: cache_stats.limit,
            free: Some(cache.free()).filter(|free| *free != u64::MAX),
            min_free: cache.min_free(),
            cached: amount(cache_stats.blob_bytes, cache_stats.blob_entries),
            unverified: amount(cache_stats.unverified_bytes, cache_stats.unverified_entries),
            renumbers_files: cache.is_renumbered(),
            partial: amount(cache_stats.partial_bytes, cache_stats.partial_entries),
            quarantined: amount(cache_stats.quarantined_bytes, cache_stats.quarantined_entries),
            seal: seal_view(cache, &cache_stats),
            writable: writable.is_ok(),
            trouble: writable.err().or(cache.shortage()),
        },
        catalog: (state.reloading.standing)(),
        transfers: Active { active: totals.active },
        fills: Active { active: depot.fills().len() as u64 },
        totals: Totals {
            sent: totals.sent.into(),
            received: origins.iter().map(|origin| origin.received).sum(),
            transfers: totals.transfers.into(),
        },
        origins,
    }
}

fn seal_view(cache: &Cache, stats: &CacheStats) -> SealView {
    let (supported, reason) = match cache.seal_support() {
        SealSupport::Supported => (Some(true), None),
        SealSupport::Unsupported(reason) => (Some(false), Some(reason)),
        SealSupport::Unknown(reason) => (None, Some(reason)),
    };
    let sealed = stats.sealed_entries as u64;
    let unsealed = (stats.blob_entries as u64).saturating_sub(sealed);
    SealView { policy: cache.seal_policy().as_str().to_owned(), supported, reason, sealed, unsealed }
}
