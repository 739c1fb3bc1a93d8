//! The way to a server: its name and a connection.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::select_ok;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::origin::OriginError;

/// How long a name, a connection, or the first byte of an answer may take. An operator waits for it; a store that takes
/// longer is in trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of a host.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, OriginError> {
    let failed = |reason: String| OriginError::Dns { host: host.to_owned(), reason, source: None };
    let found = timeout(PATIENCE, lookup_host((host, port))).await;
    let found = found.map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?;
    let found: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
}

/// The address that took a connection first.
pub(super) async fn connect(host: &str, port: u16, addresses: &[SocketAddr]) -> Result<SocketAddr, OriginError> {
    let tries = addresses.iter().map(|address| {
        let address = *address;
        Box::pin(async move {
            let trying = timeout(PATIENCE, TcpStream::connect(address)).await;
            let taken = trying.map_err(|_| format!("no connection within {} s", PATIENCE.as_secs()))?;
            taken.map(|_| address).map_err(|error| error.to_string())
        })
    });
    let taken = select_ok(tries).await;
    taken.map(|(address, _)| address).map_err(|reason| OriginError::Connect {
        host: format!("{host}:{port}"),
        reason,
        source: None,
    })
}
