//! Who may use the API: programs and people on this machine, and no web page that a browser here has open.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::Authority;
use hyper::header::{HOST, ORIGIN};
use hyper::{Method, Response, StatusCode};
use tracing::debug;

use super::super::answer::{self, RequestId};
use super::super::body::Body;
use super::super::client::Client;

/// The answer to a request that may not use the API; none for one that may.
pub(super) fn refusal(request: &Parts, client: &Client) -> Option<Response<Body>> {
    let reason = objection(request, client.peer.ip())?;
    let id = RequestId::new();
    debug!(peer = %client.peer, path = ?request.uri.path(), %id, reason, "API request refused");
    Some(answer::error(StatusCode::FORBIDDEN, reason, id))
}

/// What is against a request from `peer`.
fn objection(request: &Parts, peer: IpAddr) -> Option<&'static str> {
    if !peer.is_loopback() {
        return Some("the API is for this machine alone; ask from there");
    }
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    // A name that a web page made point here is still its name.
    if !host.is_some_and(names_no_site) {
        return Some("the API is asked by an IP address or as localhost");
    }
    // Browsers say of each such request which page it is from; nothing else says so.
    if !matches!(request.method, Method::GET | Method::HEAD) && request.headers.contains_key(ORIGIN) {
        return Some("the API takes no orders from web pages");
    }
    None
}

/// Whether a `Host` (RFC 9110 7.2) is an IP address or `localhost`.
fn names_no_site(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, fields: &[(&str, &str)]) -> Parts {
        let builder = http::Request::builder().method(method).uri("/api/v1/releases");
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn programs_on_this_machine_may() {
        for host in ["127.0.0.1:8081", "127.0.0.1", "[::1]:8081", "localhost", "LocalHost:8081"] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                for peer in ["127.0.0.1", "127.0.0.9", "::1"] {
                    let peer = peer.parse().unwrap();
                    assert_eq!(objection(&request(method.clone(), &[("Host", host)]), peer), None, "{host}");
                }
            }
        }
    }

    #[test]
    fn others_and_web_pages_may_not() {
        let local = "127.0.0.1".parse().unwrap();
        let far = objection(&request(Method::GET, &[("Host", "127.0.0.1")]), "192.0.2.1".parse().unwrap());
        assert_eq!(far, Some("the API is for this machine alone; ask from there"));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "1"] {
            let objected = objection(&request(Method::GET, &[("Host", host)]), local);
            assert_eq!(objected, Some("the API is asked by an IP address or as localhost"), "{host}");
        }
        assert!(objection(&request(Method::GET, &[]), local).is_some());
        let page = [("Host", "127.0.0.1:8081"), ("Origin", "http://127.0.0.1:8081")];
        let objected = objection(&request(Method::POST, &page), local);
        assert_eq!(objected, Some("the API takes no orders from web pages"));
    }
}
