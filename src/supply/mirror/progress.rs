//! Progress reports of a running mirror.

use std::sync::atomic::{AtomicU64, Ordering};

/// Receives the progress of transfers.
pub trait Observer: Send + Sync {
    /// A file begins. `size` is `None` if the upstream does not say it.
    fn begin(&self, name: &str, size: Option<u64>);
    /// So many of its bytes have come.
    fn received(&self, bytes: u64);
    /// The file of an asset is visible, with its length.
    fn stored(&self, name: &str, size: u64);
    /// Something that an operator should know.
    fn note(&self, text: &str);
}

/// The progress of one file.
pub(super) struct Progress<'o> {
    observer: &'o dyn Observer,
    received: AtomicU64,
}

impl<'o> Progress<'o> {
    pub(super) fn begin(observer: &'o dyn Observer, name: &str, size: Option<u64>) -> Self {
        observer.begin(name, size);
        Self { observer, received: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.observer.received(self.received.fetch_add(bytes, Ordering::Relaxed) + bytes);
    }
}
