//! A client's TCP socket, which tells the [`Client`] how its writes go, and how it is closed. It knows no HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::client::{Client, End};

/// How long a closed connection may take to be closed from the other side too.
const LINGER: Duration = Duration::from_secs(1);

/// The socket of one client. Writes go to the kernel as they come, vectored ones uncopied.
pub(super) struct Socket {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    client: Arc<Client>,
    tasks: TaskTracker,
}

/// Closes a connection so that the client gets all that was written: while it goes on sending (the next request, an
/// HTTP/2 window), a plain close would reset the connection, and with it what the client has not yet received.
pub(super) async fn linger(mut stream: TcpStream) {
    let farewell = async {
        let _ = stream.shutdown().await;
        let mut unread = [0; 1024];
        while let Ok(1..) = stream.read(&mut unread).await {}
    };
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

impl Socket {
    /// The socket of `client`; what is left to do when it is dropped becomes one of the `tasks`.
    pub(super) fn new(stream: TcpStream, client: Arc<Client>, tasks: TaskTracker) -> Self {
        Self { stream: Some(stream), client, tasks }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(1..)) => self.client.took(),
            Poll::Pending => self.client.block(),
            // What is in memory of our own the kernel can always read; a blob's page is read from the disk (write(2)).
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EFAULT) => self.client.end(End::Unreadable),
            Poll::Ready(_) => {}
        }
        result
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.client.is_blocked() {
            // The client stopped reading. A reset frees what the kernel still holds for it, where a plain close would
            // keep the pages and go on asking it. Failing to set this costs only that memory.
            let _ = stream.set_zero_linger();
            return;
        }
        let client_open = match stream.try_read(&mut [0; 64]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        // Without a runtime the process is on its way out, and closes everything anyway.
        if client_open && let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on(linger(stream), &runtime);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write(cx, bytes);
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write_vectored(cx, pieces);
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
