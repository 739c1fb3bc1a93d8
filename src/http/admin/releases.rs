//! The API of releases: which there are, and which is to be live.

use http::request::Parts;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::super::answer::{self, RequestId};
use super::super::body::Body;
use super::super::client::Client;
use super::guard;
use crate::boot::Releases;

/// The answer to a request for releases; none where its path means something else.
pub(super) async fn answer(releases: &Releases, request: &Parts, client: &Client) -> Option<Response<Body>> {
    let rest = request.uri.path().strip_prefix("/api/v1/releases")?;
    let activated = rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/activate"));
    if !rest.is_empty() && activated.is_none() {
        return None;
    }
    if let Some(refusal) = guard::refusal(request, client) {
        return Some(refusal);
    }
    Some(match (activated, &request.method) {
        (None, &Method::GET | &Method::HEAD) => answer::json(StatusCode::OK, &releases.list()),
        (None, _) => not_allowed("GET, HEAD"),
        (Some(name), &Method::POST) => {
            match releases.activate(&percent_decode_str(name).decode_utf8_lossy()).await {
                // It is under way; the view says how far.
                Ok(view) => answer::json(StatusCode::ACCEPTED, &view),
                Err(error) => answer::error(StatusCode::NOT_FOUND, &error.to_string(), RequestId::new()),
            }
        }
        (Some(_), _) => not_allowed("POST"),
    })
}

fn not_allowed(methods: &'static str) -> Response<Body> {
    let line = format!("only {methods} is served here");
    let mut response = answer::error(StatusCode::METHOD_NOT_ALLOWED, &line, RequestId::new());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}
