//! The accept loop of one listener: each connection becomes a task, up to a limit; further clients get 503.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::client::Client;
use super::connection;
use super::lingering_close::lingering_close;
use super::listener::Acceptor;
use super::listener_config::{Handler, ListenerConfig};

/// The response to a connection over the limit. iPXE retries a 503 that has a `Retry-After` field.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 46\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\
    \r\n\
    the server has too many connections; try again";

/// 503 responses being sent at a time; further connections are closed without a response.
const MAX_BUSY_RESPONSES: usize = 64;

/// Accepts connections until `config.stop`, at most as many at a time as `limit` has permits.
pub(crate) async fn accept<H: Handler>(listener: TcpListener, config: Arc<ListenerConfig<H>>, limit: Arc<Semaphore>) {
    let mut acceptor = Acceptor::new(listener);
    let busy_limit = Arc::new(Semaphore::new(MAX_BUSY_RESPONSES));
    let secure = config.tls.is_some();
    while let Some((stream, peer)) = config.stop.run_until_cancelled(acceptor.accept()).await {
        if let Ok(permit) = Arc::clone(&limit).try_acquire_owned() {
            let config = Arc::clone(&config);
            // A connection that the client has already reset has no local address.
            let Ok(local) = stream.local_addr() else { continue };
            let client = Client::new(peer, local, secure, &config.memory);
            config.tasks.clone().spawn(async move {
                connection::serve(&config, stream, client).await;
                drop(permit);
            });
        } else if config.tls.is_none()
            && let Ok(permit) = Arc::clone(&busy_limit).try_acquire_owned()
        {
            config.tasks.spawn(async move {
                send_busy(Arc::new(stream)).await;
                drop(permit);
            });
        }
    }
}

async fn send_busy(stream: Arc<TcpStream>) {
    // The send buffer of a new socket has room for the whole response. If the write fails, the client is gone.
    let _ = stream.writable().await;
    let _ = stream.try_write(BUSY);
    lingering_close(stream).await;
}
