//! Lingering close: ends a TCP connection so that the client receives all that was written.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the client may take to close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Shuts down the write side, then discards input until the client closes its side or one second has passed.
///
/// A plain close while the client still sends (the next request, an HTTP/2 window update) would reset the connection, and
/// the client would lose the bytes that it has not received yet.
pub(super) async fn lingering_close(mut stream: TcpStream) {
    let close = async {
        let _ = stream.shutdown().await;
        let mut unread = [0; 1024];
        while let Ok(1..) = stream.read(&mut unread).await {}
    };
    let _ = tokio::time::timeout(LINGER_TIMEOUT, close).await;
}
