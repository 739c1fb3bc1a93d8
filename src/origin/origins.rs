//! All configured origins behind one interface: selects the origin of a source URL, reads, and records its health.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_LENGTH;

use super::bucket_client::BucketClient;
use super::call::Call;
use super::directory::{self, DirectoryListing};
use super::error::OriginError;
use super::exchange;
use super::file;
use super::health::{Health, OriginStatus};
use super::kept_target::KeptTarget;
use super::remote::Remote;
use super::reply::Reply;
use super::request::Request;
use super::route::Route;
use super::s3;
use super::server_info::ServerInfo;
use super::settings::{OriginSettings, Timeouts};
use super::stat::{Stat, StatReport};
use super::validator::Validator;
use crate::asset::{ByteRange, DirectoryTarget, SourceDirectory, SourcePrefix, SourceTarget, SourceUrl};
use crate::span::{Kind, Span};
use crate::trust;

/// How long a success of an origin makes a refusal look like a change that has not reached all servers of the store.
const RECENT_SUCCESS: Duration = Duration::from_mins(5);

/// All configured origins. A source URL uses the origin with the longest `match` that covers it, else a client
/// without credentials. Cheap to clone.
#[derive(Clone)]
pub struct Origins {
    inner: Arc<Inner>,
    health: Arc<Health>,
}

struct Inner {
    /// The longest `match` first.
    remotes: Vec<(SourcePrefix, Arc<Remote>)>,
    /// For sources that no `match` names.
    unmatched: Arc<Remote>,
    timeouts: Timeouts,
}

