//! Classifies error statuses with their S3 error documents, to an [`OriginError`].

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};

use super::answer::Answer;
use super::denial::Denial;
use super::error::OriginError;
use super::error_code::{Meaning, meaning, meaning_of_status};
use super::error_document::ErrorDocument;
use super::region;
use super::remote_text::{MAX_TEXT, one_line};
use super::storage::{RestoredCopy, Storage};

/// The request that received an error status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// Whether the source names a version of the object.
    pub(super) versioned: bool,
    /// The origin's `match`, or the host.
    pub(super) origin: &'a str,
    /// Host and port of the server.
    pub(super) host: &'a str,
    /// The identity of the request.
    pub(super) identity: &'a str,
    /// The bucket of an S3 source.
    pub(super) bucket: Option<Bucket<'a>>,
}

/// A bucket at an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// The endpoint as shown.
    pub(super) endpoint: &'a str,
    /// The region for which requests are signed.
    pub(super) region: &'a str,
}

/// Classifies an error status.
pub(super) fn classify(
    request: &Refused<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    document: &ErrorDocument,
) -> OriginError {
    let source_url = request.source_url.to_owned();
    let code = document.code.as_deref();
    let shown_code = code.map_or_else(|| status.as_u16().to_string(), str::to_owned);
    let answer = Answer::new(shown_code, document.message.clone());
    if is_delete_marker(headers, document) {
        return OriginError::DeleteMarker { source_url, versioned: request.versioned };
    }
    let meaning = code.and_then(meaning).unwrap_or_else(|| meaning_of_status(status.as_u16()));
    let other = |message: Option<String>, transient| OriginError::Status {
        source_url: request.source_url.to_owned(),
        status: status.as_u16(),
        message,
        transient,
    };
    match meaning {
        Meaning::NoBucket => {
            let (bucket, endpoint) = match request.bucket {
                Some(bucket) => (bucket.name, bucket.endpoint),
                None => (document.bucket_name.as_deref().unwrap_or("?"), request.host),
            };
            OriginError::NoSuchBucket { bucket: bucket.to_owned(), endpoint: endpoint.to_owned(), answer }
        }
        Meaning::NotFound => {
            let answer = Some(answer).filter(|answer| code.is_some() || answer.message().is_some());
            OriginError::NotFound { source_url, answer }
        }
        Meaning::Archived => OriginError::Archived {
            source_url,
            class: document.storage_class.clone().or_else(|| Storage::from_head(headers).map(|storage| storage.class)),
            restore: RestoredCopy::from_head(headers),
            answer,
        },
        Meaning::Denied(denial) => OriginError::AccessDenied {
            source_url,
            origin: request.origin.to_owned(),
            identity: request.identity.to_owned(),
            denial: match denial {
                Denial::Policy => document.message.as_deref().map_or(denial, Denial::of_message),
                denial => denial,
            },
            answer,
            recent_success: false,
        },
        Meaning::Region => match (region_of(headers, document), request.bucket) {
            (Some(region), Some(bucket)) if region != bucket.region => OriginError::WrongRegion {
                source_url,
                origin: request.origin.to_owned(),
                region,
                configured: bucket.region.to_owned(),
                answer,
            },
            _ if status.is_redirection() => other(redirection(headers, document).or_else(|| words(document)), false),
            _ => other(words(document), false),
        },
        // Without a body, AWS answers a HEAD for a bucket of another region like this.
        Meaning::Permanent if status == StatusCode::BAD_REQUEST && code.is_none() => {
            match (bucket_region(headers), request.bucket) {
                (Some(region), Some(bucket)) if region != bucket.region => OriginError::WrongRegion {
                    source_url,
                    origin: request.origin.to_owned(),
                    region: region.to_owned(),
                    configured: bucket.region.to_owned(),
                    answer,
                },
                _ => other(words(document), false),
            }
        }
        Meaning::Throttled => OriginError::Throttled {
            host: request.host.to_owned(),
            answer,
            retry_after: retry_after(headers, SystemTime::now()),
        },
        Meaning::Changed => {
            let what = format!("{} answered {} to the validator of an earlier reply", request.host, status.as_u16());
            OriginError::disagreement(request.source_url, false, &what)
        }
        Meaning::Transient => other(words(document), true),
        Meaning::Permanent => other(words(document), false),
    }
}

/// Whether the version is a delete marker: 404 for the newest version, 405 for one that the request names.
fn is_delete_marker(headers: &HeaderMap, document: &ErrorDocument) -> bool {
    header(headers, "x-amz-delete-marker").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || document.resource_type.as_deref() == Some("DeleteMarker")
}

/// Returns the region that the reply names. The header is AWS's; Garage and `MinIO` name their region in all documents.
fn region_of(headers: &HeaderMap, document: &ErrorDocument) -> Option<String> {
    let message = || document.message.as_deref().and_then(region::in_message);
    let document_region = || document.region.as_deref().and_then(region::name);
    bucket_region(headers).or_else(document_region).or_else(message).map(str::to_owned)
}

fn bucket_region(headers: &HeaderMap) -> Option<&str> {
    header(headers, "x-amz-bucket-region").and_then(region::name)
}

/// Describes where the object is instead.
fn redirection(headers: &HeaderMap, document: &ErrorDocument) -> Option<String> {
    if let Some(endpoint) = &document.endpoint {
        return Some(format!("the bucket is at the endpoint {endpoint:?}; set the origin's endpoint"));
    }
    // The query could hold a signature.
    let location = header(headers, LOCATION.as_str())?.split('?').next().unwrap_or_default();
    let location = one_line(location, MAX_TEXT);
    Some(format!("it redirects to {location:?}; set the origin's endpoint or region"))
}

/// Returns `code: message`, or the one of them that is present.
fn words(document: &ErrorDocument) -> Option<String> {
    match (&document.code, &document.message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(text), None) | (None, Some(text)) => Some(text.clone()),
        (None, None) => None,
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the delay from `now` that `Retry-After` requests (RFC 9110 10.2.3: seconds, or a date).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
