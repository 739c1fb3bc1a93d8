//! One bucket: its objects, and any other request to it. Requests that may succeed later are retried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest as _, Md5};
use tracing::debug;

use super::capabilities::Capabilities;
use super::condition::Condition;
use super::error::StoreError;
use super::object::{ALGORITHM, CHECKSUM, ObjectHead, ObjectHeaders, Stored};
use crate::asset::{Digest, SourceUrl};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::origin::{BucketClient, Call, CallReply, OriginError, Origins};

/// The delays between the attempts of a request: about half a minute in all. A store that restarts or throttles gets over it
/// in this time, and an operator waits for it without concern.
const RETRY: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(250), max: Duration::from_secs(20), jitter: 0.5 };

/// How often a request is retried.
const RETRIES: u32 = 7;

/// The field that requests the stored checksums of an object.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// One bucket of a store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    client: BucketClient,
    capabilities: Capabilities,
    /// Whether the server has refused a request for its checksum fields. Then no more are sent.
    refuses_checksums: Arc<AtomicBool>,
    retries: u32,
}

impl Store {
    /// The bucket of `source`, with the settings of the origin that covers it. No optional header field is sent until
    /// [`Store::with_capabilities`]. `None` if `source` is not in S3.
    pub fn of(origins: &Origins, source: &SourceUrl) -> Option<Self> {
        let client = origins.bucket_of(source)?;
        Some(Self { client, capabilities: Capabilities::UNKNOWN, refuses_checksums: Arc::default(), retries: RETRIES })
    }

    /// The same with the header fields that its server takes.
    #[must_use]
    pub fn with_capabilities(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    /// The same without retries, for commands that ask an operator questions.
    #[must_use]
    pub fn without_retries(self) -> Self {
        Self { retries: 0, ..self }
    }

    /// The header fields that its server takes, as far as is known.
    pub fn capabilities(&self) -> Capabilities {
        let checksums = self.capabilities.checksums && !self.refuses_checksums.load(Ordering::Relaxed);
        Capabilities { checksums, ..self.capabilities }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        self.client.bucket()
    }

    /// The endpoint of its server, as shown.
    pub fn endpoint(&self) -> &str {
        self.client.endpoint()
    }

    /// The region for which requests are signed.
    pub fn region(&self) -> &str {
        self.client.region()
    }

    /// Returns a URL with which anyone may send a request of this method for an object until it expires: the URL is a secret.
    /// `version`: of this version of it. Sends nothing.
    pub async fn presign(
        &self,
        method: &Method,
        key: &str,
        version: Option<&str>,
        expires: Duration,
    ) -> Result<String, OriginError> {
        self.client.presign(method, key, version, expires).await
    }

    /// Whether an `[[origin]]` of the settings covers it. If not, requests are not signed.
    pub fn is_configured(&self) -> bool {
        self.client.is_configured()
    }

    /// The URL of an object, or of the bucket if `key` is empty.
    pub fn url(&self, key: &str) -> String {
        let bucket = self.bucket();
        SourceUrl::s3(bucket, key).map_or_else(|_| format!("s3://{bucket}"), |source| source.to_string())
    }

    /// Stores an object in one request.
    pub async fn put(
        &self,
        key: &str,
        body: Bytes,
        headers: &ObjectHeaders,
        condition: &Condition,
    ) -> Result<Stored, StoreError> {
        let digest = Digest::of(&body);
        let mut call = Call { body, body_digest: Some(digest), ..Call::new(Method::PUT, key) };
        self.describe(key, headers, &mut call.headers)?;
        self.add_condition(condition, &mut call.headers);
        self.add_checksum(&digest, &mut call.headers);
        Ok(Stored::parse(&self.send(call).await?.headers))
    }

    /// Returns the metadata of an object. `None` if it does not exist.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectHead>, StoreError> {
        let mut call = Call::new(Method::HEAD, key);
        call.headers.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        match self.send(call).await {
            Ok(reply) => ObjectHead::parse(&self.url(key), &reply.headers).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads an object of at most [`Call::MAX_REPLY`] bytes with its description. `None` if it does not exist. Larger ones are
    /// read through [`Origins::read`].
    pub async fn get(&self, key: &str) -> Result<Option<(Bytes, ObjectHead)>, StoreError> {
        match self.send(Call::new(Method::GET, key)).await {
            Ok(mut reply) => {
                reply.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
                let head = ObjectHead::parse(&self.url(key), &reply.headers)?;
                Ok(Some((reply.body, head)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object. One that does not exist is no error.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.send(Call::new(Method::DELETE, key)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends any other request: to the bucket if `key` is empty, else to an object. `query` names the subresource, such as
    /// `[("lifecycle", "")]`. A body goes with `Content-MD5`, which servers require for a bucket's settings.
    pub async fn call(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<CallReply, StoreError> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut call = Call { query, headers, body: body.into(), ..Call::new(method, key) };
        if !call.body.is_empty() {
            let md5 = base64::engine::general_purpose::STANDARD.encode(Md5::digest(&call.body));
            // Base64 is a valid value.
            if let Ok(value) = HeaderValue::try_from(md5) {
                call.headers.entry("content-md5").or_insert(value);
            }
        }
        self.send(call).await
    }

    /// Sends a request, and again after a failure that may pass.
    /// A request that is refused for its checksum fields is sent again without them.
    pub(super) async fn send(&self, mut call: Call) -> Result<CallReply, StoreError> {
        let mut backoff = Backoff::new(RETRY);
        loop {
            let failed = match self.client.call(&call).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let asked = failed.error.retry_after().unwrap_or_default();
            let limit = failed.error.retry_limit().unwrap_or(RETRIES).min(self.retries);
            let error = StoreError::new(&self.url(&call.key), failed);
            let has_checksum = [CHECKSUM, ALGORITHM].iter().any(|field| call.headers.contains_key(field));
            if has_checksum && error.refuses_form() {
                call.headers.remove(CHECKSUM);
                call.headers.remove(ALGORITHM);
                debug!(url = self.url(&call.key), %error, "checksum fields refused");
                self.refuses_checksums.store(true, Ordering::Relaxed);
                continue;
            }
            if !error.is_transient() || backoff.failures() >= limit {
                return Err(error);
            }
            let delay = backoff.next_delay_at_least(asked);
            debug!(url = self.url(&call.key), method = %call.method, %error, ?delay, "store request retried");
            tokio::time::sleep(delay).await;
        }
    }

    /// Adds the description of the object `key`.
    pub(super) fn describe(
        &self,
        key: &str,
        headers: &ObjectHeaders,
        fields: &mut HeaderMap,
    ) -> Result<(), StoreError> {
        let bad = |reason| StoreError::BadRequest { url: self.url(key), reason };
        headers.add_to(fields).map_err(bad)
    }

    /// Adds a condition, if the server takes it.
    pub(super) fn add_condition(&self, condition: &Condition, fields: &mut HeaderMap) {
        if let Some((name, value)) = condition.field(self.capabilities) {
            fields.insert(name, value);
        }
    }

    /// Adds the checksum of a body, if the server keeps checksums.
    pub(super) fn add_checksum(&self, digest: &Digest, fields: &mut HeaderMap) {
        // Base64 is a valid value.
        if self.capabilities().checksums
            && let Ok(value) = HeaderValue::try_from(digest.to_base64())
        {
            fields.insert(CHECKSUM, value);
        }
    }
}
