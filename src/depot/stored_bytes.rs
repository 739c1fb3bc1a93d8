//! The bytes of an object that are stored while it is read to learn its digest.

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::asset::Digest;
use crate::cache::{CacheError, UnnamedPartial};

/// The bytes of an object that are stored while it is read to learn its digest. They are discarded, unless they are named, on a
/// blocking thread: their file may be large.
#[derive(Debug)]
pub(super) struct StoredBytes(Option<UnnamedPartial>);

impl StoredBytes {
    /// The bytes that are written to `partial`.
    pub(super) fn new(partial: UnnamedPartial) -> Self {
        Self(Some(partial))
    }

    /// Writes the next bytes, which begin at `offset`. Blocks.
    pub(super) fn write_at(&mut self, offset: u64, pieces: &[Bytes]) -> Result<(), CacheError> {
        self.0.as_mut().map_or(Ok(()), |partial| partial.write_at(offset, pieces))
    }

    /// Leaves them to the next fill of `digest`, see [`UnnamedPartial::name`]. Blocks.
    pub(super) fn name(mut self, digest: &Digest, part_size: u64) -> Result<bool, CacheError> {
        self.0.take().map_or(Ok(false), |partial| partial.name(digest, part_size))
    }
}

impl Drop for StoredBytes {
    fn drop(&mut self) {
        let Some(partial) = self.0.take() else { return };
        // Without a runtime, it is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(partial));
        }
    }
}
