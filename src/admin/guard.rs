//! Who may ask the API at all. It knows who asks, and not what for.
//!
//! Browsers are the reason for most of it: a page of the web runs on an operator's machine, and may ask whatever that machine
//! reaches. It can neither read an answer (there is no CORS) nor change anything (`Origin`), nor pass for a page of this
//! server by having its own name point here (`Host`). Nothing in a browser stands for a token by itself.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::uri::Authority;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};

use super::AdminSettings;
use super::pace::Pace;
use super::problem::Refusal;
use super::tokens::{Access, Tokens};
use crate::transport::Client;

/// Decides who is let in.
pub(super) struct Guard {
    tokens: Option<Arc<Tokens>>,
    /// Names of this server, in lower case.
    hosts: Vec<String>,
    pace: Pace,
}

impl Guard {
    /// A guard who asks for these tokens, if there are any.
    pub(super) fn new(settings: &AdminSettings, tokens: Option<Arc<Tokens>>) -> Self {
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { tokens, hosts, pace: Pace::new() }
    }

    /// Lets a request in and says what its sender may do, or says why not.
    pub(super) fn admit(&self, request: &Parts, client: &Client) -> Result<Access, Refusal> {
        if let Err(seconds) = self.pace.allow(client.peer.ip(), Instant::now()) {
            let refusal =
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address; wait a little");
            return Err(refusal.with_field(RETRY_AFTER, seconds));
        }
        // With tokens too: who asks by a name that nobody gave this server is led here by somebody else's.
        if !self.is_asked_by_its_name(request) {
            return Err(forbidden(
                "the Host field is neither an IP address nor localhost nor one of admin.hosts: a web page may have been bound \
                 to this address",
            ));
        }
        let writes = !matches!(request.method, Method::GET | Method::HEAD);
        let access = match &self.tokens {
            Some(tokens) => authorise(tokens, request, writes)?,
            // A packet from outside never has an address of this machine as its source: the system drops it.
            None if client.peer.ip().is_loopback() || client.peer.ip() == client.local.ip() => Access::Operator,
            None => {
                return Err(forbidden(
                    "without tokens the API answers only this machine itself: ask from here, or set \
                     admin.operator_token_file",
                ));
            }
        };
        if writes && !is_of_this_site(request) {
            return Err(forbidden("the API takes no orders from web pages other than its own"));
        }
        Ok(access)
    }

    /// Whether the request names this server by an address, as localhost, or by a name of the settings. A page of the web
    /// whose name was made to point here (DNS rebinding) names it by its own name.
    fn is_asked_by_its_name(&self, request: &Parts) -> bool {
        let mut fields = request.headers.get_all(HOST).iter();
        let field = fields.next().map(|host| Authority::try_from(host.as_bytes()));
        let in_target = request.uri.authority().cloned().map(Ok);
        let mut named = field.into_iter().chain(in_target).peekable();
        // HTTP/1.0 has no Host field, and no browser speaks it.
        fields.next().is_none() && named.all(|host| host.is_ok_and(|host| self.is_named(host.host())))
    }

    fn is_named(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok() || self.hosts.contains(&name)
    }
}

/// What the request's token allows, if it is good for the request (RFC 6750).
fn authorise(tokens: &Tokens, request: &Parts, writes: bool) -> Result<Access, Refusal> {
    let challenge = |status, detail: &str, challenge| {
        Err(Refusal::new(status, detail).with_field(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
    };
    let unauthorised = StatusCode::UNAUTHORIZED;
    let Some(field) = request.headers.get(AUTHORIZATION) else {
        let detail = "the API asks for a token: send Authorization: Bearer and one of those in admin.viewer_token_file or \
                      admin.operator_token_file";
        return challenge(unauthorised, detail, "Bearer realm=\"bootdepot\"");
    };
    let token = field
        .to_str()
        .ok()
        .and_then(|field| field.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
    let none = "Bearer realm=\"bootdepot\", error=\"invalid_token\"";
    match token.and_then(|token| tokens.access(token)) {
        Some(Access::Viewer) if writes => {
            let detail = if tokens.has_operators() {
                "this token is for looking; changing things takes one of admin.operator_token_file"
            } else {
                "this token is for looking; nobody may change things, as admin.operator_token_file is not set"
            };
            challenge(StatusCode::FORBIDDEN, detail, "Bearer realm=\"bootdepot\", error=\"insufficient_scope\"")
        }
        Some(access) => Ok(access),
        None if token.is_none() => challenge(unauthorised, "the API takes tokens as Authorization: Bearer TOKEN", none),
        None => challenge(unauthorised, "this token is none of those that are good now", none),
    }
}

/// Whether it is no page of another site that asks. Browsers say of each such request which page it is from; nothing else
/// says so.
fn is_of_this_site(request: &Parts) -> bool {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let authority = |text: &str| text.strip_prefix("http://").or(text.strip_prefix("https://")).map(str::to_owned);
    let of_page = origin.to_str().ok().and_then(authority);
    let own = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let same = of_page.zip(own).is_some_and(|(page, own)| page.eq_ignore_ascii_case(own));
    same && origins.next().is_none()
}

fn forbidden(detail: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, detail)
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
    fn only_addresses_localhost_and_names_of_the_settings_are_this_server() {
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
            assert_eq!(guard.is_asked_by_its_name(&parts("GET", target, &fields)), allowed, "{target} {hosts:?}");
        }
    }

    #[test]
    fn only_pages_of_this_server_may_change_things() {
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
            assert_eq!(is_of_this_site(&parts("POST", "/x", &fields)), allowed, "{host} {origins:?}");
        }
    }
}
