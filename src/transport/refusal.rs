//! Requests that are refused before a handler sees them: their reason, their id, their count and their log line.

use std::time::Instant;

use metrics::counter;
use parking_lot::Mutex;
use strum::{IntoStaticStr, VariantNames};
use tracing::warn;

use super::client::Client;
use super::request_id::RequestId;
use crate::rate_limit::{RateLimit, TokenBucket};

/// Log lines about refused requests: some at once, then one in ten seconds. A scanner must not fill the log.
const LOG_LIMIT: RateLimit = RateLimit { burst: 10.0, per_second: 0.1 };

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Refusal {
    /// The request does not follow RFC 9112 or RFC 9113.
    BadRequest,
    /// The head is larger than the limit.
    HeadTooLarge,
    /// A request of HTTP/1.1 has no `Host`, or more than one (RFC 9112 3.2).
    BadHost,
    /// The client began a TLS handshake on a plain port.
    TlsOnPlainPort,
    /// The client sent plain HTTP to a TLS port.
    PlainOnTlsPort,
    /// The TLS handshake failed.
    TlsHandshake,
}

/// The log of one listener's refused requests.
pub(crate) struct RefusalLog(Mutex<TokenBucket>);

impl RefusalLog {
    /// A log that is within its limit.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(TokenBucket::new(LOG_LIMIT, Instant::now())))
    }

    /// Counts a refused request, and logs it unless there are too many. Returns its id.
    pub(super) fn record(&self, refusal: Refusal, client: &Client, error: &dyn std::fmt::Display) -> RequestId {
        let id = RequestId::new();
        let reason: &str = refusal.into();
        counter!("bootdepot_http_refused_total", "reason" => reason).increment(1);
        if self.0.lock().take(Instant::now()) {
            warn!(client = %client.peer, reason, request = %id, %error, "request refused");
        }
        id
    }
}
