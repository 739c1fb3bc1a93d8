//! The proxy of an origin's connections: from its settings, or from the environment.

use reqwest::{NoProxy, Proxy};
use url::Url;

use crate::environment::not_blank;

/// Hosts that are never reached through the environment's proxies: this machine, link-local addresses, and the metadata
/// services of clouds, which a remote proxy would ask for its own credentials. `fd00:ec2::254` and others of that network are
/// the IPv6 addresses of AWS's ("Access instance metadata for an EC2 instance" in the Amazon EC2 user guide).
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// How an origin's connections are made.
#[derive(Debug)]
pub(super) enum ProxyChoice {
    Direct,
    /// The proxy of the origin's settings.
    Configured(Url),
    /// The proxies of the environment, each for some hosts.
    Environment {
        /// Whether one of them is SOCKS.
        socks: bool,
    },
}

/// The proxies of the environment.
pub(super) struct EnvironmentProxies {
    pub(super) proxies: Vec<Proxy>,
    /// Whether one of them is SOCKS.
    pub(super) socks: bool,
}

impl ProxyChoice {
    /// Host and port to which a connection for `url` is made. `None` if the environment decides.
    pub(super) fn dialed(&self, url: &Url) -> Option<(String, u16)> {
        match self {
            Self::Direct => Some((bare_host(url), url.port_or_known_default().unwrap_or(443))),
            // SOCKS uses port 1080 (RFC 1928 3).
            Self::Configured(proxy) => Some((bare_host(proxy), proxy.port_or_known_default().unwrap_or(1080))),
            Self::Environment { .. } => None,
        }
    }

    /// Whether names are resolved only of hosts to which this machine connects itself. The names of hosts behind a SOCKS proxy
    /// are resolved too.
    pub(super) fn dials_what_it_resolves(&self) -> bool {
        matches!(self, Self::Direct | Self::Environment { socks: false })
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
pub(super) fn environment_proxies(var: impl Fn(&str) -> Option<String>) -> Result<EnvironmentProxies, String> {
    let value = |name: &str| not_blank(&var(name)?).map(str::to_owned);
    let read = |name: &str| value(&name.to_lowercase()).or_else(|| value(name));
    let exempt = read("NO_PROXY").map_or(NEVER_PROXIED.to_owned(), |more| format!("{NEVER_PROXIED},{more}"));
    let mut found = EnvironmentProxies { proxies: Vec::new(), socks: false };
    // reqwest takes the first match, so the proxy for all schemes comes last.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let Some(url) = read(name) else { continue };
        found.socks |= url.to_ascii_lowercase().starts_with("socks");
        let proxy = match name {
            "HTTP_PROXY" => Proxy::http(url),
            "HTTPS_PROXY" => Proxy::https(url),
            _ => Proxy::all(url),
        };
        let proxy = proxy.map_err(|_| format!("the environment variable {name} is not a proxy URL"))?;
        found.proxies.push(proxy.no_proxy(NoProxy::from_string(&exempt)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn environment_proxies_follow_curl_rules() {
        let with = |name: &'static str, value: &'static str| {
            environment_proxies(move |variable| (variable == name).then(|| value.to_owned()))
                .map(|found| found.proxies.len())
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
        assert_eq!(environment_proxies(blank_before).map(|found| found.proxies.len()), Ok(1));
        assert_eq!(
            with("HTTPS_PROXY", "http://"),
            Err("the environment variable HTTPS_PROXY is not a proxy URL".to_owned())
        );
    }

    #[tokio::test]
    async fn ipv6_metadata_service_is_not_proxied() {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let found = environment_proxies(|name| (name == "HTTP_PROXY").then(|| url.clone())).unwrap();
        let tls = crate::trust::client_config(tokio_rustls::rustls::RootCertStore::empty(), false).unwrap();
        // Nothing leaves this machine.
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().interface("lo");
        let client =
            builder.proxy(found.proxies[0].clone()).connect_timeout(Duration::from_millis(300)).build().unwrap();
        for (host, is_proxied) in [("[2001:db8::1]", true), ("[fd00:ec2::254]", false), ("[fe80::a9fe:a9fe]", false)] {
            let reached_proxy = tokio::select! {
                biased;
                _ = proxy.accept() => true,
                _ = client.get(format!("http://{host}/")).send() => false,
            };
            assert_eq!(reached_proxy, is_proxied, "{host}");
        }
    }

    #[test]
    fn socks_proxy_of_environment_is_noticed() {
        let choice = |url: &'static str| {
            let found = environment_proxies(move |name| (name == "ALL_PROXY").then(|| url.to_owned())).unwrap();
            ProxyChoice::Environment { socks: found.socks }
        };
        assert!(choice("http://proxy:3128").dials_what_it_resolves());
        assert!(choice("proxy:3128").dials_what_it_resolves() && ProxyChoice::Direct.dials_what_it_resolves());
        assert!(!choice("SOCKS5://proxy").dials_what_it_resolves());
        let configured = ProxyChoice::Configured("http://proxy:3128".parse().unwrap());
        assert!(!configured.dials_what_it_resolves());
    }

    #[test]
    fn unknown_proxy_scheme_is_refused() {
        let error = configured_proxy(&"ftp://proxy:21".parse().unwrap()).unwrap_err();
        assert_eq!(error, "its proxy has the scheme \"ftp\"; use http, https or socks5");
        assert!(configured_proxy(&"socks5h://proxy:1080".parse().unwrap()).is_ok());
    }
}
