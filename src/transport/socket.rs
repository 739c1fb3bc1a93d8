//! A client's TCP socket: reports the progress of writes to the [`Client`], and closes the connection. It knows no HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::client::{Client, CloseReason};
use super::lingering_close::lingering_close;

/// The socket of one client. Writes go to the kernel as they come; vectored writes are not copied.
pub(super) struct Socket {
    /// `Some` until the drop.
    stream: Option<TcpStream>,
    client: Arc<Client>,
    tasks: TaskTracker,
}

impl Socket {
    /// Wraps the socket of `client`. A lingering close that the drop starts becomes one of the `tasks`.
    pub(super) fn new(stream: TcpStream, client: Arc<Client>, tasks: TaskTracker) -> Self {
        Self { stream: Some(stream), client, tasks }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn report(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(1..)) => self.client.wrote(),
            Poll::Pending => self.client.set_write_blocked(),
            // The kernel can always read our own memory; EFAULT (write(2)) means a page of a mapped file that cannot be read.
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EFAULT) => {
                self.client.set_close_reason(CloseReason::Unreadable);
            }
            Poll::Ready(_) => {}
        }
        result
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.client.is_write_blocked() {
            // The client stopped reading. A reset frees the send queue at once; a plain close would keep its pages and go on
            // retransmitting. If the option cannot be set, only that memory is lost for a while.
            let _ = stream.set_zero_linger();
            return;
        }
        let client_open = match stream.try_read(&mut [0; 64]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        // Without a runtime the process is exiting, which closes the socket anyway.
        if client_open && let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on(lingering_close(stream), &runtime);
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
        self.report(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write_vectored(cx, pieces);
        self.report(result)
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
