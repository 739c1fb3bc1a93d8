//! The admin API: JSON about machines, their boots and releases. It asks for no token; so it answers only this machine,
//! and no page of the web that a browser here has open.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::uri::Authority;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use tracing::debug;

use super::answer::{self, RequestId};
use super::body::Body;
use super::client::Client;
use crate::boot::Boot;

/// Where the API is.
const ROOT: &str = "/api/v1/";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 9457.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The answer to a request of the API; none where the path is none of its paths.
pub(super) async fn answer(boot: &Boot, request: &Parts, client: &Arc<Client>) -> Option<Response<Body>> {
    let path = request.uri.path().strip_prefix(ROOT)?;
    if let Some(why) = objection(request, client) {
        return Some(problem(StatusCode::FORBIDDEN, why, client));
    }
    let segments: Option<Vec<_>> =
        path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().ok()).collect();
    let segments = segments.unwrap_or_default();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let allowed = match segments.as_slice() {
        ["hosts" | "releases"] | ["hosts", _] => [Method::GET, Method::HEAD].as_slice(),
        ["releases", _, "activate"] => &[Method::POST],
        _ => return Some(nowhere(client)),
    };
    if !allowed.contains(&request.method) {
        return Some(not_allowed(allowed, client));
    }
    Some(match segments.as_slice() {
        ["hosts"] => found(StatusCode::OK, &json!({ "hosts": boot.machines() })),
        ["hosts", who] => match boot.machine(who) {
            Some(machine) => found(StatusCode::OK, &machine),
            None => problem(
                StatusCode::NOT_FOUND,
                "no host has this name, and no machine with this MAC or address was seen",
                client,
            ),
        },
        ["releases"] => found(StatusCode::OK, &json!({ "releases": boot.releases().list() })),
        ["releases", name, ..] => match boot.releases().activate(name).await {
            // It is under way; the view says how far.
            Ok(view) => found(StatusCode::ACCEPTED, &view),
            Err(error) => problem(StatusCode::NOT_FOUND, &error.to_string(), client),
        },
        _ => nowhere(client),
    })
}

/// What is against a request, whatever it asks for.
fn objection(request: &Parts, client: &Client) -> Option<&'static str> {
    if !client.peer.ip().to_canonical().is_loopback() {
        return Some("the API has no tokens yet and answers only this machine itself: ask from 127.0.0.1 or ::1");
    }
    if !is_asked_by_address(request) {
        return Some(
            "the Host field is neither an IP address nor localhost: a web page may have been bound to this address",
        );
    }
    // Browsers say of each such request which page it is from; nothing else says so.
    if !matches!(request.method, Method::GET | Method::HEAD) && request.headers.contains_key(ORIGIN) {
        return Some("the API takes no orders from web pages");
    }
    None
}

fn not_allowed(methods: &[Method], client: &Client) -> Response<Body> {
    let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let mut response =
        problem(StatusCode::METHOD_NOT_ALLOWED, &format!("this path of the API takes only {methods}"), client);
    if let Ok(methods) = HeaderValue::try_from(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}
fn nowhere(client: &Client) -> Response<Body> {
    let hint = "the API has nothing at this path; it has hosts, hosts/{name, MAC or address}, releases and \
                releases/{name}/activate";
    problem(StatusCode::NOT_FOUND, hint, client)
}

/// Whether the request names this server by an address, or as localhost. A page of the web whose name was made to point
/// here (DNS rebinding) names it by its own name.
fn is_asked_by_address(request: &Parts) -> bool {
    let mut fields = request.headers.get_all(HOST).iter();
    let field = fields.next().map(|host| Authority::try_from(host.as_bytes()));
    let in_target = request.uri.authority().cloned().map(Ok);
    let mut named = field.into_iter().chain(in_target).peekable();
    // HTTP/1.0 has no Host field, and no browser speaks it.
    fields.next().is_none() && named.all(|host| host.is_ok_and(|host| is_address(host.host())))
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn found(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => json_answer(status, JSON, &text),
        // Views are plain structs with texts as keys.
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), RequestId::new()),
    }
}

/// An answer that says what is wrong (RFC 9457), with the id under which the log has more.
fn problem(status: StatusCode, detail: &str, client: &Client) -> Response<Body> {
    let id = RequestId::new();
    debug!(peer = %client.peer, status = status.as_u16(), %id, detail, "no answer of the API");
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "instance": format!("urn:request:{id}"),
    });
    json_answer(status, PROBLEM, &body.to_string())
}

fn json_answer(status: StatusCode, content_type: HeaderValue, text: &str) -> Response<Body> {
    let mut response = answer::text(status, text);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_server() {
        for (target, hosts, allowed) in [
            ("/x", &["127.0.0.1:8081"][..], true),
            ("/x", &["[::1]:8081"], true),
            ("/x", &["LocalHost"], true),
            ("/x", &["192.0.2.7"], true),
            ("/x", &[], true),
            ("/x", &["evil.example:8081"], false),
            ("/x", &["localhost.evil.example"], false),
            ("/x", &["127.0.0.1.evil.example"], false),
            ("/x", &["127.0.0.1", "evil.example"], false),
            ("/x", &["a b"], false),
            ("http://evil.example/x", &["127.0.0.1"], false),
            ("http://127.0.0.1/x", &["127.0.0.1"], true),
        ] {
            let mut request = http::Request::get(target);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(is_asked_by_address(&parts), allowed, "{target} {hosts:?}");
        }
    }
}
