//! The remote sources of one origin: HTTP client, endpoint, credentials and redirects.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use reqsign_core::Context;
use reqsign_file_read_tokio::TokioFileRead;
use reqsign_http_send_reqwest::ReqwestHttpSend;
use reqwest::{Client, Response};
use tokio_rustls::rustls::RootCertStore;
use tracing::warn;
use url::Url;

use super::client;
use super::credentials::{CredentialCache, ProcessEnv};
use super::error::OriginError;
use super::exchange::{Exchange, host};
use super::header_fields::HeaderFields;
use super::kept_target::Target;
use super::proxy::{self, ProxyChoice};
use super::reply::Reply;
use super::request::Request;
use super::resolver::StaggeredResolver;
use super::route::{Route, Server};
use super::s3::{Endpoint, Object};
use super::settings::{Addressing, CredentialSource, OriginSettings, Timeouts};
use crate::asset::{SourceTarget, SourceUrl};
use crate::trust;

/// Redirects to follow at most: enough for a mirror director and a host that moved.
const MAX_REDIRECTS: usize = 5;

/// The field that requests the stored checksums of an object from an S3 store.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// The client for remote sources with a common prefix: connections, endpoint and credentials.
pub(super) struct Remote {
    /// The `match`. Empty for sources that no configured origin matches.
    prefix: String,
    client: Client,
    resolver: StaggeredResolver,
    connect: Duration,
    stall: Duration,
    proxy: ProxyChoice,
    /// Host and port of the configured proxy, as shown.
    shown_proxy: Option<String>,
    headers: HeaderFields,
    endpoint: Endpoint,
    /// `None`: requests are not signed.
    credentials: Option<CredentialCache>,
}

