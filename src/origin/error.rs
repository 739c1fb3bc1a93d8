//! What can go wrong between here and an origin, by meaning.

use std::time::Duration;

/// Why a read of an origin failed. `source` fields are source URLs as shown in logs, without their secrets.
#[derive(Debug, Clone, thiserror::Error)]
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
        /// The endpoint that was asked.
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
        /// What was tried.
        reason: String,
    },
    /// The host's name has no address.
    #[error("the name {host} cannot be resolved: {reason}; check the endpoint's spelling and this machine's DNS")]
    Dns {
        /// The host.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {reason}{}", .fault.remedy())]
    Tls {
        /// Host and port.
        host: String,
        /// What kind of fault it is.
        fault: TlsFault,
        /// What is wrong, as the end of a sentence.
        reason: String,
    },
    /// 429, or 503 with or without `Retry-After` (S3: `SlowDown`).
    #[error("{host} asks to slow down ({code})")]
    Throttled {
        /// The host.
        host: String,
        /// The status or the S3 error code.
        code: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The object is not the one that was begun (412, or another validator or length in a reply).
    #[error("{source_url} changed while it was read")]
    Changed {
        /// The source URL.
        source_url: String,
    },
    /// The body ended before, or went on after, the promised length.
    #[error("{source_url} ended after {received} of {expected} bytes")]
    Truncated {
        /// The source URL.
        source_url: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that were promised.
        expected: u64,
    },
    /// Nothing came for the stall timeout.
    #[error("{source_url} sent nothing for {} s", .after.as_secs_f32())]
    Stalled {
        /// The source URL.
        source_url: String,
        /// How long nothing came.
        after: Duration,
    },
    /// An answer that does not fit what was asked (a wrong `Content-Range`, say).
    #[error("{source_url} gave an answer that cannot be used: {reason}")]
    BadReply {
        /// The source URL.
        source_url: String,
        /// What was wrong with it.
        reason: String,
    },
    /// Any other status.
    #[error("{source_url} answered {status}{}", .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Status {
        /// The source URL.
        source_url: String,
        /// The HTTP status.
        status: u16,
        /// What an S3 error document said.
        message: Option<String>,
    },
    /// The connection or the file failed under way.
    #[error("reading {source_url} failed: {reason}")]
    Io {
        /// The source URL.
        source_url: String,
        /// The system's words.
        reason: String,
    },
    /// Settings that cannot work.
    #[error("the origin {origin} cannot be used: {reason}")]
    Settings {
        /// The origin's `match`.
        origin: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// What can be wrong with a TLS handshake, as far as it makes a difference to who mends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is signed by nobody whom we trust.
    UnknownIssuer,
    /// The certificate is no longer good, or not yet.
    Dates,
    /// The certificate is for other names.
    Name,
    /// It is no TLS that is spoken there.
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
    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Throttled { .. }
            | Self::Truncated { .. }
            | Self::Stalled { .. }
            // A proxy on the way may have mixed up answers; a source that always does is given up like any other.
            | Self::BadReply { .. }
            | Self::Io { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }

    /// One word for it, as the metrics know it where there is no HTTP status.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::NoSuchBucket { .. } => "no-such-bucket",
            Self::AccessDenied { .. } => "access-denied",
            Self::Credentials { .. } => "credentials",
            Self::Dns { .. } => "dns",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Throttled { .. } => "throttled",
            Self::Changed { .. } => "changed",
            Self::Truncated { .. } => "truncated",
            Self::Stalled { .. } => "stalled",
            Self::BadReply { .. } => "bad-reply",
            Self::Status { .. } => "status",
            Self::Io { .. } => "io",
            Self::Settings { .. } => "settings",
        }
    }

    /// Whether the source says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// How long the source asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
