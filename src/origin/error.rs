//! Errors of origin reads, by meaning.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::denial::Denial;
use super::storage::RestoredCopy;
use crate::trust::TlsFault;

/// Retries of a refusal that may pass. With the backoff of a fill they take about three seconds; AWS's documentation of IAM
/// gives no bound for the propagation of a change, and users see some seconds.
const DENIED_RETRIES: u32 = 4;

/// The underlying error. Shared, because all readers of a fill receive the same failure.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a read of an origin failed. `source_url` fields are source URLs as shown in logs, without secrets.
#[derive(Debug, Clone, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum OriginError {
    /// The object does not exist (404, or a missing file).
    #[error("{source_url} does not exist{}", in_brackets(.answer.as_ref()))]
    NotFound {
        /// The source URL.
        source_url: String,
        /// The server's words. `None` for a file, or if it sent none.
        answer: Option<Answer>,
    },
    /// The object was deleted in a bucket with versions: the requested version, or the newest, is a delete marker.
    #[error("{source_url} was deleted: {}", marker(*.versioned))]
    DeleteMarker {
        /// The source URL.
        source_url: String,
        /// Whether the source names the version that is a delete marker.
        versioned: bool,
    },
    /// The bucket does not exist (S3 error code `NoSuchBucket`).
    #[error(
        "the bucket {bucket:?} does not exist at {endpoint} ({answer}); check the source URL and the origin's endpoint"
    )]
    NoSuchBucket {
        /// The bucket's name.
        bucket: String,
        /// The endpoint.
        endpoint: String,
        /// The server's words.
        answer: Answer,
    },
    /// The request was signed for another region than the bucket's.
    #[error(
        "{source_url} is in the region {region:?}, and the origin's region is {configured:?}; set region = {region:?} for \
         the origin {origin} ({answer})"
    )]
    WrongRegion {
        /// The source URL.
        source_url: String,
        /// The origin's `match`, or the bucket.
        origin: String,
        /// The region that the store names.
        region: String,
        /// The region of the settings.
        configured: String,
        /// The server's words.
        answer: Answer,
    },
    /// The object is in a storage class from which it must be restored before it can be read.
    #[error("{source_url} is archived{}: {} ({answer})", in_class(.class.as_deref()), .restore.remedy())]
    Archived {
        /// The source URL.
        source_url: String,
        /// The storage class, such as `GLACIER`, if the store names it.
        class: Option<String>,
        /// Whether a restore is under way.
        restore: RestoredCopy,
        /// The server's words.
        answer: Answer,
    },
    /// The request was not allowed: 401, 403 or an S3 error code of that meaning, or a file without read permission.
    #[error("{origin} refused {source_url} to {identity} ({answer}); {}", .denial.remedy())]
    AccessDenied {
        /// The source URL.
        source_url: String,
        /// The origin's `match`, or the host.
        origin: String,
        /// `access key AKIA…`, `anonymous`, or the user: never a secret.
        identity: String,
        /// The kind of refusal.
        denial: Denial,
        /// The server's words.
        answer: Answer,
        /// Whether this origin answered well in the last minutes. Then the refusal may end soon: a new policy or key takes some
        /// seconds to reach all servers of a store.
        recent_success: bool,
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
    #[error("{host} asks to slow down ({answer})")]
    Throttled {
        /// The host.
        host: String,
        /// The server's words.
        answer: Answer,
        /// The requested delay before a retry.
        retry_after: Option<Duration>,
    },
    /// Replies disagree about the object (412, or another validator or length than an earlier reply had).
    #[error("{seen}")]
    Changed {
        /// The source URL.
        source_url: String,
        /// The disagreement: a sentence that names the source.
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
    /// A connection was made, and no reply came over it.
    #[error("{host} accepted the connection but did not answer {} within {} s", .step.request(), .after.as_secs_f32())]
    NoAnswer {
        /// Host and port, and the proxy if there is one.
        host: String,
        /// The step without an answer.
        step: Unanswered,
        /// The timeout.
        after: Duration,
    },
    /// The source sent nothing for the stall timeout.
    #[error("{source_url} sent nothing for {} s", .after.as_secs_f32())]
    Stalled {
        /// The source URL.
        source_url: String,
        /// The timeout.
        after: Duration,
    },
    /// The source sends bytes, but too slowly to be of use.
    #[error("{source_url} is too slow: {reason}")]
    TooSlow {
        /// The source URL.
        source_url: String,
        /// What it sent in which time.
        reason: String,
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
        /// The S3 error code and the server's message, or the title of its HTML page.
        message: Option<String>,
        /// Whether a retry may succeed.
        transient: bool,
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
    /// A file that a shared catalog names leads out of the directory that it may read.
    #[error(
        "{source_url} leads out of {directory} (a symbolic link or '..'), and nothing else may be read; put the file itself there, \
         or, for a shared catalog, list a directory that holds both in catalog_files"
    )]
    OutsideDirectory {
        /// The source URL.
        source_url: String,
        /// The directory of `catalog_files`, or of a collection.
        directory: String,
    },
    /// A path of this machine is a directory, a pipe or a device.
    #[error("{source_url} cannot be served: {reason}")]
    NotFile {
        /// The source URL.
        source_url: String,
        /// The kind of file that it is.
        reason: &'static str,
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

/// A step that a server did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The TLS handshake.
    Handshake,
    /// The request to a proxy for a connection to the server.
    Tunnel,
    /// The HTTP request.
    Request,
}

impl Unanswered {
    /// The request, as named in messages.
    pub(crate) fn request(self) -> &'static str {
        match self {
            Self::Handshake => "the TLS handshake",
            Self::Tunnel => "the request for a connection to the server",
            Self::Request => "the HTTP request",
        }
    }
}

