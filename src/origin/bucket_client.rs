//! The S3 client of one bucket: sends signed requests of any method with the settings of an origin.

use std::sync::Arc;

use super::call::{Call, CallError, CallReply};
use super::remote::Remote;

/// Sends requests to one bucket with endpoint, credentials, TLS and proxy of the origin that covers it. It does not retry,
/// except once with renewed credentials if access is denied. Cheap to clone.
#[derive(Clone)]
pub struct BucketClient {
    remote: Arc<Remote>,
    bucket: Arc<str>,
}

impl BucketClient {
    pub(super) fn new(remote: Arc<Remote>, bucket: String) -> Self {
        Self { remote, bucket: bucket.into() }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The endpoint, as shown.
    pub fn endpoint(&self) -> &str {
        self.remote.endpoint()
    }

    /// Whether an `[[origin]]` of the settings covers it. If not, requests go to AWS unsigned.
    pub fn is_configured(&self) -> bool {
        self.remote.is_configured()
    }

    /// Sends a request and reads the whole reply. Fails with the store's error code and its meaning.
    pub async fn call(&self, call: &Call) -> Result<CallReply, CallError> {
        self.remote.call_s3(&self.bucket, call).await
    }
}
