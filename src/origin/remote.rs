//! The remote sources of one origin: HTTP client, endpoint, credentials and redirects.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqsign_core::Context;
use reqsign_file_read_tokio::TokioFileRead;
use reqsign_http_send_reqwest::ReqwestHttpSend;
use reqwest::{Client, Response};
use tokio_rustls::rustls::RootCertStore;
use tracing::warn;
use url::Url;

use super::call::{Call, CallError, CallReply};
use super::client;
use super::credentials::{CredentialCache, ProcessEnv};
use super::error::OriginError;
use super::error_status::Bucket;
use super::exchange::{Exchange, Sender};
use super::header_fields::HeaderFields;
use super::identity::Identity;
use super::kept_target::Target;
use super::outbound::{Outbound, host};
use super::proxy::{self, ProxyChoice};
use super::redirect;
use super::reply::Reply;
use super::request::Request;
use super::resolver::StaggeredResolver;
use super::route::{Route, Server};
use super::s3::{Endpoint, Object};
use super::settings::{Addressing, CredentialSource, OriginSettings, Timeouts};
use crate::asset::{Digest, SourcePrefix, SourceTarget, SourceUrl};
use crate::trust::CertificateRequests;
use crate::{environment, trust};

/// Redirects to follow at most: enough for a mirror director and a host that moved.
const MAX_REDIRECTS: usize = 5;

/// The identity of a request after a redirect out of the `match`.
const DROPPED: &str = "anonymous (it redirects out of the origin's match, where the header fields are not sent)";

/// The field that requests the stored checksums of an object from an S3 store.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// The client for the remote sources of one origin: connections, endpoint and credentials.
pub(super) struct Remote {
    /// The `match`. `None` for sources that no configured origin matches.
    prefix: Option<SourcePrefix>,
    client: Client,
    resolver: StaggeredResolver,
    connect: Duration,
    stall: Duration,
    proxy: ProxyChoice,
    /// Host and port of the configured proxy, as shown.
    shown_proxy: Option<String>,
    certificate_requests: Arc<CertificateRequests>,
    /// Whether any server has replied in HTTP.
    has_replied: AtomicBool,
    headers: HeaderFields,
    endpoint: Endpoint,
    /// `None`: requests are not signed.
    credentials: Option<CredentialCache>,
}

