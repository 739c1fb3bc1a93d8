//! Answers that say no, by meaning: from a status, header fields and an S3 error document to an [`OriginError`]. Pure.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};

use super::OriginError;
use super::document::Document;

/// Who asked whom for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// The origin's `match`, or the host.
    pub(super) origin: &'a str,
    /// Host and port that were asked.
    pub(super) host: &'a str,
    /// Whom we said we are.
    pub(super) identity: &'a str,
    /// The bucket and its endpoint, of an S3 source.
    pub(super) bucket: Option<(&'a str, &'a str)>,
}

/// What an answer with this status means that is no reply to a read.
pub(super) fn explain(request: &Request<'_>, status: StatusCode, headers: &HeaderMap, said: &Document) -> OriginError {
    let source_url = request.source_url.to_owned();
    let code = said.code.as_deref();
    let denied = |code: String| OriginError::AccessDenied {
        source_url: request.source_url.to_owned(),
        origin: request.origin.to_owned(),
        identity: request.identity.to_owned(),
        code,
    };
    let other =
        |message| OriginError::Status { source_url: request.source_url.to_owned(), status: status.as_u16(), message };
    match (code, status.as_u16()) {
        (Some("NoSuchBucket"), _) => {
            let (bucket, endpoint) =
                request.bucket.unwrap_or((said.bucket_name.as_deref().unwrap_or("?"), request.host));
            OriginError::NoSuchBucket { bucket: bucket.to_owned(), endpoint: endpoint.to_owned() }
        }
        (Some("NoSuchKey" | "NoSuchVersion"), _) | (None, 404 | 410) => OriginError::NotFound { source_url },
        (Some("RequestTimeTooSkewed"), _) => denied("RequestTimeTooSkewed: check this machine's clock".to_owned()),
        (Some("InvalidObjectState"), _) => other(Some(
            "InvalidObjectState: the object is archived; restore it to a class that can be read at once".to_owned(),
        )),
        // Of this code alone the message may say more: that a presigned URL has expired, say.
        (Some("AccessDenied"), _) => match said.message.as_deref() {
            Some("Request has expired") => denied("AccessDenied: the presigned URL has expired".to_owned()),
            _ => denied("AccessDenied".to_owned()),
        },
        (
            Some(
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ),
            _,
        )
        | (_, 300..=399) => other(elsewhere(headers, said)),
        (Some("SlowDown" | "TooManyRequests" | "RequestLimitExceeded"), _) | (_, 429 | 503) => OriginError::Throttled {
            host: request.host.to_owned(),
            code: code.map_or_else(|| status.as_u16().to_string(), str::to_owned),
            retry_after: retry_after(headers, SystemTime::now()),
        },
        (_, 412) => OriginError::Changed { source_url },
        (Some(code @ ("ExpiredToken" | "InvalidToken")), 400) | (Some(code), 401 | 403) => denied(code.to_owned()),
        (None, 401 | 403) => denied(status.as_u16().to_string()),
        (Some(_), 404 | 410) => OriginError::NotFound { source_url },
        _ => other(said.words()),
    }
}

/// Where the object is to be asked for instead.
fn elsewhere(headers: &HeaderMap, said: &Document) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(region) = header("x-amz-bucket-region").or(said.region.as_deref()) {
        return Some(format!("the bucket is in the region {region:?}; set the origin's region"));
    }
    if let Some(endpoint) = &said.endpoint {
        return Some(format!("the bucket is at the endpoint {endpoint:?}; set the origin's endpoint"));
    }
    // Its query could hold a signature.
    let location = header(LOCATION.as_str()).map(|location| location.split('?').next().unwrap_or_default());
    location
        .map(|location| format!("it redirects to {location:?}; set the origin's endpoint or region"))
        .or_else(|| said.words())
}

/// How long a `Retry-After` (RFC 9110 10.2.3: seconds, or a date) asks to wait from `now` on.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
