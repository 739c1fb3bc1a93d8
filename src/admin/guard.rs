//! Admits or rejects requests to the API: rate limit, token, `Host` and `Origin`. It knows no routes.
//!
//! Most checks are about browsers: a web page runs on an operator's machine, and may send requests to all that this machine
//! can reach. Such a page can neither read a response (there is no CORS) nor change anything (`Origin` is checked), nor pose
//! as a page of this server by pointing its own name here (`Host` is checked). A browser never sends a token by itself.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::uri::Authority;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};

use super::api_error::ApiError;
use super::rate_limit::ClientRateLimit;
use super::settings::AdminSettings;
use super::tokens::{Access, Tokens};
use crate::transport::Client;

/// Decides which requests the API admits.
pub(super) struct Guard {
    tokens: Option<Arc<Tokens>>,
    /// Names of this server in the `Host` field, in lower case.
    hosts: Vec<String>,
    rate_limit: ClientRateLimit,
}

impl Guard {
    /// `tokens` is `None` if the API requires no token and admits only this machine.
    pub(super) fn new(settings: &AdminSettings, tokens: Option<Arc<Tokens>>) -> Self {
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { tokens, hosts, rate_limit: ClientRateLimit::new() }
    }

    /// Returns what the client may do, or why the request is rejected.
    pub(super) fn admit(&self, request: &Parts, client: &Client) -> Result<Access, ApiError> {
        if let Err(seconds) = self.rate_limit.take(client.peer.ip(), Instant::now()) {
            let refusal =
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address; wait and retry");
            return Err(refusal.with_field(RETRY_AFTER, seconds));
        }
        // Also with tokens: a request with a foreign name may come from a page whose name was bound to this address.
        if !self.has_own_host(request) {
            return Err(forbidden(
                "the Host field is neither an IP address nor localhost nor in admin.hosts; add the name of this server to \
                 admin.hosts",
            ));
        }
        let writes = !matches!(request.method, Method::GET | Method::HEAD);
        let access = match &self.tokens {
            Some(tokens) => authorise(tokens, request, writes)?,
            // The kernel drops packets from outside that have an address of this machine as their source.
            None if client.peer.ip().is_loopback() || client.peer.ip() == client.local.ip() => Access::Operator,
            None => {
                return Err(forbidden(
                    "without tokens the API admits only clients on this machine; run the command there, or set \
                     admin.operator_token_file",
                ));
            }
        };
        if writes && !is_same_origin(request) {
            return Err(forbidden("the API accepts changes only from its own web pages"));
        }
        Ok(access)
    }

    /// Returns whether `Host` and the request target name this server by an IP address, as `localhost`, or by a name of the
    /// settings. A web page whose name was bound to this address (DNS rebinding) sends its own name.
    fn has_own_host(&self, request: &Parts) -> bool {
        let mut fields = request.headers.get_all(HOST).iter();
        let field = fields.next().map(|host| Authority::try_from(host.as_bytes()));
        let in_target = request.uri.authority().cloned().map(Ok);
        let mut named = field.into_iter().chain(in_target).peekable();
        // HTTP/1.0 has no Host field, and no browser speaks it.
        fields.next().is_none() && named.all(|host| host.is_ok_and(|host| self.is_own_name(host.host())))
    }

    fn is_own_name(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok() || self.hosts.contains(&name)
    }
}

