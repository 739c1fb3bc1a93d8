//! One-time tokens for files that only their own host may fetch, and the address of each host's last script.
//!
//! Tokens are stored by their digest, so the duration of a lookup does not reveal how much of a wrong token is right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::asset::Digest;

/// How long an unused token is valid. A machine fetches its files within the minutes that its kernel and root file system
/// take; afterwards, a token found in a log must be worthless.
const LIFETIME: Duration = Duration::from_hours(1);
/// How long a token stays valid after its first use: installers retry interrupted downloads, and send HEAD before GET.
const REUSE: Duration = Duration::from_mins(1);
/// The most tokens stored: several scripts for each of ten thousand hosts. The oldest are dropped first.
const MAX_TOKENS: u64 = 100_000;

/// The issued tokens, and the address to which each host's last script was sent.
pub(super) struct TokenStore {
    issued: moka::sync::Cache<Digest, Token>,
    script_addresses: Mutex<HashMap<String, IpAddr>>,
}

#[derive(Clone)]
struct Token {
    host: String,
    /// The file; `None` for every file of the host.
    file: Option<String>,
    peer: IpAddr,
    issued: Instant,
    /// The files that were fetched with it, each with the time of its first use.
    used: Vec<(String, Instant)>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// The host's last script was sent to another address, or none was sent.
    #[error("the host's last script was not sent to this address; boot the host from this address first")]
    WrongAddress,
    /// The URL has no token, or one for another file.
    #[error("the URL has no valid token; use the URL in the host's script")]
    Missing,
    /// The token was not used in time.
    #[error("the token is more than an hour old; boot the host again")]
    Expired,
    /// The token was used before.
    #[error("the token was used already; boot the host again")]
    Used,
}

impl Default for TokenStore {
    fn default() -> Self {
        Self::with_capacity(MAX_TOKENS)
    }
}

impl TokenStore {
    fn with_capacity(capacity: u64) -> Self {
        Self {
            issued: moka::sync::Cache::builder()
                .max_capacity(capacity)
                // The default policy may reject a new token instead.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(LIFETIME + REUSE)
                .build(),
            script_addresses: Mutex::default(),
        }
    }

    /// Records that a script for `host` was sent to `peer`.
    pub(super) fn record_script(&self, host: &str, peer: IpAddr) {
        self.script_addresses.lock().insert(host.to_owned(), peer.to_canonical());
    }

    /// Issues a token of 128 random bits, with which `peer` may fetch `file` of `host` once, or each of its files if `None`.
    /// Fails if the system has no random bytes.
    pub(super) fn issue(&self, host: &str, file: Option<&str>, peer: IpAddr) -> Result<String, String> {
        self.issue_at(host, file, peer, Instant::now())
    }

    fn issue_at(&self, host: &str, file: Option<&str>, peer: IpAddr, now: Instant) -> Result<String, String> {
        let mut random = [0_u8; 16];
        // Up to 256 bytes are never cut short (getrandom(2)).
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let token = format!("{:032x}", u128::from_be_bytes(random));
        let peer = peer.to_canonical();
        let file = file.map(str::to_owned);
        let kept = Token { host: host.to_owned(), file, peer, issued: now, used: Vec::new() };
        self.issued.insert(Digest::of(token.as_bytes()), kept);
        Ok(token)
    }

    /// Checks that `peer` may fetch `file` of `host` with this token. Does not use it up; see [`Self::mark_used`].
    pub(super) fn check(&self, host: &str, file: &str, token: Option<&str>, peer: IpAddr) -> Result<(), TokenError> {
        self.check_at(host, file, token, peer, Instant::now())
    }

