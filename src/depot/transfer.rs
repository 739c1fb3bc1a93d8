//! One transfer to one client: logged once and counted once, when it ends, whatever its end.

use std::net::SocketAddr;
use std::time::Instant;

use metrics::{counter, gauge, histogram};
use tracing::info;

/// Characters of an unknown name that the log shows.
const UNKNOWN_SHOWN: usize = 200;

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All that was asked for went out, proven.
    Complete,
    /// The client asked for the size and let go.
    Probe,
    /// The client went away.
    Aborted,
    /// The client fell silent.
    Timeout,
    /// The bytes did not have the digest that the catalog names.
    DigestMismatch,
    /// The origin could not be read.
    OriginFailed,
    /// The request was not served: a bad request, too many transfers, or the server is stopping.
    Refused,
    /// There is no such asset.
    NotFound,
}

/// Where a transfer's bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheState {
    /// The cache.
    Hit,
    /// A fill that was under way.
    Join,
    /// A fill that this transfer began.
    Miss,
    /// The origin, stored nowhere: there was no room.
    Bypass,
}

/// The protocol a transfer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP, over TLS or not.
    Http,
    /// TFTP.
    Tftp,
}

impl Outcome {
    /// The contract's word for it, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Probe => "probe",
            Self::Aborted => "aborted",
            Self::Timeout => "timeout",
            Self::DigestMismatch => "digest-mismatch",
            Self::OriginFailed => "origin-failed",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
        }
    }
}

impl CacheState {
    /// The contract's word for it, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Join => "join",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

impl Protocol {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tftp => "tftp",
        }
    }
}

/// A transfer under way. Ends once: by [`Transfer::finish`], or as `aborted` when dropped.
pub struct Transfer {
    protocol: Protocol,
    peer: SocketAddr,
    name: String,
    began: Instant,
    cache: Option<CacheState>,
    sent: u64,
    ended: bool,
}

impl Transfer {
    /// A transfer of the asset `name` to `peer`, begun now.
    pub fn begin(protocol: Protocol, peer: SocketAddr, name: impl Into<String>) -> Self {
        gauge!("bootdepot_transfers_active", "protocol" => protocol.as_str()).increment(1.0);
        Self { protocol, peer, name: name.into(), began: Instant::now(), cache: None, sent: 0, ended: false }
    }

    /// A transfer of what the catalog does not have. `text` is the client's: it is escaped and cut, so that it writes
    /// no lines of its own into the log.
    pub fn begin_unknown(protocol: Protocol, peer: SocketAddr, text: &str) -> Self {
        let shown: String = text.chars().take(UNKNOWN_SHOWN).flat_map(char::escape_debug).collect();
        Self::begin(protocol, peer, shown)
    }

    /// Says where its bytes come from.
    pub fn set_cache(&mut self, state: CacheState) {
        self.cache = Some(state);
    }

    /// Counts payload bytes that went out, repeats not included.
    pub fn add_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Payload bytes that went out so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Ends it, with what the log should say besides the outcome.
    pub fn finish(mut self, outcome: Outcome, detail: Option<&str>) {
        self.end(outcome, detail);
    }

    fn end(&mut self, outcome: Outcome, detail: Option<&str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let protocol = self.protocol.as_str();
        let cache = self.cache.map_or("none", CacheState::as_str);
        let seconds = self.began.elapsed().as_secs_f64();
        gauge!("bootdepot_transfers_active", "protocol" => protocol).decrement(1.0);
        counter!("bootdepot_transfers_total", "protocol" => protocol, "outcome" => outcome.as_str(), "cache" => cache)
            .increment(1);
        counter!("bootdepot_sent_bytes_total", "protocol" => protocol).increment(self.sent);
        histogram!("bootdepot_transfer_seconds", "protocol" => protocol).record(seconds);
        info!(
            target: "bootdepot::transfer",
            protocol,
            peer = %self.peer,
            asset = %self.name,
            outcome = outcome.as_str(),
            cache,
            bytes = self.sent,
            seconds = format_args!("{seconds:.3}"),
            detail,
            "transfer",
        );
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end(Outcome::Aborted, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_writes_no_line_of_its_own() {
        let begin = |text: &str| Transfer::begin_unknown(Protocol::Tftp, "192.0.2.7:4000".parse().unwrap(), text);
        let forged = begin("x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J");
        assert_eq!(forged.name, r#"x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J"#);
        assert_eq!(begin(&"ü".repeat(1500)).name, "ü".repeat(200));
    }
}
