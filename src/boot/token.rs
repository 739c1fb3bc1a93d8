//! One-time tokens for files that only their own host may have, and where each host's last script went.
//!
//! A token is kept by its digest: a look-up takes as long for a wrong token as for a right one, so its time tells nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::asset::Digest;

/// How long a token waits for its use. A machine fetches its files within the minutes that its kernel and root file
/// system take; a token that was never used is worth nothing to whoever reads a log the next day.
const LIFETIME: Duration = Duration::from_hours(1);
/// How long after its first use a token is still good: installers fetch again when a download breaks off, and ask HEAD
/// before GET.
const AGAIN: Duration = Duration::from_mins(1);
/// The most tokens at a time: some scripts of each of ten thousand hosts. The oldest go first.
const MOST: u64 = 100_000;

/// The tokens that are out, and to which address each host's script went last.
pub(super) struct Tokens {
    out: moka::sync::Cache<Digest, Token>,
    homes: Mutex<HashMap<String, IpAddr>>,
}

#[derive(Clone)]
struct Token {
    host: String,
    file: String,
    peer: IpAddr,
    minted: Instant,
    used: Option<Instant>,
}

/// Why a file is not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// The host's script went elsewhere, or nowhere yet.
    #[error("the host's last script did not go to this address; boot it from here first")]
    Elsewhere,
    /// No token, or not one of this file.
    #[error("the URL has no token for it; the host's script has one")]
    None,
    /// It waited too long.
    #[error("its token is more than an hour old; boot the host again")]
    Expired,
    /// It had its use.
    #[error("its token was used already; boot the host again")]
    Used,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::at_most(MOST)
    }
}

impl Tokens {
    fn at_most(most: u64) -> Self {
        Self {
            out: moka::sync::Cache::builder()
                .max_capacity(most)
                // Else a new token could be the one that goes.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(LIFETIME + AGAIN)
                .build(),
            homes: Mutex::default(),
        }
    }

    /// Takes note that a script for `host` went to `peer`.
    pub(super) fn went_to(&self, host: &str, peer: IpAddr) {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        homes.insert(host.to_owned(), peer.to_canonical());
    }

    /// A token of 128 random bits with which `peer` gets `file` of `host` once.
    pub(super) fn mint(&self, host: &str, file: &str, peer: IpAddr) -> Result<String, String> {
        self.mint_at(host, file, peer, Instant::now())
    }

    fn mint_at(&self, host: &str, file: &str, peer: IpAddr, now: Instant) -> Result<String, String> {
        let mut random = [0_u8; 16];
        // Up to 256 bytes come whole (getrandom(2)).
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let token = format!("{:032x}", u128::from_be_bytes(random));
        let peer = peer.to_canonical();
        let kept = Token { host: host.to_owned(), file: file.to_owned(), peer, minted: now, used: None };
        self.out.insert(Digest::of(token.as_bytes()), kept);
        Ok(token)
    }

    /// Whether `peer` may have `file` of `host` with this token. It counts as used when [`Self::used`] says so.
    pub(super) fn admit(&self, host: &str, file: &str, token: Option<&str>, peer: IpAddr) -> Result<(), TokenError> {
        self.admit_at(host, file, token, peer, Instant::now())
    }

