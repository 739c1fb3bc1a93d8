//! Vault tokens and their lifetime.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// Returns when to renew a lease or token that lives for `ttl`: after two thirds, as Vault's own agent does, which leaves
/// time for retries.
pub(super) fn renewal_delay(ttl: Duration) -> Duration {
    ttl * 2 / 3
}

/// A token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) renewable: bool,
    /// When to renew or replace it. `None`: it has no known expiry.
    pub(super) due: Option<Instant>,
}

/// The reply to a login or renewal.
#[derive(Deserialize)]
pub(super) struct AuthReply {
    pub(super) auth: Auth,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    client_token: String,
    /// Seconds. 0: the token does not expire.
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

/// The reply to a lookup of a token.
#[derive(Deserialize)]
pub(super) struct LookupReply {
    pub(super) data: Lookup,
}

#[derive(Deserialize)]
pub(super) struct Lookup {
    /// Seconds left. 0: the token does not expire.
    #[serde(default)]
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

impl Token {
    /// A token that expires in `seconds`, or never if `seconds` is 0.
    pub(super) fn new(value: String, seconds: u64, renewable: bool) -> Self {
        let due = (seconds > 0).then(|| Instant::now() + renewal_delay(Duration::from_secs(seconds)));
        Self { value, renewable, due }
    }

    /// Whether it must be renewed or replaced now.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

impl From<Auth> for Token {
    fn from(auth: Auth) -> Self {
        Self::new(auth.client_token, auth.lease_duration, auth.renewable)
    }
}
