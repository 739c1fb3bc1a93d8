//! The accept loop of one listener: each connection becomes a task, up to a limit; most requests of further ones get 503.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::client::Client;
use super::connection;
use super::connection_limit::{ConnectionLimit, Place};
use super::listener::Acceptor;
use super::listener_config::{Handler, ListenerConfig};
use super::over_limit::OverLimit;
use super::progress_timer::ProgressLimits;

/// How long a connection above the limit may take for its request. Such places are few.
const RESERVED_TIMEOUT: Duration = Duration::from_secs(5);

/// Accepts connections until `config.stop`, as `limit` allows.
pub(crate) async fn accept<H: Handler>(
    listener: TcpListener,
    config: Arc<ListenerConfig<H>>,
    limit: Arc<ConnectionLimit>,
) {
    let mut acceptor = Acceptor::new(listener);
    let over_limit = Arc::new(over_limit(&config));
    while let Some((stream, peer)) = config.stop.run_until_cancelled(acceptor.accept()).await {
        let Some(place) = limit.place(peer.ip()) else { continue };
        // A connection that the client has already reset has no local address.
        let Ok(local) = stream.local_addr() else { continue };
        let client = Client::new(peer, local, config.tls.is_some(), &config.memory);
        if place.is_reserved {
            spawn(&over_limit, stream, client, place);
        } else {
            spawn(&config, stream, client, place);
        }
    }
}

fn spawn<H: Handler>(config: &Arc<ListenerConfig<H>>, stream: TcpStream, client: Arc<Client>, place: Place) {
    let config = Arc::clone(config);
    config.tasks.clone().spawn(async move {
        connection::serve(&config, stream, client).await;
        drop(place);
    });
}

/// The configuration of the connections above the limit.
fn over_limit<H: Handler>(config: &ListenerConfig<H>) -> ListenerConfig<OverLimit<H>> {
    let limits = ProgressLimits {
        idle_timeout: RESERVED_TIMEOUT.min(config.limits.idle_timeout),
        min_rate: config.limits.min_rate,
    };
    ListenerConfig {
        handler: Arc::new(OverLimit(Arc::clone(&config.handler))),
        tls: config.tls.clone(),
        tasks: config.tasks.clone(),
        stop: config.stop.clone(),
        grace: config.grace,
        limits,
        memory: Arc::clone(&config.memory),
        refusals: Arc::clone(&config.refusals),
    }
}
