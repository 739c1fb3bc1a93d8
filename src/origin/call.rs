//! A signed request of any method to an S3 bucket or an object, and its reply as a whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use url::Url;

use super::answer::Answer;
use super::error::OriginError;
use super::error_document::ErrorDocument;
use super::error_status::{self, Refused};
use super::exchange::Sender;
use super::outbound::{Outbound, host};
use super::payload::Payload;
use super::stall::with_timeout;
use crate::asset::{Digest, SourceUrl};

/// A request to a bucket or to an object in it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The object's key. Empty: the bucket itself.
    pub key: String,
    /// The query, without any escaping. A parameter without a value, such as `uploads`, has an empty one.
    pub query: Vec<(String, String)>,
    /// Header fields in addition to those of the origin's settings and of the signature.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The digest of the body, if it is known: the signature covers it.
    pub body_digest: Option<Digest>,
    /// How long the store may take to answer after it has the whole body. Completing an upload of many parts takes minutes at
    /// some stores.
    pub answer_timeout: Duration,
}

/// The reply to a [`Call`] with a status of success.
#[derive(Debug, Clone)]
pub struct CallReply {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why a [`Call`] failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// The failure by its meaning for a reader.
    #[source]
    pub error: OriginError,
    /// The store's own words: its error code, else the status. `None` if it has not answered.
    pub answer: Option<Answer>,
}

impl CallError {
    /// The store's error code, else the status. Empty if it has not answered.
    pub fn code(&self) -> &str {
        self.answer.as_ref().map_or("", Answer::code)
    }
}

impl From<OriginError> for CallError {
    fn from(error: OriginError) -> Self {
        Self { error, answer: None }
    }
}

impl Call {
    /// Bytes of a reply that are read at most: more than any catalog or listing has.
    pub const MAX_REPLY: usize = 64 << 20;

    /// How long a store may take to answer if the call does not say otherwise.
    pub const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);

    /// A request without a query, header fields and body.
    pub fn new(method: Method, key: impl Into<String>) -> Self {
        Self {
            method,
            key: key.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            body_digest: None,
            answer_timeout: Self::ANSWER_TIMEOUT,
        }
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the URL of the object, as shown.
    pub(super) fn shown_url(&self, bucket: &str) -> String {
        SourceUrl::s3(bucket, &self.key).map_or_else(|_| format!("s3://{bucket}"), |source| source.to_string())
    }

    /// Sends the request with these header fields and reads the reply.
    pub(super) async fn send(
        &self,
        outbound: &Outbound<'_>,
        url: &Url,
        mut fields: HeaderMap,
        sender: Sender<'_>,
    ) -> Result<CallReply, CallError> {
        let has_body = !self.body.is_empty();
        if !has_body && matches!(self.method, Method::PUT | Method::POST) {
            // Some servers refuse these methods without a length.
            fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let payload = has_body.then(|| Payload::new(self.body.clone()));
        let sent = outbound.transmit(self.method.clone(), url, fields, payload, self.answer_timeout).await;
        let mut response = sent?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let mut body = BytesMut::new();
            let io = |error: reqwest::Error| OriginError::Io {
                source_url: outbound.source_url.to_owned(),
                reason: error.without_url().to_string(),
                source: None,
            };
            loop {
                // White space may come first, for as long as the store works.
                let piece = with_timeout(self.answer_timeout, outbound.source_url, response.chunk()).await;
                let Some(piece) = piece?.map_err(io)? else { break };
                if body.len() + piece.len() > Self::MAX_REPLY {
                    let reason = format!("it has more than {} MiB", Self::MAX_REPLY >> 20);
                    let source_url = outbound.source_url.to_owned();
                    return Err(OriginError::BadReply { source_url, reason, source: None }.into());
                }
                body.extend_from_slice(&piece);
            }
            // A store that has begun a reply to say that it works can only report a failure in its body.
            let is_error = self.method == Method::POST && is_error_document(&body);
            if !is_error {
                return Ok(CallReply { status, headers, body: body.freeze() });
            }
            let document = ErrorDocument::parse(&headers, &body).without(sender.fields);
            return Err(self.refusal(outbound, &response, sender, StatusCode::INTERNAL_SERVER_ERROR, &document));
        }
        let document = outbound.error_document(&mut response).await.without(sender.fields);
        Err(self.refusal(outbound, &response, sender, status, &document))
    }

    fn refusal(
        &self,
        outbound: &Outbound<'_>,
        response: &reqwest::Response,
        sender: Sender<'_>,
        status: StatusCode,
        document: &ErrorDocument,
    ) -> CallError {
        let refused = Refused {
            source_url: outbound.source_url,
            versioned: self.query.iter().any(|(name, _)| name == "versionId"),
            origin: outbound.label,
            host: &host(response.url()),
            identity: sender.identity,
            bucket: sender.bucket,
        };
        let error = error_status::classify(&refused, status, response.headers(), document);
        let code = document.code.clone().unwrap_or_else(|| status.as_u16().to_string());
        CallError { error, answer: Some(Answer::new(code, document.message.clone())) }
    }
}

/// Whether the body of a reply with a status of success is an error document.
fn is_error_document(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    let text = text.trim_start();
    let root = match text.strip_prefix("<?xml") {
        Some(declaration) => declaration.split_once("?>").map_or("", |(_, rest)| rest.trim_start()),
        None => text,
    };
    root.starts_with("<Error>") || root.starts_with("<Error ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_document_is_recognized() {
        assert!(is_error_document(b"\n \n<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>"));
        assert!(is_error_document(b"<Error xmlns=\"x\"><Code>a</Code></Error>"));
        for other in ["", "<?xml version=\"1.0\"?><CompleteMultipartUploadResult>", "<Errors/>", "text <Error>"] {
            assert!(!is_error_document(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn shown_url_names_bucket_or_object() {
        assert_eq!(Call::new(Method::GET, "").shown_url("b"), "s3://b");
        assert_eq!(Call::new(Method::GET, "a?").shown_url("b"), "s3://b/a%3F");
    }
}