impl Remote {
    /// The client for source URLs that no configured origin matches.
    pub(super) fn unmatched(roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, OriginError> {
        let settings = OriginSettings {
            prefix: String::new(),
            endpoint: None,
            region: String::new(),
            addressing: Addressing::Path,
            credentials: CredentialSource::Default,
            ca_file: None,
            insecure_skip_verify: false,
            proxy: None,
            headers: Vec::new(),
        };
        Self::new(settings, roots, timeouts)
    }

    /// Builds the client. Fails with [`OriginError::Settings`] if the settings cannot work.
    pub(super) fn new(
        settings: OriginSettings,
        roots: &RootCertStore,
        timeouts: Timeouts,
    ) -> Result<Self, OriginError> {
        let prefix = settings.prefix.clone();
        Self::build(settings, roots, timeouts).map_err(|reason| OriginError::Settings { origin: prefix, reason })
    }

    fn build(settings: OriginSettings, roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, String> {
        let roots = trust::with_ca_file(roots, settings.ca_file.as_deref())
            .map_err(|reason| format!("its ca_file {reason}"))?;
        let insecure = settings.insecure_skip_verify;
        if insecure {
            warn!(origin = settings.prefix, "origin certificate not verified: insecure_skip_verify is set");
        }
        let tls = trust::client_config(roots, insecure).map_err(|e| format!("TLS cannot be set up: {e}"))?;
        let connect = timeouts.connect.min(timeouts.stall);
        let environment = proxy::environment_proxies(|name| std::env::var(name).ok())?;
        let context = Context::new()
            .with_file_read(TokioFileRead)
            .with_http_send(ReqwestHttpSend::new(client::for_credentials(tls.clone(), &environment)?))
            .with_env(ProcessEnv);
        let (choice, proxies) = match &settings.proxy {
            Some(url) => (ProxyChoice::Configured(url.clone()), vec![proxy::configured_proxy(url)?]),
            None if environment.is_empty() => (ProxyChoice::Direct, environment),
            None => (ProxyChoice::Environment, environment),
        };
        let resolver = StaggeredResolver::system();
        if let ProxyChoice::Configured(proxy) = &choice {
            resolver.note_port(&bare_host(proxy), proxy_port(proxy));
        }
        Ok(Self {
            client: client::for_objects(tls, &proxies, connect, &resolver)?,
            resolver,
            connect,
            stall: timeouts.stall,
            proxy: choice,
            shown_proxy: settings.proxy.as_ref().map(host),
            headers: HeaderFields::new(settings.headers)?,
            endpoint: Endpoint::new(settings.endpoint, settings.addressing, &settings.region)?,
            credentials: CredentialCache::new(settings.credentials, context),
            prefix: settings.prefix,
        })
    }

    /// Returns the `match`.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
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
        if !self.prefix.is_empty() {
            return self.prefix.clone();
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
        let bucket = Some((object.bucket, self.endpoint.shown()));
        let mut fields = HeaderMap::new();
        if method == Method::HEAD {
            fields.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        }
        let Some(credentials) = &self.credentials else {
            let response = exchange.send(&url, fields).await?;
            return exchange.reply(response, "anonymous", bucket).await;
        };
        let mut credential = credentials.current(&label).await?;
        let mut renewed = false;
        loop {
            let signed = self.endpoint.sign(&method, &url, fields.clone(), &credential);
            let response = exchange.send(&url, signed.await.map_err(unusable)?).await?;
            let identity = format!("access key {}", credential.access_key_id);
            match exchange.reply(response, &identity, bucket).await {
                Err(denied @ OriginError::AccessDenied { .. }) if !renewed => {
                    match credentials.replacement(&credential).await {
                        Some(other) => (credential, renewed) = (other, true),
                        None => return Err(denied),
                    }
                }
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
        if let Some(response) = self.ask_kept_target(&exchange, &headers).await? {
            return exchange.reply(response, "anonymous", None).await;
        }
        let mut url = url.clone();
        let mut takes_fields = true;
        for redirects in 0..=MAX_REDIRECTS {
            let response = exchange.send(&url, headers.clone()).await?;
            let Some(next) = redirect(&response) else {
                if let Some(kept) = exchange.request.target.filter(|_| redirects > 0 && !has_expired(response.status()))
                {
                    kept.keep(Target { url: url.clone(), takes_fields });
                }
                let identity = identity(&url, &headers);
                return exchange.reply(response, &identity, None).await;
            };
            let next =
                next.map_err(|reason| OriginError::BadReply { source_url: source_url.clone(), reason, source: None })?;
            if next.origin() != url.origin() {
                // The configured fields may hold secrets, which are for the configured origin only.
                headers.clear();
                takes_fields = false;
            }
            url = next;
        }
        let reason = format!("it redirects more than {MAX_REDIRECTS} times");
        Err(OriginError::BadReply { source_url, reason, source: None })
    }

    /// Sends the request to the target that earlier redirects led to. Returns `None` if there is none, or if it has expired:
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
            Ok(response) => has_expired(response.status()) || redirect(response).is_some(),
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
            peer: match &self.proxy {
                ProxyChoice::Direct => Some((bare_host(&url), url.port_or_known_default().unwrap_or(443))),
                ProxyChoice::Configured(proxy) => Some((bare_host(proxy), proxy_port(proxy))),
                ProxyChoice::Environment => None,
            },
            proxy: self.shown_proxy.clone(),
            tls: url.scheme() == "https",
            url: url.origin().ascii_serialization(),
        });
        let origin = (!self.prefix.is_empty()).then(|| self.prefix.clone());
        let anonymous = bucket.is_some() && self.credentials.is_none();
        Ok(Route { label, origin, server, bucket, anonymous })
    }

    /// Describes the identity of requests for `source`. Loads the credentials.
    pub(super) async fn identity(&self, source: &SourceUrl) -> Result<String, OriginError> {
        let label = self.label(source);
        match source.target() {
            SourceTarget::S3 { .. } => match &self.credentials {
                None => Ok("anonymous".to_owned()),
                Some(credentials) => Ok(format!("access key {}", credentials.current(&label).await?.access_key_id)),
            },
            SourceTarget::Http(url) => Ok(identity(url, &self.headers.reveal(&label).await?)),
            SourceTarget::File(_) => Ok(format!("user id {}", rustix::process::geteuid().as_raw())),
        }
    }

    fn exchange<'a>(&'a self, label: &'a str, source_url: &'a str, request: Request<'a>) -> Exchange<'a> {
        Exchange {
            client: &self.client,
            // A proxy resolves the host's name, or may reach addresses that we do not.
            resolver: matches!(self.proxy, ProxyChoice::Direct).then_some(&self.resolver),
            connect: self.connect,
            stall: self.stall,
            proxy: self.shown_proxy.as_deref(),
            source_url,
            label,
            request,
        }
    }
}

/// Whether a redirect target with this status is to be resolved again: a signed URL that has expired (401, 403), a mirror
/// that does not have the object any more, or one that fails.
fn has_expired(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410 | 500..)
}

/// Returns the host for resolvers and sockets: an IPv6 address without brackets.
fn bare_host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Returns the port of a proxy. SOCKS uses 1080 (RFC 1928 3).
fn proxy_port(proxy: &Url) -> u16 {
    proxy.port_or_known_default().unwrap_or(1080)
}

/// Returns the target of a redirect, or why it cannot be followed. `None` if the response is not a redirect.
fn redirect(response: &Response) -> Option<Result<Url, String>> {
    let follows = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| follows)?;
    let next = location.to_str().ok().and_then(|location| response.url().join(location).ok());
    Some(match next {
        Some(next) if matches!(next.scheme(), "http" | "https") => Ok(next),
        // Not shown in full: the URL may be signed.
        Some(next) => Err(format!("it redirects to the scheme {:?}", next.scheme())),
        None => Err("it redirects to an invalid URL".to_owned()),
    })
}

/// Describes the identity of a request to a web server.
fn identity(url: &Url, headers: &HeaderMap) -> String {
    if let Some((_, credential)) = url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential")) {
        let key = credential.split('/').next().unwrap_or_default();
        return format!("access key {key}, which signed the URL");
    }
    match (url.username(), headers.keys().next()) {
        ("", None) => "anonymous".to_owned(),
        ("", Some(name)) => format!("the bearer of the configured header field {name}"),
        (user, _) => format!("the user {user}"),
    }
}
