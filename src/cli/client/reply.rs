//! A response of the API that has come in full.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};

/// A response that has come in full.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) async fn read(response: Response<Body>) -> Result<Self, axum::Error> {
        let (head, body) = response.into_parts();
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Ok(Self { status: head.status, retry_after, body: body.collect().await?.to_bytes() })
    }
}