fn in_brackets(answer: Option<&Answer>) -> String {
    answer.map(|answer| format!(" ({answer})")).unwrap_or_default()
}

fn in_class(class: Option<&str>) -> String {
    class.map(|class| format!(" in the storage class {class}")).unwrap_or_default()
}

fn marker(versioned: bool) -> &'static str {
    if versioned {
        "the version that the source names is a delete marker; name a version that holds the object"
    } else {
        "its newest version is a delete marker; upload it again, or name an older version with ?versionId="
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
            | Self::NoAnswer { .. }
            | Self::Truncated { .. }
            | Self::Stalled { .. }
            | Self::TooSlow { .. }
            | Self::Io { .. } => true,
            Self::Status { transient, .. } => *transient,
            Self::AccessDenied { denial, recent_success, .. } => *recent_success && denial.may_pass(),
            _ => false,
        }
    }

    /// The most retries that make sense, if that is fewer than for other transient errors: a refusal seldom passes, and
    /// another source may be waiting.
    pub fn retry_limit(&self) -> Option<u32> {
        matches!(self, Self::AccessDenied { .. }).then_some(DENIED_RETRIES)
    }

    /// Marks a refusal by an origin that answered well in the last minutes.
    pub(super) fn after_success(mut self) -> Self {
        if let Self::AccessDenied { recent_success, .. } = &mut self {
            *recent_success = true;
        }
        self
    }

    /// The value of the metrics label `status` where there is no HTTP status, and of the span attribute `error.type`.
    pub(crate) fn kind(&self) -> &'static str {
        self.into()
    }

    /// Whether the server replied, and the reply was an error.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(
            self,
            Self::Dns { .. }
                | Self::Connect { .. }
                | Self::Tls { .. }
                | Self::NoAnswer { .. }
                | Self::Stalled { .. }
                | Self::TooSlow { .. }
                | Self::Credentials { .. }
                | Self::Settings { .. }
        )
    }

    /// Whether the source reports that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::DeleteMarker { .. })
    }

    /// The delay before a retry that the source requested.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
