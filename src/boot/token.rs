//! One-time tokens for files that only their own host may fetch.
//!
//! A token belongs to a host, and is valid at the address that its script was sent to. Scripts are sent to any client that
//! names the host, so that a script changes nothing for tokens that other addresses have.
//!
//! Tokens are stored by their digest, so the duration of a lookup does not reveal how much of a wrong token is right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::asset::Digest;

/// How long an unused token is valid. A machine fetches its files within the minutes that its kernel and root file system
/// take; afterwards, a token found in a log must be worthless.
const LIFETIME: Duration = Duration::from_hours(1);
/// How long a token stays valid after its first use: installers retry interrupted downloads.
const REUSE: Duration = Duration::from_mins(1);
/// The most tokens stored for one host. Those of other hosts do not count: requests that name one host leave the boots of
/// all others alone.
const MAX_OF_HOST: usize = 128;
/// The most of them that one address has: a client that requests the script of another machine again and again drops only
/// its own tokens.
const MAX_OF_ADDRESS: usize = MAX_OF_HOST / 4;

/// The characters of a token: 128 bits in hexadecimal.
pub(super) const TOKEN_LENGTH: usize = 32;

/// The issued tokens of each host, oldest first. Only hosts of the roster have any, so their number is bounded.
#[derive(Default)]
pub(super) struct TokenStore {
    issued: Mutex<HashMap<String, Vec<Token>>>,
}

