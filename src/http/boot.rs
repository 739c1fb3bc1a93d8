//! Scripts and hosts' files: texts that are made for one machine when it asks. It knows what a request says of its
//! machine, not what the texts hold.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::request::Parts;
use http::uri::Authority;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, SERVER};
use hyper::{Method, Response, StatusCode};

use super::answer::{self, RETRY_SECONDS, RequestId, SERVER_VALUE};
use super::body::Body;
use super::client::Client;
use crate::boot::{Boot, FileError, HostFile, Machine, Visit};
use crate::depot::{Outcome, Protocol, Transfer};

/// What scripts are; iPXE and GRUB look at their first bytes.
const SCRIPT: &str = "text/plain; charset=utf-8";

/// The scripts and files of one listener.
pub(super) struct BootPages<'b> {
    pub(super) boot: &'b Boot,
    /// The base of URLs, where the operator set one.
    pub(super) advertise: Option<&'b str>,
}

impl BootPages<'_> {
    /// `/boot.ipxe`.
    pub(super) fn entry(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.begin(client, "boot.ipxe");
        script(self.boot.entry(&self.visit(request, client)), transfer, request, client)
    }

    /// `/ipxe`.
    pub(super) fn ipxe(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.begin(client, "ipxe");
        let machine = Machine::from_query(request.uri.query().unwrap_or_default());
        let visit = self.visit(request, client);
        let made = transfer.span().within(|| self.boot.ipxe(&machine, &visit));
        script(made, transfer, request, client)
    }

    /// `/grub.cfg`.
    pub(super) fn grub(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.begin(client, "grub.cfg");
        let machine = Machine::from_query(request.uri.query().unwrap_or_default());
        let visit = self.visit(request, client);
        let made = transfer.span().within(|| self.boot.grub(&machine, &visit));
        script(made, transfer, request, client)
    }

    /// `/hosts/HOST/FILE`.
    pub(super) async fn file(&self, host: &str, file: &str, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.boot.depot().unknown_transfer(Protocol::Http, client.peer, &format!("hosts/{host}/{file}"));
        let token = request.uri.query().and_then(token);
        let made = self.boot.file(host, file, token, &self.visit(request, client)).await;
        let (status, line, outcome, detail) = match made {
            Ok(HostFile { content, content_type }) => return text(content, &content_type, transfer, request, client),
            Err(error @ FileError::Missing) => {
                (StatusCode::NOT_FOUND, "no host of this name has such a file", Outcome::NotFound, error.to_string())
            }
            Err(error @ FileError::Refused(_)) => {
                let line = "this file is given only to its own host, once; the log says what is wrong";
                (StatusCode::FORBIDDEN, line, Outcome::Refused, error.to_string())
            }
            Err(FileError::Failed(reason)) => {
                let line = "the file cannot be made now; the log says why";
                (StatusCode::SERVICE_UNAVAILABLE, line, Outcome::OriginFailed, reason)
            }
        };
        let id = RequestId::new();
        transfer.finish(outcome, Some(&format!("{detail}; request {id}")));
        let response = answer::error(status, line, id);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return answer::retry_after(response, RETRY_SECONDS);
        }
        response
    }

    fn begin(&self, client: &Client, name: &str) -> Transfer {
        self.boot.depot().transfer(Protocol::Http, client.peer, name)
    }

    fn visit(&self, request: &Parts, client: &Client) -> Visit {
        let base = self.advertise.map_or_else(|| base(&request.uri, &request.headers, client), str::to_owned);
        Visit { peer: client.peer.ip(), base }
    }
}

/// The value of `token` in a query. Tokens need no decoding.
fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// How the client reached this server: by the name that it used, else by the address.
///
/// A name without a port is completed with the port of the connection: GRUB leaves it out. Only a client whose
/// connection was forwarded from the scheme's own port is wrong about it then, and that is what `advertise` is for.
fn base(uri: &Uri, headers: &HeaderMap, client: &Client) -> String {
    let named = uri.authority().cloned().or_else(|| {
        let host = headers.get(HOST)?.to_str().ok()?;
        host.parse::<Authority>().ok()
    });
    let (scheme, own_port) = if client.secure { ("https", 443) } else { ("http", 80) };
    let (host, port) = match named {
        Some(named) if is_host(named.host()) => {
            (named.host().to_owned(), named.port_u16().unwrap_or(client.local.port()))
        }
        _ => {
            let address = SocketAddr::new(client.local.ip(), 0).to_string();
            (address.strip_suffix(":0").unwrap_or(&address).to_owned(), client.local.port())
        }
    };
    if port == own_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

/// Whether it may stand in a script's URL: letters, digits and what separates them in names and addresses.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:_".contains(&b))
}

fn script(made: String, transfer: Transfer, request: &Parts, client: &Arc<Client>) -> Response<Body> {
    text(made.into(), SCRIPT, transfer, request, client)
}

fn text(
    content: Bytes,
    content_type: &str,
    transfer: Transfer,
    request: &Parts,
    client: &Arc<Client>,
) -> Response<Body> {
    let length = content.len();
    let body = if request.method == Method::HEAD {
        transfer.finish(Outcome::Probe, None);
        Body::empty()
    } else {
        Body::made(content, transfer, client)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static(SCRIPT)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // It was made for this machine and this moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, SERVER_VALUE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn client(local: &str, secure: bool) -> Arc<Client> {
        Client::new("192.0.2.7:4000".parse().unwrap(), local.parse().unwrap(), secure, Duration::from_secs(1))
    }

    #[test]
    fn urls_begin_as_the_client_reached_the_server() {
        for (host, local, secure, expected) in [
            (Some("boot.lab:8080"), "10.0.0.1:8080", false, "http://boot.lab:8080"),
            // GRUB leaves the port out.
            (Some("10.0.0.1"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("boot.lab"), "10.0.0.1:80", false, "http://boot.lab"),
            // Through an address translation the client knows better.
            (Some("10.0.2.2:40123"), "127.0.0.1:8080", false, "http://10.0.2.2:40123"),
            (Some("boot.lab"), "10.0.0.1:443", true, "https://boot.lab"),
            (Some("[fd00::1]:8443"), "[fd00::1]:8443", true, "https://[fd00::1]:8443"),
            (None, "[::ffff:10.0.0.1]:8080", false, "http://10.0.0.1:8080"),
            (None, "[fd00::1]:8080", false, "http://[fd00::1]:8080"),
            // What is no host is not repeated into a script.
            (Some("a$(reboot)"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("${x}"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("user@host"), "10.0.0.1:8080", false, "http://host:8080"),
            (Some(""), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().unwrap());
            }
            assert_eq!(base(&Uri::from_static("/ipxe"), &headers, &client(local, secure)), expected, "{host:?}");
        }
        let uri = Uri::from_static("https://boot.lab:8443/ipxe");
        assert_eq!(base(&uri, &HeaderMap::new(), &client("10.0.0.1:8443", true)), "https://boot.lab:8443");
    }

    #[test]
    fn a_token_is_found_in_the_query() {
        assert_eq!(token("a=b&token=0123abcd"), Some("0123abcd"));
        assert_eq!(token("nottoken=1"), None);
    }
}
