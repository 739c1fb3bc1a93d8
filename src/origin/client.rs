//! HTTP clients of an origin: TLS, proxies and timeouts.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Proxy, redirect};
use tokio_rustls::rustls::ClientConfig;

use super::resolver::StaggeredResolver;

/// How long an idle connection is kept for the next part. Stores close idle connections after some tens of seconds; we
/// close first, so that a request seldom uses a connection that the store is closing.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Timeouts for credential services. They are close (instance, container) or small (STS). On a machine without instance
/// metadata no service answers, which must not delay the first read for long.
const CREDENTIALS_CONNECT: Duration = Duration::from_secs(2);
const CREDENTIALS_TOTAL: Duration = Duration::from_secs(10);

/// Builds the client for an origin's objects. The error completes "the origin … cannot be used:".
pub(super) fn for_objects(
    tls: ClientConfig,
    proxies: &[Proxy],
    connect: Duration,
    resolver: &StaggeredResolver,
) -> Result<Client, String> {
    let builder = basic(tls, proxies).connect_timeout(connect).pool_idle_timeout(POOL_IDLE);
    build(builder.dns_resolver(Arc::new(resolver.clone())))
}

/// Builds the client for credential services. The error completes "the origin … cannot be used:".
pub(super) fn for_credentials(tls: ClientConfig, proxies: &[Proxy]) -> Result<Client, String> {
    build(basic(tls, proxies).connect_timeout(CREDENTIALS_CONNECT).timeout(CREDENTIALS_TOTAL))
}

fn basic(tls: ClientConfig, proxies: &[Proxy]) -> ClientBuilder {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("bootdepot/", env!("CARGO_PKG_VERSION")))
        // A fill reads its parts over several connections, each with its own congestion window. HTTP/2 would share one.
        .http1_only()
        .tcp_nodelay(true)
        // For `Origins::stat`, which reports when the certificate expires.
        .tls_info(true)
        // `remote` follows redirects: a signature is for one host, and secret header fields are for one origin.
        .redirect(redirect::Policy::none())
        // The environment's proxies are in `proxies` where they apply.
        .no_proxy();
    proxies.iter().fold(builder, |builder, proxy| builder.proxy(proxy.clone()))
}

fn build(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|e| format!("its HTTP client cannot be built: {e}"))
}
