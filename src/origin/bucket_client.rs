//! The S3 client of one bucket: sends signed requests of any method with the settings of an origin.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::call::{Call, CallError, CallReply};
use super::error::OriginError;
use super::remote::Remote;
use super::s3::Object;

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

    /// The region for which requests are signed.
    pub fn region(&self) -> &str {
        self.remote.region()
    }

    /// Returns a URL with which anyone may send a request of this method for an object until it expires. `version`: of this version
    /// of it. Sends nothing.
    pub async fn presign(
        &self,
        method: &Method,
        key: &str,
        version: Option<&str>,
        expires: Duration,
    ) -> Result<String, OriginError> {
        self.remote.presign_s3(method, Object { bucket: &self.bucket, key, version }, expires).await
    }

    /// Sends a request and reads the whole reply. Fails with the store's error code and its meaning.
    pub async fn call(&self, call: &Call) -> Result<CallReply, CallError> {
        self.remote.call_s3(&self.bucket, call).await
    }
}
