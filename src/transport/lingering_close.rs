//! Lingering close: ends a TCP connection so that the client receives all that was written.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

/// How long the client may take to close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Shuts down the write side, then discards input until the client closes its side or one second has passed.
///
/// A plain close while the client still sends (the next request, an HTTP/2 window update) would reset the connection, and
/// the client would lose the bytes that it has not received yet.
pub(super) async fn lingering_close(stream: Arc<TcpStream>) {
    let close = async {
        let _ = SockRef::from(&*stream).shutdown(Shutdown::Write);
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut [0; 1024]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIMEOUT, close).await;
}
