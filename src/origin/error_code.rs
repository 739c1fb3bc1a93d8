//! The meaning of S3 error codes and of HTTP statuses: whether a retry helps, and what an operator has to change.
//!
//! A code says more than its status: 400 is used for a connection that timed out, for a wrong region and for an expired
//! session. Sources of the codes: AWS's list ("Error responses" in the Amazon S3 API reference) and the codes that AWS's SDKs
//! retry; `cmd/api-errors.go` of `MinIO`; `s3s` and the error table of `RustFS`, which use `MinIO`'s words; `common_error.rs` and
//! `s3/error.rs` of Garage; `rgw_http_s3_errors` of Ceph; Cloudflare's list for R2.

use super::denial::Denial;

/// The meaning of an error reply for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same request may succeed in a moment.
    Transient,
    /// The server asks for fewer requests.
    Throttled,
    /// The request was not allowed.
    Denied(Denial),
    /// The request was signed for another region, or sent to it.
    Region,
    /// The object is in a storage class that must be restored first.
    Archived,
    /// The bucket does not exist.
    NoBucket,
    /// The object or its version does not exist.
    NotFound,
    /// A condition of the request does not hold.
    Changed,
    /// The same request will fail again.
    Permanent,
}

/// Returns the meaning of an S3 error code. `None` if the code is not in the table: its status decides.
pub(super) fn meaning(code: &str) -> Option<Meaning> {
    Some(match code {
        // 400: the connection was idle. 409 and 503: another operation on the object has not finished, or the server is
        // starting.
        "RequestTimeout"
        | "RequestTimeoutException"
        | "OperationTimedOut"
        | "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "UnknownError"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "PriorRequestNotComplete"
        | "TransactionInProgressException"
        | "ClientDisconnected"
        | "XMinioServerNotInitialized"
        | "XMinioIAMNotInitialized"
        | "XMinioReadQuorum"
        | "XMinioWriteQuorum" => Meaning::Transient,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "Busy"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "LimitExceededException"
        | "ProvisionedThroughputExceededException"
        | "BandwidthLimitExceeded" => Meaning::Throttled,
        "AccessDenied" | "AccessForbidden" | "Forbidden" => Meaning::Denied(Denial::Policy),
        "AllAccessDisabled" | "AccountProblem" | "UserSuspended" | "QuotaExceeded" | "InvalidPayer" => {
            Meaning::Denied(Denial::Account)
        }
        // RustFS: `NotSignedUp`.
        "InvalidAccessKeyId" | "InvalidClientTokenId" | "NotSignedUp" => Meaning::Denied(Denial::UnknownKey),
        "SignatureDoesNotMatch" => Meaning::Denied(Denial::Signature),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken" | "InvalidTokenId" => {
            Meaning::Denied(Denial::Session)
        }
        "RequestTimeTooSkewed" | "RequestExpired" => Meaning::Denied(Denial::Clock),
        "AuthorizationHeaderMalformed"
        | "AuthorizationQueryParametersError"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "IllegalLocationConstraintException"
        | "InvalidLocationConstraint"
        | "InvalidRegion"
        | "InvalidRegionName" => Meaning::Region,
        "InvalidObjectState" | "ObjectNotInActiveTierError" => Meaning::Archived,
        "NoSuchBucket" => Meaning::NoBucket,
        "NoSuchKey" | "NoSuchVersion" | "NoSuchObject" | "NotFound" | "Not Found" => Meaning::NotFound,
        "PreconditionFailed" => Meaning::Changed,
        "NotImplemented" | "MethodNotAllowed" | "InvalidRequest" | "InvalidArgument" | "InvalidBucketName"
        | "InvalidURI" | "KeyTooLongError" | "NoSuchAccessPoint" | "XMinioStorageFull" => Meaning::Permanent,
        _ => return None,
    })
}

/// Returns the meaning of an error status whose body has no known code.
pub(super) fn meaning_of_status(status: u16) -> Meaning {
    match status {
        300..=399 => Meaning::Region,
        401 | 403 => Meaning::Denied(Denial::Policy),
        404 | 410 => Meaning::NotFound,
        412 => Meaning::Changed,
        // 509 is unofficial: "Bandwidth Limit Exceeded".
        429 | 503 | 509 => Meaning::Throttled,
        // 501 and 505 (RFC 9110 15.6) and 511, a captive portal (RFC 6585 6), stay.
        501 | 505 | 511 => Meaning::Permanent,
        // 425: too early (RFC 8470).
        408 | 409 | 425 | 500..=599 => Meaning::Transient,
        _ => Meaning::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_decides_before_status() {
        for (code, expected) in [
            // AWS, Ceph
            ("RequestTimeout", Meaning::Transient),
            ("InternalError", Meaning::Transient),
            ("OperationAborted", Meaning::Transient),
            ("ExpiredToken", Meaning::Denied(Denial::Session)),
            ("TokenRefreshRequired", Meaning::Denied(Denial::Session)),
            ("RequestTimeTooSkewed", Meaning::Denied(Denial::Clock)),
            ("SignatureDoesNotMatch", Meaning::Denied(Denial::Signature)),
            ("InvalidAccessKeyId", Meaning::Denied(Denial::UnknownKey)),
            ("InvalidObjectState", Meaning::Archived),
            ("IllegalLocationConstraintException", Meaning::Region),
            ("UserSuspended", Meaning::Denied(Denial::Account)),
            ("UnknownError", Meaning::Transient),
            // MinIO, RustFS
            ("XMinioServerNotInitialized", Meaning::Transient),
            ("SlowDownRead", Meaning::Throttled),
            ("InvalidTokenId", Meaning::Denied(Denial::Session)),
            ("InvalidRegion", Meaning::Region),
            // Garage
            ("AuthorizationHeaderMalformed", Meaning::Region),
            ("ServiceUnavailable", Meaning::Throttled),
            // R2
            ("InvalidRegionName", Meaning::Region),
            // All of them, for a request that they do not support.
            ("NotImplemented", Meaning::Permanent),
        ] {
            assert_eq!(meaning(code), Some(expected), "{code}");
        }
        assert_eq!(meaning("SomethingNew"), None);
    }

    #[test]
    fn status_decides_without_known_code() {
        for (status, expected) in [
            (301, Meaning::Region),
            (400, Meaning::Permanent),
            (403, Meaning::Denied(Denial::Policy)),
            (404, Meaning::NotFound),
            (405, Meaning::Permanent),
            (408, Meaning::Transient),
            (409, Meaning::Transient),
            (412, Meaning::Changed),
            (416, Meaning::Permanent),
            (429, Meaning::Throttled),
            (500, Meaning::Transient),
            (501, Meaning::Permanent),
            (502, Meaning::Transient),
            (503, Meaning::Throttled),
            (504, Meaning::Transient),
            (511, Meaning::Permanent),
        ] {
            assert_eq!(meaning_of_status(status), expected, "{status}");
        }
    }
}
