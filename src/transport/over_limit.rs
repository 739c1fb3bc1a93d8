//! Answers connections above the limit: requests that are always answered, and a refusal for the others.

use std::sync::Arc;

use http::request::Parts;
use hyper::header::{CONNECTION, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Version};

use super::client::Client;
use super::listener_config::{Handler, RequestBody};
use super::request_id::RequestId;
use super::response_fields::RETRY_SECONDS;

/// The line of a refusal.
const LINE: &str = "the server has too many connections, or your address has; try again";

/// The handler of connections above the limit. Each of them gets one response.
pub(super) struct OverLimit<H>(pub(super) Arc<H>);

impl<H: Handler> Handler for OverLimit<H> {
    type Body = H::Body;

    async fn handle(&self, request: Request<RequestBody>, client: &Arc<Client>) -> Response<H::Body> {
        let (parts, body) = request.into_parts();
        let version = parts.version;
        let mut response = if self.0.is_always_answered(&parts, client) {
            self.0.handle(Request::from_parts(parts, body), client).await
        } else {
            self.refuse(StatusCode::SERVICE_UNAVAILABLE, LINE, RequestId::new())
        };
        // HTTP/2 has no such field (RFC 9113 8.2.2); its connection ends at the timeout.
        if version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn is_always_answered(&self, request: &Parts, client: &Client) -> bool {
        self.0.is_always_answered(request, client)
    }

    fn refuse(&self, status: StatusCode, line: &str, id: RequestId) -> Response<H::Body> {
        let mut response = self.0.refuse(status, line, id);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // iPXE retries a 503 that has this field.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }
}
