//! Credentials of an S3 origin: loaded on demand, and renewed before they expire.

mod providers;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqsign_aws_v4::Credential;
use reqsign_core::{Context, Error, SigningCredential};
use tokio::sync::Mutex;

pub(super) use self::providers::ProcessEnv;
use self::providers::Provider;
use super::error::{Cause, OriginError};
use super::settings::CredentialSource;
use crate::environment::not_blank;

/// How long credentials without an expiry are used before they are read again: files and variables may be rotated.
const KEEP_UNDATED: Duration = Duration::from_mins(1);

/// How long a failure is cached, so that the parts of many fills do not query a missing metadata service one after the
/// other.
const KEEP_FAILURE: Duration = Duration::from_secs(5);

/// How long credentials of a session that has ended are kept before they are read again: others may have taken their place just
/// now, and a long upload would fail.
const KEEP_ENDED: Duration = Duration::from_secs(1);

/// Loads and caches the credentials of one origin.
pub(super) struct CredentialCache {
    provider: Provider,
    context: Context,
    /// The error text if the provider has no credentials.
    missing: &'static str,
    /// Locked while credentials are loaded: one load serves all waiting requests.
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    result: Result<Credential, LoadError>,
    since: Instant,
}

/// Why credentials could not be loaded.
#[derive(Clone)]
struct LoadError {
    reason: String,
    source: Option<Cause>,
}

impl CredentialCache {
    /// Builds the cache for `source`. Returns `None` for an anonymous origin. `context` reaches credential services.
    pub(super) fn new(source: CredentialSource, context: Context) -> Option<Self> {
        let (provider, missing) = providers::provider(source)?;
        Some(Self { provider, context, missing, cached: Mutex::new(None) })
    }

    /// Returns the credentials to sign with now.
    pub(super) async fn current(&self, origin: &str) -> Result<Credential, OriginError> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(cached) if cached.is_fresh() => cached.result.clone(),
            _ => self.load(&mut cached).await,
        }
        .map_err(|LoadError { reason, source }| OriginError::Credentials {
            origin: origin.to_owned(),
            reason,
            source,
        })
    }

    /// Returns credentials that differ from `refused`: they may have been rotated since they were read. `None` if there are
    /// no others. `has_ended`: they were refused because their session has ended.
    pub(super) async fn replacement(&self, refused: &Credential, has_ended: bool) -> Option<Credential> {
        let since = Instant::now();
        if has_ended {
            // Without the lock: other requests, which the session may serve, do not wait.
            let read = self.cached.lock().await.as_ref().map(|found| found.since);
            tokio::time::sleep(read.map_or(Duration::ZERO, |read| KEEP_ENDED.saturating_sub(read.elapsed()))).await;
        }
        let mut cached = self.cached.lock().await;
        let is_other = |found: &Credential| {
            found.access_key_id != refused.access_key_id
                || found.secret_access_key != refused.secret_access_key
                || found.session_token != refused.session_token
        };
        match &*cached {
            // Another request has already renewed them.
            Some(Cached { result: Ok(found), .. }) if is_other(found) => Some(found.clone()),
            // Another request has read them again while this one waited.
            Some(found) if found.since > since => None,
            // Just read: a second read would return the refused credentials again.
            Some(found) if !has_ended && found.since.elapsed() < KEEP_FAILURE => None,
            _ => self.load(&mut cached).await.ok().filter(is_other),
        }
    }

    /// Makes the cached credentials appear to have been read earlier.
    #[cfg(test)]
    pub(super) async fn age(&self) {
        if let Some(cached) = &mut *self.cached.lock().await {
            cached.since -= KEEP_FAILURE;
        }
    }

    async fn load(&self, cached: &mut Option<Cached>) -> Result<Credential, LoadError> {
        let failed = |reason: &str| LoadError { reason: reason.to_owned(), source: None };
        let result = match self.provider.provide_credential_dyn(&self.context).await {
            Ok(Some(found)) => without_blanks(&found)
                .ok_or_else(|| failed("the access key ID or the secret access key is blank; set both, or remove both")),
            Ok(None) => Err(failed(self.missing)),
            Err(error) => Err(LoadError { reason: with_causes(&error), source: Some(Arc::new(error)) }),
        };
        *cached = Some(Cached { result: result.clone(), since: Instant::now() });
        result
    }
}

impl Cached {
    fn is_fresh(&self) -> bool {
        match &self.result {
            // reqsign renews two minutes before they expire.
            Ok(found) if found.expires_in.is_some() => found.is_valid(),
            Ok(_) => self.since.elapsed() < KEEP_UNDATED,
            Err(_) => self.since.elapsed() < KEEP_FAILURE,
        }
    }
}

/// Removes white space around the texts of a credential, which no key contains. A blank session token counts as absent.
/// `None` if a key is blank.
fn without_blanks(found: &Credential) -> Option<Credential> {
    Some(Credential {
        access_key_id: not_blank(&found.access_key_id)?.to_owned(),
        secret_access_key: not_blank(&found.secret_access_key)?.to_owned(),
        session_token: found.session_token.as_deref().and_then(not_blank).map(str::to_owned),
        expires_in: found.expires_in,
    })
}

/// Returns the error with its causes on one line.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
