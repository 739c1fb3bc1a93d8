//! Answers requests for scripts and host files, which are rendered for one machine. It knows what a request says about its
//! machine, but not what the texts hold.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::request::Parts;
use http::uri::Authority;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, SERVER};
use hyper::{Method, Response, StatusCode};

use super::body::Body;
use super::response;
use crate::boot::{Boot, FileError, HostFile, Machine, RequestContext, RequestedScript, split_file_token};
use crate::depot::{Outcome, Protocol, Transfer};
use crate::transport::{Client, RETRY_SECONDS, RequestId, SERVER_VALUE};

/// The media type of scripts. iPXE and GRUB ignore it and detect scripts by their first bytes.
const SCRIPT: &str = "text/plain; charset=utf-8";

/// Answers requests for scripts and host files.
pub(super) struct BootHandler<'b> {
    pub(super) boot: &'b Boot,
    /// The base URL of scripts; `None` if the operator set none.
    pub(super) advertise: Option<&'b str>,
}

impl BootHandler<'_> {
    /// A script by its own name, in any directory.
    pub(super) fn script(&self, script: &RequestedScript, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.begin(client, script.name());
        let visit = self.visit(request, client);
        let text = transfer.span().within(|| script.text(self.boot, &visit, false));
        respond_script(text, transfer, request, client)
    }

    /// `/ipxe`.
    pub(super) fn ipxe(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        let transfer = self.begin(client, "ipxe");
        let machine = Machine::from_query(request.uri.query().unwrap_or_default());
        let visit = self.visit(request, client);
        let script = transfer.span().within(|| self.boot.ipxe_script(&machine, &visit));
        respond_script(script, transfer, request, client)
    }

    /// `/hosts/HOST/FILE`, or `/hosts/HOST/~TOKEN/FILE`.
    pub(super) async fn host_file(
        &self,
        host: &str,
        file: &str,
        request: &Parts,
        client: &Arc<Client>,
    ) -> Response<Body> {
        let (in_path, file) = split_file_token(file);
        let mut transfer =
            self.boot.depot().unknown_transfer(Protocol::Http, client.peer, &format!("hosts/{host}/{file}"));
        let token = in_path.or_else(|| request.uri.query().and_then(token));
        let made = self.boot.file(host, file, token, &self.visit(request, client)).await;
        let (status, line, outcome, detail) = match made {
            Ok(HostFile { content, content_type }) => {
                return respond(content, &content_type, transfer, request, client);
            }
            Err(error @ FileError::Missing) => {
                (StatusCode::NOT_FOUND, "no host with this name has such a file", Outcome::NotFound, error.to_string())
            }
            Err(error @ FileError::Refused(_)) => {
                let line = "only the host itself may fetch this file, and only once; see the server log for the reason";
                (StatusCode::FORBIDDEN, line, Outcome::Refused, error.to_string())
            }
            Err(FileError::Failed(reason)) => {
                let line = "the file cannot be rendered now; see the server log for the reason";
                (StatusCode::SERVICE_UNAVAILABLE, line, Outcome::RenderFailed, reason)
            }
        };
        let id = RequestId::new();
        transfer.set_request(&id);
        transfer.finish(outcome, Some(&detail));
        let response = response::error(status, line, id);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return response::with_retry_after(response, RETRY_SECONDS);
        }
        response
    }

    fn begin(&self, client: &Client, name: &str) -> Transfer {
        self.boot.depot().transfer(Protocol::Http, client.peer, name)
    }

    fn visit(&self, request: &Parts, client: &Client) -> RequestContext {
        let base = self.advertise.map_or_else(|| base_url(&request.uri, &request.headers, client), str::to_owned);
        RequestContext { peer: client.peer.ip(), base }
    }
}

/// Returns the value of `token` in a query. Tokens need no percent-decoding.
fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// Returns the base URL under which the client reached this server: with the name from the request, else with the address of
/// the connection.
///
/// A name without a port gets the port of the connection, because GRUB omits the port in `Host`. That is wrong only if a
/// proxy forwards the scheme's default port to another port; the setting `advertise` is for that case.
fn base_url(uri: &Uri, headers: &HeaderMap, client: &Client) -> String {
    let named = uri.authority().cloned().or_else(|| {
        let host = headers.get(HOST)?.to_str().ok()?;
        host.parse::<Authority>().ok()
    });
    let (scheme, default_port) = if client.secure { ("https", 443) } else { ("http", 80) };
    let (host, port) = match named {
        Some(named) if is_host(named.host()) => {
            (named.host().to_owned(), named.port_u16().unwrap_or(client.local.port()))
        }
        _ => {
            let address = SocketAddr::new(client.local.ip(), 0).to_string();
            (address.strip_suffix(":0").unwrap_or(&address).to_owned(), client.local.port())
        }
    };
    if port == default_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
}

/// Returns whether `text` is safe in a script's URL: only letters, digits and the separators of names and addresses.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:_".contains(&b))
}

fn respond_script(script: String, transfer: Transfer, request: &Parts, client: &Arc<Client>) -> Response<Body> {
    respond(script.into(), SCRIPT, transfer, request, client)
}

fn respond(
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
        Body::rendered(content, transfer, client)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap_or(HeaderValue::from_static(SCRIPT)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // It was rendered for this machine, and the next one may differ.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, SERVER_VALUE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBudget;

    fn client(local: &str, secure: bool) -> Arc<Client> {
        Client::new("192.0.2.7:4000".parse().unwrap(), local.parse().unwrap(), secure, &MemoryBudget::new(1 << 20))
    }

    #[test]
    fn base_url_follows_host_field() {
        for (host, local, secure, expected) in [
            (Some("boot.lab:8080"), "10.0.0.1:8080", false, "http://boot.lab:8080"),
            // GRUB omits the port.
            (Some("10.0.0.1"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("boot.lab"), "10.0.0.1:80", false, "http://boot.lab"),
            // Behind address translation only the client knows the outside port.
            (Some("10.0.2.2:40123"), "127.0.0.1:8080", false, "http://10.0.2.2:40123"),
            (Some("boot.lab"), "10.0.0.1:443", true, "https://boot.lab"),
            (Some("[fd00::1]:8443"), "[fd00::1]:8443", true, "https://[fd00::1]:8443"),
            (None, "[::ffff:10.0.0.1]:8080", false, "http://10.0.0.1:8080"),
            (None, "[fd00::1]:8080", false, "http://[fd00::1]:8080"),
            // An invalid host never reaches a script.
            (Some("a$(reboot)"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("${x}"), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
            (Some("user@host"), "10.0.0.1:8080", false, "http://host:8080"),
            (Some(""), "10.0.0.1:8080", false, "http://10.0.0.1:8080"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(HOST, host.parse().unwrap());
            }
            assert_eq!(base_url(&Uri::from_static("/ipxe"), &headers, &client(local, secure)), expected, "{host:?}");
        }
        let uri = Uri::from_static("https://boot.lab:8443/ipxe");
        assert_eq!(base_url(&uri, &HeaderMap::new(), &client("10.0.0.1:8443", true)), "https://boot.lab:8443");
    }

    #[test]
    fn token_is_taken_from_query() {
        assert_eq!(token("a=b&token=0123abcd"), Some("0123abcd"));
        assert_eq!(token("nottoken=1"), None);
    }
}
