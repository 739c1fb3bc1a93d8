//! One transfer to one client: logged once and counted once, when it ends, whatever its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use tracing::info;

use super::events::{TransferEnd, TransferFacts};
use super::traffic::{Open, Traffic};
use crate::span::{Kind, Span};

/// Characters of an unknown name that the log shows.
const UNKNOWN_SHOWN: usize = 200;

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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

/// Where a transfer's bytes came from, in the order of how far that is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Protocol {
    /// HTTP, over TLS or not.
    Http,
    /// TFTP.
    Tftp,
}

impl Outcome {
    /// The contract's word for it, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl CacheState {
    /// The contract's word for it, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Protocol {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A transfer under way. Ends once: by [`Transfer::finish`], or as `aborted` when dropped.
pub struct Transfer {
    open: Arc<Open>,
    traffic: Arc<Traffic>,
    began: Instant,
    ended: bool,
    span: Span,
}

impl Transfer {
    /// A transfer of `name` to `peer`, begun now.
    pub(super) fn begin(traffic: &Arc<Traffic>, protocol: Protocol, peer: SocketAddr, name: String) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let open = traffic.begin(TransferFacts { id, protocol, peer, name, began: SystemTime::now() });
        let span = Span::begin("transfer", Kind::Server);
        Self { open, traffic: Arc::clone(traffic), began: Instant::now(), ended: false, span }
    }

    /// Says where its bytes come from.
    pub fn set_cache(&mut self, state: CacheState) {
        self.open.set_cache(state);
    }

    /// Counts payload bytes that went out, repeats not included. Whoever looks sees them at once; it costs one addition.
    pub fn add_sent(&self, bytes: u64) {
        self.open.add_sent(bytes);
    }

    /// Says how many payload bytes went out in all, for an owner that counts by itself.
    pub fn set_sent(&self, bytes: u64) {
        self.open.set_sent(bytes);
    }

    /// Payload bytes that went out so far.
    pub fn sent(&self) -> u64 {
        self.open.sent()
    }

    /// What it took, for what is a part of it.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Ends it, with what the log should say besides the outcome.
    pub fn finish(mut self, outcome: Outcome, detail: Option<&str>) {
        self.end(outcome, detail);
    }

    fn end(&mut self, outcome: Outcome, detail: Option<&str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let facts = &self.open.facts;
        let (protocol, state, sent) = (facts.protocol.as_str(), self.open.cache(), self.open.sent());
        let cache = state.map_or("none", CacheState::as_str);
        let took = self.began.elapsed();
        let seconds = took.as_secs_f64();
        info!(
            target: "bootdepot::transfer",
            protocol,
            peer = %facts.peer,
            asset = %facts.name,
            outcome = outcome.as_str(),
            cache,
            bytes = sent,
            seconds = format_args!("{seconds:.3}"),
            detail,
            "transfer",
        );
        self.trace(outcome, cache, detail);
        self.traffic.end(facts, TransferEnd { outcome, cache: state, sent, took });
    }

    fn trace(&self, outcome: Outcome, cache: &'static str, detail: Option<&str>) {
        let (facts, span) = (&self.open.facts, &self.span);
        span.text("network.protocol.name", facts.protocol.as_str());
        span.text("client.address", &facts.peer.ip().to_canonical());
        span.number("client.port", facts.peer.port().into());
        span.text("bootdepot.asset", &facts.name);
        span.text("bootdepot.outcome", outcome.as_str());
        span.text("bootdepot.cache", cache);
        span.number("bootdepot.sent_bytes", self.open.sent());
        // What a client does or wants is no failure of ours.
        if matches!(outcome, Outcome::DigestMismatch | Outcome::OriginFailed) {
            span.fail(outcome.as_str(), detail.unwrap_or_default());
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end(Outcome::Aborted, None);
    }
}

/// A client's text as a log and a list may show it: escaped, so that it writes no lines of its own, and cut.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(UNKNOWN_SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::TransferEvent;

    #[test]
    fn an_unknown_name_writes_no_line_of_its_own() {
        let forged = shown("x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J");
        assert_eq!(forged, r#"x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J"#);
        assert_eq!(shown(&"ü".repeat(1500)), "ü".repeat(200));
    }

    #[test]
    fn a_listener_hears_of_the_beginning_and_of_one_end() {
        let traffic = Arc::new(Traffic::new());
        let mut heard = traffic.subscribe();
        let peer = "192.0.2.7:4000".parse().unwrap();
        let mut transfer = Transfer::begin(&traffic, Protocol::Tftp, peer, "x".to_owned());
        transfer.set_cache(CacheState::Hit);
        transfer.add_sent(7);
        transfer.finish(Outcome::Complete, None);
        let TransferEvent::Began(facts) = heard.try_recv().unwrap() else { panic!("it begins first") };
        assert_eq!((facts.peer, facts.name.as_str()), (peer, "x"));
        let TransferEvent::Ended(ended, end) = heard.try_recv().unwrap() else { panic!("it ends then") };
        assert_eq!(
            (ended.id, end.outcome, end.cache, end.sent),
            (facts.id, Outcome::Complete, Some(CacheState::Hit), 7)
        );
        assert!(heard.try_recv().is_err());
    }
}