impl Origins {
    /// Builds the origins of these settings. Fails with [`OriginError::Settings`] if one cannot work (an unreadable CA
    /// file, for example). Blocks: it reads certificates from disk.
    pub fn new(settings: Vec<OriginSettings>, timeouts: Timeouts) -> Result<Self, OriginError> {
        let roots = trust::system_roots();
        let mut matches = HashSet::new();
        let mut remotes = Vec::new();
        for settings in settings {
            let prefix = settings.prefix.clone();
            if !matches.insert(prefix.canonical()) {
                let reason = "two origins have the same match; remove one".to_owned();
                return Err(OriginError::Settings { origin: prefix.to_string(), reason });
            }
            remotes.push((prefix, Arc::new(Remote::new(settings, &roots, timeouts)?)));
        }
        remotes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.rank()));
        for (prefix, _) in &remotes {
            exchange::register_counters(prefix.as_str());
        }
        let unmatched = Arc::new(Remote::unmatched(&roots, timeouts)?);
        Ok(Self { inner: Arc::new(Inner { remotes, unmatched, timeouts }), health: Arc::default() })
    }

    /// Returns these origins with the health records of `previous`, so that counters survive a reload.
    #[must_use]
    pub fn with_health_of(self, previous: &Self) -> Self {
        Self { health: Arc::clone(&previous.health), ..self }
    }

    /// Reads `range` of `source`, or the whole object if `range` is `None`. With `expect`, reads only if the object still
    /// has this validator and fails with [`OriginError::Changed`] otherwise.
    ///
    /// A range that begins at or past the object's end gives an empty body and the object's length. Over HTTP an empty
    /// range requests one byte, which is dropped: RFC 9110 14.1.2 cannot express an empty range.
    pub async fn read(
        &self,
        source: &SourceUrl,
        range: Option<ByteRange>,
        expect: Option<&Validator>,
    ) -> Result<Reply, OriginError> {
        self.read_at(source, range, expect, None).await
    }

    /// Reads like [`Origins::read`], and keeps where redirects lead in `target`.
    pub(super) async fn read_at(
        &self,
        source: &SourceUrl,
        range: Option<ByteRange>,
        expect: Option<&Validator>,
        target: Option<&KeptTarget>,
    ) -> Result<Reply, OriginError> {
        let request = Request { range, if_match: expect, target, ..Request::get(source) };
        require_reply(source, self.recorded(request).await?)
    }

    /// Reads all of `source`, or returns `None` if it still has the validator `known`. An unchanged source costs one
    /// request without a body.
    pub async fn read_if_changed(
        &self,
        source: &SourceUrl,
        known: Option<&Validator>,
    ) -> Result<Option<Reply>, OriginError> {
        self.recorded(Request { if_none_match: known, digest_decides: false, ..Request::get(source) }).await
    }

    /// Requests metadata of the object without reading it: a HEAD, then a GET of one byte if HEAD is refused. A GET
    /// error has a body with the reason, and presigned URLs are often signed for GET only.
    pub async fn stat(&self, source: &SourceUrl) -> StatReport {
        let server = ServerInfo::default();
        let head = Request { method: Method::HEAD, server: Some(&server), ..Request::get(source) };
        let mut reply = self.send(head).await;
        let has_size = |reply: &Option<Reply>| reply.as_ref().is_some_and(|reply| reply.total.is_some());
        if source.as_file().is_none() && reply.as_ref().map_or_else(OriginError::is_answer, |reply| !has_size(reply)) {
            let range = Some(ByteRange::new(0, 1));
            reply = self.send(Request { range, server: Some(&server), ..Request::get(source) }).await;
        }
        let stat = reply.and_then(|reply| require_reply(source, reply)).and_then(|reply| {
            let size = reply.total.ok_or_else(|| OriginError::BadReply {
                source_url: source.to_string(),
                reason: "it does not say how long the object is".to_owned(),
                source: None,
            })?;
            let Reply { validator, last_modified, checksums, composite, .. } = reply;
            Ok(Stat { size, validator, last_modified, checksums, composite })
        });
        let storage = server.storage().cloned();
        let (clock_offset, certificate_expiry) = server.into_parts();
        StatReport { stat, storage, clock_offset, certificate_expiry }
    }

    /// The size in bytes of the first part of an object of an S3 store that was uploaded in parts, as it is now. `None` if the
    /// store does not say it. One that ignores the question says the size of the whole.
    pub async fn first_part_size(&self, source: &SourceUrl) -> Result<Option<u64>, OriginError> {
        let SourceTarget::S3 { key, version, .. } = source.target() else { return Ok(None) };
        let Some(bucket) = self.bucket_of(source) else { return Ok(None) };
        let mut call = Call::new(Method::HEAD, key.clone()).query("partNumber", "1");
        if let Some(version) = version {
            call = call.query("versionId", version.clone());
        }
        let reply = bucket.call(&call).await.map_err(|failed| failed.error)?;
        let length = reply.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        Ok(length.and_then(|length| length.parse().ok()))
    }

    /// Lists a directory below `source`: `path` is empty or ends with a slash, and has no `.` or `..` segments. A prefix of a bucket
    /// without objects has an empty listing. `None` if `source` is a web server, which cannot be listed.
    pub async fn list(&self, source: &SourceDirectory, path: &str) -> Result<Option<DirectoryListing>, OriginError> {
        let url = format!("{source}{path}");
        match source.directory(path) {
            DirectoryTarget::Web => Ok(None),
            DirectoryTarget::Bucket { bucket, prefix } => {
                let client = BucketClient::new(Arc::clone(self.remote(source.example())), bucket);
                Box::pin(directory::of_bucket(&client, &prefix, &url)).await.map(Some)
            }
            DirectoryTarget::Machine { root, path } => {
                let stall = self.inner.timeouts.stall;
                directory::of_machine((&root, &path), &url, stall).await.map(Some)
            }
        }
    }

    /// Returns a client for the bucket of `source`, by the origin that covers `source`. `None` if `source` is not in S3.
    pub fn bucket_of(&self, source: &SourceUrl) -> Option<BucketClient> {
        match source.target() {
            SourceTarget::S3 { bucket, .. } => Some(BucketClient::new(Arc::clone(self.remote(source)), bucket.clone())),
            _ => None,
        }
    }

    /// How long an origin may send nothing, or too little to count as progress.
    pub fn stall_timeout(&self) -> Duration {
        self.inner.timeouts.stall
    }

    /// Returns where requests for `source` go. Fails with [`OriginError::Settings`] if the settings do not allow a
    /// request for it.
    pub fn route(&self, source: &SourceUrl) -> Result<Route, OriginError> {
        self.remote(source).route(source)
    }

    /// Describes the identity that a request for `source` would use, for example `access key AKIA…`. Loads the
    /// credentials; fails with [`OriginError::Credentials`] if there are none.
    pub async fn identity(&self, source: &SourceUrl) -> Result<String, OriginError> {
        self.remote(source).identity(source).await
    }

    /// Returns the health of every origin that has received a request, sorted by label.
    pub fn health(&self) -> Vec<OriginStatus> {
        self.health.list()
    }

    /// Sends the request inside a span and records the result in the origin's health.
    async fn recorded(&self, request: Request<'_>) -> Result<Option<Reply>, OriginError> {
        let span = Span::begin("origin.read", Kind::Client);
        span.text("url.full", request.source);
        if let Some(range) = &request.range {
            span.text("bootdepot.range", range);
        }
        let record = self.health.record_for(&self.remote(request.source).label(request.source));
        let is_s3 = matches!(request.source.target(), SourceTarget::S3 { .. });
        let read = self.send(request).await.map_err(|error| {
            let is_recent = is_s3 && record.succeeded_within(RECENT_SUCCESS);
            if is_recent { error.after_success() } else { error }
        });
        record.note_result(&read);
        match read {
            Ok(reply) => Ok(reply.map(|reply| Reply { body: reply.body.with_record(record).with_span(span), ..reply })),
            Err(error) => {
                span.fail(error.kind(), &error);
                Err(error)
            }
        }
    }

    async fn send(&self, request: Request<'_>) -> Result<Option<Reply>, OriginError> {
        let source = request.source;
        let remote = self.remote(source);
        match source.target() {
            SourceTarget::File(path) => {
                let reply = file::read(&request, path, &remote.label(source), self.inner.timeouts.stall).await?;
                let unchanged = request.if_none_match.is_some() && reply.validator.as_ref() == request.if_none_match;
                Ok(Some(reply).filter(|_| !unchanged))
            }
            SourceTarget::Http(url) => remote.read_http(request, url).await,
            SourceTarget::S3 { bucket, key, version } => {
                let object = s3::Object { bucket, key, version: version.as_deref() };
                remote.read_s3(request, object).await
            }
        }
    }

    pub(super) fn remote(&self, source: &SourceUrl) -> &Arc<Remote> {
        let covering = self.inner.remotes.iter().find(|(prefix, _)| prefix.covers(source));
        covering.map_or(&self.inner.unmatched, |(_, remote)| remote)
    }
}

/// Rejects "not modified" as the reply to an unconditional request.
fn require_reply(source: &SourceUrl, reply: Option<Reply>) -> Result<Reply, OriginError> {
    reply.ok_or_else(|| OriginError::BadReply {
        source_url: source.to_string(),
        reason: "it answered \"not modified\" to an unconditional request".to_owned(),
        source: None,
    })
}
