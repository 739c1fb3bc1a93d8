//! A family of remote sources that are reached in one way: their client, their endpoint, who we are to them.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
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
use super::{Credentials, OriginError, OriginSettings, Reply, Timeouts, Wanted, client};
use crate::asset::{Place, SourceUrl};
use crate::secret::Secret;
use crate::trust;

/// How often a web server may send us on: enough for a mirror director and a host that moved.
const MAX_REDIRECTS: usize = 5;

pub(super) struct Remote {
    /// The `match`; empty for what no origin is configured for.
    prefix: String,
    client: Client,
    connect: Duration,
    stall: Duration,
    /// Host and port of the configured proxy.
    proxy: Option<String>,
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
        let proxies = match &settings.proxy {
            Some(url) => vec![client::configured_proxy(url)?],
            None => environment,
        };
        Ok(Self {
            client: client::for_objects(tls, &proxies, connect)?,
            connect,
            stall: timeouts.stall,
            proxy: settings.proxy.as_ref().map(host),
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
        match source.place() {
            Place::S3 { bucket, .. } => format!("s3://{bucket}"),
            Place::Http(url) => url.origin().ascii_serialization(),
            Place::File(_) => "file://".to_owned(),
        }
    }

    /// Reads an object of an S3 store.
    pub(super) async fn read_s3(
        &self,
        source: &SourceUrl,
        object: Object<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Option<Reply>, OriginError> {
        let label = self.label(source);
        let source_url = source.to_string();
        let Wanted { range, expect, unless } = wanted;
        let asked = Asked { range, expect, unless, stored_encoding: true };
        let exchange = self.exchange(&label, &source_url, asked);
        let unusable = |reason| OriginError::Settings { origin: label.clone(), reason };
        let url = self.endpoint.object(object).map_err(unusable)?;
        let bucket = Some((object.bucket, self.endpoint.shown()));
        let Some(keyring) = &self.keyring else {
            let response = exchange.send(&url, HeaderMap::new()).await?;
            return exchange.accept(response, "anonymous", bucket).await;
        };
        let mut credential = keyring.current(&label).await?;
        let mut renewed = false;
        loop {
            let headers = self.endpoint.sign(&url, &credential).await.map_err(unusable)?;
            let response = exchange.send(&url, headers).await?;
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

    /// Reads what a web server has, following its redirects.
    pub(super) async fn read_http(
        &self,
        source: &SourceUrl,
        url: &Url,
        wanted: Wanted<'_>,
    ) -> Result<Option<Reply>, OriginError> {
        let label = self.label(source);
        let source_url = source.to_string();
        let Wanted { range, expect, unless } = wanted;
        let asked = Asked { range, expect, unless, stored_encoding: false };
        let exchange = self.exchange(&label, &source_url, asked);
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

    fn exchange<'a>(&'a self, label: &'a str, source_url: &'a str, asked: Asked<'a>) -> Exchange<'a> {
        Exchange {
            client: &self.client,
            connect: self.connect,
            stall: self.stall,
            proxy: self.proxy.as_deref(),
            source_url,
            label,
            asked,
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