    fn check_at(
        &self,
        host: &str,
        file: &str,
        token: Option<&str>,
        peer: IpAddr,
        now: Instant,
    ) -> Result<(), TokenError> {
        let peer = peer.to_canonical();
        if self.script_addresses.lock().get(host) != Some(&peer) {
            return Err(TokenError::WrongAddress);
        }
        let found = self.issued.get(&Digest::of(token.ok_or(TokenError::Missing)?.as_bytes()));
        let is_for = |token: &Token| token.file.as_deref().is_none_or(|only| only == file);
        let found = found.filter(|token| token.host == host && is_for(token) && token.peer == peer);
        let token = found.ok_or(TokenError::Missing)?;
        match token.first_use(file) {
            Some(used) if now.saturating_duration_since(used) > REUSE => Err(TokenError::Used),
            None if now.saturating_duration_since(token.issued) > LIFETIME => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// Records the use of a token for `file`, after it was rendered. If rendering fails, the token stays unused: a secret
    /// store that is down for two minutes must not cost the machine another boot.
    pub(super) fn mark_used(&self, token: &str, file: &str) {
        self.mark_used_at(token, file, Instant::now());
    }

    fn mark_used_at(&self, token: &str, file: &str, now: Instant) {
        let key = Digest::of(token.as_bytes());
        self.issued.entry(key).and_compute_with(|entry| match entry.map(moka::Entry::into_value) {
            Some(mut token) if token.first_use(file).is_none() => {
                token.used.push((file.to_owned(), now));
                Op::Put(token)
            }
            _ => Op::Nop,
        });
    }
}

impl Token {
    /// When `file` was fetched with it first.
    fn first_use(&self, file: &str) -> Option<Instant> {
        self.used.iter().find(|(used, _)| used == file).map(|(_, at)| *at)
    }
}

#[cfg(test)]
impl TokenStore {
    pub(super) fn is_used(&self, token: &str) -> bool {
        self.issued.get(&Digest::of(token.as_bytes())).is_some_and(|token| !token.used.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 8));

    #[test]
    fn token_admits_host_file_and_address_once() {
        let (tokens, now) = (TokenStore::default(), Instant::now());
        let token = tokens.issue_at("a", Some("config.ign"), HOME, now).unwrap();
        let check = |host: &str, file: &str, token: &str, peer| tokens.check_at(host, file, Some(token), peer, now);
        assert_eq!(check("a", "config.ign", &token, HOME), Err(TokenError::WrongAddress), "no script was sent yet");
        tokens.record_script("a", HOME);
        tokens.record_script("b", OTHER);
        assert_eq!(check("a", "config.ign", &token, OTHER), Err(TokenError::WrongAddress));
        assert_eq!(check("b", "config.ign", &token, OTHER), Err(TokenError::Missing));
        assert_eq!(check("a", "other.ign", &token, HOME), Err(TokenError::Missing));
        assert_eq!(check("a", "config.ign", &token[1..], HOME), Err(TokenError::Missing));
        assert_eq!(tokens.check_at("a", "config.ign", None, HOME, now), Err(TokenError::Missing));
        assert_eq!(check("a", "config.ign", &token, HOME), Ok(()));
        let late = now + REUSE + REUSE;
        assert_eq!(tokens.check_at("a", "config.ign", Some(&token), HOME, late), Ok(()), "the token is still unused");
        tokens.mark_used_at(&token, "config.ign", now);
        // Only the first use is recorded.
        tokens.mark_used_at(&token, "config.ign", now + REUSE);
        // The same address as reported by a dual-stack socket.
        let mapped = "::ffff:10.0.0.7".parse().unwrap();
        assert_eq!(
            tokens.check_at("a", "config.ign", Some(&token), mapped, now + REUSE),
            Ok(()),
            "reused a minute later"
        );
        let late = now + REUSE + Duration::from_millis(1);
        assert_eq!(tokens.check_at("a", "config.ign", Some(&token), HOME, late), Err(TokenError::Used));
    }

    #[test]
    fn directory_token_admits_each_file_once() {
        let (tokens, now) = (TokenStore::default(), Instant::now());
        tokens.record_script("a", HOME);
        let token = tokens.issue_at("a", None, HOME, now).unwrap();
        let check = |host: &str, file: &str, at| tokens.check_at(host, file, Some(&token), HOME, at);
        let late = now + REUSE + REUSE;
        for (file, at) in [("meta-data", now), ("user-data", late)] {
            assert_eq!(check("a", file, at), Ok(()));
            tokens.mark_used_at(&token, file, at);
        }
        assert_eq!(check("a", "meta-data", late), Err(TokenError::Used));
        assert_eq!(check("a", "user-data", late), Ok(()));
        assert_eq!(check("a", "vendor-data", late), Ok(()));
        assert_eq!(check("a", "vendor-data", now + LIFETIME + REUSE), Err(TokenError::Expired));
        assert_eq!(check("b", "meta-data", now), Err(TokenError::WrongAddress));
    }

    #[test]
    fn token_unused_expires() {
        let (tokens, now) = (TokenStore::default(), Instant::now());
        tokens.record_script("a", HOME);
        let token = tokens.issue_at("a", Some("f"), HOME, now).unwrap();
        let late = now + LIFETIME + Duration::from_millis(1);
        assert_eq!(tokens.check_at("a", "f", Some(&token), HOME, late), Err(TokenError::Expired));
        assert_eq!(tokens.check_at("a", "f", Some(&token), HOME, now + LIFETIME), Ok(()));
    }

    #[test]
    fn script_to_other_address_revokes_token() {
        let (tokens, now) = (TokenStore::default(), Instant::now());
        tokens.record_script("a", HOME);
        let token = tokens.issue_at("a", Some("f"), HOME, now).unwrap();
        tokens.record_script("a", OTHER);
        assert_eq!(tokens.check_at("a", "f", Some(&token), HOME, now), Err(TokenError::WrongAddress));
        assert_eq!(tokens.check_at("a", "f", Some(&token), OTHER, now), Err(TokenError::Missing));
    }

    #[test]
    fn token_store_full_drops_oldest() {
        let tokens = TokenStore::with_capacity(10);
        tokens.record_script("a", HOME);
        let all: Vec<_> = (0..50)
            .map(|_| tokens.issue("a", Some("f"), HOME).unwrap())
            .inspect(|_| tokens.issued.run_pending_tasks())
            .collect();
        let good = |token: &String| tokens.check("a", "f", Some(token), HOME).is_ok();
        assert!(all[40..].iter().all(good));
        assert!(!all[..40].iter().any(good));
    }

    #[test]
    fn tokens_are_unique_128_bit_hex() {
        let tokens = TokenStore::default();
        let all: std::collections::HashSet<_> = (0..100).map(|_| tokens.issue("a", Some("f"), HOME).unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|token| token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
