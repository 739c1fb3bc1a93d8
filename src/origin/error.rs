//! Errors of origin reads, by meaning.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The underlying error. Shared, because all readers of a fill receive the same failure.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a read of an origin failed. `source_url` fields are source URLs as shown in logs, without secrets.
#[derive(Debug, Clone, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum OriginError {
    /// The object does not exist (404, or a missing file).
    #[error("{source_url} does not exist")]
    NotFound {
        /// The source URL.
        source_url: String,
    },
    /// The bucket does not exist (S3 error code `NoSuchBucket`).
    #[error("the bucket {bucket:?} does not exist at {endpoint}; check the source URL and the origin's endpoint")]
    NoSuchBucket {
        /// The bucket's name.
        bucket: String,
        /// The endpoint.
        endpoint: String,
    },
    /// 401 or 403, or a file without read permission.
    #[error(
        "{origin} refused {source_url} to {identity} ({code}); check the origin's credentials and the bucket's policy"
    )]
    AccessDenied {
        /// The source URL.
        source_url: String,
        /// The origin's `match`, or the host.
        origin: String,
        /// `access key AKIA…`, `anonymous`, or the user: never a secret.
        identity: String,
        /// The S3 error code or the status.
        code: String,
    },
    /// No credentials could be loaded.
    #[error("no credentials for {origin}: {reason}")]
    Credentials {
        /// The origin's `match`.
        origin: String,
        /// The attempted operation.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// The host name cannot be resolved.
    #[error("the name {host} cannot be resolved: {reason}; check the endpoint's spelling and this machine's DNS")]
    Dns {
        /// The host.
        host: String,
        /// The resolver's message.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// The system's message.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {reason}{}", .fault.remedy())]
    Tls {
        /// Host and port.
        host: String,
        /// The kind of failure.
        fault: TlsFault,
        /// The problem.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// 429, or 503 with or without `Retry-After` (S3: `SlowDown`).
    #[error("{host} asks to slow down ({code})")]
    Throttled {
        /// The host.
        host: String,
        /// The status or the S3 error code.
        code: String,
        /// The requested delay before a retry.
        retry_after: Option<Duration>,
    },
    /// Replies disagree about the object (412, or another validator or length than an earlier reply had).
    #[error("{seen}")]
    Changed {
        /// The source URL.
        source_url: String,
        /// What was seen: a sentence that names the source.
        seen: String,
    },
    /// The body was shorter or longer than the reply's head promised.
    #[error("{source_url} ended after {received} of {expected} bytes")]
    Truncated {
        /// The source URL.
        source_url: String,
        /// Bytes received.
        received: u64,
        /// Bytes promised.
        expected: u64,
    },
    /// The source sent nothing for the stall timeout.
    #[error("{source_url} sent nothing for {} s", .after.as_secs_f32())]
    Stalled {
        /// The source URL.
        source_url: String,
        /// The timeout.
        after: Duration,
    },
    /// A reply that does not match the request (a wrong `Content-Range`, for example).
    #[error("{source_url} sent an invalid reply: {reason}")]
    BadReply {
        /// The source URL.
        source_url: String,
        /// The problem.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// Any other status.
    #[error("{source_url} answered {status}{}", .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Status {
        /// The source URL.
        source_url: String,
        /// The HTTP status.
        status: u16,
        /// The text of an S3 error document.
        message: Option<String>,
    },
    /// The connection or the file failed during the read.
    #[error("reading {source_url} failed: {reason}")]
    Io {
        /// The source URL.
        source_url: String,
        /// The system's message.
        reason: String,
        /// The underlying error.
        source: Option<Cause>,
    },
    /// Settings that cannot work.
    #[error("the origin {origin} cannot be used: {reason}")]
    Settings {
        /// The origin's `match`.
        origin: String,
        /// The problem, and how to fix it.
        reason: String,
    },
}

/// Why a TLS handshake failed, as far as the remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted authority signed the certificate.
    UnknownIssuer,
    /// The certificate has expired or is not valid yet.
    Dates,
    /// The certificate is for other names.
    Name,
    /// The port does not speak TLS.
    NoTls,
    /// Anything else.
    Other,
}

impl TlsFault {
    fn remedy(self) -> &'static str {
        match self {
            Self::UnknownIssuer => "; for a private CA set the origin's ca_file",
            _ => "",
        }
    }
}

impl OriginError {
    /// Two replies that disagree: `what` the second one said. `redirected`: they came from behind a redirect.
    pub(crate) fn disagreement(source_url: &str, redirected: bool, what: &str) -> Self {
        let who = if redirected { "two mirrors behind" } else { "two replies of" };
        let seen = format!("{who} {source_url} disagree about the object: {what}");
        Self::Changed { source_url: source_url.to_owned(), seen }
    }

    /// Whether a retry of the same request may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Throttled { .. }
            | Self::Truncated { .. }
            | Self::Stalled { .. }
            | Self::Io { .. } => true,
            // 501 and 505 refuse the request as such (RFC 9110 15.6.2, 15.6.6), as does an invalid reply.
            Self::Status { status, .. } => (*status >= 500 && !matches!(status, 501 | 505)) || *status == 408,
            _ => false,
        }
    }

    /// The value of the metrics label `status` where there is no HTTP status, and of the span attribute `error.type`.
    pub(crate) fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether the server replied, and the reply was an error.
    pub(super) fn is_answer(&self) -> bool {
        !matches!(
            self,
            Self::Dns { .. }
                | Self::Connect { .. }
                | Self::Tls { .. }
                | Self::Stalled { .. }
                | Self::Credentials { .. }
                | Self::Settings { .. }
        )
    }

    /// Whether the source reports that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The delay before a retry that the source requested.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
