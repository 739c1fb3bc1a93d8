//! Keeps the directory of the store usable: probes it, evicts to keep `min_free`, and finds out what a failed operation means.

use metrics::gauge;
use tracing::info;

use super::CacheError;
use super::store::Store;

impl Store {
    /// Checks whether blobs can be added, creates a deleted directory again, and stores the result. Blocks.
    pub(super) fn probe(&self) -> Result<(), CacheError> {
        self.record_check(self.check())
    }

    pub(super) fn record_check(&self, checked: Result<Option<CacheError>, CacheError>) -> Result<(), CacheError> {
        let root = self.dir.root();
        match &checked {
            Ok(shortage) => {
                self.health.mark_writable(root);
                self.health.set_shortage(root, shortage.as_ref());
            }
            Err(error) => self.health.mark_failed(root, error),
        }
        self.health.end_probe();
        gauge!("bootdepot_cache_writable").set(if let Ok(None) = checked { 1.0 } else { 0.0 });
        checked.map(drop)
    }

    /// Fails if nothing can be added. Returns the error of a disk that has too little space.
    pub(super) fn check(&self) -> Result<Option<CacheError>, CacheError> {
        let _names = self.names();
        let ensured = self.dir.ensure();
        let relocked = self.health.relock(&self.dir);
        if let Ok(true) = relocked {
            // The directory may be on another file system now.
            self.sealer.forget_support();
            self.rescan();
        }
        ensured?;
        relocked?;
        if self.sealer.is_unsettled() {
            self.sealer.probe(self.dir.root())?;
        }
        // After a failure only a file that reached the disk proves that it works again.
        let full = match self.write_probe(self.health.problem().is_some()) {
            Err(error) if error.is_full() => Some(error.for_size(1)),
            probed => probed.map(|()| None)?,
        };
        Ok(self.keep_min_free().or(full))
    }

    /// Evicts if other files have left less than `min_free` on the disk, and evicting makes up for it. Returns an error if it
    /// does not. The caller holds the names.
    fn keep_min_free(&self) -> Option<CacheError> {
        let free = self.dir.free();
        let (missing, min_free, victims) = {
            let mut index = self.index();
            let missing = index.missing(free);
            (missing, index.min_free(), index.evict(missing))
        };
        let evicted = victims.as_ref().map_or(0, Vec::len);
        if evicted > 0 {
            info!(free, min_free, missing, files = evicted, "evicting: other files have left less than min_free");
        }
        // On failure the index has them again, and the error is logged.
        let removed = victims.is_some_and(|victims| self.remove(victims).is_ok());
        if evicted > 0 {
            self.report();
        }
        #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers; 2^53 bytes are 8 PiB")]
        {
            gauge!("bootdepot_cache_free_bytes").set(free as f64);
            gauge!("bootdepot_cache_missing_free_bytes").set(if removed { 0.0 } else { missing as f64 });
        }
        let shortage = self.index().disk_shortage(if evicted > 0 { self.dir.free() } else { free })?;
        Some(CacheError::NoSpace { wanted: 1, reason: shortage.to_string() })
    }

    /// Whether a fill can be stored, found out by writing a file. A full disk is no failure while blobs may be evicted: the
    /// next partial evicts what is necessary.
    fn write_probe(&self, durable: bool) -> Result<(), CacheError> {
        let _probing = self.probing.lock();
        match self.dir.probe(durable) {
            Err(error) if error.is_full() && self.index().evictable() > 0 => Ok(()),
            probed => probed,
        }
    }

    /// Runs `work`. If it fails because the disk is full, evicts at least `wanted` bytes and runs it once more. The caller does
    /// not hold the names.
    pub(super) fn with_space<R>(
        &self,
        wanted: u64,
        mut work: impl FnMut() -> Result<R, CacheError>,
    ) -> Result<R, CacheError> {
        match work() {
            Err(error) if error.is_full() => {
                let names = self.names();
                let victims = self.index().evict(wanted.max(1)).ok_or(error)?;
                self.remove(victims)?;
                drop(names);
                work()
            }
            other => other,
        }
    }

    /// Finds out what a failed operation means for the cache, and returns its error. If a probe fails too, nothing can be
    /// added, and the cache is marked as failed. Otherwise only that path is bad.
    pub(super) fn mark_failed(&self, error: CacheError) -> CacheError {
        match &error {
            CacheError::Locked { .. } => self.health.mark_failed(self.dir.root(), &error),
            CacheError::Io { .. } => match self.write_probe(true) {
                Ok(()) => self.health.log_bad_path(&error),
                Err(full) if full.is_full() => self.health.set_shortage(self.dir.root(), Some(&full.for_size(1))),
                Err(failed) => self.health.mark_failed(self.dir.root(), &failed),
            },
            _ => {}
        }
        error
    }
}
