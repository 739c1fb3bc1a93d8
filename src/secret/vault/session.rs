//! An authenticated session with Vault: obtains a token, renews it before it expires, and sends requests.

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

use super::error::VaultError;
use super::settings::{Login, VaultSettings};
use super::token::{AuthReply, LookupReply, Token};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::error_chain::RootCause;
use crate::{task, trust};

/// Timeouts for a connection and for a whole request. Vault answers from memory, and a booting machine is waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// When to retry a failed renewal: soon, because a short-lived token has only a third of its life left.
const RENEWAL_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_secs(2), max: Duration::from_mins(1), jitter: 0.5 };
/// Characters that are kept of a Vault error message at most.
const MAX_MESSAGE: usize = 200;

/// A session with one Vault.
pub(super) struct Session {
    http: Client,
    address: Url,
    namespace: Option<String>,
    login: Login,
    /// Locked during a login: one login serves all waiting requests.
    token: Mutex<Option<Token>>,
}

impl Session {
    /// Creates a session without contacting Vault. Blocks: it reads certificates from disk.
    pub(super) fn new(settings: VaultSettings) -> Result<Self, VaultError> {
        let address = settings.address.ok_or(VaultError::NoAddress)?;
        let invalid = |reason: String| VaultError::Settings(reason);
        let address: Url =
            address.parse().map_err(|error| invalid(format!("VAULT_ADDR is not a valid URL: {error}")))?;
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
            return Err(invalid("VAULT_ADDR is not an https or http URL".to_owned()));
        }
        let roots = trust::with_ca_file(&trust::system_roots(), settings.ca_file.as_deref());
        let tls = trust::client_config(roots.map_err(|reason| invalid(format!("VAULT_CACERT {reason}")))?, false);
        let http = Client::builder()
            .tls_backend_preconfigured(tls.map_err(|error| invalid(format!("TLS cannot be set up: {error}")))?)
            .user_agent(concat!("bootdepot/", env!("CARGO_PKG_VERSION")))
            // A token must reach only the host of VAULT_ADDR.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| invalid(format!("the HTTP client cannot be built: {error}")))?;
        let login = settings.login.ok_or(VaultError::NoToken)?;
        Ok(Self { http, address, namespace: settings.namespace, login, token: Mutex::new(None) })
    }

    /// Sends an authenticated GET of `/v1/` and these path segments, and returns the body.
    pub(super) async fn get(self: &Arc<Self>, segments: &[&str]) -> Result<Bytes, VaultError> {
        let token = self.token(None).await?;
        match self.send(Method::GET, segments, Some(&token), None).await {
            // The token may have been revoked, or replaced in its file.
            Err(VaultError::Forbidden) => match self.token(Some(&token)).await? {
                other if other == token => Err(VaultError::Forbidden),
                other => self.send(Method::GET, segments, Some(&other), None).await,
            },
            other => other,
        }
    }

    /// Returns the token to use now. If `refused` is given, returns another token if one can be obtained.
    async fn token(self: &Arc<Self>, refused: Option<&str>) -> Result<String, VaultError> {
        match &self.login {
            Login::Token(value) => {
                let mut stored = self.token.lock().await;
                if stored.is_none() {
                    *stored = Some(self.look_up(value).await?);
                    if stored.as_ref().is_some_and(|token| token.renewable && token.due.is_some()) {
                        tokio::spawn(keep_renewed(Arc::downgrade(self)));
                    }
                }
                Ok(value.clone())
            }
            Login::File(path) => read(path).await.ok_or(VaultError::NoToken),
            Login::Kubernetes { role, mount, token } => {
                let mut stored = self.token.lock().await;
                let valid = stored.as_ref().filter(|token| !token.is_due() && Some(token.value.as_str()) != refused);
                if let Some(token) = valid {
                    return Ok(token.value.clone());
                }
                let jwt = read(token).await.ok_or_else(|| {
                    VaultError::Settings(format!("the service account's token {} cannot be read", token.display()))
                })?;
                let body = json!({ "role": role, "jwt": jwt });
                let segments: Vec<&str> = mount.split('/').filter(|it| !it.is_empty()).chain(["login"]).collect();
                let reply = self.send(Method::POST, &segments, None, Some(&body)).await.map_err(login_error)?;
                let reply: AuthReply = serde_json::from_slice(&reply).map_err(|_| VaultError::BadReply)?;
                let token = Token::from(reply.auth);
                let value = token.value.clone();
                *stored = Some(token);
                Ok(value)
            }
        }
    }

    /// Looks up the lifetime of a given token.
    async fn look_up(&self, value: &str) -> Result<Token, VaultError> {
        match self.send(Method::GET, &["auth", "token", "lookup-self"], Some(value), None).await {
            Ok(body) => {
                let reply: LookupReply = serde_json::from_slice(&body).map_err(|_| VaultError::BadReply)?;
                Ok(Token::new(value.to_owned(), reply.data.ttl, reply.data.renewable))
            }
            // A policy may deny lookups and still allow reads.
            Err(VaultError::Forbidden) => Ok(Token::new(value.to_owned(), 0, false)),
            Err(error) => Err(error),
        }
    }

    /// Renews the locked token. Returns whether it can be renewed again.
    async fn renew(&self, mut stored: MutexGuard<'_, Option<Token>>, backoff: &mut Backoff) -> bool {
        let Some(token) = stored.as_mut() else { return false };
        let reply =
            self.send(Method::POST, &["auth", "token", "renew-self"], Some(&token.value), Some(&json!({}))).await;
        let reply = reply.and_then(|body| serde_json::from_slice::<AuthReply>(&body).map_err(|_| VaultError::BadReply));
        match reply {
            Ok(reply) => {
                *token = reply.auth.into();
                backoff.reset();
            }
            Err(VaultError::Forbidden) => {
                warn!("Vault token not renewable; set a new VAULT_TOKEN");
                return false;
            }
            Err(error) => {
                let delay = backoff.next_delay();
                warn!(%error, retry_in = ?delay, "Vault token renewal failed");
                token.due = Some(Instant::now() + delay);
            }
        }
        token.renewable && token.due.is_some()
    }

    async fn send(
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
        let receiving = async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.bytes().await?))
        };
        let (status, body) = receiving.await.map_err(|error| {
            let address = self.address.origin().ascii_serialization();
            let error = error.without_url();
            let reason = trust::find(&error).map(|error| trust::describe(error).1);
            let source = Arc::new(RootCause(error));
            match reason {
                Some(reason) => VaultError::Tls { address, reason, source },
                None => VaultError::Unreachable { address, source },
            }
        })?;
        match status {
            200..=299 => Ok(body),
            403 => Err(VaultError::Forbidden),
            404 => Err(VaultError::NoSecret),
            status => Err(VaultError::Refused { status, messages: messages(&body) }),
        }
    }
}