/// Returns what the request's token permits, if it is valid for the request (RFC 6750).
fn authorise(tokens: &Tokens, request: &Parts, writes: bool) -> Result<Access, ApiError> {
    let challenge = |status, detail: &str, challenge| {
        Err(ApiError::new(status, detail).with_field(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
    };
    let unauthorised = StatusCode::UNAUTHORIZED;
    let Some(field) = request.headers.get(AUTHORIZATION) else {
        let detail = "the API requires a token: send `Authorization: Bearer TOKEN` with a token of admin.viewer_token_file or \
                      admin.operator_token_file";
        return challenge(unauthorised, detail, "Bearer realm=\"bootdepot\"");
    };
    let token = field
        .to_str()
        .ok()
        .and_then(|field| field.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
    let invalid = "Bearer realm=\"bootdepot\", error=\"invalid_token\"";
    match token.and_then(|token| tokens.access(token)) {
        Some(Access::Viewer) if writes => {
            let detail = if tokens.has_operators() {
                "this token permits only reading; changes require a token of admin.operator_token_file"
            } else {
                "this token permits only reading; set admin.operator_token_file to permit changes"
            };
            challenge(StatusCode::FORBIDDEN, detail, "Bearer realm=\"bootdepot\", error=\"insufficient_scope\"")
        }
        Some(access) => Ok(access),
        None if token.is_none() => challenge(unauthorised, "the API expects `Authorization: Bearer TOKEN`", invalid),
        None => challenge(unauthorised, "this token is not valid", invalid),
    }
}

/// Returns whether the request is not from a page of another origin. Browsers send `Origin` with each such request; other
/// clients do not send it.
fn is_same_origin(request: &Parts) -> bool {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let authority = |text: &str| text.strip_prefix("http://").or(text.strip_prefix("https://")).map(str::to_owned);
    let of_page = origin.to_str().ok().and_then(authority);
    let own = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let same = of_page.zip(own).is_some_and(|(page, own)| page.eq_ignore_ascii_case(own));
    same && origins.next().is_none()
}

fn forbidden(detail: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str]) -> Guard {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let settings = AdminSettings { hosts, ..AdminSettings::at("127.0.0.1:0".parse().unwrap()) };
        Guard::new(&settings, None)
    }

    fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn host_must_be_address_localhost_or_configured() {
        let guard = guard(&["Boot.Lab"]);
        for (target, hosts, allowed) in [
            ("/x", &["127.0.0.1:8081"][..], true),
            ("/x", &["[::1]:8081"], true),
            ("/x", &["LocalHost"], true),
            ("/x", &["192.0.2.7"], true),
            ("/x", &["boot.lab:8081"], true),
            ("/x", &["BOOT.LAB."], true),
            ("/x", &[], true),
            ("/x", &["lab"], false),
            ("/x", &["evil.boot.lab"], false),
            ("/x", &["evil.example:8081"], false),
            ("/x", &["localhost.evil.example"], false),
            ("/x", &["127.0.0.1.evil.example"], false),
            ("/x", &["127.0.0.1", "evil.example"], false),
            ("/x", &["a b"], false),
            ("http://evil.example/x", &["127.0.0.1"], false),
            ("http://127.0.0.1/x", &["127.0.0.1"], true),
        ] {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(guard.has_own_host(&parts("GET", target, &fields)), allowed, "{target} {hosts:?}");
        }
    }

    #[test]
    fn changes_require_same_origin() {
        for (host, origins, allowed) in [
            ("127.0.0.1:8081", &[][..], true),
            ("127.0.0.1:8081", &["http://127.0.0.1:8081"], true),
            ("Boot.Lab", &["https://boot.lab"], true),
            ("127.0.0.1:8081", &["http://127.0.0.1:8080"], false),
            ("127.0.0.1:8081", &["http://localhost:8081"], false),
            ("127.0.0.1:8081", &["http://evil.example"], false),
            ("127.0.0.1:8081", &["null"], false),
            ("127.0.0.1:8081", &["ftp://127.0.0.1:8081"], false),
            ("127.0.0.1:8081", &["http://127.0.0.1:8081", "http://127.0.0.1:8081"], false),
        ] {
            let mut fields = vec![("host", host)];
            fields.extend(origins.iter().map(|origin| ("origin", *origin)));
            assert_eq!(is_same_origin(&parts("POST", "/x", &fields)), allowed, "{host} {origins:?}");
        }
    }
}