struct Token {
    digest: Digest,
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
    /// No script with a token was sent to the address, or the token was sent to another one.
    #[error("this token of the host was not sent to this address; boot the host from this address first")]
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

impl TokenStore {
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
        let token = format!("{:0TOKEN_LENGTH$x}", u128::from_be_bytes(random));
        let (digest, file) = (Digest::of(token.as_bytes()), file.map(str::to_owned));
        let issued = Token { digest, file, peer: peer.to_canonical(), issued: now, used: Vec::new() };
        let mut hosts = self.issued.lock();
        let tokens = hosts.entry(host.to_owned()).or_default();
        tokens.retain(|token| now.saturating_duration_since(token.issued) <= LIFETIME + REUSE);
        make_room(tokens, issued.peer);
        tokens.push(issued);
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
        let (peer, digest) = (peer.to_canonical(), token.map(|token| Digest::of(token.as_bytes())));
        let hosts = self.issued.lock();
        let tokens = hosts.get(host).map_or(&[][..], Vec::as_slice);
        let Some(token) = tokens.iter().find(|token| Some(token.digest) == digest && token.is_for(file)) else {
            let has_any = tokens.iter().any(|token| token.peer == peer);
            return Err(if has_any { TokenError::Missing } else { TokenError::WrongAddress });
        };
        match token.first_use(file) {
            _ if token.peer != peer => Err(TokenError::WrongAddress),
            Some(used) if now.saturating_duration_since(used) > REUSE => Err(TokenError::Used),
            None if now.saturating_duration_since(token.issued) > LIFETIME => Err(TokenError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    /// Records the use of a token of `host` for `file`, after it was rendered. If rendering fails, the token stays unused: a
    /// secret store that is down for two minutes must not cost the machine another boot.
    pub(super) fn mark_used(&self, host: &str, token: &str, file: &str) {
        self.mark_used_at(host, token, file, Instant::now());
    }

    fn mark_used_at(&self, host: &str, token: &str, file: &str, now: Instant) {
        let digest = Digest::of(token.as_bytes());
        let mut hosts = self.issued.lock();
        let token = hosts.get_mut(host).and_then(|tokens| tokens.iter_mut().find(|token| token.digest == digest));
        if let Some(token) = token.filter(|token| token.first_use(file).is_none()) {
            token.used.push((file.to_owned(), now));
        }
    }
}

/// Drops the oldest token of `peer` if it has its share of them; else, if there are too many, the oldest of the address
/// that has most.
fn make_room(tokens: &mut Vec<Token>, peer: IpAddr) {
    let mut counts = HashMap::new();
    for token in tokens.iter() {
        *counts.entry(token.peer).or_insert(0_usize) += 1;
    }
    let most = counts.values().max().copied().unwrap_or_default();
    let surplus = if counts.get(&peer).is_some_and(|count| *count >= MAX_OF_ADDRESS) {
        tokens.iter().position(|token| token.peer == peer)
    } else if tokens.len() >= MAX_OF_HOST {
        tokens.iter().position(|token| counts.get(&token.peer) == Some(&most))
    } else {
        None
    };
    if let Some(surplus) = surplus {
        tokens.remove(surplus);
    }
}

impl Token {
    fn is_for(&self, file: &str) -> bool {
        self.file.as_deref().is_none_or(|only| only == file)
    }

    /// When `file` was fetched with it first.
    fn first_use(&self, file: &str) -> Option<Instant> {
        self.used.iter().find(|(used, _)| used == file).map(|(_, at)| *at)
    }
}

#[cfg(test)]
impl TokenStore {
    pub(super) fn is_used(&self, token: &str) -> bool {
        let (digest, hosts) = (Digest::of(token.as_bytes()), self.issued.lock());
        hosts.values().flatten().any(|token| token.digest == digest && !token.used.is_empty())
    }

    /// How many are stored.
    pub(super) fn count(&self) -> usize {
        self.issued.lock().values().map(Vec::len).sum()
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
        assert_eq!(check("b", "config.ign", &token, OTHER), Err(TokenError::WrongAddress), "no script was sent yet");
        tokens.issue_at("b", Some("config.ign"), OTHER, now).unwrap();
        assert_eq!(check("a", "config.ign", &token, OTHER), Err(TokenError::WrongAddress));
        assert_eq!(check("b", "config.ign", &token, OTHER), Err(TokenError::Missing));
        assert_eq!(check("a", "other.ign", &token, HOME), Err(TokenError::Missing));
        assert_eq!(check("a", "config.ign", &token[1..], HOME), Err(TokenError::Missing));
        assert_eq!(tokens.check_at("a", "config.ign", None, HOME, now), Err(TokenError::Missing));
        assert_eq!(check("a", "config.ign", &token, HOME), Ok(()));
        let late = now + REUSE + REUSE;
        assert_eq!(tokens.check_at("a", "config.ign", Some(&token), HOME, late), Ok(()), "the token is still unused");
        tokens.mark_used_at("a", &token, "config.ign", now);
        // Only the first use is recorded.
        tokens.mark_used_at("a", &token, "config.ign", now + REUSE);
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
        let token = tokens.issue_at("a", None, HOME, now).unwrap();
        let check = |host: &str, file: &str, at| tokens.check_at(host, file, Some(&token), HOME, at);
        let late = now + REUSE + REUSE;
        for (file, at) in [("meta-data", now), ("user-data", late)] {
            assert_eq!(check("a", file, at), Ok(()));
            tokens.mark_used_at("a", &token, file, at);
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
        let token = tokens.issue_at("a", Some("f"), HOME, now).unwrap();
        let late = now + LIFETIME + Duration::from_millis(1);
        assert_eq!(tokens.check_at("a", "f", Some(&token), HOME, late), Err(TokenError::Expired));
        assert_eq!(tokens.check_at("a", "f", Some(&token), HOME, now + LIFETIME), Ok(()));
    }

    #[test]
    fn each_address_has_own_tokens() {
        let (tokens, now) = (TokenStore::default(), Instant::now());
        let token = tokens.issue_at("a", Some("f"), HOME, now).unwrap();
        let theirs = tokens.issue_at("a", Some("f"), OTHER, now).unwrap();
        for (token, peer, expected) in [
            (&token, HOME, Ok(())),
            (&theirs, OTHER, Ok(())),
            (&token, OTHER, Err(TokenError::WrongAddress)),
            (&theirs, HOME, Err(TokenError::WrongAddress)),
        ] {
            assert_eq!(tokens.check_at("a", "f", Some(token), peer, now), expected);
        }
    }

    #[test]
    fn address_flood_drops_own_tokens() {
        let tokens = TokenStore::default();
        let home = tokens.issue("a", Some("f"), HOME).unwrap();
        let other_host = tokens.issue("b", Some("f"), OTHER).unwrap();
        let flood: Vec<_> = (0..1000).map(|_| tokens.issue("a", Some("f"), OTHER).unwrap()).collect();
        let is_good = |token: &String| tokens.check("a", "f", Some(token), OTHER).is_ok();
        assert_eq!(flood.iter().filter(|token| is_good(token)).count(), MAX_OF_ADDRESS);
        assert!(flood[1000 - MAX_OF_ADDRESS..].iter().all(is_good), "the newest stay");
        assert_eq!(tokens.check("a", "f", Some(&home), HOME), Ok(()));
        assert_eq!(tokens.check("b", "f", Some(&other_host), OTHER), Ok(()));
    }

    #[test]
    fn host_flood_is_bounded() {
        let tokens = TokenStore::default();
        let home = tokens.issue("a", Some("f"), HOME).unwrap();
        let other_host = tokens.issue("b", Some("f"), HOME).unwrap();
        for address in 0..20_u8 {
            for _ in 0..MAX_OF_ADDRESS {
                tokens.issue("a", Some("f"), IpAddr::from([10, 0, 1, address])).unwrap();
            }
        }
        assert_eq!(tokens.count(), MAX_OF_HOST + 1);
        assert_eq!(tokens.check("a", "f", Some(&home), HOME), Ok(()), "those that have most lose first");
        assert_eq!(tokens.check("b", "f", Some(&other_host), HOME), Ok(()));
    }

    #[test]
    fn tokens_are_unique_128_bit_hex() {
        let tokens = TokenStore::default();
        let all: std::collections::HashSet<_> = (0..100).map(|_| tokens.issue("a", Some("f"), HOME).unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|token| token.len() == TOKEN_LENGTH && token.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
