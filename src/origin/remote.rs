//! A family of remote sources that are reached in one way: their client, their endpoint, who we are to them.

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

use super::exchange::{Exchange, host};
use super::keyring::{Keyring, ProcessEnv};
use super::reply::Asked;
use super::s3::{Endpoint, Object};
use super::stat::Seen;
use super::{Credentials, OriginError, OriginSettings, Reply, Route, Server, Timeouts, Validator, client};
use crate::asset::{ByteRange, SourceTarget, SourceUrl};
use crate::secret::Secret;
use crate::trust;

/// How often a web server may send us on: enough for a mirror director and a host that moved.
const MAX_REDIRECTS: usize = 5;

/// The field that asks an S3 store for the checksums that it has of an object.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// What is asked of a source.
pub(super) struct Question<'a> {
    pub(super) source: &'a SourceUrl,
    /// GET, or HEAD where nothing is to be read.
    pub(super) method: Method,
    /// The range; none: the whole object.
    pub(super) range: Option<ByteRange>,
    /// The state that the object must be in.
    pub(super) expect: Option<&'a Validator>,
    /// The state in which it is not wanted again.
    pub(super) unless: Option<&'a Validator>,
    /// Where to note what the answers say of the server itself.
    pub(super) seen: Option<&'a Seen>,
}

/// How connections are made.
enum Way {
    Direct,
    Proxy(Url),
    /// By the proxies that the environment names, each of which is for some hosts.
    Environment,
}

pub(super) struct Remote {
    /// The `match`; empty for what no origin is configured for.
    prefix: String,
    client: Client,
    connect: Duration,
    stall: Duration,
    /// Host and port of the configured proxy.
    proxy: Option<String>,
    way: Way,
    headers: Vec<(HeaderName, Secret)>,
    endpoint: Endpoint,
    /// None: requests are not signed.
    keyring: Option<Keyring>,
}

impl Remote {
    /// For source URLs that no origin is configured for.
    pub(super) fn plain(roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, OriginError> {
        let settings = OriginSettings {
            prefix: String::new(),
            endpoint: None,
            region: String::new(),
            addressing: super::Addressing::Path,
            credentials: Credentials::Default,
            ca_file: None,
            insecure_skip_verify: false,
            proxy: None,
            headers: Vec::new(),
        };
        Self::new(settings, roots, timeouts)
    }

    /// As configured.
    pub(super) fn new(
        settings: OriginSettings,
        roots: &RootCertStore,
        timeouts: Timeouts,
    ) -> Result<Self, OriginError> {
        let prefix = settings.prefix.clone();
        Self::resolve(settings, roots, timeouts).map_err(|reason| OriginError::Settings { origin: prefix, reason })
    }

    fn resolve(settings: OriginSettings, roots: &RootCertStore, timeouts: Timeouts) -> Result<Self, String> {
        let roots = trust::with_ca_file(roots, settings.ca_file.as_deref())
            .map_err(|reason| format!("its ca_file {reason}"))?;
        let insecure = settings.insecure_skip_verify;
        if insecure {
            warn!(
                origin = settings.prefix,
                "insecure_skip_verify is set: anyone on the way can pose as this origin; set its ca_file instead"
            );
        }
        let tls = trust::config(roots, insecure).map_err(|e| format!("its TLS cannot be set up: {e}"))?;
        let connect = timeouts.connect.min(timeouts.stall);
        let headers = settings.headers.into_iter().map(|(name, value)| match HeaderName::try_from(&name) {
            Ok(name) => Ok((name, value)),
            Err(_) => Err(format!("{name:?} is no name of a header field")),
        });
        let environment = client::environment_proxies(|name| std::env::var(name).ok())?;
        let context = Context::new()
            .with_file_read(TokioFileRead)
            .with_http_send(ReqwestHttpSend::new(client::for_credentials(tls.clone(), &environment)?))
            .with_env(ProcessEnv);
        let way = match &settings.proxy {
            Some(url) => Way::Proxy(url.clone()),
            None if environment.is_empty() => Way::Direct,
            None => Way::Environment,
        };
        let proxies = match &settings.proxy {
            Some(url) => vec![client::configured_proxy(url)?],
            None => environment,
        };
        Ok(Self {
            client: client::for_objects(tls, &proxies, connect)?,
            connect,
            stall: timeouts.stall,
            proxy: settings.proxy.as_ref().map(host),
            way,
            headers: headers.collect::<Result<_, _>>()?,
            endpoint: Endpoint::new(settings.endpoint, settings.addressing, &settings.region)?,
            keyring: Keyring::new(settings.credentials, context),
            prefix: settings.prefix,
        })
    }

    /// The `match`.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Makes the kept credentials look as if they were read a while ago.
    #[cfg(test)]
    pub(super) async fn age_credentials(&self) {
        if let Some(keyring) = &self.keyring {
            keyring.age().await;
        }
    }

    /// The origin as metrics and messages name it: its `match`, else the source's scheme and host.
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

    /// Asks for an object of an S3 store.
    pub(super) async fn ask_s3(
        &self,
        question: Question<'_>,
        object: Object<'_>,
    ) -> Result<Option<Reply>, OriginError> {
        let label = self.label(question.source);
        let source_url = question.source.to_string();
        let exchange = self.exchange(&label, &source_url, &question, true);
        let unusable = |reason| OriginError::Settings { origin: label.clone(), reason };
        let url = self.endpoint.object(object).map_err(unusable)?;
        let bucket = Some((object.bucket, self.endpoint.shown()));
        let mut fields = HeaderMap::new();
        if question.method == Method::HEAD {
            fields.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        }
        let Some(keyring) = &self.keyring else {
            let response = exchange.send(&url, fields).await?;
            return exchange.accept(response, "anonymous", bucket).await;
        };
        let mut credential = keyring.current(&label).await?;
        let mut renewed = false;
        loop {
            let signed = self.endpoint.sign(&question.method, &url, fields.clone(), &credential);
            let response = exchange.send(&url, signed.await.map_err(unusable)?).await?;
            let identity = format!("access key {}", credential.access_key_id);
            match exchange.accept(response, &identity, bucket).await {
                Err(denied @ OriginError::AccessDenied { .. }) if !renewed => {
                    match keyring.renewed(&credential).await {
                        Some(other) => (credential, renewed) = (other, true),
                        None => return Err(denied),
                    }
                }
                done => return done,
            }
        }
    }

    /// Asks a web server for what it has, following its redirects.
    pub(super) async fn ask_http(&self, question: Question<'_>, url: &Url) -> Result<Option<Reply>, OriginError> {
        let label = self.label(question.source);
        let source_url = question.source.to_string();
        let exchange = self.exchange(&label, &source_url, &question, false);
        let mut headers = self.reveal_headers(&label).await?;
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = exchange.send(&url, headers.clone()).await?;
            let Some(next) = redirect(&response) else {
                let identity = identity(&url, &headers);
                return exchange.accept(response, &identity, None).await;
            };
            let next = next.map_err(|reason| OriginError::BadReply { source_url: source_url.clone(), reason })?;
            if next.origin() != url.origin() {
                // The configured fields may be secrets, and are for the configured origin.
                headers.clear();
            }
            url = next;
        }
        Err(OriginError::BadReply { source_url, reason: format!("it redirects more than {MAX_REDIRECTS} times") })
    }

