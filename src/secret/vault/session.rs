//! Who we are to Vault: a token, come by in one of several ways, and renewed before it ends. One request and its answer.

use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Method, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::VaultError;
use super::settings::{Login, VaultSettings};
use crate::trust;

/// For a connection, and for an answer as a whole: Vault answers from memory, and a machine waits.
const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(15);
/// When a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// Characters of Vault's own words that are told.
const TOLD: usize = 200;

/// The part of a lease or of a token's life after which it is seen to: two thirds, as Vault's own agent does, so that
/// there is time to try again.
pub(super) fn most_of(life: Duration) -> Duration {
    life * 2 / 3
}

/// A token.
#[derive(Clone)]
struct Token {
    value: String,
    renewable: bool,
    /// When it is to be renewed, or another one got; none: it does not end, as far as we know.
    due: Option<Instant>,
}

/// What logins and renewals answer.
#[derive(Deserialize)]
struct Granted {
    auth: Grant,
}

#[derive(Deserialize)]
struct Grant {
    client_token: String,
    /// Seconds; 0 for one that does not end.
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

/// What a token says of itself.
#[derive(Deserialize)]
struct LookedUp {
    data: Life,
}

#[derive(Deserialize)]
struct Life {
    /// Seconds left; 0 for one that does not end.
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

impl Token {
    fn new(value: String, seconds: u64, renewable: bool) -> Self {
        let due = (seconds > 0).then(|| Instant::now() + most_of(Duration::from_secs(seconds)));
        Self { value, renewable, due }
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

impl From<Grant> for Token {
    fn from(grant: Grant) -> Self {
        Self::new(grant.client_token, grant.lease_duration, grant.renewable)
    }
}

/// One Vault, and who we are to it.
pub(super) struct Session {
    http: Client,
    address: Url,
    namespace: Option<String>,
    login: Login,
    /// Held while a token is got: one login serves all who wait.
    token: Mutex<Option<Token>>,
}

impl Session {
    /// A session that has not begun. Blocks for the reading of certificates.
    pub(super) fn new(settings: VaultSettings) -> Result<Self, VaultError> {
        let address = settings.address.ok_or(VaultError::NoAddress)?;
        let wrong = |reason: String| VaultError::Settings(reason);
        let address: Url = address.parse().map_err(|error| wrong(format!("VAULT_ADDR is no URL: {error}")))?;
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
            return Err(wrong("VAULT_ADDR is no URL of https or http".to_owned()));
        }
        let roots = trust::with_ca_file(&trust::system_roots(), settings.ca_file.as_deref());
        let tls = trust::config(roots.map_err(|reason| wrong(format!("VAULT_CACERT {reason}")))?, false);
        let http = Client::builder()
            .tls_backend_preconfigured(tls.map_err(|error| wrong(format!("TLS cannot be set up: {error}")))?)
            .user_agent(concat!("bootdepot/", env!("CARGO_PKG_VERSION")))
            // A token goes to the one host that the environment names.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .build()
            .map_err(|error| wrong(format!("no HTTP client can be made: {error}")))?;
        let login = settings.login.ok_or(VaultError::NoToken)?;
        Ok(Self { http, address, namespace: settings.namespace, login, token: Mutex::new(None) })
    }

    /// The answer to a GET of `/v1/` and these segments, in the name of the token.
    pub(super) async fn get(self: &Arc<Self>, segments: &[&str]) -> Result<Bytes, VaultError> {
        let token = self.current(None).await?;
        match self.ask(Method::GET, segments, Some(&token), None).await {
            // It may have been revoked, or replaced in its file.
            Err(VaultError::Forbidden) => match self.current(Some(&token)).await? {
                other if other == token => Err(VaultError::Forbidden),
                other => self.ask(Method::GET, segments, Some(&other), None).await,
            },
            other => other,
        }
    }

    /// The token to use now; another one than `refused`, where that can be had.
    async fn current(self: &Arc<Self>, refused: Option<&str>) -> Result<String, VaultError> {
        match &self.login {
            Login::Token(value) => {
                let mut kept = self.token.lock().await;
                if kept.is_none() {
                    *kept = Some(self.look_up(value).await?);
                    if kept.as_ref().is_some_and(|token| token.renewable && token.due.is_some()) {
                        tokio::spawn(stay(Arc::downgrade(self)));
                    }
                }
                Ok(value.clone())
            }
            Login::File(path) => read(path).await.ok_or(VaultError::NoToken),
            Login::Kubernetes { role, mount, token } => {
                let mut kept = self.token.lock().await;
                let good = kept.as_ref().filter(|token| !token.is_due() && Some(token.value.as_str()) != refused);
                if let Some(token) = good {
                    return Ok(token.value.clone());
                }
                let jwt = read(token).await.ok_or_else(|| {
                    VaultError::Settings(format!("the service account's token {} cannot be read", token.display()))
                })?;
                let body = json!({ "role": role, "jwt": jwt });
                let segments: Vec<&str> = mount.split('/').filter(|it| !it.is_empty()).chain(["login"]).collect();
                let granted = self.ask(Method::POST, &segments, None, Some(&body)).await.map_err(refused_login)?;
                let granted: Granted = serde_json::from_slice(&granted).map_err(|_| VaultError::NotUnderstood)?;
                let token = Token::from(granted.auth);
                let value = token.value.clone();
                *kept = Some(token);
                Ok(value)
            }
        }
    }

    /// What a given token says of its life.
    async fn look_up(&self, value: &str) -> Result<Token, VaultError> {
        match self.ask(Method::GET, &["auth", "token", "lookup-self"], Some(value), None).await {
            Ok(body) => {
                let life: LookedUp = serde_json::from_slice(&body).map_err(|_| VaultError::NotUnderstood)?;
                Ok(Token::new(value.to_owned(), life.data.ttl, life.data.renewable))
            }
            // A policy may leave that out, and still let it read.
            Err(VaultError::Forbidden) => Ok(Token::new(value.to_owned(), 0, false)),
            Err(error) => Err(error),
        }
    }

    /// Renews the given token, which is held under the lock. Returns whether it goes on being renewable.
    async fn renew(&self, mut kept: MutexGuard<'_, Option<Token>>) -> bool {
        let Some(token) = kept.as_mut() else { return false };
        let asked =
            self.ask(Method::POST, &["auth", "token", "renew-self"], Some(&token.value), Some(&json!({}))).await;
        let granted =
            asked.and_then(|body| serde_json::from_slice::<Granted>(&body).map_err(|_| VaultError::NotUnderstood));
        match granted {
            Ok(granted) => *token = granted.auth.into(),
            Err(VaultError::Forbidden) => {
                warn!("Vault does not renew the token any more; give it a new one");
                return false;
            }
            Err(error) => {
                warn!(%error, "Vault's token could not be renewed; trying on");
                token.due = Some(Instant::now() + RENEW_AGAIN);
            }
        }
        token.renewable && token.due.is_some()
    }

    async fn ask(
        &self,
        method: Method,
        segments: &[&str],
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Bytes, VaultError> {
        let mut url = self.address.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(segments);
        }
        let mut request = self.http.request(method, url).header("X-Vault-Request", "true");
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let answering = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.bytes().await?))
        };
        let (status, body) = answering.await.map_err(|error| VaultError::Unreachable {
            address: self.address.origin().ascii_serialization(),
            reason: innermost(&error.without_url()),
        })?;
        match status {
            200..=299 => Ok(body),
            403 => Err(VaultError::Forbidden),
            404 => Err(VaultError::NoSecret),
            status => Err(VaultError::Refused { status, said: said(&body) }),
        }
    }
}

