//! The HTTP client of an origin: its trust, its proxy, its timeouts.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use tokio_rustls::rustls::ClientConfig;
use url::Url;

/// How long an unused connection is kept for the next part. Stores close theirs after some tens of seconds; ours first,
/// so that a request seldom meets a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// For the services that hand out credentials. They are near (instance, container) or small (STS); and on a machine that
/// has no instance metadata nobody answers at all, which must not hold up the first read for long.
const CREDENTIALS_CONNECT: Duration = Duration::from_secs(2);
const CREDENTIALS_TOTAL: Duration = Duration::from_secs(10);

/// Hosts that the environment's proxies are not for: this machine, and link-local metadata services, which a proxy
/// elsewhere would ask in its own name.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// A client for an origin's objects; the error is the end of a sentence.
pub(super) fn for_objects(tls: ClientConfig, proxies: &[Proxy], connect: Duration) -> Result<Client, String> {
    build(basic(tls, proxies).connect_timeout(connect).pool_idle_timeout(POOL_IDLE))
}

/// A client for credential services; the error is the end of a sentence.
pub(super) fn for_credentials(tls: ClientConfig, proxies: &[Proxy]) -> Result<Client, String> {
    build(basic(tls, proxies).connect_timeout(CREDENTIALS_CONNECT).timeout(CREDENTIALS_TOTAL))
}

fn basic(tls: ClientConfig, proxies: &[Proxy]) -> ClientBuilder {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("bootdepot/", env!("CARGO_PKG_VERSION")))
        // A fill reads its parts over several connections, each with a congestion window of its own. HTTP/2 would put
        // them all into one.
        .http1_only()
        .tcp_nodelay(true)
        // For `Origins::ask`, which says until when the certificate is good.
        .tls_info(true)
        // Followed by hand: a signature is for one host, and secret header fields are for one origin.
        .redirect(redirect::Policy::none())
        // The environment's proxies are among `proxies`, where they are wanted.
        .no_proxy();
    proxies.iter().fold(builder, |builder, proxy| builder.proxy(proxy.clone()))
}

fn build(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|e| format!("its HTTP client cannot be made: {e}"))
}

/// The proxy of an origin's settings; the error is the end of a sentence.
pub(super) fn configured_proxy(url: &Url) -> Result<Proxy, String> {
    match url.scheme() {
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
            Proxy::all(url.clone()).map_err(|e| format!("its proxy cannot be used: {}", e.without_url()))
        }
        other => Err(format!("its proxy has the scheme {other:?}; use http, https or socks5")),
    }
}

/// The proxies that `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` name, in either case, as curl reads them; `var`
/// is the environment. The error is the end of a sentence.
pub(super) fn environment_proxies(var: impl Fn(&str) -> Option<String>) -> Result<Vec<Proxy>, String> {
    let read = |name: &str| {
        var(&name.to_lowercase()).or_else(|| var(name)).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    };
    let exempt = read("NO_PROXY").map_or(NEVER_PROXIED.to_owned(), |more| format!("{NEVER_PROXIED},{more}"));
    // The first that fits is taken, so the one for all comes last.
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .into_iter()
        .filter_map(|name| Some((name, read(name)?)))
        .map(|(name, url)| {
            let proxy = match name {
                "HTTP_PROXY" => Proxy::http(url),
                "HTTPS_PROXY" => Proxy::https(url),
                _ => Proxy::all(url),
            };
            let proxy = proxy.map_err(|_| format!("the environment variable {name} is no URL of a proxy"))?;
            Ok(proxy.no_proxy(NoProxy::from_string(&exempt)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_environment_as_curl_does() {
        let with = |name: &'static str, value: &'static str| {
            environment_proxies(move |asked| (asked == name).then(|| value.to_owned())).map(|found| found.len())
        };
        assert_eq!(with("HTTPS_PROXY", "http://proxy:3128"), Ok(1));
        assert_eq!(with("http_proxy", "proxy:3128"), Ok(1));
        assert_eq!(with("NO_PROXY", "*"), Ok(0));
        assert_eq!(with("https_proxy", " "), Ok(0));
        assert_eq!(
            with("HTTPS_PROXY", "http://"),
            Err("the environment variable HTTPS_PROXY is no URL of a proxy".to_owned())
        );
    }

    #[test]
    fn names_the_schemes_of_proxies() {
        let error = configured_proxy(&"ftp://proxy:21".parse().unwrap()).unwrap_err();
        assert_eq!(error, "its proxy has the scheme \"ftp\"; use http, https or socks5");
        assert!(configured_proxy(&"socks5h://proxy:1080".parse().unwrap()).is_ok());
    }
}
