//! The accounting of one transfer to one client: logged once and counted once, when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::cache_state::CacheState;
use super::events::{TransferEnd, TransferFacts};
use super::outcome::Outcome;
use super::protocol::Protocol;
use super::transfer_registry::{ActiveTransfer, TransferRegistry};
use crate::span::{Kind, Span};

/// Characters of an unknown name that are logged.
const MAX_UNKNOWN_NAME: usize = 200;

/// An active transfer. Ends once: by [`Transfer::finish`], or as `aborted` when dropped.
pub struct Transfer {
    active: Arc<ActiveTransfer>,
    registry: Arc<TransferRegistry>,
    began: Instant,
    ended: bool,
    request: Option<String>,
    span: Span,
}

impl Transfer {
    /// Starts the accounting of a transfer of `name` to `peer`, which was requested at `since`.
    pub(super) fn begin(
        registry: &Arc<TransferRegistry>,
        protocol: Protocol,
        peer: SocketAddr,
        name: String,
        since: Instant,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now();
        let began = now.checked_sub(since.elapsed()).unwrap_or(now);
        let active = registry.begin(TransferFacts { id, protocol, peer, name, began });
        let span = Span::begin("transfer", Kind::Server);
        Self { active, registry: Arc::clone(registry), began: since, ended: false, request: None, span }
    }

    /// Sets where the bytes come from.
    pub fn set_cache(&mut self, state: CacheState) {
        self.active.set_cache(state);
    }

    /// Counts payload bytes that were sent, without retransmissions. Costs one atomic addition.
    pub fn add_sent(&self, bytes: u64) {
        self.active.add_sent(bytes);
    }

    /// Sets the total of payload bytes that were sent, for an owner that counts them itself.
    pub fn set_sent(&self, bytes: u64) {
        self.active.set_sent(bytes);
    }

    /// Payload bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.active.sent()
    }

    /// The name of what is sent.
    pub(super) fn name(&self) -> &str {
        &self.active.facts.name
    }

    /// The trace span of this transfer, as the parent of others.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Sets the id of a request that fails, which its response has.
    pub fn set_request(&mut self, id: &impl std::fmt::Display) {
        self.request = Some(id.to_string());
    }

    /// Ends the transfer; `detail` is logged with the outcome.
    pub fn finish(mut self, outcome: Outcome, detail: Option<&str>) {
        self.end(outcome, detail);
    }

    fn end(&mut self, outcome: Outcome, detail: Option<&str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (cache, sent) = (self.active.cache(), self.active.sent());
        self.trace(outcome, cache.map_or("none", CacheState::as_str), detail);
        let (took, detail, request) = (self.began.elapsed(), detail.map(str::to_owned), self.request.take());
        self.registry.end(&self.active.facts, TransferEnd { outcome, cache, sent, took, detail, request });
    }

    fn trace(&self, outcome: Outcome, cache: &'static str, detail: Option<&str>) {
        let (facts, span) = (&self.active.facts, &self.span);
        span.text("network.protocol.name", facts.protocol.as_str());
        span.text("client.address", &facts.peer.ip().to_canonical());
        span.number("client.port", facts.peer.port().into());
        span.text("bootdepot.asset", &facts.name);
        span.text("bootdepot.outcome", outcome.as_str());
        span.text("bootdepot.cache", cache);
        span.number("bootdepot.sent_bytes", self.active.sent());
        // A failed request or a disconnect is not an error of this server.
        if matches!(outcome, Outcome::DigestMismatch | Outcome::OriginFailed | Outcome::RenderFailed) {
            span.fail(outcome.as_str(), detail.unwrap_or_default());
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end(Outcome::Aborted, None);
    }
}

/// Escapes and truncates a client's text, so that it cannot add lines to the log.
pub(super) fn escape_for_log(text: &str) -> String {
    text.chars().take(MAX_UNKNOWN_NAME).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::events::TransferEvent;

    #[test]
    fn unknown_name_is_escaped_and_truncated() {
        let forged = escape_for_log("x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J");
        assert_eq!(forged, r#"x outcome=\"complete\"\n2026-01-01T00:00:00Z  INFO \u{1b}[2J"#);
        assert_eq!(escape_for_log(&"ü".repeat(1500)), "ü".repeat(200));
    }

    #[test]
    fn subscriber_gets_one_start_and_one_end() {
        let registry = Arc::new(TransferRegistry::new());
        let mut events = registry.subscribe();
        let peer = "192.0.2.7:4000".parse().unwrap();
        let mut transfer = Transfer::begin(&registry, Protocol::Tftp, peer, "x".to_owned(), Instant::now());
        transfer.set_cache(CacheState::Hit);
        transfer.add_sent(7);
        transfer.finish(Outcome::Complete, None);
        let TransferEvent::Began(facts) = events.try_recv().unwrap() else { panic!("expected the start") };
        assert_eq!((facts.peer, facts.name.as_str()), (peer, "x"));
        let TransferEvent::Ended(ended, end) = events.try_recv().unwrap() else { panic!("expected the end") };
        assert_eq!(
            (ended.id, end.outcome, end.cache, end.sent),
            (facts.id, Outcome::Complete, Some(CacheState::Hit), 7)
        );
        assert!(events.try_recv().is_err());
    }
}
