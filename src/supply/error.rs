//! Errors of requests to a store, by the store's code.

use crate::origin::{Answer, CallError, OriginError};

/// Why a request to a store failed. `url` fields are shown without secrets.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A condition does not hold (412): the object exists already, or has changed.
    #[error("{url} was not written: it exists already or has changed since it was read ({answer})")]
    Precondition {
        /// The object.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The object, or the part of a bucket's settings, does not exist.
    #[error("{url} does not exist ({answer})")]
    NotFound {
        /// The object or the bucket.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The upload in parts does not exist: it was completed or aborted.
    #[error("the upload of {url} does not exist any more ({answer}); start it again")]
    NoSuchUpload {
        /// The object.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The server does not know the request.
    #[error("{url}: the server does not support this request ({answer})")]
    NotSupported {
        /// The object or the bucket.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// There is no room.
    #[error(
        "{url} was not written: the store is full or a quota is used up ({answer}); free space there or raise the quota"
    )]
    Quota {
        /// The object.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The object is larger than the store takes.
    #[error("{url} was not written: it is larger than the store takes ({answer})")]
    TooLarge {
        /// The object.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The bytes arrived damaged, several times.
    #[error("{url} was not written: the bytes arrived damaged ({answer}); check this machine's memory and the network")]
    Damaged {
        /// The object.
        url: String,
        /// The store's words.
        answer: Answer,
    },
    /// The connection failed while a request was sent or a reply was read.
    #[error("the connection for {url} failed: {reason}")]
    Connection {
        /// The object.
        url: String,
        /// The system's message.
        reason: String,
        /// The underlying error.
        #[source]
        source: Box<OriginError>,
    },
    /// A request that cannot be sent.
    #[error("{url} cannot be written: {reason}")]
    BadRequest {
        /// The object.
        url: String,
        /// The problem, and how to fix it.
        reason: String,
    },
    /// A reply that does not match the request.
    #[error("{url} sent an invalid reply: {reason}")]
    BadReply {
        /// The object or the bucket.
        url: String,
        /// The problem.
        reason: String,
    },
    /// Any other failure.
    #[error("{error}")]
    Origin {
        /// The failure.
        #[source]
        error: Box<OriginError>,
        /// The store's words. `None` if it has not answered.
        answer: Option<Answer>,
    },
}

impl StoreError {
    /// Classifies a failed call for `url`.
    pub(super) fn new(url: &str, failed: CallError) -> Self {
        let url = url.to_owned();
        let CallError { error, answer } = failed;
        let Some(answer) = answer else {
            return match error {
                OriginError::Io { ref reason, .. } => {
                    Self::Connection { url, reason: reason.clone(), source: Box::new(error) }
                }
                error => Self::Origin { error: Box::new(error), answer: None },
            };
        };
        match answer.code() {
            "NoSuchUpload" => Self::NoSuchUpload { url, answer },
            "QuotaExceeded"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "StorageFull"
            | "InsufficientStorage"
            | "507" => Self::Quota { url, answer },
            "EntityTooLarge" | "413" => Self::TooLarge { url, answer },
            "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => {
                Self::Damaged { url, answer }
            }
            "NotImplemented" | "XNotImplemented" | "MethodNotAllowed" | "NotSupported" | "501" | "405" => {
                Self::NotSupported { url, answer }
            }
            "PreconditionFailed" | "412" => Self::Precondition { url, answer },
            _ => match error {
                OriginError::NotFound { .. } | OriginError::DeleteMarker { .. } => Self::NotFound { url, answer },
                error => Self::Origin { error: Box::new(error), answer: Some(answer) },
            },
        }
    }

    /// The store's error code, else the HTTP status. Empty if the store has not answered.
    pub fn code(&self) -> &str {
        match self {
            Self::Precondition { answer, .. }
            | Self::NotFound { answer, .. }
            | Self::NoSuchUpload { answer, .. }
            | Self::NotSupported { answer, .. }
            | Self::Quota { answer, .. }
            | Self::TooLarge { answer, .. }
            | Self::Damaged { answer, .. } => answer.code(),
            Self::Origin { answer, .. } => answer.as_ref().map_or("", Answer::code),
            Self::Connection { .. } | Self::BadRequest { .. } | Self::BadReply { .. } => "",
        }
    }

    /// Whether a retry of the same request may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Damaged { .. } => true,
            Self::Origin { error, .. } => error.is_transient(),
            _ => false,
        }
    }

    /// Whether the store does not have what was requested.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the server does not support the request.
    pub fn is_not_supported(&self) -> bool {
        matches!(self, Self::NotSupported { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, error: OriginError) -> StoreError {
        StoreError::new("s3://b/k", CallError { error, answer: Some(Answer::from_code(code)) })
    }

    fn status(status: u16) -> OriginError {
        OriginError::Status { source_url: "s3://b/k".to_owned(), status, message: None, transient: false }
    }

    #[test]
    fn code_decides_kind_of_error() {
        assert!(matches!(of("NoSuchUpload", status(404)), StoreError::NoSuchUpload { .. }));
        assert!(matches!(of("507", status(507)), StoreError::Quota { .. }));
        assert!(matches!(of("BadDigest", status(400)), StoreError::Damaged { .. }));
        assert!(matches!(of("PreconditionFailed", status(412)), StoreError::Precondition { .. }));
        assert!(of("NotImplemented", status(501)).is_not_supported());
        let absent = OriginError::NotFound { source_url: "s3://b".to_owned(), answer: None };
        let absent = of("NoSuchLifecycleConfiguration", absent);
        assert!(absent.is_not_found());
        assert_eq!(absent.code(), "NoSuchLifecycleConfiguration");
    }

    #[test]
    fn broken_connection_is_transient() {
        let broken =
            OriginError::Io { source_url: "s3://b/k".to_owned(), reason: "broken pipe".to_owned(), source: None };
        let error = StoreError::new("s3://b/k", broken.into());
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "the connection for s3://b/k failed: broken pipe");
        assert!(!of("AccessDenied", status(403)).is_transient());
    }
}