/// Renews a session's token until the session is dropped or the token cannot be renewed.
async fn keep_renewed(session: Weak<Session>) {
    let mut backoff = Backoff::new(RENEWAL_BACKOFF);
    loop {
        let due = match session.upgrade() {
            Some(session) => session.token.lock().await.as_ref().and_then(|token| token.due),
            None => None,
        };
        let Some(due) = due else { return };
        tokio::time::sleep_until(due).await;
        let Some(session) = session.upgrade() else { return };
        let stored = session.token.lock().await;
        if !session.renew(stored, &mut backoff).await {
            return;
        }
    }
}

/// Reads a file without surrounding white space. Returns `None` if it is empty or cannot be read.
async fn read(path: &Path) -> Option<String> {
    let path = path.to_owned();
    let text = task::blocking(move || std::fs::read_to_string(path)).await.ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Turns an error status into an error of the login.
fn login_error(error: VaultError) -> VaultError {
    match error {
        VaultError::Forbidden => VaultError::LoginRefused("403".to_owned()),
        VaultError::NoSecret => VaultError::LoginRefused("404; check VAULT_K8S_MOUNT_PATH".to_owned()),
        VaultError::Refused { status, messages } if status < 500 => {
            VaultError::LoginRefused([status.to_string()].into_iter().chain(messages).collect::<Vec<_>>().join(": "))
        }
        other => other,
    }
}

/// Parses Vault's error messages.
fn messages(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let shortened = |error: String| error.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
    errors.into_iter().map(shortened).collect()
}
