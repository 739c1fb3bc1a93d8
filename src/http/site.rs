//! What the HTTP listeners serve: assets by name and by digest, scripts and hosts' files, and the health checks.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ALLOW, CONTENT_LENGTH, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use super::answer::{self, RequestId};
use super::asset::AssetPages;
use super::body::Body;
use super::boot::BootPages;
use super::client::Client;
use super::connection::Handler;
use super::path::Route;
use crate::boot::Boot;

/// The site of the HTTP listeners.
pub(super) struct Site {
    boot: Boot,
    /// The base of URLs in scripts, where the operator set one.
    advertise: Option<String>,
    /// For how long nothing may arrive of an asset before its client is told to come back.
    patience: Duration,
}

impl Site {
    pub(super) fn new(boot: Boot, advertise: Option<String>, patience: Duration) -> Self {
        Self { boot, advertise, patience }
    }
}

impl Handler for Site {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, client: &Arc<Client>) -> Response<Body> {
        // None of the methods served has content.
        let (parts, _content) = request.into_parts();
        let mut response = self.answer(&parts, client).await;
        if parts.method == Method::HEAD && !response.body().is_end_stream() {
            // HTTP/1 would leave the content out by itself, HTTP/2 would not.
            let length = std::mem::replace(response.body_mut(), Body::empty()).size_hint().lower();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

impl Site {
    async fn answer(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        if let Some(refusal) = other_method(request, client) {
            return refusal;
        }
        let depot = self.boot.depot();
        let assets = AssetPages { depot, patience: self.patience };
        let pages = BootPages { boot: &self.boot, advertise: self.advertise.as_deref() };
        match Route::of(request.uri.path()) {
            Route::Asset(name) => match depot.find(&name) {
                Some(found) => assets.serve(&found, request, client).await,
                None => assets.missing(&name, client),
            },
            Route::Blob(digest) => match depot.find_digest(&digest) {
                Some(found) => assets.serve(&found, request, client).await,
                None => assets.missing(&format!("sha256:{digest}"), client),
            },
            Route::Entry => pages.entry(request, client),
            Route::Ipxe => pages.ipxe(request, client),
            Route::Grub => pages.grub(request, client),
            Route::HostFile { host, file } => pages.file(&host, &file, request, client).await,
            Route::Health => answer::health(),
            Route::Ready => answer::ready(&self.boot.troubles()),
            Route::Unknown => unknown(request, client, "assets are at /assets/NAME, the entry script at /boot.ipxe"),
        }
    }
}

/// The answer to a method that is neither GET nor HEAD.
fn other_method(request: &Parts, client: &Client) -> Option<Response<Body>> {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let id = RequestId::new();
    debug!(peer = %client.peer, method = %request.method, path = ?request.uri.path(), %id, "method not allowed");
    let mut response = answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here", id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

/// The answer to a path that means nothing here, with a hint of what does.
fn unknown(request: &Parts, client: &Client, hint: &str) -> Response<Body> {
    let id = RequestId::new();
    debug!(peer = %client.peer, path = ?request.uri.path(), %id, "no such path");
    answer::error(StatusCode::NOT_FOUND, &format!("nothing is served at this path; {hint}"), id)
}