    fn admit_at(
        &self,
        host: &str,
        file: &str,
        token: Option<&str>,
        peer: IpAddr,
        now: Instant,
    ) -> Result<(), TokenError> {
        let peer = peer.to_canonical();
        if self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(host) != Some(&peer) {
            return Err(TokenError::Elsewhere);
        }
        let found = self.out.get(&Digest::of(token.ok_or(TokenError::None)?.as_bytes()));
        let found = found.filter(|token| token.host == host && token.file == file && token.peer == peer);
        let token = found.ok_or(TokenError::None)?;
        match token.used {
            Some(used) if now.saturating_duration_since(used) > AGAIN => Err(TokenError::Used),
            None if now.saturating_duration_since(token.minted) > LIFETIME => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// The token had its use: the file was made for it. Before that it is good for another try, or a secret that could not
    /// be had for two minutes would cost the machine another boot.
    pub(super) fn used(&self, token: &str) {
        self.used_at(token, Instant::now());
    }

    fn used_at(&self, token: &str, now: Instant) {
        let key = Digest::of(token.as_bytes());
        self.out.entry(key).and_compute_with(|entry| match entry.map(moka::Entry::into_value) {
            Some(token @ Token { used: None, .. }) => Op::Put(Token { used: Some(now), ..token }),
            _ => Op::Nop,
        });
    }
}

#[cfg(test)]
impl Tokens {
    pub(super) fn is_used(&self, token: &str) -> bool {
        self.out.get(&Digest::of(token.as_bytes())).is_some_and(|token| token.used.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 8));

    #[test]
    fn a_token_is_good_once_for_its_host_its_file_and_its_address() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let token = tokens.mint_at("a", "config.ign", HOME, now).unwrap();
        let admit = |host: &str, file: &str, token: &str, peer| tokens.admit_at(host, file, Some(token), peer, now);
        assert_eq!(admit("a", "config.ign", &token, HOME), Err(TokenError::Elsewhere), "no script went anywhere");
        tokens.went_to("a", HOME);
        tokens.went_to("b", OTHER);
        assert_eq!(admit("a", "config.ign", &token, OTHER), Err(TokenError::Elsewhere));
        assert_eq!(admit("b", "config.ign", &token, OTHER), Err(TokenError::None));
        assert_eq!(admit("a", "other.ign", &token, HOME), Err(TokenError::None));
        assert_eq!(admit("a", "config.ign", &token[1..], HOME), Err(TokenError::None));
        assert_eq!(tokens.admit_at("a", "config.ign", None, HOME, now), Err(TokenError::None));
        assert_eq!(admit("a", "config.ign", &token, HOME), Ok(()));
        let late = now + AGAIN + AGAIN;
        assert_eq!(tokens.admit_at("a", "config.ign", Some(&token), HOME, late), Ok(()), "nothing was made of it yet");
        tokens.used_at(&token, now);
        // The first use counts.
        tokens.used_at(&token, now + AGAIN);
        // The same address as a dual-stack socket shows it.
        let mapped = "::ffff:10.0.0.7".parse().unwrap();
        assert_eq!(
            tokens.admit_at("a", "config.ign", Some(&token), mapped, now + AGAIN),
            Ok(()),
            "again, a minute later"
        );
        let late = now + AGAIN + Duration::from_millis(1);
        assert_eq!(tokens.admit_at("a", "config.ign", Some(&token), HOME, late), Err(TokenError::Used));
    }

    #[test]
    fn a_token_that_nobody_uses_expires() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        tokens.went_to("a", HOME);
        let token = tokens.mint_at("a", "f", HOME, now).unwrap();
        let late = now + LIFETIME + Duration::from_millis(1);
        assert_eq!(tokens.admit_at("a", "f", Some(&token), HOME, late), Err(TokenError::Expired));
        assert_eq!(tokens.admit_at("a", "f", Some(&token), HOME, now + LIFETIME), Ok(()));
    }

    #[test]
    fn a_script_that_goes_elsewhere_takes_the_right_along() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        tokens.went_to("a", HOME);
        let token = tokens.mint_at("a", "f", HOME, now).unwrap();
        tokens.went_to("a", OTHER);
        assert_eq!(tokens.admit_at("a", "f", Some(&token), HOME, now), Err(TokenError::Elsewhere));
        assert_eq!(tokens.admit_at("a", "f", Some(&token), OTHER, now), Err(TokenError::None));
    }

    #[test]
    fn of_too_many_tokens_the_oldest_go() {
        let tokens = Tokens::at_most(10);
        tokens.went_to("a", HOME);
        let all: Vec<_> =
            (0..50).map(|_| tokens.mint("a", "f", HOME).unwrap()).inspect(|_| tokens.out.run_pending_tasks()).collect();
        let good = |token: &String| tokens.admit("a", "f", Some(token), HOME).is_ok();
        assert!(all[40..].iter().all(good));
        assert!(!all[..40].iter().any(good));
    }

    #[test]
    fn tokens_have_128_bits_and_are_never_the_same() {
        let tokens = Tokens::default();
        let all: std::collections::HashSet<_> = (0..100).map(|_| tokens.mint("a", "f", HOME).unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|token| token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
