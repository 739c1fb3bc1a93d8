//! The proxy of an origin's connections: from its settings, or from the environment.

use reqwest::{NoProxy, Proxy};
use url::Url;

use crate::environment::not_blank;

/// Hosts that are never reached through the environment's proxies: this machine, and link-local metadata services, which
/// a remote proxy would ask for its own credentials.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// How an origin's connections are made.
#[derive(Debug)]
pub(super) enum ProxyChoice {
    Direct,
    /// The proxy of the origin's settings.
    Configured(Url),
    /// The proxies of the environment, each for some hosts.
    Environment,
}

impl ProxyChoice {
    /// Host and port to which a connection for `url` is made. `None` if the environment decides.
    pub(super) fn dialed(&self, url: &Url) -> Option<(String, u16)> {
        match self {
            Self::Direct => Some((bare_host(url), url.port_or_known_default().unwrap_or(443))),
            // SOCKS uses port 1080 (RFC 1928 3).
            Self::Configured(proxy) => Some((bare_host(proxy), proxy.port_or_known_default().unwrap_or(1080))),
            Self::Environment => None,
        }
    }
}

/// Returns the host for resolvers and sockets: an IPv6 address without brackets.
pub(super) fn bare_host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Builds the proxy of an origin's settings. The error completes "the origin … cannot be used:".
pub(super) fn configured_proxy(url: &Url) -> Result<Proxy, String> {
    match url.scheme() {
        "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
            Proxy::all(url.clone()).map_err(|e| format!("its proxy cannot be used: {}", e.without_url()))
        }
        other => Err(format!("its proxy has the scheme {other:?}; use http, https or socks5")),
    }
}

/// Builds the proxies of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in lower or upper case, as curl reads
/// them. `var` reads a variable. The error completes "the origin … cannot be used:".
pub(super) fn environment_proxies(var: impl Fn(&str) -> Option<String>) -> Result<Vec<Proxy>, String> {
    let value = |name: &str| not_blank(&var(name)?).map(str::to_owned);
    let read = |name: &str| value(&name.to_lowercase()).or_else(|| value(name));
    let exempt = read("NO_PROXY").map_or(NEVER_PROXIED.to_owned(), |more| format!("{NEVER_PROXIED},{more}"));
    // reqwest takes the first match, so the proxy for all schemes comes last.
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .into_iter()
        .filter_map(|name| Some((name, read(name)?)))
        .map(|(name, url)| {
            let proxy = match name {
                "HTTP_PROXY" => Proxy::http(url),
                "HTTPS_PROXY" => Proxy::https(url),
                _ => Proxy::all(url),
            };
            let proxy = proxy.map_err(|_| format!("the environment variable {name} is not a proxy URL"))?;
            Ok(proxy.no_proxy(NoProxy::from_string(&exempt)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_proxies_follow_curl_rules() {
        let with = |name: &'static str, value: &'static str| {
            environment_proxies(move |variable| (variable == name).then(|| value.to_owned())).map(|found| found.len())
        };
        assert_eq!(with("HTTPS_PROXY", "http://proxy:3128"), Ok(1));
        assert_eq!(with("http_proxy", "proxy:3128"), Ok(1));
        assert_eq!(with("NO_PROXY", "*"), Ok(0));
        assert_eq!(with("https_proxy", " "), Ok(0));
        let blank_before = |variable: &str| match variable {
            "https_proxy" => Some(" ".to_owned()),
            "HTTPS_PROXY" => Some("http://proxy:3128\n".to_owned()),
            _ => None,
        };
        assert_eq!(environment_proxies(blank_before).map(|found| found.len()), Ok(1));
        assert_eq!(
            with("HTTPS_PROXY", "http://"),
            Err("the environment variable HTTPS_PROXY is not a proxy URL".to_owned())
        );
    }

    #[test]
    fn unknown_proxy_scheme_is_refused() {
        let error = configured_proxy(&"ftp://proxy:21".parse().unwrap()).unwrap_err();
        assert_eq!(error, "its proxy has the scheme \"ftp\"; use http, https or socks5");
        assert!(configured_proxy(&"socks5h://proxy:1080".parse().unwrap()).is_ok());
    }
}