impl Remote {
    /// The client for source URLs that no configured origin matches. It has no credentials: the author
    /// of a shared catalog may name sources, but must not decide where the credentials of this machine go.
    pub(super) fn unmatched(roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, OriginError> {
        let settings = OriginSettings {
            prefix: SourcePrefix::any_bucket(),
            endpoint: None,
            region: String::new(),
            addressing: Addressing::Path,
            credentials: CredentialSource::Anonymous,
            ca_file: None,
            insecure_skip_verify: false,
            proxy: None,
            headers: Vec::new(),
        };
        Ok(Self { prefix: None, ..Self::new(settings, roots, timeouts)? })
    }

    /// Builds the client. Fails with [`OriginError::Settings`] if the settings cannot work.
    pub(super) fn new(
        settings: OriginSettings,
        roots: &RootCertStore,
        timeouts: Timeouts,
    ) -> Result<Self, OriginError> {
        let origin = settings.prefix.to_string();
        Self::build(settings, roots, timeouts).map_err(|reason| OriginError::Settings { origin, reason })
    }

    fn build(settings: OriginSettings, roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, String> {
        if settings.prefix.covers_any_server() && !settings.headers.is_empty() {
            return Err("its header fields go to one host only; add the host to its match".to_owned());
        }
        let trusted = trust::with_ca_file(roots, settings.ca_file.as_deref())
            .map_err(|reason| format!("its ca_file {reason}"))?;
        let insecure = settings.insecure_skip_verify;
        if insecure {
            warn!(origin = %settings.prefix, "origin certificate not verified: insecure_skip_verify is set");
        }
        let certificate_requests = Arc::default();
        let tls = trust::client_config_noting(trusted, insecure, &certificate_requests)
            .map_err(|error| format!("TLS cannot be set up: {}", trust::describe(&error).1))?;
        let is_signed = settings.prefix.is_s3() && !matches!(settings.credentials, CredentialSource::Anonymous);
        let connect = timeouts.connect.min(timeouts.stall);
        let environment = proxy::environment_proxies(environment::variable)?;
        let context = Context::new()
            .with_file_read(TokioFileRead)
            .with_http_send(ReqwestHttpSend::new(client::for_credentials(tls.clone(), &environment.proxies)?))
            .with_env(ProcessEnv);
        let (choice, proxies) = match &settings.proxy {
            Some(url) => (ProxyChoice::Configured(url.clone()), vec![proxy::configured_proxy(url)?]),
            None if environment.proxies.is_empty() => (ProxyChoice::Direct, Vec::new()),
            None => (ProxyChoice::Environment { socks: environment.socks }, environment.proxies),
        };
        let resolver = StaggeredResolver::system();
        if let ProxyChoice::Configured(proxy) = &choice
            && let Some((host, port)) = choice.dialed(proxy)
        {
            resolver.note_port(&host, port);
        }
        Ok(Self {
            client: client::for_objects(tls, &proxies, connect, &resolver)?,
            resolver,
            connect,
            stall: timeouts.stall,
            proxy: choice,
            shown_proxy: settings.proxy.as_ref().map(host),
            certificate_requests,
            has_replied: AtomicBool::new(false),
            headers: HeaderFields::new(settings.headers, is_signed)?,
            endpoint: Endpoint::new(settings.endpoint, settings.addressing, &settings.region)?,
            credentials: CredentialCache::new(settings.credentials, context),
            prefix: Some(settings.prefix),
        })
    }

    /// Returns the `match`. `None` for sources that no configured origin matches.
    #[cfg(test)]
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_ref().map(SourcePrefix::as_str)
    }

    /// Makes the cached credentials appear to have been read earlier.
    #[cfg(test)]
    pub(super) async fn age_credentials(&self) {
        if let Some(credentials) = &self.credentials {
            credentials.age().await;
        }
    }

    /// Returns the origin's name in metrics and messages: its `match`, else the source's scheme and host.
    pub(super) fn label(&self, source: &SourceUrl) -> String {
        if let Some(prefix) = &self.prefix {
            return prefix.to_string();
        }
        match source.target() {
            SourceTarget::S3 { bucket, .. } => format!("s3://{bucket}"),
            SourceTarget::Http(url) => url.origin().ascii_serialization(),
            SourceTarget::File(_) => "file://".to_owned(),
        }
    }

    /// Reads an object of an S3 store. If access is denied, retries once with renewed credentials.
    pub(super) async fn read_s3(&self, request: Request<'_>, object: Object<'_>) -> Result<Option<Reply>, OriginError> {
        let label = self.label(request.source);
        let source_url = request.source.to_string();
        let method = request.method.clone();
        let exchange = self.exchange(&label, &source_url, request);
        let unusable = |reason| OriginError::Settings { origin: label.clone(), reason };
        let url = self.endpoint.object(object).map_err(unusable)?;
        let bucket = Bucket { name: object.bucket, endpoint: self.endpoint.shown(), region: self.endpoint.region() };
        let mut fields = self.headers.reveal(&label).await?;
        if method == Method::HEAD {
            fields.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        }
        let mut identity = Identity::load(self.credentials.as_ref(), &label).await?;
        loop {
            let signed = match identity.credential() {
                Some(credential) => self.endpoint.sign(&method, &url, fields.clone(), None, credential).await,
                None => Ok(fields.clone()),
            };
            let response = exchange.send(&url, signed.map_err(unusable)?).await?;
            let shown = identity.to_string();
            let sender = Sender { identity: &shown, bucket: Some(bucket), fields: &fields };
            match exchange.reply(response, sender).await {
                Err(error) if identity.renew_after(&error).await => {}
                done => return done,
            }
        }
    }

    /// Sends a request of any method to an S3 store. If access is denied, retries once with renewed credentials.
    pub(super) async fn call_s3(&self, bucket: &str, call: &Call) -> Result<CallReply, CallError> {
        let source_url = call.shown_url(bucket);
        let label = self.prefix.as_ref().map_or_else(|| format!("s3://{bucket}"), SourcePrefix::to_string);
        let unusable = |reason| OriginError::Settings { origin: label.clone(), reason };
        let url = self.endpoint.subresource(bucket, &call.key, &call.query).map_err(unusable)?;
        let place = Bucket { name: bucket, endpoint: self.endpoint.shown(), region: self.endpoint.region() };
        let mut fields = self.headers.reveal(&label).await?;
        fields.extend(call.headers.clone());
        let outbound = self.outbound(&label, &source_url);
        let digest = call.body_digest.unwrap_or_else(|| Digest::of(&call.body));
        let mut identity = Identity::load(self.credentials.as_ref(), &label).await?;
        loop {
            let signed = match identity.credential() {
                Some(credential) => {
                    self.endpoint.sign(&call.method, &url, fields.clone(), Some(&digest), credential).await
                }
                None => Ok(fields.clone()),
            };
            let shown = identity.to_string();
            let sender = Sender { identity: &shown, bucket: Some(place), fields: &fields };
            match call.send(&outbound, &url, signed.map_err(unusable)?, sender).await {
                Err(failed) if identity.renew_after(&failed.error).await => {}
                done => return done,
            }
        }
    }

    /// Reads from a web server and follows its redirects.
    pub(super) async fn read_http(&self, request: Request<'_>, url: &Url) -> Result<Option<Reply>, OriginError> {
        let label = self.label(request.source);
        let source_url = request.source.to_string();
        let exchange = self.exchange(&label, &source_url, request);
        let mut headers = self.headers.reveal(&label).await?;
        let has_fields = !headers.is_empty();
        if let Some(response) = self.ask_kept_target(&exchange, &headers).await? {
            let sender = Sender { identity: "anonymous", bucket: None, fields: &headers };
            return exchange.reply(response, sender).await;
        }
        let mut url = url.clone();
        let mut takes_fields = true;
        for redirects in 0..=MAX_REDIRECTS {
            let response = exchange.send(&url, headers.clone()).await?;
            let Some(next) = redirect::target(&response) else {
                if let Some(kept) =
                    exchange.request.target.filter(|_| redirects > 0 && !redirect::has_expired(response.status()))
                {
                    kept.keep(Target { url: url.clone(), takes_fields });
                }
                let identity = if has_fields && !takes_fields { DROPPED.to_owned() } else { identity(&url, &headers) };
                let sender = Sender { identity: &identity, bucket: None, fields: &headers };
                return exchange.reply(response, sender).await;
            };
            let next =
                next.map_err(|reason| OriginError::BadReply { source_url: source_url.clone(), reason, source: None })?;
            if !exchange.request.digest_decides && url.scheme() == "https" && next.scheme() == "http" {
                let reason = "it redirects from https to http, and no digest protects this object".to_owned();
                return Err(OriginError::BadReply { source_url, reason, source: None });
            }
            if !self.may_send_secrets_to(&next) {
                // Once it has left the `match`, no redirect back restores them.
                headers.clear();
                takes_fields = false;
            }
            url = next;
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(OriginError::BadReply { source_url, reason, source: None })
    }

    /// Whether the configured header fields, which may hold secrets, may be sent to the target of a redirect.
    fn may_send_secrets_to(&self, url: &Url) -> bool {
        self.prefix.as_ref().is_some_and(|prefix| prefix.covers_url(url))
    }

    /// Sends the request to the target that earlier redirects led to. Returns `None` without such a target, or if it has expired:
    /// then the redirects are to be followed again. A target that fails is forgotten, so that a retry may find another.
    async fn ask_kept_target(
        &self,
        exchange: &Exchange<'_>,
        fields: &HeaderMap,
    ) -> Result<Option<Response>, OriginError> {
        let Some((kept, target)) = exchange.request.target.and_then(|kept| Some((kept, kept.get()?))) else {
            return Ok(None);
        };
        let fields = if target.takes_fields { fields.clone() } else { HeaderMap::new() };
        let sent = exchange.send(&target.url, fields).await;
        let has_failed = match &sent {
            Ok(response) => redirect::has_expired(response.status()) || redirect::target(response).is_some(),
            Err(_) => true,
        };
        if has_failed {
            kept.forget(&target);
        }
        sent.map(|response| Some(response).filter(|_| !has_failed))
    }

    /// Returns where requests for `source` go.
    pub(super) fn route(&self, source: &SourceUrl) -> Result<Route, OriginError> {
        let label = self.label(source);
        let (url, bucket) = match source.target() {
            SourceTarget::File(_) => (None, None),
            SourceTarget::Http(url) => (Some(url.clone()), None),
            SourceTarget::S3 { bucket, key, version } => {
                let object = Object { bucket, key, version: version.as_deref() };
                let url = self.endpoint.object(object);
                let url = url.map_err(|reason| OriginError::Settings { origin: label.clone(), reason })?;
                (Some(url), Some(bucket.clone()))
            }
        };
        let server = url.map(|url| Server {
            peer: self.proxy.dialed(&url),
            proxy: self.shown_proxy.clone(),
            tls: url.scheme() == "https",
            url: url.origin().ascii_serialization(),
        });
        let origin = self.prefix.as_ref().map(SourcePrefix::to_string);
        let anonymous = bucket.is_some() && self.credentials.is_none();
        Ok(Route { label, origin, server, bucket, anonymous })
    }

    /// Describes the identity of requests for `source`. Loads the credentials.
    pub(super) async fn identity(&self, source: &SourceUrl) -> Result<String, OriginError> {
        let label = self.label(source);
        match source.target() {
            SourceTarget::S3 { .. } => Ok(Identity::load(self.credentials.as_ref(), &label).await?.to_string()),
            SourceTarget::Http(url) => Ok(identity(url, &self.headers.reveal(&label).await?)),
            SourceTarget::File(_) => Ok(format!("user id {}", rustix::process::geteuid().as_raw())),
        }
    }

    fn exchange<'a>(&'a self, label: &'a str, source_url: &'a str, request: Request<'a>) -> Exchange<'a> {
        Exchange { outbound: self.outbound(label, source_url), request }
    }

    fn outbound<'a>(&'a self, label: &'a str, source_url: &'a str) -> Outbound<'a> {
        Outbound {
            client: &self.client,
            // Behind a proxy, the race would go to addresses that may be out of reach, or that are not to be contacted.
            resolver: self.proxy.dials_what_it_resolves().then_some(&self.resolver),
            connect: self.connect,
            stall: self.stall,
            via: &self.proxy,
            proxy: self.shown_proxy.as_deref(),
            certificate_requests: &self.certificate_requests,
            has_replied: &self.has_replied,
            source_url,
            label,
        }
    }

    /// Whether it has a `match`: the settings name it.
    pub(super) fn is_configured(&self) -> bool {
        self.prefix.is_some()
    }

    /// Returns the endpoint of S3 sources, as shown.
    pub(super) fn endpoint(&self) -> &str {
        self.endpoint.shown()
    }
}

/// Describes the identity of a request to a web server.
fn identity(url: &Url, headers: &HeaderMap) -> String {
    if let Some((_, credential)) = url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential")) {
        let key = credential.split('/').next().unwrap_or_default();
        return format!("access key {key}, which signed the URL");
    }
    match headers.keys().next() {
        None => "anonymous".to_owned(),
        Some(name) => format!("the bearer of the configured header field {name}"),
    }
}