/// Renews the token of a session for as long as there is one.
async fn stay(session: Weak<Session>) {
    loop {
        let due = match session.upgrade() {
            Some(session) => session.token.lock().await.as_ref().and_then(|token| token.due),
            None => None,
        };
        let Some(due) = due else { return };
        tokio::time::sleep_until(due).await;
        let Some(session) = session.upgrade() else { return };
        let kept = session.token.lock().await;
        if !session.renew(kept).await {
            return;
        }
    }
}

/// A file's text without the space around it.
async fn read(path: &Path) -> Option<String> {
    let path = path.to_owned();
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await.ok()?.ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A refusal in the words of who wants to log in.
fn refused_login(error: VaultError) -> VaultError {
    match error {
        VaultError::Forbidden => VaultError::LoginRefused("403".to_owned()),
        VaultError::NoSecret => VaultError::LoginRefused("404; is VAULT_K8S_MOUNT_PATH right?".to_owned()),
        VaultError::Refused { status, said } if status < 500 => {
            VaultError::LoginRefused([status.to_string()].into_iter().chain(said).collect::<Vec<_>>().join(": "))
        }
        other => other,
    }
}

/// Vault's own words about what is wrong.
fn said(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let told = |error: String| error.chars().filter(|c| !c.is_control()).take(TOLD).collect();
    errors.into_iter().map(told).collect()
}

/// The cause of all causes: those before it only say that there was one.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