    /// Where requests for `source` go.
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
            peer: match &self.way {
                Way::Direct => Some((bare_host(&url), url.port_or_known_default().unwrap_or(443))),
                // 1080 is SOCKS's (RFC 1928 3).
                Way::Proxy(proxy) => Some((bare_host(proxy), proxy.port_or_known_default().unwrap_or(1080))),
                Way::Environment => None,
            },
            proxy: self.proxy.clone(),
            tls: url.scheme() == "https",
            url: url.origin().ascii_serialization(),
        });
        let origin = (!self.prefix.is_empty()).then(|| self.prefix.clone());
        let anonymous = bucket.is_some() && self.keyring.is_none();
        Ok(Route { label, origin, server, bucket, anonymous })
    }

    /// Whom a request for `source` says we are, in words; loads what it takes to say so.
    pub(super) async fn identity(&self, source: &SourceUrl) -> Result<String, OriginError> {
        let label = self.label(source);
        match source.target() {
            SourceTarget::S3 { .. } => match &self.keyring {
                None => Ok("anonymous".to_owned()),
                Some(keyring) => Ok(format!("access key {}", keyring.current(&label).await?.access_key_id)),
            },
            SourceTarget::Http(url) => Ok(identity(url, &self.reveal_headers(&label).await?)),
            SourceTarget::File(_) => Ok(format!("user id {}", rustix::process::geteuid().as_raw())),
        }
    }

    fn exchange<'a>(
        &'a self,
        label: &'a str,
        source_url: &'a str,
        question: &Question<'a>,
        stored_encoding: bool,
    ) -> Exchange<'a> {
        Exchange {
            client: &self.client,
            connect: self.connect,
            stall: self.stall,
            proxy: self.proxy.as_deref(),
            source_url,
            label,
            method: question.method.clone(),
            asked: Asked { range: question.range, expect: question.expect, unless: question.unless, stored_encoding },
            seen: question.seen,
        }
    }

    /// The configured header fields, their secrets read anew.
    async fn reveal_headers(&self, label: &str) -> Result<HeaderMap, OriginError> {
        let mut revealed = HeaderMap::new();
        for (name, secret) in &self.headers {
            let value = reveal_header(name, secret).await;
            let value = value.map_err(|reason| OriginError::Credentials { origin: label.to_owned(), reason })?;
            revealed.append(name, value);
        }
        Ok(revealed)
    }
}

async fn reveal_header(name: &HeaderName, secret: &Secret) -> Result<HeaderValue, String> {
    let value = secret.reveal().await.map_err(|error| format!("the header field {name}: {error}"))?;
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| format!("the header field {name} holds characters that no header field may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The host as resolvers and sockets want it: an IPv6 address without its brackets.
fn bare_host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Where the response sends us on, if it does; or why it cannot be followed.
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
        // Not shown in full: it may be signed.
        Some(next) => Err(format!("it redirects to the scheme {:?}", next.scheme())),
        None => Err("it redirects to what is no URL".to_owned()),
    })
}

/// Whom a request to a web server says we are.
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
