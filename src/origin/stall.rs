//! The stall timeout: how long an origin may send nothing.

use std::future::Future;
use std::time::Duration;

use super::error::OriginError;

/// Waits for `future`. Fails with [`OriginError::Stalled`] after `timeout`.
pub(super) async fn with_timeout<T>(
    timeout: Duration,
    source_url: &str,
    future: impl Future<Output = T>,
) -> Result<T, OriginError> {
    tokio::time::timeout(timeout, future)
        .await
        .map_err(|_| OriginError::Stalled { source_url: source_url.to_owned(), after: timeout })
}
