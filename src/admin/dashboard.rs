//! The dashboard's files, embedded in the program. They hold no data of this server and need no token: the scripts fetch all
//! data from the API, with the token that the user types in.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, StatusCode};

use super::state::AdminState;
use crate::asset::Digest;

/// One embedded file.
struct File {
    /// The URL path.
    path: &'static str,
    /// The name in `src/admin/dashboard`.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test checks that every file is served"))]
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal => $name:literal, $media_type:literal;)*) => {
        [$(File {
            path: $path,
            name: $name,
            media_type: $media_type,
            bytes: include_bytes!(concat!("dashboard/", $name)),
        }),*]
    };
}

/// All files of the dashboard.
static FILES: &[File] = &files! {
    "/" => "index.html", "text/html; charset=utf-8";
    "/style.css" => "style.css", "text/css; charset=utf-8";
    "/icon.svg" => "icon.svg", "image/svg+xml";
    "/actions.js" => "actions.js", "text/javascript; charset=utf-8";
    "/api.js" => "api.js", "text/javascript; charset=utf-8";
    "/app.js" => "app.js", "text/javascript; charset=utf-8";
    "/cache.js" => "cache.js", "text/javascript; charset=utf-8";
    "/cells.js" => "cells.js", "text/javascript; charset=utf-8";
    "/collections.js" => "collections.js", "text/javascript; charset=utf-8";
    "/colours.js" => "colours.js", "text/javascript; charset=utf-8";
    "/dialogs.js" => "dialogs.js", "text/javascript; charset=utf-8";
    "/dom.js" => "dom.js", "text/javascript; charset=utf-8";
    "/events.js" => "events.js", "text/javascript; charset=utf-8";
    "/format.js" => "format.js", "text/javascript; charset=utf-8";
    "/history.js" => "history.js", "text/javascript; charset=utf-8";
    "/hosts.js" => "hosts.js", "text/javascript; charset=utf-8";
    "/identity.js" => "identity.js", "text/javascript; charset=utf-8";
    "/jobs.js" => "jobs.js", "text/javascript; charset=utf-8";
    "/journal.js" => "journal.js", "text/javascript; charset=utf-8";
    "/overview.js" => "overview.js", "text/javascript; charset=utf-8";
    "/panel.js" => "panel.js", "text/javascript; charset=utf-8";
    "/plot.js" => "plot.js", "text/javascript; charset=utf-8";
    "/rack.js" => "rack.js", "text/javascript; charset=utf-8";
    "/releases.js" => "releases.js", "text/javascript; charset=utf-8";
    "/store.js" => "store.js", "text/javascript; charset=utf-8";
    "/stream.js" => "stream.js", "text/javascript; charset=utf-8";
    "/system.js" => "system.js", "text/javascript; charset=utf-8";
    "/table.js" => "table.js", "text/javascript; charset=utf-8";
    "/theme.js" => "theme.js", "text/javascript; charset=utf-8";
    "/traffic.js" => "traffic.js", "text/javascript; charset=utf-8";
};

/// The response fields of every file.
///
/// The content security policy lets the page load its own files and call its own server, and nothing else. Text that a machine
/// controls (a host name, a requested file) can then neither run nor send data elsewhere if it is ever rendered as markup.
const FIELDS: [(HeaderName, HeaderValue); 7] = [
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-embedder-policy"), HeaderValue::from_static("require-corp")),
    // Revalidated each time, which costs a 304, so that the files match the server after an upgrade.
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// The entity tag of each file, in the order of `FILES`.
static TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| FILES.iter().map(|file| format!("\"{}\"", Digest::of(file.bytes))).collect());

/// Returns the routes of the files.
pub(super) fn routes() -> Router<AdminState> {
    FILES.iter().enumerate().fold(Router::new(), |router, (index, file)| {
        router.route(file.path, get(move |headers: HeaderMap| std::future::ready(serve(index, file, &headers))))
    })
}

fn serve(index: usize, file: &'static File, request: &HeaderMap) -> Response {
    let tag = TAGS[index].as_str();
    let known = |field: &HeaderValue| field.to_str().is_ok_and(|list| list.trim() == "*" || list.contains(tag));
    let mut response = if request.get_all(IF_NONE_MATCH).iter().any(known) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, file.media_type)], file.bytes).into_response()
    };
    response.headers_mut().extend(FIELDS);
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dashboard_file_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard");
        let mut existing: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut served: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        existing.sort();
        served.sort();
        assert_eq!(existing, served, "src/admin/dashboard.rs lists the served files");
    }

    #[test]
    fn matching_entity_tag_returns_304() {
        let mut request = HeaderMap::new();
        let first = serve(0, &FILES[0], &request);
        assert_eq!(
            (first.status(), first.headers()[CONTENT_TYPE].as_bytes()),
            (StatusCode::OK, &b"text/html; charset=utf-8"[..])
        );
        for (fields, status) in [
            (vec![first.headers()[ETAG].clone()], 304),
            (vec![HeaderValue::from_static("\"other\""), first.headers()[ETAG].clone()], 304),
            (vec![HeaderValue::try_from(format!("\"x\", W/{}", TAGS[0])).unwrap()], 304),
            (vec![HeaderValue::from_static("*")], 304),
            (vec![HeaderValue::from_static("\"other\"")], 200),
        ] {
            request.remove(IF_NONE_MATCH);
            for field in &fields {
                request.append(IF_NONE_MATCH, field.clone());
            }
            let response = serve(0, &FILES[0], &request);
            assert_eq!(response.status().as_u16(), status, "{fields:?}");
            assert!(
                response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; ")
            );
        }
    }
}
